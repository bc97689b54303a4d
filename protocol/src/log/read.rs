//! Opens entries: the mirror of [`super::write`], with every plain length bounded before work starts.
//!
//! Only content that a verified chain covers may be opened: callers run [`super::verify_run`] first. This module
//! never decides whether an entry is excluded (`spec/log.md`, sections 7 and 8).

use super::compress::{Codec, DecompressError, Dictionary};
use super::entry::{Entry, FLAG_OPEN};
use super::header::Header;
use super::write::{Aad, BODY_BYTES_MAX, Place, data_key, section_nonce};
use crate::codec::{CodecError, Reader, Write};
use crate::ids::{EpochId, LogId};
use crate::sealed;

/// Reason why a section cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The section's bytes were pruned or erased.
    #[error("the section was removed from the entry")]
    Absent,
    /// The entry has no such section. The fault of the reference.
    #[error("the entry has no such section")]
    NoSection,
    /// The key is not the one that it was sealed under, or the author sealed it for another place.
    #[error("the section does not open under this key")]
    Sealed,
    /// The section's content is malformed. The author's fault.
    #[error("the section's content is malformed")]
    Content(#[from] DecompressError),
}

/// Opens the sections of one entry.
#[derive(Debug)]
pub struct EntryReader<'a> {
    entry: &'a Entry,
    place: Place,
    plain_max: usize,
}

impl<'a> EntryReader<'a> {
    /// Reads `entry` as the entry at `place`; it opens only there.
    pub const fn new(entry: &'a Entry, place: Place) -> Self {
        Self { entry, place, plain_max: BODY_BYTES_MAX }
    }

    /// Limits the plain bytes of opened records and bodies to this number, if it is below the accepted limit.
    #[must_use]
    pub const fn within(self, plain_max: usize) -> Self {
        Self { plain_max: if plain_max < BODY_BYTES_MAX { plain_max } else { BODY_BYTES_MAX }, ..self }
    }

    /// Returns the epoch that the entry is sealed under.
    pub fn epoch(&self) -> EpochId {
        self.entry.epoch().unwrap_or(self.place.card_epoch)
    }

    /// Opens section 0 under the epoch's header key. `earlier` are the logs that the card of the entry's log names.
    pub fn open_header(
        &self,
        header_key: &[u8; 32],
        earlier: &[LogId],
        codec: &mut Codec,
    ) -> Result<Header, OpenError> {
        Ok(Header::unpack(&self.open(0, header_key)?, earlier, codec)?)
    }

    /// Opens a records section under the epoch's records key.
    pub fn open_records(&self, section: u32, records_key: &[u8; 32], codec: &mut Codec) -> Result<Vec<u8>, OpenError> {
        Ok(codec.decompress(&self.open(section, records_key)?, None, self.plain_max)?)
    }

    /// Opens a key box under the epoch's key-box key. Returns the data key's seed.
    pub fn open_key_box(&self, section: u32, key_box_key: &[u8; 32]) -> Result<[u8; 16], OpenError> {
        let seed = self.open(section, key_box_key)?;
        seed.try_into().map_err(|_| OpenError::Content(DecompressError::Damaged))
    }

    /// Opens a body under its data key. `dictionary` is the plaintext of the records section that its item names.
    pub fn open_body(
        &self,
        section: u32,
        seed: &[u8; 16],
        dictionary: Option<&[u8]>,
        codec: &mut Codec,
    ) -> Result<Vec<u8>, OpenError> {
        let dictionary = dictionary.map(Dictionary::decode).transpose().map_err(DecompressError::Frame)?;
        Ok(codec.decompress(&self.open(section, &data_key(seed))?, dictionary, self.plain_max)?)
    }

    fn open(&self, number: u32, key: &[u8; 32]) -> Result<Vec<u8>, OpenError> {
        if number == 1 && self.entry.flags() & FLAG_OPEN != 0 {
            return Err(OpenError::NoSection);
        }
        let section = self.entry.sections().get(number as usize).ok_or(OpenError::NoSection)?;
        let sealed = section.present().ok_or(OpenError::Absent)?;
        let mut aad = Aad::new(&self.place, self.entry.flags(), &self.epoch());
        let nonce = section_nonce(self.entry.nonce(), number);
        sealed::open(key, &nonce, aad.section(number), sealed).map_err(|_| OpenError::Sealed)
    }
}

/// Joins the parts of a section that several documents share: each `length varint | bytes`.
pub fn join_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    parts.into_iter().for_each(|part| out.prefixed(part));
    out
}

/// Returns the part of such a section with this number, from 0.
pub fn part_of(section: &[u8], number: u32) -> Result<&[u8], CodecError> {
    let mut reader = Reader::new(section);
    for _ in 0..number {
        reader.bytes(section.len(), "part length")?;
    }
    reader.bytes(section.len(), "part length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_by_number() {
        let parts: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        let section = join_parts(parts);
        for (number, part) in (0..).zip(parts) {
            assert_eq!(part_of(&section, number), Ok(part));
        }
        assert_eq!(part_of(&section, 3), Err(CodecError::Truncated));
        assert_eq!(part_of(&section, u32::MAX), Err(CodecError::Truncated));
        assert!(part_of(&section[..100], 2).is_err());
    }
}
