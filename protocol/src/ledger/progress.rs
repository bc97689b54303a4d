//! How far a log goes: its highest head, the entries that are held and read, and the hashes at their edges.

use crate::log::head::Head;
use crate::sync::ranges::Ranges;
use std::collections::BTreeMap;

/// Most chain hashes that are kept of the edges of what is held: each is about 100 bytes of the log's row, with the
/// signature that makes a head of it.
pub(super) const EDGES_MAX: usize = 16;

/// How far a log goes, here.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    /// The highest signed head known.
    pub(crate) tip: Option<Head>,
    /// Which entries are held.
    pub(crate) held: Ranges,
    /// Which of them have been read: records applied, documents indexed.
    pub(crate) indexed: Ranges,
    /// When this log last grew, on the space's journal.
    pub(crate) position: u64,
    /// First entry of the segment that is still open, and its bytes so far.
    pub(super) segment: (u64, u64),
    /// Chain hashes next to what is not held: by the seq that they come after, the newest [`EDGES_MAX`], without the tip's.
    /// What fills a gap must fit them, or two histories would become one.
    pub(super) edges: BTreeMap<u64, Edge>,
}

/// A chain hash next to what is not held, and the signature that makes a head of it, if there is one.
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
    /// Whether chain hashes, the first of which comes before entry `start`, agree with what is held around.
    pub(crate) fn agrees(&self, start: u64, hashes: &[[u8; 32]]) -> bool {
        let known = |(seq, edge): (&u64, &Edge)| {
            let at = (seq + 1).checked_sub(start).and_then(|at| hashes.get(usize::try_from(at).ok()?));
            at.is_none_or(|other| *other == edge.h)
        };
        self.edges.iter().all(known)
    }

    /// Whether this head and its entry are held at the end, or at the edge of a gap.
    pub(crate) fn ends_at(&self, head: &Head) -> bool {
        let at_tip = || self.tip.as_ref().is_some_and(|tip| tip.seq == head.seq && tip.h == head.h);
        let at_edge = || self.edges.get(&head.seq).is_some_and(|edge| edge.h == head.h);
        self.held.contains(head.seq) && (at_tip() || at_edge())
    }

    /// Whether an entry is held that lies amid others, so that the chain hash after it is not at hand.
    pub(crate) fn is_amid(&self, seq: u64) -> bool {
        let is_tip = self.tip.as_ref().is_some_and(|tip| tip.seq == seq);
        self.held.contains(seq) && !is_tip && !self.edges.contains_key(&seq)
    }

    /// Keeps a head at the edge of what is held.
    pub(crate) fn know(&mut self, head: &Head) {
        self.edges.insert(head.seq, Edge::of(head));
        self.trim_edges();
    }

    /// Has the log end before entry `to`, up to which it is held without a gap: what is known beyond turned out to be of
    /// another history. Returns whether the head there is known.
    pub(crate) fn fall_back(&mut self, to: u64) -> bool {
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

    /// Keeps what is still an edge, and of those the newest.
    pub(super) fn trim_edges(&mut self) {
        let (held, tip) = (&self.held, self.tip.as_ref().map(|tip| tip.seq));
        self.edges.retain(|seq, _| Some(*seq) != tip && held.contains(*seq) != held.contains(seq + 1));
        while self.edges.len() > EDGES_MAX {
            self.edges.pop_first();
        }
    }

    /// First entry that is held but not yet read.
    pub(crate) fn unread(&self) -> Option<u64> {
        if self.held == self.indexed {
            return None;
        }
        self.held.iter().find_map(|range| self.indexed.first_gap_in(range).map(|gap| *gap.start()))
    }
}
