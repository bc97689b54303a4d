//! Reports the effect of each entry on an open document.

use super::Documents;
use crate::crdt::Deed;
use crate::ids::{DocRef, EntryRef};
use std::collections::BTreeMap;

/// The effect of an entry on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryDeed {
    /// The entry.
    pub at: EntryRef,
    /// The effect.
    pub deed: Deed,
    /// The operations of the entry: peer, first counter, and the counter after the last.
    pub ops: (u64, u32, u32),
}

impl Documents {
    /// Returns the effects of the entries that an open document has imported. Empty if it is not open, or
    /// broken.
    pub(crate) fn deeds(&mut self, doc: DocRef) -> Vec<EntryDeed> {
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.ready) else { return Vec::new() };
        let mut found: BTreeMap<EntryRef, (Deed, (u64, u32, u32))> = BTreeMap::new();
        let mut last = None;
        for ((peer, end), (at, _)) in &state.brought {
            let start = last.filter(|(of, _)| of == peer).map_or(0, |(_, end)| end);
            last = Some((*peer, *end));
            let Ok(deed) = state.replica.deed(*peer, start, *end) else { return Vec::new() };
            let (sum, ops) = found.entry(*at).or_insert((deed, (*peer, start, *end)));
            sum.extend(deed);
            ops.2 = *end;
        }
        found.into_iter().map(|(at, (deed, ops))| EntryDeed { at, deed, ops }).collect()
    }
}
