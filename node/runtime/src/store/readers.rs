//! The reader threads, which answer reads of the durable state beside the writer and its syncs.
//!
//! LMDB shows a transaction to readers only after its sync, so they see only durable rows. A commit is reported after
//! that, so a read that follows the report sees it.

use super::StoreStopped;
use super::engine::read_failure;
use super::lock::DirLock;
use super::reader::Reader;
use cosmicsync_protocol::storage::{StoreDone, StoreError, StoreRequest};
use heed::{Env, WithoutTls};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

/// Number of reader threads.
const READERS: usize = 2;
/// Largest number of rows that the submitting thread reads itself, because that takes less time than passing the
/// request on. If the rows are not in memory, this reads a few pages from the disk.
const AT_ONCE_MAX: usize = 4;

/// The callback for each completion, on the thread that made it.
pub(super) type OnDone = Arc<dyn Fn(StoreDone) + Send + Sync>;

/// Guards the map. Each reader holds it for one request. The writer takes it alone to move the map, and shuts it for
/// good if the store fails.
#[derive(Debug, Default)]
pub(super) struct Gate {
    shut: RwLock<bool>,
}

impl Gate {
    /// Keeps the map in place; returns `None` if the store has failed.
    fn enter(&self) -> Option<RwLockReadGuard<'_, bool>> {
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner);
        (!*shut).then_some(shut)
    }

    /// Waits until there are no readers, and keeps them out. Writing `true` shuts the gate.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, bool> {
        self.shut.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every later read fail.
    pub(super) fn shut(&self) {
        *self.alone() = true;
    }
}

/// The shared state of the reader threads.
pub(super) struct Desk {
    pub(super) env: Env<WithoutTls>,
    pub(super) reader: Reader,
    pub(super) gate: Arc<Gate>,
    /// Number of reads so far.
    pub(super) reads: Arc<AtomicU64>,
    pub(super) scan_bytes_max: usize,
    pub(super) _lock: Arc<DirLock>,
}

impl Desk {
    fn answer(&self, request: &StoreRequest) -> StoreDone {
        let Some(open) = self.gate.enter() else {
            return StoreDone::Failed { id: request.id(), error: StoreError::Poisoned };
        };
        let done = request.check().and_then(|()| {
            let rtxn = self.env.read_txn().map_err(|error| read_failure("store", &error))?;
            self.reader.answer(&rtxn, request, self.scan_bytes_max)
        });
        drop(open);
        self.reads.fetch_add(1, Ordering::Relaxed);
        done.unwrap_or_else(|error| StoreDone::Failed { id: request.id(), error })
    }
}

/// The reader threads, and their queue. Dropping it answers the submitted requests.
pub(super) struct Readers {
    desk: Arc<Desk>,
    on_done: OnDone,
    queue: Option<SyncSender<StoreRequest>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Readers {
    pub(super) fn start(desk: Desk, queue_max: usize, on_done: &OnDone) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(queue_max);
        let (desk, receiver) = (Arc::new(desk), Arc::new(Mutex::new(receiver)));
        let mut readers =
            Self { desk: Arc::clone(&desk), on_done: Arc::clone(on_done), queue: Some(sender), threads: Vec::new() };
        for _ in 0..READERS {
            let (desk, receiver, on_done) = (Arc::clone(&desk), Arc::clone(&receiver), Arc::clone(on_done));
            let work = move || {
                while let Some(request) = next(&receiver) {
                    on_done(desk.answer(&request));
                }
            };
            readers.threads.push(std::thread::Builder::new().name("store reader".into()).spawn(work)?);
        }
        Ok(readers)
    }

    pub(super) fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped> {
        if is_small(&request) {
            (self.on_done)(self.desk.answer(&request));
            return Ok(());
        }
        self.queue.as_ref().and_then(|queue| queue.send(request).ok()).ok_or(StoreStopped)
    }
}

fn is_small(request: &StoreRequest) -> bool {
    match request {
        StoreRequest::Get { keys, .. } => keys.len() <= AT_ONCE_MAX,
        StoreRequest::Scan { scan, .. } => scan.rows_max <= AT_ONCE_MAX,
        StoreRequest::Commit { .. } => false,
    }
}

/// Waits for a request. One thread waits at a time; the others wait for their turn.
fn next(receiver: &Mutex<Receiver<StoreRequest>>) -> Option<StoreRequest> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Drop for Readers {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}
