//! Batches: the writes of one commit, and the facts that become true with it.

use super::progress::Progress;
use crate::ids::{CommitId, DeviceId, DocRef, LinkId, LogNo, SpaceNo};
use crate::storage::rows::{Doubt, IndexRow, delete, doc_key, doubt_key};
use crate::storage::{Op, Table};
use std::collections::BTreeMap;

/// A fact that becomes true when a commit is durable.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A log goes this far.
    Grown { log: LogNo, progress: Box<Progress> },
    /// Data of a link is durable; it may be acknowledged.
    Received { link: LinkId, log: LogNo },
    /// Sections of documents were indexed.
    Indexed(Vec<(DocRef, IndexRow)>),
    /// The values of documents that excluded entries touch were dropped.
    Dropped(Vec<DocRef>),
    /// Edits made here are durable.
    Committed(Vec<CommitId>),
    /// A device was admitted over this link.
    Admitted { link: LinkId, accept: Vec<u8>, device: DeviceId, space: SpaceNo },
    /// This device joined a space over this link.
    Joined { link: LinkId, space: SpaceNo },
    /// A space was made or changed.
    SpaceChanged(SpaceNo),
}

/// Kind of a document's change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch {
    /// True if the document was changed here.
    pub(crate) here: bool,
    /// True if the change may delete the document, or if its body is not held here.
    pub(crate) may_delete: bool,
}

/// Writes that go into one commit, and the effects of that commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) effects: Vec<Effect>,
    /// Logs whose row must be written; true if the tip moved.
    touched: BTreeMap<LogNo, bool>,
    /// Documents that the batch changes; true if only this store changes them.
    changed: BTreeMap<DocRef, bool>,
    /// Documents with a value that the batch drops, until the caller forgets it.
    outdated: Vec<DocRef>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.effects.is_empty() && self.touched.is_empty()
    }

    /// Records that a document changes with this batch.
    pub(crate) fn change(&mut self, doc: DocRef, here: bool) {
        *self.changed.entry(doc).or_insert(here) &= here;
    }

    /// Has the log's row written with this batch. `tip_moved` is true if the log grew.
    pub(crate) fn touch(&mut self, log: LogNo, tip_moved: bool) {
        *self.touched.entry(log).or_default() |= tip_moved;
    }

    /// Takes the logs whose row must be written; true if the tip moved.
    pub(crate) fn take_touched(&mut self) -> BTreeMap<LogNo, bool> {
        core::mem::take(&mut self.touched)
    }

    /// Takes the documents that the batch changes; true if only this store changes them.
    pub(crate) fn take_changed(&mut self) -> BTreeMap<DocRef, bool> {
        core::mem::take(&mut self.changed)
    }

    /// Takes the documents whose values are to be forgotten in memory.
    pub(crate) fn take_outdated(&mut self) -> Vec<DocRef> {
        core::mem::take(&mut self.outdated)
    }

    /// Drops an outdated materialised value. If the change may delete the document, the document is doubted
    /// from now on; otherwise, a doubt stays if there was one.
    pub(crate) fn drop_value(&mut self, doc: DocRef, touch: Touch) {
        self.change(doc, touch.here);
        let (table, key, value) = (Table::Tally, doubt_key(doc), Doubt::Unknown.encode());
        self.ops.push(match touch.may_delete {
            true => Op::Put { table, key, value },
            false => Op::Replace { table, key, value },
        });
        if planted!("cache.stale") {
            return;
        }
        self.outdated.push(doc);
        self.ops.push(delete(Table::Value, doc_key(doc)));
    }
}
