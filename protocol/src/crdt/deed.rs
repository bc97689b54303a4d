//! Determines the effect of an update on a document from its operations.

use super::{Broken, ROOT_GONE, ROOT_META, Replica};
use loro::{ContainerID, IdSpan, JsonChange, JsonMapOp, JsonOpContent, LoroValue};

/// Effect of a stretch of one peer's operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deed {
    /// True if the stretch builds on nothing: the document begins with it.
    pub begins: bool,
    /// True if the stretch changed more than the name and the deletion of the document.
    pub edits: bool,
    /// The last deletion (`true`) or restoration (`false`), if any.
    pub deletes: Option<bool>,
}

impl Replica {
    /// Returns the effect of the operations `start..end` of a peer.
    ///
    /// # Errors
    /// If the document broke.
    pub fn deed(&mut self, peer: u64, start: u32, end: u32) -> Result<Deed, Broken> {
        let counter = |number| i32::try_from(number).unwrap_or(i32::MAX);
        let changes =
            self.guarded(|doc| doc.export_json_in_id_span(IdSpan::new(peer, counter(start), counter(end))))?;
        let mut deed = Deed { begins: changes.first().is_some_and(|change| change.deps.is_empty()), ..Deed::default() };
        changes.iter().for_each(|change| deed.note(change));
        Ok(deed)
    }
}

impl Deed {
    fn note(&mut self, change: &JsonChange) {
        for op in &change.ops {
            match &op.container {
                ContainerID::Root { name, .. } if &**name == ROOT_META => {}
                ContainerID::Root { name, .. } if &**name == ROOT_GONE => {
                    if let JsonOpContent::Map(JsonMapOp::Insert { value: LoroValue::I64(counter), .. }) = &op.content {
                        self.deletes = Some(*counter >= 0);
                    }
                }
                ContainerID::Root { .. } | ContainerID::Normal { .. } => self.edits = true,
            }
        }
    }

    /// Adds the effect of later operations of the same peer.
    pub(crate) fn extend(&mut self, later: Self) {
        self.begins |= later.begins;
        self.edits |= later.edits;
        self.deletes = later.deletes.or(self.deletes);
    }
}
