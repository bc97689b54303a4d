//! Opens a store and compares it with the run that wrote it.

use crate::workload::{self, Chain, LAST, MARKERS, SLOTS, TERMS};
use bytes::Bytes;
use cosmicsync_node::store::{LmdbStore, OpenError, Snapshot, SnapshotError};
use cosmicsync_protocol::storage::{StoreDone, Table};
use std::path::Path;
use std::sync::mpsc::channel;

/// A violation found in a store after a crash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error("does not open: {0}")]
    Unopenable(#[from] OpenError),
    #[error("does not read: {0}")]
    Unreadable(#[from] SnapshotError),
    #[error("does not take another commit")]
    Unwritable,
    #[error("holds {found} commits, but {acked} were acknowledged")]
    Lost { found: u64, acked: u64 },
    #[error("holds {found} commits, but only {submitted} were submitted")]
    Beyond { found: u64, submitted: u64 },
    #[error("is not the state after commit {found}: {what}")]
    Hole { found: u64, what: &'static str },
}

/// Checks that the store in `dir` holds exactly a prefix of the commits of `chain`, at least `acked` and at most
/// `submitted` of them; returns their number. With `write`, the store must take the next commit too.
pub(crate) fn check(dir: &Path, chain: &Chain, (acked, submitted): (u64, u64), write: bool) -> Result<u64, Violation> {
    let (sender, done) = channel();
    let store = LmdbStore::open(dir, &workload::KEY, workload::options(), move |one| drop(sender.send(one)))?;
    let found = holds_prefix(&store.snapshot()?, chain)?;
    if found < acked {
        return Err(Violation::Lost { found, acked });
    }
    if found > submitted {
        return Err(Violation::Beyond { found, submitted });
    }
    if write && chain.hash(found + 1).is_some() {
        let submitted = store.submit(chain.commit(found + 1)).ok().and_then(|()| done.recv().ok());
        if !matches!(submitted, Some(StoreDone::Committed { .. })) {
            return Err(Violation::Unwritable);
        }
        if holds_prefix(&store.snapshot()?, chain)? != found + 1 {
            return Err(Violation::Unwritable);
        }
    }
    Ok(found)
}

fn holds_prefix(snapshot: &Snapshot, chain: &Chain) -> Result<u64, Violation> {
    let all = |table| snapshot.rows(table, None, usize::MAX);
    let number = |bytes: &Bytes| bytes[..].try_into().ok().map(u64::from_be_bytes);
    let meta = all(Table::Meta)?;
    let found = meta.iter().find(|(key, _)| key == LAST).map_or(Some(0), |(_, value)| number(value));
    let hole = |what| Violation::Hole { found: found.unwrap_or_default(), what };
    let last = found.ok_or_else(|| hole("its number is none"))?;
    let entries = all(Table::Entry)?;
    if entries.len() as u64 != last {
        return Err(hole("rows are missing or too many"));
    }
    for ((key, value), n) in entries.iter().zip(1..) {
        if number(key) != Some(n) || chain.row(n).as_ref() != Some(value) {
            return Err(hole("a row is not what was written"));
        }
    }
    let slots = all(Table::Value)?;
    let expected = (0..SLOTS).filter_map(|slot| {
        let newest = last.checked_sub(last.wrapping_sub(slot) % SLOTS).filter(|_| last >= slot);
        newest.filter(|n| *n > 0).map(|n| (slot, n))
    });
    let expected: Vec<_> = expected.collect();
    let slot_fits = |((key, value), (slot, n)): (&(Bytes, Bytes), &(u64, u64))| {
        number(key) == Some(*slot) && chain.hash(*n).is_some_and(|hash| hash[..] == value[..])
    };
    if slots.len() != expected.len() || !slots.iter().zip(&expected).all(slot_fits) {
        return Err(hole("a slot is not what was written last"));
    }
    let markers = all(Table::Doc)?;
    let expected = last.saturating_sub(MARKERS) + 1..=last;
    if !markers.iter().map(|(key, _)| number(key)).eq(expected.map(Some)) {
        return Err(hole("a marker is missing or was not removed"));
    }
    let mut expected: Vec<_> = (last.saturating_sub(TERMS) + 1..=last).filter_map(|n| chain.term(n)).collect();
    expected.sort();
    if all(Table::Term)? != expected {
        return Err(hole("a row of the index is missing or was not removed"));
    }
    Ok(last)
}
