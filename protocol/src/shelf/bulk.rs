//! Imports: many new documents in few entries of a log of their own, none of them opened.
//!
//! Each document is a section of its own under a data key of its own, so that it can be erased alone, and compressed
//! against a dictionary of what many documents share.

use crate::document::{ChangeError, TextPaths, encode_new};
use crate::endpoint::NewDoc;
use crate::identity::peer_id;
use crate::ids::CollectionId;
use crate::ledger::rows::{DocRef, IndexRow, listing_key, put};
use crate::ledger::{Batch, EntryRef, Ledger, PartNo, SpaceError, Writing};
use crate::log::header::Header;
use crate::log::{EntryKind, Item, KeyRef, Lane, Plain, SealError};
use crate::storage::Table;
use crate::sync::LogNo;

/// Plain bytes of one entry. Compressed they come to about 240 KB at most.
const ENTRY_PLAIN_BYTES: usize = 384 * 1024;
/// Documents of one entry.
const ENTRY_DOCS_MAX: usize = 4096;

/// Why documents were not imported. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// The log is not an open import of this store.
    #[error("the import is not open: start it again")]
    NotOpen,
    /// A document cannot be written.
    #[error("document {index} cannot be imported: {error}")]
    Doc {
        /// Which of the given documents.
        index: usize,
        /// Why.
        error: ChangeError,
    },
    /// The entry could not be built.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// What is to be appended.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    pub(crate) log: LogNo,
    pub(crate) collection: CollectionId,
    pub(crate) docs: &'a [NewDoc],
    pub(crate) texts: &'a TextPaths,
    pub(crate) dictionary: &'a [u8],
}

pub(crate) fn open(ledger: &mut Ledger, partition: PartNo, batch: &mut Batch) -> Result<LogNo, SpaceError> {
    let space = ledger.partition(partition).space;
    if ledger.space(space).current_epoch().is_none() {
        return Err(SpaceError::NoKeys);
    }
    Ok(ledger.open_log(partition, Lane::Bulk, batch))
}

pub(crate) fn close(ledger: &mut Ledger, log: LogNo, batch: &mut Batch) {
    if !ledger.can_append(log) {
        return;
    }
    let header = Header::new(EntryKind::LogClose, ledger.now.wall_ms);
    let closed = ledger.append(log, &header, &[], batch);
    debug_assert!(closed.is_ok(), "an empty entry is small");
    ledger.end_log(log);
}

/// Encodes all documents, then writes them: an error writes nothing. Returns where they were written.
pub(crate) fn append(
    ledger: &mut Ledger,
    import: &Import<'_>,
    batch: &mut Batch,
) -> Result<Vec<(DocRef, IndexRow)>, BulkError> {
    if !ledger.can_append(import.log) {
        return Err(BulkError::NotOpen);
    }
    let peer = peer_id(&ledger.book.log(import.log).id);
    let mut updates = Vec::with_capacity(import.docs.len());
    for (index, doc) in import.docs.iter().enumerate() {
        let update =
            encode_new(peer, &doc.meta, &doc.value, import.texts).map_err(|error| BulkError::Doc { index, error })?;
        updates.push((doc, update.bytes));
    }
    let mut written = Vec::with_capacity(updates.len());
    let mut rest = &updates[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(ENTRY_DOCS_MAX).take_while(|(_, update)| {
            bytes += update.len();
            bytes <= ENTRY_PLAIN_BYTES
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        append_entries(ledger, import, now, batch, &mut written)?;
        rest = later;
    }
    Ok(written)
}

/// Writes documents into one entry, or into more where they hardly compress and are so many that their keys and seals
/// count.
fn append_entries(
    ledger: &mut Ledger,
    import: &Import<'_>,
    docs: &[(&NewDoc, Vec<u8>)],
    batch: &mut Batch,
    written: &mut Vec<(DocRef, IndexRow)>,
) -> Result<(), SealError> {
    match append_entry(ledger, import, docs, batch, written) {
        Err(SealError::TooLarge) if docs.len() > 1 => {
            let (first, second) = docs.split_at(docs.len() / 2);
            append_entries(ledger, import, first, batch, written)?;
            append_entries(ledger, import, second, batch, written)
        }
        done => done,
    }
}

/// An error leaves everything as it was.
fn append_entry(
    ledger: &mut Ledger,
    import: &Import<'_>,
    docs: &[(&NewDoc, Vec<u8>)],
    batch: &mut Batch,
    written: &mut Vec<(DocRef, IndexRow)>,
) -> Result<(), SealError> {
    let log = import.log;
    let here = EntryRef { log, seq: ledger.book.log(log).next_seq() };
    let Some(partition) = ledger.book.log(log).owner().map(|owner| owner.partition) else { return Ok(()) };
    let seeds: Vec<[u8; 16]> = docs.iter().map(|_| ledger.entropy.bytes()).collect();
    let mut writing = Writing::new(EntryKind::Update, ledger.now.wall_ms);
    let new_in = Some(writing.collection(import.collection));
    let shared = !import.dictionary.is_empty() && docs.len() > 1;
    let mut sections = Vec::with_capacity(docs.len() * 2 + 1);
    let mut rows = Vec::with_capacity(docs.len());
    if shared {
        sections.push(Plain::Records(import.dictionary));
    }
    let dictionary = shared.then_some(1);
    for ((doc, update), seed) in docs.iter().zip(&seeds) {
        sections.push(Plain::KeyBox(seed));
        let boxed_in = sections.len() as u32;
        sections.push(Plain::Body { seed, bytes: update, dictionary });
        let section = sections.len() as u32;
        let key = KeyRef::Here { section: boxed_in };
        writing.header.items.push(Item { doc: doc.doc, new_in, section, key, dictionary });
        let row = IndexRow { entry: here, section, key: (here, boxed_in), dictionary };
        rows.push((DocRef { partition, doc: doc.doc }, row));
    }
    ledger.append(log, &writing.header, &sections, batch)?;
    for (doc, row) in &rows {
        batch.ops.push(row.op(*doc));
        batch.ops.push(put(Table::Doc, listing_key(*doc, &import.collection), Vec::new()));
    }
    written.append(&mut rows);
    Ok(())
}
