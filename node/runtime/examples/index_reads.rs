//! Measures reads of index rows while another thread commits continuously: one row, and 100 consecutive rows.
//!
//! Usage: `index_reads DIR ROWS READS`; DIR must not exist. Prints a line for each kind of read.

use cosmicsync_node::store::{LmdbStore, StoreKey, StoreOptions};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{Op, Read, Scan, StoreDone, StoreId, StoreRequest, Table};
use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Number of rows per commit while loading.
const LOAD_ROWS: u64 = 1000;
/// Number of rows per scan.
const SCAN_ROWS: usize = 100;
/// Id of all commits.
const COMMIT: StoreId = StoreId(u64::MAX);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, rows, reads] = &arguments[..] else { return Err("usage: index_reads DIR ROWS READS".into()) };
    let (rows, reads): (u64, u64) = (rows.parse()?, reads.parse()?);
    if Path::new(dir).exists() {
        return Err("DIR is there already: name another".into());
    }
    let (committed, commits) = channel();
    let (read, answers) = channel();
    let key = StoreKey::new([1; 32]);
    let store = LmdbStore::open(Path::new(dir), &key, StoreOptions::default(), move |one| {
        // The receiver may be gone.
        drop(if one.id() == COMMIT { committed.send(one) } else { read.send(one) });
    })?;
    let began = Instant::now();
    for from in (0..rows).step_by(usize::try_from(LOAD_ROWS)?) {
        commit(&store, &commits, (from..rows.min(from + LOAD_ROWS)).map(put).collect())?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "load: {rows} rows in {:.1} s", began.elapsed().as_secs_f64())?;
    let bench = Arc::new(Bench { store, rows, over: AtomicBool::new(false) });
    let writer = {
        let bench = Arc::clone(&bench);
        std::thread::spawn(move || bench.write(&commits))
    };
    for (name, state, scan, reads) in [
        ("get, durable", Read::Durable, false, reads),
        ("100 rows, durable", Read::Durable, true, reads),
        ("get, ordered", Read::Ordered, false, reads / 50),
        ("100 rows, ordered", Read::Ordered, true, reads / 50),
    ] {
        let mut times = bench.read(&answers, state, scan, reads)?;
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).map_or(0, Duration::as_micros);
        writeln!(out, "{name}: {} reads, p50 {} us, p99 {} us", times.len(), at(50), at(99))?;
    }
    bench.over.store(true, Ordering::Relaxed);
    let written = writer.join().map_err(|_| "the writer panicked")?;
    writeln!(out, "beside {written} commits")?;
    Ok(())
}

struct Bench {
    store: LmdbStore,
    rows: u64,
    over: AtomicBool,
}

impl Bench {
    /// Commits one changed document after another: its value, and its row in the index.
    fn write(&self, done: &Receiver<StoreDone>) -> u64 {
        let mut random = Entropy::new([2; 32]);
        let mut written = 0;
        while !self.over.load(Ordering::Relaxed) {
            let number = u64::from_le_bytes(random.bytes()) % self.rows;
            let key = number.to_be_bytes().to_vec().into();
            let ops = vec![
                Op::Put { table: Table::Value, key, value: vec![0; 200].into() },
                Op::Delete { table: Table::Term, key: term(number).into() },
                put(number + self.rows),
            ];
            if commit(&self.store, done, ops).is_err() {
                return written;
            }
            written += 1;
        }
        written
    }

    /// Reads random rows, one after another, and returns the time of each read.
    fn read(
        &self,
        done: &Receiver<StoreDone>,
        read: Read,
        scans: bool,
        reads: u64,
    ) -> Result<Vec<Duration>, Box<dyn Error>> {
        let mut random = Entropy::new([3; 32]);
        let mut times = Vec::new();
        for id in (0..reads).map(StoreId) {
            let key = term(u64::from_le_bytes(random.bytes()) % self.rows);
            let request = if scans {
                let scan = Scan::of(Table::Term, key.into(), Vec::new().into(), usize::MAX).limit(SCAN_ROWS);
                StoreRequest::Scan { id, scan, read }
            } else {
                StoreRequest::Get { id, keys: vec![(Table::Term, key.into())], read }
            };
            let began = Instant::now();
            self.store.submit(request)?;
            let answer = done.recv()?;
            times.push(began.elapsed());
            if let StoreDone::Failed { error, .. } = answer {
                return Err(error.into());
            }
        }
        Ok(times)
    }
}

fn commit(store: &LmdbStore, done: &Receiver<StoreDone>, ops: Vec<Op>) -> Result<(), Box<dyn Error>> {
    store.submit(StoreRequest::Commit { id: COMMIT, ops })?;
    match done.recv()? {
        StoreDone::Failed { error, .. } => Err(error.into()),
        StoreDone::Committed { .. } | StoreDone::Got { .. } | StoreDone::Scanned { .. } => Ok(()),
    }
}

/// Returns a key of 45 bytes: the number of the index, a pseudo-random value, and a document's id.
fn term(number: u64) -> Vec<u8> {
    let hash = blake3::hash(&number.to_le_bytes());
    let (indexed, document) = hash.as_bytes().split_at(16);
    [&1u32.to_be_bytes()[..], indexed, b"of a city", document].concat()
}

fn put(number: u64) -> Op {
    Op::Put { table: Table::Term, key: term(number).into(), value: Vec::new().into() }
}
