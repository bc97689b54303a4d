//! The state that requests share: the waiting requests, the pinned documents and the caches. This module carries out no
//! request itself.

use super::ask::{LiveId, QueryError, RESTING_MAX, SCANNED_MAX};
use super::idempotency::Once;
use super::indexer::INDEXER;
use super::indexes::Registry;
use super::is_described;
use super::live::Live;
use super::request::{Answer, Cut, ImportId, Name, RequestError, Ticket};
use super::sizes::Sizes;
use crate::collection::{COLLECTIONS, CollectionMeta, Declared, INDEXES};
use crate::index::define::{self, Indexes};
use crate::query::Selector;
use crate::rules::{Actor, Deed, Rules};
use crate::split;
use bytes::Bytes;
use core::fmt;
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::crdt::{ChangeError, Meta, TextPaths, Value, VersionId};
use cosmicsync_protocol::documents::{Edit, EditError, Missing, Snapshot};
use cosmicsync_protocol::endpoint::{CommitId, ReadId, ReadResult};
use cosmicsync_protocol::ids::{CollectionId, DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::{Op, Read, Scan, Table};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::time::Now;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Largest number of changed documents that wait to be reported.
const CHANGED_MAX: usize = 65_536;
/// Largest number of collection descriptions kept in memory.
const DESCRIBED_MAX: usize = 1024;
/// Longest name of a collection, key or source, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The event for which a task runs.
#[derive(Debug)]
pub(super) enum Wake {
    /// The request starts.
    Start,
    /// A document that the task opened is read.
    Opened(DocRef),
    /// Rows that the task asked for have arrived.
    Read(ReadResult),
    /// A commit that the task waits for is durable.
    Committed,
    /// A commit that the task waits for was lost.
    Lost,
    /// Something that the task watches may have changed, or its turn has come.
    Again,
}

/// A request that is being carried out.
pub(super) trait Task: fmt::Debug + Send {
    /// Advances the request. Returns `None` until there is an answer; ignores wakes that the task does not expect.
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError>;
}

/// A commit that is not durable yet.
#[derive(Debug, Default)]
struct Commit {
    docs: Vec<DocRef>,
    tickets: Vec<Ticket>,
}

/// The parts of a collection's description that queries need.
#[derive(Debug, Clone, Default)]
pub(super) struct Defined {
    pub(super) indexes: Indexes,
    pub(super) schema: Option<Declared>,
    pub(super) rules: Option<Rules>,
}

impl Defined {
    /// Reads the definitions from a description; returns empty ones if the collection has no description.
    pub(super) fn of(description: Option<&Snapshot>) -> Self {
        let Some(found) = description.filter(|found| !found.meta.deleted) else { return Self::default() };
        let indexes = found.value.entry(INDEXES).map(define::from_value).unwrap_or_default();
        Self { indexes, schema: Declared::of(&found.value), rules: Rules::of(&found.value) }
    }
}

/// The state that all requests share.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) ready: VecDeque<(Ticket, Wake)>,
    opening: BTreeMap<DocRef, Vec<Ticket>>,
    reading: BTreeMap<ReadId, Ticket>,
    commits: BTreeMap<CommitId, Commit>,
    /// The newest commit of each document with edits that are not durable yet.
    unsafe_docs: BTreeMap<DocRef, CommitId>,
    pins: BTreeSet<(Ticket, DocRef)>,
    /// Requests that run again after every progress of the store.
    watching: BTreeSet<Ticket>,
    pub(super) held: BTreeSet<DocRef>,
    /// Requests with an idempotency key that are being carried out.
    pub(super) under_way: BTreeMap<Ticket, Once>,
    /// Cached descriptions of collections, each with its version; another version is read again.
    described: BTreeMap<DocRef, (VersionId, CollectionMeta)>,
    /// The actors of running requests.
    pub(super) actors: BTreeMap<Ticket, Arc<Actor>>,
    /// Open live queries whose client has no request pending.
    pub(super) live: BTreeMap<LiveId, Box<Live>>,
    next_live: u64,
    /// Requests that only wait for a document to change. Such requests don't use the places of running ones.
    pub(super) resting: BTreeSet<Ticket>,
    /// Requests that run again whenever a document changes, each with the documents changed since its last run. A set
    /// stops growing at one document above the limit for reading them one by one.
    following: BTreeMap<Ticket, BTreeSet<DocRef>>,
    /// Largest number of documents read for one answer that no index helps.
    pub(super) scanned_max: u64,
    pub(super) sizes: Sizes,
    pub(super) indexes: Registry,
    /// True if the indexer has nothing to do.
    pub(super) indexer_idle: bool,
    pub(super) imports: BTreeMap<ImportId, super::import::Import>,
    pub(super) next_import: u64,
    /// Changed documents; true if all of a document's changes were made by this store.
    changed: BTreeMap<DocRef, bool>,
    changed_order: VecDeque<DocRef>,
}

impl Desk {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self { scanned_max: SCANNED_MAX, sizes, ..Self::default() }
    }

    pub(super) fn opened(&mut self, doc: DocRef) {
        let tickets = self.opening.remove(&doc).unwrap_or_default();
        self.ready.extend(tickets.into_iter().map(|ticket| (ticket, Wake::Opened(doc))));
    }

    /// Has a request told when a document that it pinned is open.
    pub(super) fn await_opened(&mut self, ticket: Ticket, doc: DocRef) {
        let waiting = self.opening.entry(doc).or_default();
        if !waiting.contains(&ticket) {
            waiting.push(ticket);
        }
    }

    pub(super) fn read(&mut self, id: ReadId, result: ReadResult) {
        if let Some(ticket) = self.reading.remove(&id) {
            self.ready.push_back((ticket, Wake::Read(result)));
        }
    }

    pub(super) fn committed(&mut self, commits: &[CommitId], durable: bool) {
        for id in commits {
            let Some(commit) = self.commits.remove(id) else { continue };
            for doc in commit.docs {
                if self.unsafe_docs.get(&doc) == Some(id) {
                    self.unsafe_docs.remove(&doc);
                }
                if durable {
                    self.changed(doc, true);
                }
            }
            let wake = || if durable { Wake::Committed } else { Wake::Lost };
            self.ready.extend(commit.tickets.into_iter().map(|ticket| (ticket, wake())));
        }
    }

    pub(super) fn changed(&mut self, doc: DocRef, here: bool) {
        self.indexes.note(doc);
        self.wake_indexer();
        for (ticket, docs) in &mut self.following {
            if docs.len() <= self.sizes.followed {
                docs.insert(doc);
            }
            self.ready.push_back((*ticket, Wake::Again));
        }
        self.live.values_mut().for_each(|live| live.note(doc, self.sizes.followed));
        if let Some(all_here) = self.changed.get_mut(&doc) {
            *all_here &= here;
            return;
        }
        if self.changed_order.len() >= CHANGED_MAX {
            self.pop_changed();
        }
        self.changed.insert(doc, here);
        self.changed_order.push_back(doc);
    }

    pub(super) fn pop_changed(&mut self) -> Option<(DocRef, bool)> {
        let doc = self.changed_order.pop_front()?;
        Some((doc, self.changed.remove(&doc)?))
    }

    /// Returns a new number for a live query.
    pub(super) fn new_live(&mut self) -> LiveId {
        self.next_live += 1;
        LiveId(self.next_live)
    }

    /// Makes the indexer process new changes.
    pub(super) fn wake_indexer(&mut self) {
        if self.indexer_idle && self.indexes.is_wanting() {
            self.indexer_idle = false;
            self.ready.push_back((INDEXER, Wake::Again));
        }
    }

    pub(super) fn wake_watching(&mut self) {
        self.ready.extend(self.watching.iter().map(|ticket| (*ticket, Wake::Again)));
    }
}

/// The services that a task uses while it runs.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) endpoint: &'a mut Endpoint,
    pub(super) desk: &'a mut Desk,
    pub(super) now: Now,
    pub(super) ticket: Ticket,
}

impl Context<'_> {
    /// Opens and pins a document for this request; [`Wake::Opened`] follows, also if it is open already.
    pub(super) fn open(&mut self, doc: DocRef) {
        if self.desk.pins.insert((self.ticket, doc)) {
            self.desk.opening.entry(doc).or_default().push(self.ticket);
            self.endpoint.open(self.now, doc);
        } else if self.endpoint.is_open(doc) {
            self.desk.ready.push_back((self.ticket, Wake::Opened(doc)));
        } else {
            // It was open, and is read again.
            self.desk.await_opened(self.ticket, doc);
        }
    }

    /// Unpins a document before the request ends.
    pub(super) fn close(&mut self, doc: DocRef) {
        if self.desk.pins.remove(&(self.ticket, doc)) {
            self.endpoint.close(self.now, doc);
        }
    }

    /// Unpins all documents of the request.
    fn close_all(&mut self) {
        let first = DocRef { partition: PartNo(0), doc: DocId::default() };
        let pins: Vec<DocRef> = self
            .desk
            .pins
            .range((self.ticket, first)..)
            .take_while(|(ticket, _)| *ticket == self.ticket)
            .map(|(_, doc)| *doc)
            .collect();
        for doc in pins {
            self.close(doc);
        }
    }

    /// Frees all resources of the request.
    pub(super) fn release(&mut self) {
        self.close_all();
        self.desk.watching.remove(&self.ticket);
        self.desk.following.remove(&self.ticket);
        self.desk.resting.remove(&self.ticket);
        self.desk.under_way.remove(&self.ticket);
        self.desk.actors.remove(&self.ticket);
        let imports: Vec<ImportId> = self.desk.imports.keys().copied().collect();
        for import in imports {
            self.end_turn(import);
        }
    }

    /// Makes the request run again after every progress of the store.
    pub(super) fn watch(&mut self) {
        self.desk.watching.insert(self.ticket);
    }

    pub(super) fn read(&mut self, keys: Vec<(Table, Bytes)>) {
        self.read_of(Read::Ordered, keys);
    }

    pub(super) fn scan(&mut self, scan: Scan) {
        self.scan_of(Read::Ordered, scan);
    }

    /// Makes the request run again whenever a document changes.
    pub(super) fn follow_changes(&mut self) {
        self.desk.following.entry(self.ticket).or_default();
    }

    /// Records whether the request only waits for a document to change.
    ///
    /// # Errors
    /// If more than [`RESTING_MAX`] requests do.
    pub(super) fn rest(&mut self, rests: bool) -> Result<(), RequestError> {
        if rests {
            // A query that ended early may have more documents open than it returned.
            self.close_all();
        }
        if !rests {
            self.desk.resting.remove(&self.ticket);
        } else if self.desk.resting.insert(self.ticket) && self.desk.resting.len() > RESTING_MAX {
            return Err(QueryError::TooManyLive.into());
        }
        Ok(())
    }

    /// Returns the documents that changed since the last call; above the limit for reading them one by one, only some.
    pub(super) fn take_changed(&mut self) -> BTreeSet<DocRef> {
        self.desk.following.get_mut(&self.ticket).map(core::mem::take).unwrap_or_default()
    }

    /// Ends [`Self::watch`].
    pub(super) fn unwatch(&mut self) {
        self.desk.watching.remove(&self.ticket);
    }

    /// Reads rows at the given consistency; [`Wake::Read`] follows.
    pub(super) fn read_of(&mut self, of: Read, keys: Vec<(Table, Bytes)>) {
        let id = match of {
            Read::Ordered => self.endpoint.read(keys),
            Read::Durable => self.endpoint.read_durable(keys),
        };
        self.desk.reading.insert(id, self.ticket);
    }

    /// Reads consecutive rows at the given consistency; [`Wake::Read`] follows.
    pub(super) fn scan_of(&mut self, of: Read, scan: Scan) {
        let id = match of {
            Read::Ordered => self.endpoint.scan(scan),
            Read::Durable => self.endpoint.scan_durable(scan),
        };
        self.desk.reading.insert(id, self.ticket);
    }

    /// Returns whether a document has edits that are not durable yet.
    pub(super) fn is_unsafe(&self, doc: DocRef) -> bool {
        self.desk.unsafe_docs.contains_key(&doc)
    }

    /// Returns the documents of a partition with edits that are not durable yet.
    pub(super) fn unsafe_docs(&self, partition: PartNo) -> impl Iterator<Item = DocId> {
        self.desk.unsafe_docs.keys().filter(move |doc| doc.partition == partition).map(|doc| doc.doc)
    }

    /// Starts the indexes.
    pub(super) fn start_indexes(&mut self) {
        if !self.desk.indexes.started {
            self.desk.indexes.started = true;
            self.desk.ready.push_back((INDEXER, Wake::Start));
        }
    }

    /// Builds the values that documents of a partition lack; [`ReadResult::Made`] follows.
    pub(super) fn make_values(&mut self, partition: PartNo) {
        let id = self.endpoint.make_values(partition);
        self.desk.reading.insert(id, self.ticket);
    }

    /// Applies edits and writes rows in one commit. With `wait`, [`Wake::Committed`] or [`Wake::Lost`] follows.
    pub(super) fn edit(
        &mut self,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
        wait: bool,
        rows: Vec<Op>,
    ) -> Result<(), RequestError> {
        let commit = self.endpoint.edit_with(self.now, edits, texts, urgent, rows)?;
        let docs: Vec<DocRef> = edits.iter().map(|(doc, _)| *doc).collect();
        self.expect(commit, docs, wait);
        Ok(())
    }

    /// Applies edits that need not be one transaction: splits an edit that exceeds one update into several. Returns the
    /// number of commits.
    pub(super) fn edit_in_pieces(
        &mut self,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
        wait: bool,
        rows: Vec<Op>,
    ) -> Result<usize, RequestError> {
        let kept = rows.clone();
        match self.edit(edits, texts, urgent, wait, rows) {
            Err(RequestError::Edit(EditError::Change(ChangeError::TooLarge))) => {
                let pieces = split::pieces(edits, texts).ok_or(EditError::Change(ChangeError::TooLarge))?;
                let count = pieces.len();
                for (at, piece) in pieces.iter().enumerate() {
                    let rows = if at + 1 == count { kept.clone() } else { Vec::new() };
                    self.edit(piece, texts, urgent, wait, rows)?;
                }
                Ok(count)
            }
            made => made.map(|()| 1),
        }
    }

    /// Writes rows; [`Wake::Committed`] or [`Wake::Lost`] follows.
    pub(super) fn write(&mut self, ops: Vec<Op>) {
        let commit = self.endpoint.write(self.now, ops);
        self.expect(commit, Vec::new(), true);
    }

    /// Registers a commit and the documents that it changes; with `wait`, [`Wake::Committed`] or [`Wake::Lost`]
    /// follows.
    pub(super) fn expect(&mut self, commit: CommitId, docs: Vec<DocRef>, wait: bool) {
        self.desk.unsafe_docs.extend(docs.iter().map(|doc| (*doc, commit)));
        let tickets = if wait { vec![self.ticket] } else { Vec::new() };
        self.desk.commits.insert(commit, Commit { docs, tickets });
    }

    /// Waits for a document's edits that are not durable yet; returns whether there are any.
    pub(super) fn wait_for(&mut self, doc: DocRef) -> bool {
        let commit = self.desk.unsafe_docs.get(&doc).and_then(|id| self.desk.commits.get_mut(id));
        let waits = commit.is_some();
        commit.into_iter().for_each(|commit| commit.tickets.push(self.ticket));
        waits
    }

    /// Passes this request's turn in an import to the next request, or leaves the queue.
    pub(super) fn end_turn(&mut self, import: ImportId) {
        let Some(state) = self.desk.imports.get_mut(&import) else { return };
        let had_turn = state.turns.front() == Some(&self.ticket);
        state.turns.retain(|ticket| *ticket != self.ticket);
        if let (true, Some(next)) = (had_turn, state.turns.front()) {
            self.desk.ready.push_back((*next, Wake::Again));
        }
    }

    /// Discards an import and wakes the requests that wait for a turn in it.
    pub(super) fn drop_import(&mut self, import: ImportId) {
        let Some(state) = self.desk.imports.remove(&import) else { return };
        let waiting = state.turns.into_iter().filter(|ticket| *ticket != self.ticket);
        self.desk.ready.extend(waiting.map(|ticket| (ticket, Wake::Again)));
    }

    /// Returns the actor of this request; `None` for the operator.
    pub(super) fn actor(&self) -> Option<&Actor> {
        self.desk.actors.get(&self.ticket).map(Arc::as_ref)
    }

    /// Returns the selector of the documents with which the actor may do a deed; `None` if all are allowed.
    pub(super) fn rule(
        &self,
        partition: PartNo,
        collection: &str,
        deed: Deed,
        rules: Option<&Rules>,
    ) -> Result<Option<Selector>, RequestError> {
        let Some(actor) = self.actor() else { return Ok(None) };
        let space = self.space(partition)?;
        if !actor.reaches(space, collection, deed) {
            return Err(RequestError::OutOfReach { deed, collection: collection.to_owned() });
        }
        let locked = || RequestError::Forbidden { deed, collection: collection.to_owned(), locked: true };
        actor.may(space, collection, deed, rules).map(Some).ok_or_else(locked)
    }

    pub(super) fn space(&self, partition: PartNo) -> Result<SpaceNo, RequestError> {
        self.endpoint.space_of(partition).ok_or(RequestError::NotFound)
    }

    /// Returns the id of a collection in the space of a partition.
    pub(super) fn collection_id(&self, partition: PartNo, name: &str) -> Result<CollectionId, RequestError> {
        self.endpoint.collection_id(self.space(partition)?, name).ok_or(RequestError::NotFound)
    }

    /// Returns the document of a key.
    pub(super) fn keyed(&self, partition: PartNo, collection: &str, key: &str) -> Result<DocRef, RequestError> {
        check_name("the collection's name", collection)?;
        check_name("the key", key)?;
        let space = self.space(partition)?;
        let collection = self.endpoint.collection_id(space, collection).ok_or(RequestError::NotFound)?;
        let doc = self.endpoint.doc_id_for_key(space, &collection, key).ok_or(RequestError::NotFound)?;
        Ok(DocRef { partition, doc })
    }

    /// Returns the document of a name.
    pub(super) fn named(&self, partition: PartNo, name: &Name) -> Result<DocRef, RequestError> {
        match name {
            Name::Id(doc) => self.space(partition).map(|_| DocRef { partition, doc: *doc }),
            Name::Key { collection, key } => self.keyed(partition, collection, key),
        }
    }

    /// Returns the document that describes a collection; `None` for the reserved collection.
    pub(super) fn description_doc(&self, partition: PartNo, name: &str) -> Result<Option<DocRef>, RequestError> {
        is_described(name).then(|| self.keyed(partition, COLLECTIONS, name)).transpose()
    }

    /// Returns the description in an open document; `None` if there is no description or the document is not open.
    pub(super) fn description(&mut self, doc: DocRef) -> Option<CollectionMeta> {
        if !self.endpoint.is_open(doc) {
            return None;
        }
        let version = self.endpoint.replica(doc)?.version_id().ok()?;
        if let Some((_, meta)) = self.desk.described.get(&doc).filter(|(known, _)| *known == version) {
            return Some(meta.clone());
        }
        let found = self.endpoint.view(doc).filter(|found| !found.meta.deleted)?;
        let meta = CollectionMeta::from_value(&found.value).ok()?;
        if self.desk.described.len() >= DESCRIBED_MAX {
            self.desk.described.clear();
        }
        self.desk.described.insert(doc, (version, meta.clone()));
        Some(meta)
    }

    /// Returns the edit that creates a collection's description.
    pub(super) fn describe(&self, doc: DocRef, meta: &CollectionMeta) -> Result<Edit, RequestError> {
        let named = Meta { collection: Some(COLLECTIONS.to_owned()), key: Some(meta.name.clone()), deleted: false };
        let collection = self.collection_id(doc.partition, COLLECTIONS)?;
        Ok(Edit::Create { collection, meta: named, value: meta.to_value() })
    }

    /// Returns the edits that give a document this value, with texts at these paths, and whether they create it.
    pub(super) fn put_edits(
        &mut self,
        doc: DocRef,
        collection: &str,
        key: Option<&str>,
        value: &Value,
        texts: &TextPaths,
    ) -> Result<(Vec<(DocRef, Edit)>, bool), RequestError> {
        let Some(found) = self.endpoint.view(doc) else {
            let meta = Meta { collection: Some(collection.to_owned()), key: key.map(str::to_owned), deleted: false };
            let collection = self.collection_id(doc.partition, collection)?;
            return Ok((vec![(doc, Edit::Create { collection, meta, value: value.clone() })], true));
        };
        self.check_whole(doc)?;
        let changes = crate::patch::put(&found.value, value, texts).map_err(|_| RequestError::NotObject)?;
        let mut edits = Vec::new();
        if found.meta.deleted {
            edits.push((doc, Edit::SetDeleted(false)));
        }
        if !changes.is_empty() {
            edits.push((doc, Edit::Apply(changes)));
        }
        Ok((edits, found.meta.deleted))
    }

    /// Returns the value of an open document that exists and is complete.
    pub(super) fn whole(&mut self, doc: DocRef) -> Result<Snapshot, RequestError> {
        let found = self.endpoint.view(doc).filter(|found| !found.meta.deleted).ok_or(RequestError::NotFound)?;
        self.check_whole(doc).map(|()| found)
    }

    /// Refuses a document with parts that are known to be absent, because an edit would ignore them. A part that its
    /// author sealed unreadably is not absent: otherwise any member could make a document read-only.
    fn check_whole(&self, doc: DocRef) -> Result<(), RequestError> {
        let mut missing = self.endpoint.missing(doc);
        missing.retain(|missing| matches!(missing, Missing::Body(_)));
        if missing.is_empty() { Ok(()) } else { Err(RequestError::Incomplete(missing)) }
    }

    /// Returns the entries that an open document includes.
    pub(super) fn cut(&self, doc: DocRef) -> Cut {
        let seen = self.endpoint.seen(doc).into_iter();
        seen.filter_map(|(log, seq)| Some((self.endpoint.log_id(log)?, seq))).collect()
    }
}

/// Checks a name: its length, and that it can be a command-line argument, so holds no NUL.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), RequestError> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(RequestError::BadName(what));
    }
    if name.contains('\0') { Err(RequestError::BadCharacter { what, character: "a NUL character" }) } else { Ok(()) }
}

/// Checks the name of a collection for a write. A document is named COLLECTION/KEY, so a slash in the collection's name
/// would be ambiguous.
pub(super) fn check_collection(name: &str) -> Result<(), RequestError> {
    check_name("the collection's name", name)?;
    let refused = |character| Err(RequestError::BadCharacter { what: "the collection's name", character });
    if name.contains('/') { refused("a slash") } else { Ok(()) }
}
