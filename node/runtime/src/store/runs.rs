//! Rows with sealed keys: consecutive rows form *runs*, and each run is sealed as one value.
//!
//! A run is stored under the number of its index and a *label*, which reveals only the order among the runs of that
//! index: labels ascend with the keys. Thus LMDB keeps the order, every transaction reads correctly, and opening a
//! store loads nothing. The run of a key is found by bisection over labels, which opens a few runs; a cache remembers
//! runs and their first keys. Each run that a group changes is written once. Specified in `spec/storage.md`.

mod cache;
mod place;
mod run;
#[cfg(test)]
mod tests;

use super::engine::{Abort, Db, read_failure, write_abort};
use super::reader::Page;
use super::seal::Sealer;
use bytes::Bytes;
use cache::{Cache, NONCE_BYTES, RunId};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{Scan, StoreError, Table};
use heed::{RoTxn, RwTxn, WithoutTls};
use run::{RUN_BYTES_MAX, RowRef, Run, cut, encode};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The table whose rows are stored in runs.
const TABLE: Table = Table::Term;

/// Bytes that sealing adds to a run.
const SEAL_BYTES: usize = 40;

/// Size below which neighbouring runs are merged, in bytes.
const SMALL_BYTES: usize = RUN_BYTES_MAX / 4;

/// Largest number of wrong hints before the search goes on without them.
const HINTS_MAX: usize = 4;

/// Rows to write, by key; `None` deletes. A group collects them, so that it writes each run once.
pub(super) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Returns the number of a key's index: its first 4 bytes. A shorter key is padded with zeros, which preserves the
/// order of keys.
fn index_no(key: &[u8]) -> [u8; 4] {
    let mut no = [0; 4];
    no.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    no
}

fn row_key(no: [u8; 4], label: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&no);
    key[4..].copy_from_slice(&label.to_be_bytes());
    key
}

/// Splits a row key into its parts.
fn parts(key: &[u8]) -> Option<([u8; 4], u64)> {
    let (no, label) = key.split_first_chunk()?;
    Some((*no, u64::from_be_bytes(label.try_into().ok()?)))
}

/// Errors of reading or writing runs.
#[derive(Debug)]
pub(super) enum Fault {
    Heed(heed::Error),
    /// A run cannot be opened, or is in the wrong place.
    Damaged,
}

impl From<heed::Error> for Fault {
    fn from(error: heed::Error) -> Self {
        Self::Heed(error)
    }
}

impl Fault {
    pub(super) fn into_read(self) -> StoreError {
        match self {
            Self::Heed(error) => read_failure(TABLE.name(), &error),
            Self::Damaged => StoreError::Corrupt { table: TABLE.name() },
        }
    }

    pub(super) fn into_write(self) -> Abort {
        match self {
            Self::Heed(error) => write_abort(TABLE, error),
            Self::Damaged => Abort::Corrupt(StoreError::Corrupt { table: TABLE.name() }),
        }
    }
}

/// A run and its place.
#[derive(Debug, Clone)]
struct Found {
    label: u64,
    run: Arc<Run>,
}

/// The runs of a store.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    db: Db,
    sealer: Sealer,
    cache: Arc<Cache>,
}

impl Runs {
    pub(super) fn new(db: Db, sealer: Sealer) -> Self {
        Self { db, sealer, cache: Arc::default() }
    }

    /// Returns the same runs with a cache of its own.
    pub(super) fn apart(&self) -> Self {
        Self { cache: Arc::default(), ..self.clone() }
    }

    /// Returns the value of a row.
    pub(super) fn get(&self, txn: &RoTxn<'_, WithoutTls>, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.locate(txn, key)?.and_then(|found| found.run.value(key)))
    }

    /// Fills a page with rows, in the order of `scan`.
    pub(super) fn scan(&self, txn: &RoTxn<'_, WithoutTls>, scan: &Scan, page: &mut Page) -> Result<(), Fault> {
        if !scan.to.is_empty() && scan.from >= scan.to {
            return Ok(());
        }
        if scan.reverse { self.descend(txn, scan, page) } else { self.ascend(txn, scan, page) }
    }

    fn ascend(&self, txn: &RoTxn<'_, WithoutTls>, scan: &Scan, page: &mut Page) -> Result<(), Fault> {
        let first = self.row_key_of(txn, &scan.from)?;
        let start = first.as_ref().map_or(Bound::Unbounded, |first| Bound::Included(&first[..]));
        let mut before: Option<Arc<Run>> = None;
        for row in self.db.range(txn, &(start, Bound::Unbounded))? {
            let (key, stored) = row?;
            let run = self.open(key, stored)?;
            if before.is_some_and(|before| before.last() >= run.first()) {
                return Err(Fault::Damaged);
            }
            for at in run.place_of(&scan.from)..run.len() {
                let is_behind = !scan.to.is_empty() && run.row_ref(at).0 >= &scan.to[..];
                if is_behind || !page.offer(|| Ok::<_, Fault>(run.row(at)))? {
                    return Ok(());
                }
            }
            before = Some(run);
        }
        Ok(())
    }

    fn descend(&self, txn: &RoTxn<'_, WithoutTls>, scan: &Scan, page: &mut Page) -> Result<(), Fault> {
        let last = self.row_key_of(txn, &scan.to)?;
        let end = last.as_ref().map_or(Bound::Unbounded, |last| Bound::Included(&last[..]));
        let mut behind: Option<Arc<Run>> = None;
        for row in self.db.rev_range(txn, &(Bound::Unbounded, end))? {
            let (key, stored) = row?;
            let run = self.open(key, stored)?;
            if behind.is_some_and(|behind| behind.first() <= run.last()) {
                return Err(Fault::Damaged);
            }
            let until = if scan.to.is_empty() { run.len() } else { run.place_of(&scan.to) };
            for at in (0..until).rev() {
                if run.row_ref(at).0 < &scan.from[..] || !page.offer(|| Ok::<_, Fault>(run.row(at)))? {
                    return Ok(());
                }
            }
            behind = Some(run);
        }
        Ok(())
    }

    /// Returns the row key of the run that `bound` belongs to. Before all runs of its index, returns a key before
    /// these; for an empty bound, returns `None`.
    fn row_key_of(&self, txn: &RoTxn<'_, WithoutTls>, bound: &[u8]) -> Result<Option<[u8; 12]>, Fault> {
        if bound.is_empty() {
            return Ok(None);
        }
        Ok(Some(row_key(index_no(bound), self.locate(txn, bound)?.map_or(0, |found| found.label))))
    }

    /// Opens the run stored under `key`.
    fn open(&self, key: &[u8], stored: &[u8]) -> Result<Arc<Run>, Fault> {
        let id = run_id(key, stored)?;
        if let Some(run) = self.cache.get(&id) {
            return Ok(run);
        }
        let plain = self.sealer.open((TABLE, key), stored).map_err(|_| Fault::Damaged)?;
        let run = Arc::new(Run::decode(index_no(key), &plain).ok_or(Fault::Damaged)?);
        self.cache.insert(id, &run);
        Ok(run)
    }

    fn at<'t>(&self, txn: &'t RoTxn<'_, WithoutTls>, no: [u8; 4], label: u64) -> Result<Option<&'t [u8]>, Fault> {
        Ok(self.db.get(txn, &row_key(no, label))?)
    }

    /// Returns the last run with a label of at most `label`.
    fn at_or_before<'t>(
        &self,
        txn: &'t RoTxn<'_, WithoutTls>,
        no: [u8; 4],
        label: u64,
    ) -> Result<Option<(u64, &'t [u8])>, Fault> {
        of_index(no, self.db.get_lower_than_or_equal_to(txn, &row_key(no, label))?)
    }

    /// Returns the first run with a label greater than `label`.
    fn behind<'t>(
        &self,
        txn: &'t RoTxn<'_, WithoutTls>,
        no: [u8; 4],
        label: u64,
    ) -> Result<Option<(u64, &'t [u8])>, Fault> {
        of_index(no, self.db.get_greater_than(txn, &row_key(no, label))?)
    }

    /// Finds the last run that begins at or before `key`.
    fn locate(&self, txn: &RoTxn<'_, WithoutTls>, key: &[u8]) -> Result<Option<Found>, Fault> {
        let no = index_no(key);
        let mut found = self.hinted(txn, no, key)?;
        // Labels from `low` to `high` remain to be searched.
        let mut low = found.as_ref().map_or(0, |found| found.label.saturating_add(1));
        let mut high = u64::MAX;
        if found.as_ref().is_none_or(|found| found.run.last() < key)
            && let Some(label) = self.hinted_behind(txn, no, key)?
        {
            high = label.saturating_sub(1);
        }
        while low <= high && found.as_ref().is_none_or(|found| found.run.last() < key) {
            let middle = low + (high - low) / 2;
            let probe = match self.at_or_before(txn, no, middle)?.filter(|(label, _)| *label >= low) {
                Some(probe) => probe,
                None => match self.behind(txn, no, middle)?.filter(|(label, _)| *label <= high) {
                    Some(probe) => probe,
                    None => break,
                },
            };
            let (label, run) = (probe.0, self.open(&row_key(no, probe.0), probe.1)?);
            let is_behind = run.first() > key;
            if is_behind {
                let Some(before) = label.checked_sub(1) else { break };
                high = before;
            } else {
                found = Some(Found { label, run });
                let Some(after) = label.checked_add(1) else { break };
                low = after;
            }
        }
        Ok(found)
    }

    /// Returns a run that begins at or before `key`, from the cache.
    fn hinted(&self, txn: &RoTxn<'_, WithoutTls>, no: [u8; 4], key: &[u8]) -> Result<Option<Found>, Fault> {
        for _ in 0..HINTS_MAX {
            let hint = self.cache.hint_before(key).and_then(|id| parts(&id.key));
            let Some((_, label)) = hint.filter(|(of, _)| *of == no) else { break };
            if let Some(stored) = self.at(txn, no, label)? {
                let run = self.open(&row_key(no, label), stored)?;
                if run.first() <= key {
                    return Ok(Some(Found { label, run }));
                }
            }
            self.cache.forget_before(key);
        }
        Ok(None)
    }

    /// Returns the label of a run that begins after `key`, from the cache.
    fn hinted_behind(&self, txn: &RoTxn<'_, WithoutTls>, no: [u8; 4], key: &[u8]) -> Result<Option<u64>, Fault> {
        let Some(hint) = self.cache.hint_behind(key) else { return Ok(None) };
        let Some((_, label)) = parts(&hint.key).filter(|(of, _)| *of == no) else { return Ok(None) };
        let Some(stored) = self.at(txn, no, label)? else { return Ok(None) };
        // If it is exactly the run that was cached, it need not be opened.
        let is_behind = run_id(&hint.key, stored)? == hint || self.open(&hint.key, stored)?.first() > key;
        Ok(is_behind.then_some(label))
    }
}

fn run_id(key: &[u8], stored: &[u8]) -> Result<RunId, Fault> {
    let nonce = stored.first_chunk::<NONCE_BYTES>().ok_or(Fault::Damaged)?;
    Ok(RunId { key: key.try_into().map_err(|_| Fault::Damaged)?, nonce: *nonce })
}

fn of_index<'t>(no: [u8; 4], row: Option<(&[u8], &'t [u8])>) -> Result<Option<(u64, &'t [u8])>, Fault> {
    let Some((key, stored)) = row else { return Ok(None) };
    let (of, label) = parts(key).ok_or(Fault::Damaged)?;
    Ok((of == no).then_some((label, stored)))
}

/// Writes runs within one transaction.
pub(super) struct Rewriting<'a> {
    runs: &'a Runs,
    entropy: &'a mut Entropy,
    /// Buffers for the next run: sealed, and before sealing.
    stored: &'a mut Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> Rewriting<'a> {
    pub(super) const fn new(runs: &'a Runs, entropy: &'a mut Entropy, stored: &'a mut Vec<u8>) -> Self {
        Self { runs, entropy, stored, plain: Vec::new() }
    }

    /// Writes all changes of a group.
    pub(super) fn write(&mut self, wtxn: &mut RwTxn<'_>, changes: Changes) -> Result<(), Fault> {
        let changes: Vec<(Bytes, Option<Bytes>)> = changes.into_iter().collect();
        let mut rest = &changes[..];
        while let Some((key, _)) = rest.first() {
            let no = index_no(key);
            let found = match self.runs.locate(wtxn, key)? {
                Some(found) => Some(found),
                None => self.first_of(wtxn, no)?,
            };
            let of_run = self.belonging(wtxn, no, found.as_ref(), rest)?;
            let (now, later) = rest.split_at(of_run);
            if let Some(rows) = merged(found.as_ref().map(|found| &*found.run), now) {
                self.replace(wtxn, no, found.as_ref().map(|found| found.label), &rows)?;
            }
            rest = later;
        }
        Ok(())
    }

    fn first_of(&self, wtxn: &RwTxn<'_>, no: [u8; 4]) -> Result<Option<Found>, Fault> {
        let Some((label, stored)) = self.runs.behind(wtxn, no, 0)? else { return Ok(None) };
        Ok(Some(Found { label, run: self.runs.open(&row_key(no, label), stored)? }))
    }

    /// Returns the number of changes, from the first one on, that belong to a run: those before the next run begins.
    fn belonging(
        &self,
        wtxn: &RwTxn<'_>,
        no: [u8; 4],
        found: Option<&Found>,
        changes: &[(Bytes, Option<Bytes>)],
    ) -> Result<usize, Fault> {
        let of_index = changes.partition_point(|(key, _)| index_no(key) == no);
        let Some(found) = found else { return Ok(of_index) };
        let inside = changes[..of_index].partition_point(|(key, _)| &key[..] <= found.run.last()).max(1);
        if inside == of_index {
            return Ok(inside);
        }
        let Some((label, stored)) = self.runs.behind(wtxn, no, found.label)? else { return Ok(of_index) };
        let next = self.runs.open(&row_key(no, label), stored)?;
        Ok(changes[..of_index].partition_point(|(key, _)| &key[..] < next.first()).max(inside))
    }

    /// Deletes all rows of `from <= key < to`; an empty bound means no bound. Runs wholly in the range are not opened.
    pub(super) fn delete_range(&mut self, wtxn: &mut RwTxn<'_>, from: &[u8], to: &[u8]) -> Result<(), Fault> {
        if !to.is_empty() && from >= to {
            return Ok(());
        }
        let locate = |key: &[u8]| if key.is_empty() { Ok(None) } else { self.runs.locate(wtxn, key) };
        let (start, end) = (locate(from)?, locate(to)?);
        let lower = row_key(index_no(from), start.as_ref().map_or(0, |found| found.label));
        let upper = row_key(index_no(to), end.as_ref().map_or(0, |found| found.label));
        let bounds = (
            if from.is_empty() { Bound::Unbounded } else { Bound::Excluded(&lower[..]) },
            if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(&upper[..]) },
        );
        if to.is_empty() || lower < upper {
            self.runs.db.delete_range(wtxn, &bounds)?;
        }
        let keeps = |key: &[u8]| key < from || (!to.is_empty() && key >= to);
        let same = lower == upper;
        let end = end.filter(|_| !same || from.is_empty());
        for (no, found) in [(index_no(from), start), (index_no(to), end)] {
            let Some(Found { label, run }) = found else { continue };
            let rows: Vec<_> = run.rows().filter(|(key, _)| keeps(key)).collect();
            // Fewer rows never need more bytes, so the rest fits into the run's place.
            if rows.is_empty() {
                self.remove(wtxn, no, label)?;
            } else if rows.len() < run.len() {
                self.put(wtxn, no, label, &rows)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, wtxn: &mut RwTxn<'_>, no: [u8; 4], label: u64, rows: &[RowRef<'_>]) -> Result<(), Fault> {
        encode(rows, &mut self.plain);
        let plain = core::mem::take(&mut self.plain);
        self.put_plain(wtxn, no, label, &plain)?;
        self.plain = plain;
        let key = row_key(no, label);
        self.runs.cache.insert(run_id(&key, self.stored)?, &Arc::new(Run::of(rows)));
        Ok(())
    }

    fn put_plain(&mut self, wtxn: &mut RwTxn<'_>, no: [u8; 4], label: u64, plain: &[u8]) -> Result<(), Fault> {
        let key = row_key(no, label);
        self.runs.sealer.seal(self.entropy, (TABLE, &key), plain, self.stored);
        Ok(self.runs.db.put(wtxn, &key, self.stored)?)
    }

    fn remove(&self, wtxn: &mut RwTxn<'_>, no: [u8; 4], label: u64) -> Result<(), Fault> {
        self.runs.db.delete(wtxn, &row_key(no, label))?;
        Ok(())
    }
}

/// Returns the rows of a run after changes; `None` if nothing changes.
fn merged<'a>(run: Option<&'a Run>, changes: &'a [(Bytes, Option<Bytes>)]) -> Option<Vec<RowRef<'a>>> {
    let mut rows = Vec::with_capacity(run.map_or(0, Run::len) + changes.len());
    let mut old = run.into_iter().flat_map(Run::rows).peekable();
    let mut changed = false;
    for (key, value) in changes {
        while let Some(row) = old.next_if(|(old, _)| *old < &key[..]) {
            rows.push(row);
        }
        let before = old.next_if(|(old, _)| *old == &key[..]).map(|(_, value)| value);
        changed |= before != value.as_deref();
        rows.extend(value.as_ref().map(|value| (&key[..], &value[..])));
    }
    rows.extend(old);
    changed.then_some(rows)
}
