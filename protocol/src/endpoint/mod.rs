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

mod links;
mod recovery;
mod spaces;
mod stats;
mod stored;

pub use crate::documents::NewDoc;
pub use crate::event::{CloseReason, Event, Process, ReadResult};
pub use crate::ids::{CommitId, LinkId, ReadId};
pub use links::Dial;
pub use recovery::{Recovery, Step};
pub use spaces::{PartitionInfo, SpaceInfo};
pub use stats::{LinkInfo, LogInfo, Stats};

use crate::crdt::{Replica, TextPaths};
use crate::documents::{Documents, Edit, EditError, Hold, Missing, Snapshot};
use crate::ids::{DocRef, Incarnation, PartNo};
use crate::ledger::{Ledger, Moment, Work};
use crate::logs::News;
use crate::storage::{Op, Read, Scan, StoreDone, StoreError, StoreRequest, Table};
use crate::sync::LogNo;
use crate::time::{Deadline, Now};
use bytes::Bytes;
use links::Links;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Largest drift between the wall clock and the monotonic clock from one input to the next, in milliseconds.
/// A larger one ends the live logs.
const DRIFT_MS_MAX: u64 = 60_000;

/// The sans-IO core that a runtime drives: logs, keys, open documents and links in one object.
///
/// [`Recovery`] makes an endpoint from a store, and [`pump`](fn@crate::pump) drives it.
///
/// # Methods
///
/// * Facts: [`handle_link_up`](Self::handle_link_up), [`handle_bytes`](Self::handle_bytes),
///   [`handle_link_lost`](Self::handle_link_lost), [`handle_stored`](Self::handle_stored),
///   [`handle_timeout`](Self::handle_timeout), [`stir`](Self::stir).
/// * Outputs: [`poll_store`](Self::poll_store), [`poll_transmit`](Self::poll_transmit),
///   [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout).
/// * Users and spaces: [`create_user`](Self::create_user), [`create_space`](Self::create_space),
///   [`create_partition`](Self::create_partition), [`invite`](Self::invite), [`set_bodies`](Self::set_bodies),
///   [`spaces`](Self::spaces), [`partitions`](Self::partitions).
/// * Documents: [`open`](Self::open), [`edit`](Self::edit), [`view`](Self::view), [`close`](Self::close),
///   [`flush`](Self::flush), [`collection_id`](Self::collection_id), [`doc_id_for_key`](Self::doc_id_for_key).
/// * Imports: [`bulk_open`](Self::bulk_open), [`bulk_append`](Self::bulk_append), [`bulk_close`](Self::bulk_close).
/// * Rows of the layer above: [`read`](Self::read), [`scan`](Self::scan), [`write`](Self::write),
///   [`edit_with`](Self::edit_with).
/// * State: [`links`](Self::links), [`link`](Self::link), [`logs`](Self::logs), [`stats`](Self::stats),
///   [`device`](Self::device).
/// * End: [`close_link`](Self::close_link), [`shut_down`](Self::shut_down).
///
/// # Order of the polls
///
/// Inputs may come in any number between two drains, and the outputs may be polled in any order. `pump` does it thus:
///
/// 1. `poll_store` until it returns `None`.
/// 2. `poll_transmit` for each of `links` that takes bytes, until it returns false. A link without room is left out.
/// 3. `poll_event` until it returns `None`.
/// 4. Again from 1, until a round returns nothing, because the search for bytes may lead to a request.
/// 5. `poll_timeout`, which is the time of the next call at the latest.
///
/// Nothing is sent or acknowledged before the store has confirmed it.
///
/// # Time
///
/// * The monotonic clock of `now` never goes back; an earlier reading counts as the latest one.
/// * `handle_timeout` may come early or late. A deadline that has passed is due at once.
/// * A drift of more than a minute between the clocks from one input to the next means that the machine slept or its
///   memory was copied: the logs of this process end, and the next edit opens others.
///
/// # Errors
///
/// A command that returns an error has changed nothing. Numbers of spaces, partitions, logs and links are local to one
/// endpoint; an unknown one is an error or `None`, and a fact about an unknown link is ignored.
///
/// ```
/// use cosmicsync_protocol::crdt::{Change, Meta, TextPaths, Value};
/// use cosmicsync_protocol::documents::Edit;
/// use cosmicsync_protocol::endpoint::Event;
/// use cosmicsync_protocol::ids::DocRef;
/// use cosmicsync_protocol::testkit::peer::Peer; // an endpoint with a store in memory
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut peer = Peer::new(1);
/// let space = peer.found("home");
/// let now = peer.now;
/// let partition = peer.endpoint.partition(space, "main").ok_or("every space has it")?;
/// let collection = peer.endpoint.collection_id(space, "notes").ok_or("the space is known")?;
/// let doc = peer.endpoint.doc_id_for_key(space, &collection, "first").ok_or("the space is known")?;
/// let doc = DocRef { partition, doc };
///
/// // A document is edited while it is open.
/// peer.endpoint.open(now, doc);
/// peer.settle(); // pumps, and completes the store's requests
/// assert_eq!(peer.take_events().pop(), Some(Event::Opened { doc, exists: false, changed: false }));
///
/// let texts = TextPaths::from_iter(["body"]);
/// let value = Value::from_iter([("body", "world")]);
/// let create = Edit::Create { collection, meta: Meta::default(), value };
/// peer.endpoint.edit(now, &[(doc, create)], &texts, false)?;
/// let hello = Change::Splice { path: vec!["body".into()], at: 0, delete: 0, insert: "hello, ".into() };
/// let commit = peer.endpoint.edit(now, &[(doc, Edit::Apply(vec![hello]))], &texts, true)?;
///
/// // It is visible at once, and durable once the event names its commit.
/// let snapshot = peer.endpoint.view(doc).ok_or("it is open and exists")?;
/// assert_eq!(snapshot.value.entry("body").and_then(Value::as_text), Some("hello, world"));
/// peer.settle();
/// let durable = |event: &Event| matches!(event, Event::Committed { commits } if commits.contains(&commit));
/// assert!(peer.take_events().iter().any(durable));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Endpoint {
    ledger: Ledger,
    documents: Documents,
    links: Links,
    events: VecDeque<Event>,
    next_read: u64,
    failed: bool,
    /// Reads that failed because of a commit whose own failure is still to be reported.
    overtaking: Vec<Work>,
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
            overtaking: Vec::new(),
        };
        endpoint.advance(now);
        endpoint.settle();
        endpoint
    }

    /// Adds a connection and returns its number. The connection was dialled by this side for a purpose, or
    /// accepted (`None`).
    pub fn handle_link_up(&mut self, now: Now, dial: Option<Dial>) -> LinkId {
        span!("link_up", is_dialled = dial.is_some());
        self.advance(now);
        let link = self.links.open(&mut self.ledger, dial, &mut self.events);
        self.settle();
        link
    }

    /// Takes bytes of a link, cut anywhere. Bytes of a link that has ended are ignored.
    pub fn handle_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        span!("bytes", link = link.0, bytes = bytes.len());
        self.advance(now);
        let news = self.links.handle_bytes(&mut self.ledger, link, bytes, &mut self.events);
        self.settle_with(news);
    }

    /// Takes the end of a connection, by whichever side.
    pub fn handle_link_lost(&mut self, now: Now, link: LinkId) {
        span!("link_lost", link = link.0);
        self.advance(now);
        self.links.lost(link, &mut self.events);
        self.settle();
    }

    /// Takes the completion of a store request.
    pub fn handle_stored(&mut self, now: Now, done: StoreDone) {
        span!("stored");
        self.advance(now);
        let Some(work) = self.ledger.store.complete(&done) else { return };
        if let StoreDone::Failed { error, .. } = &done {
            // The failure of a durable read may overtake that of the commit which caused it.
            let is_effect = *error == StoreError::Poisoned && !work.is_commit() && !planted!("store.effect-first");
            if is_effect && self.ledger.store.works().any(Work::is_commit) {
                self.overtaking.push(work);
                return;
            }
            self.handle_store_failed(work, error.clone());
            for work in core::mem::take(&mut self.overtaking) {
                self.handle_store_failed(work, StoreError::Poisoned);
            }
            self.settle();
        } else {
            let news = self.handle_work(work, done);
            self.settle_with(news);
        }
    }

    /// Takes the passing of a deadline. Early or late calls do no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        span!("timeout");
        self.advance(now);
        self.documents.handle_timeout(&mut self.ledger, &mut self.events);
        self.links.handle_timeout(&self.ledger, &mut self.events);
        self.settle();
    }

    /// Appends bytes for a link, about one transport message. Returns whether there were any.
    pub fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        span!("transmit", link = link.0);
        self.advance(now);
        let (any, news) = self.links.poll_transmit(&mut self.ledger, link, out, &mut self.events);
        self.settle_with(news);
        any
    }

    /// Returns the next request for the store.
    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        let request = self.ledger.poll_store();
        if let (true, Some(StoreRequest::Commit { id, .. })) = (planted!("commit.not-awaited"), &request) {
            let done = StoreDone::Committed { id: *id };
            self.handle_stored(self.ledger.now, done);
        }
        request
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        #[cfg(feature = "tracing")]
        match &event {
            Some(Event::Read { id, .. }) => tracing::trace!(read = id.0), // its rows are not for logs
            Some(event) => tracing::trace!(?event),
            None => {}
        }
        event
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        [self.documents.deadline(&self.ledger), self.links.deadline(&self.ledger)].into_iter().flatten().min()
    }

    /// Returns the links, in the order in which they were opened.
    pub fn links(&self) -> Vec<LinkId> {
        self.links.ids()
    }

    /// Opens and pins a document; [`Event::Opened`] follows. A document of an unknown partition opens as one that does
    /// not exist.
    pub fn open(&mut self, now: Now, doc: DocRef) {
        self.advance(now);
        self.documents.open(&mut self.ledger, doc, &mut self.events);
        self.settle();
    }

    /// Closes a document: it is unpinned and may leave memory.
    pub fn close(&mut self, now: Now, doc: DocRef) {
        self.advance(now);
        self.documents.close(&mut self.ledger, doc);
        self.settle();
    }

    /// Applies edits to open documents of one partition at once, as one transaction: all or none. They are
    /// durable, and on their way to peers, once [`Event::Committed`] names the returned id. With `urgent`
    /// they do not wait to share an entry with later edits. Strings at `texts` become texts that merge
    /// character by character.
    ///
    /// # Errors
    /// None of these edits was applied; the error names the cause.
    pub fn edit(
        &mut self,
        now: Now,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
    ) -> Result<CommitId, EditError> {
        self.edit_with(now, edits, texts, urgent, Vec::new())
    }

    /// Applies edits as [`Self::edit`] does, and writes rows of the layer above in the same commit.
    ///
    /// # Errors
    /// None of these edits was applied and no row written; the error names the cause.
    pub fn edit_with(
        &mut self,
        now: Now,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
        rows: Vec<Op>,
    ) -> Result<CommitId, EditError> {
        span!("edit", documents = edits.len());
        self.advance(now);
        let result = self.documents.edit(&mut self.ledger, edits, texts, urgent, rows);
        if let (true, Ok(commit)) = (planted!("edit.told-early"), &result) {
            self.events.push_back(Event::Committed { commits: vec![*commit] });
        }
        self.settle();
        result
    }

    /// Returns the number of the next change of a document, and the life of the store that numbers changes.
    pub fn next_change(&self) -> (Incarnation, u64) {
        (self.ledger.incarnation, self.ledger.next_change)
    }

    /// Seals the edits gathered so far into an entry, before the window ends.
    pub fn flush(&mut self, now: Now) {
        self.advance(now);
        self.documents.flush(&mut self.ledger);
        self.settle();
    }

    /// Limits an open document to these entries of others' logs. `None` removes the limit.
    pub fn hold(&mut self, now: Now, doc: DocRef, hold: Option<Hold>) {
        self.advance(now);
        self.documents.hold(&mut self.ledger, doc, hold, &mut self.events);
        self.settle();
    }

    /// Returns the name and value of an open document; `None` if it is not open or does not exist.
    pub fn view(&mut self, doc: DocRef) -> Option<Snapshot> {
        let snapshot = self.documents.snapshot(doc);
        self.documents.reread_if_broken(&mut self.ledger, doc);
        snapshot
    }

    /// Returns an open document's replica, for its history and single paths.
    pub fn replica(&mut self, doc: DocRef) -> Option<&mut Replica> {
        self.documents.reread_if_broken(&mut self.ledger, doc);
        self.documents.replica(doc)
    }

    /// Returns whether [`Self::view`] shows all that is stored of an open document: no entry is being read,
    /// indexed or held back.
    pub fn is_current(&self, doc: DocRef) -> bool {
        !self.ledger.logs.is_indexing(doc) && self.documents.is_current(doc)
    }

    /// Returns the documents of a partition for which [`Self::is_current`] is false.
    pub fn lagging(&self, partition: PartNo) -> BTreeSet<DocRef> {
        let docs = self.ledger.logs.indexing_docs().chain(self.documents.lagging());
        docs.filter(|doc| doc.partition == partition).collect()
    }

    /// Returns the entries that an open document has imported: for each log, the last one.
    pub fn seen(&self, doc: DocRef) -> BTreeMap<LogNo, u64> {
        self.documents.seen(doc)
    }

    /// Returns the changes that each imported entry made to an open document.
    pub fn deeds(&mut self, doc: DocRef) -> Vec<crate::documents::EntryDeed> {
        self.documents.reread_if_broken(&mut self.ledger, doc);
        self.documents.deeds(doc)
    }

    /// Returns the excluded entries of an open document: they belong to a history that is not kept, or build
    /// on such an entry.
    pub fn excluded_entries(&self, doc: DocRef) -> Vec<crate::ids::EntryRef> {
        self.documents.excluded_entries(doc)
    }

    /// Republishes all excluded entries of a document as this process's own, whoever wrote them.
    /// [`Event::Republished`] follows if there are any. Without effect if there is no such partition here.
    pub fn publish_excluded(&mut self, now: Now, doc: DocRef) {
        self.advance(now);
        if self.space_of(doc.partition).is_some() {
            self.documents.publish_excluded(&mut self.ledger, doc);
        }
        self.settle();
    }

    /// Returns whether a call of [`Self::publish_excluded`] for a document is still under way.
    pub fn is_publishing(&self, doc: DocRef) -> bool {
        self.documents.is_publishing(doc)
    }

    /// Returns the parts that an open document lacks, with the reasons.
    pub fn missing(&self, doc: DocRef) -> Vec<Missing> {
        self.documents.missing(doc)
    }

    /// Reads rows for the layer above, after all earlier writes. [`Event::Read`] follows.
    pub fn read(&mut self, keys: Vec<(Table, Bytes)>) -> ReadId {
        self.read_of(Read::Ordered, keys)
    }

    /// Reads consecutive rows for the layer above, after all earlier writes. [`Event::Read`] follows.
    pub fn scan(&mut self, scan: Scan) -> ReadId {
        self.scan_of(Read::Ordered, scan)
    }

    /// Reads durable rows for the layer above, without waiting for commits under way. [`Event::Read`]
    /// follows.
    pub fn read_durable(&mut self, keys: Vec<(Table, Bytes)>) -> ReadId {
        self.read_of(Read::Durable, keys)
    }

    /// Reads consecutive durable rows for the layer above, without waiting for commits under way.
    /// [`Event::Read`] follows.
    pub fn scan_durable(&mut self, scan: Scan) -> ReadId {
        self.scan_of(Read::Durable, scan)
    }

    /// Makes and stores the missing values of all documents of a partition. [`Event::Read`] follows with
    /// [`ReadResult::Made`]. Open documents, and values that cannot be made, are left out.
    pub fn make_values(&mut self, partition: PartNo) -> ReadId {
        let id = self.next_read();
        self.documents.make_values(partition, id);
        id
    }

    /// Returns the present moment. A read from here on sees all earlier writes.
    pub const fn moment(&self) -> Moment {
        self.ledger.touched.now()
    }

    /// Writes rows of the layer above, in a commit of their own. [`Event::Committed`] names the returned id.
    pub fn write(&mut self, now: Now, ops: Vec<Op>) -> CommitId {
        self.advance(now);
        self.documents.write(&mut self.ledger, ops)
    }

    /// Returns the ledger, for hostile peers that begin as honest ones.
    #[cfg(feature = "testkit")]
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the open documents, for tests that compare them with entries.
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

    /// Mixes fresh randomness of the operating system into all later keys. Drivers call this whenever they
    /// wake up, before they pass the inputs that woke them: copies of one memory then derive different keys.
    pub fn stir(&mut self, fresh: &[u8; 32]) {
        self.ledger.entropy.stir(fresh);
    }

    /// Sets the time. If the two clocks drifted apart, the machine slept or its memory was resumed, perhaps
    /// more than once: the live logs end.
    fn advance(&mut self, now: Now) {
        let mono_us = now.mono_us.max(self.ledger.now.mono_us);
        let now = Now { mono_us, ..now };
        let drifted = self.ledger.now.drift_ms(&now) > DRIFT_MS_MAX;
        self.ledger.now = now;
        if drifted && !planted!("clock.drift-ignored") {
            self.documents.end_live_logs(&mut self.ledger);
        }
    }

    /// Finishes an input that brought no news of logs.
    fn settle(&mut self) {
        self.settle_with(News::default());
    }

    /// Finishes an input: asks for reads that became possible, and reports news and failures.
    fn settle_with(&mut self, news: News) {
        self.ledger.poll_unread();
        self.ledger.poll_epochs();
        self.ledger.poll_fork_index();
        for log in news.ended {
            self.events.push_back(Event::Retired { log });
        }
        for log in news.forked {
            self.events.push_back(Event::Forked { log });
        }
        if self.ledger.choose_branches() {
            self.documents.rebuild(&mut self.ledger);
        }
        if !self.ledger.logs.is_choosing_branches() {
            self.documents.examine(&mut self.ledger);
        }
        self.documents.report_dropped(&mut self.events);
        self.documents.report_failed(&mut self.events);
    }
}

#[cfg(test)]
mod tests;
