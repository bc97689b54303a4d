//! Current values of documents, kept so that showing a document costs no replay.
//!
//! They are a cache: a value of an incomplete document is never kept (`spec/storage.md`, section 2).

use super::Doc;
use crate::codec::{CodecError, Reader, Write};
use crate::crdt::{Broken, Meta, Replica, Value, VersionId};
use crate::ids::DocRef;
use crate::ledger::Ledger;
use crate::storage::rows::{delete, doc_key, doubt_key, put};
use crate::storage::{Op, Table};
use bytes::Bytes;

/// The current state of a document: its name and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Collection, key, and deletion mark.
    pub meta: Meta,
    /// Value of the document.
    pub value: Value,
    /// The name of this version.
    pub version: VersionId,
}

/// Returns whether a document in memory includes all that is stored of it, or is about to be.
fn is_whole(ledger: &Ledger, doc: DocRef, state: &Doc) -> bool {
    let is_whole = state.ready && state.exists() && state.waiting.is_empty() && state.hold.is_none();
    is_whole && !ledger.logs.is_indexing(doc)
}

/// Stages the materialised value of a document that leaves memory, if it is whole.
pub(super) fn keep(ledger: &mut Ledger, doc: DocRef, state: &mut Doc) {
    if state.cached || !is_whole(ledger, doc, state) {
        return;
    }
    let Ok(snapshot) = snapshot_of(&mut state.replica) else { return };
    stage(ledger, doc, &snapshot);
    state.cached = true;
}

/// Returns the materialised value of a document that the entry being written creates, to be stored with the entry: its
/// cost is that of the entry. Later values are stored when the document leaves memory.
pub(super) fn created(ledger: &Ledger, doc: DocRef, state: &mut Doc) -> Option<Bytes> {
    if !state.imported.is_empty() || state.reading > 0 || !is_whole(ledger, doc, state) {
        return None;
    }
    let snapshot = snapshot_of(&mut state.replica).ok().filter(|snapshot| !snapshot.meta.deleted)?;
    state.cached = true;
    Some(encode_snapshot(&snapshot))
}

/// Returns the current state of a document in memory.
pub(super) fn snapshot_of(replica: &mut Replica) -> Result<Snapshot, Broken> {
    Ok(Snapshot { meta: replica.meta()?, value: replica.value()?, version: replica.version_id()? })
}

/// Stages the value of a complete document.
pub(super) fn stage(ledger: &mut Ledger, doc: DocRef, snapshot: &Snapshot) {
    let deleted = snapshot.meta.deleted.then(|| snapshot.meta.collection.as_deref().unwrap_or_default());
    ledger.cache_value(doc, encode_snapshot(snapshot), deleted);
}

/// Returns the writes that store the value of a document with the entry that creates it.
pub(super) fn store_with(doc: DocRef, row: Bytes) -> [Op; 2] {
    [put(Table::Value, doc_key(doc), row), delete(Table::Tally, doubt_key(doc))]
}

/// Encodes a row of [`Table::Value`].
pub(crate) fn encode_snapshot(snapshot: &Snapshot) -> Bytes {
    let mut out = vec![1, u8::from(snapshot.meta.deleted)];
    out.raw(&snapshot.version.0);
    for text in [&snapshot.meta.collection, &snapshot.meta.key] {
        match text {
            Some(text) => {
                out.byte(1);
                out.prefixed(text.as_bytes());
            }
            None => out.byte(0),
        }
    }
    out.raw(&snapshot.value.encode());
    Bytes::from(out)
}

/// Reads a row of [`Table::Value`].
///
/// # Errors
/// Fails if this version does not write such a row.
pub fn decode_snapshot(row: &[u8]) -> Result<Snapshot, CodecError> {
    let mut reader = Reader::new(row);
    if reader.u8()? != 1 {
        return Err(CodecError::OutOfRange("value row version"));
    }
    let deleted = reader.u8()? != 0;
    let version = VersionId(reader.array()?);
    let mut text = || -> Result<Option<String>, CodecError> {
        Ok(match reader.u8()? {
            0 => None,
            _ => Some(reader.text(64 * 1024, "name")?.to_owned()),
        })
    };
    let (collection, key) = (text()?, text()?);
    let value = Value::decode(reader.take_rest()).map_err(|_| CodecError::OutOfRange("value"))?;
    Ok(Snapshot { meta: Meta { collection, key, deleted }, value, version })
}
