//! One LMDB environment: transactions, reads, growth of the map. The engine is synchronous and used by the writer
//! thread alone; other threads read beside it, within a gate.
//!
//! The engine never reports a group as done before LMDB's commit has returned, which is after LMDB's sync. Specified in
//! `spec/storage.md`.

use super::lock::DirLock;
use super::reader::Reader;
use super::readers::{Desk, Gate};
use super::seal::Sealer;
use super::snapshot::{SharedTxn, Snapshot, SnapshotError};
use super::writing::Writing;
use super::{SYNC_FAILED_FILE, StoreStats, mark};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{Op, StoreDone, StoreError, StoreRequest, Table};
use heed::types::Bytes as RawBytes;
use heed::{Database, Env, MdbError, WithoutTls};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(super) type Db = Database<'static, RawBytes, RawBytes>;

/// Largest number of pages that one write makes dirty, on its way from the root.
const DIRTY_PAGES_PER_OP: u64 = 3;

/// Growth of the file that a snapshot allows before it is discarded, in bytes.
const SNAPSHOT_ROOM_MIN: u64 = 1 << 30;

/// An open environment with its tables.
#[derive(Debug)]
pub(super) struct Engine {
    env: Env<WithoutTls>,
    reader: Reader,
    entropy: Entropy,
    snapshots: Vec<Weak<SharedTxn>>,
    gate: Arc<Gate>,
    /// Number of reads by other threads.
    durable_reads: Arc<AtomicU64>,
    lock: Arc<DirLock>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        mark::leave(self.env.path());
    }
}

/// Reasons for a group not to commit.
#[derive(Debug)]
pub(super) enum Abort {
    Heed(heed::Error),
    /// The map could not be moved; LMDB has no map now and must not be used again.
    Unmapped,
    Corrupt(StoreError),
}

impl From<heed::Error> for Abort {
    fn from(error: heed::Error) -> Self {
        Self::Heed(error)
    }
}

impl Engine {
    pub(super) fn new(
        env: Env<WithoutTls>,
        tables: Vec<Db>,
        sealer: Sealer,
        entropy: Entropy,
        lock: Arc<DirLock>,
    ) -> Self {
        Self {
            env,
            reader: Reader::new(tables, sealer),
            entropy,
            snapshots: Vec::new(),
            gate: Arc::default(),
            durable_reads: Arc::default(),
            lock,
        }
    }

    /// Returns the shared state of the reader threads.
    pub(super) fn desk(&self, scan_bytes_max: usize) -> Desk {
        Desk {
            env: self.env.clone(),
            reader: self.reader.clone(),
            gate: Arc::clone(&self.gate),
            reads: Arc::clone(&self.durable_reads),
            scan_bytes_max,
            _lock: Arc::clone(&self.lock),
        }
    }

    /// Makes every later read by other threads fail.
    pub(super) fn shut(&self) {
        self.gate.shut();
    }

    /// Returns the number of reads that other threads answered.
    pub(super) fn durable_reads(&self) -> u64 {
        self.durable_reads.load(Ordering::Relaxed)
    }

    /// Answers a read from the durable state.
    pub(super) fn read(&self, request: &StoreRequest, scan_bytes_max: usize) -> StoreDone {
        let done = request.check().and_then(|()| {
            let rtxn = self.env.read_txn().map_err(|error| read_failure("store", &error))?;
            self.reader.answer(&rtxn, request, scan_bytes_max)
        });
        done.unwrap_or_else(|error| StoreDone::Failed { id: request.id(), error })
    }

    /// Commits a group and answers the reads in it, in order, with one sync. The first request is a commit.
    ///
    /// After a failed commit, every later request of the group fails as [`StoreError::Poisoned`]. The requests before
    /// it stand if they could be committed.
    pub(super) fn commit(&mut self, group: &[StoreRequest], scan_bytes_max: usize) -> Vec<StoreDone> {
        let bytes = group.iter().map(dirty_bytes).sum::<u64>();
        let mut outcome = self.make_room(bytes).and_then(|()| self.try_commit(group, scan_bytes_max));
        if matches!(outcome, Err(Abort::Heed(heed::Error::Mdb(MdbError::MapFull)))) {
            let grown = self.grow(self.map_bytes().saturating_mul(2));
            outcome = grown.and_then(|()| self.try_commit(group, scan_bytes_max));
        }
        outcome.unwrap_or_else(|abort| {
            let mut error = Some(self.blame(abort, bytes));
            let fail = |request: &StoreRequest| StoreDone::Failed {
                id: request.id(),
                error: error.take().unwrap_or(StoreError::Poisoned),
            };
            group.iter().map(fail).collect()
        })
    }

    fn try_commit(&mut self, group: &[StoreRequest], scan_bytes_max: usize) -> Result<Vec<StoreDone>, Abort> {
        let Self { env, reader, entropy, .. } = self;
        let mut wtxn = env.write_txn()?;
        let mut failed = false;
        let mut done = Vec::with_capacity(group.len());
        let mut writing = Writing::new(reader, entropy);
        for request in group {
            let id = request.id();
            let checked = if failed { Err(StoreError::Poisoned) } else { request.check() };
            let outcome = match (checked, request) {
                (Err(error), StoreRequest::Commit { .. }) => {
                    failed = true;
                    Err(error)
                }
                (Err(error), _) => Err(error),
                (Ok(()), StoreRequest::Commit { ops, .. }) => {
                    for op in ops {
                        writing.apply(&mut wtxn, op)?;
                    }
                    writing.count(&mut wtxn)?;
                    Ok(StoreDone::Committed { id })
                }
                (Ok(()), read) => {
                    writing.finish(&mut wtxn)?;
                    reader.answer(&wtxn, read, scan_bytes_max)
                }
            };
            done.push(outcome.unwrap_or_else(|error| StoreDone::Failed { id, error }));
        }
        writing.finish(&mut wtxn)?;
        wtxn.commit()?;
        Ok(done)
    }

    /// Takes a view of the durable state, with room in the map so that the store can continue beside it.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        let room = self.file_bytes().saturating_mul(2).max(SNAPSHOT_ROOM_MIN);
        self.make_room(room).map_err(|_| SnapshotError::Store(StoreError::Poisoned))?;
        let rtxn = self.env.clone().static_read_txn();
        let rtxn = rtxn.map_err(|error| SnapshotError::Store(read_failure("store", &error)))?;
        let shared = Arc::new(Mutex::new(Some(rtxn)));
        self.snapshots.retain(|snapshot| snapshot.strong_count() > 0);
        self.snapshots.push(Arc::downgrade(&shared));
        Ok(Snapshot::new(shared, self.reader.apart(), self.lock.clone()))
    }

    /// Sets the statistics of the file.
    pub(super) fn measure(&self, stats: &mut StoreStats) {
        let info = self.env.info();
        let own = self.env.unnamed_database_stat();
        let pages = |stat: &heed::DatabaseStat| (stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64;
        stats.map_bytes = info.map_size as u64;
        stats.page_bytes = u64::from(own.page_size);
        stats.used_pages = 2 + pages(&own);
        if let Ok(rtxn) = self.env.read_txn() {
            let tables = self.reader.tables.iter().filter_map(|table| table.stat(&rtxn).ok());
            stats.used_pages += tables.map(|stat| pages(&stat)).sum::<u64>();
        }
        stats.free_pages = (info.last_page_number as u64 + 1).saturating_sub(stats.used_pages);
    }

    fn map_bytes(&self) -> u64 {
        self.env.info().map_size as u64
    }

    fn file_bytes(&self) -> u64 {
        (self.env.info().last_page_number as u64 + 1) * u64::from(self.env.unnamed_database_stat().page_size)
    }

    /// Grows the map before more than half of it is used.
    fn make_room(&mut self, bytes: u64) -> Result<(), Abort> {
        let needed = self.file_bytes().saturating_add(bytes).saturating_mul(2);
        if needed <= self.map_bytes() {
            return Ok(());
        }
        self.grow(needed)
    }

    #[expect(unsafe_code, reason = "heed's resize")]
    fn grow(&mut self, bytes: u64) -> Result<(), Abort> {
        let too_large = || Abort::Heed(heed::Error::Mdb(MdbError::MapFull));
        let bytes = bytes.checked_next_power_of_two().and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| *bytes <= isize::MAX as usize).ok_or_else(too_large)?;
        let mut gate = self.gate.alone();
        for snapshot in self.snapshots.drain(..).filter_map(|snapshot| snapshot.upgrade()) {
            drop(snapshot.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        // SAFETY: no transaction may be open. Those of snapshots were just ended. New ones are made only through this
        // engine, which its thread alone uses. Those of reader threads are within the gate, which is held alone. All
        // others end within the call that began them.
        let moved = unsafe { self.env.resize(bytes) };
        *gate |= moved.is_err();
        moved.map_err(|_| Abort::Unmapped)
    }

    /// Returns the error for a group that LMDB did not commit, and leaves a mark for the next start if the disk failed.
    fn blame(&self, abort: Abort, bytes: u64) -> StoreError {
        let error = match abort {
            Abort::Corrupt(error) => error,
            Abort::Unmapped => return StoreError::NotDurable("the memory map"),
            Abort::Heed(heed::Error::Mdb(MdbError::MapFull)) => StoreError::Full,
            Abort::Heed(heed::Error::Mdb(MdbError::TxnFull)) => StoreError::Invalid("a commit is too large"),
            Abort::Heed(heed::Error::Mdb(MdbError::Panic)) => StoreError::NotDurable("the store's root page"),
            Abort::Heed(heed::Error::Mdb(_)) => StoreError::Corrupt { table: "store" },
            Abort::Heed(heed::Error::Io(error)) => self.blame_disk(&error, bytes),
            Abort::Heed(_) => StoreError::NotDurable("a transaction"),
        };
        if matches!(error, StoreError::NotDurable(_)) {
            mark_sync_failed(self.env.path(), &error);
        }
        error
    }

    /// Examines an I/O error. LMDB reports a short write, the usual first sign of a full disk, as an I/O error, so this
    /// tries the disk.
    fn blame_disk(&self, error: &io::Error, bytes: u64) -> StoreError {
        if matches!(self.env.read_txn(), Err(heed::Error::Mdb(MdbError::Panic))) {
            return StoreError::NotDurable("the store's root page");
        }
        if is_full(error) || is_full_for(self.env.path(), bytes) {
            return StoreError::Full;
        }
        StoreError::NotDurable("a write or its sync")
    }
}

pub(super) fn write_abort(table: Table, error: heed::Error) -> Abort {
    if matches!(error, heed::Error::Mdb(MdbError::Corrupted | MdbError::PageNotFound)) {
        return Abort::Corrupt(StoreError::Corrupt { table: table.name() });
    }
    Abort::Heed(error)
}

pub(super) fn read_failure(table: &'static str, error: &heed::Error) -> StoreError {
    if matches!(error, heed::Error::Io(_) | heed::Error::Mdb(MdbError::Panic)) {
        return StoreError::NotDurable("a read");
    }
    StoreError::Corrupt { table }
}

#[cfg(test)]
impl Engine {
    /// Returns the engine's parts, for tests of the layers below.
    pub(super) const fn tests_parts(&mut self) -> (&Env<WithoutTls>, &Reader, &mut Entropy) {
        (&self.env, &self.reader, &mut self.entropy)
    }
}

/// Returns the largest size of the pages that a request makes dirty, in bytes.
fn dirty_bytes(request: &StoreRequest) -> u64 {
    let StoreRequest::Commit { ops, .. } = request else { return 0 };
    let of_op = |op: &Op| {
        let value = if let Op::Put { value, .. } | Op::Replace { value, .. } = op { value.len() as u64 } else { 0 };
        DIRTY_PAGES_PER_OP * 4096 + value + value / 8
    };
    ops.iter().map(of_op).sum()
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Returns whether the disk of `dir` has no room for `bytes` more, by writing a file.
pub(crate) fn is_full_for(dir: &Path, bytes: u64) -> bool {
    let path = dir.join("probe");
    let try_writing = || -> io::Result<()> {
        let mut file = File::create(&path)?;
        let chunk = [0; 1 << 16];
        for _ in 0..(bytes.min(64 << 20) >> 16) + 1 {
            file.write_all(&chunk)?;
        }
        Ok(())
    };
    let full = try_writing().is_err_and(|error| is_full(&error));
    // If the probe cannot be removed, the next one overwrites it.
    drop(fs::remove_file(&path));
    full
}

/// Leaves a mark for the next start. It is a hint only, because a disk that fails syncs may lose the mark as well.
fn mark_sync_failed(dir: &Path, error: &StoreError) {
    drop(fs::write(dir.join(SYNC_FAILED_FILE), format!("{error}\n")));
}
