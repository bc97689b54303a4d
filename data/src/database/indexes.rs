//! The registry of this store's indexes: the indexes, their progress, and the documents that they have not caught up
//! with. The registry reads no documents; the worker in `indexer.rs` does. Specified in `spec/query.md`.

use super::ask::{IndexInfo, IndexState};
use crate::index::define::{Fields, Indexes as Definitions};
use crate::index::project::Projected;
use crate::query::plan::{Candidate, IndexPart};
use bytes::Bytes;
use cosmicsync_protocol::ids::{CollectionId, DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::{Op, Row, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Largest number of tracked documents that indexes have not caught up with; beyond it only their count is known.
const BEHIND_MAX: usize = 65_536;

/// First byte of the key of the row with the position in the changes and the next index's number.
const TAG_POSITION: u8 = 0;
/// First byte of the key of an index's row.
const TAG_INDEX: u8 = 1;
/// First byte of the key of a row that marks a document as pending: the indexes lack its last changes.
const TAG_OWED: u8 = 2;
/// First byte of the key of a row that lists a document's index keys.
const TAG_DOC: u8 = 3;

/// One index of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) partition: PartNo,
    pub(super) collection: CollectionId,
    pub(super) name: String,
    pub(super) fields: Fields,
    pub(super) state: State,
    /// Number of documents in the index while its last rows are being committed. Queries don't read the index before
    /// that.
    pub(super) settling: Option<u64>,
    /// Per field: true if it led to a list in any document so far.
    pub(super) lists: Vec<bool>,
    /// True if some tuple is truncated.
    pub(super) cut: bool,
    /// True if the index's row must be written.
    pub(super) unsaved: bool,
}

impl Index {
    /// Returns whether all documents are in the index, durably.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready && (self.settling.is_none() || planted!("index.ready-early"))
    }
}

/// Progress of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Documents up to this id are in the index.
    Building { after: Option<[u8; 16]>, done: u64 },
    /// All documents are in the index.
    Ready,
    /// The index's rows are being deleted.
    Dropping,
}

/// Stored form of an index's row.
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

/// All indexes of a store. Index numbers are never reused, because rows of documents refer to them for long.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// True if any request has used indexes since the start.
    pub(super) started: bool,
    /// True once the rows have been read.
    pub(super) loaded: bool,
    pub(super) all: BTreeMap<u32, Index>,
    next: u32,
    /// Number of the last change that the indexes include, except for pending documents.
    pub(super) position: u64,
    /// Documents that the indexes have not caught up with, each with the value of `changes` at its last change.
    behind: BTreeMap<DocRef, u64>,
    /// Documents of `behind` that the worker has to process.
    todo: BTreeSet<DocRef>,
    /// Pending documents: each has a durable row, because it was not wholly read when the worker processed it.
    pending: BTreeSet<DocRef>,
    /// True if more documents are behind than `behind` can hold.
    lost_count: bool,
    changes: u64,
}

impl Registry {
    /// Loads the registry from a store's rows.
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
                        self.pending.insert(doc);
                        self.note(doc);
                    }
                }
                _ => {}
            }
        }
        // Changes from before the start are known by number only.
        self.lost_count = !self.all.is_empty() && self.position + 1 < next_change;
        self.loaded = true;
    }

    /// Aligns the indexes of a collection with its description. Returns whether any index is new or dropped.
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
            // Nothing has followed the changes yet: building the indexes finds earlier changes.
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

    /// Rebuilds an index under a new number. Returns false if there is no such index.
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

    /// Returns whether a plan for an index still holds: the index has the same shape as when the query was planned.
    pub(super) fn holds(&self, part: &IndexPart) -> bool {
        self.all.get(&part.no).is_some_and(|index| index.lists == part.lists && index.cut == part.cut)
    }

    /// Records a document's shape in an index: the fields that lead to lists, and truncated tuples.
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

    /// Rebuilds all indexes.
    pub(super) fn rebuild_all(&mut self) {
        let names: Vec<_> =
            self.all.values().map(|index| (index.partition, index.collection, index.name.clone())).collect();
        for (partition, collection, name) in names {
            self.rebuild(partition, collection, &name);
        }
    }

    /// Records that an index includes documents up to this one, and whether the build has ended.
    pub(super) fn built(&mut self, no: u32, last: Option<[u8; 16]>, docs: u64, ended: bool) {
        let Some(index) = self.all.get_mut(&no) else { return };
        let State::Building { after, done } = index.state else { return };
        let done = done + docs;
        index.state = if ended { State::Ready } else { State::Building { after: last.or(after), done } };
        (index.settling, index.unsaved) = (ended.then_some(done), true);
    }

    /// Records that an index's last rows are committed.
    pub(super) fn settle(&mut self, no: u32) {
        if let Some(index) = self.all.get_mut(&no) {
            index.settling = None;
        }
    }

    /// Returns the indexes of a collection, except those being dropped.
    pub(super) fn of(&self, partition: PartNo, collection: CollectionId) -> impl Iterator<Item = (u32, &Index)> {
        let of = move |index: &Index| index.partition == partition && index.collection == collection;
        let kept = self.all.iter().filter(move |(_, index)| of(index) && index.state != State::Dropping);
        kept.map(|(no, index)| (*no, index))
    }

    /// Returns the indexes of a collection in the planner's form.
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

    /// Describes an index for display.
    pub(super) fn info(index: &Index) -> IndexInfo {
        let state = match (index.settling, index.state) {
            (Some(done), _) | (None, State::Building { done, .. }) => IndexState::Building { done },
            (None, State::Ready | State::Dropping) => IndexState::Ready,
        };
        let fields = index.fields.paths().iter().map(ToString::to_string).collect();
        IndexInfo { name: index.name.clone(), fields, state, lists: index.lists.contains(&true) }
    }

    /// Records that a document changed.
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

    /// Returns the value of `changes` at a document's last change, if the indexes have not caught up with it.
    pub(super) fn noted(&self, doc: DocRef) -> Option<u64> {
        self.behind.get(&doc).copied()
    }

    /// Takes up to `max` documents of one partition for the worker to process.
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

    /// Returns a partition with documents for the worker to process.
    pub(super) fn todo(&self) -> Option<PartNo> {
        self.todo.first().map(|doc| doc.partition)
    }

    /// Marks a document as pending, or clears the mark. Returns the write that makes this durable, if anything changed.
    pub(super) fn set_pending(&mut self, doc: DocRef, pending: bool) -> Option<Op> {
        let (table, key) = (Table::Keys, pending_key(doc));
        if pending {
            self.behind.entry(doc).or_insert(self.changes);
            return self.pending.insert(doc).then(|| Op::Put { table, key, value: Bytes::new() });
        }
        self.pending.remove(&doc).then_some(Op::Delete { table, key })
    }

    /// Returns the pending documents: those that were not wholly read when the worker processed them.
    pub(super) fn pending(&self) -> impl Iterator<Item = DocRef> {
        self.pending.iter().copied()
    }

    /// Records that the indexes include a document as of its change `noted`.
    pub(super) fn caught_up(&mut self, doc: DocRef, noted: Option<u64>) {
        let is_it = self.behind.get(&doc).copied() == noted || planted!("index.caught-up-early");
        if is_it && !self.pending.contains(&doc) {
            self.behind.remove(&doc);
        }
    }

    /// Records that the indexes include all changes.
    pub(super) const fn all_caught_up(&mut self) {
        self.lost_count = false;
    }

    /// Returns whether there may be changes that the indexes lack.
    pub(super) fn is_behind(&self) -> bool {
        self.lost_count || !self.todo.is_empty()
    }

    /// Returns the documents of a partition that indexes have not caught up with; `None` if too many to track.
    pub(super) fn behind(&self, partition: PartNo) -> Option<impl Iterator<Item = DocRef>> {
        let first = DocRef { partition, doc: DocId::default() };
        let docs = self.behind.range(first..).map(|(doc, _)| *doc);
        (self.loaded && !self.lost_count).then(|| docs.take_while(move |doc| doc.partition == partition))
    }

    /// Returns whether the worker has anything to do.
    pub(super) fn is_wanting(&self) -> bool {
        let wants = |index: &Index| index.unsaved || index.state != State::Ready;
        self.is_behind() || self.all.values().any(wants)
    }

    /// Returns the writes that store the registry's changes.
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

    /// Removes a dropped index; returns the write that deletes its row.
    pub(super) fn forget(&mut self, no: u32) -> Op {
        self.all.remove(&no);
        Op::Delete { table: Table::Keys, key: index_key(no) }
    }
}

fn pending_key(doc: DocRef) -> Bytes {
    [&[TAG_OWED], doc.partition.0.to_be_bytes().as_slice(), doc.doc.as_ref()].concat().into()
}

fn index_key(no: u32) -> Bytes {
    [&[TAG_INDEX], no.to_be_bytes().as_slice()].concat().into()
}

/// Returns the range of the rows that are read at the start.
pub(super) fn registry_range() -> (Bytes, Bytes) {
    (Bytes::from_static(&[TAG_POSITION]), Bytes::from_static(&[TAG_DOC]))
}

/// Returns the key of the row that lists a document's index keys.
pub(super) fn doc_keys_key(doc: DocRef) -> Bytes {
    [&[TAG_DOC], doc.partition.0.to_be_bytes().as_slice(), doc.doc.as_ref()].concat().into()
}

/// Encodes a document's index keys for its row, each with its length.
pub(super) fn encode_keys<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = Vec::new();
    for key in keys {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        out.extend(length.to_be_bytes());
        out.extend(key);
    }
    out.into()
}

/// Decodes a row written by [`encode_keys`], as far as it is well-formed.
pub(super) fn decode_keys(mut row: &[u8]) -> Vec<&[u8]> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = row.split_first_chunk() {
        let Some((key, after)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { break };
        keys.push(key);
        row = after;
    }
    keys
}
