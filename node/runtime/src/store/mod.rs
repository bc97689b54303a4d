//! The store on disk: LMDB behind one writer thread.
//!
//! [`LmdbStore`] keeps the promises of [`cosmicsync_protocol::storage`]. One thread owns the environment, takes
//! requests in order and commits all that wait in one transaction with one sync (group commit). Values that carry
//! plaintext are sealed under the [`StoreKey`]; all others carry a checksum, because LMDB's pages have none.
//! It never turns LMDB's syncs off, never reports a commit before it is durable, and after a failed commit never
//! does anything until it is reopened (`spec/storage.md`).

mod check;
mod engine;
mod lock;
mod mark;
mod open;
mod reader;
mod seal;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

pub use open::{OpenError, StoreOptions};
pub use seal::StoreKey;
pub use snapshot::{Snapshot, SnapshotError};

pub(crate) use engine::is_full_for;
pub(crate) use lock::sync_dir;
pub(crate) use open::make_dir;

use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use writer::Message;

/// The data file of a store, in its directory.
pub const DATA_FILE: &str = "data.mdb";

/// A file that is there once a disk has failed to confirm a write: what a restart must not trust silently.
pub const SYNC_FAILED_FILE: &str = "sync-failed";

/// A store in a directory. Dropping it carries out what was submitted, then closes it.
#[derive(Debug)]
pub struct LmdbStore {
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// The writer thread is gone, which only a bug or a panicking callback brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store's writer thread stopped: start the node again")]
pub struct StoreStopped;

/// Figures of a store since it was opened, and of its file now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Commits that became durable.
    pub commits: u64,
    /// Transactions that carried them: one sync each.
    pub groups: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes of keys and values that were committed.
    pub bytes: u64,
    /// Size of the memory map: the file can't outgrow it, the store grows it in time.
    pub map_bytes: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages that hold data.
    pub used_pages: u64,
    /// Pages of the file that are free to be used again, and LMDB's list of them.
    pub free_pages: u64,
}

impl LmdbStore {
    /// Opens the store in `dir`, or creates one, and starts its writer thread.
    ///
    /// `on_done` is called on that thread, once for each request and in their order. It must not block: while it
    /// runs nothing is written. Nothing in `dir` is touched before its format is known.
    ///
    /// # Errors
    /// [`OpenError`] tells whose turn it is: another process holds the directory, the store is newer than this
    /// program, the key is another one's, or the disk refused.
    pub fn open(
        dir: &Path,
        key: &StoreKey,
        options: StoreOptions,
        on_done: impl FnMut(StoreDone) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let engine = open::open(dir, key, &options)?;
        let (sender, receiver) = sync_channel(options.queue_max);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer::run(engine, &receiver, &options, on_done))
            .map_err(|error| OpenError::Disk { path: dir.into(), error })?;
        Ok(Self { queue: Some(sender), thread: Some(thread) })
    }

    /// Queues a request. Waits while [`StoreOptions::queue_max`] others are queued.
    ///
    /// # Errors
    /// If the writer thread is gone; the request will never complete.
    pub fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped> {
        self.send(Message::Request(request))
    }

    /// Takes a consistent view of all commits submitted so far, for a backup.
    ///
    /// # Errors
    /// If the store failed earlier.
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        self.ask(Message::Snapshot)?
    }

    /// Tells the store's figures, once what is queued now is done.
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
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened; there is nobody left to tell here.
            drop(thread.join());
        }
    }
}
