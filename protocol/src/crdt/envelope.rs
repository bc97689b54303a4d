//! Loro's envelope: `"loro" | 12 zeros | xxh32 of the rest, 4 bytes | mode, 2 bytes`, before the encoded
//! content.
//!
//! An update is stored and sent without its envelope. The seal detects changed bytes, and the envelope
//! follows from the rest. It would add 22 redundant bytes to each update, four of which never compress
//! (`spec/documents.md`, section 4).

use xxhash_rust::xxh32::xxh32;

/// Length of an envelope, in bytes.
const LEN: usize = 22;
/// Offset of the bytes that the checksum covers.
const CHECKED: usize = 20;
/// The mode of updates.
const UPDATES: [u8; 2] = [0, 4];
/// The seed of the checksum.
const SEED: u32 = u32::from_le_bytes(*b"LORO");

/// Returns the content of an export of updates without its envelope. `None` for any other export.
pub(super) fn without(export: &[u8]) -> Option<Vec<u8>> {
    let (envelope, rest) = export.split_at_checked(LEN)?;
    (envelope[CHECKED..] == UPDATES).then(|| rest.to_vec())
}

/// Returns an update in its envelope, as Loro reads it.
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

/// Joins several updates, each in its envelope, into one. The engine's time for each import grows with the
/// number of the document's writers, so updates are imported in batches.
pub(super) fn join<'a>(updates: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    within(&updates.flat_map(|update| &update[LEN..]).copied().collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::super::{Meta, TextPaths, encode::fresh, encode_new};
    use super::*;
    use loro::ExportMode;

    #[test]
    fn joined_updates_are_imported_as_if_one_by_one() {
        let doc = fresh(9);
        let mut exports = Vec::new();
        for writer in 1..40 {
            doc.set_peer_id(writer).unwrap();
            let before = doc.oplog_vv();
            doc.get_text("body").insert(0, "word ").unwrap();
            doc.commit();
            exports.push(doc.export(ExportMode::updates(&before)).unwrap());
        }
        let joined = fresh(50);
        let status = joined.import_batch(&[join(exports.iter().map(Vec::as_slice))]).unwrap();
        assert_eq!(status.pending, None);
        assert_eq!(joined.oplog_vv(), doc.oplog_vv());
        assert_eq!(joined.get_text("body").to_string(), doc.get_text("body").to_string());
    }

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
