//! Commits whose content depends on their number only, so that any store can be checked against any point of the run.
//!
//! Commit `n` appends a row with a hash of all rows before it, rewrites one of a few slots, adds a marker and an index
//! row and removes old ones, and writes its number. This causes appends, overwrites, deletes and reused pages.

use bytes::Bytes;
use cosmicsync_node::store::{LmdbStore, StoreKey, StoreOptions};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{Op, StoreDone, StoreError, StoreId, StoreRequest, Table};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;

pub(crate) const KEY: StoreKey = StoreKey::new([42; 32]);
pub(crate) const LAST: &[u8] = b"last";
pub(crate) const SLOTS: u64 = 61;
pub(crate) const MARKERS: u64 = 20;
/// Number of index rows; more than one sealed run holds.
pub(crate) const TERMS: u64 = 300;

/// Largest number of commits in progress.
const FLIGHT_MAX: u64 = 32;

/// Returns options with a small map, so that it must grow during the run.
pub(crate) fn options() -> StoreOptions {
    StoreOptions { map_bytes: 1 << 20, ..StoreOptions::default() }
}

/// An event of a commit in the recording: a tag, a code and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Submitted(u64),
    Acked(u64),
    Full(u64),
    NotDurable(u64),
    Poisoned(u64),
    OtherFailure(u64),
}

impl Mark {
    pub(crate) const BYTES: usize = 9;

    const fn parts(self) -> (u8, u64) {
        match self {
            Self::Submitted(n) => (0, n),
            Self::Acked(n) => (1, n),
            Self::Full(n) => (2, n),
            Self::NotDurable(n) => (3, n),
            Self::Poisoned(n) => (4, n),
            Self::OtherFailure(n) => (5, n),
        }
    }

    fn encode(self) -> [u8; Self::BYTES] {
        let (tag, n) = self.parts();
        let mut bytes = [tag; Self::BYTES];
        bytes[1..].copy_from_slice(&n.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, n) = bytes.split_first()?;
        let n = u64::from_le_bytes(n.try_into().ok()?);
        let all = [Self::Submitted, Self::Acked, Self::Full, Self::NotDurable, Self::Poisoned, Self::OtherFailure];
        all.get(usize::from(*tag)).map(|mark| mark(n))
    }

    fn of(done: &StoreDone) -> Self {
        match done {
            StoreDone::Committed { id } => Self::Acked(id.0),
            StoreDone::Failed { id, error: StoreError::Full } => Self::Full(id.0),
            StoreDone::Failed { id, error: StoreError::NotDurable(_) } => Self::NotDurable(id.0),
            StoreDone::Failed { id, error: StoreError::Poisoned } => Self::Poisoned(id.0),
            StoreDone::Failed { id, .. } | StoreDone::Got { id, .. } | StoreDone::Scanned { id, .. } => {
                Self::OtherFailure(id.0)
            }
        }
    }
}

/// Hashes of all commits: the `n`th covers all commits up to `n`; the 0th covers nothing.
pub(crate) struct Chain {
    seed: u64,
    hashes: Vec<[u8; 32]>,
}

impl Chain {
    pub(crate) fn new(seed: u64, commits: u64) -> Self {
        let mut hashes = vec![[0; 32]];
        for n in 1..=commits {
            let mut hasher = blake3::Hasher::new();
            hasher.update(hashes.last().unwrap_or(&[0; 32]));
            hasher.update(&[n.to_be_bytes(), seed.to_be_bytes()].concat());
            hashes.push(*hasher.finalize().as_bytes());
        }
        Self { seed, hashes }
    }

    pub(crate) fn hash(&self, n: u64) -> Option<&[u8; 32]> {
        self.hashes.get(usize::try_from(n).ok()?)
    }

    /// Returns the row of commit `n`: its hash and a filler, sometimes longer than a page.
    pub(crate) fn row(&self, n: u64) -> Option<Bytes> {
        let hash = self.hash(n)?;
        let filler_len = match hash[0] % 16 {
            0 => 3_000 + 40 * usize::from(hash[1]),
            1..=4 => 4 * usize::from(hash[1]),
            _ => usize::from(hash[1]) / 2,
        };
        let mut row = hash.to_vec();
        row.resize(32 + filler_len, 0);
        let mut hasher = blake3::Hasher::new_keyed(hash);
        hasher.update(&self.seed.to_be_bytes());
        hasher.finalize_xof().fill(&mut row[32..]);
        Some(row.into())
    }

    /// Returns the index row that commit `n` adds, in pseudo-random order.
    pub(crate) fn term(&self, n: u64) -> Option<(Bytes, Bytes)> {
        let key = [&1u32.to_be_bytes()[..], self.hash(n)?].concat();
        Some((key.into(), Bytes::copy_from_slice(&n.to_be_bytes())))
    }

    fn ops(&self, n: u64) -> Vec<Op> {
        let value = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let hash = self.hash(n).expect("the chain covers all commits of the run");
        let row = self.row(n).expect("the chain covers all commits of the run");
        let mut ops = vec![
            Op::Put { table: Table::Entry, key: value(&n.to_be_bytes()), value: row },
            Op::Put { table: Table::Value, key: value(&(n % SLOTS).to_be_bytes()), value: value(hash) },
            Op::Put { table: Table::Doc, key: value(&n.to_be_bytes()), value: Bytes::new() },
            Op::Put { table: Table::Meta, key: value(LAST), value: value(&n.to_be_bytes()) },
        ];
        ops.extend(self.term(n).map(|(key, value)| Op::Put { table: Table::Term, key, value }));
        if n > TERMS {
            ops.extend(self.term(n - TERMS).map(|(key, _)| Op::Delete { table: Table::Term, key }));
        }
        if n > MARKERS {
            ops.push(Op::Delete { table: Table::Doc, key: value(&(n - MARKERS).to_be_bytes()) });
        }
        ops
    }

    pub(crate) fn commit(&self, n: u64) -> StoreRequest {
        StoreRequest::Commit { id: StoreId(n), ops: self.ops(n) }
    }
}

/// Runs in the recorded process: submits commits 1 to `commits` to the store in `dir`, and records each in `marks`.
pub(crate) fn run(dir: &Path, marks: &Path, seed: u64, commits: u64) -> Result<(), Box<dyn std::error::Error>> {
    let chain = Chain::new(seed, commits);
    let mut entropy = Entropy::new([0; 32]).child(&format!("flight {seed}"));
    let mut submitted = File::create(marks)?;
    let completed = submitted.try_clone()?;
    let (sender, done) = channel();
    let store = LmdbStore::open(dir, &KEY, options(), move |one| {
        (&completed).write_all(&Mark::of(&one).encode()).expect("marks can be written");
        // The run ends early if the store does.
        drop(sender.send(one));
    })?;
    let (mut in_flight, mut flight) = (0, 1);
    for n in 1..=commits {
        if entropy.below(16) == 0 {
            flight = 1 + entropy.below(FLIGHT_MAX);
        }
        while in_flight >= flight {
            done.recv()?;
            in_flight -= 1;
        }
        submitted.write_all(&Mark::Submitted(n).encode())?;
        store.submit(chain.commit(n))?;
        in_flight += 1;
    }
    drop(store);
    Ok(())
}
