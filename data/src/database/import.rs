//! Imports: new documents go in bulk to a log of their own, documents whose key exists are updated.
//!
//! A row in the commit of the last documents stores the import's progress, so an interrupted import resumes exactly
//! after the stored documents. The requests of one import take turns, from the lookup of keys to the commit. Requests
//! don't wait for each other's commits. This module never parses a file; see `crate::import`. Specified in
//! `spec/documents.md`, section 8.

mod closing;

pub(super) use closing::Closing;

use super::context::{Context, Task, Wake, check_collection, check_name};
use super::request::{Answer, ImportCounts, ImportId, RequestError, Row, RowPlace, Ticket};
use super::sizes::OPENING_MAX;
use crate::collection::CollectionMeta;
use crate::dictionary::dictionary;
use crate::schema::Schema;
use crate::split::may_be_large;
use bytes::Bytes;
use cosmicsync_protocol::codec::{CodecError, Reader, Write};
use cosmicsync_protocol::crdt::{Meta, TextPaths, Value};
use cosmicsync_protocol::documents::{Bulk, BulkError, EditError, Erasable};
use cosmicsync_protocol::endpoint::{CommitId, NewDoc, ReadResult};
use cosmicsync_protocol::identity::peer_id;
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::ledger::Moment;
use cosmicsync_protocol::storage::rows::{delete, listing_key, put};
use cosmicsync_protocol::storage::{GET_ROWS_MAX, Read, Table};
use cosmicsync_protocol::sync::LogNo;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Longest checkpoint, in bytes.
const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Prefix of the keys of the progress rows.
const KEY_PREFIX: &[u8] = b"import/";

/// An open import.
#[derive(Debug)]
pub(super) struct Import {
    partition: PartNo,
    collection: String,
    texts: TextPaths,
    schema: Option<Arc<Schema>>,
    erasable: Erasable,
    /// Key of the progress row.
    key: Bytes,
    progress: Progress,
    /// The waiting requests in order; the first has the turn.
    pub(super) turns: VecDeque<Ticket>,
}

/// Progress of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    log: Option<LogNo>,
    rows: u64,
    /// Id for the next document without a key.
    next_id: Option<DocId>,
    checkpoint: Vec<u8>,
}

impl Progress {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.varint(self.log.map_or(0, |log| u64::from(log.0) + 1));
        out.varint(self.rows);
        out.byte(u8::from(self.next_id.is_some()));
        out.raw(self.next_id.as_ref().map_or(&[][..], AsRef::as_ref));
        out.prefixed(&self.checkpoint);
        out
    }

    fn decode(row: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(row);
        if reader.u8()? != 0 {
            return Err(CodecError::OutOfRange("import row version"));
        }
        let log = reader.varint_max(u64::from(u32::MAX), "log number")?.checked_sub(1).map(|log| LogNo(log as u32));
        let rows = reader.varint()?;
        let next_id = if reader.u8()? == 0 { None } else { Some(DocId(reader.array()?)) };
        let checkpoint = reader.bytes(CHECKPOINT_BYTES_MAX, "checkpoint")?.to_vec();
        reader.finish().map(|()| Self { log, rows, next_id, checkpoint })
    }
}

impl Import {
    fn named(&self) -> Meta {
        Meta { collection: Some(self.collection.clone()), key: None, deleted: false }
    }

    /// Returns the next id for a document without a key. Ids are consecutive, so that documents keep the order of the
    /// file.
    fn mint(&mut self, first: impl FnOnce() -> DocId) -> DocId {
        let id = self.progress.next_id.unwrap_or_else(first);
        self.progress.next_id = Some(DocId(u128::from_be_bytes(id.0).wrapping_add(1).to_be_bytes()));
        id
    }
}

fn row_key(partition: PartNo, source: &str) -> Bytes {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync import source 1");
    hasher.update(&partition.0.to_be_bytes());
    hasher.update(source.as_bytes());
    Bytes::from([KEY_PREFIX, hasher.finalize().as_bytes()].concat())
}

/// Opens an import, or resumes an interrupted one.
#[derive(Debug)]
pub(super) struct Opening {
    partition: PartNo,
    source: String,
    meta: CollectionMeta,
    resume: bool,
    progress: Option<Progress>,
    /// True if the collection has a description, at the latest once the commit is durable.
    described: bool,
    /// Number of commits that are not durable yet.
    commits: usize,
}

impl Opening {
    pub(super) const fn new(partition: PartNo, source: String, meta: CollectionMeta, resume: bool) -> Self {
        Self { partition, source, meta, resume, progress: None, described: false, commits: 0 }
    }

    fn start(&self, cx: &mut Context<'_>) -> Result<(), RequestError> {
        check_name("the source", &self.source)?;
        check_collection(&self.meta.name)?;
        cx.space(self.partition)?;
        let key = row_key(self.partition, &self.source);
        // A request that has this import open loses it, so that the progress is read from the store.
        let lost: Vec<ImportId> =
            cx.desk.imports.iter().filter(|(_, import)| import.key == key).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|id| cx.drop_import(id));
        cx.read(vec![(Table::App, key)]);
        Ok(())
    }

    fn take_row(&mut self, cx: &mut Context<'_>, row: Option<Bytes>) {
        if row.is_some() && !self.resume {
            // The progress of an earlier import of the source is discarded.
            cx.write(vec![delete(Table::App, row_key(self.partition, &self.source))]);
            self.commits += 1;
        }
        let found = row.and_then(|row| Progress::decode(&row).ok());
        self.progress = match found {
            Some(found) if self.resume => Some(found),
            Some(Progress { log: Some(log), .. }) => {
                cx.endpoint.bulk_close(cx.now, log);
                None
            }
            _ => None,
        };
    }

    /// Writes the collection's description, and opens the import once everything is durable.
    fn describe(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        if self.described {
            return Ok((self.commits == 0).then(|| self.open(cx)));
        }
        if let Some(at) = cx.description_doc(self.partition, &self.meta.name)? {
            if let Some(known) = cx.description(at) {
                self.meta.adopt(&known);
            } else if !cx.endpoint.is_open(at) {
                cx.open(at);
                return Ok(None);
            } else if cx.endpoint.view(at).is_none() {
                cx.open(at);
                let edit = cx.describe(at, &self.meta)?;
                cx.edit(&[(at, edit)], &TextPaths::none(), true, true, Vec::new())?;
                self.commits += 1;
            }
        }
        self.described = true;
        Ok((self.commits == 0).then(|| self.open(cx)))
    }

    fn open(&mut self, cx: &mut Context<'_>) -> Answer {
        let id = ImportId(cx.desk.next_import);
        cx.desk.next_import += 1;
        let found = self.progress.take();
        let checkpoint = found.as_ref().map(|found| found.checkpoint.clone());
        let progress = found.unwrap_or_default();
        let rows = progress.rows;
        let schema = self.meta.schema.as_ref().and_then(|declared| declared.schema.clone());
        let mut texts = self.meta.text_paths.clone();
        texts.extend(&schema.as_ref().map(|schema| schema.containers().texts.clone()).unwrap_or_default());
        let import = Import {
            partition: self.partition,
            collection: self.meta.name.clone(),
            texts,
            schema,
            erasable: self.meta.erasable,
            key: row_key(self.partition, &self.source),
            progress,
            turns: VecDeque::new(),
        };
        cx.desk.imports.insert(id, import);
        Answer::ImportOpened { import: id, checkpoint, rows }
    }
}

impl Task for Opening {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => self.start(cx).map(|()| None),
            Wake::Read(ReadResult::Failed(error)) => Err(error.into()),
            Wake::Read(ReadResult::Values(values)) => {
                self.take_row(cx, values.into_iter().next().flatten());
                self.describe(cx)
            }
            Wake::Opened(_) if !self.described => self.describe(cx),
            Wake::Committed => {
                self.commits -= 1;
                if self.described { self.describe(cx) } else { Ok(None) }
            }
            Wake::Lost => Err(RequestError::Lost),
            Wake::Opened(_) | Wake::Read(ReadResult::Rows { .. } | ReadResult::Made) | Wake::Again => Ok(None),
        }
    }
}

/// Adds documents to an import.
#[derive(Debug)]
pub(super) struct Rows {
    import: ImportId,
    rows: Vec<Row>,
    checkpoint: Vec<u8>,
    count: u64,
    counts: ImportCounts,
    /// Rows with a key, in the order of the file; only the last row of each key.
    keyed: Vec<(DocRef, Keyed)>,
    keyless: Vec<(Value, RowPlace)>,
    /// Time at which the key lookup began.
    asked: Option<Moment>,
    /// Lookup results for the first rows of `keyed`: true if the document exists.
    listed: Vec<bool>,
    /// True for each document of the lookup under way that a commit under way may create.
    coming: Vec<bool>,
    /// Rows whose documents exist.
    updates: VecDeque<(DocRef, Keyed)>,
    opening: BTreeMap<DocRef, Keyed>,
    /// Number of commits that are not durable yet.
    commits: usize,
    /// Number of rows in the import after these.
    total: u64,
    stage: Stage,
}

/// A row with a key.
#[derive(Debug)]
struct Keyed {
    /// `None` for a large document without a key.
    key: Option<String>,
    value: Value,
    at: RowPlace,
}

/// Returns a function that adds the row's position to an error.
fn of_row(at: RowPlace) -> impl FnOnce(RequestError) -> RequestError {
    move |error| {
        use RequestError::{Lost, NoImport, Space, Store};
        // These errors are about the store, the import or the space, not about the row.
        let of_all = matches!(error, Store(_) | Lost | NoImport | Space(_));
        if of_all { error } else { RequestError::Row { at, error: Box::new(error) } }
    }
}

/// Progress of a request with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waiting for the turn.
    Waiting,
    /// Has the turn: looks up keys, then updates existing documents.
    Turn,
    /// Everything is submitted; commits are not durable yet.
    Committing,
}

impl Rows {
    pub(super) fn new(import: ImportId, rows: Vec<Row>, checkpoint: Vec<u8>) -> Self {
        Self {
            import,
            rows,
            checkpoint,
            count: 0,
            counts: ImportCounts::default(),
            keyed: Vec::new(),
            keyless: Vec::new(),
            asked: None,
            listed: Vec::new(),
            coming: Vec::new(),
            updates: VecDeque::new(),
            opening: BTreeMap::new(),
            commits: 0,
            total: 0,
            stage: Stage::Waiting,
        }
    }

    /// Splits the rows by key and starts the key lookup.
    fn look_up(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        self.stage = Stage::Turn;
        self.asked = Some(cx.endpoint.moment());
        let (partition, collection) = place(cx, self.import)?;
        let mut last: BTreeMap<DocRef, usize> = BTreeMap::new();
        self.count = self.rows.len() as u64;
        let schema = cx.desk.imports.get(&self.import).and_then(|import| import.schema.clone());
        for Row { key, value, at } in core::mem::take(&mut self.rows) {
            let (key, value) = match &schema {
                Some(schema) => schema
                    .admit(key, value, cx.now.wall_ms)
                    .map_err(|violations| of_row(at)(RequestError::Violates(violations)))?,
                None => (key, value),
            };
            let Some(key) = key else {
                if may_be_large(&value) {
                    // A large document is written in pieces, like a document outside of an import.
                    let doc = DocRef { partition, doc: cx.endpoint.mint_doc_id(cx.now) };
                    self.updates.push_back((doc, Keyed { key: None, value, at }));
                } else {
                    self.keyless.push((value, at));
                }
                continue;
            };
            let doc = cx.keyed(partition, &collection, &key).map_err(of_row(at))?;
            if let Some(before) = last.get(&doc) {
                let before = &mut self.keyed[*before].1;
                let same = before.value == value;
                self.counts.unchanged += u64::from(same);
                self.counts.replaced += u64::from(!same);
                (before.value, before.at) = (value, at);
            } else {
                last.insert(doc, self.keyed.len());
                self.keyed.push((doc, Keyed { key: Some(key), value, at }));
            }
        }
        self.look_on(cx)
    }

    /// Looks up the next keys, as many as one read allows; continues with the updates once all are known.
    ///
    /// The lookup does not wait for commits under way, such as that of the rows before: documents in these count as
    /// existing.
    fn look_on(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let (partition, collection) = place(cx, self.import)?;
        let id = cx.collection_id(partition, &collection)?;
        let rest = self.keyed.iter().skip(self.listed.len()).take(GET_ROWS_MAX);
        let docs: Vec<DocRef> = rest.map(|(doc, ..)| *doc).collect();
        if !docs.is_empty() {
            let is_coming = |doc: &DocRef| cx.is_unsafe(*doc) || !cx.endpoint.is_current(*doc);
            self.coming = docs.iter().map(is_coming).collect();
            cx.read_of(Read::Durable, docs.into_iter().map(|doc| (Table::Doc, listing_key(doc, &id))).collect());
            return Ok(None);
        }
        // A document that is open may be created at any moment, so it is updated as well.
        let mut listed = core::mem::take(&mut self.listed).into_iter();
        let keyed = core::mem::take(&mut self.keyed).into_iter();
        let (existing, new): (Vec<_>, Vec<_>) = keyed.partition(|(doc, row)| {
            listed.next() == Some(true) || cx.endpoint.is_open(*doc) || may_be_large(&row.value)
        });
        self.keyed = new;
        self.updates.extend(existing);
        self.go_on(cx)
    }

    /// Opens documents to update; submits the new documents once all updates are made.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        self.open_more(cx);
        if self.opening.is_empty() { self.hand_over(cx) } else { Ok(None) }
    }

    fn open_more(&mut self, cx: &mut Context<'_>) {
        while self.opening.len() < OPENING_MAX {
            let Some((doc, row)) = self.updates.pop_front() else { break };
            self.opening.insert(doc, row);
            cx.open(doc);
        }
    }

    fn update(&mut self, cx: &mut Context<'_>, doc: DocRef) -> Result<(), RequestError> {
        let Some(Keyed { key, value, at }) = self.opening.remove(&doc) else { return Ok(()) };
        let import = cx.desk.imports.get(&self.import).ok_or(RequestError::NoImport)?;
        let (collection, texts) = (import.collection.clone(), import.texts.clone());
        let schema = import.schema.clone();
        let (mut edits, new) = cx.put_edits(doc, &collection, key.as_deref(), &value, &texts).map_err(of_row(at))?;
        if let (Some(schema), Some(found)) = (schema, cx.endpoint.view(doc)) {
            edits.iter_mut().for_each(|(_, edit)| {
                schema.finish(core::slice::from_mut(edit), Some(&found.value), cx.now.wall_ms);
            });
        }
        let counts = &mut self.counts;
        if edits.is_empty() {
            counts.unchanged += 1;
        } else {
            self.commits += cx.edit_in_pieces(&edits, &texts, false, true, Vec::new()).map_err(of_row(at))?;
            *(if new { &mut counts.stored } else { &mut counts.replaced }) += 1;
        }
        cx.close(doc);
        Ok(())
    }

    /// Submits the new documents and the progress in one commit, after the commits of the updates.
    fn hand_over(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        cx.endpoint.flush(cx.now);
        let mut import = cx.desk.imports.remove(&self.import).ok_or(RequestError::NoImport)?;
        let result = self.write(cx, &mut import);
        self.total = import.progress.rows;
        cx.desk.imports.insert(self.import, import);
        cx.end_turn(self.import);
        self.commits += 1;
        self.stage = Stage::Committing;
        result.map(|()| None)
    }

    fn write(&mut self, cx: &mut Context<'_>, import: &mut Import) -> Result<(), RequestError> {
        let before = import.progress.clone();
        let keyed = core::mem::take(&mut self.keyed).into_iter();
        let mut places = Vec::with_capacity(self.keyed.len() + self.keyless.len());
        let mut docs: Vec<NewDoc> = Vec::with_capacity(places.capacity());
        for (doc, Keyed { key, value, at }) in keyed {
            docs.push(NewDoc { doc: doc.doc, meta: Meta { key, ..import.named() }, value });
            places.push(at);
        }
        for (value, at) in core::mem::take(&mut self.keyless) {
            let doc = import.mint(|| cx.endpoint.mint_doc_id(cx.now));
            docs.push(NewDoc { doc, meta: import.named(), value });
            places.push(at);
        }
        self.counts.stored += docs.len() as u64;
        import.progress.rows += self.count;
        import.progress.checkpoint = core::mem::take(&mut self.checkpoint);
        if docs.is_empty() {
            cx.write(vec![put(Table::App, import.key.clone(), import.progress.encode())]);
            return Ok(());
        }
        let commit = bulk_append(cx, import, &docs, self.asked);
        match commit {
            Ok(commit) => {
                let docs = docs.iter().map(|doc| DocRef { partition: import.partition, doc: doc.doc }).collect();
                cx.expect(commit, docs, true);
                Ok(())
            }
            Err(error) => {
                import.progress = Progress { log: import.progress.log, ..before };
                let RequestError::Bulk(BulkError::Doc { index, error }) = error else { return Err(error) };
                let at = places.get(index).copied().unwrap_or_default();
                Err(of_row(at)(RequestError::Edit(EditError::Change(error))))
            }
        }
    }
}

/// Appends to the import's log. If this store may not write to the log any more, a new log replaces it.
fn bulk_append(
    cx: &mut Context<'_>,
    import: &mut Import,
    docs: &[NewDoc],
    unknown: Option<Moment>,
) -> Result<CommitId, RequestError> {
    let collection = cx.collection_id(import.partition, &import.collection)?;
    for _ in 0..2 {
        let log = match import.progress.log {
            Some(log) => log,
            None => *import.progress.log.insert(cx.endpoint.bulk_open(cx.now, import.partition)?),
        };
        let peer = cx.endpoint.log_id(log).map_or(0, |id| peer_id(&id));
        let shared = dictionary(docs.iter().map(|doc| &doc.value), peer, &import.named(), &import.texts);
        let row = put(Table::App, import.key.clone(), import.progress.encode());
        let (texts, erasable) = (&import.texts, import.erasable);
        let bulk = Bulk { collection, docs, texts, dictionary: &shared, erasable, unknown };
        match cx.endpoint.bulk_append(cx.now, log, &bulk, vec![row]) {
            Err(BulkError::NotOpen) => import.progress.log = None,
            result => return Ok(result?),
        }
    }
    Err(BulkError::NotOpen.into())
}

fn place(cx: &Context<'_>, import: ImportId) -> Result<(PartNo, String), RequestError> {
    let import = cx.desk.imports.get(&import).ok_or(RequestError::NoImport)?;
    Ok((import.partition, import.collection.clone()))
}

/// Queues for a turn in an import; returns whether it has come.
fn take_turn(cx: &mut Context<'_>, import: ImportId) -> Result<bool, RequestError> {
    let ticket = cx.ticket;
    let turns = &mut cx.desk.imports.get_mut(&import).ok_or(RequestError::NoImport)?.turns;
    if !turns.contains(&ticket) {
        turns.push_back(ticket);
    }
    Ok(turns.front() == Some(&ticket))
}

impl Task for Rows {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let done = self.step(cx, wake);
        if done.is_err() {
            // Later rows must not be stored as if these rows were.
            cx.drop_import(self.import);
        }
        done
    }
}

impl Rows {
    fn step(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match (self.stage, wake) {
            (Stage::Waiting, _) => {
                if self.checkpoint.len() > CHECKPOINT_BYTES_MAX {
                    return Err(RequestError::BadName("the checkpoint"));
                }
                if take_turn(cx, self.import)? { self.look_up(cx) } else { Ok(None) }
            }
            (Stage::Turn, Wake::Read(ReadResult::Failed(error))) => Err(error.into()),
            (Stage::Turn, Wake::Read(ReadResult::Values(values))) => {
                self.listed.extend(values.iter().zip(&self.coming).map(|(row, coming)| row.is_some() || *coming));
                self.look_on(cx)
            }
            (Stage::Turn, Wake::Opened(doc)) => {
                self.update(cx, doc)?;
                self.go_on(cx)
            }
            (_, Wake::Committed) => {
                self.commits -= 1;
                let done = self.commits == 0 && self.stage == Stage::Committing;
                Ok(done.then_some(Answer::Imported { rows: self.total, counts: self.counts }))
            }
            (_, Wake::Lost) => Err(RequestError::Lost),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_an_import_round_trips() {
        let full = Progress { log: Some(LogNo(7)), rows: 300, next_id: Some(DocId([9; 16])), checkpoint: vec![1, 2] };
        for progress in [full, Progress::default()] {
            assert_eq!(Progress::decode(&progress.encode()), Ok(progress));
        }
    }
}
