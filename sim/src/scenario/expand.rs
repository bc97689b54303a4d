//! Expands a scenario and a seed into a plan: every edit and fault spelled out.
//!
//! A draw depends only on the seed, the workload's place in the file, the peer and the number of the edit, so
//! changing one workload leaves the others unchanged.

mod fault;

use super::keys::{listed, nearest};
use super::problem::Problem;
use super::read::{Placed, meant};
use super::{Fault, Lane, LinkQuality, Scenario, ScenarioError, Span, Workload};
use crate::coverage;
use crate::plan::{self, Act, Action, Ask, Bounds, Change, Link, Peer, Plan};
use std::collections::BTreeSet;

/// Most actions of an expanded scenario.
const ACTIONS_MAX: usize = 200_000;

/// Time between the last edit or fault and the end of faults, unless the scenario sets that end, in microseconds.
const TAIL_US: u64 = 1_000_000;

/// Time between the edits of a history, in microseconds.
const HISTORY_STEP_US: u64 = 1_000;

/// A scenario with a seed, expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// The plan without the actions at every event.
    pub plan: Plan,
    /// Actions at every event; empty for most scenarios.
    pub at_every_event: Vec<Act>,
}

impl Expansion {
    /// Returns the plan with these actions after the nth event of the run.
    #[must_use]
    pub fn at_event(&self, nth: u64) -> Plan {
        let mut plan = self.plan.clone();
        let next = plan.actions.iter().map(|action| action.id + 1).max().unwrap_or(0);
        for (id, act) in (next..).zip(&self.at_every_event) {
            plan.actions.push(Action { id, when: plan::When::Event(nth), act: act.clone() });
        }
        plan
    }
}

impl Scenario {
    /// Draws a plan.
    ///
    /// # Errors
    /// Fails if the scenario does not allow the lane, or the file refers to peers, links or events that do not
    /// exist. The error lists all problems with their places.
    pub fn expand(&self, lane: Lane, seed: u64) -> Result<Expansion, ScenarioError> {
        self.check_lane(lane)?;
        let mut expander = self.expander(seed);
        expander.everything();
        let misfits = std::mem::take(&mut expander.problems);
        ScenarioError::check(misfits)?;
        Ok(expander.finish()?)
    }

    /// Returns the misfits of a scenario that was only read in part.
    pub(super) fn misfits(&self) -> Vec<Problem> {
        let mut expander = self.expander(0);
        expander.everything();
        expander.problems
    }

    pub(super) fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        Problem::at(&self.text, self.places.find(path), message)
    }

    /// Makes an expander with the bounds and nothing else.
    fn expander(&self, seed: u64) -> Expander<'_> {
        let head = &self.head;
        debug_assert_eq!(Bounds::default().events, 5_000_000, "the default of `events_max` is the plan's");
        let bounds = Bounds {
            phase_one_us: head.until.map_or(0, |until| until.us),
            converge_us: head.oracle.converge_within.us,
            round_trips: head.oracle.round_trips,
            events: head.oracle.events_max,
            core: head.oracle.alive.clone(),
        };
        let plan = Plan {
            databases: false,
            format: plan::FORMAT,
            name: head.name.clone(),
            // A plan's seed fits into TOML.
            seed: seed & (u64::MAX >> 1),
            core: head.core.plan(),
            partitions: head.topology.partitions,
            bounds,
            sometimes: head.oracle.sometimes.clone(),
            peers: Vec::new(),
            links: Vec::new(),
            actions: Vec::new(),
        };
        Expander { scenario: self, seed, plan, sweep: Vec::new(), until_us: 0, problems: Vec::new() }
    }
}

fn link_between(plan: &Plan, a: usize, b: usize) -> Option<usize> {
    plan.links.iter().position(|link| [link.from, link.to] == [a, b] || [link.from, link.to] == [b, a])
}

struct Expander<'a> {
    scenario: &'a Scenario,
    seed: u64,
    plan: Plan,
    sweep: Vec<Act>,
    /// Time of the last action, in microseconds.
    until_us: u64,
    problems: Vec<Problem>,
}

impl<'a> Expander<'a> {
    /// Expands all that the scenario asks for, as far as it fits together.
    fn everything(&mut self) {
        let (scenario, count) = (self.scenario, self.scenario.head.topology.peers);
        for (at, name) in scenario.head.oracle.sometimes.iter().enumerate() {
            if !coverage::is_mark(name) {
                let known = || coverage::POINTS.iter().chain(coverage::MARKS).copied();
                let message = format!("there is no `{name}` to be met{}", meant(nearest(name, known())));
                let problem = scenario.problem(&format!("oracle.sometimes.{at}"), message);
                self.problems.push(problem.help(format!("there are {}", listed(known()))));
            }
        }
        if !(1..=Plan::PEERS_MAX).contains(&count) {
            // Without peers, nothing that follows can be checked.
            return self.note("topology.peers", format!("there are 1 to {} peers", Plan::PEERS_MAX));
        }
        self.plan.peers = vec![Peer::default(); count];
        self.check_peers("oracle.alive", &scenario.head.oracle.alive);
        self.peers();
        self.links();
        self.documents();
        for (number, workload) in scenario.workloads.iter().enumerate() {
            self.workload(number as u64, workload);
        }
        for fault in &scenario.faults {
            self.fault(fault);
        }
    }

    fn note(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(self.scenario.problem(path, message));
    }

    /// Records that a key asks for something impossible.
    fn refuse(&mut self, placed: &Placed<impl Sized>, key: &str, message: impl Into<String>) {
        self.note(&format!("{}.{key}", placed.path), message);
    }

    /// Returns whether all of these peers exist; records the first that does not.
    fn check_peers(&mut self, path: &str, peers: &[usize]) -> bool {
        let count = self.plan.peers.len();
        let missing = peers.iter().find(|peer| **peer >= count);
        if let Some(peer) = missing {
            self.note(path, format!("there is no peer {peer}: the peers are 0 to {}", count.saturating_sub(1)));
        }
        missing.is_none()
    }

    fn check_peer(&mut self, placed: &Placed<impl Sized>, key: &str, peer: usize) -> bool {
        self.check_peers(&format!("{}.{key}", placed.path), &[peer])
    }

    fn peers(&mut self) {
        for placed in &self.scenario.peers {
            let entry = &placed.what;
            if !self.check_peer(placed, "peer", entry.peer) {
                continue;
            }
            self.plan.peers[entry.peer] = Peer {
                name: entry.name.clone(),
                bodies: entry.bodies.into(),
                partial: entry.partial,
                absent: entry.absent,
                skew_ms: entry.skew.ms,
                commit_us: entry.commit.us,
                minors: entry.minors,
                feature: entry.feature.map(|id| plan::Feature { id, critical: entry.critical }),
            };
        }
        // The peer that starts as the copy of another is absent before.
        for fault in &self.scenario.faults {
            if let Fault::Clone { peer, of } | Fault::Resume { peer, of: Some(of), .. } = fault.what
                && peer != of
                && let Some(peer) = self.plan.peers.get_mut(peer)
            {
                peer.absent = true;
            }
        }
    }

    fn links(&mut self) {
        let LinkQuality { latency, jitter, bandwidth, buffer } = self.scenario.head.topology.link;
        let base = |from, to| {
            let link = Link::new(from, to);
            let latency_us = latency.map_or(link.latency_us, |latency| latency.us);
            let buffer = buffer.unwrap_or(link.buffer);
            Link { latency_us, jitter_us: jitter.us, bandwidth, buffer, ..link }
        };
        let shaped = self.scenario.head.topology.shape.links(self.plan.peers.len());
        self.plan.links = shaped.into_iter().map(|(from, to)| base(from, to)).collect();
        for placed in &self.scenario.links {
            let (entry, [from, to]) = (&placed.what, placed.what.between);
            if !self.check_peers(&format!("{}.between", placed.path), &[from, to]) {
                continue;
            }
            if from == to {
                self.refuse(placed, "between", "a link leads from one peer to another");
                continue;
            }
            let at = link_between(&self.plan, from, to).unwrap_or_else(|| {
                self.plan.links.push(base(from, to));
                self.plan.links.len() - 1
            });
            let link = &mut self.plan.links[at];
            link.idle = entry.idle;
            link.latency_us = entry.latency.map_or(link.latency_us, |latency| latency.us);
            link.jitter_us = entry.jitter.map_or(link.jitter_us, |jitter| jitter.us);
            link.bandwidth = entry.bandwidth.unwrap_or(link.bandwidth);
            link.buffer = entry.buffer.unwrap_or(link.buffer);
        }
    }

    fn push(&mut self, when: plan::When, act: Act) {
        let id = self.plan.actions.len() as u32;
        self.plan.actions.push(Action { id, when, act });
    }

    fn push_at(&mut self, at_us: u64, act: Act) {
        self.until_us = self.until_us.max(at_us);
        self.push(plan::When::AtUs(at_us), act);
    }

    /// Makes a document, with a list if any workload adds items to it.
    fn create(&mut self, at_us: u64, peer: usize, doc: u32) {
        let adds = |work: &Placed<Workload>| matches!(&work.what, Workload::Items { docs, .. } if docs.contains(&doc));
        let items = self.scenario.workloads.iter().any(adds);
        self.push_at(at_us, Act::Create { peer, doc, items });
    }

    /// Has peer 0 make, at the start, every document that is written to and that no `create` makes.
    fn documents(&mut self) {
        let (mut named, mut made) = (BTreeSet::new(), BTreeSet::new());
        for workload in &self.scenario.workloads {
            match &workload.what {
                Workload::Create { docs, .. } => made.extend(docs.iter().copied()),
                Workload::TextEdits { docs, .. }
                | Workload::Scribbles { docs, .. }
                | Workload::Items { docs, .. }
                | Workload::Fields { docs, .. }
                | Workload::Deletes { docs, .. }
                | Workload::Reads { docs, .. } => named.extend(docs.iter().copied()),
                Workload::Transactions { docs, .. } => named.extend(docs.iter().copied()),
                Workload::History { doc, .. } => {
                    named.insert(*doc);
                }
                Workload::Import { .. } | Workload::Database { .. } => {}
            }
        }
        for doc in named.difference(&made) {
            self.create(0, 0, *doc);
        }
    }

    fn workload(&mut self, number: u64, placed: &Placed<Workload>) {
        match &placed.what {
            Workload::Create { peer, docs, at } => {
                self.check_peer(placed, "peer", *peer);
                docs.iter().for_each(|doc| self.create(at.us, *peer, *doc));
            }
            Workload::TextEdits { peers, docs, rate_hz, at, until, bytes, urgent } => {
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                let (bytes, urgent) = (*bytes, *urgent);
                self.paced(number, placed, pace, |peer, doc, _| Act::Insert { peer, doc, urgent, bytes });
            }
            Workload::Scribbles { peers, docs, rate_hz, at, until } => {
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, doc, draw| Act::Scribble {
                    peer,
                    doc,
                    delete: (draw % 4) as u32,
                    insert: (draw / 4 % 8) as u32,
                    whole: false,
                });
            }
            Workload::Items { peers, docs, rate_hz, at, until } => {
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, doc, _| Act::Item { peer, doc });
            }
            Workload::Fields { peers, docs, rate_hz, at, until } => {
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, doc, draw| Act::Set {
                    peer,
                    doc,
                    field: (draw % 8) as u32,
                    value: (draw / 8 % 1_000) as i64,
                    remove: false,
                });
            }
            Workload::Transactions { peers, docs, rate_hz, at, until } => {
                if self.plan.partition(docs[0]) != self.plan.partition(docs[1]) {
                    self.refuse(placed, "docs", "a transaction stays in one partition");
                }
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, _, _| Act::Both { peer, docs: *docs });
            }
            Workload::Deletes { peers, docs, rate_hz, at, until } => {
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, doc, draw| Act::Delete { peer, doc, deleted: draw % 2 == 0 });
            }
            Workload::Reads { peers, docs, rate_hz, at, until } => {
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, doc, draw| {
                    if draw % 2 == 0 { Act::Open { peer, doc } } else { Act::Close { peer, doc } }
                });
            }
            Workload::History { peer, doc, entries, at } => {
                self.check_peer(placed, "peer", *peer);
                if *entries as usize > ACTIONS_MAX {
                    return self.refuse(placed, "entries", format!("there are at most {ACTIONS_MAX} edits"));
                }
                for entry in 0..u64::from(*entries) {
                    let at_us = at.us + HISTORY_STEP_US * (entry + 1);
                    self.push_at(at_us, Act::Insert { peer: *peer, doc: *doc, urgent: true, bytes: 0 });
                }
            }
            Workload::Import { peer, count, bytes, at } => {
                self.check_peer(placed, "peer", *peer);
                self.push_at(at.us, Act::Import { peer: *peer, docs: *count, bytes: *bytes });
            }
            Workload::Database { peers, docs, rate_hz, at, until } => {
                self.plan.databases = true;
                if let Some(peer) = peers.first() {
                    let what = Ask::Index { place: 0, index: 0, change: Change::Create };
                    self.push_at(at.us, Act::Ask { peer: *peer, what });
                }
                for peer in peers {
                    self.push_at(at.us, Act::Ask { peer: *peer, what: Ask::Follow { place: 0 } });
                }
                let pace = Pace { peers, docs, rate_hz: *rate_hz, at: *at, until: *until };
                self.paced(number, placed, pace, |peer, doc, draw| Act::Ask { peer, what: request(doc, draw) });
            }
        }
    }

    fn paced(&mut self, number: u64, placed: &Placed<Workload>, pace: Pace<'_>, act: impl Fn(usize, u32, u64) -> Act) {
        let before = self.problems.len();
        if pace.peers.is_empty() {
            self.refuse(placed, "peers", "name at least one peer");
        }
        self.check_peers(&format!("{}.peers", placed.path), pace.peers);
        if pace.docs.is_empty() {
            self.refuse(placed, "docs", "name at least one document");
        }
        if !(pace.rate_hz > 0.0 && pace.rate_hz <= 10_000.0) {
            self.refuse(placed, "rate_hz", "a rate is above 0 and at most 10000 a second");
        }
        if pace.until <= pace.at {
            self.refuse(placed, "until", format!("it ends before it begins, at {}", pace.at));
        }
        if self.problems.len() > before {
            return;
        }
        let step_us = ((1_000_000.0 / pace.rate_hz) as u64).max(1);
        let times = (pace.until.us - pace.at.us).div_ceil(step_us);
        if times.saturating_mul(pace.peers.len() as u64) > ACTIONS_MAX as u64 {
            return self.refuse(placed, "rate_hz", format!("that makes more than {ACTIONS_MAX} edits"));
        }
        for nth in 0..times {
            for peer in pace.peers {
                let draw = |what: u64| keyed(self.seed, [number, *peer as u64, nth, what]);
                let at_us = pace.at.us + nth * step_us + draw(0) % step_us;
                let doc = pace.docs[(draw(1) % pace.docs.len() as u64) as usize];
                if at_us < pace.until.us {
                    self.push_at(at_us, act(*peer, doc, draw(2)));
                }
            }
        }
    }

    /// Finishes the plan: sets the end of faults, and checks that the plan can be run.
    fn finish(mut self) -> Result<Expansion, Problem> {
        if self.plan.actions.len() > ACTIONS_MAX {
            return Err(self.scenario.problem("", format!("that makes more than {ACTIONS_MAX} edits and faults")));
        }
        if self.plan.bounds.phase_one_us == 0 {
            self.plan.bounds.phase_one_us = self.until_us + TAIL_US;
        } else if self.plan.bounds.phase_one_us < self.until_us {
            let message = format!("faults end here, but the last edit or fault is at {}", Span { us: self.until_us });
            return Err(self.scenario.problem("until", message));
        }
        self.plan.check().map_err(|error| self.scenario.problem("", error.to_string()))?;
        Ok(Expansion { plan: self.plan, at_every_event: self.sweep })
    }
}

/// Returns a request to a database.
const fn request(doc: u32, draw: u64) -> Ask {
    match draw % 10 {
        0..=2 => Ask::Put { doc },
        3 | 4 => Ask::Patch { doc },
        5 => Ask::Delete { doc },
        6 => Ask::Undelete { doc },
        7 | 8 => Ask::Find { place: 0, index: Some(0) },
        _ => Ask::Check,
    }
}

/// Peers, documents, rate and time of repeated edits.
struct Pace<'a> {
    peers: &'a [usize],
    docs: &'a [u32],
    rate_hz: f64,
    at: Span,
    until: Span,
}

/// Returns a number that depends only on the seed and its purpose.
fn keyed(seed: u64, what: [u64; 4]) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync scenario 1");
    hasher.update(&seed.to_le_bytes());
    for part in what {
        hasher.update(&part.to_le_bytes());
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
