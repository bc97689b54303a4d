//! Sizes of the core's steps.

use super::Draws;
use crate::plan::Sizes;

/// Draws sizes: each is as shipped, or small enough that a run meets both of its sides.
pub(super) fn sizes(draws: &mut Draws) -> Sizes {
    let shipped = Sizes::default();
    let mut bytes = |shipped: usize| {
        let small = [1, 100, 1_000, 8_000][draws.below(4) as usize];
        if draws.once_in(3) { shipped } else { small }
    };
    let (read_bytes, index_bytes, gathered_bytes) =
        (bytes(shipped.read_bytes), bytes(shipped.index_bytes), bytes(shipped.gathered_bytes));
    let (segment_bytes, walk_bytes) = (bytes(shipped.segment_bytes as usize) as u64, bytes(shipped.walk_bytes));
    let (bulk_bytes, section_bytes) = (bytes(shipped.bulk_bytes), bytes(shipped.section_bytes));
    let mut count = |shipped: usize| {
        let small = [1, 2, 3, 7][draws.below(4) as usize];
        if draws.once_in(3) { shipped } else { small }
    };
    let (read_entries, gathered_docs, segment_entries) =
        (count(shipped.read_entries), count(shipped.gathered_docs), count(shipped.segment_entries as usize) as u64);
    let (kept_values, made_docs, made_values) =
        (count(shipped.kept_values), count(shipped.made_docs), count(shipped.made_values));
    // Each step has a deadline of its own, and O11 counts those of one moment.
    let made_docs = made_docs.max(16);
    let (bulk_docs, leaf_items) = (count(shipped.bulk_docs), count(shipped.leaf_items));
    let (changes, names) = (count(shipped.changes), count(shipped.names));
    let walk_items = leaf_items + count(shipped.walk_items - leaf_items);
    Sizes {
        read_bytes,
        index_bytes,
        read_entries,
        gathered_bytes,
        gathered_docs,
        segment_entries,
        segment_bytes,
        kept_values,
        made_docs,
        made_values,
        bulk_docs,
        bulk_bytes,
        section_bytes,
        leaf_items,
        chunk_bytes: draws.pick(&[64, 1_000, shipped.chunk_bytes]),
        changes,
        names,
        walk_items,
        walk_bytes,
        absent: draws.pick(&[1, 2, shipped.absent]),
        frame_bytes: draws.pick(&[200, 1_000, 5_000, shipped.frame_bytes]),
    }
}
