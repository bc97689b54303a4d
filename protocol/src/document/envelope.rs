//! Loro's envelope: `"loro" | 12 zeros | xxh32 of the rest, 4 bytes | mode, 2 bytes`, before what it encodes.
//!
//! An update is stored and sent without it. The seal says whether a byte was changed, and the envelope follows from the
//! rest, so 22 bytes of each update, of which four never compress, say nothing (`spec/documents.md`, section 4).

use xxhash_rust::xxh32::xxh32;

/// Its length in bytes.
const LEN: usize = 22;
/// Where what the checksum covers begins.
const CHECKED: usize = 20;
/// The mode of updates.
const UPDATES: [u8; 2] = [0, 4];
/// The seed of the checksum.
const SEED: u32 = u32::from_le_bytes(*b"LORO");

/// What is behind the envelope of an export of updates. `None` if it is none.
pub(super) fn without(export: &[u8]) -> Option<Vec<u8>> {
    let (envelope, rest) = export.split_at_checked(LEN)?;
    (envelope[CHECKED..] == UPDATES).then(|| rest.to_vec())
}

/// An update in its envelope, as Loro reads it.
pub(super) fn within(update: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN + update.len());
    bytes.extend_from_slice(b"loro");
    bytes.resize(CHECKED, 0);
    bytes.extend_from_slice(&UPDATES);
    bytes.extend_from_slice(update);
    let sum = xxh32(&bytes[CHECKED..], SEED);
    bytes[CHECKED - 4..CHECKED].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::{Meta, TextPaths, encode::fresh, encode_new};
    use super::*;
    use loro::ExportMode;

    #[test]
    fn the_envelope_is_the_one_that_loro_writes() {
        let doc = fresh(9);
        for words in 0..40 {
            doc.get_text("body").insert(0, &"word ".repeat(words)).unwrap();
            doc.commit();
            let export = doc.export(ExportMode::all_updates()).unwrap();
            assert_eq!(within(&without(&export).unwrap()), export);
        }
        assert_eq!(without(&doc.export(ExportMode::Snapshot).unwrap()), None);
        assert_eq!(without(b"loro"), None);
        let value = [("a", 1)].into_iter().collect();
        let update = encode_new(9, &Meta::default(), &value, &TextPaths::none()).unwrap().bytes;
        assert!(!update.starts_with(b"loro"));
    }
}
