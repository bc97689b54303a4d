//! Nodes: a core, its store, its clock, and the runtime around them.

use super::{Phase, What, World};
use crate::coverage::{Mark, Point};
use crate::plan;
use crate::random::purpose;
use crate::report::OracleId;
use crate::trace::Detail;
use cosmicsync_protocol::crdt::{TextPaths, Version};
use cosmicsync_protocol::endpoint::{Event, LinkId};
use cosmicsync_protocol::ids::DeviceId;
use cosmicsync_protocol::ledger::Image;
use cosmicsync_protocol::pump::{Io, pump};
use cosmicsync_protocol::storage::{StoreError, StoreId, StoreRequest};
use cosmicsync_protocol::sync;
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::{Deadline, Now};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::clock::Clock;
use super::content::text_paths;
use super::database::{Desk, Feed, Follow};
use super::driven::Core;
use super::start::{config_of, recover};
use super::work::OpenDoc;

/// Most times that the core may name a passed deadline within one instant.
const STALLS_MAX: u32 = 100;
/// Note of a crash that closes no connections.
const SILENT: &str = "without closing its connections: they stay half open";
/// Time until a process restarts after a panic or a failing store, in microseconds.
const RESTART_US: u64 = 1_000_000;

/// A store and, if a process ran on it, that process's memory: byte for byte.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    pub(super) store: MemStore,
    pub(super) memory: Option<Memory>,
}

/// Memory of a process, and the state of its clocks.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    image: Image,
    now: Now,
    slept_ms: u64,
}

impl Memory {
    pub(super) fn wake(self, slept_ms: u64) -> Self {
        Self { slept_ms, ..self }
    }
}

/// A peer, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    /// Number of starts and ends; events of another life are void.
    pub(crate) life: u32,
    pub(crate) alive: Option<Box<Alive>>,
    /// Content of the peer's disk while the peer is down.
    pub(crate) disk: MemStore,
    /// Content of the peer's disk when the run began.
    pub(crate) origin: MemStore,
    pub(super) snapshot: Option<Copy>,
    pub(crate) clock: Clock,
    pub(crate) paused_until: u64,
    pub(crate) commit_us: u64,
    pub(crate) bodies: plan::Bodies,
    pub(crate) partial: bool,
    /// True if at some time the peer did not fetch all bodies.
    pub(crate) was_partial: bool,
    /// Time until a failed store is reopened, in microseconds.
    pub(crate) reopen_us: u64,
    /// True if at some time the peer wanted bodies.
    pub(crate) wanted_bodies: bool,
    /// Time since which nothing of the plan slows the process down.
    pub(crate) calm_since_us: u64,
    /// Number of reads before one that fails.
    pub(super) fails_read: Option<u64>,
    /// True if the peer crashed and no entry came since: the next one resumes a transfer that the crash cut.
    pub(super) resumes: bool,
    /// Live queries of the peer's users.
    pub(super) follows: Vec<Follow>,
    /// The client that reads the peer's feed.
    pub(super) feed: Feed,
}

impl Node {
    pub(crate) fn new(peer: &plan::Peer, store: MemStore) -> Self {
        Self {
            life: 0,
            alive: None,
            disk: store.clone(),
            origin: store,
            snapshot: None,
            clock: Clock::new(peer.skew_ms),
            paused_until: 0,
            commit_us: peer.commit_us,
            bodies: peer.bodies,
            partial: peer.partial,
            was_partial: false,
            reopen_us: RESTART_US,
            wanted_bodies: false,
            calm_since_us: 0,
            fails_read: None,
            resumes: false,
            follows: Vec::new(),
            feed: Feed::default(),
        }
    }

    /// Returns the durable content of the peer's disk.
    pub(crate) fn durable(&self) -> MemStore {
        self.alive.as_ref().map_or_else(|| self.disk.clone(), |alive| alive.store.crash(0))
    }
}

/// Kind of a request to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    Read,
    Commit,
    /// A commit of what indexes hold.
    Indexes,
}

/// Memory of a running process, and its open store.
#[derive(Debug)]
pub(crate) struct Alive {
    pub(crate) endpoint: Core,
    /// Requests to the database.
    pub(super) desk: Desk,
    pub(crate) store: MemStore,
    /// Durable reads that the store has not completed.
    pub(super) reads: BTreeMap<StoreId, StoreRequest>,
    /// Other requests that its store has not completed, oldest first.
    pub(crate) store_queue: VecDeque<Queued>,
    pub(super) store_requests: u64,
    pub(crate) links: BTreeMap<LinkId, (u64, usize)>,
    pub(crate) up: BTreeMap<LinkId, DeviceId>,
    /// Time at which the core is to be woken; `deadline` is the one that it asked for.
    wake_us: Option<u64>,
    deadline: Option<Deadline>,
    stalls: (u64, u32),
    pub(crate) docs: BTreeMap<u64, OpenDoc>,
    /// Actions that wait for a document to exist; `retry` is true if they must be tried again.
    pub(crate) waiting: Vec<usize>,
    pub(crate) retry: bool,
    /// Edits that were taken and not yet reported durable.
    pub(crate) edits: BTreeMap<u64, Vec<u64>>,
    /// Edits that had their verdict.
    pub(crate) judged: BTreeSet<u64>,
    /// For each edit without a verdict, the time at which it was taken, and the time that it may take.
    pub(crate) taken: BTreeMap<u64, (u64, u64)>,
    /// For each open document, the version that was announced last.
    pub(crate) announced: BTreeMap<u64, Version>,
    pub(crate) texts: TextPaths,
    pub(super) failed: Option<StoreError>,
    /// Time at which the core last got fresh randomness.
    stirred_us: Option<u64>,
    /// Clocks at the last call.
    told: Now,
}

/// Outputs of the loop, to be carried out after it has returned.
#[derive(Default)]
struct Output {
    rooms: Vec<(LinkId, usize)>,
    full: BTreeSet<LinkId>,
    requests: Vec<StoreRequest>,
    sends: Vec<(LinkId, Vec<u8>)>,
    events: Vec<Event>,
}

impl Io for Output {
    fn store(&mut self, request: StoreRequest) {
        self.requests.push(request);
    }

    fn has_room(&mut self, link: LinkId) -> bool {
        let room = self.rooms.iter().find(|(other, _)| *other == link).map(|(_, room)| *room);
        let has = room.is_some_and(|room| room > 0);
        if room == Some(0) {
            self.full.insert(link);
        }
        has
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        if let Some((_, room)) = self.rooms.iter_mut().find(|(other, _)| *other == link) {
            *room = room.saturating_sub(bytes.len());
        }
        self.sends.push((link, bytes));
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Returns the message of a panic.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

impl World<'_> {
    /// Copies a peer's present store and memory.
    pub(super) fn copy(&self, peer: usize) -> Copy {
        let node = &self.nodes[peer];
        let now = node.clock.now(self.now_us);
        let memory = node.alive.as_deref().map(|alive| Memory { image: alive.endpoint.image(), now, slept_ms: 0 });
        Copy { store: node.durable(), memory }
    }

    /// Starts a peer from its disk: a new process, or the copy of one.
    pub(super) fn start(&mut self, peer: usize, memory: Option<Memory>) {
        let keyed = self.keyed;
        let node = &mut self.nodes[peer];
        node.life += 1;
        match &memory {
            Some(memory) => node.clock.resume(self.now_us, memory.now),
            None => {
                let key = [purpose::CLOCK, peer as u64, u64::from(node.life)];
                node.clock.restart(self.now_us, 1 + keyed.below(&key, 1 << 40));
            }
        }
        let seed = keyed.seed(&[purpose::PEER, peer as u64, u64::from(node.life)]);
        let (now, config) = (node.clock.now(self.now_us), config_of(self.plan, peer));
        let is_copy = memory.is_some();
        let (image, slept_ms) = memory.map_or((None, 0), |memory| (Some(memory.image), memory.slept_ms));
        // From here on, the clock shows the time for which it slept.
        node.clock.change(self.now_us, slept_ms as i64, node.clock.rate);
        let mut store = core::mem::take(&mut node.disk);
        let kept = store.clone();
        let recovered = catch_unwind(AssertUnwindSafe(|| recover(&mut store, config, seed, image, now)));
        let Ok(Some(endpoint)) = recovered else {
            self.nodes[peer].disk = kept;
            let (oracle, text) = match recovered {
                Ok(_) => (OracleId::O10, "a store that only crashed cannot be read back"),
                Err(_) => (OracleId::O12, "recovery panicked"),
            };
            self.violation(oracle, Some(peer), text.to_owned());
            return;
        };
        let alive = Alive {
            endpoint: Core::new(endpoint, self.plan),
            desk: Desk::default(),
            store,
            reads: BTreeMap::new(),
            store_queue: VecDeque::new(),
            store_requests: 0,
            links: BTreeMap::new(),
            up: BTreeMap::new(),
            wake_us: None,
            deadline: None,
            stalls: (0, 0),
            docs: BTreeMap::new(),
            waiting: Vec::new(),
            retry: false,
            edits: BTreeMap::new(),
            judged: BTreeSet::new(),
            taken: BTreeMap::new(),
            announced: BTreeMap::new(),
            texts: text_paths(),
            failed: None,
            stirred_us: None,
            told: now,
        };
        self.nodes[peer].alive = Some(Box::new(alive));
        let is_right = self.nodes[peer].clock.rate == 1000;
        self.nodes[peer].calm_since_us = if is_right { self.now_us } else { u64::MAX };
        self.point(peer, Point::Started, None, &[u8::from(is_copy)]);
        self.check_restart(peer);
        self.restore_bodies(peer);
        self.start_database(peer);
        self.turn(peer);
        for route in 0..self.routes.len() {
            if self.plan.links[route].from == peer && self.routes[route].wanted && self.routes[route].conn.is_none() {
                self.dial_later(route, 0);
            }
        }
    }

    /// Restores the policy of bodies, which is a setting of the runtime, if the core has another.
    pub(super) fn restore_bodies(&mut self, peer: usize) {
        let bodies = match self.nodes[peer].bodies {
            plan::Bodies::All => sync::Bodies::All,
            plan::Bodies::None => sync::Bodies::HeadOnly,
            plan::Bodies::Newest(count) => sync::Bodies::Newest(count),
        };
        self.nodes[peer].wanted_bodies |= bodies != sync::Bodies::HeadOnly;
        if bodies != sync::Bodies::All {
            self.mark(Mark::Partial);
            self.nodes[peer].was_partial = true;
        }
        self.call(peer, |alive, now| {
            let spaces: Vec<_> = alive.endpoint.spaces().filter(|space| space.bodies != bodies).collect();
            for space in spaces {
                alive.endpoint.set_bodies(now, space.no, bodies).expect("a listed space is known");
            }
        });
    }

    /// Calls a core, if it runs. A panic is a violation, and the end of the process.
    pub(crate) fn call<R>(&mut self, peer: usize, work: impl FnOnce(&mut Alive, Now) -> R) -> Option<R> {
        let (keyed, now_us) = (self.keyed, self.now_us);
        let node = &mut self.nodes[peer];
        let (now, life) = (node.clock.now(now_us), node.life);
        let alive = node.alive.as_deref_mut()?;
        // It woke up.
        if alive.stirred_us.replace(now_us) != Some(now_us) {
            alive.endpoint.stir(&keyed.seed(&[purpose::STIR, peer as u64, u64::from(life), now_us]));
        }
        alive.told = now;
        match catch_unwind(AssertUnwindSafe(|| work(alive, now))) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.violation(OracleId::O12, Some(peer), format!("the core panicked: {}", said(&*panic)));
                self.end(peer, 0, false);
                let life = self.nodes[peer].life;
                self.schedule(self.now_us + RESTART_US, peer, What::Start { peer, life });
                None
            }
        }
    }

    /// Runs one turn of a peer's runtime: the shipped loop, then its outputs, until nothing is left.
    pub(crate) fn turn(&mut self, peer: usize) {
        loop {
            let Some(alive) = self.nodes[peer].alive.as_ref() else { return };
            let mut output = Output { rooms: self.rooms(alive), ..Output::default() };
            let Some(deadline) = self.call(peer, |alive, now| pump(&mut alive.endpoint, now, &mut output)) else {
                return;
            };
            let acted = self.carry_out(peer, output);
            if !acted {
                self.set_wake(peer, deadline);
                self.check_announced(peer);
                return;
            }
        }
    }

    /// Carries out outputs. Returns whether the core was called.
    fn carry_out(&mut self, peer: usize, output: Output) -> bool {
        for request in output.requests {
            self.submit(peer, request);
        }
        for (link, bytes) in output.sends {
            let at = self.nodes[peer].alive.as_ref().and_then(|alive| alive.links.get(&link).copied());
            let index = self.point(peer, Point::Sent, None, &bytes);
            if let Some((conn, end)) = at {
                let kind = if self.tracer.keeps() { self.kind_of(peer, link) } else { "" };
                self.detail_link(conn, Some(bytes.len()), || kind.to_owned());
                self.send(conn, end, bytes, Some((peer, index)));
            }
        }
        for link in output.full {
            let at = self.nodes[peer].alive.as_ref().and_then(|alive| alive.links.get(&link).copied());
            if let Some((conn, end)) = at {
                self.is_full(conn, end);
            }
        }
        let mut acted = false;
        for event in output.events {
            acted |= self.handle_event(peer, event);
        }
        acted |= self.take_answers(peer);
        if let Some(error) = self.nodes[peer].alive.as_mut().and_then(|alive| alive.failed.take()) {
            self.store_failed(peer, &error);
            return false;
        }
        acted | self.retry_work(peer)
    }

    fn set_wake(&mut self, peer: usize, deadline: Option<Deadline>) {
        let (keyed, now_us) = (self.keyed, self.now_us);
        let node = &mut self.nodes[peer];
        let (clock, life) = (node.clock, node.life);
        let Some(alive) = node.alive.as_deref_mut() else { return };
        if alive.deadline == deadline && alive.wake_us.is_some() {
            return;
        }
        alive.deadline = deadline;
        let Some(at_us) = deadline.and_then(|deadline| clock.when(deadline.at_us)) else {
            alive.wake_us = None;
            return;
        };
        if at_us <= now_us {
            let stalls = if alive.stalls.0 == now_us { alive.stalls.1 + 1 } else { 1 };
            alive.stalls = (now_us, stalls);
            if stalls > STALLS_MAX {
                let text = format!("the deadline {deadline:?} has passed and stays");
                self.violation(OracleId::O11, Some(peer), text);
                self.schedule(now_us + 1_000_000, peer, What::Wake { peer, life });
                return;
            }
        }
        let late = keyed.below(&[purpose::LATE, peer as u64, at_us], self.plan.core.late_us + 1);
        let at_us = at_us.max(now_us) + late;
        alive.wake_us = Some(at_us);
        self.schedule(at_us, peer, What::Wake { peer, life });
    }

    /// Sets the wake-up time again, after the clock changed.
    pub(super) fn reset_wake(&mut self, peer: usize) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        alive.wake_us = None;
        let deadline = alive.deadline;
        self.set_wake(peer, deadline);
    }

    pub(super) fn wake(&mut self, peer: usize, life: u32) {
        let node = &mut self.nodes[peer];
        if node.life != life {
            return;
        }
        if node.paused_until > self.now_us {
            let at_us = node.paused_until;
            self.schedule(at_us, peer, What::Wake { peer, life });
            return;
        }
        let Some(alive) = node.alive.as_deref_mut() else { return };
        if alive.wake_us.is_none_or(|at_us| at_us > self.now_us) {
            return;
        }
        alive.wake_us = None;
        alive.deadline = None;
        self.point(peer, Point::TimedOut, None, &[]);
        self.turn(peer);
    }

    /// O11: before an input, the core must have no output that it did not ask to be woken for.
    pub(super) fn check_idle(&mut self, peer: usize) {
        let keyed = self.keyed;
        if !keyed.once_in(&[purpose::CHECK, peer as u64, self.stats.events], 8) {
            return;
        }
        self.stats.checks += 1;
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let (due, told) = (alive.deadline, alive.told);
        let mut rooms = self.rooms(alive);
        rooms.retain(|(link, _)| alive.links.get(link).is_some_and(|(conn, end)| !self.awaits_room(*conn, *end)));
        let mut output = Output { rooms, ..Output::default() };
        let found = self.call(peer, |alive, now| {
            // Timers are not fired here: only pending outputs are checked.
            let early_us = due.map_or(0, |due| (now.mono_us + 1).saturating_sub(due.at_us));
            let mono_us = now.mono_us - early_us;
            // Nor is it told that its clock jumped: it checks for that at the next input.
            let wall_ms = told.wall_ms + mono_us.saturating_sub(told.mono_us) / 1000;
            let now = Now { mono_us, wall_ms };
            alive.told = now;
            let mut bytes = Vec::new();
            for (link, room) in output.rooms.clone() {
                if room > 0 && alive.endpoint.poll_transmit(now, link, &mut bytes) {
                    output.send(link, core::mem::take(&mut bytes));
                }
            }
            output.requests.extend(alive.endpoint.poll_store());
            output.events.extend(alive.endpoint.poll_event());
        });
        let pending = !(output.sends.is_empty() && output.requests.is_empty() && output.events.is_empty());
        if found.is_some() && pending {
            let (sends, requests, events) = (output.sends.len(), output.requests.len(), output.events.len());
            let text = format!("pending without a wake-up: {sends} sends, {requests} requests, {events} events");
            self.violation(OracleId::O11, Some(peer), text);
            self.carry_out(peer, output);
        }
    }

    /// Ends a process without warning; the first `keep` volatile commits survive. If it ends in `silence`, like a
    /// machine without power, the other ends are not told.
    pub(super) fn end(&mut self, peer: usize, keep: usize, silence: bool) {
        let Some(alive) = self.nodes[peer].alive.take() else { return };
        if alive.links.len() > alive.up.len() {
            self.mark(Mark::CrashInHandshake);
        }
        if !alive.edits.is_empty() {
            self.mark(Mark::CrashWithEdits);
        }
        if silence && !alive.links.is_empty() {
            self.mark(Mark::CrashSilent);
        }
        let after = alive.store.crash(keep);
        let kept = after.rows() != alive.store.rows();
        self.mark(if kept { Mark::KeptCommits } else { Mark::LostCommits });
        if super::database::builds_index(&after) {
            self.mark(Mark::CrashInBuild);
        }
        self.remember(peer, &alive);
        let node = &mut self.nodes[peer];
        node.disk = after;
        (node.calm_since_us, node.fails_read) = (u64::MAX, None);
        node.resumes = true;
        node.life += 1;
        self.point(peer, Point::Crashed, None, &[]);
        let is_silent = silence && !alive.links.is_empty();
        self.detail(|| Detail { note: if is_silent { SILENT.to_owned() } else { String::new() }, ..Detail::default() });
        for (conn, end) in alive.links.values() {
            if silence {
                self.vanish(*conn, *end);
            } else {
                self.hang_up(*conn, *end);
            }
        }
    }

    /// Returns whether the run is in its second phase, in which nothing may fail any more.
    pub(super) fn is_healing(&self) -> bool {
        self.phase >= Phase::Healing
    }
}
