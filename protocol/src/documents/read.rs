//! Reads documents from the store: index rows, then the entries that they name, whose bodies are opened.

use super::{Body, Doc, Documents, INFLATED_BYTES_MAX, INFLATION, Missing};
use crate::crdt::UPDATE_BYTES_MAX;
use crate::event::Event;
use crate::ids::{DocRef, EntryRef};
use crate::ledger::{DocStep, Ledger, Work};
use crate::log::Section;
use crate::logs::Held;
use crate::storage::rows::{self, IndexRow, entry_key, scan_on, scan_prefix};
use crate::storage::{Row, Scan, Table};
use std::collections::{BTreeSet, VecDeque};

impl Documents {
    /// Takes rows or entries that a document was waiting for.
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
                    let held = row.and_then(|(_, row)| ledger.logs.held_from_row(at, &row).ok());
                    if let Some(held) = held {
                        ledger.logs.entry_cache.insert(at, held.clone());
                        state.open_bodies(ledger, at, &held);
                    }
                }
                // The bodies were in memory all along, but not the key boxes that open them.
                open_recent(ledger, state);
            }
        }
        if state.reading == 0 && core::mem::take(&mut state.grown) {
            fetch(ledger, doc, state);
        }
        self.import_together(ledger, doc, events);
    }
}

impl Doc {
    /// Adds a section that is not imported yet.
    pub(super) fn wait_for(&mut self, row: IndexRow) {
        let done = self.imported.get(&row.entry.log).is_some_and(|next| *next > row.entry.seq);
        if !done && !self.excluded.contains_key(&row.entry.log) {
            let keyless = row.key == (row.entry, row.section);
            if !keyless && !self.keys.contains_key(&row.key) {
                self.boxes.insert(row.key);
            }
            self.waiting.entry((row.entry, row.section)).or_insert((row, Body::Absent));
        }
    }

    /// Returns the entries that the waiting bodies need and that are not open yet.
    fn needed(&self) -> BTreeSet<EntryRef> {
        let absent = self.waiting.values().filter(|(_, body)| matches!(body, Body::Absent));
        absent
            .flat_map(|(row, _)| {
                let key = (!self.keys.contains_key(&row.key) && row.key.0 != row.entry).then_some(row.key.0);
                [Some(row.entry), key].into_iter().flatten()
            })
            .collect()
    }

    /// Opens the sections of an entry: key boxes first, then the bodies whose keys are known.
    fn open_bodies(&mut self, ledger: &mut Ledger, at: EntryRef, held: &Held) {
        if self.waiting.range((at, 0)..=(at, u32::MAX)).next().is_some() {
            let part = ledger.part(at, held);
            self.cited.insert(at, part.deps.clone());
            if ledger.logs.may_exclude(ledger.logs.registry.log(at.log).space) {
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
pub(super) fn read_index(ledger: &mut Ledger, doc: DocRef, life: u64) {
    let key = rows::doc_key(doc);
    let scan = scan_prefix(Table::Index, &key, ledger.config.steps.index_bytes);
    ledger.store.scan_index(&key, scan.clone(), Work::Doc { doc, life, step: DocStep::Index(scan) });
}

fn index_rows(ledger: &mut Ledger, doc: DocRef, state: &mut Doc, scan: Scan, found: Vec<Option<Row>>, more: bool) {
    let last = found.last().and_then(Option::as_ref).map(|(key, _)| key.clone());
    for (row_key, row) in found.into_iter().flatten() {
        // Behind the end of a torn log there are rows that another history has too. Rows of a commit that is not
        // reported yet come with it: a transaction is shown whole, in all documents at once.
        if let Ok(row) = IndexRow::decode(&row_key, &row)
            && ledger.logs.registry.is_held(row.entry)
            && (!ledger.logs.is_indexing_entry(doc, row.entry) || planted!("index.shown-early"))
        {
            state.wait_for(row);
        }
    }
    if let (true, Some(last)) = (reached!(IndexBytes, more) && !planted!("index.page-once"), last) {
        let scan = scan_on(&scan, &last);
        ledger.store.scan(scan.clone(), Work::Doc { doc, life: state.life, step: DocStep::Index(scan) });
        state.reading += 1;
    }
}

/// Opens sections of entries in memory.
fn open_recent(ledger: &mut Ledger, state: &mut Doc) {
    // A body may need a key box of another entry, which the first round opens.
    for _ in 0..2 {
        for at in state.needed() {
            if let Some(held) = ledger.logs.entry_cache.get(at).cloned() {
                state.open_bodies(ledger, at, &held);
            }
        }
    }
}

/// Opens sections of entries in memory and requests the rest from the store.
pub(super) fn fetch(ledger: &mut Ledger, doc: DocRef, state: &mut Doc) {
    open_recent(ledger, state);
    // Also entries in memory that could not be opened: when their key box is read, they may have left the
    // cache.
    let wanted: Vec<EntryRef> = state.needed().into_iter().collect();
    let max = ledger.config.steps.read_entries;
    reached!(ReadEntries, wanted.len() > max);
    for chunk in wanted.chunks(max) {
        let keys = chunk.iter().map(|at| (Table::Entry, entry_key(*at))).collect();
        ledger.store.get(keys, Work::Doc { doc, life: state.life, step: DocStep::Entries(chunk.to_vec()) });
        state.reading += 1;
    }
}
