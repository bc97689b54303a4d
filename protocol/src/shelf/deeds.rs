//! Tells what each entry did to an open document.

use super::Shelf;
use crate::document::{Deed, Replica};
use crate::ledger::{DocRef, EntryRef};
use std::collections::BTreeMap;

/// The place of an entry before, at or after the deletion of its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The deletion was made with it in sight.
    Before,
    /// It is the deletion that stands.
    Deletion,
    /// Neither was made with the other in sight.
    Beside,
    /// It was made with the deletion in sight.
    After,
}

/// The effect of an entry on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryDeed {
    /// The entry.
    pub at: EntryRef,
    /// Its effect.
    pub deed: Deed,
    /// Its place beside the deletion, if the document is deleted.
    pub standing: Option<Standing>,
}

impl Shelf {
    /// Returns the effects of the entries that an open document has taken in: none if it is not open, or broken.
    pub(crate) fn deeds(&mut self, doc: DocRef) -> Vec<EntryDeed> {
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.ready) else { return Vec::new() };
        let mut found: BTreeMap<EntryRef, (Deed, (u64, u32))> = BTreeMap::new();
        let mut last = None;
        for ((peer, end), (at, _)) in &state.brought {
            let start = last.filter(|(of, _)| of == peer).map_or(0, |(_, end)| end);
            last = Some((*peer, *end));
            let Ok(deed) = state.replica.deed(*peer, start, *end) else { return Vec::new() };
            let (sum, op) = found.entry(*at).or_default();
            sum.extend(deed);
            *op = (*peer, end.saturating_sub(1));
        }
        let marks = found.iter().filter_map(|(at, (deed, _))| Some((deed.mark?, *at)));
        let deletion = marks.max_by_key(|(mark, _)| mark.order).filter(|(mark, _)| mark.deleted);
        let deletion = deletion.map(|(mark, at)| (mark.op, at));
        let replica = &mut state.replica;
        let told = found.into_iter().map(|(at, (deed, op))| {
            let standing =
                deletion.map(|(of, by)| if at == by { Standing::Deletion } else { standing(replica, of, op) });
            EntryDeed { at, deed, standing }
        });
        told.collect()
    }
}

fn standing(replica: &mut Replica, deletion: (u64, u32), op: (u64, u32)) -> Standing {
    if replica.builds_on(op, deletion).unwrap_or(false) {
        Standing::After
    } else if replica.builds_on(deletion, op).unwrap_or(false) {
        Standing::Before
    } else {
        Standing::Beside
    }
}
