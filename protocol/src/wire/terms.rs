//! Terms of sync messages: classes of urgency, cursors, and the nodes of tries (`spec/sync.md`).

use crate::ids::{Incarnation, LogId};

/// Urgency of bytes, which is also the channel on which they travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Protocol messages, and entries of control partitions. Always first.
    Control = 0,
    /// Live entries that a person is looking at.
    Foreground = 1,
    /// Other live entries.
    Live = 2,
    /// Catching up on recent entries.
    Recent = 3,
    /// Filling in old entries and imports.
    Backfill = 4,
    /// Large binary objects.
    Blob = 5,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Self; 6] = [Self::Control, Self::Foreground, Self::Live, Self::Recent, Self::Backfill, Self::Blob];

    /// Returns the class of a channel.
    pub fn from_channel(channel: u8) -> Option<Self> {
        Self::ALL.get(usize::from(channel)).copied()
    }

    /// Returns the position in per-class tables.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Position up to which one store has read another's journal of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the other store in which the position is valid.
    pub incarnation: Incarnation,
    /// The last journal position that was read.
    pub position: u64,
}

/// Data that a replica wants sent without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Every entry.
    All,
    /// Every signed head; the replica requests the entries that it wants.
    Heads,
}

/// Coverage of a trie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The partitions of a space; keys are partition tokens.
    Space,
    /// The logs of the partition with this token; keys are log ids.
    Partition([u8; 16]),
}

impl Scope {
    /// Returns the number of nibbles of a key.
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
        /// The root of the partition's trie.
        root: [u8; 16],
    },
    /// In scope [`Scope::Partition`]: a log and its highest signed head.
    Log {
        /// The log.
        id: LogId,
        /// Seq of the head.
        seq: u64,
        /// The first bytes of the chain hash after that entry.
        h: [u8; 8],
    },
}

impl LeafItem {
    /// Returns the bytes by which items are ordered.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Partition { token, .. } => token,
            Self::Log { id, .. } => &id.0,
        }
    }
}

/// One node of a trie. A missing node is an empty leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeView {
    /// More than 16 items: the hash of each child that has any.
    Inner(Box<[Option<[u8; 16]>; 16]>),
    /// At most 16 items, ascending by key.
    Leaf(Vec<LeafItem>),
}
