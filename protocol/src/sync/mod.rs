//! Sync: finds and transfers the differences between two stores (`spec/sync.md`).

pub mod ranges;
pub mod session;
pub mod trie;

pub use crate::ids::{LogNo, SpaceNo};
pub use crate::wire::terms::{Class, Cursor, Follow, LeafItem, NodeView, Scope};

use crate::ids::{Incarnation, LogId};
use bytes::Bytes;

/// The highest signed head of a log that a store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Seq of the entry that the head covers.
    pub seq: u64,
    /// The chain hash after that entry.
    pub h: [u8; 32],
    /// The log key's signature over it.
    pub signature: [u8; 64],
}

/// Durable state of one log in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// Global name of the log.
    pub id: LogId,
    /// The space that the log belongs to.
    pub space: SpaceNo,
    /// Urgency of the newest entries.
    pub class: Class,
    /// The public card that lets anyone verify the chain.
    pub card: Bytes,
    /// `None` as long as no head is known.
    pub tip: Option<Tip>,
    /// The seq after the newest held entry. At most one past the tip; less if only the head is known.
    pub entries_to: u64,
    /// True if the peer at the other end wrote the log: it holds the entries, whatever it follows.
    pub is_peers: bool,
    /// The heads (seq, h) at the ends of the log's histories, ascending, if there are several. `tip` and
    /// `entries_to` then describe the first history alone, and mean nothing to a peer.
    pub leaves: Vec<(u64, [u8; 32])>,
}

impl LogView {
    /// Returns whether the log has several histories.
    pub fn is_forked(&self) -> bool {
        !self.leaves.is_empty()
    }

    /// Returns the heads at the ends of all its histories: none, one or several.
    pub fn ends(&self) -> Vec<(u64, [u8; 32])> {
        if self.is_forked() { self.leaves.clone() } else { self.tip.iter().map(|tip| (tip.seq, tip.h)).collect() }
    }

    /// Returns the same heads, except one whose entries are not held.
    pub fn held_ends(&self) -> Vec<(u64, [u8; 32])> {
        let bare = self.tip.as_ref().filter(|tip| self.entries_to <= tip.seq).map(|tip| (tip.seq, tip.h));
        self.ends().into_iter().filter(|end| Some(*end) != bare).collect()
    }

    /// Returns the seq after the highest signed head; 0 if no head is known.
    pub fn tip_to(&self) -> u64 {
        self.tip.as_ref().map_or(0, |tip| tip.seq + 1)
    }
}

/// Entries of a log that a replica wants to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    /// All entries.
    All,
    /// None: the signed head is enough.
    HeadOnly,
    /// At least this many of the newest entries that the log's device wrote in its partition, in this log and its
    /// successors.
    Newest(u64),
}

/// A session's view of its own store. Answers describe durable state only and cost O(log n) at most.
pub trait Catalog {
    /// Returns this store's life. Positions and cursors are void in another life.
    fn incarnation(&self) -> Incarnation;
    /// Returns the spaces shared with the session's peer. Nothing of another space is ever sent.
    fn spaces(&self) -> Vec<SpaceNo>;
    /// Returns the public name of a space.
    fn space_token(&self, space: SpaceNo) -> [u8; 16];
    /// Returns the data of a space that this replica wants without a request.
    fn follow(&self, space: SpaceNo) -> Follow;
    /// Returns the hash over all partitions' roots.
    fn root(&self, space: SpaceNo) -> [u8; 16];
    /// Returns the end of this store's journal of a space: 0 if it is empty, one more each time one of its logs
    /// grows.
    fn position(&self, space: SpaceNo) -> u64;
    /// Returns the position up to which this store has read the peer's journal of a space.
    fn cursor(&self, space: SpaceNo) -> Option<Cursor>;
    /// Returns at most `max` logs that grew after `position`, ascending by position, each once at its newest
    /// position.
    fn changed_since(&self, space: SpaceNo, position: u64, max: usize) -> Vec<(u64, LogNo)>;
    /// Returns at most `max` logs numbered above `after`, ascending, that have a known head and lack entries that
    /// this replica wants.
    fn lagging(&self, space: SpaceNo, after: Option<LogNo>, max: usize) -> Vec<LogNo>;
    /// Returns the durable state of a log.
    fn log(&self, log: LogNo) -> LogView;
    /// Returns the lowest seq, not below `from`, of a missing entry. Differs from [`LogView::entries_to`] only if
    /// older entries were left out when newer ones were fetched.
    fn first_lacking(&self, log: LogNo, from: u64) -> u64 {
        self.log(log).entries_to.max(from)
    }
    /// Returns the first entry missing in one of a log's histories that holds a later one.
    fn gap(&self, _log: LogNo) -> Option<u64> {
        None
    }
    /// Returns the lowest seq, not below `from`, of a held entry.
    fn first_held(&self, log: LogNo, from: u64) -> Option<u64> {
        (from < self.log(log).entries_to).then_some(from)
    }
    /// Returns the chain hash after an entry, where it is kept: at the tip, and next to missing entries.
    fn hash_after(&self, log: LogNo, seq: u64) -> Option<[u8; 32]> {
        self.log(log).tip.filter(|tip| tip.seq == seq).map(|tip| tip.h)
    }
    /// Returns the number of a log, if this store knows it.
    fn log_by_id(&self, id: &LogId) -> Option<LogNo>;
    /// Returns the id of the log with this card; `None` for bytes that are not a card.
    fn log_of_card(&self, card: &[u8]) -> Option<LogId>;
    /// Returns the node of a trie under a path of nibbles.
    fn node(&self, space: SpaceNo, scope: Scope, prefix: &[u8]) -> NodeView;
    /// Returns at most `max` items under a path, ascending by key, all with a key greater than `after`.
    fn items(&self, space: SpaceNo, scope: Scope, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<LeafItem>;
    /// Returns the entries of a log that this replica wants; `None` means a log that it doesn't know yet.
    fn bodies(&self, space: SpaceNo, log: Option<LogNo>) -> Bodies;
}
