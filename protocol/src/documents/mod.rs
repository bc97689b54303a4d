//! The documents: open documents, their imports and their edits.
//!
//! Opening a document reads its index rows, then the entries that they name, opens the bodies and imports
//! them in causal order; from then on entries are imported as they arrive. Edits are applied at once,
//! gathered for a moment, and appended to this store's live log as one entry. This module never decides about
//! links or keys (`spec/documents.md`, sections 4 to 6).

pub(crate) mod bulk;
mod cache;
mod deeds;
mod edit;
mod import;
mod make;
mod read;
mod republish;

use crate::branch::{At, Part, Short};
use crate::crdt::Replica;
use crate::event::Event;
use crate::ids::CommitId;
use crate::ids::{CollectionId, DocRef, EntryRef, LogNo};
use crate::ledger::Ledger;
use crate::logs::{Batch, BodyKeys, Effect};
use crate::storage::Op;
use crate::storage::rows::IndexRow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use bulk::{Bulk, BulkError, Erasable, NewDoc};
pub use cache::{Snapshot, decode_snapshot};
pub use deeds::EntryDeed;
pub use edit::{Edit, EditError};
use read::{fetch, read_index};

/// Compression ratio that a body may reach before it is charged to [`INFLATED_BYTES_MAX`].
const INFLATION: usize = 16;
/// Most bytes that the bodies of one open document may inflate to beyond [`INFLATION`], so that memory use
/// stays in proportion to sent bytes. Bodies that inflate less are opened all the same, so nobody can block
/// the bodies of others.
const INFLATED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The last entry of each other log that an open document may import: for replays, and for undisturbed
/// typing.
pub type Hold = BTreeMap<LogNo, u64>;

/// Reason why a document shows less than its logs hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The entry's body is not here: it was not fetched, or it was pruned or erased.
    Body(EntryRef),
    /// The update builds on operations that are not here.
    Dependency(EntryRef),
    /// The update breaks an acceptance rule; later updates of its log are excluded with it.
    Excluded(EntryRef),
    /// The body does not open under its key.
    Sealed(EntryRef),
    /// The body inflates to far more than was sent, and the document's allowance for this is used up.
    TooLarge(EntryRef),
}

/// One section that waits to be imported.
#[derive(Debug)]
enum Body {
    /// The entry or its key box must be read first.
    Absent,
    /// The plaintext, and the chain hash after the entry.
    Plain(Vec<u8>, [u8; 32]),
    /// The section cannot be opened.
    Lost(Missing),
}

/// An open document.
#[derive(Debug)]
struct Doc {
    replica: Replica,
    collection: Option<CollectionId>,
    pins: u32,
    /// Number that differs from that of an earlier opening of the document, whose reads may still be under
    /// way.
    life: u64,
    /// Number of store reads under way. Until they are done, the value is not complete.
    reading: usize,
    /// True if sections were indexed that the reads under way may miss.
    grown: bool,
    ready: bool,
    /// Sections that are not imported yet, by their place.
    waiting: BTreeMap<(EntryRef, u32), (IndexRow, Body)>,
    /// Logs whose first waiting section may be importable now.
    runnable: BTreeSet<LogNo>,
    /// Logs whose first waiting section builds on a missing operation, by its Loro peer and counter.
    blocked: BTreeMap<(u64, u32), BTreeSet<LogNo>>,
    /// The next entry of each log that could bring new operations.
    imported: BTreeMap<LogNo, u64>,
    excluded: BTreeMap<LogNo, EntryRef>,
    keys: BodyKeys,
    /// Key boxes that waiting sections need and that are not open yet, by their place.
    boxes: BTreeSet<(EntryRef, u32)>,
    /// The data key of this store's own sections of the document, and the place of its key box.
    own_key: Option<(EntryRef, u32, [u8; 16])>,
    hold: Option<Hold>,
    /// Citations of the waiting entries.
    cited: BTreeMap<EntryRef, Arc<[At]>>,
    /// Entry of each stretch of operations, by Loro peer and the counter after it, with the first bytes of
    /// its chain hash.
    brought: BTreeMap<(u64, u32), (EntryRef, Short)>,
    /// Properties of the document's entries for exclusion, if some may be excluded.
    parts: BTreeMap<EntryRef, Part<EntryRef>>,
    /// Entries that are excluded.
    excluded_entries: BTreeSet<EntryRef>,
    /// True while the document is read in order to republish its excluded entries.
    examined: bool,
    /// During that time, every section that was opened.
    opened: BTreeMap<(EntryRef, u32), Vec<u8>>,
    /// True after an import broke the replica: updates are then imported one by one.
    careful: bool,
    /// True if the store has a materialised value of the present state, or is about to.
    cached: bool,
    /// True if the document is read only for its value: nobody is told that it is open.
    unseen: bool,
    /// True if entries came, or were excluded, since the document's read began.
    changed: bool,
    last_used_us: u64,
    /// Bytes that the document's bodies inflated to, beyond [`INFLATION`].
    inflated: usize,
}

impl Doc {
    /// Makes a document whose index is being read.
    fn new(life: u64) -> Self {
        Self {
            replica: Replica::new(READER),
            collection: None,
            pins: 0,
            life,
            reading: 1,
            grown: false,
            ready: false,
            waiting: BTreeMap::new(),
            runnable: BTreeSet::new(),
            blocked: BTreeMap::new(),
            imported: BTreeMap::new(),
            excluded: BTreeMap::new(),
            keys: BodyKeys::new(),
            boxes: BTreeSet::new(),
            own_key: None,
            hold: None,
            cited: BTreeMap::new(),
            brought: BTreeMap::new(),
            parts: BTreeMap::new(),
            excluded_entries: BTreeSet::new(),
            examined: false,
            opened: BTreeMap::new(),
            careful: false,
            cached: false,
            unseen: false,
            changed: false,
            last_used_us: 0,
            inflated: 0,
        }
    }

    /// Returns whether the document has any operation.
    fn exists(&self) -> bool {
        !self.replica.version().is_empty()
    }
}

/// The peer id of a replica that has not been edited here. It never writes an operation.
const READER: u64 = 1;

/// The open documents.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    docs: BTreeMap<DocRef, Doc>,
    dirty: BTreeSet<DocRef>,
    /// Edits that the next entry will carry.
    gathered: Vec<CommitId>,
    /// Rows of the layer above that are written with the gathered edits.
    rows: Vec<Op>,
    next_commit: u64,
    lives: u64,
    flush_at_us: Option<u64>,
    last_flush_us: u64,
    /// True if somebody waits for the gathered edits to be durable.
    urgent: bool,
    /// Plain bytes of the gathered edits, approximately.
    plain_bytes: usize,
    /// Edits that were lost and are to be reported.
    failed: Vec<CommitId>,
    /// Documents that left memory before what changed in them came into it, to be told.
    left: Vec<DocRef>,
    /// Entries under way to the store.
    under_way: usize,
    /// True after the shutdown: edits are refused.
    is_shut_down: bool,
    /// Documents that are read in order to republish their excluded entries.
    examined: BTreeSet<DocRef>,
    /// Documents in which a person requested republication of all excluded entries.
    asked: BTreeSet<DocRef>,
    /// Documents with entries to republish once their dependencies are here.
    pending: BTreeSet<DocRef>,
    /// Entries that this process republished, by document.
    republished: BTreeSet<(DocRef, EntryRef)>,
    /// Unpinned documents, the earliest closed one first.
    idle: VecDeque<DocRef>,
    /// Sets of documents that one commit changed and of which some are still being read. Each set is imported
    /// in one step, so that a transaction is seen whole.
    together: Vec<BTreeSet<DocRef>>,
    maker: make::Maker,
}

impl Documents {
    /// Opens and pins a document. [`Event::Opened`] follows, at once if it is open already.
    pub(crate) fn open(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        let now_us = ledger.now.mono_us;
        let life = self.new_life();
        let state = self.docs.entry(doc).or_insert_with(|| {
            read_index(ledger, doc, life);
            Doc::new(life)
        });
        state.pins += 1;
        state.last_used_us = now_us;
        self.idle.retain(|idle| *idle != doc);
        if !state.ready {
            return;
        }
        // Entries that were held back when it was closed are imported now.
        self.import_together(ledger, doc, events);
        if let Some(state) = self.docs.get(&doc).filter(|state| state.ready) {
            events.push_back(Event::Opened { doc, exists: state.exists(), changed: false });
        }
    }

    /// Closes a document. It stays in memory until room is needed.
    pub(crate) fn close(&mut self, ledger: &mut Ledger, doc: DocRef) {
        let Some(state) = self.docs.get_mut(&doc) else { return };
        state.pins = state.pins.saturating_sub(1);
        if state.pins == 0 {
            if state.hold.take().is_some() {
                state.runnable.extend(state.waiting.keys().map(|(entry, _)| entry.log));
            }
            self.idle.push_back(doc);
        }
        self.evict(ledger);
    }

    /// Drops the documents that were closed longest ago, beyond the limit, except examined ones. Edits are
    /// flushed before.
    pub(super) fn evict(&mut self, ledger: &mut Ledger) {
        while reached!(IdleDocs, self.idle.len() > ledger.config.idle_docs_max) && !planted!("doc.not-let-go") {
            let done = self.idle.iter().position(|doc| !self.examined.contains(doc));
            let Some(doc) = done.and_then(|at| self.idle.remove(at)) else { break };
            if self.dirty.contains(&doc) {
                self.flush(ledger);
            }
            if let Some(mut state) = self.docs.remove(&doc) {
                let is_coming = if state.ready { state.reading > 0 } else { state.changed };
                if is_coming || self.together.iter().any(|docs| docs.contains(&doc)) {
                    self.left.push(doc);
                }
                cache::keep(ledger, doc, &mut state);
            }
        }
    }

    /// Returns the value and name of an open document. `None` if it is not open, broken, or empty.
    pub(crate) fn snapshot(&mut self, doc: DocRef) -> Option<Snapshot> {
        let state = self.docs.get_mut(&doc).filter(|state| state.ready && state.exists())?;
        cache::snapshot_of(&mut state.replica).ok()
    }

    /// Returns the replica of an open document, for reading.
    pub(crate) fn replica(&mut self, doc: DocRef) -> Option<&mut Replica> {
        self.docs.get_mut(&doc).filter(|state| state.ready).map(|state| &mut state.replica)
    }

    /// Returns whether a document is in memory and read.
    pub(crate) fn is_ready(&self, doc: DocRef) -> bool {
        self.docs.get(&doc).is_some_and(|state| state.ready)
    }

    /// Returns whether a document is not in memory, or is in memory with all that is stored of it.
    pub(crate) fn is_current(&self, doc: DocRef) -> bool {
        let whole = |state: &Doc| state.reading == 0 && state.hold.is_none();
        self.docs.get(&doc).is_none_or(whole) && !self.together.iter().any(|docs| docs.contains(&doc))
    }

    /// Returns the documents in memory that are not current.
    pub(crate) fn lagging(&self) -> impl Iterator<Item = DocRef> {
        self.docs.keys().copied().filter(|doc| !self.is_current(*doc))
    }

    /// Returns whether a document is in memory, or being read.
    pub(crate) fn holds(&self, doc: DocRef) -> bool {
        self.docs.contains_key(&doc)
    }

    /// Returns the parts that an open document lacks.
    pub(crate) fn missing(&self, doc: DocRef) -> Vec<Missing> {
        let Some(state) = self.docs.get(&doc) else { return Vec::new() };
        let waiting = state.waiting.values().map(|(row, body)| match body {
            Body::Absent => Missing::Body(row.entry),
            Body::Lost(missing) => *missing,
            Body::Plain(..) => Missing::Dependency(row.entry),
        });
        let excluded = state.excluded.values().map(|entry| Missing::Excluded(*entry));
        waiting.chain(excluded).collect()
    }

    /// Returns the excluded entries of an open document: their log has another history that is kept, or they
    /// build on such entries.
    pub(crate) fn excluded_entries(&self, doc: DocRef) -> Vec<EntryRef> {
        self.docs.get(&doc).map(|state| state.excluded_entries.iter().copied().collect()).unwrap_or_default()
    }

    /// Returns the entries that an open document has imported: for each log, the last one.
    pub(crate) fn seen(&self, doc: DocRef) -> BTreeMap<LogNo, u64> {
        let imported = self.docs.get(&doc).map(|state| &state.imported);
        imported.into_iter().flatten().filter_map(|(log, next)| Some((*log, next.checked_sub(1)?))).collect()
    }

    /// Limits an open document to these entries of others' logs; `None` removes the limit.
    pub(crate) fn hold(&mut self, ledger: &mut Ledger, doc: DocRef, hold: Option<Hold>, events: &mut VecDeque<Event>) {
        let Some(state) = self.docs.get_mut(&doc) else { return };
        state.hold = hold;
        state.runnable.extend(state.waiting.keys().map(|(entry, _)| entry.log));
        if state.ready {
            self.import_together(ledger, doc, events);
        }
    }

    /// Takes freshly indexed sections of documents.
    pub(crate) fn handle_indexed(
        &mut self,
        ledger: &mut Ledger,
        indexed: Vec<(DocRef, IndexRow)>,
        events: &mut VecDeque<Event>,
    ) {
        let mut touched = BTreeSet::new();
        for (doc, row) in indexed {
            if self.pending.remove(&doc) {
                ledger.affected.insert(doc);
            }
            if let Some(state) = self.docs.get_mut(&doc) {
                state.wait_for(row);
                state.changed |= !state.ready;
                touched.insert(doc);
                // One that is being read shows it later, and stands in the store by now.
                if !state.ready || state.unseen && state.pins == 0 {
                    events.push_back(Event::Changed { doc });
                }
            } else {
                self.maker.note(ledger, doc.partition);
                events.push_back(Event::Changed { doc });
            }
        }
        let mut shown = BTreeSet::new();
        for doc in &touched {
            let Some(state) = self.docs.get_mut(doc) else { continue };
            // Index rows still to come are merged with these by their place.
            if state.reading > 0 {
                state.grown |= !planted!("doc.reads-behind");
            } else {
                fetch(ledger, *doc, state);
            }
            if state.ready {
                shown.insert(*doc);
            }
        }
        if shown.len() > 1 {
            self.join(shown);
        }
        touched.into_iter().for_each(|doc| self.import_together(ledger, doc, events));
    }

    /// Has documents imported in one step, together with those that some of them wait for already.
    fn join(&mut self, mut docs: BTreeSet<DocRef>) {
        self.together.retain(|others| {
            let apart = others.is_disjoint(&docs);
            if !apart {
                docs.extend(others);
            }
            apart
        });
        self.together.push(docs);
    }

    /// Imports a document once it is read and all documents that one commit changed with it are read too.
    fn import_together(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        let is_read = |docs: &BTreeMap<DocRef, Doc>, doc: &DocRef| docs.get(doc).is_none_or(|state| state.reading == 0);
        let Some(at) = self.together.iter().position(|docs| docs.contains(&doc) && !planted!("transaction.torn"))
        else {
            if is_read(&self.docs, &doc) {
                self.import(ledger, doc, events);
            }
            return;
        };
        if self.together[at].iter().all(|doc| is_read(&self.docs, doc)) {
            for doc in self.together.swap_remove(at) {
                self.import(ledger, doc, events);
            }
        }
    }

    /// Sends a batch that somebody waits for.
    pub(crate) fn submit(&mut self, ledger: &mut Ledger, mut batch: Batch) -> CommitId {
        let commit = self.number();
        batch.effects.push(Effect::Committed(vec![commit]));
        self.under_way += 1;
        ledger.submit(batch);
        commit
    }

    /// Writes rows of the layer above.
    pub(crate) fn write(&mut self, ledger: &mut Ledger, ops: Vec<Op>) -> CommitId {
        let mut batch = Batch::default();
        batch.ops = ops;
        self.submit(ledger, batch)
    }

    /// Flushes edits and keeps the values of open documents, before the end.
    pub(crate) fn shut_down(&mut self, ledger: &mut Ledger) {
        if !planted!("stop.unflushed") {
            self.flush(ledger);
        }
        for (doc, state) in &mut self.docs {
            cache::keep(ledger, *doc, state);
        }
        ledger.submit_unsaved();
        self.is_shut_down = true;
    }

    /// Tells of documents that left memory before what changed in them came into it.
    pub(crate) fn report_dropped(&mut self, events: &mut VecDeque<Event>) {
        events.extend(self.left.drain(..).map(|doc| Event::Changed { doc }));
    }

    /// Tells of edits that were lost.
    pub(crate) fn report_failed(&mut self, events: &mut VecDeque<Event>) {
        if !self.failed.is_empty() {
            events.push_back(Event::EditsFailed { commits: core::mem::take(&mut self.failed) });
        }
    }

    fn new_life(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    fn number(&mut self) -> CommitId {
        let commit = CommitId(self.next_commit);
        self.next_commit += 1;
        commit
    }

    /// Returns the entry of each stretch of operations of an open document, by Loro peer and the counter
    /// after it.
    #[cfg(feature = "testkit")]
    pub(crate) fn brought(&self, doc: DocRef) -> BTreeMap<(u64, u32), (EntryRef, Short)> {
        self.docs.get(&doc).map(|state| state.brought.clone()).unwrap_or_default()
    }

    /// Returns the number of edits that no entry carries yet.
    pub(crate) fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// Returns the number of documents in memory.
    pub(crate) fn len(&self) -> usize {
        self.docs.len()
    }
}

impl Doc {
    /// Returns whether entries of a log wait to be imported, or never will be.
    fn lacks(&self, log: LogNo) -> bool {
        let mut waiting = self.waiting.range((EntryRef { log, seq: 0 }, 0)..);
        waiting.next().is_some_and(|((at, _), _)| at.log == log) || self.excluded.contains_key(&log)
    }

    /// Returns the entry that brought an operation.
    fn brought(&self, peer: u64, counter: u32) -> Option<(EntryRef, Short)> {
        let ((of, _), entry) = self.brought.range((peer, counter.checked_add(1)?)..).next()?;
        (*of == peer).then_some(*entry)
    }
}
