//! The documents: documents that are open, their imports and their edits.
//!
//! Opening a document reads its index rows, then the entries that they name, opens the bodies and imports them in
//! causal order; from then on entries are imported as they arrive. Edits are applied at once, gathered for a moment,
//! and appended to this store's live log as one entry. The documents decides nothing about links or keys
//! (`spec/documents.md`, "open documents").

pub(crate) mod bulk;
mod cache;
mod deeds;
mod edit;
mod import;
mod make;
mod republish;

use crate::branch::{At, Part, Short};
use crate::crdt::{Replica, UPDATE_BYTES_MAX};
use crate::endpoint::{CommitId, Event};
use crate::ids::CollectionId;
use crate::ledger::rows::{self, IndexRow, entry_key, scan_on, scan_prefix};
use crate::ledger::{Batch, BodyKeys, DocRef, DocStep, Effect, EntryRef, Held, Ledger, Work};
use crate::log::Section;
use crate::storage::{Op, Row, Scan, Table};
use crate::sync::LogNo;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use bulk::{Bulk, BulkError, Erasable};
pub use cache::{Snapshot, decode_snapshot};
pub use deeds::EntryDeed;
pub use edit::{Edit, EditError};

/// How much of an index is read at a time.
const INDEX_BYTES_MAX: usize = 1024 * 1024;
/// How many entries are asked for at a time.
const ENTRIES_MAX: usize = 256;

/// Up to so many times its sealed length a body may inflate to at no charge.
const INFLATION: usize = 16;
/// How many bytes the bodies of one open document may inflate to beyond that: what takes memory has to be sent. Bodies
/// that inflate less are opened all the same, so nobody can keep others' out.
const INFLATED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which entries of other logs an open document may take in: for replays and for people who type undisturbed.
pub type Hold = BTreeMap<LogNo, u64>;

/// Why a document shows less than its logs hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The entry's body is not here: it was not fetched, or was pruned or erased.
    Body(EntryRef),
    /// The update builds on operations that are not here.
    Dependency(EntryRef),
    /// The update breaks an acceptance rule, as those behind it in its log then do.
    Excluded(EntryRef),
    /// The key to the body does not open it.
    Sealed(EntryRef),
    /// The body inflates to far more than was sent, like too many of the document before it.
    TooLarge(EntryRef),
}

/// One section that waits to be imported.
#[derive(Debug)]
enum Body {
    /// Its entry or its key box has to be read.
    Absent,
    /// Opened; with the chain hash after the entry.
    Plain(Vec<u8>, [u8; 32]),
    /// It cannot be opened.
    Lost(Missing),
}

/// An open document.
#[derive(Debug)]
struct Doc {
    replica: Replica,
    collection: Option<CollectionId>,
    pins: u32,
    /// Told apart from an earlier document of the same name, whose reads may still be under way.
    life: u64,
    /// Reads from the store that are under way; until they are done the value is not complete.
    reading: usize,
    /// Something was indexed that the reads under way may not bring.
    grown: bool,
    ready: bool,
    /// What is not imported yet, by its place.
    waiting: BTreeMap<(EntryRef, u32), (IndexRow, Body)>,
    /// Logs whose first waiting section may be importable now.
    runnable: BTreeSet<LogNo>,
    /// Logs whose first waiting section builds on an operation that is not here: by its Loro peer and counter.
    blocked: BTreeMap<(u64, u32), BTreeSet<LogNo>>,
    /// The next entry of each log that could bring something new.
    imported: BTreeMap<LogNo, u64>,
    excluded: BTreeMap<LogNo, EntryRef>,
    keys: BodyKeys,
    /// Key boxes that waiting sections need and that are not open yet, by their place.
    boxes: BTreeSet<(EntryRef, u32)>,
    /// The data key that this store's own sections of the document are sealed under, and where it is boxed.
    own_key: Option<(EntryRef, u32, [u8; 16])>,
    hold: Option<Hold>,
    /// Which entries those that wait cite.
    cited: BTreeMap<EntryRef, Arc<[At]>>,
    /// Which entry brought which operations: by Loro peer and the counter after them, and the chain hash's first bytes.
    brought: BTreeMap<(u64, u32), (EntryRef, Short)>,
    /// What exclusion knows of the document's entries, where some may be excluded.
    parts: BTreeMap<EntryRef, Part<EntryRef>>,
    /// Entries that are excluded.
    left_out: BTreeSet<EntryRef>,
    /// The document is read for what is to be republished in it.
    examined: bool,
    /// While it is: every section that was opened.
    opened: BTreeMap<(EntryRef, u32), Vec<u8>>,
    /// An import broke the replica once: updates are imported one by one from then on.
    careful: bool,
    /// A materialised value of the present state stands in the store, or is about to.
    cached: bool,
    /// It is read for its value alone: nobody is told that it is open.
    unseen: bool,
    /// Since it began to be read, entries came or stopped counting.
    changed: bool,
    last_used_us: u64,
    /// How many bytes its bodies inflated to, beyond what is free.
    inflated: usize,
}

impl Doc {
    /// A document whose index is being read.
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
            left_out: BTreeSet::new(),
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

    /// Whether the document has any operation.
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
    /// Rows of the layer above that are written with them.
    rows: Vec<Op>,
    next_commit: u64,
    lives: u64,
    flush_at_us: Option<u64>,
    last_flush_us: u64,
    /// Somebody waits for the gathered edits to be safe.
    urgent: bool,
    /// About how many plain bytes the gathered edits have.
    plain_bytes: usize,
    /// Edits that were lost, to be told.
    failed: Vec<CommitId>,
    /// Documents that left memory before what changed in them came into it, to be told.
    left: Vec<DocRef>,
    /// Entries under way to the store.
    under_way: usize,
    /// Documents that are read for what is to be republished in them.
    examined: BTreeSet<DocRef>,
    /// Those in which a person asked for all of it.
    asked: BTreeSet<DocRef>,
    /// Documents in which something is to be republished once what it builds on is here.
    pending: BTreeSet<DocRef>,
    /// Entries that this process republished, by document.
    republished: BTreeSet<(DocRef, EntryRef)>,
    /// Unpinned documents, the one that was let go first in front.
    idle: VecDeque<DocRef>,
    /// Documents that one commit changed and of which some are still being read: they are imported in one step, so that
    /// a transaction is seen whole.
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
        // What was held back when it was let go comes in now.
        self.import_together(ledger, doc, events);
        if let Some(state) = self.docs.get(&doc).filter(|state| state.ready) {
            events.push_back(Event::Opened { doc, exists: state.exists(), changed: false });
        }
    }

    /// Lets a document go. It stays in memory until room is needed.
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

    /// Drops the documents that were let go longest ago, beyond the limit, but none that is examined.
    /// Edits are flushed before.
    pub(super) fn evict(&mut self, ledger: &mut Ledger) {
        while self.idle.len() > ledger.config.idle_docs_max && !planted!("doc.not-let-go") {
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

    /// The value and name of an open document. `None` if it is not open, broken, or empty.
    pub(crate) fn snapshot(&mut self, doc: DocRef) -> Option<Snapshot> {
        let state = self.docs.get_mut(&doc).filter(|state| state.ready && state.exists())?;
        cache::snapshot_of(&mut state.replica).ok()
    }

    /// The replica of an open document, for reading.
    pub(crate) fn replica(&mut self, doc: DocRef) -> Option<&mut Replica> {
        self.docs.get_mut(&doc).filter(|state| state.ready).map(|state| &mut state.replica)
    }

    /// Whether a document is in memory and read.
    pub(crate) fn is_ready(&self, doc: DocRef) -> bool {
        self.docs.get(&doc).is_some_and(|state| state.ready)
    }

    /// Whether a document is not in memory, or all that is stored of it is.
    pub(crate) fn is_current(&self, doc: DocRef) -> bool {
        let whole = |state: &Doc| state.reading == 0 && state.hold.is_none();
        self.docs.get(&doc).is_none_or(whole) && !self.together.iter().any(|docs| docs.contains(&doc))
    }

    /// Whether a document is in memory, or being read.
    pub(crate) fn holds(&self, doc: DocRef) -> bool {
        self.docs.contains_key(&doc)
    }

    /// What an open document lacks.
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

    /// Entries of an open document that do not count, because their log has another history or they build on such.
    pub(crate) fn left_out(&self, doc: DocRef) -> Vec<EntryRef> {
        self.docs.get(&doc).map(|state| state.left_out.iter().copied().collect()).unwrap_or_default()
    }

    /// Which entries an open document has taken in: for each log, up to and including which.
    pub(crate) fn seen(&self, doc: DocRef) -> BTreeMap<LogNo, u64> {
        let imported = self.docs.get(&doc).map(|state| &state.imported);
        imported.into_iter().flatten().filter_map(|(log, next)| Some((*log, next.checked_sub(1)?))).collect()
    }

    /// Holds an open document back to these entries of others' logs; `None` lets everything in again.
    pub(crate) fn hold(&mut self, ledger: &mut Ledger, doc: DocRef, hold: Option<Hold>, events: &mut VecDeque<Event>) {
        let Some(state) = self.docs.get_mut(&doc) else { return };
        state.hold = hold;
        state.runnable.extend(state.waiting.keys().map(|(entry, _)| entry.log));
        if state.ready {
            self.import_together(ledger, doc, events);
        }
    }

    /// Rows or entries came that a document was waiting for.
    pub(crate) fn handle_rows(
        &mut self,
        ledger: &mut Ledger,
        doc: DocRef,
        life: u64,
        step: DocStep,
        result: Result<(Vec<Option<Row>>, bool), ()>,
        events: &mut VecDeque<Event>,
    ) {
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.life == life) else { return };
        state.reading -= 1;
        let Ok((found, more)) = result else {
            self.examined.remove(&doc);
            return;
        };
        match step {
            DocStep::Index(scan) => {
                index_rows(ledger, doc, state, scan, found, more);
                state.grown = true;
            }
            DocStep::Entries(wanted) => {
                for (at, row) in wanted.into_iter().zip(found) {
                    let held = row.and_then(|(_, row)| ledger.held_from_row(at, &row).ok());
                    if let Some(held) = held {
                        ledger.entry_cache.insert(at, held.clone());
                        state.open_bodies(ledger, at, &held);
                    }
                }
                // Bodies that were in memory all along, but not the key boxes that open them.
                open_recent(ledger, state);
            }
        }
        if state.reading == 0 && core::mem::take(&mut state.grown) {
            fetch(ledger, doc, state);
        }
        self.import_together(ledger, doc, events);
    }

    /// Entries that were just indexed name these documents.
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

    /// Imports a document once it is read, and once those are that it changed together with.
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

    /// Flushes edits and keeps the values of what is open, before the end.
    pub(crate) fn shut_down(&mut self, ledger: &mut Ledger) {
        self.flush(ledger);
        for (doc, state) in &mut self.docs {
            cache::keep(ledger, *doc, state);
        }
        ledger.submit_unsaved();
    }

    /// Tells of documents that left memory before what changed in them came into it.
    pub(crate) fn tell_left(&mut self, events: &mut VecDeque<Event>) {
        events.extend(self.left.drain(..).map(|doc| Event::Changed { doc }));
    }

    /// Tells of edits that were lost.
    pub(crate) fn tell_failed(&mut self, events: &mut VecDeque<Event>) {
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

    /// Which entry of an open document brought which operations: by Loro peer and the counter after them.
    #[cfg(feature = "testkit")]
    pub(crate) fn brought(&self, doc: DocRef) -> BTreeMap<(u64, u32), (EntryRef, Short)> {
        self.docs.get(&doc).map(|state| state.brought.clone()).unwrap_or_default()
    }

    /// How many edits no entry carries yet.
    pub(crate) fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// How many documents are in memory.
    pub(crate) fn len(&self) -> usize {
        self.docs.len()
    }
}

impl Doc {
    /// Notes a section that is not imported yet.
    fn wait_for(&mut self, row: IndexRow) {
        let done = self.imported.get(&row.entry.log).is_some_and(|next| *next > row.entry.seq);
        if !done && !self.excluded.contains_key(&row.entry.log) {
            let keyless = row.key == (row.entry, row.section);
            if !keyless && !self.keys.contains_key(&row.key) {
                self.boxes.insert(row.key);
            }
            self.waiting.entry((row.entry, row.section)).or_insert((row, Body::Absent));
        }
    }

    /// Whether entries of a log wait to be imported, or never will be.
    fn lacks(&self, log: LogNo) -> bool {
        let mut waiting = self.waiting.range((EntryRef { log, seq: 0 }, 0)..);
        waiting.next().is_some_and(|((at, _), _)| at.log == log) || self.excluded.contains_key(&log)
    }

    /// The entry that brought an operation.
    fn brought(&self, peer: u64, counter: u32) -> Option<(EntryRef, Short)> {
        let ((of, _), entry) = self.brought.range((peer, counter.checked_add(1)?)..).next()?;
        (*of == peer).then_some(*entry)
    }

    /// Entries that the waiting bodies need and that are not open yet.
    fn needed(&self) -> BTreeSet<EntryRef> {
        let absent = self.waiting.values().filter(|(_, body)| matches!(body, Body::Absent));
        absent
            .flat_map(|(row, _)| {
                let key = (!self.keys.contains_key(&row.key) && row.key.0 != row.entry).then_some(row.key.0);
                [Some(row.entry), key].into_iter().flatten()
            })
            .collect()
    }

    /// Opens what an entry brings: key boxes first, then the bodies whose keys are known.
    fn open_bodies(&mut self, ledger: &mut Ledger, at: EntryRef, held: &Held) {
        if self.waiting.range((at, 0)..=(at, u32::MAX)).next().is_some() {
            let part = ledger.part(at, held);
            self.cited.insert(at, part.deps.clone());
            if ledger.may_exclude(ledger.registry.log(at.log).space) {
                self.parts.insert(at, part);
            }
        }
        let boxes: Vec<(EntryRef, u32)> = self.boxes.range((at, 0)..=(at, u32::MAX)).copied().collect();
        for place in boxes {
            if let Ok(seed) = ledger.open_key_box(at, place.1, held) {
                self.keys.insert(place, seed);
                self.boxes.remove(&place);
            }
        }
        let of_entry = self.waiting.range_mut((at, 0)..=(at, u32::MAX));
        for (row, body) in of_entry.map(|(_, waits)| waits).filter(|(_, body)| matches!(body, Body::Absent)) {
            let seed = self.keys.get(&row.key);
            let keyless = row.key == (row.entry, row.section);
            if seed.is_none() && !keyless && row.key.0 != at {
                continue;
            }
            let sealed_len = held.entry.sections().get(row.section as usize).map_or(0, Section::len);
            let free = sealed_len.saturating_mul(INFLATION);
            let plain_max = free.saturating_add(INFLATED_BYTES_MAX - self.inflated);
            *body = match ledger.open_body(row, held, seed, plain_max) {
                Ok(bytes) => {
                    self.runnable.insert(at.log);
                    self.inflated += bytes.len().saturating_sub(free);
                    Body::Plain(bytes, held.h)
                }
                Err(crate::log::OpenError::Content(_)) if plain_max < UPDATE_BYTES_MAX => {
                    Body::Lost(Missing::TooLarge(at))
                }
                Err(crate::log::OpenError::Absent) => Body::Lost(Missing::Body(at)),
                Err(_) => Body::Lost(Missing::Sealed(at)),
            };
        }
    }
}

/// Asks the store for a document's index.
fn read_index(ledger: &mut Ledger, doc: DocRef, life: u64) {
    let scan = scan_prefix(Table::Index, &rows::doc_key(doc), INDEX_BYTES_MAX);
    ledger.store.scan(scan.clone(), Work::Doc { doc, life, step: DocStep::Index(scan) });
}

fn index_rows(ledger: &mut Ledger, doc: DocRef, state: &mut Doc, scan: Scan, found: Vec<Option<Row>>, more: bool) {
    let last = found.last().and_then(Option::as_ref).map(|(key, _)| key.clone());
    for (row_key, row) in found.into_iter().flatten() {
        // Behind the end of a torn log stand rows that are elsewhere too.
        if let Ok(row) = IndexRow::decode(&row_key, &row)
            && ledger.registry.is_held(row.entry)
        {
            state.wait_for(row);
        }
    }
    if let (true, Some(last)) = (more, last) {
        let scan = scan_on(&scan, &last);
        ledger.store.scan(scan.clone(), Work::Doc { doc, life: state.life, step: DocStep::Index(scan) });
        state.reading += 1;
    }
}

/// Opens what is in memory.
fn open_recent(ledger: &mut Ledger, state: &mut Doc) {
    // A body may need a key box of another entry: the second round finds it opened by the first.
    for _ in 0..2 {
        for at in state.needed() {
            if let Some(held) = ledger.entry_cache.get(at).cloned() {
                state.open_bodies(ledger, at, &held);
            }
        }
    }
}

/// Opens what is in memory and asks the store for the rest.
fn fetch(ledger: &mut Ledger, doc: DocRef, state: &mut Doc) {
    open_recent(ledger, state);
    // Also what is in memory but could not be opened: by the time its key box is read it may be there no more.
    let wanted: Vec<EntryRef> = state.needed().into_iter().collect();
    for chunk in wanted.chunks(ENTRIES_MAX) {
        let keys = chunk.iter().map(|at| (Table::Entry, entry_key(*at))).collect();
        ledger.store.get(keys, Work::Doc { doc, life: state.life, step: DocStep::Entries(chunk.to_vec()) });
        state.reading += 1;
    }
}
