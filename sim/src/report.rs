//! What a run found.

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
    /// Whoever has something to say has said when it wants to be woken.
    O11,
    /// No panic.
    O12,
    /// The same operations under another schedule give the same value.
    O13,
    /// Nothing is hidden or gone that nobody deleted who saw it, and nothing else is shown.
    O14,
    /// At rest an index holds what the documents say.
    O15,
    /// An answer is what the documents say.
    O16,
    /// The answer that a live query told is the one that the query has.
    O17,
    /// Each request is answered once.
    O18,
    /// Documents are told to be valid by what they and their schema say.
    O19,
    /// What the feed tells is durable, in order and whole.
    O20,
    /// Whoever is bound by rules is told of what these let out, and of nothing else.
    O21,
}

impl OracleId {
    /// Every oracle.
    pub const ALL: [Self; 20] = [
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
    ];

    /// What it demands, in one sentence for people. `spec/invariants.md` says it in full.
    pub const fn demands(self) -> &'static str {
        match self {
            Self::O1 => "peers that are connected and keep everything end with equal documents",
            Self::O2 => "no edit is lost once it was reported safe",
            Self::O3 => {
                "what a peer shows never goes back, nor comes before what it builds on, nor shows half a transaction"
            }
            Self::O4 => "what a peer shows is what its stored entries say, no more and no less",
            Self::O6 => "nothing readable goes over a wire or onto a disk, and no nonce is used twice",
            Self::O7 => "a peer at rest keeps nothing queued, open or in memory that nobody asked for",
            Self::O8 => {
                "once faults have ended the peers agree in time and fall silent; honest links end without error, and every run ends"
            }
            Self::O9 => "connecting again, and time passing, change nothing once all have everything",
            Self::O10 => "after a restart everything is there that was durable before",
            Self::O11 => "a peer with something to do has said when it wants to be woken",
            Self::O12 => "the core never panics",
            Self::O13 => "a peer that joins late and learns all from two others shows the same as they do",
            Self::O14 => {
                "what nobody deleted who saw it is shown or listed, what somebody did is neither, and documents are deleted only by those who saw all of them"
            }
            Self::O15 => "at rest each index is built and holds what the documents say, row by row",
            Self::O16 => "a query brings the documents that it means, each once and in order, those just written too",
            Self::O17 => "whoever follows a live query has the answer that the query has when it is asked again",
            Self::O18 => "each request is answered once, and none is refused for no reason",
            Self::O19 => "a document is told to be valid exactly if it is as its collection's schema says",
            Self::O20 => {
                "whoever reads the feed learns each durable change once, in order, and of nothing that a crash undoes"
            }
            Self::O21 => "whoever is bound by rules is told of exactly the documents that these let out",
        }
    }
}

impl core::fmt::Display for OracleId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// Who saw it.
    pub oracle: OracleId,
    /// When, in virtual microseconds.
    pub at_us: u64,
    /// On which peer, if on one.
    pub peer: Option<usize>,
    /// What, for people. It holds nothing that differs between runs of one plan.
    pub text: String,
}

/// Figures about a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// How long it took, in virtual microseconds.
    pub virtual_us: u64,
    /// How many events there were.
    pub events: u64,
    /// Edits that were taken.
    pub edits: u64,
    /// Edits that were reported durable.
    pub acked: u64,
    /// How often an oracle compared something.
    pub checks: u64,
    /// Bytes that peers sent.
    pub bytes: u64,
    /// Handshakes, and commits of others' entries, whose signatures peers verified.
    pub verifications: u64,
    /// Faults that took effect.
    pub faults: u64,
    /// How long convergence took after heal, in virtual microseconds; none if it did not come.
    pub converged_us: Option<u64>,
    /// How often each mark of [`crate::coverage`] was passed.
    pub marks: BTreeMap<String, u64>,
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When, in virtual microseconds.
    pub at_us: u64,
    /// On which peer.
    pub peer: usize,
    /// The how manieth record of that peer.
    pub index: u64,
    /// The (peer, index) of the record that caused it, if it came from another peer.
    pub cause: Option<(usize, u64)>,
    /// What: a point of [`crate::coverage::POINTS`], or an action.
    pub kind: String,
    /// A hash of what came along with it.
    pub hash: u64,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Over every record of the run: equal hashes, equal runs.
    pub trace_hash: String,
    /// What must not be, in the order in which it was seen. The first one names the failure.
    pub violations: Vec<Violation>,
    /// Figures.
    pub stats: Stats,
    /// The records, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Record>>,
}

impl Report {
    /// Whether nothing was violated.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// The oracle that was violated first.
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
