//! Entries that no honest writer makes: any plaintext, sealed and chained as if it were right. For tests alone.

use super::entry::{Entry, Section};
use super::weight::Weight;
use super::write::{Aad, Place, Sealed, data_key, section_nonce};
use crate::codec::CodecError;
use crate::ids::EpochId;
use crate::sealed::{self, TAG_BYTES};
use bytes::Bytes;

/// Seal of a section.
#[derive(Clone, Copy)]
pub enum ForgedSeal<'a> {
    /// A key of the epoch: header, records or key box.
    Key(&'a [u8; 32]),
    /// The data key that a seed expands to.
    Seed(&'a [u8; 16]),
    /// No seal: the bytes stay as they are.
    Open,
}

impl core::fmt::Debug for ForgedSeal<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ForgedSeal(…)")
    }
}

/// Seals `sections`, the header first, as the entry at `place`; `epoch` is named if it is not the card's.
///
/// # Errors
/// Fails if the entry is beyond limits that even a forger cannot encode.
pub fn forge(
    place: &Place,
    epoch: Option<EpochId>,
    open: bool,
    nonce: [u8; 24],
    sections: &[(ForgedSeal<'_>, Vec<u8>)],
) -> Result<Sealed, CodecError> {
    let flags = u8::from(epoch.is_some()) | if open { super::entry::FLAG_OPEN } else { 0 };
    let mut aad = Aad::new(place, flags, &epoch.unwrap_or(place.card_epoch));
    let mut built = Vec::with_capacity(sections.len());
    for (number, (seal, plain)) in (0u32..).zip(sections) {
        let mut out = Vec::with_capacity(plain.len() + TAG_BYTES);
        let nonce = section_nonce(&nonce, number);
        match seal {
            ForgedSeal::Key(key) => sealed::seal(key, &nonce, aad.section(number), plain, &mut out),
            ForgedSeal::Seed(seed) => sealed::seal(&data_key(seed), &nonce, aad.section(number), plain, &mut out),
            ForgedSeal::Open => out.extend_from_slice(plain),
        }
        built.push(Section::Present(Bytes::from(out)));
    }
    let entry = Entry::new(place.seq, epoch, open, nonce, built)?;
    let h = entry.chain(&place.card_epoch, &place.h_prev);
    Ok(Sealed { bytes: entry.encode(), entry, h, weight: Weight::default() })
}
