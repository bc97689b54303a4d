//! A consistent view of a store, read beside its writer.

use super::lock::DirLock;
use super::reader::Reader;
use bytes::Bytes;
use cosmicsync_protocol::storage::{Row, Scan, StoreError, Table};
use heed::{RoTxn, WithoutTls};
use std::sync::{Arc, Mutex, PoisonError};

/// The transaction of a snapshot. The engine ends it when it must move the map.
pub(super) type SharedTxn = Mutex<Option<RoTxn<'static, WithoutTls>>>;

/// All commits up to one, unaffected by later writes.
///
/// A snapshot keeps the pages of its time, so the file grows by all pages rewritten meanwhile. Drop it soon.
#[derive(Clone)]
pub struct Snapshot {
    // The order of the fields matters: the transaction ends before the directory is unlocked.
    txn: Arc<SharedTxn>,
    reader: Reader,
    _lock: Arc<DirLock>,
}

/// Errors of taking or reading a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The store discarded the snapshot, because it had to grow too far beside it.
    #[error("the store outgrew the snapshot: try again, if need be while less is written")]
    Outgrown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is closed.
    #[error(transparent)]
    Stopped(#[from] super::StoreStopped),
}

impl Snapshot {
    pub(super) fn new(txn: Arc<SharedTxn>, reader: Reader, lock: Arc<DirLock>) -> Self {
        Self { txn, reader, _lock: lock }
    }

    /// Reads rows of `table` after the key `after`, or from the first. Stops before the row that would exceed
    /// `bytes_max` in keys and values; the first row always comes. Returns no rows at the end of the table.
    ///
    /// The store cannot grow its map while this runs, so read megabytes at a time.
    ///
    /// # Errors
    /// If the store outgrew the snapshot, or a row is damaged.
    pub fn rows(&self, table: Table, after: Option<&[u8]>, bytes_max: usize) -> Result<Vec<Row>, SnapshotError> {
        let txn = self.txn.lock().unwrap_or_else(PoisonError::into_inner);
        let txn = txn.as_ref().ok_or(SnapshotError::Outgrown)?;
        let from = after.map_or_else(Bytes::new, |after| [after, &[0]].concat().into());
        Ok(self.reader.scan(txn, &Scan::of(table, from, Bytes::new(), bytes_max), bytes_max)?.0)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("reader", &self.reader).finish_non_exhaustive()
    }
}
