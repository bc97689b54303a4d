//! Entries that were just written, received or read, kept in memory up to a byte limit.
//!
//! A live edit is pushed to every peer and imported into open documents from here. Only older entries are
//! read back from the store.

use crate::codec::CodecError;
use crate::ids::{EntryRef, EpochId};
use crate::log::Entry;
use crate::storage::rows::split_entry;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Memory that an entry takes beside its bytes, in bytes: the decoded form, the map and the queue. A fixed
/// figure, so that every platform evicts the same entries.
const HELD_BYTES: usize = 384;

/// An entry that is held: decoded, with the chain hashes around it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) h_prev: [u8; 32],
    pub(crate) h: [u8; 32],
    pub(crate) entry: Arc<Entry>,
    pub(crate) bytes: Bytes,
}

impl Held {
    /// Returns the memory that the entry takes, in bytes: its encoding twice, since a decoded entry has copies of
    /// its sections.
    const fn weight(&self) -> usize {
        HELD_BYTES + 2 * self.bytes.len()
    }

    /// Reads a row back. `card_epoch` is the epoch that the log's card names.
    pub(crate) fn from_row(row: &Bytes, card_epoch: &EpochId) -> Result<Self, CodecError> {
        let (h_prev, bytes) = split_entry(row).ok_or(CodecError::Truncated)?;
        let entry = Arc::new(Entry::decode(&bytes)?);
        let h = entry.chain(card_epoch, &h_prev);
        Ok(Self { h_prev, h, entry, bytes })
    }
}

/// The newest entries, first in, first out.
#[derive(Debug)]
pub(crate) struct EntryCache {
    entries: BTreeMap<EntryRef, Held>,
    order: VecDeque<EntryRef>,
    bytes: usize,
    bytes_max: usize,
}

impl EntryCache {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn get(&self, entry: EntryRef) -> Option<&Held> {
        self.entries.get(&entry)
    }

    /// Returns the size in bytes and the number of entries.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.bytes, self.order.len())
    }

    pub(crate) fn insert(&mut self, entry: EntryRef, held: Held) {
        self.bytes += held.weight();
        match self.entries.insert(entry, held) {
            Some(before) => self.bytes -= before.weight(),
            None => self.order.push_back(entry),
        }
        while reached!(RecentBytes, self.bytes > self.bytes_max) && self.order.len() > 1 && !planted!("cache.grows") {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.weight();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Section;
    use crate::sync::LogNo;

    #[test]
    fn the_oldest_go_first_and_the_newest_stays() {
        let mut recent = EntryCache::new(2 * HELD_BYTES + 200);
        let at = |seq| EntryRef { log: LogNo(0), seq };
        let entry =
            Arc::new(Entry::new(0, None, false, [0; 24], vec![Section::Present(Bytes::new())]).expect("an entry"));
        let held = |len| Held { h_prev: [0; 32], h: [0; 32], entry: entry.clone(), bytes: Bytes::from(vec![0; len]) };
        for seq in 0..5 {
            recent.insert(at(seq), held(40));
        }
        assert!(recent.get(at(2)).is_none());
        assert!(recent.get(at(3)).is_some() && recent.get(at(4)).is_some());
        recent.insert(at(9), held(400));
        assert!(recent.get(at(9)).is_some());
        assert!(recent.get(at(4)).is_none());
    }
}
