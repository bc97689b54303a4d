//! The findings of a run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The oracles, as numbered in `spec/invariants.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OracleId {
    /// Convergence: equal values and versions on all live, connected replicas.
    O1,
    /// No acknowledged write is lost.
    O2,
    /// Versions never go back; nothing is seen before what it builds on; transactions are seen whole.
    O3,
    /// The versions cover the union of entries, and a replay into a fresh replica gives the same value.
    O4,
    /// No plaintext in a frame or on a disk; no nonce twice.
    O6,
    /// Every queue under its limit; memory back to its baseline.
    O7,
    /// Liveness after heal; no livelock.
    O8,
    /// Duplicates and replays change nothing.
    O9,
    /// The state after a restart is a durable prefix.
    O10,
    /// A peer with a pending output has asked to be woken.
    O11,
    /// No panic.
    O12,
    /// The same operations under another schedule give the same value.
    O13,
    /// Only content that a deletion saw is hidden or gone; nothing else is shown.
    O14,
    /// At rest, an index matches the documents.
    O15,
    /// A query's answer matches the documents.
    O16,
    /// The answer of a live query equals that of the query.
    O17,
    /// Each request is answered once.
    O18,
    /// A document is reported valid exactly if it matches its schema.
    O19,
    /// The feed reports every durable change, once and in order.
    O20,
    /// A client whom rules bind is shown what they allow, and nothing else.
    O21,
    /// An edit has the effect that it names, and concurrent ones leave an allowed value.
    O22,
    /// Callers are told the truth, and once.
    O23,
    /// A stop in good order keeps all edits; edits are safe in time, and links are back in time.
    O24,
    /// Peers that know each other reconnect cheaply.
    O25,
    /// Credit adds up, and caches keep within their limits.
    O26,
    /// Partial replicas hold what their policy says.
    O27,
    /// A rule of an app: see [`App`](crate::App). Not part of [`Self::ALL`].
    App,
}

impl OracleId {
    /// Every oracle of the specification.
    pub const ALL: [Self; 26] = [
        Self::O1,
        Self::O2,
        Self::O3,
        Self::O4,
        Self::O6,
        Self::O7,
        Self::O8,
        Self::O9,
        Self::O10,
        Self::O11,
        Self::O12,
        Self::O13,
        Self::O14,
        Self::O15,
        Self::O16,
        Self::O17,
        Self::O18,
        Self::O19,
        Self::O20,
        Self::O21,
        Self::O22,
        Self::O23,
        Self::O24,
        Self::O25,
        Self::O26,
        Self::O27,
    ];

    /// Returns the oracle's demand, in one sentence for people. `spec/invariants.md` gives it in full.
    pub const fn demands(self) -> &'static str {
        match self {
            Self::O1 => "peers that are connected and keep everything end with equal documents",
            Self::O2 => "no edit is lost once it was reported safe",
            Self::O3 => {
                "what a peer shows never goes back, nor comes before what it builds on, nor shows half a transaction"
            }
            Self::O4 => "what a peer shows is what its stored entries say, no more and no less",
            Self::O6 => "nothing readable goes over a wire or onto a disk, and no nonce is used twice",
            Self::O7 => "a peer at rest keeps nothing queued, open or in memory without a request for it",
            Self::O8 => {
                "once faults have ended the peers agree in time and fall silent; honest links end without error, and every run ends"
            }
            Self::O9 => "reconnecting and waiting change nothing once all peers have everything",
            Self::O10 => "a restart loses nothing that was durable",
            Self::O11 => "a peer with work to do has announced a deadline",
            Self::O12 => "the core never panics",
            Self::O13 => "a peer that joins late and learns all from two others shows the same as they do",
            Self::O14 => {
                "content is shown or listed unless somebody who had seen it deleted it; only somebody who had seen a whole document deletes the document"
            }
            Self::O15 => "at rest each index is built and holds what the documents say, row by row",
            Self::O16 => {
                "a query returns the documents that match it, each once and in order, including those just written"
            }
            Self::O17 => "a live query and the same query run again have the same answer",
            Self::O18 => "each request is answered once, and none is refused without a reason",
            Self::O19 => "a document is reported valid exactly if it matches the schema of its collection",
            Self::O20 => "the feed reports each durable change once and in order, and no change that a crash undoes",
            Self::O21 => "a client whom rules bind is shown exactly the documents that the rules allow",
            Self::O22 => "an edit does what it says, and concurrent edits leave a value that one of them explains",
            Self::O23 => "each edit has one verdict that is true, each change is announced, and figures are right",
            Self::O24 => "a stop in good order loses nothing; edits are safe, and links back, within their bounds",
            Self::O25 => "peers that know each other and have nothing new reconnect without comparing their logs",
            Self::O26 => "credit is neither lost nor made, and caches keep within their limits",
            Self::O27 => "a partial replica holds the entries that its policy names",
            Self::App => "the rules of the app itself hold; the one that is broken is named",
        }
    }
}

impl core::fmt::Display for OracleId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// A violation of an oracle's demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// The oracle that found the violation.
    pub oracle: OracleId,
    /// Time of the violation, in virtual microseconds.
    pub at_us: u64,
    /// The peer, if the violation concerns one.
    pub peer: Option<usize>,
    /// Description, for people. It contains nothing that differs between runs of one plan.
    pub text: String,
}

/// Figures about a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// Duration, in virtual microseconds.
    pub virtual_us: u64,
    /// Number of events.
    pub events: u64,
    /// Number of edits that were taken.
    pub edits: u64,
    /// Number of edits that were reported durable.
    pub acked: u64,
    /// Number of actions that nobody took, because their peer was stopped or paused.
    #[serde(default)]
    pub missed: u64,
    /// Number of comparisons by oracles.
    pub checks: u64,
    /// Number of bytes that peers sent.
    pub bytes: u64,
    /// Number of handshakes, and of commits of others' entries, whose signatures peers verified.
    pub verifications: u64,
    /// Number of faults that took effect.
    pub faults: u64,
    /// Time from heal to convergence, in virtual microseconds; `None` if it did not come.
    pub converged_us: Option<u64>,
    /// Number of times that each mark of [`crate::coverage`] was passed.
    pub marks: BTreeMap<String, u64>,
    /// Number of times that each kind of fault found a peer in each of [`crate::coverage::STATES`], as `crash syncing`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hits: BTreeMap<String, u64>,
    /// The bound on agreement, once faults ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// The bound on the time to agree: the sum of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The moment it is measured from, in virtual microseconds: the end of faults, or the reconnection of all links.
    pub from_us: u64,
    /// True if that moment is the reconnection of all links.
    #[serde(default)]
    pub again: bool,
    /// Time that the plan allows.
    pub converge_us: u64,
    /// Time that the plan allows for round trips.
    pub round_trips_us: u64,
    /// Time for carrying all entries over narrow links.
    pub carrying_us: u64,
    /// Time for reconnecting.
    #[serde(default)]
    pub reconnect_us: u64,
}

impl Bound {
    /// Returns the sum.
    pub const fn total_us(&self) -> u64 {
        let waiting_us = self.round_trips_us.saturating_add(self.carrying_us).saturating_add(self.reconnect_us);
        self.converge_us.saturating_add(waiting_us)
    }
}

/// Something that was missing when the bound was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmet {
    /// The peer, if it is about one.
    pub peer: Option<usize>,
    /// Description, for people.
    pub text: String,
}

/// An action of the plan that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acted {
    /// Time, in virtual microseconds.
    pub at_us: u64,
    /// The action's id.
    pub action: u32,
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Time of the record, in virtual microseconds.
    pub at_us: u64,
    /// The peer.
    pub peer: usize,
    /// Number of the record on that peer.
    pub index: u64,
    /// The (peer, index) of the causing record, if that is another peer's.
    pub cause: Option<(usize, u64)>,
    /// A point of [`crate::coverage::POINTS`], or an action.
    pub kind: String,
    /// A hash of the record's data.
    pub hash: u64,
    /// Number of the plan's link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<usize>,
    /// Number of the connection, counted over the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// Number of bytes that were sent or received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Details, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The findings of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Hash over every record of the run: equal hashes mean equal runs.
    pub trace_hash: String,
    /// The violations, in the order in which they were seen. The first one names the failure.
    pub violations: Vec<Violation>,
    /// Figures.
    pub stats: Stats,
    /// Missing state at the end of the bound on agreement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<Unmet>,
    /// The actions of the plan that took effect, in order, if a trace was requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acted: Vec<Acted>,
    /// The records, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Record>>,
}

impl Report {
    /// Returns whether nothing was violated.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// Returns the oracle that was violated first.
    pub fn first(&self) -> Option<OracleId> {
        self.violations.first().map(|violation| violation.oracle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_oracle_is_in_the_specification() {
        let table = include_str!("../../spec/invariants.md");
        let numbered = table.lines().filter(|line| line.starts_with("| O")).count();
        assert_eq!(numbered, OracleId::ALL.len());
        assert!(OracleId::ALL.iter().all(|oracle| table.contains(&format!("\n| {oracle} | "))));
        assert_eq!(format!("{:>4}", OracleId::O8), "  O8", "as wide as it is asked to be");
    }
}
