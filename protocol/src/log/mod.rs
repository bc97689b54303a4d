//! Logs: append-only chains of sealed entries, one for each process, partition and lane.
//!
//! The layout, its hashes, signatures and seals, as pure functions of bytes and keys. This module never knows a
//! link, a store or a document, never decides about access, and never draws randomness (`spec/log.md`).

pub mod card;
pub mod chain;
pub mod compress;
pub mod entry;
#[cfg(feature = "testkit")]
pub mod forge;
pub mod head;
pub mod header;
pub mod owner;
pub mod read;
pub mod weight;
pub mod write;

pub use card::{CardPlace, Lane, LogCard};
pub use chain::{ChainError, verify_run};
pub use compress::Codec;
pub use entry::{Entry, Section};
pub use head::Head;
pub use header::{Dep, EntryKind, Header, Item, KeyRef};
pub use owner::{LogOwner, OpenedOwner, Prev};
pub use read::{EntryReader, OpenError};
pub use weight::Weight;
pub use write::{EntryBuilder, Place, Plain, SealError, Sealed};

/// The three keys of an epoch that entries are sealed under, each derived from the epoch key.
#[derive(Clone, Copy)]
pub struct EpochKeys<'a> {
    /// The epoch that the keys belong to.
    pub epoch: crate::ids::EpochId,
    /// Seals section 0 of every entry.
    pub header: &'a [u8; 32],
    /// Seals key boxes.
    pub key_box: &'a [u8; 32],
    /// Seals records: content that is not erasable by document.
    pub records: &'a [u8; 32],
}

impl core::fmt::Debug for EpochKeys<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EpochKeys").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
