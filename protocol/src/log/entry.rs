//! Entries: the sealed bundle that is hashed, signed, stored and sent as one.
//!
//! Contains the public part only. A section's bytes may be gone (pruned or erased): its hash replaces it, and the
//! chain still verifies. Bytes are sliced out of the input, never copied, and never opened here (`spec/log.md`,
//! section 2).

use crate::codec::{CodecError, Reader, Write, varint_len};
use crate::ids::EpochId;
use bytes::Bytes;

/// Most sections that one entry may have.
pub const SECTIONS_MAX: usize = 16_384;
/// Most bytes of one whole entry, encoded. Hashes of absent sections may exceed it.
pub const ENTRY_BYTES_MAX: usize = 512 * 1024;

/// The entry is sealed under another epoch than its log's card names.
pub const FLAG_EPOCH: u8 = 1;
/// Section 1 is open: it can be read without the epoch's keys.
pub const FLAG_OPEN: u8 = 2;
const FLAGS_KNOWN: u8 = FLAG_EPOCH | FLAG_OPEN;

/// First byte of an encoded entry, version 0: all sections are present.
const FORM_WHOLE: u8 = 0;
/// First byte of an encoded entry, version 0: a bitmap marks the sections that are present.
const FORM_PARTIAL: u8 = 1;

/// One section of an entry, as a replica holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// The bytes as they were sealed.
    Present(Bytes),
    /// The bytes are gone.
    Absent {
        /// Hash of the bytes, see [`crate::log::chain::section_hash`].
        hash: [u8; 32],
        /// Number of the bytes.
        len: u32,
    },
}

impl Section {
    /// Returns the number of bytes that the section has, or had.
    pub fn len(&self) -> usize {
        match self {
            Self::Present(bytes) => bytes.len(),
            Self::Absent { len, .. } => *len as usize,
        }
    }

    /// Returns whether the section has, or had, no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes, if they are still there.
    pub const fn present(&self) -> Option<&Bytes> {
        match self {
            Self::Present(bytes) => Some(bytes),
            Self::Absent { .. } => None,
        }
    }
}

/// The public part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    flags: u8,
    seq: u64,
    epoch: Option<EpochId>,
    nonce: [u8; 24],
    sections: Vec<Section>,
}

impl Entry {
    /// Makes an entry from its parts. `open` is true if section 1 is an open one.
    ///
    /// Fails if there is no section, more than [`SECTIONS_MAX`], or more than [`ENTRY_BYTES_MAX`] in all.
    pub fn new(
        seq: u64,
        epoch: Option<EpochId>,
        open: bool,
        nonce: [u8; 24],
        sections: Vec<Section>,
    ) -> Result<Self, CodecError> {
        let flags = if epoch.is_some() { FLAG_EPOCH } else { 0 } | if open { FLAG_OPEN } else { 0 };
        if sections.len() > SECTIONS_MAX {
            return Err(CodecError::OutOfRange("section count"));
        }
        check_count(flags, sections.len())?;
        let entry = Self { flags, seq, epoch, nonce, sections };
        if entry.whole_len() > ENTRY_BYTES_MAX {
            return Err(CodecError::OutOfRange("entry length"));
        }
        Ok(entry)
    }

    /// Returns the position in the log, from 0.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the flags, as hashed.
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Returns the epoch that the entry is sealed under, if it differs from the card's.
    pub const fn epoch(&self) -> Option<EpochId> {
        self.epoch
    }

    /// Returns the nonce from which section nonces derive.
    pub const fn nonce(&self) -> &[u8; 24] {
        &self.nonce
    }

    /// Returns all sections; the first is the sealed header.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Returns the open section, if the entry has one and it is present.
    pub fn open_section(&self) -> Option<&Bytes> {
        if self.flags & FLAG_OPEN == 0 { None } else { self.sections.get(1)?.present() }
    }

    /// Returns whether all sections' bytes are present.
    pub fn is_whole(&self) -> bool {
        self.sections.iter().all(|section| section.present().is_some())
    }

    /// Returns the length of the entry encoded with all its sections, in bytes.
    pub fn whole_len(&self) -> usize {
        self.head_len()
            + self.sections.iter().map(|section| varint_len(section.len() as u64) + section.len()).sum::<usize>()
    }

    /// Returns this entry without the bytes of the sections that `prune` picks by number; the rest still verifies.
    #[must_use]
    pub fn without(&self, mut prune: impl FnMut(usize) -> bool) -> Self {
        let sections = self.sections.iter().enumerate().map(|(number, section)| match section {
            Section::Present(bytes) if prune(number) => {
                Section::Absent { hash: super::chain::section_hash(bytes), len: bytes.len() as u32 }
            }
            Section::Present(_) | Section::Absent { .. } => section.clone(),
        });
        Self { sections: sections.collect(), ..*self }
    }

    /// Returns the canonical form, which is stored and sent.
    pub fn encode(&self) -> Bytes {
        let whole = self.is_whole();
        let mut out = Vec::with_capacity(self.whole_len());
        out.byte(if whole { FORM_WHOLE } else { FORM_PARTIAL });
        self.write_prefix(&mut out);
        if !whole {
            out.raw(&self.bitmap());
        }
        for section in &self.sections {
            match section {
                Section::Present(bytes) => out.raw(bytes),
                Section::Absent { hash, .. } => out.raw(hash),
            }
        }
        out.into()
    }

    /// Reads the canonical form; sections share `bytes`. Checks no hash.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let whole = match reader.u8()? {
            FORM_WHOLE => true,
            FORM_PARTIAL => false,
            _ => return Err(CodecError::OutOfRange("entry version")),
        };
        let flags = reader.u8()?;
        if flags & !FLAGS_KNOWN != 0 {
            return Err(CodecError::OutOfRange("entry flags"));
        }
        let seq = reader.varint()?;
        let epoch = if flags & FLAG_EPOCH == 0 { None } else { Some(EpochId(reader.array()?)) };
        let nonce = reader.array()?;
        let count = reader.count(SECTIONS_MAX, "section count")?;
        check_count(flags, count)?;
        let lengths = read_lengths(&mut reader, count, bytes.len())?;
        let map = if whole { None } else { Some(read_bitmap(&mut reader, count)?) };
        let mut sections = Vec::with_capacity(count);
        for (number, &len) in lengths.iter().enumerate() {
            let present = map.is_none_or(|map| map[number / 8] & (1 << (number % 8)) != 0);
            sections.push(if present {
                let start = bytes.len() - reader.remaining();
                reader.take(len as usize)?;
                Section::Present(bytes.slice(start..start + len as usize))
            } else {
                Section::Absent { hash: reader.array()?, len }
            });
        }
        reader.finish()?;
        Ok(Self { flags, seq, epoch, nonce, sections })
    }

    /// Writes `flags | seq | [epoch] | nonce | count | lengths`.
    pub(super) fn write_prefix(&self, out: &mut impl Write) {
        out.byte(self.flags);
        out.varint(self.seq);
        if let Some(epoch) = &self.epoch {
            out.raw(epoch.as_bytes());
        }
        out.raw(&self.nonce);
        self.write_lengths(out);
    }

    /// Writes `count | lengths`.
    pub(super) fn write_lengths(&self, out: &mut impl Write) {
        out.varint(self.sections.len() as u64);
        for section in &self.sections {
            out.varint(section.len() as u64);
        }
    }

    /// Returns the number of bytes before the lengths, the form byte included.
    pub(super) fn head_len(&self) -> usize {
        let epoch = if self.epoch.is_some() { EpochId::LEN } else { 0 };
        2 + varint_len(self.seq) + epoch + 24 + varint_len(self.sections.len() as u64)
    }

    fn bitmap(&self) -> Vec<u8> {
        let mut map = vec![0; self.sections.len().div_ceil(8)];
        for (number, section) in self.sections.iter().enumerate() {
            if section.present().is_some() {
                map[number / 8] |= 1 << (number % 8);
            }
        }
        map
    }
}

/// Checks the number of sections. Every entry has a header; one that is flagged open has an open section after it.
fn check_count(flags: u8, count: usize) -> Result<(), CodecError> {
    let min = if flags & FLAG_OPEN == 0 { 1 } else { 2 };
    if count < min { Err(CodecError::OutOfRange("section count")) } else { Ok(()) }
}

/// Reads the section lengths; refuses an entry that would be too long with all its sections.
fn read_lengths(reader: &mut Reader<'_>, count: usize, total: usize) -> Result<Vec<u32>, CodecError> {
    if count > reader.remaining() {
        return Err(CodecError::Truncated);
    }
    let mut lengths = Vec::with_capacity(count);
    let mut sum = 0;
    for _ in 0..count {
        let len = reader.count(ENTRY_BYTES_MAX, "section length")?;
        sum += len;
        lengths.push(len as u32);
    }
    let prefix = total - reader.remaining();
    if prefix + sum > ENTRY_BYTES_MAX {
        return Err(CodecError::OutOfRange("entry length"));
    }
    Ok(lengths)
}

/// Reads a presence bitmap: spare bits are zero, and at least one section is absent.
fn read_bitmap<'a>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [u8], CodecError> {
    let map = reader.take(count.div_ceil(8))?;
    let ones: usize = map.iter().map(|byte| byte.count_ones() as usize).sum();
    let spare = map.last().is_some_and(|last| !count.is_multiple_of(8) && last >> (count % 8) != 0);
    if spare || ones == count { Err(CodecError::OutOfRange("section bitmap")) } else { Ok(map) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section() -> impl Strategy<Value = Section> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Section::Present(bytes.into())),
            (any::<[u8; 32]>(), 0u32..5000).prop_map(|(hash, len)| Section::Absent { hash, len }),
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let epoch = prop::option::of(any::<[u8; 16]>().prop_map(EpochId));
        (any::<u64>(), epoch, any::<bool>(), any::<[u8; 24]>(), prop::collection::vec(section(), 2..40))
            .prop_map(|(seq, epoch, open, nonce, sections)| Entry::new(seq, epoch, open, nonce, sections).unwrap())
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in entry()) {
            let bytes = entry.encode();
            if entry.is_whole() {
                prop_assert_eq!(bytes.len(), entry.whole_len());
            }
            prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
        }

        #[test]
        fn a_mutated_entry_is_refused_or_is_another(entry in entry(), at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = entry.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let bytes = Bytes::from(bytes);
            if let Ok(other) = Entry::decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes);
                prop_assert_ne!(other, entry);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            if let Ok(entry) = Entry::decode(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }

    #[test]
    fn limits_hold_both_ways() {
        let present = |len: usize| Section::Present(vec![0; len].into());
        assert!(Entry::new(0, None, false, [0; 24], vec![]).is_err());
        assert!(Entry::new(0, None, true, [0; 24], vec![present(1)]).is_err());
        assert!(Entry::new(0, None, false, [0; 24], vec![present(ENTRY_BYTES_MAX)]).is_err());
        assert!(Entry::new(0, None, false, [0; 24], vec![present(0); SECTIONS_MAX + 1]).is_err());
        let most = Entry::new(0, None, false, [0; 24], vec![present(30); SECTIONS_MAX]).unwrap();
        assert_eq!(Entry::decode(&most.encode()), Ok(most.clone()));
        let pruned = most.without(|number| number != 0);
        assert!(pruned.encode().len() > ENTRY_BYTES_MAX, "hashes may outgrow the sections they stand for");
        assert_eq!(Entry::decode(&pruned.encode()), Ok(pruned));
        let largest = Entry::new(0, None, false, [0; 24], vec![present(ENTRY_BYTES_MAX - 31)]).unwrap();
        assert_eq!(largest.encode().len(), ENTRY_BYTES_MAX);
        assert_eq!(Entry::decode(&largest.encode()), Ok(largest));
    }

    #[test]
    fn other_versions_flags_and_bitmaps_are_refused() {
        let entry = Entry::new(0, None, false, [0; 24], vec![Section::Absent { hash: [1; 32], len: 3 }]).unwrap();
        let bytes = entry.encode();
        let mutated = |at: usize, to: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = to;
            Entry::decode(&bytes.into())
        };
        assert_eq!(mutated(0, 2), Err(CodecError::OutOfRange("entry version")));
        assert_eq!(mutated(1, 4), Err(CodecError::OutOfRange("entry flags")));
        assert_eq!(mutated(29, 1), Err(CodecError::OutOfRange("section bitmap")));
        assert_eq!(mutated(29, 2), Err(CodecError::OutOfRange("section bitmap")));
    }
}
