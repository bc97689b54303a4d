//! The indexes that this store keeps: which there are, how far they are, and which documents they are behind for.

use super::ask::{IndexInfo, IndexState};
use crate::index::define::{Fields, Indexes as Definitions};
use crate::index::project::Projected;
use crate::query::plan::{Candidate, IndexPart};
use bytes::Bytes;
use cosmicsync_protocol::ids::{CollectionId, DocId};
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::storage::{Op, Row, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Documents that may be behind before their numbers alone are kept.
const BEHIND_MAX: usize = 65_536;

/// Begins the key of the row that says how far the indexes have followed the changes, and the next index's number.
const TAG_POSITION: u8 = 0;
/// Begins the key of the row of an index.
const TAG_INDEX: u8 = 1;
/// Begins the key of the row that says that the indexes owe a document what changed in it.
const TAG_OWED: u8 = 2;
/// Begins the key of the row that says under which keys a document stands.
const TAG_DOC: u8 = 3;

/// One index of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) partition: PartNo,
    pub(super) collection: CollectionId,
    pub(super) name: String,
    pub(super) fields: Fields,
    pub(super) state: State,
    /// While the last of its rows are being written: how many documents stand in it. It is not read before.
    pub(super) settling: Option<u64>,
    /// Which fields have led to a list in any document so far.
    pub(super) lists: Vec<bool>,
    /// Whether some tuple is cut.
    pub(super) cut: bool,
    /// Whether its row must be written.
    pub(super) unsaved: bool,
}

impl Index {
    /// Whether all documents stand in it, durably.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready && (self.settling.is_none() || planted!("index.ready-early"))
    }
}

/// How far an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Documents up to this one, by id, stand in it.
    Building { after: Option<[u8; 16]>, done: u64 },
    /// All documents do.
    Ready,
    /// Its rows are being deleted.
    Dropping,
}

/// The row of an index.
#[derive(Serialize, Deserialize)]
struct Kept {
    partition: u32,
    collection: [u8; 16],
    name: String,
    fields: String,
    state: State,
    lists: Vec<bool>,
    cut: bool,
}

/// All indexes of a store. Numbers are not used again: rows of documents may name them long after.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Whether anybody asked for an index since the start.
    pub(super) started: bool,
    /// False until the rows were read.
    pub(super) loaded: bool,
    pub(super) all: BTreeMap<u32, Index>,
    next: u32,
    /// The last change that the indexes took in, but for what is owed.
    pub(super) position: u64,
    /// Documents that the indexes are behind for, and how many changes there were when they changed last.
    behind: BTreeMap<DocRef, u64>,
    /// Those of them that are to be looked at.
    todo: BTreeSet<DocRef>,
    /// Those of them that a row names, because they were not wholly read when they were looked at.
    owed: BTreeSet<DocRef>,
    /// More are behind than are known.
    lost_count: bool,
    changes: u64,
}

impl Registry {
    /// Takes the rows of a store.
    pub(super) fn load(&mut self, rows: &[Row], next_change: u64) {
        self.position = next_change.saturating_sub(1);
        for (key, row) in rows {
            match (key.split_first(), serde_json::from_slice::<Kept>(row)) {
                (Some((&TAG_POSITION, _)), _) => {
                    if let Some((position, next)) = row.split_first_chunk() {
                        self.position = u64::from_be_bytes(*position);
                        self.next = next.try_into().map_or(0, u32::from_be_bytes);
                    }
                }
                (Some((&TAG_INDEX, no)), Ok(kept)) => {
                    let (Ok(no), Ok(fields)) = (no.try_into().map(u32::from_be_bytes), Fields::from_text(&kept.fields))
                    else {
                        continue;
                    };
                    self.next = self.next.max(no.saturating_add(1));
                    let Kept { partition, collection, name, state, lists, cut, .. } = kept;
                    let (partition, collection) = (PartNo(partition), CollectionId(collection));
                    let index = Index {
                        partition,
                        collection,
                        name,
                        fields,
                        state,
                        settling: None,
                        lists,
                        cut,
                        unsaved: false,
                    };
                    self.all.insert(no, index);
                }
                (Some((&TAG_OWED, doc)), _) => {
                    if let Some((partition, doc)) = doc.split_first_chunk() {
                        let doc = DocId(doc.try_into().unwrap_or_default());
                        let doc = DocRef { partition: PartNo(u32::from_be_bytes(*partition)), doc };
                        self.owed.insert(doc);
                        self.note(doc);
                    }
                }
                _ => {}
            }
        }
        // What changed before the start is known by its number alone.
        self.lost_count = !self.all.is_empty() && self.position + 1 < next_change;
        self.loaded = true;
    }

    /// Makes the indexes of a collection those that its description defines. Returns whether any is new or goes.
    pub(super) fn adopt(
        &mut self,
        partition: PartNo,
        collection: CollectionId,
        defined: &Definitions,
        next_change: u64,
    ) -> bool {
        let mut known = BTreeSet::new();
        let mut changed = false;
        if self.all.is_empty() {
            // Nothing followed the changes: what was changed before is found when the collection is read.
            self.position = next_change.saturating_sub(1);
        }
        for index in self.all.values_mut() {
            let here = index.partition == partition && index.collection == collection;
            if !here || index.state == State::Dropping {
                continue;
            }
            if defined.get(&index.name) == Some(&index.fields) {
                known.insert(index.name.clone());
            } else {
                (index.state, index.unsaved, changed) = (State::Dropping, true, true);
            }
        }
        for (name, fields) in defined.iter().filter(|(name, _)| !known.contains(*name)) {
            let lists = vec![false; fields.paths().len()];
            let state = State::Building { after: None, done: 0 };
            let (name, fields) = (name.clone(), fields.clone());
            let (settling, cut, unsaved) = (None, false, true);
            let index = Index { partition, collection, name, fields, state, settling, lists, cut, unsaved };
            self.all.insert(self.next, index);
            self.next += 1;
            changed = true;
        }
        changed
    }

    /// Has an index built anew, under another number.
    pub(super) fn rebuild(&mut self, partition: PartNo, collection: CollectionId, name: &str) -> bool {
        let is_it =
            |index: &&mut Index| index.partition == partition && index.collection == collection && index.name == name;
        let Some(index) = self.all.values_mut().filter(|index| index.state != State::Dropping).find(is_it) else {
            return false;
        };
        let fresh = Index {
            state: State::Building { after: None, done: 0 },
            settling: None,
            lists: vec![false; index.fields.paths().len()],
            cut: false,
            unsaved: true,
            ..index.clone()
        };
        (index.state, index.unsaved) = (State::Dropping, true);
        self.all.insert(self.next, fresh);
        self.next += 1;
        true
    }

    /// Whether a plan for an index still holds: it is the same as when it was planned.
    pub(super) fn holds(&self, part: &IndexPart) -> bool {
        self.all.get(&part.no).is_some_and(|index| index.lists == part.lists && index.cut == part.cut)
    }

    /// Notes what a document is in an index: whether fields lead to lists, and whether some tuple is cut.
    pub(super) fn note_shape(&mut self, no: u32, projected: &Projected) {
        let Some(index) = self.all.get_mut(&no).filter(|_| !planted!("index.shape-unnoted")) else { return };
        let mut is_new = projected.is_cut() && !index.cut;
        index.cut |= is_new;
        for (known, list) in index.lists.iter_mut().zip(&projected.lists) {
            is_new |= *list && !*known;
            *known |= *list;
        }
        index.unsaved |= is_new;
    }

    /// Has all indexes built anew.
    pub(super) fn rebuild_all(&mut self) {
        let names: Vec<_> =
            self.all.values().map(|index| (index.partition, index.collection, index.name.clone())).collect();
        for (partition, collection, name) in names {
            self.rebuild(partition, collection, &name);
        }
    }

    /// An index took in documents up to this one, and perhaps all.
    pub(super) fn built(&mut self, no: u32, last: Option<[u8; 16]>, docs: u64, ended: bool) {
        let Some(index) = self.all.get_mut(&no) else { return };
        let State::Building { after, done } = index.state else { return };
        let done = done + docs;
        index.state = if ended { State::Ready } else { State::Building { after: last.or(after), done } };
        (index.settling, index.unsaved) = (ended.then_some(done), true);
    }

    /// What was said of an index is committed.
    pub(super) fn settle(&mut self, no: u32) {
        if let Some(index) = self.all.get_mut(&no) {
            index.settling = None;
        }
    }

    /// The indexes of a collection, but for those that go.
    pub(super) fn of(&self, partition: PartNo, collection: CollectionId) -> impl Iterator<Item = (u32, &Index)> {
        let of = move |index: &Index| index.partition == partition && index.collection == collection;
        let kept = self.all.iter().filter(move |(_, index)| of(index) && index.state != State::Dropping);
        kept.map(|(no, index)| (*no, index))
    }

    /// The indexes of a collection, for a planner.
    pub(super) fn candidates(&self, partition: PartNo, collection: CollectionId) -> Vec<Candidate> {
        let candidate = |(no, index): (u32, &Index)| Candidate {
            no,
            name: index.name.clone(),
            fields: index.fields.clone(),
            ready: index.is_ready(),
            lists: index.lists.clone(),
            cut: index.cut,
        };
        self.of(partition, collection).map(candidate).collect()
    }

    /// Tells of an index.
    pub(super) fn info(index: &Index) -> IndexInfo {
        let state = match (index.settling, index.state) {
            (Some(done), _) | (None, State::Building { done, .. }) => IndexState::Building { done },
            (None, State::Ready | State::Dropping) => IndexState::Ready,
        };
        let fields = index.fields.paths().iter().map(ToString::to_string).collect();
        IndexInfo { name: index.name.clone(), fields, state, lists: index.lists.contains(&true) }
    }

    /// A document changed.
    pub(super) fn note(&mut self, doc: DocRef) {
        if !self.started || self.loaded && !self.all.values().any(|index| index.partition == doc.partition) {
            return;
        }
        self.changes += 1;
        if planted!("index.change-unnoted") && self.changes.is_multiple_of(3) {
            return;
        }
        if self.behind.len() >= BEHIND_MAX && !self.behind.contains_key(&doc) {
            self.lost_count = true;
            return;
        }
        self.behind.insert(doc, self.changes);
        self.todo.insert(doc);
    }

    /// When a document changed last, among those that are behind.
    pub(super) fn noted(&self, doc: DocRef) -> Option<u64> {
        self.behind.get(&doc).copied()
    }

    /// Takes documents of one partition that are to be looked at, at most so many.
    pub(super) fn take_todo(&mut self, partition: PartNo, max: usize) -> Vec<DocRef> {
        let first = DocRef { partition, doc: DocId::default() };
        let mut taken = Vec::new();
        while let Some(doc) = self.todo.range(first..).next().copied() {
            if doc.partition != partition || taken.len() >= max {
                break;
            }
            self.todo.remove(&doc);
            taken.push(doc);
        }
        taken
    }

    /// A partition of which documents are to be looked at.
    pub(super) fn todo(&self) -> Option<PartNo> {
        self.todo.first().map(|doc| doc.partition)
    }

    /// What is to be written when a document is looked at: whether it is owed from now on.
    pub(super) fn owe(&mut self, doc: DocRef, owed: bool) -> Option<Op> {
        let (table, key) = (Table::Keys, owed_key(doc));
        if owed {
            self.behind.entry(doc).or_insert(self.changes);
            return self.owed.insert(doc).then(|| Op::Put { table, key, value: Bytes::new() });
        }
        self.owed.remove(&doc).then_some(Op::Delete { table, key })
    }

    /// Documents that were not wholly read when they were looked at.
    pub(super) fn owed(&self) -> impl Iterator<Item = DocRef> {
        self.owed.iter().copied()
    }

    /// The indexes stand for a document as it was when it had changed so.
    pub(super) fn caught_up(&mut self, doc: DocRef, noted: Option<u64>) {
        let is_it = self.behind.get(&doc).copied() == noted || planted!("index.caught-up-early");
        if is_it && !self.owed.contains(&doc) {
            self.behind.remove(&doc);
        }
    }

    /// All changes are taken in.
    pub(super) const fn all_caught_up(&mut self) {
        self.lost_count = false;
    }

    /// Whether there may be changes that are not taken in.
    pub(super) fn is_behind(&self) -> bool {
        self.lost_count || !self.todo.is_empty()
    }

    /// The documents of a partition that the indexes are behind for; `None` if there are more than are known.
    pub(super) fn behind(&self, partition: PartNo) -> Option<impl Iterator<Item = DocRef>> {
        let first = DocRef { partition, doc: DocId::default() };
        let docs = self.behind.range(first..).map(|(doc, _)| *doc);
        (self.loaded && !self.lost_count).then(|| docs.take_while(move |doc| doc.partition == partition))
    }

    /// Whether the worker has something to do.
    pub(super) fn is_wanting(&self) -> bool {
        let wants = |index: &Index| index.unsaved || index.state != State::Ready;
        self.is_behind() || self.all.values().any(wants)
    }

    /// The writes that keep what is to be kept of the indexes, and how far they are.
    pub(super) fn save(&mut self) -> Vec<Op> {
        let unsaved = self.all.iter_mut().filter(|(_, index)| index.unsaved);
        let mut ops: Vec<Op> = unsaved
            .map(|(no, index)| {
                index.unsaved = false;
                let kept = Kept {
                    partition: index.partition.0,
                    collection: index.collection.0,
                    name: index.name.clone(),
                    fields: index.fields.to_text(),
                    state: index.state,
                    lists: index.lists.clone(),
                    cut: index.cut,
                };
                let value = serde_json::to_vec(&kept).unwrap_or_default().into();
                Op::Put { table: Table::Keys, key: index_key(*no), value }
            })
            .collect();
        let value = [self.position.to_be_bytes().as_slice(), &self.next.to_be_bytes()].concat().into();
        ops.push(Op::Put { table: Table::Keys, key: Bytes::from_static(&[TAG_POSITION]), value });
        ops
    }

    /// The write that forgets an index that is dropped.
    pub(super) fn forget(&mut self, no: u32) -> Op {
        self.all.remove(&no);
        Op::Delete { table: Table::Keys, key: index_key(no) }
    }
}

fn owed_key(doc: DocRef) -> Bytes {
    [&[TAG_OWED], doc.partition.0.to_be_bytes().as_slice(), doc.doc.as_ref()].concat().into()
}

fn index_key(no: u32) -> Bytes {
    [&[TAG_INDEX], no.to_be_bytes().as_slice()].concat().into()
}

/// From where to where the rows stand that are read at the start.
pub(super) fn registry_range() -> (Bytes, Bytes) {
    (Bytes::from_static(&[TAG_POSITION]), Bytes::from_static(&[TAG_DOC]))
}

/// The key of the row that says under which keys a document stands.
pub(super) fn doc_keys_key(doc: DocRef) -> Bytes {
    [&[TAG_DOC], doc.partition.0.to_be_bytes().as_slice(), doc.doc.as_ref()].concat().into()
}

/// The keys under which a document stands, as its row holds them: each with its length.
pub(super) fn encode_keys<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = Vec::new();
    for key in keys {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        out.extend(length.to_be_bytes());
        out.extend(key);
    }
    out.into()
}

/// Reads what [`encode_keys`] wrote, as far as it goes.
pub(super) fn decode_keys(mut row: &[u8]) -> Vec<&[u8]> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = row.split_first_chunk() {
        let Some((key, after)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { break };
        keys.push(key);
        row = after;
    }
    keys
}
