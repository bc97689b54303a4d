//! Edits of open documents: applied at once, gathered, and appended to the live log as one entry.
//!
//! A transaction is never split between entries (`spec/documents.md`, section 5).

use super::{Doc, Documents, cache};
use crate::crdt::{
    Broken, Change, ChangeError, Meta, Replica, TextPaths, UPDATE_BYTES_MAX, Update, Value, Version, check,
};
use crate::event::Event;
use crate::identity::peer_id;
use crate::ids::CommitId;
use crate::ids::{CollectionId, DocRef, EntryRef, PartNo};
use crate::ledger::Ledger;
use crate::log::{EntryKind, Item, KeyRef, Plain, SealError};
use crate::logs::{Batch, Effect, Touch, Writing, short};
use crate::sealed::KeyNode;
use crate::spaces::SpaceError;
use crate::storage::Op;
use crate::storage::rows::{IndexRow, list};
use crate::time::{Deadline, Reason};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most entries of gathered edits on their way to the store before edits gather for the next one.
const ENTRIES_UNDER_WAY_MAX: usize = 2;

/// Reason why an edit was refused. Nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The document is not open, or not read yet.
    #[error("the document is not open")]
    NotOpen,
    /// The document exists already, or does not exist.
    #[error("the document exists already")]
    Exists,
    /// The documents of one transaction live in several partitions.
    #[error("a transaction stays within one partition")]
    SeveralPartitions,
    /// A document occurs twice in one transaction: put its changes into one edit.
    #[error("a transaction edits each document once")]
    Repeated,
    /// A change does not fit the document.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The space cannot be written to.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The document broke and is being rebuilt; try again.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The endpoint was shut down; no edit made after that would become durable.
    #[error("the node is stopping")]
    ShutDown,
}

/// Edit of one document.
///
/// [`Endpoint::edit`](crate::Endpoint::edit) applies edits of several documents of one partition as one transaction.
///
/// ```
/// use cosmicsync_protocol::crdt::{Change, ChangeError, TextPaths, Value};
/// use cosmicsync_protocol::documents::{Edit, EditError};
/// use cosmicsync_protocol::testkit::notes::{doc_id, note};
/// use cosmicsync_protocol::testkit::peer::Peer; // an endpoint with a store in memory
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut peer = Peer::new(1);
/// peer.found("home");
/// let docs = [1, 2].map(|number| peer.create(doc_id(number), note("text"), &["body"]));
/// let texts = TextPaths::from_iter(["body"]);
/// let mut edit = |edits: &[_]| peer.endpoint.edit(peer.now, edits, &texts, true);
///
/// // All or none: the second edit does not fit, so the first is not made either.
/// let set = |value: i64| Change::Set { path: vec!["count".into()], value: Value::Int(value) };
/// let past = Change::Splice { path: vec!["body".into()], at: 99, delete: 0, insert: "x".into() };
/// let refused = edit(&[(docs[0], Edit::Apply(vec![set(1)])), (docs[1], Edit::Apply(vec![past]))]);
/// assert_eq!(refused, Err(EditError::Change(ChangeError::PastEnd(0))));
///
/// edit(&[(docs[0], Edit::Apply(vec![set(2)])), (docs[1], Edit::SetDeleted(true))])?;
/// assert_eq!(peer.value(doc_id(1)).ok_or("it exists")?.entry("count"), Some(&Value::Int(2)));
/// assert!(peer.snapshot(doc_id(2)).ok_or("it is marked, not gone")?.meta.deleted);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Creates a document that does not exist yet.
    Create {
        /// The collection that lists the document.
        collection: CollectionId,
        /// Name and collection of the document.
        meta: Meta,
        /// Content of the document.
        value: Value,
    },
    /// Changes a document.
    Apply(Vec<Change>),
    /// Deletes a document, or brings a deleted one back.
    SetDeleted(bool),
    /// Undoes an update: these changes, made on the version after it. Later writes stay.
    Undo {
        /// The version after the update.
        after: Version,
        /// Changes that restore the value of the version before the update.
        changes: Vec<Change>,
        /// Paths of the strings that are texts.
        texts: TextPaths,
    },
}

impl Documents {
    /// Applies edits to open documents of one partition, all or none; `rows` are written with them. They are
    /// durable once [`Event::Committed`] names the returned id.
    pub(crate) fn edit(
        &mut self,
        ledger: &mut Ledger,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        urgent: bool,
        rows: Vec<Op>,
    ) -> Result<CommitId, EditError> {
        if self.is_shut_down && !planted!("stop.edit-taken") {
            return Err(EditError::ShutDown);
        }
        let part = edits.first().map(|(doc, _)| doc.partition).ok_or(EditError::NotOpen)?;
        if edits.iter().any(|(doc, _)| doc.partition != part) {
            return Err(EditError::SeveralPartitions);
        }
        // An entry holds one partition's edits, and a transaction lies whole in one entry.
        let has_undo = edits.iter().any(|(_, edit)| matches!(edit, Edit::Undo { .. }));
        let steps = &ledger.config.steps;
        let is_large = reached!(GatheredBytes, self.plain_bytes >= steps.gathered_bytes);
        let is_full = has_undo || is_large || reached!(GatheredDocs, self.dirty.len() >= steps.gathered_docs);
        if is_full || self.dirty.iter().any(|doc| doc.partition != part) {
            self.flush(ledger);
        }
        if self.lacks_own(ledger, part, edits) {
            self.end_live_log(ledger, part);
        }
        let peer = self.writer(ledger, part)?;
        // If a log was given up in between, the edits gathered for it are lost with it.
        if self.dirty.iter().any(|doc| self.docs.get(doc).is_some_and(|state| state.replica.peer() != peer)) {
            self.flush(ledger);
        }
        let mut checked = self.check_edits(edits, texts, peer);
        if matches!(checked, Err(EditError::Change(ChangeError::Full))) {
            self.flush(ledger);
            checked = self.check_edits(edits, texts, peer);
        }
        if checked.is_err() {
            edits.iter().for_each(|(doc, _)| self.reread_if_broken(ledger, *doc));
        }
        let Checked { created, bytes } = checked?;
        self.dirty.extend(edits.iter().map(|(doc, _)| *doc));
        if let Err(error) = self.make_edits(edits, texts, peer, created) {
            self.drop_gathered(ledger);
            return Err(error);
        }
        self.plain_bytes += bytes;
        let commit = self.number();
        self.gathered.push(commit);
        self.rows.extend(rows);
        self.urgent |= urgent;
        self.schedule(ledger);
        Ok(commit)
    }

    /// Returns whether one of these documents lacks entries of the log that this store writes, for example
    /// because a hold excludes their dependencies. The next entry would reuse the ids of their operations.
    fn lacks_own(&self, ledger: &Ledger, part: PartNo, edits: &[(DocRef, Edit)]) -> bool {
        let docs = edits.iter().filter_map(|(doc, _)| self.docs.get(doc));
        ledger.logs.live(part).is_some_and(|live| docs.into_iter().any(|state| state.lacks(live)))
    }

    /// Returns the peer id of the live log that this store writes in a partition.
    fn writer(&self, ledger: &mut Ledger, part: PartNo) -> Result<u64, EditError> {
        let space = ledger.known_partition(part)?.space;
        if ledger.space(space).current_epoch().is_none() {
            return Err(SpaceError::NoKeys.into());
        }
        let mut batch = Batch::default();
        let log = ledger.live_log(part, &mut batch);
        ledger.submit(batch);
        Ok(peer_id(&ledger.logs.registry.log(log).id))
    }

    /// Checks all edits, without making any.
    fn check_edits(&mut self, edits: &[(DocRef, Edit)], texts: &TextPaths, peer: u64) -> Result<Checked, EditError> {
        let mut created = BTreeMap::new();
        let mut bytes = 0;
        let mut seen = BTreeSet::new();
        for (doc, edit) in edits {
            // Deletion does not affect whether changes fit, so both may occur in one transaction.
            if !matches!(edit, Edit::SetDeleted(_)) && !seen.insert(*doc) {
                return Err(EditError::Repeated);
            }
            let state = self.docs.get_mut(doc).filter(|state| state.ready).ok_or(EditError::NotOpen)?;
            match edit {
                Edit::Create { meta, value, .. } if !state.exists() => {
                    let replica = Replica::create(peer, meta, value, texts)?;
                    bytes += replica.untaken_bytes();
                    created.insert(*doc, replica);
                }
                Edit::Create { .. } => return Err(EditError::Exists),
                Edit::Apply(_) | Edit::SetDeleted(_) | Edit::Undo { .. } if !state.exists() => {
                    return Err(EditError::NotOpen);
                }
                Edit::Apply(changes) => bytes += state.replica.check(changes, texts)?,
                Edit::SetDeleted(_) | Edit::Undo { .. } => bytes += state.replica.check(&[], texts)?,
            }
        }
        if bytes > UPDATE_BYTES_MAX {
            return Err(ChangeError::TooLarge.into());
        }
        Ok(Checked { created, bytes })
    }

    /// Makes edits that were checked.
    fn make_edits(
        &mut self,
        edits: &[(DocRef, Edit)],
        texts: &TextPaths,
        peer: u64,
        mut created: BTreeMap<DocRef, Replica>,
    ) -> Result<(), EditError> {
        for (doc, edit) in edits {
            let Some(state) = self.docs.get_mut(doc) else { continue };
            match edit {
                Edit::Create { collection, .. } => {
                    if let Some(replica) = created.remove(doc) {
                        state.replica = replica;
                        state.collection = Some(*collection);
                    }
                }
                Edit::Apply(changes) => {
                    state.edit_as(peer)?;
                    state.replica.apply(changes, texts)?;
                }
                Edit::Undo { after, changes, texts } => {
                    state.edit_as(peer)?;
                    state.replica.undo(after, changes, texts)?;
                }
                Edit::SetDeleted(deleted) => {
                    state.edit_as(peer)?;
                    state.replica.set_deleted(*deleted)?;
                }
            }
            state.cached = false;
        }
        Ok(())
    }

    /// Decides when the gathered edits become an entry: at once after a quiet period or when somebody waits
    /// for them, otherwise at the end of the window. While an entry is under way, edits gather for the next
    /// one.
    fn schedule(&mut self, ledger: &mut Ledger) {
        let now = ledger.now.mono_us;
        let late_us = if planted!("flush.late") { 5_000_000 } else { 0 };
        let window_ends = self.last_flush_us.saturating_add(ledger.config.coalesce_us + late_us);
        if !reached!(EntriesUnderWay, self.under_way >= ENTRIES_UNDER_WAY_MAX)
            && (self.urgent && !planted!("urgent.waits") || now >= window_ends)
        {
            self.flush(ledger);
        } else {
            self.flush_at_us.get_or_insert(window_ends.max(now));
        }
    }

    /// Returns the time at which gathered edits are due to be flushed.
    fn flush_deadline_us(&self) -> Option<u64> {
        self.flush_at_us.filter(|_| self.under_way < ENTRIES_UNDER_WAY_MAX && !planted!("timer.forgotten"))
    }

    /// Returns the time and reason of the next timeout.
    pub(crate) fn deadline(&self, ledger: &Ledger) -> Option<Deadline> {
        let flush = self.flush_deadline_us().map(|at_us| Deadline { at_us, reason: Reason::Flush });
        let values = self.values_deadline_us(ledger).map(|at_us| Deadline { at_us, reason: Reason::Values });
        [flush, values].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, ledger: &mut Ledger, events: &mut VecDeque<Event>) {
        if self.flush_deadline_us().is_some_and(|at| at <= ledger.now.mono_us) {
            self.flush(ledger);
        }
        self.step_values(ledger, events);
    }

    /// Notes that an entry of gathered edits became durable.
    pub(crate) fn handle_committed(&mut self, ledger: &mut Ledger) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.urgent && !self.dirty.is_empty() {
            self.flush(ledger);
        }
    }

    /// Appends the gathered edits to the live log.
    pub(crate) fn flush(&mut self, ledger: &mut Ledger) {
        self.flush_at_us = None;
        self.urgent = false;
        if self.gathered.is_empty() {
            return;
        }
        self.last_flush_us = ledger.now.mono_us;
        let mut batch = Batch::default();
        let part = self.dirty.first().map(|doc| doc.partition);
        let written = part.is_none_or(|part| self.write_gathered(ledger, part, &mut batch));
        if written {
            batch.effects.push(Effect::Committed(core::mem::take(&mut self.gathered)));
            batch.ops.append(&mut self.rows);
            self.under_way += 1;
            self.dirty.clear();
            self.plain_bytes = 0;
        }
        // A log that was opened here is in the registry already: its rows are written in any case.
        ledger.submit(batch);
        if !written {
            self.drop_gathered(ledger);
        }
    }

    /// Writes the gathered edits into the batch. Returns whether all of them are in it.
    fn write_gathered(&mut self, ledger: &mut Ledger, part: PartNo, batch: &mut Batch) -> bool {
        self.take_updates(ledger, part, batch)
            .is_some_and(|updates| updates.is_empty() || self.append(ledger, part, updates, batch).is_ok())
    }

    /// Drops all gathered edits, since they were promised to become durable together. They are reported lost,
    /// and their documents are read again without them.
    pub(super) fn drop_gathered(&mut self, ledger: &mut Ledger) {
        self.failed.append(&mut self.gathered);
        self.rows.clear();
        (self.flush_at_us, self.urgent, self.plain_bytes) = (None, false, 0);
        for doc in core::mem::take(&mut self.dirty) {
            self.start_over(ledger, doc);
        }
    }

    /// Drops the gathered edits after a failed commit: every later commit would fail too.
    pub(crate) fn handle_failed(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.failed.append(&mut self.gathered);
        self.rows.clear();
        (self.flush_at_us, self.urgent, self.plain_bytes) = (None, false, 0);
        self.dirty.clear();
    }

    /// Takes the gathered operations. `None` if some cannot be written: a document broke, or the log that
    /// they were made for was given up.
    fn take_updates(&mut self, ledger: &mut Ledger, part: PartNo, batch: &mut Batch) -> Option<Vec<(DocRef, Update)>> {
        let log = ledger.live_log(part, batch);
        let peer = peer_id(&ledger.logs.registry.log(log).id);
        let mut updates = Vec::new();
        for doc in &self.dirty {
            let state = self.docs.get_mut(doc)?;
            if let Some(update) = state.replica.take_update().ok()? {
                if state.replica.peer() != peer {
                    return None;
                }
                updates.push((*doc, update));
            }
        }
        Some(updates)
    }

    /// Appends an entry with these updates to the live log.
    pub(super) fn append(
        &mut self,
        ledger: &mut Ledger,
        part: PartNo,
        updates: Vec<(DocRef, Update)>,
        batch: &mut Batch,
    ) -> Result<(), SealError> {
        let log = ledger.live_log(part, batch);
        let here = EntryRef { log, seq: ledger.logs.registry.log(log).next_seq() };
        let mut writing = Writing::new(EntryKind::Update, ledger.now.wall_ms, &ledger.own_earlier(log));
        let planned = self.plan(ledger, here, updates, &mut writing);
        let mut sections = Vec::with_capacity(planned.len() * 2);
        for one in &planned {
            if one.row.key.0 == here {
                sections.push(Plain::KeyBox(&one.seed));
            }
            sections.push(Plain::Body { seed: &one.seed, bytes: &one.update.bytes, dictionary: None });
        }
        ledger.append(log, &writing.header, &sections, batch)?;
        let written = ledger.logs.registry.log(log);
        let (peer, tip) = (peer_id(&written.id), written.staged().tip);
        for one in planned {
            batch.ops.push(one.row.op(one.doc));
            let value = self.docs.get_mut(&one.doc).and_then(|state| cache::created(ledger, one.doc, state));
            ledger.drop_cached(one.doc, Touch { here: true, may_delete: value.is_none() }, batch);
            batch.ops.extend(value.into_iter().flat_map(|value| cache::store_with(one.doc, value)));
            if let Some(collection) = one.collection {
                batch.ops.push(list(one.doc, &collection));
            }
            if let Some(state) = self.docs.get_mut(&one.doc) {
                state.imported.insert(log, here.seq + 1);
                state.brought.extend(tip.map(|tip| ((peer, one.update.end), (here, short(&tip.h)))));
                state.own_key = Some((one.row.key.0, one.row.key.1, one.seed));
            }
        }
        Ok(())
    }

    /// Lays out the sections of an entry, with a key box before the body if the document has no data key of
    /// this store yet.
    fn plan(
        &mut self,
        ledger: &mut Ledger,
        here: EntryRef,
        updates: Vec<(DocRef, Update)>,
        writing: &mut Writing,
    ) -> Vec<Planned> {
        let mut section = 0;
        let mut planned = Vec::with_capacity(updates.len());
        for (doc, update) in updates {
            let Some(state) = self.docs.get_mut(&doc) else { continue };
            // The entries with the operations that the update directly builds on: the frontier of the document.
            let has_others = state.imported.keys().any(|log| *log != here.log);
            let own = peer_id(&ledger.logs.registry.log(here.log).id);
            let builds_on = has_others.then(|| check(&update.bytes, own, update.start).ok()).flatten();
            for (peer, counter) in builds_on.iter().flat_map(|update| update.deps()) {
                if planted!("deps.first-uncited") && here.seq == 0 {
                    continue;
                }
                if let Some((entry, h)) = state.brought(*peer, *counter).filter(|(entry, _)| entry.log != here.log) {
                    writing.depend(ledger.logs.registry.log(entry.log).id, entry.seq, h);
                }
            }
            let (key_at, key, seed) = match state.own_key.filter(|(at, ..)| at.log == here.log) {
                Some((at, boxed_in, seed)) => {
                    ((at, boxed_in), KeyRef::Own { seq: at.seq, section: boxed_in, node: KeyNode::ROOT }, seed)
                }
                None => {
                    section += 1;
                    ((here, section), KeyRef::here(section), ledger.entropy.bytes())
                }
            };
            section += 1;
            let collection = state.collection.take();
            let new_in = collection.map(|collection| writing.collection(collection));
            writing.header.items.push(Item { doc: doc.doc, new_in, section, part: None, key, dictionary: None });
            let node = KeyNode::ROOT;
            let row = IndexRow { entry: here, section, part: None, key: key_at, node, dictionary: None };
            planned.push(Planned { doc, update, collection, row, seed });
        }
        planned
    }
}

/// Result of checking a transaction: the documents that it makes, and about how many plain bytes it adds.
struct Checked {
    created: BTreeMap<DocRef, Replica>,
    bytes: usize,
}

/// One document's part of an entry.
#[derive(Debug)]
struct Planned {
    doc: DocRef,
    update: Update,
    collection: Option<CollectionId>,
    row: IndexRow,
    seed: [u8; 16],
}

impl Doc {
    /// Makes later edits operations of this peer, the one of this store's live log.
    fn edit_as(&mut self, peer: u64) -> Result<(), Broken> {
        if self.replica.peer() == peer { Ok(()) } else { self.replica.set_peer(peer) }
    }
}
