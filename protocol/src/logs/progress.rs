//! Progress of a log: its highest head, the entries that are held and read, and the hashes at their edges
//! (`spec/storage.md`, section 2).

use crate::log::head::Head;
use crate::sync::ranges::Ranges;
use std::collections::BTreeMap;

/// Most chain hashes that are kept at the edges of held entries. Each takes about 100 bytes of the log's row,
/// with the signature that makes it a head.
pub(super) const EDGES_MAX: usize = 16;

/// Progress of a log in this store.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    /// The highest signed head known.
    pub(crate) tip: Option<Head>,
    /// Entries that are held.
    pub(crate) held: Ranges,
    /// Held entries that were read: records applied, documents indexed.
    pub(crate) indexed: Ranges,
    /// Position in the space's journal at which this log last grew.
    pub(crate) position: u64,
    /// First entry of the segment that is still open, and the segment's bytes so far.
    pub(super) segment: (u64, u64),
    /// Chain hashes next to missing entries, by the seq that they come after: the newest [`EDGES_MAX`],
    /// without the tip's. Entries that fill a gap must fit them, or two histories would merge.
    pub(super) edges: BTreeMap<u64, Edge>,
}

/// A chain hash next to missing entries, and the signature that makes it a head, if known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edge {
    pub(super) h: [u8; 32],
    pub(super) signature: Option<[u8; 64]>,
}

impl Edge {
    pub(super) const fn of(head: &Head) -> Self {
        Self { h: head.h, signature: Some(head.signature) }
    }
}

impl Progress {
    /// Returns whether chain hashes, the first of which comes before entry `start`, agree with the held
    /// entries around.
    pub(crate) fn agrees(&self, start: u64, hashes: &[[u8; 32]]) -> bool {
        let known = |(seq, edge): (&u64, &Edge)| {
            let at = (seq + 1).checked_sub(start).and_then(|at| hashes.get(usize::try_from(at).ok()?));
            at.is_none_or(|other| *other == edge.h)
        };
        self.edges.iter().all(known)
    }

    /// Returns the chain hash after an entry: at the tip, or next to missing entries.
    pub(crate) fn hash_after(&self, seq: u64) -> Option<[u8; 32]> {
        let at_tip = self.tip.as_ref().filter(|tip| tip.seq == seq).map(|tip| tip.h);
        at_tip.or_else(|| self.edges.get(&seq).map(|edge| edge.h))
    }

    /// Returns whether this head and its entry are held at the end, or at the edge of a gap.
    pub(crate) fn ends_at(&self, head: &Head) -> bool {
        let at_tip = || self.tip.as_ref().is_some_and(|tip| tip.seq == head.seq && tip.h == head.h);
        let at_edge = || self.edges.get(&head.seq).is_some_and(|edge| edge.h == head.h);
        self.held.contains(head.seq) && (at_tip() || at_edge())
    }

    /// Returns whether a held entry lies amid others, so that the chain hash after it is not available.
    pub(crate) fn is_amid(&self, seq: u64) -> bool {
        let is_tip = self.tip.as_ref().is_some_and(|tip| tip.seq == seq);
        self.held.contains(seq) && !is_tip && !self.edges.contains_key(&seq)
    }

    /// Keeps a head at the edge of what is held.
    pub(crate) fn add_edge(&mut self, head: &Head) {
        self.edges.insert(head.seq, Edge::of(head));
        self.trim_edges();
    }

    /// Ends the log before entry `to`, the end of its gapless part: the entries known beyond belong to
    /// another history. Returns whether the head there is known.
    pub(crate) fn truncate(&mut self, to: u64) -> bool {
        self.tip = match to.checked_sub(1) {
            Some(seq) => {
                let Some(Edge { h, signature: Some(signature) }) = self.edges.get(&seq).copied() else { return false };
                Some(Head { seq, h, signature })
            }
            None => None,
        };
        self.held.remove(to..=u64::MAX);
        self.indexed.remove(to..=u64::MAX);
        self.trim_edges();
        true
    }

    /// Keeps only hashes that are still at an edge, and the newest of those.
    pub(super) fn trim_edges(&mut self) {
        let (held, tip) = (&self.held, self.tip.as_ref().map(|tip| tip.seq));
        self.edges.retain(|seq, _| Some(*seq) != tip && held.contains(*seq) != held.contains(seq + 1));
        while self.edges.len() > EDGES_MAX {
            self.edges.pop_first();
        }
    }

    /// Returns the first entry that is held but not yet read.
    pub(crate) fn unread(&self) -> Option<u64> {
        if self.held == self.indexed {
            return None;
        }
        self.held.iter().find_map(|range| self.indexed.first_gap_in(range).map(|gap| *gap.start()))
    }
}
