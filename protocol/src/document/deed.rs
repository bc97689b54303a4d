//! What an update did to a document, told from its operations.

use super::encode::META_DELETED;
use super::{Broken, ROOT_META, Replica};
use loro::{ContainerID, Frontiers, ID, IdSpan, JsonChange, JsonMapOp, JsonOpContent, LoroValue};

/// What a stretch of one peer's operations did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deed {
    /// It builds on nothing: the document begins with it.
    pub begins: bool,
    /// It changed more than what the document is called and whether it is deleted.
    pub edits: bool,
    /// The last mark that it set.
    pub mark: Option<Mark>,
}

/// A document was marked as deleted, or as not deleted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which of both.
    pub deleted: bool,
    /// Logical time and peer: of several marks the greatest is the one that stands.
    pub order: (u32, u64),
    /// The operation, by peer and counter.
    pub op: (u64, u32),
}

impl Replica {
    /// Tells what the operations `start..end` of a peer did.
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

    /// Whether one operation was made with another one in sight. Both are given by peer and counter.
    ///
    /// # Errors
    /// If the document broke.
    pub fn builds_on(&mut self, later: (u64, u32), earlier: (u64, u32)) -> Result<bool, Broken> {
        let id = |(peer, counter)| ID::new(peer, i32::try_from(counter).unwrap_or(i32::MAX));
        self.guarded(|doc| {
            let seen = doc.frontiers_to_vv(&Frontiers::from(id(later)));
            seen.is_some_and(|seen| seen.includes_id(id(earlier)))
        })
    }
}

impl Deed {
    fn note(&mut self, change: &JsonChange) {
        for op in &change.ops {
            if !matches!(&op.container, ContainerID::Root { name, .. } if &**name == ROOT_META) {
                self.edits = true;
                continue;
            }
            let JsonOpContent::Map(JsonMapOp::Insert { key, value: LoroValue::Bool(deleted) }) = &op.content else {
                continue;
            };
            if key == META_DELETED {
                let peer = change.id.peer;
                let lamport = change.lamport + u32::try_from(op.counter - change.id.counter).unwrap_or(0);
                let counter = u32::try_from(op.counter).unwrap_or(0);
                self.mark = Some(Mark { deleted: *deleted, order: (lamport, peer), op: (peer, counter) });
            }
        }
    }

    /// Takes in what later operations of the same peer did.
    pub(crate) fn extend(&mut self, later: Self) {
        self.begins |= later.begins;
        self.edits |= later.edits;
        self.mark = later.mark.or(self.mark);
    }
}
