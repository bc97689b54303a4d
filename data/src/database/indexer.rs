//! Keeps the indexes up to date with one worker, which always runs.
//!
//! The worker follows the numbered changes of documents ([`Table::Feed`]), which are in the same commits as the
//! changes. After a crash it continues after the last change that an index includes, so it skips nothing. Between
//! changes it builds new indexes and deletes dropped ones, one batch and commit at a time. The worker alone writes rows
//! of indexes, and it reads a document after the change that it follows. Therefore an older value never replaces a
//! newer one.

use super::context::{Context, Task, Wake};
use super::fetch::{Fetch, Fetched};
use super::indexes::{State, decode_keys, doc_keys_key, encode_keys, registry_range};
use super::request::{Answer, RequestError, Ticket};
use crate::index::project::{project, term_key};
use bytes::Bytes;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{CollectionId, DocRef, PartNo};
use cosmicsync_protocol::storage::rows::{FeedRow, LISTING_BYTES, listing_key, listing_parts, scan_on, scan_prefix};
use cosmicsync_protocol::storage::{Op, Row, Scan, Table};
use std::collections::{BTreeMap, BTreeSet};

/// The worker's own ticket, which no request has.
pub(super) const INDEXER: Ticket = Ticket(u64::MAX);

/// Size of the index rows per read, in bytes.
const SCAN_BYTES_MAX: usize = 1024 * 1024;

/// The worker. It never returns an answer to a caller.
#[derive(Debug, Default)]
pub(super) struct Indexer {
    stage: Stage,
    rows: Vec<Row>,
    batch: Batch,
    /// True if the last batch followed changes, so that a build comes next.
    followed: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Loading(Scan),
    /// Reads changes.
    Following,
    /// Reads documents of a collection, to build an index.
    Listing(u32),
    /// Determines which documents belong to a collection with an index, and reads their present keys.
    Sorting(Vec<Noted>, Vec<CollectionId>),
    Fetching,
    Committing,
}

/// A document, and the number of its last change in the registry before it was read.
type Noted = (DocRef, Option<u64>);

/// The content of one commit.
#[derive(Debug, Default)]
struct Batch {
    /// Number of the last change in the batch.
    position: Option<u64>,
    /// The index being built, the last document of the batch, and whether the build ends with it.
    built: Option<(u32, Option<[u8; 16]>, bool)>,
    /// Documents, each with its present index keys and the number of its last change before it was read.
    fetch: Fetch<(Bytes, Option<u64>)>,
    ops: Vec<Op>,
    docs: Vec<Noted>,
}

impl Task for Indexer {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match (&mut self.stage, wake) {
            (Stage::Idle, _) => self.choose(cx),
            (Stage::Loading(scan), Wake::Read(ReadResult::Rows { rows, more })) => {
                let last = rows.last().map(|(key, _)| key.clone()).filter(|_| more);
                self.rows.extend(rows);
                if let Some(last) = last {
                    *scan = scan_on(scan, &last);
                    cx.scan(scan.clone());
                } else {
                    let next_change = cx.endpoint.next_change().1;
                    cx.desk.indexes.load(&core::mem::take(&mut self.rows), next_change);
                    cx.desk.wake_watching();
                    self.choose(cx);
                }
            }
            (Stage::Following, Wake::Read(ReadResult::Rows { rows, .. })) => self.follow(cx, &rows),
            (Stage::Listing(no), Wake::Read(ReadResult::Rows { rows, more })) => {
                let no = *no;
                self.list(cx, no, &rows, more);
            }
            (Stage::Sorting(docs, collections), Wake::Read(ReadResult::Values(values))) => {
                let (docs, of) = (core::mem::take(docs), collections.len());
                self.sort(cx, &docs, of, values);
            }
            (Stage::Fetching, wake) => {
                self.batch.fetch.wake(cx, wake)?;
                self.take_fetched(cx);
            }
            (Stage::Committing, Wake::Committed) => self.committed(cx),
            // The endpoint failed, so the worker waits for the next start.
            (_, _) => {}
        }
        Ok(None)
    }
}

impl Indexer {
    /// Chooses the next step.
    fn choose(&mut self, cx: &mut Context<'_>) {
        self.stage = Stage::Idle;
        cx.desk.indexer_idle = false;
        let registry = &cx.desk.indexes;
        if !registry.loaded {
            let (from, to) = registry_range();
            let scan = Scan::of(Table::Keys, from, to, SCAN_BYTES_MAX);
            cx.scan(scan.clone());
            self.stage = Stage::Loading(scan);
            return;
        }
        let state_is =
            |wanted: fn(&State) -> bool| registry.all.iter().find(|(_, index)| wanted(&index.state)).map(|(no, _)| *no);
        if let Some(no) = state_is(|state| *state == State::Dropping) {
            return self.drop_index(cx, no);
        }
        let building = state_is(|state| matches!(state, State::Building { .. }));
        if let (Some(no), true) = (building, self.followed || !registry.is_behind()) {
            return self.read_listing(cx, no);
        }
        if registry.is_behind() {
            self.followed = true;
            let from = FeedRow::key(registry.position + 1);
            cx.scan(Scan::of(Table::Feed, from, Bytes::new(), cx.desk.sizes.changes * FeedRow::BYTES));
            self.stage = Stage::Following;
            return;
        }
        if registry.all.values().any(|index| index.unsaved) {
            return self.commit(cx);
        }
        cx.desk.indexer_idle = true;
    }

    fn drop_index(&mut self, cx: &mut Context<'_>, no: u32) {
        let from = Bytes::copy_from_slice(&no.to_be_bytes());
        let to = Bytes::copy_from_slice(&(no + 1).to_be_bytes());
        self.batch.ops.push(Op::DeleteRange { table: Table::Term, from, to });
        self.batch.ops.push(cx.desk.indexes.forget(no));
        self.commit(cx);
    }

    /// Reads the next documents for an index that is being built.
    fn read_listing(&mut self, cx: &mut Context<'_>, no: u32) {
        self.followed = false;
        let Some(index) = cx.desk.indexes.all.get(&no) else { return };
        let prefix = [&index.partition.0.to_be_bytes(), index.collection.as_ref()].concat();
        let mut scan = scan_prefix(Table::Doc, &prefix, cx.desk.sizes.built * LISTING_BYTES);
        if let State::Building { after: Some(after), .. } = index.state {
            let doc = DocRef { partition: index.partition, doc: cosmicsync_protocol::ids::DocId(after) };
            scan = scan_on(&scan, &listing_key(doc, &index.collection));
        }
        cx.scan(scan);
        self.stage = Stage::Listing(no);
    }

    fn list(&mut self, cx: &mut Context<'_>, no: u32, rows: &[Row], more: bool) {
        let Some(index) = cx.desk.indexes.all.get(&no) else { return self.choose(cx) };
        let (partition, collection) = (index.partition, index.collection);
        let listed = rows.iter().filter_map(|(key, _)| listing_parts(key).ok());
        let docs: Vec<DocRef> = listed.map(|(_, doc)| DocRef { partition, doc }).collect();
        self.batch.built = Some((no, docs.last().map(|doc| doc.doc.0), !more));
        self.read_keys(cx, docs, vec![collection]);
    }

    /// Takes numbered changes, and the documents of one partition to update.
    fn follow(&mut self, cx: &mut Context<'_>, rows: &[Row]) {
        let rows: Vec<FeedRow> = rows.iter().filter_map(|(key, row)| FeedRow::decode(key, row).ok()).collect();
        let registry = &mut cx.desk.indexes;
        match rows.first() {
            None => registry.all_caught_up(),
            // The oldest changes have been discarded, so the documents that they changed are unknown.
            Some(first) if first.number > registry.position + 1 => registry.rebuild_all(),
            Some(_) => {}
        }
        let is_indexed = |partition: PartNo| registry.all.values().any(|index| index.partition == partition);
        let mut rows = rows.into_iter().peekable();
        let mut docs = BTreeSet::new();
        let mut partition = None;
        while let Some(row) = rows.next_if(|row| {
            let other = partition.is_some_and(|partition| partition != row.doc.partition);
            !(other && is_indexed(row.doc.partition))
        }) {
            if is_indexed(row.doc.partition) {
                partition = Some(row.doc.partition);
                docs.insert(row.doc);
            }
            self.batch.position = Some(row.number);
        }
        if let (true, Some(position)) = (planted!("index.position-ahead"), self.batch.position) {
            registry.position = position;
            let ops = registry.save();
            cx.endpoint.write(cx.now, ops);
        }
        let Some(partition) = partition.or_else(|| registry.todo()) else {
            cx.desk.wake_watching();
            return if self.batch.position.is_some() { self.commit(cx) } else { self.choose(cx) };
        };
        docs.extend(registry.take_todo(partition, cx.desk.sizes.changes));
        let of = registry.all.values().filter(|index| index.partition == partition);
        let collections: BTreeSet<CollectionId> = of.map(|index| index.collection).collect();
        self.read_keys(cx, docs.into_iter().collect(), collections.into_iter().collect());
    }

    /// Reads the present keys of documents, and determines their collections.
    fn read_keys(&mut self, cx: &mut Context<'_>, docs: Vec<DocRef>, collections: Vec<CollectionId>) {
        if docs.is_empty() {
            return self.commit(cx);
        }
        let mut keys = Vec::with_capacity(docs.len() * (1 + collections.len()));
        for doc in &docs {
            keys.push((Table::Keys, doc_keys_key(*doc)));
            keys.extend(collections.iter().map(|of| (Table::Doc, listing_key(*doc, of))));
        }
        cx.read(keys);
        // A change during the reads may be missing from what they return.
        let docs = docs.into_iter().map(|doc| (doc, cx.desk.indexes.noted(doc))).collect();
        self.stage = Stage::Sorting(docs, collections);
    }

    fn sort(&mut self, cx: &mut Context<'_>, docs: &[Noted], of: usize, values: Vec<Option<Bytes>>) {
        for (&(doc, noted), rows) in docs.iter().zip(values.chunks(1 + of)) {
            let Some((keys, listed)) = rows.split_first() else { continue };
            if listed.iter().any(Option::is_some) {
                self.batch.fetch.push(doc, (keys.clone().unwrap_or_default(), noted));
            } else {
                // No index covers the document any more, so nothing is pending for it.
                self.batch.ops.extend(cx.desk.indexes.set_pending(doc, false));
                self.batch.docs.push((doc, noted));
            }
        }
        self.stage = Stage::Fetching;
        self.batch.fetch.read(cx);
        self.take_fetched(cx);
    }

    fn take_fetched(&mut self, cx: &mut Context<'_>) {
        loop {
            match self.batch.fetch.next() {
                Fetched::Doc(doc, (keys, noted), snapshot) => {
                    // A document that was not wholly in memory when it was read, or changed since, stays pending: the
                    // number of the change may be passed already, so after a crash nothing else would recall it.
                    let is_whole = cx.endpoint.is_current(doc) && cx.desk.indexes.noted(doc) == noted;
                    let pending = !is_whole && !planted!("index.owed-forgotten");
                    self.batch.ops.extend(cx.desk.indexes.set_pending(doc, pending));
                    self.batch.docs.push((doc, noted));
                    if !pending {
                        self.take(cx, doc, &keys, snapshot.as_ref());
                    }
                }
                Fetched::Wait => return,
                Fetched::Empty => return self.commit(cx),
            }
        }
    }

    /// Updates all indexes of a document's collection with the document's present state.
    fn take(&mut self, cx: &mut Context<'_>, doc: DocRef, keys: &[u8], snapshot: Option<&Snapshot>) {
        let old: BTreeSet<&[u8]> = decode_keys(keys).into_iter().collect();
        let new = rows_of(cx, doc, snapshot);
        if new.len() == old.len() && new.keys().all(|key| old.contains(key.as_slice())) {
            return;
        }
        let gone = old.iter().filter(|key| !new.contains_key(**key) && !planted!("index.row-not-deleted"));
        let gone = gone.map(|key| Op::Delete { table: Table::Term, key: Bytes::copy_from_slice(key) });
        self.batch.ops.extend(gone);
        let come = new.iter().filter(|(key, _)| !old.contains(key.as_slice()));
        self.batch.ops.extend(come.map(|(key, cut)| Op::Put {
            table: Table::Term,
            key: Bytes::copy_from_slice(key),
            value: Bytes::from_static(if *cut { &[1] } else { &[] }),
        }));
        let key = doc_keys_key(doc);
        self.batch.ops.push(if new.is_empty() {
            Op::Delete { table: Table::Keys, key }
        } else {
            Op::Put { table: Table::Keys, key, value: encode_keys(new.keys().map(Vec::as_slice)) }
        });
    }

    /// Commits the batch. Edits of its documents may not be durable yet, so these are flushed first.
    fn commit(&mut self, cx: &mut Context<'_>) {
        if self.batch.docs.iter().any(|(doc, _)| cx.is_unsafe(*doc)) && !planted!("index.unflushed") {
            cx.endpoint.flush(cx.now);
        }
        let registry = &mut cx.desk.indexes;
        if let Some(position) = self.batch.position {
            registry.position = position;
        }
        if let Some((no, last, ended)) = self.batch.built {
            registry.built(no, last, self.batch.docs.len() as u64, ended);
        }
        let mut ops = core::mem::take(&mut self.batch.ops);
        ops.extend(registry.save());
        self.stage = Stage::Committing;
        cx.write(ops);
    }

    fn committed(&mut self, cx: &mut Context<'_>) {
        let batch = core::mem::take(&mut self.batch);
        if let Some((no, ..)) = batch.built {
            cx.desk.indexes.settle(no);
        }
        for (doc, noted) in batch.docs {
            cx.desk.indexes.caught_up(doc, noted);
        }
        cx.desk.wake_watching();
        self.choose(cx);
    }
}

/// Returns a document's rows in all indexes of its collection; true for truncated tuples.
fn rows_of(cx: &mut Context<'_>, doc: DocRef, snapshot: Option<&Snapshot>) -> BTreeMap<Vec<u8>, bool> {
    let mut rows = BTreeMap::new();
    let Some(snapshot) = snapshot.filter(|snapshot| !snapshot.meta.deleted) else { return rows };
    let name = snapshot.meta.collection.as_deref().unwrap_or_default();
    let Ok(collection) = cx.collection_id(doc.partition, name) else { return rows };
    let of = cx.desk.indexes.of(doc.partition, collection).map(|(no, index)| (no, index.fields.clone()));
    for (no, fields) in of.collect::<Vec<_>>() {
        let projected = project(&fields, &snapshot.value);
        cx.desk.indexes.note_shape(no, &projected);
        rows.extend(projected.tuples.into_iter().map(|(tuple, cut)| (term_key(no, &tuple, doc.doc), cut)));
    }
    rows
}
