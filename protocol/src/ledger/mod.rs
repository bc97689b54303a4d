//! The ledger: the durable side of the endpoint. It joins logs and spaces, and commits their rows.
//!
//! It lends spaces, randomness and the clock to the logs, submits batches with the rows of the logs that they
//! touched, and knows the purpose of each request to the store. It knows nothing of links and never opens a Loro
//! document (`spec/storage.md`).

mod catalog;
mod control;
mod cursors;
#[cfg(feature = "testkit")]
mod image;
mod making;
mod recover;

pub(crate) use catalog::View;
#[cfg(feature = "testkit")]
pub use image::Image;
pub use making::Moment;
pub(crate) use making::{MakeStep, Touched};
pub use recover::RecoverError;
pub(crate) use recover::{Loading, Step};

use crate::branch::{At, Forks, Part};
use crate::config::Config;
use crate::entropy::Entropy;
use crate::ids::{
    CollectionId, DeviceId, DocRef, EntryRef, Incarnation, Instance, LinkId, LogId, LogNo, PartNo, ReadId, SpaceNo,
};
use crate::log::header::Header;
use crate::log::read::{EntryReader, OpenError};
use crate::log::write::{Plain, SealError};
use crate::log::{Head, Lane};
use crate::logs::{
    Arrival, Asks, Batch, Effect, ForkStep, Held, Logs, News, Progress, Refusal, Run, Source, Taken, Touch,
};
use crate::sealed::Seed;
use crate::spaces::record::Record;
use crate::spaces::{Partition, Space, SpaceError, Spaces};
use crate::storage::queue::StoreQueue;
use crate::storage::rows::{Doubt, FeedRow, IndexRow, META_FEED, delete, doc_key, doubt_key, put};
use crate::storage::{Op, Row, StoreRequest, Table};
use crate::sync::{Bodies, Cursor};
use crate::time::Now;
use bytes::Bytes;
use cursors::Cursors;
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

impl Work {
    /// Returns whether the request was a commit.
    pub(crate) const fn is_commit(&self) -> bool {
        matches!(self, Self::Commit(_) | Self::Make { step: MakeStep::Stored, .. })
    }
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
    pub(crate) logs: Logs,
    cursors: Cursors,
    /// Documents that excluded entries touch; the documents module examines them.
    pub(crate) affected: BTreeSet<DocRef>,
    /// Materialised values for the next commit, with the collection of each deleted document. They are a
    /// cache, so they cause no commit of their own.
    cached: BTreeMap<DocRef, (Bytes, Option<CollectionId>)>,
    pub(crate) touched: Touched,
    /// The number of the next change of a document.
    pub(crate) next_change: u64,
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
        for (no, tip_moved) in batch.take_touched() {
            if tip_moved {
                self.logs.registry.assign_position(no);
            }
            let log = self.logs.registry.log(no);
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
        let changed = batch.take_changed();
        if changed.is_empty() {
            return;
        }
        for (doc, here) in changed {
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
        ops.extend(self.cursors.take_unsaved());
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

    /// Drops an outdated materialised value.
    pub(crate) fn drop_cached(&mut self, doc: DocRef, touch: Touch, batch: &mut Batch) {
        batch.drop_value(doc, touch);
        self.forget_outdated(batch);
    }

    /// Forgets the values that a batch drops.
    fn forget_outdated(&mut self, batch: &mut Batch) {
        for doc in batch.take_outdated() {
            self.cached.remove(&doc);
            self.touched.note(doc);
        }
    }

    /// Stores the position up to which a peer's journal was read.
    pub(crate) fn save_cursor(&mut self, peer: DeviceId, space: SpaceNo, cursor: Cursor) {
        self.cursors.set(peer, space, cursor);
    }

    pub(crate) fn set_bodies(&mut self, space: SpaceNo, bodies: Bodies) {
        let mut batch = Batch::default();
        batch.ops.push(self.spaces.set_bodies(space, bodies));
        self.submit(batch);
    }
}

/// Appends to the logs of this process.
impl Ledger {
    /// Calls the logs with the sources of new entries.
    fn write<R>(&mut self, work: impl FnOnce(&mut Logs, &mut Source<'_>) -> R) -> R {
        let Self { spaces, entropy, now, logs, .. } = self;
        work(logs, &mut Source { spaces, entropy, wall_ms: now.wall_ms })
    }

    /// Seals an entry and stages it at the end of an own log. Returns its place.
    pub(crate) fn append(
        &mut self,
        no: LogNo,
        header: &Header,
        sections: &[Plain<'_>],
        batch: &mut Batch,
    ) -> Result<EntryRef, SealError> {
        self.write(|logs, source| logs.append(no, header, sections, source, batch))
    }

    /// Appends records to this process's control log of a space. Opens that log if needed.
    pub(crate) fn append_control(
        &mut self,
        space: SpaceNo,
        records: &[Record],
        open: Option<Vec<u8>>,
        batch: &mut Batch,
    ) -> Result<(), SealError> {
        self.write(|logs, source| logs.append_control(space, records, open, source, batch))
    }

    /// Returns the live log of this process in a partition, after opening one if needed.
    pub(crate) fn live_log(&mut self, part: PartNo, batch: &mut Batch) -> LogNo {
        self.write(|logs, source| logs.live_log(part, source, batch))
    }

    /// Opens a log: makes its key and its card, and stages its row.
    pub(crate) fn open_log(&mut self, part: PartNo, lane: Lane, batch: &mut Batch) -> LogNo {
        self.write(|logs, source| logs.open_log(part, lane, source, batch))
    }

    /// Returns the logs that the card of an own log names.
    pub(crate) fn own_earlier(&mut self, no: LogNo) -> Arc<[LogId]> {
        self.logs.own_earlier(no, &self.spaces)
    }
}

/// Takes in the entries of others.
impl Ledger {
    /// Calls the logs with the surroundings of arriving data. Returns the result and the news.
    fn take<R>(
        &mut self,
        batch: &mut Batch,
        work: impl FnOnce(&mut Logs, &mut Arrival<'_>) -> Result<R, Refusal>,
    ) -> Result<(R, News), Refusal> {
        let mut arrival = Arrival::new(&mut self.spaces, batch);
        let taken = work(&mut self.logs, &mut arrival);
        let Arrival { news, asks, .. } = arrival;
        self.ask(asks);
        self.forget_outdated(batch);
        Ok((taken?, news))
    }

    /// Verifies a run and stages its new entries.
    pub(crate) fn accept(&mut self, run: &Run, batch: &mut Batch) -> Result<(Taken, News), Refusal> {
        self.take(batch, |logs, arrival| logs.accept(run, arrival))
    }

    /// Verifies a run of a log that may have several histories, and stages its new entries in the right one.
    pub(crate) fn accept_branch(
        &mut self,
        run: &Run,
        after: Option<u64>,
        batch: &mut Batch,
    ) -> Result<(Taken, News), Refusal> {
        self.take(batch, |logs, arrival| logs.accept_branch(run, after, arrival))
    }

    /// Accepts a head alone, for a replica that does not hold the entries.
    pub(crate) fn accept_head(
        &mut self,
        id: LogId,
        card: Option<&Bytes>,
        head: Head,
        batch: &mut Batch,
    ) -> Result<(LogNo, News), Refusal> {
        self.take(batch, |logs, arrival| logs.accept_head(id, card, head, arrival))
    }
}

/// Reads held entries.
impl Ledger {
    /// Asks the store for the unread entries of all logs, if something was learned that may make them
    /// readable.
    pub(crate) fn poll_unread(&mut self) {
        self.logs.wake_unread();
        while let Some(no) = self.logs.next_awake() {
            let mut batch = Batch::default();
            let scan = self.logs.read_on(no, &mut self.spaces, &mut batch);
            self.submit(batch);
            if let Some(scan) = scan {
                self.store.scan(scan, Work::Entries(no));
            }
        }
    }

    /// Takes requested entries.
    pub(crate) fn handle_entries(&mut self, no: LogNo, rows: &[Row]) {
        let mut batch = Batch::default();
        self.logs.take_entries(no, rows, &mut self.spaces, &mut batch);
        self.forget_outdated(&mut batch);
        self.submit(batch);
    }

    /// Opens the header of a stored entry.
    pub(crate) fn header_of(&mut self, at: EntryRef, reader: &EntryReader<'_>) -> Option<Header> {
        self.logs.header_of(at, reader, &self.spaces)
    }

    /// Opens a key box of an entry.
    pub(crate) fn open_key_box(&self, at: EntryRef, section: u32, held: &Held) -> Result<[u8; 16], OpenError> {
        self.logs.open_key_box(at, section, held, &self.spaces)
    }

    /// Opens the body that an index row names, if it has at most `plain_max` bytes, with the seed of its key
    /// box. Without a seed the body is a records section.
    pub(crate) fn open_body(
        &mut self,
        row: &IndexRow,
        held: &Held,
        boxed: Option<&Seed>,
        plain_max: usize,
    ) -> Result<Vec<u8>, OpenError> {
        self.logs.open_body(row, held, boxed, plain_max, &self.spaces)
    }

    /// Returns the properties of an entry on which exclusion depends.
    pub(crate) fn part(&mut self, at: EntryRef, held: &Held) -> Part<EntryRef> {
        self.logs.part(at, held, &self.spaces)
    }
}

/// Publishes progress, and tells the histories of forked logs apart.
impl Ledger {
    /// Makes a log's progress the durable one. Returns the seq after the previously known head.
    pub(crate) fn publish(&mut self, log: LogNo, progress: Progress) -> u64 {
        let (before, asks) = self.logs.publish(log, progress);
        self.ask(asks);
        before
    }

    /// Asks the store for the hashes and citations that are missing.
    pub(crate) fn poll_fork_index(&mut self) {
        let asks = self.logs.poll_fork_index();
        self.ask(asks);
    }

    /// Takes rows for the fork index. Returns a log whose hashes are now complete.
    pub(crate) fn handle_fork_index(&mut self, step: ForkStep, rows: &[Row], more: bool) -> Option<LogNo> {
        let collected = self.logs.handle_fork_index(step, rows, more, &self.spaces);
        self.affected.extend(collected.affected);
        self.ask(collected.asks);
        collected.traced
    }

    /// Chooses the kept histories, if an input changed and all inputs are complete. Returns whether the
    /// excluded entries changed, or became known.
    pub(crate) fn choose_branches(&mut self) -> bool {
        let asks = self.logs.choose_branches(&self.spaces);
        let changed = asks.is_some();
        self.ask(asks.unwrap_or_default());
        changed
    }

    fn ask(&mut self, asks: Asks) {
        for (scan, step) in asks {
            self.store.scan(scan, Work::ForkIndex(step));
        }
    }
}

impl Forks for Ledger {
    fn is_kept(&self, at: &At) -> bool {
        self.logs.is_kept(at)
    }

    fn shared(&self, a: &At, b: &At) -> u64 {
        self.logs.shared(a, b)
    }
}
