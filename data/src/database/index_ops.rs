//! Defines, lists and checks indexes.

use super::ask::{IndexChange, IndexCheck, QueryError};
use super::context::{Context, Task, Wake};
use super::fetch::{Fetch, Fetched};
use super::find::adopt;
use super::indexes::{Registry, decode_keys, doc_keys_key};
use super::request::{Answer, RequestError};
use super::walk::{Walk, Walked};
use crate::collection::{COLLECTIONS, CollectionMeta, INDEXES};
use crate::index::define::{self, INDEXES_MAX, IndexError, Indexes};
use crate::index::project::{project, term_key};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{CollectionId, DocRef, PartNo};
use cosmicsync_protocol::storage::Table;
use std::collections::BTreeSet;

/// Changes the indexes of a collection.
#[derive(Debug)]
pub(super) struct Changing {
    partition: PartNo,
    collection: String,
    change: IndexChange,
    doc: Option<DocRef>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Waits until this store's indexes have been loaded.
    Loading,
    Opening,
    Committing,
}

impl Changing {
    pub(super) const fn new(partition: PartNo, collection: String, change: IndexChange) -> Self {
        Self { partition, collection, change, doc: None, stage: Stage::Loading }
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Some(doc) = self.doc else { return Ok(None) };
        if self.stage == Stage::Loading && cx.desk.indexes.loaded {
            cx.unwatch();
            self.stage = Stage::Opening;
            cx.open(doc);
        }
        if self.stage == Stage::Opening && !cx.endpoint.is_open(doc) {
            cx.open(doc);
            return Ok(None);
        }
        if self.stage != Stage::Opening {
            return Ok(None);
        }
        let stored = cx.endpoint.view(doc).filter(|found| !found.meta.deleted).map(|found| found.value);
        let stored = stored.unwrap_or_else(|| CollectionMeta::new(&self.collection).to_value());
        let mut indexes = stored.entry(INDEXES).map(define::from_value).unwrap_or_default();
        let collection = cx.collection_id(self.partition, &self.collection)?;
        if let IndexChange::Rebuild { name } = &self.change {
            adopt(cx, self.partition, collection, &indexes);
            if !cx.desk.indexes.rebuild(self.partition, collection, name) {
                return Err(QueryError::NoIndex(name.clone()).into());
            }
            cx.desk.wake_indexer();
            return Ok(Some(Answer::Done));
        }
        self.apply(&mut indexes)?;
        let Value::Map(mut members) = stored else { return Err(RequestError::NotObject) };
        members.insert(INDEXES.to_owned(), define::to_value(&indexes));
        let (edits, _) =
            cx.put_edits(doc, COLLECTIONS, Some(&self.collection), &Value::Map(members), &TextPaths::none())?;
        self.stage = Stage::Committing;
        adopt(cx, self.partition, collection, &indexes);
        if edits.is_empty() {
            return Ok(Some(Answer::Done));
        }
        cx.edit(&edits, &TextPaths::none(), true, true, Vec::new())?;
        Ok(None)
    }

    fn apply(&self, indexes: &mut Indexes) -> Result<(), RequestError> {
        match &self.change {
            IndexChange::Create { name, fields } => {
                define::check_name(name)?;
                match indexes.get(name) {
                    Some(known) if known == fields => {}
                    Some(_) => return Err(QueryError::IndexThere(name.clone()).into()),
                    None if indexes.len() >= INDEXES_MAX => return Err(IndexError::TooMany.into()),
                    None => drop(indexes.insert(name.clone(), fields.clone())),
                }
            }
            IndexChange::Drop { name } | IndexChange::Rebuild { name } => {
                indexes.remove(name).ok_or_else(|| QueryError::NoIndex(name.clone()))?;
            }
        }
        Ok(())
    }
}

impl Task for Changing {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => {
                super::context::check_collection(&self.collection)?;
                let Some(doc) = cx.description_doc(self.partition, &self.collection)? else {
                    return Err(RequestError::BadName("the collection's name"));
                };
                self.doc = Some(doc);
                cx.watch();
                cx.start_indexes();
                self.go_on(cx)
            }
            Wake::Committed if self.stage == Stage::Committing => Ok(Some(Answer::Done)),
            Wake::Lost => Err(RequestError::Lost),
            Wake::Opened(_) | Wake::Read(_) | Wake::Committed | Wake::Again => self.go_on(cx),
        }
    }
}

/// Reads a collection's description, and aligns its indexes with the definitions.
#[derive(Debug, Default)]
struct Reading {
    fetch: Fetch<()>,
    found: Option<Option<Snapshot>>,
}

impl Reading {
    fn start(&mut self, cx: &mut Context<'_>, partition: PartNo, collection: &str) -> Result<(), RequestError> {
        cx.start_indexes();
        cx.watch();
        match cx.description_doc(partition, collection)? {
            Some(doc) => {
                self.fetch.push(doc, ());
                self.fetch.read(cx);
            }
            None => self.found = Some(None),
        }
        Ok(())
    }

    /// Returns the collection once its indexes are known.
    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        wake: Wake,
        partition: PartNo,
        collection: &str,
    ) -> Result<Option<CollectionId>, RequestError> {
        self.fetch.wake(cx, wake)?;
        if let Fetched::Doc(_, (), snapshot) = self.fetch.next() {
            self.found = Some(snapshot);
        }
        let Some(found) = self.found.as_ref().filter(|_| cx.desk.indexes.loaded) else { return Ok(None) };
        cx.unwatch();
        let id = cx.collection_id(partition, collection)?;
        let found = found.as_ref().filter(|found| !found.meta.deleted);
        let defined = found.and_then(|found| found.value.entry(INDEXES)).map(define::from_value);
        adopt(cx, partition, id, &defined.unwrap_or_default());
        Ok(Some(id))
    }
}

/// Lists the indexes of a collection.
#[derive(Debug)]
pub(super) struct Listing {
    partition: PartNo,
    collection: String,
    reading: Reading,
}

impl Listing {
    pub(super) fn new(partition: PartNo, collection: String) -> Self {
        Self { partition, collection, reading: Reading::default() }
    }
}

impl Task for Listing {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        if matches!(wake, Wake::Start) {
            self.reading.start(cx, self.partition, &self.collection)?;
        }
        let Some(id) = self.reading.go_on(cx, wake, self.partition, &self.collection)? else { return Ok(None) };
        let mut indexes: Vec<_> =
            cx.desk.indexes.of(self.partition, id).map(|(_, index)| Registry::info(index)).collect();
        indexes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(Answer::Indexes(indexes)))
    }
}

/// Compares an index with the documents, row by row in both directions.
#[derive(Debug)]
pub(super) struct Checking {
    partition: PartNo,
    collection: String,
    name: String,
    reading: Reading,
    stage: CheckStage,
    found: IndexCheck,
    /// Number of rows that the documents should have.
    wanted: u64,
}

#[derive(Debug)]
enum CheckStage {
    Reading,
    /// Waits until the index has caught up.
    Waiting(CollectionId),
    /// Reads documents and computes their rows.
    Walking(u32, Walk, Vec<(DocRef, BTreeSet<Vec<u8>>)>),
    /// Reads the documents' rows.
    Comparing(u32, Walk, Vec<(DocRef, BTreeSet<Vec<u8>>)>),
    /// Counts the rows of the index.
    Counting(cosmicsync_protocol::storage::Scan),
}

/// Number of documents compared per step.
const CHECKED_MAX: usize = 128;
/// Size of the rows per read of the count, in bytes.
const COUNT_BYTES_MAX: usize = 256 * 1024;

impl Checking {
    pub(super) fn new(partition: PartNo, collection: String, name: String) -> Self {
        let reading = Reading::default();
        Self { partition, collection, name, reading, stage: CheckStage::Reading, found: Default::default(), wanted: 0 }
    }

    fn walk(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        let CheckStage::Walking(no, walk, docs) = &mut self.stage else { return None };
        let index = cx.desk.indexes.all.get(no)?;
        let fields = index.fields.clone();
        let ended = loop {
            if docs.len() >= CHECKED_MAX {
                break false;
            }
            match walk.next(cx) {
                Walked::Wait => return None,
                Walked::End => break true,
                Walked::Doc(place, snapshot) => {
                    let tuples = project(&fields, &snapshot.value).tuples;
                    let keys = tuples.iter().map(|(tuple, _)| term_key(*no, tuple, place.doc));
                    docs.push((DocRef { partition: self.partition, doc: place.doc }, keys.collect()));
                }
            }
        };
        if ended && docs.is_empty() {
            let from = bytes::Bytes::copy_from_slice(&no.to_be_bytes());
            let to = bytes::Bytes::copy_from_slice(&(*no + 1).to_be_bytes());
            let scan = cosmicsync_protocol::storage::Scan::of(Table::Term, from, to, COUNT_BYTES_MAX);
            cx.scan(scan.clone());
            self.stage = CheckStage::Counting(scan);
            return None;
        }
        let mut keys: Vec<(Table, bytes::Bytes)> = Vec::new();
        for (doc, wanted) in docs.iter() {
            keys.push((Table::Keys, doc_keys_key(*doc)));
            keys.extend(wanted.iter().map(|key| (Table::Term, bytes::Bytes::copy_from_slice(key))));
        }
        cx.read(keys);
        let stage = core::mem::replace(&mut self.stage, CheckStage::Reading);
        if let CheckStage::Walking(no, walk, docs) = stage {
            self.stage = CheckStage::Comparing(no, walk, docs);
        }
        None
    }

    fn compare(&mut self, cx: &mut Context<'_>, values: Vec<Option<bytes::Bytes>>) -> Option<Answer> {
        let stage = core::mem::replace(&mut self.stage, CheckStage::Reading);
        let CheckStage::Comparing(no, walk, docs) = stage else { return None };
        let mut values = values.into_iter();
        for (_, wanted) in docs {
            let known = values.next().flatten().unwrap_or_default();
            let known: BTreeSet<Vec<u8>> = decode_keys(&known)
                .into_iter()
                .filter(|key| key.starts_with(&no.to_be_bytes()))
                .map(<[u8]>::to_vec)
                .collect();
            self.found.docs += 1;
            self.wanted += wanted.len() as u64;
            for key in &wanted {
                let is_there = values.next().flatten().is_some();
                self.found.missing += u64::from(!is_there || !known.contains(key));
            }
            self.found.extra += known.difference(&wanted).count() as u64;
        }
        self.stage = CheckStage::Walking(no, walk, Vec::new());
        self.walk(cx)
    }
}

impl Task for Checking {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        if matches!(wake, Wake::Start) {
            self.reading.start(cx, self.partition, &self.collection)?;
        }
        match (&mut self.stage, wake) {
            (CheckStage::Reading, wake) => {
                let Some(id) = self.reading.go_on(cx, wake, self.partition, &self.collection)? else { return Ok(None) };
                cx.watch();
                self.stage = CheckStage::Waiting(id);
                self.run(cx, Wake::Again)
            }
            (CheckStage::Waiting(id), _) => {
                let id = *id;
                let found = cx.desk.indexes.of(self.partition, id).find(|(_, index)| index.name == self.name);
                let Some((no, index)) = found else { return Err(QueryError::NoIndex(self.name.clone()).into()) };
                let behind = cx.desk.indexes.behind(self.partition).map(Iterator::count);
                if !index.is_ready() || behind != Some(0) {
                    return Ok(None);
                }
                cx.unwatch();
                let walk = Walk::new(self.partition, Some(id), None, None, usize::MAX);
                self.stage = CheckStage::Walking(no, walk, Vec::new());
                Ok(self.walk(cx))
            }
            (CheckStage::Walking(_, walk, _), wake) => {
                walk.wake(cx, wake)?;
                Ok(self.walk(cx))
            }
            (CheckStage::Comparing(..), Wake::Read(ReadResult::Values(values))) => Ok(self.compare(cx, values)),
            (CheckStage::Counting(scan), Wake::Read(ReadResult::Rows { rows, more })) => {
                self.found.rows += rows.len() as u64;
                if let Some((last, _)) = rows.last().filter(|_| more) {
                    *scan = cosmicsync_protocol::storage::rows::scan_on(scan, last);
                    cx.scan(scan.clone());
                    return Ok(None);
                }
                // The remaining rows belong to documents that do not exist.
                let there = self.wanted.saturating_sub(self.found.missing) + self.found.extra;
                self.found.extra += self.found.rows.saturating_sub(there);
                Ok(Some(Answer::Checked(self.found)))
            }
            (_, Wake::Read(ReadResult::Failed(error))) => Err(error.into()),
            _ => Ok(None),
        }
    }
}
