//! The ledger: the durable side of the endpoint. Logs, control records, keys, and the commits that keep them.
//!
//! It appends to this store's own logs, accepts verified runs of others', reads entries into rows, and
//! publishes progress once the store has confirmed it. It knows nothing of links and never opens a Loro
//! document (`spec/storage.md`).

mod accept;
mod append;
mod catalog;
mod control;
mod entry_cache;
mod fork_index;
pub(crate) mod forks;
#[cfg(feature = "testkit")]
mod image;
mod making;
mod opened;
mod owners;
mod progress;
mod read;
mod recover;
pub(crate) mod registry;

pub use accept::Refusal;
pub(crate) use accept::Run;
pub(crate) use append::{Writing, mint_doc_id};
pub(crate) use catalog::View;
pub(crate) use entry_cache::Held;
#[cfg(feature = "testkit")]
pub use image::Image;
pub use making::Moment;
pub(crate) use making::{MakeStep, Touch, Touched};
pub(crate) use read::BodyKeys;
pub use recover::RecoverError;
pub(crate) use recover::{Loading, Step};

use crate::config::Config;
use crate::entropy::Entropy;
use crate::ids::{
    CollectionId, CommitId, DeviceId, DocRef, EntryRef, Incarnation, Instance, LinkId, LogId, PartNo, ReadId,
};
use crate::log::{Codec, EntryBuilder, Weight};
use crate::spaces::{Partition, Space, SpaceError, Spaces};
use crate::storage::queue::StoreQueue;
use crate::storage::rows::{Doubt, FeedRow, IndexRow, META_FEED, cursor_row, delete, doc_key, doubt_key, put};
use crate::storage::{Op, StoreRequest, Table};
use crate::sync::{Bodies, Cursor, LogNo, SpaceNo};
use crate::time::Now;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use entry_cache::EntryCache;
use fork_index::{ForkIndex, ForkStep};
use opened::Opened;
use progress::Progress;
use registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Purpose of a store request, handled at its completion.
#[derive(Debug)]
pub(crate) enum Work {
    /// A commit became durable.
    Commit(Vec<Effect>),
    /// Entries of a log came, to be read into rows.
    Entries(LogNo),
    /// Entries of a log came, to be sent.
    Serve { link: LinkId, log: LogNo, part: ServePart },
    /// Entries came, for their hashes or citations.
    ForkIndex(ForkStep),
    /// Rows came for an open document.
    Doc { doc: DocRef, life: u64, step: DocStep },
    /// Rows came that the layer above requested.
    App(ReadId),
    /// Something came, or was stored, for a pass that makes values.
    Make { pass: u64, step: MakeStep },
}

/// Number of changes that are kept for queries of later changes.
const CHANGES_KEPT: u64 = 1_000_000;

/// Part of a stretch of a log that came from the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ServePart {
    Entries,
    Heads,
    /// The same, for a peer that requested one history.
    BranchEntries,
    BranchHeads,
}

impl ServePart {
    pub(crate) const fn is_branch(self) -> bool {
        matches!(self, Self::BranchEntries | Self::BranchHeads)
    }
}

/// Data that came for a document.
#[derive(Debug)]
pub(crate) enum DocStep {
    /// Index rows of the document, from a scan that may go on.
    Index(crate::storage::Scan),
    /// Entries, in the order asked for.
    Entries(Vec<EntryRef>),
}

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

/// Writes that go into one commit, and the effects of that commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) effects: Vec<Effect>,
    /// Logs whose row must be written; true if the tip moved.
    touched: BTreeMap<LogNo, bool>,
    /// Documents that the batch changes; true if only this store changes them.
    changed: BTreeMap<DocRef, bool>,
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
}

/// The durable side of the endpoint.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) entropy: Entropy,
    pub(crate) incarnation: Incarnation,
    /// This start of the store.
    pub(crate) instance: Instance,
    pub(crate) spaces: Spaces,
    pub(crate) registry: Registry,
    signing: BTreeMap<LogNo, SigningKey>,
    /// The live log that this process writes in each partition.
    live: BTreeMap<PartNo, LogNo>,
    /// The control log that this process writes in each space.
    control_logs: BTreeMap<SpaceNo, LogNo>,
    cursors: BTreeMap<(DeviceId, SpaceNo), Cursor>,
    pub(crate) entry_cache: EntryCache,
    /// Logs with entries that wait to be read; `reading` are those with a scan under way.
    unread: BTreeSet<LogNo>,
    reading: BTreeSet<LogNo>,
    /// Logs whose unread entries must be requested from the store.
    waking: BTreeSet<LogNo>,
    /// Hash over the ends of all logs that this device wrote; an input of the next log key.
    tips: [u8; 32],
    /// This device's earlier logs, by partition, that no card names yet.
    unnamed: BTreeSet<(PartNo, LogNo)>,
    /// Logs that cards name as earlier ones and whose owner is not known yet, each with the log of such a
    /// card.
    expected: BTreeSet<(LogId, LogNo)>,
    /// Logs that the most recently opened card names, with that card's log.
    opened: Option<(LogNo, Arc<[LogId]>)>,
    /// Data that tells the histories of forked logs apart.
    fork_index: ForkIndex,
    /// True once the excluded entries were determined since the start.
    branches_chosen: bool,
    /// Documents that excluded entries touch; the documents module examines them.
    pub(crate) affected: BTreeSet<DocRef>,
    /// Logs of this process that ended because another process signs with their key.
    pub(crate) ended: Vec<LogId>,
    /// Histories that peers must be asked for, by their heads: (log, seq, h).
    pub(crate) wanted: Vec<(LogNo, u64, [u8; 32])>,
    /// Logs that have a further history which was not reported yet.
    pub(crate) forked: Vec<LogId>,
    /// True if something was learned that may make unread entries readable.
    woken: bool,
    /// Materialised values for the next commit, with the collection of each deleted document. They are a
    /// cache, so they cause no commit of their own.
    cached: BTreeMap<DocRef, (Bytes, Option<CollectionId>)>,
    /// Number of commits under way that index each document: its value in memory is not the newest.
    indexing: BTreeMap<DocRef, usize>,
    /// The number of the next change of a document.
    pub(crate) next_change: u64,
    /// Cursors for the next commit. A lost cursor only costs its peer a longer list of changes.
    cursors_unsaved: BTreeSet<(DeviceId, SpaceNo)>,
    builder: EntryBuilder,
    /// Bytes that this store wrote since its start, by use.
    pub(crate) written: Weight,
    codec: Codec,
    kept: Opened,
    pub(crate) touched: Touched,
    pub(crate) store: StoreQueue<Work>,
}

impl Ledger {
    pub(crate) fn space(&self, no: SpaceNo) -> &Space {
        self.spaces.space(no)
    }

    /// Returns a partition by a number that a caller may have made.
    pub(crate) fn known_partition(&self, no: PartNo) -> Result<&Partition, SpaceError> {
        self.spaces.known_partition(no)
    }

    /// Returns the log that this process writes in a partition, if there is one.
    pub(crate) fn live(&self, part: PartNo) -> Option<LogNo> {
        self.live.get(&part).copied()
    }

    pub(crate) fn poll_store(&mut self) -> Option<StoreRequest> {
        self.store.poll()
    }

    /// Sends a batch to the store. The rows of the logs that it touched come last.
    pub(crate) fn submit(&mut self, mut batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if planted!("head.not-in-commit") {
            let (ops, effects) = (core::mem::take(&mut batch.ops), core::mem::take(&mut batch.effects));
            self.store.commit(ops, Work::Commit(effects));
        }
        for (no, tip_moved) in core::mem::take(&mut batch.touched) {
            if tip_moved {
                self.registry.assign_position(no);
            }
            let log = self.registry.log(no);
            if !(planted!("log.row-behind") && log.next_seq() % 8 == 5) {
                batch.ops.push(log.row());
            }
            batch.effects.push(Effect::Grown { log: no, progress: Box::new(log.staged().clone()) });
        }
        self.number_changes(&mut batch);
        self.add_unsaved(&mut batch.ops);
        self.store.commit(batch.ops, Work::Commit(batch.effects));
    }

    /// Numbers the changes of a batch, and drops the oldest ones.
    fn number_changes(&mut self, batch: &mut Batch) {
        if batch.changed.is_empty() {
            return;
        }
        for (doc, here) in core::mem::take(&mut batch.changed) {
            batch.ops.push(FeedRow { number: self.next_change, doc, here }.op());
            if let Some(old) = self.next_change.checked_sub(CHANGES_KEPT) {
                batch.ops.push(delete(Table::Feed, FeedRow::key(old)));
            }
            self.next_change += 1;
        }
        batch.ops.push(put(Table::Meta, META_FEED, self.next_change.to_be_bytes().to_vec()));
    }

    /// Adds writes that wait for any commit.
    fn add_unsaved(&mut self, ops: &mut Vec<Op>) {
        for (doc, (row, deleted)) in core::mem::take(&mut self.cached) {
            ops.push(put(Table::Value, doc_key(doc), row));
            ops.push(match deleted {
                Some(collection) => put(Table::Tally, doubt_key(doc), Doubt::Deleted(collection).encode()),
                None => delete(Table::Tally, doubt_key(doc)),
            });
        }
        for at in core::mem::take(&mut self.cursors_unsaved) {
            if let Some(cursor) = self.cursors.get(&at) {
                ops.push(cursor_row(&at.0, at.1, cursor));
            }
        }
    }

    /// Keeps a materialised value for the next commit, with the name of the collection if the document is
    /// deleted.
    pub(crate) fn cache_value(&mut self, doc: DocRef, row: Bytes, deleted: Option<&str>) {
        let deleted = deleted.map(|name| self.spaces.of_partition(doc.partition).collection(name));
        self.cached.insert(doc, (row, deleted));
        if reached!(KeptValues, self.cached.len() >= self.config.steps.kept_values) {
            self.submit_unsaved();
        }
    }

    /// Commits writes that wait for any commit.
    pub(crate) fn submit_unsaved(&mut self) {
        self.submit_unsaved_for(Work::Commit(Vec::new()));
    }

    /// Commits writes that wait for any commit. Returns whether there were any.
    pub(crate) fn submit_unsaved_for(&mut self, then: Work) -> bool {
        let mut ops = Vec::new();
        self.add_unsaved(&mut ops);
        let any = !ops.is_empty();
        if any {
            self.store.commit(ops, then);
        }
        any
    }

    /// Drops an outdated materialised value. If the change may delete the document, the document is doubted
    /// from now on; otherwise, a doubt stays if there was one.
    pub(crate) fn drop_cached(&mut self, doc: DocRef, touch: Touch, batch: &mut Batch) {
        batch.change(doc, touch.here);
        let (table, key, value) = (Table::Tally, doubt_key(doc), Doubt::Unknown.encode());
        batch.ops.push(match touch.may_delete {
            true => Op::Put { table, key, value },
            false => Op::Replace { table, key, value },
        });
        if planted!("cache.stale") {
            return;
        }
        self.cached.remove(&doc);
        self.touched.note(doc);
        batch.ops.push(delete(Table::Value, doc_key(doc)));
    }

    /// Returns the effect of a commit that indexes these sections.
    pub(crate) fn indexing(&mut self, rows: Vec<(DocRef, IndexRow)>) -> Effect {
        for (doc, _) in &rows {
            *self.indexing.entry(*doc).or_default() += 1;
        }
        Effect::Indexed(rows)
    }

    /// Notes that the commit of these sections is durable.
    pub(crate) fn indexed(&mut self, rows: &[(DocRef, IndexRow)]) {
        for (doc, _) in rows {
            if let Some(count) = self.indexing.get_mut(doc) {
                *count -= 1;
                if *count == 0 {
                    self.indexing.remove(doc);
                }
            }
        }
    }

    /// Returns whether a commit under way indexes sections of a document.
    pub(crate) fn is_indexing(&self, doc: DocRef) -> bool {
        self.indexing.contains_key(&doc)
    }

    /// Returns the documents of which a commit under way indexes sections.
    pub(crate) fn indexing_docs(&self) -> impl Iterator<Item = DocRef> {
        self.indexing.keys().copied()
    }

    /// Stores the position up to which a peer's journal was read.
    pub(crate) fn save_cursor(&mut self, peer: DeviceId, space: SpaceNo, cursor: Cursor) {
        if self.cursors.insert((peer, space), cursor) != Some(cursor) {
            self.cursors_unsaved.insert((peer, space));
        }
    }

    /// Makes a log's progress the durable one. Returns the seq after the previously known head.
    pub(crate) fn publish(&mut self, log: LogNo, progress: Progress) -> u64 {
        let before = self.registry.log(log).durable.tip.as_ref().map_or(0, |tip| tip.seq + 1);
        self.registry.publish(log, progress);
        self.poll_fork_index();
        self.wake(log);
        before
    }

    pub(crate) fn set_bodies(&mut self, space: SpaceNo, bodies: Bodies) {
        let mut batch = Batch::default();
        batch.ops.push(self.spaces.set_bodies(space, bodies));
        self.submit(batch);
    }

    /// Returns whether entries can be appended to a log here.
    pub(crate) fn can_append(&self, log: LogNo) -> bool {
        (log.0 as usize) < self.registry.len() && self.registry.log(log).mine && !self.registry.log(log).closed
    }
}
