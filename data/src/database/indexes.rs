//! The indexes that this store keeps: which there are, how far they are, and which documents they are behind for.

use super::request::{IndexInfo, IndexState};
use crate::index::define::{Fields, Indexes as Definitions};
use bytes::Bytes;
use cosmicsync_protocol::ids::{CollectionId, DocId};
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::storage::{Op, Row, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Documents that may be behind before their numbers alone are kept.
const BEHIND_MAX: usize = 65_536;

/// Begins the key of the row that says how far the indexes have followed the changes.
const TAG_POSITION: u8 = 0;
/// Begins the key of the row of an index.
const TAG_INDEX: u8 = 1;
/// Begins the key of the row that says under which keys a document stands.
const TAG_DOC: u8 = 2;

/// One index of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) partition: PartNo,
    pub(super) collection: CollectionId,
    pub(super) name: String,
    pub(super) fields: Fields,
    pub(super) state: State,
    /// Which fields have led to a list in any document so far.
    pub(super) lists: Vec<bool>,
    /// Whether its row must be written.
    pub(super) unsaved: bool,
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
}

/// All indexes of a store. Numbers are not used again.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// False until the rows were read.
    pub(super) loaded: bool,
    pub(super) all: BTreeMap<u32, Index>,
    next: u32,
    /// The last change that the indexes took in.
    pub(super) position: u64,
    /// Documents that changed since, and the number of times they did.
    behind: BTreeMap<DocRef, u64>,
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
                    self.position = row.as_ref().try_into().map_or(0, u64::from_be_bytes);
                }
                (Some((&TAG_INDEX, no)), Ok(kept)) => {
                    let (Ok(no), Ok(fields)) = (no.try_into().map(u32::from_be_bytes), Fields::from_text(&kept.fields))
                    else {
                        continue;
                    };
                    self.next = self.next.max(no.saturating_add(1));
                    let Kept { partition, collection, name, state, lists, .. } = kept;
                    let (partition, collection) = (PartNo(partition), CollectionId(collection));
                    self.all.insert(no, Index { partition, collection, name, fields, state, lists, unsaved: false });
                }
                _ => {}
            }
        }
        // What changed before the start is known by its number alone.
        self.lost_count = !self.all.is_empty() && self.position + 1 < next_change;
        self.loaded = true;
    }

    /// Makes the indexes of a collection those that its description defines. Returns whether any is new or goes.
    pub(super) fn adopt(&mut self, partition: PartNo, collection: CollectionId, defined: &Definitions) -> bool {
        let mut known = BTreeMap::new();
        let mut changed = false;
        for index in self.all.values_mut() {
            let here = index.partition == partition && index.collection == collection;
            if !here || index.state == State::Dropping {
                continue;
            }
            if defined.get(&index.name) == Some(&index.fields) {
                known.insert(index.name.clone(), ());
            } else {
                (index.state, index.unsaved, changed) = (State::Dropping, true, true);
            }
        }
        for (name, fields) in defined.iter().filter(|(name, _)| !known.contains_key(*name)) {
            let lists = vec![false; fields.paths().len()];
            let state = State::Building { after: None, done: 0 };
            let (name, fields) = (name.clone(), fields.clone());
            self.all.insert(self.next, Index { partition, collection, name, fields, state, lists, unsaved: true });
            self.next += 1;
            changed = true;
        }
        changed
    }

    /// Has an index built anew, under another number.
    pub(super) fn rebuild(&mut self, partition: PartNo, collection: CollectionId, name: &str) -> bool {
        let is_it = |index: &&mut Index| {
            index.partition == partition && index.collection == collection && index.name == name
        };
        let Some(index) = self.all.values_mut().filter(|index| index.state != State::Dropping).find(is_it) else {
            return false;
        };
        let fresh = Index {
            state: State::Building { after: None, done: 0 },
            lists: vec![false; index.fields.paths().len()],
            unsaved: true,
            ..index.clone()
        };
        (index.state, index.unsaved) = (State::Dropping, true);
        self.all.insert(self.next, fresh);
        self.next += 1;
        true
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
        index.unsaved = true;
    }

    /// The indexes of a collection, but for those that go.
    pub(super) fn of(&self, partition: PartNo, collection: CollectionId) -> impl Iterator<Item = (u32, &Index)> {
        let of = move |index: &Index| index.partition == partition && index.collection == collection;
        let kept = self.all.iter().filter(move |(_, index)| of(index) && index.state != State::Dropping);
        kept.map(|(no, index)| (*no, index))
    }

    /// Tells of an index.
    pub(super) fn info(index: &Index) -> IndexInfo {
        let state = match index.state {
            State::Building { done, .. } => IndexState::Building { done },
            State::Ready | State::Dropping => IndexState::Ready,
        };
        let fields = index.fields.paths().iter().map(ToString::to_string).collect();
        IndexInfo { name: index.name.clone(), fields, state, lists: index.lists.contains(&true) }
    }

    /// A document changed.
    pub(super) fn note(&mut self, doc: DocRef) {
        if self.loaded && !self.all.values().any(|index| index.partition == doc.partition) {
            return;
        }
        self.changes += 1;
        if self.behind.len() >= BEHIND_MAX && !self.behind.contains_key(&doc) {
            self.lost_count = true;
            return;
        }
        self.behind.insert(doc, self.changes);
    }

    /// When a document changed last, among those that are behind.
    pub(super) fn noted(&self, doc: DocRef) -> Option<u64> {
        self.behind.get(&doc).copied()
    }

    /// The indexes stand for a document as it was when it had changed so.
    pub(super) fn caught_up(&mut self, doc: DocRef, noted: Option<u64>) {
        if self.behind.get(&doc).copied() == noted {
            self.behind.remove(&doc);
        }
    }

    /// All changes are taken in.
    pub(super) fn all_caught_up(&mut self) {
        self.lost_count = false;
    }

    /// The documents of a partition that the indexes are behind for; `None` if there are more than are known.
    pub(super) fn behind(&self, partition: PartNo) -> Option<impl Iterator<Item = DocRef>> {
        let first = DocRef { partition, doc: DocId::default() };
        let docs = self.behind.range(first..).map(|(doc, _)| *doc);
        (self.loaded && !self.lost_count).then(|| docs.take_while(move |doc| doc.partition == partition))
    }

    /// Whether any document is behind.
    pub(super) fn is_behind(&self) -> bool {
        self.lost_count || !self.behind.is_empty()
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
                };
                let value = serde_json::to_vec(&kept).unwrap_or_default().into();
                Op::Put { table: Table::Keys, key: index_key(*no), value }
            })
            .collect();
        let value = Bytes::copy_from_slice(&self.position.to_be_bytes());
        ops.push(Op::Put { table: Table::Keys, key: Bytes::from_static(&[TAG_POSITION]), value });
        ops
    }

    /// The write that forgets an index that is dropped.
    pub(super) fn forget(&mut self, no: u32) -> Op {
        self.all.remove(&no);
        Op::Delete { table: Table::Keys, key: index_key(no) }
    }
}

fn index_key(no: u32) -> Bytes {
    [&[TAG_INDEX], no.to_be_bytes().as_slice()].concat().into()
}

/// From where to where the rows of indexes and of their position stand.
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
