//! The driver's store: requests go in, completions come through a channel.

use crate::service::{ErrorCode, ServiceError};
use crate::store::{LmdbStore, OpenError, StoreKey, StoreOptions, StoreStopped, is_full_for};
use cosmicsync_protocol::storage::{StoreDone, StoreError, StoreRequest};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// Least free space before a full store is opened again, in bytes; a few commits take as much.
const ROOM_BYTES: u64 = 1 << 20;

/// An open store. Each request completes once, on the channel that the store was opened with. Requests complete in
/// order, except for reads of durable state.
pub trait Store: 'static {
    /// Queues a request.
    ///
    /// # Errors
    /// If the store is gone; the request will never complete.
    fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped>;
}

/// The location of a store, from which it can be opened again after a failure.
pub trait Disk: 'static {
    /// The type of the open store.
    type Store: Store;

    /// Opens the store. There are at most as many completions as requests, so their channel needs no bound of its own.
    ///
    /// # Errors
    /// If there is no store, it is damaged, or another process has it open. The error is shown to the operator.
    fn open(&mut self, done: UnboundedSender<StoreDone>) -> Result<Self::Store, ServiceError>;

    /// Releases the store, so that it can be closed.
    fn release(&mut self);

    /// Returns whether the disk lacks the space that a store needs to continue.
    fn is_full(&self) -> bool;
}

/// The open LMDB store of a node, for snapshots and statistics; empty while the store is closed.
pub(crate) type Shared = Arc<Mutex<Option<Arc<LmdbStore>>>>;

/// An LMDB store in a directory.
#[derive(Debug)]
pub(crate) struct LmdbDisk {
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// The key that seals the values.
    pub(crate) key: StoreKey,
    /// Options of the store.
    pub(crate) options: StoreOptions,
    /// The place for the open store.
    pub(crate) shared: Shared,
}

impl Disk for LmdbDisk {
    type Store = Arc<LmdbStore>;

    fn open(&mut self, done: UnboundedSender<StoreDone>) -> Result<Arc<LmdbStore>, ServiceError> {
        // If the driver is gone, completions are dropped.
        let opened = LmdbStore::open(&self.dir, &self.key, self.options, move |completion| drop(done.send(completion)));
        let store = Arc::new(opened.map_err(|error| open_error(&error))?);
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&store));
        Ok(store)
    }

    fn release(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn is_full(&self) -> bool {
        is_full_for(&self.dir, ROOM_BYTES)
    }
}

impl Store for Arc<LmdbStore> {
    fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped> {
        LmdbStore::submit(self, request)
    }
}

/// Returns the error for a store that does not open.
pub(crate) fn open_error(error: &OpenError) -> ServiceError {
    let message = error.to_string();
    match error {
        OpenError::Locked { .. } => ServiceError::new(ErrorCode::StoreLocked, message).next("cosmicsync status"),
        OpenError::Newer { .. } => ServiceError::new(ErrorCode::StoreNewer, message),
        OpenError::NotAStore { .. } | OpenError::Damaged { .. } | OpenError::WrongKey { .. } => {
            ServiceError::new(ErrorCode::StoreDamaged, message).next("cosmicsync --dir NEW_DIR backup restore FILE")
        }
        OpenError::Disk { error, .. } => {
            let code = ServiceError::io("", error).code;
            ServiceError::new(if code == ErrorCode::NotFound { ErrorCode::Io } else { code }, message)
        }
        OpenError::NoEntropy => ServiceError::new(ErrorCode::Io, message),
    }
}

/// Returns the error for a store that failed while it was open.
pub(crate) fn store_error(error: &StoreError) -> ServiceError {
    let message = error.to_string();
    match error {
        StoreError::Full => ServiceError::new(ErrorCode::StoreFull, message).next("df -h"),
        StoreError::NotDurable(_) => ServiceError::new(ErrorCode::Io, message).next("cosmicsync up"),
        StoreError::Corrupt { .. } => {
            ServiceError::new(ErrorCode::StoreDamaged, message).next("cosmicsync --dir NEW_DIR backup restore FILE")
        }
        StoreError::Invalid(_) => ServiceError::new(ErrorCode::Internal, message),
        StoreError::Poisoned => ServiceError::new(ErrorCode::Unavailable, message).next("cosmicsync up"),
    }
}
