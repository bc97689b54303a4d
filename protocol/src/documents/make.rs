//! Makes the values of documents that have none, many at a time and by entry.
//!
//! After a sync or an import of a backup no document has a stored value. Opening documents one by one in the
//! order of their ids would read an entry for each. A pass reads the index of a partition, sorts documents
//! without a value by the entry that brought them, and opens each entry once. Documents with a single section
//! are read without opening them; the others are opened as usual. A pass works in small steps, so that other
//! inputs are handled in between (`spec/storage.md`, section 2, the table of values).

use super::read::read_index;
use super::{Doc, Documents, INFLATED_BYTES_MAX, INFLATION, READER, Snapshot, cache};
use crate::crdt::{Replica, check};
use crate::event::{Event, ReadResult};
use crate::identity::peer_id;
use crate::ids::ReadId;
use crate::ids::{DocId, DocRef, EntryRef, PartNo};
use crate::ledger::{Ledger, MakeStep, Moment, Work};
use crate::log::Section;
use crate::logs::Held;
use crate::sealed::Seed;
use crate::storage::rows::{self, IndexRow, doc_key, entry_key, part_key, scan_prefix};
use crate::storage::{Row, Scan, StoreError, Table};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most documents that are sorted together. In a larger partition an entry may be opened once per such
/// window.
const WINDOW_DOCS: usize = 65_536;
/// Most entries that are read in one piece.
const ENTRIES_MAX: usize = 4;
const STEP_BYTES: usize = 64 * 1024;
const COMMITS_MAX: usize = 4;
/// Most documents that are open for a pass at one time.
const OPENING_MAX: usize = 16;
/// Offset into the past of the deadline of work that can be done now, in microseconds.
const DUE_US: u64 = 2_000;
/// Divisor of the partition's documents: a pass visits all of them, so this share must be new before an
/// unrequested pass begins.
const FRESH_SHARE: usize = 16;
/// Time for which a partition must be quiet before an unrequested pass begins, in microseconds.
const QUIET_US: u64 = 200_000;

/// Maker of values: one pass at one time.
#[derive(Debug, Default)]
pub(super) struct Maker {
    pass: Option<Pass>,
    passes: u64,
    /// Partitions whose values are to be made, with the reads that wait for the values.
    asked: BTreeMap<PartNo, Vec<ReadId>>,
    /// Number of documents indexed since the last pass, and the time of the last of them.
    fresh: BTreeMap<PartNo, (usize, u64)>,
    /// Number of documents that the last pass visited.
    passed: BTreeMap<PartNo, usize>,
}

/// A document without a value.
#[derive(Debug)]
struct Todo {
    doc: DocRef,
    /// The document's first section.
    row: IndexRow,
    /// True if the document has no other section.
    alone: bool,
}

/// A pass that makes the missing values of a partition.
#[derive(Debug)]
struct Pass {
    number: u64,
    partition: PartNo,
    asked: Vec<ReadId>,
    /// Moment at which the pass began to read its present documents.
    since: Moment,
    /// Scan that continues the index; `None` at its end.
    scan: Option<Scan>,
    /// True while a part of the index or of the values is being read.
    reading: bool,
    /// Documents of the last part of the index, before it is known whether they have values.
    indexed: BTreeMap<DocId, Todo>,
    todo: VecDeque<Todo>,
    /// Entries that were read (`Some`) or are being read (`None`).
    held: BTreeMap<EntryRef, Option<Held>>,
    boxes: BTreeMap<(EntryRef, u32), Option<Seed>>,
    opening: BTreeSet<DocRef>,
    made: usize,
    commits: usize,
    /// Number of documents that the pass visited.
    passed: usize,
}

impl Maker {
    /// Counts a document that came from others.
    pub(super) fn note(&mut self, ledger: &Ledger, partition: PartNo) {
        let (count, at_us) = self.fresh.entry(partition).or_default();
        *count += 1;
        *at_us = ledger.now.mono_us;
    }

    /// Returns the partition with enough new documents for a pass, and the time at which the pass is due.
    fn due(&self, ledger: &Ledger) -> Option<(PartNo, u64)> {
        let passed = |partition| self.passed.get(partition).copied().unwrap_or(0);
        let min = |partition| ledger.config.values_min.max(passed(partition) / FRESH_SHARE);
        let worth = self.fresh.iter().filter(|(partition, (count, _))| *count >= min(partition));
        worth
            .map(|(partition, (_, at_us))| (*partition, at_us.saturating_add(QUIET_US)))
            .min_by_key(|(_, at_us)| *at_us)
    }
}

impl Pass {
    fn work(&self, step: MakeStep) -> Work {
        Work::Make { pass: self.number, step }
    }

    /// Returns whether a step would do anything.
    fn can_step(&self, docs: &BTreeMap<DocRef, Doc>) -> bool {
        if self.reading {
            return false;
        }
        if self.opening.iter().any(|doc| docs.get(doc).is_none_or(|state| state.ready)) {
            return true;
        }
        match self.todo.front() {
            None => self.opening.is_empty() && self.commits == 0,
            Some(_) if self.commits >= COMMITS_MAX => false,
            Some(todo) if todo.alone => self.held.get(&todo.row.entry).is_none_or(Option::is_some),
            Some(_) => self.opening.len() < OPENING_MAX,
        }
    }
}

impl Documents {
    /// Makes the missing values of a partition's documents. The read `id` is answered when that is done, as
    /// far as possible.
    pub(crate) fn make_values(&mut self, partition: PartNo, id: ReadId) {
        match &mut self.maker.pass {
            Some(pass) if pass.partition == partition => pass.asked.push(id),
            _ => self.maker.asked.entry(partition).or_default().push(id),
        }
    }

    /// Returns the time at which [`Self::step_values`] is due.
    pub(super) fn values_deadline_us(&self, ledger: &Ledger) -> Option<u64> {
        if ledger.logs.is_choosing_branches() {
            return None;
        }
        // Before the present time, since timers of some runtimes end a little late.
        let due_us = ledger.now.mono_us.saturating_sub(DUE_US).max(1);
        match &self.maker.pass {
            Some(pass) => pass.can_step(&self.docs).then_some(due_us),
            None if !self.maker.asked.is_empty() => Some(due_us),
            None => self.maker.due(ledger).map(|(_, at_us)| at_us),
        }
    }

    /// Begins a pass, or continues it for one step.
    pub(super) fn step_values(&mut self, ledger: &mut Ledger, events: &mut VecDeque<Event>) {
        if self.values_deadline_us(ledger).is_none_or(|at_us| at_us > ledger.now.mono_us) {
            return;
        }
        let Some(mut pass) = self.maker.pass.take() else {
            self.begin_pass(ledger);
            return;
        };
        self.close_read(ledger, &mut pass);
        self.step(ledger, &mut pass);
        if pass.todo.is_empty() && pass.opening.is_empty() && !pass.reading {
            if ledger.submit_unsaved_for(pass.work(MakeStep::Stored)) {
                pass.commits += 1;
            } else if pass.commits == 0 {
                match pass.scan.take() {
                    Some(scan) => {
                        pass.since = ledger.touched.now();
                        pass.read_index(ledger, scan);
                    }
                    None => {
                        self.maker.passed.insert(pass.partition, pass.passed);
                        let made = |id| Event::Read { id, result: ReadResult::Made };
                        events.extend(pass.asked.into_iter().map(made));
                        return;
                    }
                }
            }
        }
        self.maker.pass = Some(pass);
    }

    fn begin_pass(&mut self, ledger: &mut Ledger) {
        let (partition, asked) = match self.maker.asked.pop_first() {
            Some(asked) => asked,
            None => match self.maker.due(ledger) {
                Some((partition, _)) => (partition, Vec::new()),
                None => return,
            },
        };
        self.maker.fresh.remove(&partition);
        self.maker.passes += 1;
        let mut pass = Pass {
            number: self.maker.passes,
            partition,
            asked,
            since: ledger.touched.now(),
            scan: None,
            reading: false,
            indexed: BTreeMap::new(),
            todo: VecDeque::new(),
            held: BTreeMap::new(),
            boxes: BTreeMap::new(),
            opening: BTreeSet::new(),
            made: 0,
            commits: 0,
            passed: 0,
        };
        pass.read_index(ledger, scan_prefix(Table::Index, &part_key(partition), ledger.config.steps.index_bytes));
        self.maker.pass = Some(pass);
    }

    /// Takes the result of a pass's request, or its failure.
    pub(crate) fn handle_made(
        &mut self,
        ledger: &mut Ledger,
        number: u64,
        step: MakeStep,
        result: Result<(Vec<Option<Row>>, bool), StoreError>,
        events: &mut VecDeque<Event>,
    ) {
        let Some(mut pass) = self.maker.pass.take_if(|pass| pass.number == number) else { return };
        let (found, more) = match result {
            Ok(found) => found,
            Err(error) => {
                let failed = |id| Event::Read { id, result: ReadResult::Failed(error.clone()) };
                events.extend(pass.asked.into_iter().map(failed));
                return;
            }
        };
        match step {
            MakeStep::Index(scan) => pass.take_index(ledger, &scan, &found, more),
            MakeStep::Values(scan) => pass.take_values(ledger, &scan, &found, more),
            MakeStep::Entries(wanted) => {
                for (at, row) in wanted.into_iter().zip(found) {
                    match row.and_then(|(_, row)| ledger.logs.held_from_row(at, &row).ok()) {
                        Some(held) => drop(pass.held.insert(at, Some(held))),
                        // The entry is not there: documents in it get no value.
                        None => pass.todo.retain(|todo| todo.row.entry != at),
                    }
                }
            }
            MakeStep::Stored => pass.commits -= 1,
        }
        self.maker.pass = Some(pass);
    }

    /// Keeps the values of the documents that were opened, and closes them.
    fn close_read(&mut self, ledger: &mut Ledger, pass: &mut Pass) {
        let read: Vec<DocRef> =
            pass.opening.iter().filter(|doc| self.docs.get(doc).is_none_or(|state| state.ready)).copied().collect();
        for doc in read {
            pass.opening.remove(&doc);
            let Some(state) = self.docs.get_mut(&doc) else { continue };
            cache::keep(ledger, doc, state);
            pass.made += 1;
            if state.pins == 0 && !self.idle.contains(&doc) {
                self.idle.push_back(doc);
            }
        }
        self.evict(ledger);
    }

    fn step(&mut self, ledger: &mut Ledger, pass: &mut Pass) {
        let (mut docs, mut bytes) = (0, 0);
        while !reached!(MadeDocs, docs >= ledger.config.steps.made_docs)
            && bytes < STEP_BYTES
            && pass.commits < COMMITS_MAX
        {
            let Some(todo) = pass.todo.front() else { break };
            let (doc, row, alone) = (todo.doc, todo.row, todo.alone);
            // The value of an open document is kept when it is closed.
            if ledger.touched.since(pass.since, &doc) || self.docs.contains_key(&doc) {
                pass.todo.pop_front();
                continue;
            }
            if !alone {
                if pass.opening.len() >= OPENING_MAX {
                    break;
                }
                pass.todo.pop_front();
                let life = self.new_life();
                read_index(ledger, doc, life);
                self.docs.insert(doc, Doc { unseen: true, ..Doc::new(life) });
                pass.opening.insert(doc);
                docs += 1;
                continue;
            }
            let Some(held) = pass.entry(ledger, row.entry) else { break };
            pass.todo.pop_front();
            let seed = pass.seed(ledger, &row, &held);
            if let Some((snapshot, length)) = value_of(ledger, &row, &held, seed) {
                cache::stage(ledger, doc, &snapshot);
                pass.made += 1;
                bytes += length;
            }
            docs += 1;
            if reached!(MadeValues, pass.made >= ledger.config.steps.made_values)
                && ledger.submit_unsaved_for(pass.work(MakeStep::Stored))
            {
                (pass.made, pass.commits) = (0, pass.commits + 1);
            }
        }
    }
}

impl Pass {
    fn read_index(&mut self, ledger: &mut Ledger, scan: Scan) {
        self.reading = true;
        ledger.store.scan(scan.clone(), self.work(MakeStep::Index(scan)));
    }

    fn take_index(&mut self, ledger: &mut Ledger, scan: &Scan, found: &[Option<Row>], more: bool) {
        let space = ledger.known_partition(self.partition).map(|partition| partition.space);
        let by_itself = space.is_ok_and(|space| !ledger.logs.may_exclude(space));
        let mut last = None;
        for (row_key, row) in found.iter().flatten() {
            let Ok(row) = IndexRow::decode(row_key, row) else { continue };
            let Some(doc) = row_key.get(4..4 + DocId::LEN).and_then(|id| id.try_into().ok()).map(DocId) else {
                continue;
            };
            last = Some(doc);
            // Behind the end of a torn log there are rows that another history has too.
            if !ledger.logs.registry.is_held(row.entry) {
                continue;
            }
            let keyed_here = row.key.0 == row.entry;
            let here = DocRef { partition: self.partition, doc };
            self.indexed.entry(doc).and_modify(|todo| todo.alone = false).or_insert(Todo {
                doc: here,
                row,
                alone: by_itself && keyed_here,
            });
        }
        self.scan = match last {
            // The last document may have more rows than came. A document that fills a scan alone is opened
            // like others.
            Some(last) if more => {
                let last = DocRef { partition: self.partition, doc: last };
                let is_first = scan.from.starts_with(&doc_key(last));
                let behind = rows::scan_behind(scan, &doc_key(last));
                if is_first {
                    if let Some(todo) = self.indexed.get_mut(&last.doc) {
                        todo.alone = false;
                    }
                    Some(behind)
                } else {
                    self.indexed.remove(&last.doc);
                    Some(Scan { from: doc_key(last), ..scan.clone() })
                }
            }
            _ => None,
        };
        self.passed += self.indexed.len();
        let (Some(first), Some(end)) = (self.indexed.values().next(), self.indexed.values().next_back()) else {
            self.sort();
            return;
        };
        let to = rows::scan_behind(scan, &doc_key(end.doc)).from;
        let values = Scan::of(Table::Value, doc_key(first.doc), to, ledger.config.steps.index_bytes);
        ledger.store.scan(values.clone(), self.work(MakeStep::Values(values)));
    }

    fn take_values(&mut self, ledger: &mut Ledger, scan: &Scan, found: &[Option<Row>], more: bool) {
        let mut last = None;
        for (row_key, _) in found.iter().flatten() {
            last = Some(row_key);
            if let Some(doc) = row_key.get(4..).and_then(|id| id.try_into().ok()) {
                self.indexed.remove(&DocId(doc));
            }
        }
        if let (true, Some(last)) = (more, last) {
            let scan = rows::scan_on(scan, last);
            ledger.store.scan(scan.clone(), self.work(MakeStep::Values(scan)));
            return;
        }
        self.todo.extend(core::mem::take(&mut self.indexed).into_values());
        match self.scan.take_if(|_| self.todo.len() < WINDOW_DOCS) {
            Some(scan) => self.read_index(ledger, scan),
            None => self.sort(),
        }
    }

    fn sort(&mut self) {
        self.reading = false;
        self.todo.make_contiguous().sort_unstable_by_key(|todo| (todo.row, todo.doc));
        self.held.clear();
        self.boxes.clear();
    }

    /// Returns the entry of the next document. If it is not here, requests it and those behind it.
    fn entry(&mut self, ledger: &mut Ledger, at: EntryRef) -> Option<Held> {
        if let Some(held) = self.held.get(&at) {
            return held.clone();
        }
        // The entries before it are finished.
        self.held = self.held.split_off(&at);
        self.boxes.clear();
        if let Some(held) = ledger.logs.entry_cache.get(at).cloned() {
            self.held.insert(at, Some(held.clone()));
            return Some(held);
        }
        let mut wanted = Vec::new();
        for todo in self.todo.iter().filter(|todo| todo.alone) {
            if wanted.last() != Some(&todo.row.entry) {
                if wanted.len() >= ENTRIES_MAX {
                    break;
                }
                wanted.push(todo.row.entry);
            }
        }
        self.held.extend(wanted.iter().map(|at| (*at, None)));
        let keys = wanted.iter().map(|at| (Table::Entry, entry_key(*at))).collect();
        ledger.store.get(keys, self.work(MakeStep::Entries(wanted)));
        None
    }

    /// Returns the seed of the key box that a row names; `None` for a section without one, or if the box does
    /// not open.
    fn seed(&mut self, ledger: &Ledger, row: &IndexRow, held: &Held) -> Option<Seed> {
        let open = || ledger.open_key_box(row.entry, row.key.1, held).ok();
        *self.boxes.entry(row.key).or_insert_with(open)
    }
}

/// Returns the value of a document that consists of one section, and the section's plain length. `None` if
/// anything is missing or wrong: opening the document reports the error.
fn value_of(ledger: &mut Ledger, row: &IndexRow, held: &Held, seed: Option<Seed>) -> Option<(Snapshot, usize)> {
    let keyless = row.key == (row.entry, row.section);
    if seed.is_none() && !keyless {
        return None;
    }
    let sealed_len = held.entry.sections().get(row.section as usize).map_or(0, Section::len);
    let plain_max = sealed_len.saturating_mul(INFLATION).saturating_add(INFLATED_BYTES_MAX);
    let body = ledger.open_body(row, held, seed.filter(|_| !keyless).as_ref(), plain_max).ok()?;
    let update = check(&body, peer_id(&ledger.logs.registry.log(row.entry.log).id), 0).ok()?;
    if !update.deps().is_empty() {
        return None;
    }
    let mut replica = Replica::new(READER);
    replica.import(vec![update]).ok()?;
    Some((cache::snapshot_of(&mut replica).ok()?, body.len()))
}
