//! Bytes of entries by use: for people and for `cargo xtask prove cost`.
//!
//! Weighs written entries, and never decides anything (`spec/log.md`, sections 2, 5 and 7).

use super::entry::Entry;
use super::header::Header;
use super::write::Plain;
use crate::sealed::TAG_BYTES;
use core::ops::AddAssign;

/// Bytes of entries, by use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Number of entries weighed.
    pub entries: u64,
    /// Number of items: parts of documents.
    pub items: u64,
    /// The fields before the sections: form, flags, seq, epoch, nonce and count.
    pub fields: u64,
    /// The sections' lengths.
    pub lengths: u64,
    /// The tags of the seals.
    pub tags: u64,
    /// Ids of documents that are written out: they are random, so they do not compress.
    pub ids: u64,
    /// The rest of the sealed headers, compressed: the item table above all.
    pub headers: u64,
    /// Seeds of data keys.
    pub key_boxes: u64,
    /// Records, compressed: dictionaries, and records of control.
    pub records: u64,
    /// Updates, compressed.
    pub bodies: u64,
    /// Open sections.
    pub open: u64,
}

impl Weight {
    /// Weighs one entry, given its header and the plain sections.
    pub(super) fn of(header: &Header, sections: &[Plain<'_>], entry: &Entry) -> Self {
        let lens: Vec<u64> = entry.sections().iter().map(|section| section.len() as u64).collect();
        let mut weight = Self { entries: 1, items: header.items.len() as u64, ..Self::default() };
        let tag = TAG_BYTES as u64;
        let (sealed_header, rest) = lens.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        weight.tags = tag;
        weight.ids = (header.ids_written() as u64 * 16).min(sealed_header - tag);
        weight.headers = sealed_header - tag - weight.ids;
        for (plain, len) in sections.iter().zip(rest) {
            if let Plain::Open(_) = plain {
                weight.open += len;
                continue;
            }
            weight.tags += tag;
            let part = match plain {
                Plain::KeyBox(_) => &mut weight.key_boxes,
                Plain::Records(_) | Plain::Dictionary(_) => &mut weight.records,
                Plain::Body { .. } | Plain::Open(_) => &mut weight.bodies,
            };
            *part += len - tag;
        }
        let whole = entry.whole_len() as u64;
        let sealed: u64 = lens.iter().sum();
        weight.fields = entry.head_len() as u64;
        weight.lengths = whole - sealed - weight.fields;
        weight
    }

    /// Returns the sum of all bytes.
    pub const fn total(&self) -> u64 {
        self.fields
            + self.lengths
            + self.tags
            + self.ids
            + self.headers
            + self.key_boxes
            + self.records
            + self.bodies
            + self.open
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.items += other.items;
        self.fields += other.fields;
        self.lengths += other.lengths;
        self.tags += other.tags;
        self.ids += other.ids;
        self.headers += other.headers;
        self.key_boxes += other.key_boxes;
        self.records += other.records;
        self.bodies += other.bodies;
        self.open += other.open;
    }
}
