//! The store, as the driver takes it: requests in, completions through a channel.

use crate::service::{ErrorCode, ServiceError};
use crate::store::{LmdbStore, OpenError, StoreKey, StoreOptions, StoreStopped, is_full_for};
use cosmicsync_protocol::storage::{StoreDone, StoreError, StoreRequest};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// Room without which a store that was full is not tried again: a few commits take as much.
const ROOM_BYTES: u64 = 1 << 20;

/// An open store. Each request that it takes completes once on the channel it was opened with: in order, but for reads of
/// what is durable.
pub trait Store: 'static {
    /// Queues a request.
    ///
    /// # Errors
    /// If the store is gone; the request will never complete.
    fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped>;
}

/// Where a store is, so that it can be opened again after it failed.
pub trait Disk: 'static {
    /// What it opens.
    type Store: Store;

    /// Opens the store. Completions are as many as requests are under way, so their channel needs no bound of its own.
    ///
    /// # Errors
    /// If there is none, it is damaged, or somebody else has it: what a person is told.
    fn open(&mut self, done: UnboundedSender<StoreDone>) -> Result<Self::Store, ServiceError>;

    /// Lets go of the store, so that it can be closed.
    fn release(&mut self);

    /// Whether there is no room for what a store needs to go on.
    fn is_full(&self) -> bool;
}

/// The open LMDB store of a node, for its snapshots and figures; empty while it is closed.
pub(crate) type Shared = Arc<Mutex<Option<Arc<LmdbStore>>>>;

/// An LMDB store in a directory.
#[derive(Debug)]
pub(crate) struct LmdbDisk {
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// The key that values are sealed under.
    pub(crate) key: StoreKey,
    /// How it behaves.
    pub(crate) options: StoreOptions,
    /// Where the open store can be found.
    pub(crate) shared: Shared,
}

impl Disk for LmdbDisk {
    type Store = Arc<LmdbStore>;

    fn open(&mut self, done: UnboundedSender<StoreDone>) -> Result<Arc<LmdbStore>, ServiceError> {
        // A driver that is gone wants no completions.
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

/// The answer to a person whose store does not open.
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

/// The answer to a person whose store failed while it was open.
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
