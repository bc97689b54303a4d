//! A consistent view of a store, read beside its writer.

use super::lock::DirLock;
use super::reader::Reader;
use bytes::Bytes;
use cosmicsync_protocol::storage::{Row, Scan, StoreError, Table};
use heed::{RoTxn, WithoutTls};
use std::sync::{Arc, Mutex, PoisonError};

/// The transaction of a snapshot. The engine takes it away when it must move the map.
pub(super) type SharedTxn = Mutex<Option<RoTxn<'static, WithoutTls>>>;

/// All commits up to one, as they stood then, however much is written since.
///
/// It holds on to the pages of its time: the file grows by what is rewritten meanwhile, so drop it soon.
#[derive(Clone)]
pub struct Snapshot {
    // In this order: the transaction ends before the directory is free.
    txn: Arc<SharedTxn>,
    reader: Reader,
    _lock: Arc<DirLock>,
}

/// Why a snapshot could not be taken or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// So much was written meanwhile that the store had to give the snapshot up in order to grow.
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

    /// Reads rows of `table` after the key `after`, or from the first. Stops before the row that would take keys and
    /// values past `bytes_max`; the first row always comes. Returns no rows at the end of the table.
    ///
    /// The store waits with growing its map while this runs, so ask for megabytes, not for all.
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
