//! Durable commits: this project's, and LMDB's own in the same run on the same disk.

use bytes::Bytes;
use cosmicsync_node::store::{LmdbStore, StoreKey, StoreOptions};
use cosmicsync_protocol::storage::{Op, StoreDone, StoreId, StoreRequest, Table};
use criterion::{Criterion, Throughput};
use heed::types::Bytes as RawBytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions};
use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

const IN_FLIGHT: u64 = 32;
/// Rows of a live edit's commit: an entry, a head, the log's row, an index row.
const ROWS: [(Table, usize); 4] = [(Table::Entry, 350), (Table::Head, 96), (Table::Log, 320), (Table::Index, 6)];

struct Ours {
    store: LmdbStore,
    done: Receiver<StoreDone>,
    next: u64,
}

impl Ours {
    fn open(dir: &Path) -> Self {
        let (sender, done) = channel();
        let store = LmdbStore::open(dir, &StoreKey::new([1; 32]), StoreOptions::default(), move |one| {
            drop(sender.send(one));
        });
        Self { store: store.expect("a new store"), done, next: 0 }
    }

    /// Submits this many commits at once and waits for all of them.
    fn commit(&mut self, count: u64) {
        for _ in 0..count {
            let id = StoreId(self.next);
            let ops = ROWS.map(|(table, len)| Op::Put {
                table,
                key: key(table, self.next),
                value: Bytes::from(vec![7; len]),
            });
            self.store.submit(StoreRequest::Commit { id, ops: ops.into() }).expect("runs");
            self.next += 1;
        }
        for _ in 0..count {
            assert!(matches!(self.done.recv(), Ok(StoreDone::Committed { .. })), "the disk takes it");
        }
    }
}

/// Returns a row's key: the log's row is overwritten, the others follow each other.
fn key(table: Table, at: u64) -> Bytes {
    let at = if table == Table::Log { 0 } else { at };
    Bytes::from([&[0; 4][..], &at.to_be_bytes()].concat())
}

struct Bare {
    env: Env,
    tables: Vec<Database<'static, RawBytes, RawBytes>>,
    next: u64,
}

impl Bare {
    #[expect(unsafe_code, reason = "heed's one entry point")]
    fn open(dir: &Path) -> heed::Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 30).max_dbs(ROWS.len() as u32);
        // SAFETY: the directory was made for this run, and nobody else knows it.
        let env = unsafe { options.open(dir) }?;
        let wtxn = env.write_txn()?;
        let made = env.create_databases_and_commit(wtxn, |opener, wtxn| {
            let tables = ROWS.map(|(table, _)| opener.create_database::<RawBytes, RawBytes>(wtxn, Some(table.name())));
            Ok::<_, heed::Error>(CommitOrAbort::<_, Infallible>::Commit(tables))
        })?;
        let CommitOrAbort::Commit(tables) = made;
        let tables = tables.into_iter().collect::<heed::Result<Vec<_>>>()?;
        Ok(Self { env, tables, next: 0 })
    }

    /// Writes this many edits in one transaction.
    fn commit(&mut self, count: u64) -> heed::Result<()> {
        let mut wtxn = self.env.write_txn()?;
        for _ in 0..count {
            for ((table, len), rows) in ROWS.iter().zip(&self.tables) {
                rows.put(&mut wtxn, &key(*table, self.next), &vec![7; *len])?;
            }
            self.next += 1;
        }
        wtxn.commit()
    }
}

/// Measures acknowledged commits, one at a time and 32 in flight.
pub(crate) fn commits(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    std::fs::create_dir(dir.path().join("bare")).expect("a directory");
    let mut ours = Ours::open(&dir.path().join("ours"));
    let mut bare = Bare::open(&dir.path().join("bare")).expect("a new environment");
    for (name, count) in [("serial", 1), ("32 in flight", IN_FLIGHT)] {
        let mut group = c.benchmark_group(format!("commit, {name}"));
        group.sample_size(20).throughput(Throughput::Elements(count));
        group.bench_function("floor: LMDB, one transaction", |b| b.iter(|| bare.commit(count)));
        group.bench_function("store", |b| b.iter(|| ours.commit(count)));
        group.finish();
    }
}
