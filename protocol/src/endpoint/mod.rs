//! The endpoint: the one object that a runtime drives.
//!
//! It routes facts to three machines and drains what they want done: the ledger (logs and keys), the documents (open
//! documents) and the links (connections and their sync sessions). It holds no policy of its own.
//!
//! ```text
//!   handle_link_up / handle_bytes / handle_link_lost ──► links ──► ledger ──► documents
//!   handle_stored ─────────────────────────────────────► ledger, documents, links
//!   open / edit / close ───────────────────────────────► documents ──► ledger
//!   poll_store ◄── ledger      poll_transmit ◄── links      poll_event ◄── all
//! ```
//!
//! Contract: the same seed and inputs give the same outputs; any number of inputs may come between drains; `now` never
//! goes back; nothing is sent or acknowledged before the store confirmed it; every queue is bounded by
//! [`Limits`](crate::config::Limits); no bytes of a peer can make it panic.

mod event;
mod links;
mod spaces;
mod stats;

pub use event::{CloseReason, CommitId, Event, LinkId, Process, ReadId, ReadResult};
pub use links::Dial;
pub use spaces::{NewDoc, PartitionInfo, SpaceInfo};
pub use stats::{LinkInfo, LogInfo, Stats};

use crate::crdt::{Replica, TextPaths};
use crate::documents::{Documents, Edit, EditError, Hold, Missing, Snapshot};
use crate::ids::Incarnation;
use crate::ledger::{DocRef, DocStep, Effect, Ledger, MakeStep, Moment, PartNo, ServePart, Work};
use crate::storage::{Op, Read, Scan, StoreDone, StoreRequest, Table};
use crate::sync::LogNo;
use crate::time::{Deadline, Now};
use bytes::Bytes;
use links::Links;
use std::collections::{BTreeMap, VecDeque};

/// By how many milliseconds the wall clock and the monotonic clock may drift apart from one input to the next.
const DRIFT_MS_MAX: u64 = 60_000;

/// See the module's head.
#[derive(Debug)]
pub struct Endpoint {
    ledger: Ledger,
    documents: Documents,
    links: Links,
    events: VecDeque<Event>,
    next_read: u64,
    failed: bool,
}

impl Endpoint {
    pub(crate) fn start(ledger: Ledger, now: Now) -> Self {
        let links = Links::new(&ledger);
        let mut endpoint = Self {
            ledger,
            documents: Documents::default(),
            links,
            events: VecDeque::new(),
            next_read: 0,
            failed: false,
        };
        endpoint.advance(now);
        endpoint.settle();
        endpoint
    }

    /// A connection was made: dialled by this side for a purpose, or accepted (`None`). Returns its number.
    pub fn handle_link_up(&mut self, now: Now, dial: Option<Dial>) -> LinkId {
        self.advance(now);
        let link = self.links.open(&mut self.ledger, dial, &mut self.events);
        self.settle();
        link
    }

    /// Bytes came on a link, cut anywhere. Bytes of a link that is gone are ignored.
    pub fn handle_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        self.advance(now);
        self.links.handle_bytes(&mut self.ledger, link, bytes, &mut self.events);
        self.settle();
    }

    /// A connection ended, by whichever side.
    pub fn handle_link_lost(&mut self, now: Now, link: LinkId) {
        self.advance(now);
        self.links.lost(link, &mut self.events);
        self.settle();
    }

    /// A store request completed.
    pub fn handle_stored(&mut self, now: Now, done: StoreDone) {
        self.advance(now);
        let Some(work) = self.ledger.store.complete(&done) else { return };
        if let StoreDone::Failed { error, .. } = &done {
            self.handle_store_failed(work, error.clone());
        } else {
            self.handle_work(work, done);
        }
        self.settle();
    }

    /// A deadline passed. Early or late calls do no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.documents.handle_timeout(&mut self.ledger, &mut self.events);
        self.links.handle_timeout(&self.ledger, &mut self.events);
        self.settle();
    }

    /// Appends bytes that a link should send, about one transport message; returns whether there were any.
    pub fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        self.advance(now);
        let any = self.links.poll_transmit(&mut self.ledger, link, out, &mut self.events);
        self.settle();
        any
    }

    /// The next request for the store.
    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        let request = self.ledger.poll_store();
        if let (true, Some(StoreRequest::Commit { id, .. })) = (planted!("commit.not-awaited"), &request) {
            let done = StoreDone::Committed { id: *id };
            self.handle_stored(self.ledger.now, done);
        }
        request
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        [self.documents.deadline(&self.ledger), self.links.deadline(&self.ledger)].into_iter().flatten().min()
    }

    /// The links, in the order in which they were opened.
    pub fn links(&self) -> Vec<LinkId> {
        self.links.ids()
    }

    /// Opens and pins a document; [`Event::Opened`] follows.
    pub fn open(&mut self, now: Now, doc: DocRef) {
        self.advance(now);
        self.documents.open(&mut self.ledger, doc, &mut self.events);
        self.settle();
    }

    /// Lets a document go.
    pub fn close(&mut self, now: Now, doc: DocRef) {
        self.advance(now);
        self.documents.close(&mut self.ledger, doc);
        self.settle();
    }

    /// Applies edits to open documents of one partition as one transaction, all or none, at once. They are safe, and on
    /// their way to peers, once [`Event::Committed`] tells of the returned id. With `urgent` they don't wait to share
    /// an entry with edits still to come. Strings at `texts` become texts that merge character by character.
    ///
    /// # Errors
    /// When nothing was applied; the error says why.
    pub fn edit(
        &mut self,
        now: Now,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
    ) -> Result<CommitId, EditError> {
        self.edit_with(now, edits, texts, urgent, Vec::new())
    }

    /// As [`Self::edit`], and writes rows of the layer above in the same commit.
    ///
    /// # Errors
    /// When nothing was applied; the error says why.
    pub fn edit_with(
        &mut self,
        now: Now,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
        rows: Vec<Op>,
    ) -> Result<CommitId, EditError> {
        self.advance(now);
        let result = self.documents.edit(&mut self.ledger, edits, texts, urgent, rows);
        if let (true, Ok(commit)) = (planted!("edit.told-early"), &result) {
            self.events.push_back(Event::Committed { commits: vec![*commit] });
        }
        self.settle();
        result
    }

    /// The number of the next change of a document, and the life of the store that numbers them.
    pub fn next_change(&self) -> (Incarnation, u64) {
        (self.ledger.incarnation, self.ledger.next_change)
    }

    /// Makes an entry of the edits gathered so far without waiting for the window to end.
    pub fn flush(&mut self, now: Now) {
        self.advance(now);
        self.documents.flush(&mut self.ledger);
        self.settle();
    }

    /// Holds an open document back to these entries of others' logs; `None` lets everything in again.
    pub fn hold(&mut self, now: Now, doc: DocRef, hold: Option<Hold>) {
        self.advance(now);
        self.documents.hold(&mut self.ledger, doc, hold, &mut self.events);
        self.settle();
    }

    /// The name and value of an open document; `None` if it is not open or does not exist.
    pub fn view(&mut self, doc: DocRef) -> Option<Snapshot> {
        let snapshot = self.documents.snapshot(doc);
        self.documents.mend(&mut self.ledger, doc);
        snapshot
    }

    /// An open document's replica, for its history and single paths.
    pub fn replica(&mut self, doc: DocRef) -> Option<&mut Replica> {
        self.documents.mend(&mut self.ledger, doc);
        self.documents.replica(doc)
    }

    /// Whether what [`Self::view`] shows of a document, if it is open, is all that is stored of it: nothing is on its way
    /// into memory or held back.
    pub fn is_current(&self, doc: DocRef) -> bool {
        !self.ledger.is_indexing(doc) && self.documents.is_current(doc)
    }

    /// Which entries an open document has taken in: for each log, up to and including which.
    pub fn seen(&self, doc: DocRef) -> BTreeMap<LogNo, u64> {
        self.documents.seen(doc)
    }

    /// What each entry did that an open document has taken in.
    pub fn deeds(&mut self, doc: DocRef) -> Vec<crate::documents::EntryDeed> {
        self.documents.mend(&mut self.ledger, doc);
        self.documents.deeds(doc)
    }

    /// Entries of an open document that are excluded: they belong to a history of their log that is not kept, or build on
    /// one.
    pub fn left_out(&self, doc: DocRef) -> Vec<crate::ledger::EntryRef> {
        self.documents.left_out(doc)
    }

    /// Writes all excluded entries of a document again as this process's own, whoever wrote them.
    /// [`Event::Republished`] follows if there are any.
    pub fn publish_excluded(&mut self, now: Now, doc: DocRef) {
        self.advance(now);
        self.documents.publish_excluded(&mut self.ledger, doc);
        self.settle();
    }

    /// Whether [`Self::publish_excluded`] was called for a document and is not done.
    pub fn is_publishing(&self, doc: DocRef) -> bool {
        self.documents.is_publishing(doc)
    }

    /// What an open document lacks, and why.
    pub fn missing(&self, doc: DocRef) -> Vec<Missing> {
        self.documents.missing(doc)
    }

    /// Reads rows for the layer above, behind all that was written so far; [`Event::Read`] follows.
    pub fn read(&mut self, keys: Vec<(Table, Bytes)>) -> ReadId {
        self.read_of(Read::Ordered, keys)
    }

    /// Reads consecutive rows for the layer above, behind all that was written so far; [`Event::Read`] follows.
    pub fn scan(&mut self, scan: Scan) -> ReadId {
        self.scan_of(Read::Ordered, scan)
    }

    /// Reads rows for the layer above, as they are durable: beside commits, not behind them. [`Event::Read`] follows.
    pub fn read_durable(&mut self, keys: Vec<(Table, Bytes)>) -> ReadId {
        self.read_of(Read::Durable, keys)
    }

    /// Reads consecutive rows for the layer above, as they are durable: beside commits, not behind them. [`Event::Read`]
    /// follows.
    pub fn scan_durable(&mut self, scan: Scan) -> ReadId {
        self.scan_of(Read::Durable, scan)
    }

    /// Makes and stores the values of all documents of a partition that have none; [`Event::Read`] follows with
    /// [`ReadResult::Made`]. Values that cannot be made, or of what is open, are left out.
    pub fn make_values(&mut self, partition: PartNo) -> ReadId {
        let id = self.next_read();
        self.documents.make_values(partition, id);
        id
    }

    /// The present moment: what is read from here on is as new as all that was written until now.
    pub const fn moment(&self) -> Moment {
        self.ledger.touched.now()
    }

    /// Adds writes of the layer above to the next commit, or makes one for them.
    pub fn write(&mut self, now: Now, ops: Vec<Op>) -> CommitId {
        self.advance(now);
        self.documents.write(&mut self.ledger, ops)
    }

    /// The durable side, for hostile peers that begin as honest ones.
    #[cfg(feature = "testkit")]
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The open documents, for tests that compare them with what entries say.
    #[cfg(feature = "testkit")]
    pub(crate) const fn documents(&self) -> &Documents {
        &self.documents
    }

    fn read_of(&mut self, read: Read, keys: Vec<(Table, Bytes)>) -> ReadId {
        let id = self.next_read();
        self.ledger.store.get_of(read, keys, Work::App(id));
        id
    }

    fn scan_of(&mut self, read: Read, scan: Scan) -> ReadId {
        let id = self.next_read();
        self.ledger.store.scan_of(read, scan, Work::App(id));
        id
    }

    fn next_read(&mut self) -> ReadId {
        let id = ReadId(self.next_read);
        self.next_read += 1;
        id
    }

    /// Mixes fresh randomness of the operating system into all keys to come. Drivers call it whenever they wake up, before
    /// the inputs that woke them: memory that was copied then leads to other keys in each copy.
    pub fn stir(&mut self, fresh: &[u8; 32]) {
        self.ledger.entropy.stir(fresh);
    }

    /// Takes the time. Clocks that drift apart tell of a sleep or of memory that was resumed, perhaps more than once: the
    /// live logs end.
    fn advance(&mut self, now: Now) {
        let mono_us = now.mono_us.max(self.ledger.now.mono_us);
        let now = Now { mono_us, ..now };
        let drifted = self.ledger.now.drift_ms(&now) > DRIFT_MS_MAX;
        self.ledger.now = now;
        if drifted && !planted!("clock.drift-ignored") {
            self.documents.end_live_logs(&mut self.ledger);
        }
    }

    /// What every input ends with: reads that were made possible are asked for, failures are told.
    fn settle(&mut self) {
        self.ledger.poll_unread();
        self.ledger.poll_epochs();
        self.ledger.poll_survey();
        for log in core::mem::take(&mut self.ledger.ended) {
            self.events.push_back(Event::Retired { log });
        }
        for log in core::mem::take(&mut self.ledger.forked) {
            self.events.push_back(Event::Forked { log });
        }
        if self.ledger.judge() {
            self.documents.rebuild(&mut self.ledger);
        }
        if !self.ledger.is_judging() {
            self.documents.examine(&mut self.ledger);
        }
        self.documents.tell_left(&mut self.events);
        self.documents.tell_failed(&mut self.events);
    }

    fn handle_work(&mut self, work: Work, done: StoreDone) {
        match (work, done) {
            (Work::Commit(effects), _) => self.handle_effects(effects),
            (Work::Entries(log), StoreDone::Scanned { rows, .. }) => self.ledger.handle_entries(log, &rows),
            (Work::ForkIndex(step), StoreDone::Scanned { rows, more, .. }) => {
                if let Some(log) = self.ledger.handle_survey(step, &rows, more) {
                    self.links.resume_branches(&self.ledger, log);
                    self.links.run(&mut self.ledger, &mut self.events);
                }
            }
            (Work::Serve { link, log, part }, StoreDone::Scanned { rows, .. }) => {
                self.links.handle_serve(&self.ledger, link, log, part, rows);
            }
            (Work::Doc { doc, life, step }, StoreDone::Scanned { rows, more, .. }) => {
                let found = Ok((rows.into_iter().map(Some).collect(), more));
                self.documents.handle_rows(&mut self.ledger, doc, life, step, found, &mut self.events);
            }
            (Work::Doc { doc, life, step }, StoreDone::Got { values, .. }) => {
                let found = values.into_iter().map(|value| Some((Bytes::new(), value?))).collect();
                self.documents.handle_rows(&mut self.ledger, doc, life, step, Ok((found, false)), &mut self.events);
            }
            (Work::App(id), StoreDone::Scanned { rows, more, .. }) => {
                self.events.push_back(Event::Read { id, result: ReadResult::Rows { rows, more } });
            }
            (Work::App(id), StoreDone::Got { values, .. }) => {
                self.events.push_back(Event::Read { id, result: ReadResult::Values(values) });
            }
            (Work::Make { pass, step }, StoreDone::Scanned { rows, more, .. }) => {
                let found = Ok((rows.into_iter().map(Some).collect(), more));
                self.documents.handle_made(&mut self.ledger, pass, step, found, &mut self.events);
            }
            (Work::Make { pass, step }, StoreDone::Got { values, .. }) => {
                let found = values.into_iter().map(|value| Some((Bytes::new(), value?))).collect();
                self.documents.handle_made(&mut self.ledger, pass, step, Ok((found, false)), &mut self.events);
            }
            (Work::Make { pass, step }, _) => {
                let stored = Ok((Vec::new(), false));
                self.documents.handle_made(&mut self.ledger, pass, step, stored, &mut self.events);
            }
            // A driver that answers a request with another kind of completion: there is nothing to go on with.
            (Work::Entries(_) | Work::ForkIndex(_) | Work::Serve { .. } | Work::Doc { .. } | Work::App(_), _) => {}
        }
    }

    /// After a failed commit the memory is ahead of the store: nothing more is acknowledged or sent, and the driver is
    /// told to recover anew. A failed read fails what it was for.
    fn handle_store_failed(&mut self, work: Work, error: crate::storage::StoreError) {
        match work {
            Work::Commit(effects) => {
                self.failed = true;
                for effect in effects {
                    if let Effect::Committed(commits) = effect {
                        self.events.push_back(Event::EditsFailed { commits });
                        self.documents.handle_failed();
                    }
                }
                self.links.close_all(crate::wire::close::CloseCode::StoreFailed, &mut self.events);
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::Doc { doc, life, step } => {
                let step = match step {
                    DocStep::Index(scan) => DocStep::Index(scan),
                    DocStep::Entries(_) => DocStep::Entries(Vec::new()),
                };
                self.documents.handle_rows(&mut self.ledger, doc, life, step, Err(()), &mut self.events);
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::App(id) => self.events.push_back(Event::Read { id, result: ReadResult::Failed(error) }),
            Work::Make { pass, step } => {
                if matches!(step, MakeStep::Stored) {
                    self.failed = true;
                    self.links.close_all(crate::wire::close::CloseCode::StoreFailed, &mut self.events);
                }
                self.documents.handle_made(&mut self.ledger, pass, step, Err(error.clone()), &mut self.events);
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::ForkIndex(_) => self.events.push_back(Event::StoreFailed { error }),
            Work::Serve { link, log, part } => {
                let entries = if part.is_branch() { ServePart::BranchEntries } else { ServePart::Entries };
                self.links.handle_serve(&self.ledger, link, log, entries, Vec::new());
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::Entries(log) => {
                self.ledger.handle_entries(log, &[]);
                self.events.push_back(Event::StoreFailed { error });
            }
        }
    }

    fn handle_effects(&mut self, effects: Vec<Effect>) {
        if self.failed {
            return;
        }
        let mut committed = 0;
        for effect in effects {
            match effect {
                Effect::Grown { log, progress } => {
                    let from = self.ledger.publish(log, *progress);
                    self.links.handle_grown(&self.ledger, log, from);
                }
                Effect::Received { link, log } => self.links.handle_durable(&self.ledger, link, log),
                Effect::Indexed(rows) => {
                    self.ledger.indexed(&rows);
                    self.documents.handle_indexed(&mut self.ledger, rows, &mut self.events);
                }
                Effect::Committed(commits) => {
                    committed += 1;
                    self.events.push_back(Event::Committed { commits });
                }
                Effect::Admitted { link, accept, device, space } => {
                    self.links.send_accept(link, &accept);
                    self.events.push_back(Event::Admitted { device, space });
                }
                Effect::Joined { link, space } => {
                    self.links.finish_join(link, &mut self.events);
                    self.events.push_back(Event::Joined { space });
                }
                Effect::SpaceChanged(space) => {
                    self.links.handle_space(&self.ledger, space);
                    self.events.push_back(Event::SpaceChanged { space });
                }
            }
        }
        for _ in 0..committed {
            self.documents.handle_committed(&mut self.ledger);
        }
        self.links.run(&mut self.ledger, &mut self.events);
    }
}

#[cfg(test)]
mod tests;
