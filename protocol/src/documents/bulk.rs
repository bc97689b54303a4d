//! Imports: many new documents in few entries of a log of their own, none of them opened.
//!
//! Each document is a section of its own under a data key of its own, so that it can be erased alone. It is
//! compressed against a dictionary of content that many documents share. The keys are leaves of one tree,
//! whose root is boxed once. If documents need not be erasable alone, many of them share a section and a key.

use super::cache::{self, Snapshot, encode_snapshot};
use crate::config::Steps;
use crate::crdt::{ChangeError, Meta, TextPaths, Value, encode_and_read, encode_new};
use crate::identity::peer_id;
use crate::ids::{CollectionId, DocId, DocRef, EntryRef, LogNo, PartNo};
use crate::ledger::{Ledger, Moment};
use crate::log::header::Header;
use crate::log::read::join_parts;
use crate::log::{EntryKind, Item, KeyRef, Lane, Plain, SealError};
use crate::logs::{Batch, Touch, Writing};
use crate::sealed::{KeyNode, Seed, leaf_seeds};
use crate::spaces::SpaceError;
use crate::storage::rows::{IndexRow, list};
use std::borrow::Cow;

/// Number of documents from which on a dictionary is worthwhile even without text: they share codes.
const SHARING_MIN: usize = 8;

/// Reason why documents were not imported. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// The log is not an open import of this store.
    #[error("the import is not open: start it again")]
    NotOpen,
    /// A document cannot be written.
    #[error("document {index} cannot be imported: {error}")]
    Doc {
        /// Index of the document among the given ones.
        index: usize,
        /// The error.
        error: ChangeError,
    },
    /// The entry could not be built.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Unit of erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Erasable {
    /// Each document can be erased alone.
    #[default]
    Alone,
    /// Some hundred documents can only be erased together: they share a key, and take fewer bytes.
    Together,
}

/// A document of a bulk import.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDoc {
    /// Id of the document, which must not exist yet.
    pub doc: DocId,
    /// Name and collection of the document.
    pub meta: Meta,
    /// Content of the document.
    pub value: Value,
}

/// New documents of one collection.
#[derive(Debug, Clone, Copy)]
pub struct Bulk<'a> {
    /// The collection.
    pub collection: CollectionId,
    /// The documents, each once.
    pub docs: &'a [NewDoc],
    /// Paths of the strings that merge.
    pub texts: &'a TextPaths,
    /// Content that many of the documents share. It outlives the erasure of any one document.
    pub dictionary: &'a [u8],
    /// Unit in which the documents can be erased.
    pub erasable: Erasable,
    /// Moment at which the store reported that none of the documents exists. Their values are then stored with them,
    /// except those that arrived since. Without it, values are made on demand.
    pub unknown: Option<Moment>,
}

pub(crate) fn open(ledger: &mut Ledger, partition: PartNo, batch: &mut Batch) -> Result<LogNo, SpaceError> {
    let space = ledger.known_partition(partition)?.space;
    if ledger.space(space).current_epoch().is_none() {
        return Err(SpaceError::NoKeys);
    }
    Ok(ledger.open_log(partition, Lane::Bulk, batch))
}

pub(crate) fn close(ledger: &mut Ledger, log: LogNo, batch: &mut Batch) {
    if !ledger.logs.can_append(log) {
        return;
    }
    let header = Header::new(EntryKind::LogClose, ledger.now.wall_ms);
    let closed = ledger.append(log, &header, &[], batch);
    debug_assert!(closed.is_ok(), "an empty entry is small");
    ledger.logs.end_log(log);
}

/// Encodes all documents, then writes them; an error writes nothing. Returns the places of the documents.
pub(crate) fn append(
    ledger: &mut Ledger,
    log: LogNo,
    bulk: &Bulk<'_>,
    batch: &mut Batch,
) -> Result<Vec<(DocRef, IndexRow)>, BulkError> {
    if !ledger.logs.can_append(log) {
        return Err(BulkError::NotOpen);
    }
    let Some(partition) = ledger.logs.registry.log(log).owner().map(|owner| owner.partition) else {
        return Err(BulkError::NotOpen);
    };
    let peer = peer_id(&ledger.logs.registry.log(log).id);
    let mut updates = Vec::with_capacity(bulk.docs.len());
    let mut values = Vec::new();
    for (index, NewDoc { doc, meta, value }) in bulk.docs.iter().enumerate() {
        let failed = |error| BulkError::Doc { index, error };
        let at = DocRef { partition, doc: *doc };
        let update = if bulk.unknown.is_some_and(|moment| !ledger.touched.since(moment, &at)) {
            let (update, meta, value, version) = encode_and_read(peer, meta, value, bulk.texts).map_err(failed)?;
            values.push((at, Some(encode_snapshot(&Snapshot { meta, value, version }))));
            update
        } else {
            values.push((at, None));
            encode_new(peer, meta, value, bulk.texts).map_err(failed)?
        };
        updates.push((*doc, update.bytes));
    }
    // Ids in ascending order take least space, and documents that share a section must be in that order.
    updates.sort_by_key(|(doc, _)| *doc);
    let mut written = Vec::with_capacity(updates.len());
    let steps = &ledger.config.steps;
    let (docs_max, bytes_max) = (steps.bulk_docs, steps.bulk_bytes);
    for now in in_runs(&updates, docs_max, bytes_max) {
        append_entries(ledger, log, bulk, now, batch, &mut written)?;
    }
    for (doc, row) in values {
        // Even if the document is new: another log may make the same document at the same time.
        ledger.drop_cached(doc, Touch { here: true, may_delete: false }, batch);
        batch.ops.extend(row.into_iter().flat_map(|row| cache::store_with(doc, row)));
    }
    Ok(written)
}

/// Cuts updates into runs of at most `docs_max` updates and `bytes_max` bytes. A single larger update forms
/// its own run.
fn in_runs(
    updates: &[(DocId, Vec<u8>)],
    docs_max: usize,
    bytes_max: usize,
) -> impl Iterator<Item = &[(DocId, Vec<u8>)]> {
    let mut rest = updates;
    core::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(docs_max).take_while(|(_, update)| {
            bytes += update.len();
            bytes <= bytes_max
        });
        let (now, later) = rest.split_at_checked(fits.count().max(1))?;
        reached!(BulkRun, !later.is_empty());
        rest = later;
        Some(now)
    })
}

/// Writes documents into one entry, or into more if they hardly compress and their number makes seals matter.
fn append_entries(
    ledger: &mut Ledger,
    log: LogNo,
    bulk: &Bulk<'_>,
    docs: &[(DocId, Vec<u8>)],
    batch: &mut Batch,
    written: &mut Vec<(DocRef, IndexRow)>,
) -> Result<(), SealError> {
    match append_entry(ledger, log, bulk, docs, batch, written) {
        Err(SealError::TooLarge) if docs.len() > 1 => {
            let (first, second) = docs.split_at(docs.len() / 2);
            append_entries(ledger, log, bulk, first, batch, written)?;
            append_entries(ledger, log, bulk, second, batch, written)
        }
        done => done,
    }
}

/// Writes documents into one entry. An error leaves everything as it was.
fn append_entry(
    ledger: &mut Ledger,
    log: LogNo,
    bulk: &Bulk<'_>,
    docs: &[(DocId, Vec<u8>)],
    batch: &mut Batch,
    written: &mut Vec<(DocRef, IndexRow)>,
) -> Result<(), SealError> {
    let here = EntryRef { log, seq: ledger.logs.registry.log(log).next_seq() };
    let Some(partition) = ledger.logs.registry.log(log).owner().map(|owner| owner.partition) else { return Ok(()) };
    let bodies = bodies(docs, bulk.erasable, &ledger.config.steps);
    let count = bodies.len() as u32;
    let root: Seed = ledger.entropy.bytes();
    let seeds = leaf_seeds(&root, count);
    let mut writing = Writing::new(EntryKind::Update, ledger.now.wall_ms, &ledger.own_earlier(log));
    let new_in = Some(writing.collection(bulk.collection));
    let mut sections = Vec::with_capacity(bodies.len() + 2);
    let dictionary = (!bulk.dictionary.is_empty() || docs.len() >= SHARING_MIN).then(|| {
        sections.push(Plain::Dictionary(bulk.dictionary));
        sections.len() as u32
    });
    sections.push(Plain::KeyBox(&root));
    let boxed_in = sections.len() as u32;
    let mut rows = Vec::with_capacity(docs.len());
    for (at, (body, seed)) in (0..).zip(bodies.iter().zip(&seeds)) {
        sections.push(Plain::Body { seed, bytes: &body.bytes, dictionary });
        let section = sections.len() as u32;
        let node = KeyNode::leaf(at, count);
        for (doc, part) in &body.docs {
            let (doc, part) = (*doc, *part);
            let key = KeyRef::Here { section: boxed_in, node };
            writing.header.items.push(Item { doc, new_in, section, part, key, dictionary });
            let row = IndexRow { entry: here, section, part, key: (here, boxed_in), node, dictionary };
            rows.push((DocRef { partition, doc }, row));
        }
    }
    ledger.append(log, &writing.header, &sections, batch)?;
    for (doc, row) in &rows {
        batch.ops.push(row.op(*doc));
        batch.ops.push(list(*doc, &bulk.collection));
    }
    written.append(&mut rows);
    Ok(())
}

/// Content of a section, and its documents, each with its part.
struct Body<'a> {
    bytes: Cow<'a, [u8]>,
    docs: Vec<(DocId, Option<u32>)>,
}

fn bodies<'a>(docs: &'a [(DocId, Vec<u8>)], erasable: Erasable, steps: &Steps) -> Vec<Body<'a>> {
    match erasable {
        Erasable::Alone => {
            docs.iter().map(|(doc, update)| Body { bytes: update.into(), docs: vec![(*doc, None)] }).collect()
        }
        Erasable::Together => in_runs(docs, steps.bulk_docs, steps.section_bytes)
            .map(|run| Body {
                bytes: join_parts(run.iter().map(|(_, update)| &update[..])).into(),
                docs: (0..).map(Some).zip(run).map(|(part, (doc, _))| (*doc, part)).collect(),
            })
            .collect(),
    }
}
