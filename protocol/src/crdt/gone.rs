//! Deletion of whole documents.
//!
//! A deletion is one operation: it records its own place under its writer. A document is deleted if all of
//! its operations are in the causal past of deletions, so any concurrent or later edit brings it back whole
//! (`spec/documents.md`, section 3).

use super::ROOT_GONE;
use loro::{Frontiers, ID, LoroDoc, LoroResult, LoroValue, ValueOrContainer, VersionVector};

/// Returns whether a document is deleted.
pub(super) fn is_gone(doc: &LoroDoc) -> bool {
    let gone = doc.get_map(ROOT_GONE);
    if gone.is_empty() {
        return false;
    }
    if planted!("gone.for-good") {
        return true;
    }
    let version = doc.oplog_vv();
    let mut ends = Vec::new();
    gone.for_each(|writer, entry| {
        if let (Ok(peer), ValueOrContainer::Value(LoroValue::I64(counter))) = (u64::from_str_radix(writer, 16), entry)
            && let Ok(counter) = i32::try_from(counter)
            && version.get(&peer).is_some_and(|end| (0..*end).contains(&counter))
        {
            ends.push((writer.to_owned(), ID::new(peer, counter)));
        }
    });
    let mut seen = VersionVector::new();
    for (writer, end) in ends {
        // A deletion in the name of another writer is ignored: it would hide edits which that writer made
        // without a deletion in sight.
        if gone.get_last_editor(&writer) == Some(end.peer)
            && let Some(past) = doc.frontiers_to_vv(&Frontiers::from(end))
        {
            seen.merge(&past);
        }
    }
    version.iter().all(|(peer, end)| seen.get(peer).is_some_and(|seen| seen >= end))
}

/// Deletes a document as `peer`, or brings it back: any operation does.
pub(super) fn write(doc: &LoroDoc, peer: u64, gone: bool) -> LoroResult<()> {
    let at = i64::from(super::encode::ops_of(doc, peer));
    // A negative number is no place, and differs each time: a slot set to its present value writes no
    // operation.
    doc.get_map(ROOT_GONE).insert(&format!("{peer:x}"), if gone { at } else { -1 - at })?;
    doc.commit();
    Ok(())
}
