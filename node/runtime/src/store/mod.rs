//! The store on disk: LMDB behind one writer thread, with reader threads beside it.
//!
//! [`LmdbStore`] keeps the promises of [`cosmicsync_protocol::storage`]. The writer thread takes requests in order and
//! commits all waiting ones in one transaction with one sync (group commit). Meanwhile other threads answer reads of
//! the durable state. Values with plaintext are sealed under the [`StoreKey`]; all others have a checksum, because
//! LMDB's pages have none.
//!
//! The store never turns LMDB's syncs off, and never reports a commit before it is durable. After a failed commit it
//! does nothing until it is opened again. Specified in `spec/storage.md`.

mod check;
mod engine;
mod lock;
mod mark;
mod open;
mod reader;
mod readers;
mod runs;
mod seal;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;
mod writing;

pub use open::{OpenError, StoreOptions};
pub use seal::StoreKey;
pub use snapshot::{Snapshot, SnapshotError};

pub(crate) use engine::is_full_for;
pub(crate) use lock::sync_dir;
pub(crate) use open::make_dir;

use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use readers::{OnDone, Readers};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use writer::Message;

/// Name of a store's data file in its directory.
pub const DATA_FILE: &str = "data.mdb";

/// Name of a file that exists once a disk has failed to confirm a write, so that a restart does not trust the disk
/// silently.
pub const SYNC_FAILED_FILE: &str = "sync-failed";

/// A store in a directory. Dropping it carries out the submitted requests, then closes it.
#[derive(Debug)]
pub struct LmdbStore {
    // Dropped before the writer ends.
    readers: Option<Readers>,
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// A thread of the store is gone, which only a bug or a panicking callback can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a thread of the store stopped: start the node again")]
pub struct StoreStopped;

/// Statistics of a store since it was opened, and of its file now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Number of durable commits.
    pub commits: u64,
    /// Number of transactions that carried them, with one sync each.
    pub groups: u64,
    /// Number of reads.
    pub reads: u64,
    /// Size of the committed keys and values, in bytes.
    pub bytes: u64,
    /// Size of the memory map, in bytes. The file cannot exceed it; the store grows it in time.
    pub map_bytes: u64,
    /// Size of a page, in bytes.
    pub page_bytes: u64,
    /// Number of pages with data.
    pub used_pages: u64,
    /// Number of free pages in the file, including LMDB's list of them.
    pub free_pages: u64,
}

impl LmdbStore {
    /// Opens the store in `dir`, or creates one, and starts its threads.
    ///
    /// `on_done` is called once for each request: on the writer thread and in the order of the requests, except for
    /// [`Read::Durable`](cosmicsync_protocol::storage::Read::Durable), which other threads report at any time.
    /// `on_done` must not block, because nothing is written while it runs. Nothing in `dir` is changed before its
    /// format is known.
    ///
    /// # Errors
    /// [`OpenError`]: another process has the directory open, the store is newer than this program, the key does not
    /// fit, or the disk refused.
    pub fn open(
        dir: &Path,
        key: &StoreKey,
        options: StoreOptions,
        on_done: impl Fn(StoreDone) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let engine = open::open(dir, key, &options)?;
        let on_done: OnDone = Arc::new(on_done);
        let (sender, receiver) = sync_channel(options.queue_max);
        let readers = Readers::start(engine.desk(options.scan_bytes_max), options.queue_max, &on_done)
            .map_err(|error| OpenError::Disk { path: dir.into(), error })?;
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer::run(engine, &receiver, &options, &on_done))
            .map_err(|error| OpenError::Disk { path: dir.into(), error })?;
        Ok(Self { readers: Some(readers), queue: Some(sender), thread: Some(thread) })
    }

    /// Queues a request. Waits while [`StoreOptions::queue_max`] other requests of its kind are queued.
    ///
    /// # Errors
    /// If the threads are gone; the request will never complete.
    pub fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped> {
        if request.is_durable_read() {
            return self.readers.as_ref().ok_or(StoreStopped)?.submit(request);
        }
        self.send(Message::Request(request))
    }

    /// Takes a consistent view of all commits submitted so far, for a backup.
    ///
    /// # Errors
    /// If the store failed earlier.
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        self.ask(Message::Snapshot)?
    }

    /// Returns the store's statistics, once the requests queued now are done.
    ///
    /// # Errors
    /// If the writer thread is gone.
    pub fn stats(&self) -> Result<StoreStats, StoreStopped> {
        self.ask(Message::Stats)
    }

    fn ask<T>(&self, message: impl FnOnce(SyncSender<T>) -> Message) -> Result<T, StoreStopped> {
        let (sender, receiver): (_, Receiver<T>) = sync_channel(1);
        self.send(message(sender))?;
        receiver.recv().map_err(|_| StoreStopped)
    }

    fn send(&self, message: Message) -> Result<(), StoreStopped> {
        self.queue.as_ref().and_then(|queue| queue.send(message).ok()).ok_or(StoreStopped)
    }
}

impl Drop for LmdbStore {
    fn drop(&mut self) {
        drop(self.readers.take());
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}
