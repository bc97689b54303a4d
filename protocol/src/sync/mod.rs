//! Finding and moving what two stores do not share (`spec/sync.md`).

pub mod ranges;
pub mod session;
pub mod trie;

use crate::ids::{Incarnation, LogId};
use bytes::Bytes;

/// A log's number in this store. Never travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNo(pub u32);

/// A space's number in this store. Never travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceNo(pub u32);

/// How urgent bytes are; also the channel on which they travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Protocol messages, and entries of control partitions. Always first.
    Control = 0,
    /// Live entries of what a person looks at.
    Foreground = 1,
    /// Other live entries.
    Live = 2,
    /// Catching up on recent entries.
    EntryCache = 3,
    /// Filling in old entries and imports.
    Backfill = 4,
    /// Large binary objects.
    Blob = 5,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Self; 6] =
        [Self::Control, Self::Foreground, Self::Live, Self::EntryCache, Self::Backfill, Self::Blob];

    /// The class of a channel.
    pub fn from_channel(channel: u8) -> Option<Self> {
        Self::ALL.get(usize::from(channel)).copied()
    }

    /// The position in per-class tables.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The highest signed head of a log that a store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Of the entry that the head covers.
    pub seq: u64,
    /// The chain hash there.
    pub h: [u8; 32],
    /// The log key's signature over it.
    pub signature: [u8; 64],
}

/// What a store durably holds of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// Its global name.
    pub id: LogId,
    /// The space it belongs to.
    pub space: SpaceNo,
    /// How urgent its newest entries are.
    pub class: Class,
    /// The public card that lets anyone verify the chain.
    pub card: Bytes,
    /// `None` as long as no head is known.
    pub tip: Option<Tip>,
    /// The seq after the newest entry held. At most one past the tip; less where only the head is known.
    pub entries_to: u64,
    /// The heads (seq, h) at the ends of its histories, ascending, if it has several. `tip` and `entries_to` then speak
    /// of the one that came first, and mean nothing to a peer.
    pub leaves: Vec<(u64, [u8; 32])>,
}

impl LogView {
    /// Whether it has several histories.
    pub fn is_forked(&self) -> bool {
        !self.leaves.is_empty()
    }

    /// The heads at the ends of all its histories, of which there may be one or none.
    pub fn ends(&self) -> Vec<(u64, [u8; 32])> {
        if self.is_forked() { self.leaves.clone() } else { self.tip.iter().map(|tip| (tip.seq, tip.h)).collect() }
    }

    /// The same, without a head of which the entries are not held.
    pub fn held_ends(&self) -> Vec<(u64, [u8; 32])> {
        let bare = self.tip.as_ref().filter(|tip| self.entries_to <= tip.seq).map(|tip| (tip.seq, tip.h));
        self.ends().into_iter().filter(|end| Some(*end) != bare).collect()
    }

    /// The seq after the highest signed head; 0 if none is known.
    pub fn tip_to(&self) -> u64 {
        self.tip.as_ref().map_or(0, |tip| tip.seq + 1)
    }
}

/// How far one store has read another's journal of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the other store in which the position means something.
    pub incarnation: Incarnation,
    /// All up to and including this journal position was read.
    pub position: u64,
}

/// What a trie covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The partitions of a space; keys are partition tokens.
    Space,
    /// The logs of the partition with this token; keys are log ids.
    Partition([u8; 16]),
}

impl Scope {
    /// How many nibbles a key has.
    pub const fn depth_max(self) -> usize {
        match self {
            Self::Space => 32,
            Self::Partition(_) => 64,
        }
    }
}

/// One item of a trie's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafItem {
    /// In scope [`Scope::Space`]: a partition and the root over its logs.
    Partition {
        /// The partition's token.
        token: [u8; 16],
        /// The root of its trie.
        root: [u8; 16],
    },
    /// In scope [`Scope::Partition`]: a log and its highest signed head.
    Log {
        /// Which log.
        id: LogId,
        /// Of the head.
        seq: u64,
        /// The first bytes of the chain hash there.
        h: [u8; 8],
    },
}

impl LeafItem {
    /// The bytes by which items are ordered.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Partition { token, .. } => token,
            Self::Log { id, .. } => &id.0,
        }
    }
}

/// One node of a trie. A node that isn't there is an empty leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeView {
    /// More than 16 items: the hashes of the children that have any.
    Inner(Box<[Option<[u8; 16]>; 16]>),
    /// At most 16 items, ascending by key.
    Leaf(Vec<LeafItem>),
}

/// What a replica wants sent without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Every entry.
    All,
    /// Every signed head; it asks for the entries it wants.
    Heads,
}

/// Which entries of a log a replica wants to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    /// All of them.
    All,
    /// None: the signed head is enough.
    HeadOnly,
    /// At least this many of the newest that its device wrote in its partition, in this log and those after it.
    Newest(u64),
}

/// What a session may know of its own store. Answers describe durable state only and cost O(log n) at most.
pub trait Catalog {
    /// This store's life; positions and cursors into it are void in another.
    fn incarnation(&self) -> Incarnation;
    /// The spaces shared with the session's peer. Nothing of another space is ever sent.
    fn spaces(&self) -> Vec<SpaceNo>;
    /// The public name of a space.
    fn space_token(&self, space: SpaceNo) -> [u8; 16];
    /// What this replica wants sent of a space.
    fn follow(&self, space: SpaceNo) -> Follow;
    /// The hash over all partitions' roots.
    fn root(&self, space: SpaceNo) -> [u8; 16];
    /// The end of this store's journal of a space: 0 if it is empty, one more each time one of its logs grows.
    fn position(&self, space: SpaceNo) -> u64;
    /// How far this store has read the peer's journal of a space.
    fn cursor(&self, space: SpaceNo) -> Option<Cursor>;
    /// At most `max` logs that grew after `position`, ascending by position, each once at its newest position.
    fn changed_since(&self, space: SpaceNo, position: u64, max: usize) -> Vec<(u64, LogNo)>;
    /// At most `max` logs numbered above `after`, ascending, of which a head is known and entries are lacking that this
    /// replica wants.
    fn lagging(&self, space: SpaceNo, after: Option<LogNo>, max: usize) -> Vec<LogNo>;
    /// What is held of a log.
    fn log(&self, log: LogNo) -> LogView;
    /// The lowest seq, not below `from`, of an entry that is not held. Differs from [`LogView::entries_to`] only where
    /// older entries were left out when newer ones were fetched.
    fn first_lacking(&self, log: LogNo, from: u64) -> u64 {
        self.log(log).entries_to.max(from)
    }
    /// The first entry that is lacking in one of a log's histories while a later one of that is held.
    fn gap(&self, _log: LogNo) -> Option<u64> {
        None
    }
    /// The lowest seq, not below `from`, of an entry that is held.
    fn first_held(&self, log: LogNo, from: u64) -> Option<u64> {
        (from < self.log(log).entries_to).then_some(from)
    }
    /// The number of a log, if this store knows it.
    fn log_by_id(&self, id: &LogId) -> Option<LogNo>;
    /// The id of the log whose card this is; `None` for bytes that are no card.
    fn log_of_card(&self, card: &[u8]) -> Option<LogId>;
    /// The node of a trie under a path of nibbles.
    fn node(&self, space: SpaceNo, scope: Scope, prefix: &[u8]) -> NodeView;
    /// At most `max` items under a path, ascending by key, all with a key greater than `after`.
    fn items(&self, space: SpaceNo, scope: Scope, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<LeafItem>;
    /// Which entries this replica wants of a log; `None` stands for one that it doesn't know yet.
    fn bodies(&self, space: SpaceNo, log: Option<LogNo>) -> Bodies;
}
