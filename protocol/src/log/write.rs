//! Builds entries: compresses, seals, frames and chains them, in one pass over one buffer.
//!
//! It draws no randomness and keeps no position: the caller names the place of the entry, and must never seal two
//! different entries for the same place (`spec/log.md`, section 7).

use super::EpochKeys;
use super::compress::Codec;
use super::entry::{ENTRY_BYTES_MAX, Entry, FLAG_EPOCH, FLAG_OPEN, SECTIONS_MAX, Section};
use super::header::Header;
use super::weight::Weight;
use crate::codec::{CodecError, Write};
use crate::ids::{EpochId, LogId};
use crate::sealed::{TAG_BYTES, seal};
use blake3::Hasher;
use blake3::hazmat::{HasherExt, hash_derive_key_context};
use bytes::Bytes;
use core::ops::Range;
use std::collections::BTreeMap;

/// Most plain bytes of one records or body section. An acceptance constant: equal on every replica.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Place of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The log.
    pub log: LogId,
    /// The epoch that the log's card names.
    pub card_epoch: EpochId,
    /// Position in the log.
    pub seq: u64,
    /// The chain hash before the entry.
    pub h_prev: [u8; 32],
}

/// Content of a section after the header; the first is section 1.
#[derive(Clone, Copy)]
pub enum Plain<'a> {
    /// Compressed, sealed under the epoch's records key. Not erasable by document.
    Records(&'a [u8]),
    /// The text that bodies of this entry are compressed against; sealed like records.
    Dictionary(&'a [u8]),
    /// Compressed, sealed under a data key.
    Body {
        /// Seed of the data key.
        seed: &'a [u8; 16],
        /// The data.
        bytes: &'a [u8],
        /// Number of the dictionary of this entry to compress against.
        dictionary: Option<u32>,
    },
    /// A data key, sealed under the epoch's key-box key.
    KeyBox(&'a [u8; 16]),
    /// As given, for readers without the epoch's keys; only as section 1.
    Open(&'a [u8]),
}

impl Plain<'_> {
    /// Returns the length before compression, in bytes.
    const fn plain_len(&self) -> usize {
        match self {
            Self::Records(bytes) | Self::Dictionary(bytes) | Self::Body { bytes, .. } | Self::Open(bytes) => {
                bytes.len()
            }
            Self::KeyBox(seed) => seed.len(),
        }
    }
}

impl core::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Records(_) => "Records(…)",
            Self::Dictionary(_) => "Dictionary(…)",
            Self::Body { .. } => "Body(…)",
            Self::KeyBox(_) => "KeyBox(…)",
            Self::Open(_) => "Open(…)",
        })
    }
}

/// Reason why an entry cannot be built. The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The header is out of its limits.
    #[error("the entry's header is malformed")]
    Header(#[source] CodecError),
    /// A section has more than [`BODY_BYTES_MAX`] bytes, or the entry too many sections or bytes.
    #[error("the entry is too large")]
    TooLarge,
    /// A dictionary is not one of the entry's, or the open section is not the first after the header.
    #[error("a section is in the wrong place, or refers to a section of the wrong kind")]
    Misplaced,
}

/// An entry, ready to be stored, and to be signed and sent after that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The entry.
    pub entry: Entry,
    /// Canonical form of the entry.
    pub bytes: Bytes,
    /// The chain hash after the entry.
    pub h: [u8; 32],
    /// Bytes of the entry, by use.
    pub weight: Weight,
}

/// Builds entries. Keeps its working memory from one entry to the next.
#[derive(Debug, Default)]
pub struct EntryBuilder {
    codec: Codec,
    /// Plain content of the sections, one after another.
    payload: Vec<u8>,
}

impl EntryBuilder {
    /// Makes a builder that has not allocated yet.
    pub const fn new() -> Self {
        Self { codec: Codec::new(), payload: Vec::new() }
    }

    /// Seals `header` and `sections` as the entry at `place`.
    ///
    /// `randomness` must be fresh: it keeps nonces different even if a store was cloned and repeats itself.
    pub fn seal(
        &mut self,
        place: &Place,
        keys: &EpochKeys<'_>,
        randomness: &[u8; 16],
        header: &Header,
        sections: &[Plain<'_>],
    ) -> Result<Sealed, SealError> {
        if sections.len() >= SECTIONS_MAX {
            return Err(SealError::TooLarge);
        }
        let ranges = self.compress(header, sections)?;
        let epoch = (keys.epoch != place.card_epoch).then_some(keys.epoch);
        let open = matches!(sections.first(), Some(Plain::Open(_)));
        let mut aad = Aad::new(place, flags(epoch, open), &keys.epoch);
        let nonce = self.nonce(keys, randomness, aad.section(0), &ranges);

        let mut out = Vec::with_capacity(self.payload.len() + ranges.len() * TAG_BYTES);
        let mut ends = Vec::with_capacity(ranges.len());
        let context = hash_derive_key_context(DATA_KEY_CONTEXT);
        for (number, range) in (0u32..).zip(ranges) {
            let plain = &self.payload[range];
            let expanded;
            let key = match (number as usize).checked_sub(1).map(|at| &sections[at]) {
                None => Some(keys.header),
                Some(Plain::Records(_) | Plain::Dictionary(_)) => Some(keys.records),
                Some(Plain::KeyBox(_)) => Some(keys.key_box),
                Some(Plain::Body { seed, .. }) => {
                    expanded = *Hasher::new_from_context_key(&context).update(*seed).finalize().as_bytes();
                    Some(&expanded)
                }
                Some(Plain::Open(_)) => None,
            };
            match key {
                Some(key) => seal(key, &section_nonce(&nonce, number), aad.section(number), plain, &mut out),
                None => out.raw(plain),
            }
            ends.push(out.len());
        }

        let sealed = Bytes::from(out);
        let mut start = 0;
        let cut = ends.into_iter().map(|end| Section::Present(sealed.slice(core::mem::replace(&mut start, end)..end)));
        let entry = Entry::new(place.seq, epoch, open, nonce, cut.collect()).map_err(|_| SealError::TooLarge)?;
        let h = entry.chain(&place.card_epoch, &place.h_prev);
        Ok(Sealed { bytes: entry.encode(), weight: Weight::of(header, sections, &entry), entry, h })
    }

    /// Fills the payload. Returns each section's range in it.
    fn compress(&mut self, header: &Header, sections: &[Plain<'_>]) -> Result<Vec<Range<usize>>, SealError> {
        self.payload = header.pack(&mut self.codec).map_err(SealError::Header)?;
        let mut ranges = Vec::with_capacity(sections.len() + 1);
        ranges.push(0..self.payload.len());
        if sections.iter().any(|section| section.plain_len() > BODY_BYTES_MAX) {
            return Err(SealError::TooLarge);
        }
        let mut batched = self.compress_batches(sections)?;
        for (at, section) in sections.iter().enumerate() {
            let start = self.payload.len();
            match *section {
                Plain::Open(_) if at != 0 => return Err(SealError::Misplaced),
                Plain::Open(bytes) => self.payload.raw(bytes),
                Plain::KeyBox(seed) => self.payload.raw(seed),
                Plain::Records(bytes) => self.codec.compress_into(&mut self.payload, bytes, None),
                Plain::Dictionary(_) | Plain::Body { dictionary: Some(_), .. } => {
                    self.payload.raw(&batched.remove(&at).unwrap_or_default());
                }
                Plain::Body { bytes, dictionary: None, .. } => {
                    self.codec.compress_into(&mut self.payload, bytes, None);
                }
            }
            ranges.push(start..self.payload.len());
            if self.payload.len() > ENTRY_BYTES_MAX {
                return Err(SealError::TooLarge);
            }
        }
        Ok(ranges)
    }

    /// Returns the compressed forms of the dictionaries and of all bodies compressed against them, by their place.
    fn compress_batches(&mut self, sections: &[Plain<'_>]) -> Result<BTreeMap<usize, Vec<u8>>, SealError> {
        let mut users: BTreeMap<usize, Vec<(usize, &[u8])>> = BTreeMap::new();
        for (at, section) in sections.iter().enumerate() {
            match *section {
                Plain::Dictionary(_) => drop(users.entry(at).or_default()),
                Plain::Body { bytes, dictionary: Some(number), .. } => {
                    let dictionary = (number as usize).checked_sub(1).ok_or(SealError::Misplaced)?;
                    users.entry(dictionary).or_default().push((at, bytes));
                }
                Plain::Records(_) | Plain::Body { .. } | Plain::KeyBox(_) | Plain::Open(_) => {}
            }
        }
        let mut compressed = BTreeMap::new();
        for (dictionary, bodies) in users {
            let Some(Plain::Dictionary(window)) = sections.get(dictionary) else { return Err(SealError::Misplaced) };
            let texts: Vec<&[u8]> = bodies.iter().map(|(_, bytes)| *bytes).collect();
            let (shared, each) = self.codec.compress_batch(&texts, window);
            compressed.insert(dictionary, self.codec.compress(&shared, None));
            compressed.extend(bodies.iter().map(|(at, _)| *at).zip(each));
        }
        Ok(compressed)
    }

    /// Derives the entry's nonce from fresh randomness, the place and all sealed content, under a secret key: two
    /// entries share one only if they are the same entry.
    fn nonce(&self, keys: &EpochKeys<'_>, randomness: &[u8; 16], aad: &[u8], ranges: &[Range<usize>]) -> [u8; 24] {
        let mut content = Hasher::new();
        for range in ranges {
            content.update(&(range.len() as u32).to_le_bytes());
        }
        content.update(&self.payload);
        let key = blake3::derive_key("cosmicsync nonce key 1", keys.header);
        let mut hasher = Hasher::new_keyed(&key);
        hasher.update(randomness);
        hasher.update(aad);
        hasher.update(content.finalize().as_bytes());
        let mut nonce = [0; 24];
        hasher.finalize_xof().fill(&mut nonce);
        if planted!("nonce.repeated") { [7; 24] } else { nonce }
    }
}

/// Context of the derivation from a data key's seed to its AEAD key.
const DATA_KEY_CONTEXT: &str = "cosmicsync data key 1";

/// Expands the seed in a key box to the key of its bodies.
pub(super) fn data_key(seed: &[u8; 16]) -> [u8; 32] {
    blake3::derive_key(DATA_KEY_CONTEXT, seed)
}

/// Returns the nonce of one section: the entry's, with the section's number mixed into its last four bytes.
pub(super) fn section_nonce(entry_nonce: &[u8; 24], section: u32) -> [u8; 24] {
    let mut nonce = *entry_nonce;
    for (byte, number) in nonce[20..].iter_mut().zip(section.to_le_bytes()) {
        *byte ^= number;
    }
    nonce
}

/// The associated data of an entry's sections; only the section number differs between them.
pub(super) struct Aad([u8; Self::LEN]);

impl Aad {
    const LEN: usize = 32 + 8 + 1 + 16 + 4 + 32;
    const SECTION: Range<usize> = 57..61;

    pub(super) fn new(place: &Place, flags: u8, epoch: &EpochId) -> Self {
        let mut aad = [0; Self::LEN];
        aad[..32].copy_from_slice(place.log.as_bytes());
        aad[32..40].copy_from_slice(&place.seq.to_le_bytes());
        aad[40] = flags;
        aad[41..57].copy_from_slice(epoch.as_bytes());
        aad[61..].copy_from_slice(&place.h_prev);
        Self(aad)
    }

    /// Returns the associated data for the section with this number.
    pub(super) fn section(&mut self, number: u32) -> &[u8] {
        self.0[Self::SECTION].copy_from_slice(&number.to_le_bytes());
        &self.0
    }
}

const fn flags(epoch: Option<EpochId>, open: bool) -> u8 {
    (if epoch.is_some() { FLAG_EPOCH } else { 0 }) | (if open { FLAG_OPEN } else { 0 })
}

#[cfg(test)]
mod tests;
