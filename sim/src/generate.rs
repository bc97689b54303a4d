//! The swarm generator: plans from seeds.
//!
//! Each seed switches on a random subset of the kinds of work and faults, so that rare combinations meet and a busy
//! kind does not drown the others. Seeds rot when this file changes: keep plans, not seeds.

mod databases;
mod sizes;

use crate::plan::{Act, Action, After, Bodies, Disk, How, Image, Key, Link, Peer, Plan, Sizes, Tampering, Way, When};
use crate::random::{Keyed, purpose};
use sizes::sizes;
use std::num::NonZeroU64;

/// Properties of generated plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Fewest and most peers.
    pub peers: (usize, usize),
    /// Fewest and most edits.
    pub edits: (u32, u32),
    /// Most faults.
    pub faults: u32,
    /// True if each seed switches on a random subset of the kinds of work and faults; otherwise all are on.
    pub swarm: bool,
    /// The subject of copies: it continues two to five times.
    pub copies: Copies,
    /// True if all peers make the same few documents, apart from each other, and change their members.
    pub apart: bool,
    /// True if peers run databases, and all work goes to these.
    pub databases: bool,
}

/// Subject of the copies in a plan, which continues two to five times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Nothing, except a store that a random fault may copy.
    None,
    /// A store: copied while its process runs, or restored from a copy.
    Stores,
    /// A store, or in other plans a process: resumed with its memory, at once or after hours of sleep.
    Processes,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            peers: (2, 5),
            edits: (5, 40),
            faults: 12,
            swarm: true,
            copies: Copies::None,
            apart: false,
            databases: false,
        }
    }
}

impl Profile {
    /// Returns the profile of plans with copies.
    pub fn of(copies: Copies) -> Self {
        Self { peers: (2, 6), copies, ..Self::default() }
    }

    /// Returns the profile of plans with copies, or in which all peers make the same documents, or both.
    pub fn named(copies: Copies, apart: bool) -> Self {
        let profile = if copies == Copies::None { Self::default() } else { Self::of(copies) };
        if apart { Self { edits: (15, 60), apart, ..profile } } else { profile }
    }
}

/// Draws random numbers, one after another.
struct Draws {
    keyed: Keyed,
    count: u64,
}

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.count += 1;
        self.keyed.below(&[purpose::GENERATE, self.count], bound)
    }

    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Draws a duration: short ones are as likely as long ones.
    fn span_us(&mut self, from: u64, to: u64) -> u64 {
        let magnitude = self.within(u64::from(from.max(1).ilog2()), u64::from(to.ilog2()));
        self.within(1 << magnitude, 2 << magnitude).clamp(from, to)
    }
}

/// Most events of a run: a converging run takes a few thousand, and a livelock is found sooner than in a scenario.
const EVENTS_MAX: u64 = 50_000;

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Insert,
    Large,
    Scribble,
    Set,
    Both,
    Delete,
    Import,
    Close,
    Hold,
    Create,
    Item,
    Make,
    Member,
}

const WORK: [Work; 13] = [
    Work::Insert,
    Work::Large,
    Work::Scribble,
    Work::Set,
    Work::Both,
    Work::Delete,
    Work::Import,
    Work::Close,
    Work::Hold,
    Work::Create,
    Work::Item,
    Work::Make,
    Work::Member,
];

/// The kinds of work if documents are made apart.
const APART: [Work; 6] = [Work::Insert, Work::Delete, Work::Close, Work::Hold, Work::Item, Work::Scribble];

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Reset,
    Stall,
    Partition,
    Quality,
    Pieces,
    Flap,
    Dials,
    Tamper,
    Crash,
    Stop,
    Rollback,
    Pause,
    SlowStore,
    FailStore,
    Clock,
    Bodies,
    Copy,
}

const FAULTS: [Fault; 17] = [
    Fault::Reset,
    Fault::Stall,
    Fault::Partition,
    Fault::Quality,
    Fault::Pieces,
    Fault::Flap,
    Fault::Dials,
    Fault::Tamper,
    Fault::Crash,
    Fault::Stop,
    Fault::Rollback,
    Fault::Pause,
    Fault::SlowStore,
    Fault::FailStore,
    Fault::Clock,
    Fault::Bodies,
    Fault::Copy,
];

/// Makes the plan of a seed. Equal arguments give equal plans in one version of the program.
pub fn generate(seed: u64, profile: &Profile) -> Plan {
    let seed = seed & (u64::MAX >> 1);
    let mut draws = Draws { keyed: Keyed::new(seed), count: 0 };
    let peers = draws.within(profile.peers.0 as u64, profile.peers.1 as u64) as usize;
    let mut plan = Plan { name: format!("swarm-{seed}"), ..Plan::quiet(seed, peers) };
    plan.links = topology(&mut draws, peers);
    settings(&mut draws, &mut plan, profile);
    let end_us = draws.span_us(1_000_000, 30_000_000);
    plan.bounds.phase_one_us = end_us;
    plan.bounds.events = EVENTS_MAX;
    if profile.databases {
        databases::work(&mut draws, &mut plan, profile, end_us);
    } else {
        work(&mut draws, &mut plan, profile, end_us);
    }
    faults(&mut draws, &mut plan, profile, end_us);
    core(&mut draws, &mut plan);
    partial(&mut draws, &mut plan);
    buffers(&mut draws, &mut plan);
    plan
}

/// Draws a tree, and perhaps more links: chains, stars, rings, and two peers that dial each other.
fn topology(draws: &mut Draws, peers: usize) -> Vec<Link> {
    let shape = draws.below(4);
    let mut links: Vec<Link> = (1..peers)
        .map(|peer| match shape {
            0 => Link::new(peer, peer - 1),
            1 => Link::new(peer, 0),
            2 => Link::new(0, peer),
            _ => Link::new(peer, draws.below(peer as u64) as usize),
        })
        .collect();
    for _ in 0..draws.below(peers as u64) {
        let (from, to) = (draws.below(peers as u64) as usize, draws.below(peers as u64) as usize);
        if from != to {
            links.push(Link::new(from, to));
        }
    }
    for link in &mut links {
        link.latency_us = draws.span_us(100, 300_000);
        link.jitter_us = if draws.once_in(2) { draws.span_us(10, 100_000) } else { 0 };
        link.bandwidth = if draws.once_in(6) { draws.span_us(20_000, 10_000_000) } else { 0 };
    }
    links
}

/// Gives some links so little room that senders must wait.
fn buffers(draws: &mut Draws, plan: &mut Plan) {
    for link in &mut plan.links {
        if draws.once_in(4) {
            link.buffer = NonZeroU64::new(draws.span_us(1_000, 64 * 1024)).unwrap_or(link.buffer);
        }
    }
}

fn settings(draws: &mut Draws, plan: &mut Plan, profile: &Profile) {
    // Partial replicas know ends of histories whose beginnings they lack.
    let partial_in = if profile.copies == Copies::None { 12 } else { 4 };
    let core = &mut plan.core;
    core.coalesce_us = draws.pick(&[0, 20_000, 20_000, 200_000]);
    core.recent_bytes = draws.pick(&[0, 2_000, 64 * 1024, 1 << 20]);
    core.idle_docs = draws.pick(&[0, 1, 2, 8]);
    core.run_bytes = draws.pick(&[1_000, 16 * 1024, 256 * 1024]);
    core.reads = draws.pick(&[1, 2, 16]);
    core.acquainted = !draws.once_in(4);
    core.late_us = draws.pick(&[0, 0, 1_000, 30_000]);
    core.read_us = draws.pick(&[30, 30, 5_000]);
    core.unicode = draws.once_in(2);
    core.rekey_messages = draws.pick(&[3, 20, 65_536]);
    core.sizes = (!draws.once_in(4)).then(|| sizes(draws));
    // A window takes three segments and an entry.
    let has_small_runs = |sizes: &Sizes| sizes.segment_bytes < 10_000 && sizes.gathered_bytes < 10_000;
    let may_be_small = core.sizes.as_ref().is_some_and(has_small_runs);
    core.window_bytes = if may_be_small { draws.pick(&[64 << 10, 1 << 20]) } else { draws.pick(&[1 << 20, 2 << 20]) };
    plan.partitions = draws.pick(&[0, 0, 0, 1, 2]) as u32;
    for peer in 0..plan.peers.len() {
        plan.peers[peer] = Peer {
            commit_us: draws.span_us(50, 20_000),
            skew_ms: if draws.once_in(5) { draws.within(0, 7_200_000) as i64 - 3_600_000 } else { 0 },
            bodies: if draws.once_in(partial_in) { Bodies::Newest(draws.within(1, 5)) } else { Bodies::All },
            ..Peer::default()
        };
    }
}

fn push(plan: &mut Plan, when: When, act: Act) {
    let id = plan.actions.len() as u32;
    plan.actions.push(Action { id, when, act });
}

fn subset<T: Copy>(draws: &mut Draws, all: &[T], swarm: bool) -> Vec<T> {
    let chosen: Vec<T> = all.iter().copied().filter(|_| !swarm || draws.once_in(2)).collect();
    if chosen.is_empty() { vec![draws.pick(all)] } else { chosen }
}

fn work(draws: &mut Draws, plan: &mut Plan, profile: &Profile, end_us: u64) {
    let mut kinds = subset(draws, if profile.apart { &APART } else { &WORK }, profile.swarm);
    kinds.push(Work::Insert);
    if plan.core.window_bytes < 100_000 && draws.once_in(3) {
        kinds.extend([Work::Large; 4]);
    }
    if profile.apart {
        kinds.extend([Work::Member; 6]);
    }
    let lists = kinds.contains(&Work::Item);
    let peers = plan.peers.len() as u64;
    let docs = draws.within(1, if profile.apart { 2 } else { 6 }) as u32;
    for doc in 0..docs {
        if profile.apart {
            made_apart(draws, plan, doc, end_us);
            continue;
        }
        let peer = draws.below(peers) as usize;
        let at_us = draws.below(end_us / 4 + 1);
        let items = lists && draws.once_in(2);
        push(plan, When::AtUs(at_us), Act::Create { peer, doc, items });
    }
    // Bursts and pauses: edits close in time race, edits far apart see one another.
    let mut at_us = 0;
    for _ in 0..draws.within(u64::from(profile.edits.0), u64::from(profile.edits.1)) {
        at_us = if draws.once_in(4) { draws.below(end_us) } else { (at_us + draws.span_us(100, 200_000)).min(end_us) };
        let kind = draws.pick(&kinds);
        let act = one_work(draws, kind, peers, docs, plan.partitions);
        push(plan, When::AtUs(at_us), act);
    }
}

/// Has most peers make a document, soon or late.
fn made_apart(draws: &mut Draws, plan: &mut Plan, doc: u32, end_us: u64) {
    let first = draws.below(plan.peers.len() as u64) as usize;
    for peer in 0..plan.peers.len() {
        if peer == first || !draws.once_in(3) {
            let at_us = draws.span_us(1, end_us / 2 + 1);
            push(plan, When::AtUs(at_us), Act::Make { peer, doc });
        }
    }
}

fn one_work(draws: &mut Draws, kind: Work, peers: u64, docs: u32, partitions: u32) -> Act {
    let peer = draws.below(peers) as usize;
    let doc = draws.below(u64::from(docs)) as u32;
    match kind {
        Work::Insert => Act::Insert { peer, doc, urgent: draws.once_in(3), bytes: 0 },
        Work::Large => Act::Insert { peer, doc, urgent: false, bytes: draws.span_us(100, 20_000) as u32 },
        Work::Scribble => {
            let (delete, insert) = (draws.below(6) as u32, draws.below(9) as u32);
            Act::Scribble { peer, doc, delete, insert, whole: draws.once_in(3) }
        }
        Work::Set => {
            let (field, value) = (draws.below(3) as u32, draws.below(100) as i64);
            Act::Set { peer, doc, field, value, remove: draws.once_in(4) }
        }
        Work::Both => {
            let step = partitions + 1;
            let others: Vec<u32> = (0..docs).filter(|other| *other != doc && other % step == doc % step).collect();
            if others.is_empty() {
                return Act::Insert { peer, doc, urgent: true, bytes: 10 };
            }
            Act::Both { peer, docs: [doc, draws.pick(&others)] }
        }
        Work::Delete => Act::Delete { peer, doc, deleted: !draws.once_in(3) },
        Work::Import => Act::Import { peer, docs: draws.within(1, 20) as u32, bytes: draws.below(300) as u32 },
        Work::Close => Act::Close { peer, doc },
        Work::Hold => Act::Hold { peer, doc, on: draws.once_in(2) },
        Work::Create => Act::Create { peer, doc, items: false },
        Work::Item => Act::Item { peer, doc },
        Work::Make => Act::Make { peer, doc },
        Work::Member => {
            let path = (0..draws.within(1, 3)).map(|_| draws.pick(&[Key::A, Key::B, Key::C])).collect();
            let how = draws.pick(&[
                How::Remove,
                How::Remove,
                How::Edit,
                How::Edit,
                How::Edit,
                How::Scalar,
                How::Text,
                How::List,
                How::Map,
                How::Map,
                How::Add,
            ]);
            Act::Member { peer, doc, path, how }
        }
    }
}

fn faults(draws: &mut Draws, plan: &mut Plan, profile: &Profile, end_us: u64) {
    let kinds = subset(draws, &FAULTS, profile.swarm);
    for _ in 0..draws.below(u64::from(profile.faults) + 1) {
        let kind = draws.pick(&kinds);
        let when = moment(draws, plan, end_us);
        for act in one_fault(draws, kind, plan, end_us) {
            push(plan, when.clone(), act);
        }
    }
    let ways: &[Twin] = match profile.copies {
        Copies::None => return,
        Copies::Stores => &[Twin::Stored],
        Copies::Processes => &[Twin::Stored, Twin::Stored, Twin::Slept, Twin::Resumed, Twin::Resumed, Twin::Resumed],
    };
    let way = draws.pick(ways);
    twins(draws, plan, way, end_us);
}

/// Kind of a plan's copies: copies of a store alone, or of a process that slept for hours, fork no log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twin {
    Stored,
    Slept,
    Resumed,
}

/// Continues one process two to five times; its copies may be copied too. Mostly it writes shortly before a copy,
/// and both write shortly after.
fn twins(draws: &mut Draws, plan: &mut Plan, way: Twin, end_us: u64) {
    let peers = plan.peers.len() as u64;
    let mut twins = vec![draws.below(peers) as usize];
    let count = draws.within(2, 5);
    push(plan, When::AtUs(draws.below(end_us / 2)), Act::Snapshot { peer: twins[0] });
    for _ in 1..count {
        let at_us = draws.within(end_us / 8, end_us);
        // A copy is put back, or becomes a copy of another one.
        let (of, peer) = (draws.pick(&twins), draws.below(peers) as usize);
        let is_kept = draws.once_in(4);
        let peer = if is_kept { twins[0] } else { peer };
        let act = match way {
            Twin::Stored => Act::Restart { peer, store: if is_kept { Disk::Snapshot } else { Disk::CloneOf(of) } },
            Twin::Slept | Twin::Resumed => {
                let of = if is_kept { Image::Snapshot } else { Image::Now(of) };
                let has_slept = way == Twin::Slept || draws.once_in(8);
                let slept_ms = if has_slept { draws.within(3_600_000, 86_400_000) } else { 0 };
                Act::Resume { peer, of, slept_ms }
            }
        };
        if draws.once_in(4) {
            push(plan, moment(draws, plan, end_us), act);
        } else {
            let near_us = [0; 3].map(|_| draws.span_us(1_000, 1_000_000));
            add_token(draws, plan, of, at_us.saturating_sub(near_us[0]));
            push(plan, When::AtUs(at_us), act);
            add_token(draws, plan, of, at_us + near_us[1]);
            add_token(draws, plan, peer, at_us + near_us[2]);
        }
        twins.push(peer);
    }
}

/// Types a token into some document.
fn add_token(draws: &mut Draws, plan: &mut Plan, peer: usize, at_us: u64) {
    if plan.databases {
        let act = databases::one_write(draws, peer);
        return push(plan, When::AtUs(at_us), act);
    }
    let doc = |action: &Action| {
        if let Act::Create { doc, .. } | Act::Make { doc, .. } = action.act { Some(doc) } else { None }
    };
    let docs: Vec<u32> = plan.actions.iter().filter_map(doc).collect();
    let (doc, urgent) = (draws.pick(&docs), draws.once_in(3));
    push(plan, When::AtUs(at_us), Act::Insert { peer, doc, urgent, bytes: 0 });
}

/// Draws a time, or a logical point at which something is under way.
fn moment(draws: &mut Draws, plan: &Plan, end_us: u64) -> When {
    const EVENTS: [&str; 10] = [
        "commit.submitted",
        "commit.durable",
        "entry.received",
        "handshake.done",
        "link.dialled",
        "edit.taken",
        "edit.acked",
        "bytes.received",
        "bytes.sent",
        "doc.changed",
    ];
    if draws.once_in(2) {
        return When::AtUs(draws.below(end_us));
    }
    let event = draws.pick(&EVENTS).to_owned();
    let peer = draws.below(plan.peers.len() as u64) as usize;
    let delay_us = if draws.once_in(2) { 0 } else { draws.below(2_000) };
    When::After(After { event, peer, nth: draws.within(1, 30), delay_us })
}

fn one_fault(draws: &mut Draws, kind: Fault, plan: &Plan, end_us: u64) -> Vec<Act> {
    let peer = draws.below(plan.peers.len() as u64) as usize;
    let for_us = draws.span_us(10_000, end_us);
    if plan.links.is_empty() && !matches!(kind, Fault::Crash | Fault::Stop | Fault::SlowStore | Fault::FailStore) {
        return Vec::new();
    }
    let link = draws.below(plan.links.len().max(1) as u64) as usize;
    let way = draws.pick(&[Way::Both, Way::Forth, Way::Back]);
    match kind {
        Fault::Reset => {
            vec![Act::Reset { link, after_bytes: if draws.once_in(3) { 0 } else { draws.span_us(1, 20_000) } }]
        }
        Fault::Stall => vec![Act::Stall { link, way, for_us }],
        Fault::Partition => {
            let sides = (0..plan.peers.len()).partition(|_| draws.once_in(2));
            vec![Act::Partition { sides: vec![sides.0, sides.1], for_us, reset: draws.once_in(2) }]
        }
        Fault::Quality => {
            let latency_us = draws.span_us(100, 2_000_000);
            let bandwidth = if draws.once_in(3) { draws.span_us(2_000, 1_000_000) } else { 0 };
            vec![Act::Quality { link, latency_us, jitter_us: draws.below(latency_us), bandwidth }]
        }
        Fault::Pieces if draws.once_in(3) => vec![Act::Gather { link, for_us: draws.span_us(1_000, 1_000_000) }],
        Fault::Pieces => vec![Act::Split { link, bytes: draws.pick(&[1, 2, 3, 7, 16, 17, 100, 1_000]) }],
        Fault::Flap => {
            vec![Act::Flap { link, up_us: draws.span_us(1_000, 3_000_000), times: draws.within(2, 8) as u32 }]
        }
        Fault::Dials if draws.once_in(2) => vec![Act::Refuse { link, for_us }, Act::Reset { link, after_bytes: 0 }],
        Fault::Dials => vec![Act::Unanswered { link, for_us }, Act::Reset { link, after_bytes: 0 }],
        Fault::Tamper => {
            let count = draws.within(1, 200) as u16;
            let with = match draws.below(5) {
                0 => Tampering::Drop(count),
                1 => Tampering::Repeat(count),
                2 => Tampering::Forge(count),
                3 => Tampering::Swap(count),
                _ => Tampering::Flip(draws.below(8) as u8),
            };
            vec![Act::Tamper { link, way, after_bytes: draws.span_us(1, 10_000), with }]
        }
        Fault::Crash => {
            let restart_us = Some(draws.span_us(1_000, end_us));
            let keep = draws.pick(&[0, 0, 1, 2, 100]);
            vec![Act::Crash { peer, keep, restart_us }]
        }
        Fault::Stop => vec![Act::Stop { peer, restart_us: draws.span_us(1_000, end_us) }],
        Fault::Rollback => match draws.below(3) {
            0 => vec![Act::Snapshot { peer }],
            1 => vec![Act::Restart { peer, store: Disk::Snapshot }],
            _ => vec![Act::Restart { peer, store: Disk::Wiped }],
        },
        Fault::Pause => vec![Act::Pause { peer, for_us }],
        Fault::SlowStore => vec![Act::SlowStore { peer, commit_us: draws.span_us(1_000, 2_000_000) }],
        Fault::FailStore => {
            let reopen_us = draws.span_us(1_000, 5_000_000);
            let (full, reads) = (draws.once_in(2), !plan.databases && draws.once_in(2));
            vec![Act::FailStore { peer, nth: draws.below(4), full, reads, reopen_us }]
        }
        Fault::Clock => {
            let jump_ms = draws.within(0, 86_400_000) as i64 - 43_200_000;
            vec![Act::Clock { peer, jump_ms, rate: draws.pick(&[0, 500, 990, 1000, 1010, 3000]) }]
        }
        Fault::Bodies => {
            vec![Act::Bodies { peer, bodies: bodies(draws) }]
        }
        Fault::Copy => {
            vec![Act::Restart { peer, store: Disk::CloneOf(draws.below(plan.peers.len() as u64) as usize) }]
        }
    }
}

fn bodies(draws: &mut Draws) -> Bodies {
    draws.pick(&[Bodies::All, Bodies::None, Bodies::Newest(1), Bodies::Newest(4)])
}

/// Sometimes has a peer keep its policy to the end, if the others reach each other without it.
fn partial(draws: &mut Draws, plan: &mut Plan) {
    if !draws.once_in(4) {
        return;
    }
    let peer = draws.below(plan.peers.len() as u64) as usize;
    let links = plan.links.iter().filter(|link| link.from == peer || link.to == peer).count();
    if plan.bounds.core.is_empty() && plan.peers.len() > 2 && links == 1 {
        plan.peers[peer].partial = true;
        plan.peers[peer].bodies = draws.pick(&[Bodies::None, Bodies::Newest(1), Bodies::Newest(3)]);
    }
}

/// Sometimes draws a smaller core: peers that are connected without the others.
fn core(draws: &mut Draws, plan: &mut Plan) {
    if plan.peers.len() < 3 || !draws.once_in(4) {
        return;
    }
    let size = draws.within(2, plan.peers.len() as u64 - 1) as usize;
    let mut core = vec![draws.below(plan.peers.len() as u64) as usize];
    while core.len() < size {
        let next = plan.links.iter().find_map(|link| match (core.contains(&link.from), core.contains(&link.to)) {
            (true, false) => Some(link.to),
            (false, true) => Some(link.from),
            _ => None,
        });
        let Some(next) = next else { break };
        core.push(next);
    }
    core.sort_unstable();
    plan.bounds.core = core;
}
