//! The world: one heap of events in virtual time around the endpoints of a plan.
//!
//! Ties are broken by (time, peer, sequence). The world carries bytes, rows and commands, as a node's runtime does,
//! and drives each core with the shipped loop. It never looks into the protocol.

mod clock;
mod content;
mod database;
mod driven;
mod events;
mod fault;
mod found;
mod heal;
mod members;
mod net;
mod node;
mod start;
mod state;
mod store;
mod work;

use crate::app::App;
use crate::coverage::{Mark, POINTS, Point};
use crate::oracle::Model;
use crate::plan::{Plan, When};
use crate::random::Keyed;
use crate::report::{OracleId, Report, Stats, Unmet, Violation};
use crate::trace::{Cause, Detail, Tracer};
use cosmicsync_protocol::storage::StoreId;
use cosmicsync_protocol::testkit::limits;
pub(crate) use net::Conn;
use net::Route;
use node::Node;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use content::{DRAFT, tokens_of};
pub(crate) use found::{partition_name, partition_of};
pub(crate) use members::{Piece, Pieces, Supply, pieces_of};
pub(crate) use node::Alive;
pub(crate) use start::{config, recover};
pub(crate) use work::{COLLECTION, doc_id};

/// Most violations that a report lists.
const VIOLATIONS_MAX: usize = 64;

/// A scheduled event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Bytes arrive at the end of a connection.
    Deliver { conn: u64, way: usize },
    /// An end of a connection is told that it is gone.
    Lost { conn: u64, end: usize },
    /// A sender may have room again.
    Room { conn: u64, end: usize },
    /// A store request completes.
    Stored { peer: usize, life: u32 },
    /// A read beside the commits completes.
    ReadBeside { peer: usize, life: u32, id: StoreId },
    /// A core is due to be woken.
    Wake { peer: usize, life: u32 },
    /// A link is due to be dialled.
    Dial { route: usize, attempt: u64 },
    /// A dial succeeds or fails.
    Dialled { route: usize, attempt: u64, reached: bool },
    /// An action of the plan.
    Act(usize),
    /// A peer starts.
    Start { peer: usize, life: u32 },
    /// A link is reset again.
    Flap { route: usize, up_us: u64, left: u32 },
    /// Phase one ends.
    Heal,
    /// A check for the end of a phase.
    Look,
}

#[derive(Debug, PartialEq, Eq)]
struct Scheduled {
    at_us: u64,
    peer: usize,
    sequence: u64,
    what: What,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at_us, self.peer, self.sequence).cmp(&(other.at_us, other.peer, other.sequence))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Anything may fail; nothing unsafe may happen.
    Faults,
    /// Nothing fails any more; the core must converge.
    Healing,
    /// The core has converged; nothing may change any more.
    Quiet,
    /// Everything is exchanged again on new connections; still nothing may change.
    Again,
    /// The run is over.
    Over,
}

/// The world of a run: peers, connections, the heap of events, the model and the records.
#[derive(Debug)]
pub(crate) struct World<'p> {
    pub(crate) plan: &'p Plan,
    /// The app under simulation.
    pub(crate) app: Option<&'p App>,
    /// The peers and lives in which the app's schemas were declared.
    pub(crate) declared: BTreeSet<(usize, u32)>,
    pub(crate) keyed: Keyed,
    pub(crate) now_us: u64,
    heap: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) routes: Vec<Route>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    pub(crate) phase: Phase,
    /// For each peer, true if the peer is in the core, which lives on in phase two.
    pub(crate) core: Vec<bool>,
    healed_us: u64,
    quiet: heal::Summary,
    /// True if a peer edited a document while all links were down, at rest.
    pub(crate) is_edited: bool,
    /// Number of bytes sent at the last change of that number, and its time.
    still: (u64, u64),
    pub(crate) model: Model,
    tracer: Tracer,
    pub(crate) stats: Stats,
    violations: Vec<Violation>,
    /// Missing state at the end of the bound on agreement.
    unmet: Vec<Unmet>,
    /// Findings of oracles in stores.
    found: database::Found,
    points: Vec<[u64; POINTS.len()]>,
    marks: BTreeMap<Mark, u64>,
    /// Actions that wait for a point: (peer, point, nth).
    awaited: BTreeMap<(usize, &'static str, u64), Vec<usize>>,
    /// Actions that wait for an event of the run.
    at_event: BTreeMap<u64, Vec<usize>>,
}

impl<'p> World<'p> {
    /// Makes the world before the first event.
    pub(crate) fn new(plan: &'p Plan, keep_trace: bool) -> Self {
        let peers = plan.peers.len();
        let keyed = Keyed::new(plan.seed);
        let origins = found::stores(peers, plan.partitions, plan.core.acquainted);
        let nodes = plan.peers.iter().zip(origins).map(|(peer, store)| Node::new(peer, store)).collect();
        let mut core = vec![plan.bounds.core.is_empty(); peers];
        plan.bounds.core.iter().for_each(|peer| core[*peer] = true);
        // What was met before this run is not its own.
        limits::take().for_each(drop);
        let mut world = Self {
            plan,
            app: None,
            declared: BTreeSet::new(),
            keyed,
            now_us: 0,
            heap: BinaryHeap::new(),
            sequence: 0,
            nodes,
            routes: plan.links.iter().map(Route::new).collect(),
            conns: BTreeMap::new(),
            next_conn: 0,
            phase: Phase::Faults,
            core,
            healed_us: 0,
            quiet: heal::Summary::default(),
            is_edited: false,
            still: (0, 0),
            model: Model::default(),
            tracer: Tracer::new(peers, keep_trace),
            stats: Stats::default(),
            violations: Vec::new(),
            unmet: Vec::new(),
            found: database::Found::default(),
            points: vec![[0; POINTS.len()]; peers],
            marks: BTreeMap::new(),
            awaited: BTreeMap::new(),
            at_event: BTreeMap::new(),
        };
        world.set_up();
        world
    }

    /// Prepares the run of an app.
    pub(crate) fn with_app(plan: &'p Plan, keep_trace: bool, app: &'p App) -> Self {
        Self { app: Some(app), ..Self::new(plan, keep_trace) }
    }

    fn set_up(&mut self) {
        for (at, action) in self.plan.actions.iter().enumerate() {
            match &action.when {
                When::AtUs(at_us) => self.schedule(*at_us, usize::MAX, What::Act(at)),
                When::Event(nth) => self.at_event.entry(*nth).or_default().push(at),
                When::After(after) => {
                    let point = POINTS.iter().find(|point| **point == after.event).copied().unwrap_or_default();
                    self.awaited.entry((after.peer, point, after.nth)).or_default().push(at);
                }
            }
        }
        for peer in 0..self.nodes.len() {
            if !self.plan.peers[peer].absent {
                self.start(peer, None);
            }
        }
        for route in 0..self.routes.len() {
            if !self.plan.links[route].idle {
                self.dial_later(route, 0);
            }
        }
        self.schedule(self.plan.bounds.phase_one_us, usize::MAX, What::Heal);
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> Report {
        while self.phase != Phase::Over {
            let Some(Reverse(next)) = self.heap.pop() else { break };
            self.now_us = next.at_us;
            self.stats.events += 1;
            if self.stats.events > self.plan.bounds.events {
                let text = format!("{} events and no end", self.plan.bounds.events);
                self.violation(OracleId::O8, None, text);
                break;
            }
            // Calls of peers are guarded on their own; this guards the replicas that oracles make of stores.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.handle(next.what))) {
                self.violation(OracleId::O12, None, format!("a fresh replica panicked: {}", node::said(&*panic)));
                break;
            }
            if let Some(actions) = self.at_event.remove(&self.stats.events) {
                actions.into_iter().for_each(|action| self.act(action));
            }
        }
        self.report()
    }

    fn handle(&mut self, what: What) {
        match what {
            What::Deliver { conn, way } => self.deliver(conn, way),
            What::Lost { conn, end } => self.lose(conn, end),
            What::Room { conn, end } => self.give_room(conn, end),
            What::Stored { peer, life } => self.stored(peer, life),
            What::ReadBeside { peer, life, id } => self.read_beside(peer, life, id),
            What::Wake { peer, life } => self.wake(peer, life),
            What::Dial { route, attempt } => self.dial(route, attempt),
            What::Dialled { route, attempt, reached } => self.dialled(route, attempt, reached),
            What::Act(action) => self.act(action),
            What::Start { peer, life } => {
                if self.nodes[peer].life == life && self.nodes[peer].alive.is_none() {
                    self.start(peer, None);
                }
            }
            What::Flap { route, up_us, left } => self.flap(route, up_us, left),
            What::Heal => self.heal(),
            What::Look => self.look(),
        }
    }

    fn report(mut self) -> Report {
        self.stats.virtual_us = self.now_us;
        let verified = |peer| self.count(peer, Point::EntryReceived) + self.count(peer, Point::Shaken);
        self.stats.verifications = (0..self.nodes.len()).map(verified).sum();
        let mut marks: BTreeMap<String, u64> =
            self.marks.iter().map(|(mark, n)| (mark.name().to_owned(), *n)).collect();
        for (at, name) in POINTS.iter().enumerate() {
            let count: u64 = self.points.iter().map(|counts| counts[at]).sum();
            if count > 0 {
                marks.insert((*name).to_owned(), count);
            }
        }
        marks.extend(limits::take().map(|name| (name.to_owned(), 1)));
        self.stats.marks = marks;
        let (trace_hash, trace, acted) = self.tracer.finish();
        let (violations, stats, unmet) = (self.violations, self.stats, self.unmet);
        Report { trace_hash, violations, stats, unmet, acted, trace }
    }

    /// Schedules an event, at the present virtual time at the earliest.
    pub(crate) fn schedule(&mut self, at_us: u64, peer: usize, what: What) {
        self.sequence += 1;
        let at_us = at_us.max(self.now_us);
        self.heap.push(Reverse(Scheduled { at_us, peer, sequence: self.sequence, what }));
    }

    /// Records an event on a peer, and schedules the actions that waited for it. Returns its index in the trace.
    pub(crate) fn point(&mut self, peer: usize, point: Point, cause: Cause, payload: &[u8]) -> u64 {
        let index = self.tracer.record(self.now_us, peer, cause, point, payload);
        let count = &mut self.points[peer][point as usize];
        *count += 1;
        if !self.awaited.is_empty()
            && let Some(actions) = self.awaited.remove(&(peer, point.name(), *count))
        {
            for action in actions {
                let When::After(after) = &self.plan.actions[action].when else { continue };
                self.schedule(self.now_us + after.delay_us, usize::MAX, What::Act(action));
            }
        }
        index
    }

    /// Adds details to the newest record, if the trace is kept.
    pub(crate) fn detail(&mut self, detail: impl FnOnce() -> Detail) {
        self.tracer.detail(detail);
    }

    /// Adds a connection and a number of bytes to the newest record, if the trace is kept.
    pub(crate) fn detail_link(&mut self, conn: u64, bytes: Option<usize>, note: impl FnOnce() -> String) {
        if !self.tracer.keeps() {
            return;
        }
        let link = self.conns.get(&conn).map(|state| (state.route, conn));
        self.tracer.detail(|| Detail { link, bytes, note: note() });
    }

    /// Returns the number of occurrences of an event on a peer.
    pub(crate) fn count(&self, peer: usize, point: Point) -> u64 {
        self.points[peer][point as usize]
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        *self.marks.entry(mark).or_default() += 1;
    }

    /// Records a violation. The run continues.
    pub(crate) fn violation(&mut self, oracle: OracleId, peer: Option<usize>, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { oracle, at_us: self.now_us, peer, text });
        }
    }
}
