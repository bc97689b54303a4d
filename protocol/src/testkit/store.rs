//! A store in memory, whose completions, crashes and failures the test decides.
//!
//! [`MemStore`] keeps the promises of [`crate::storage`] and nothing more: a request has no effect until it is
//! carried out, and a crash keeps every commit that was, plus as many of the submitted ones as the test chooses. It
//! never completes anything by itself (`spec/storage.md`).

mod conformance;

pub use conformance::{Subject, conformance};

use crate::storage::{Op, Row, Scan, StoreDone, StoreError, StoreId, StoreRequest, Table, counted};
use bytes::Bytes;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Rows of all tables, in the order of table and key.
pub type Rows = BTreeMap<(Table, Bytes), Bytes>;

/// An ordered map with atomic batches and controllable completions.
#[derive(Debug, Clone, Default)]
pub struct MemStore {
    rows: Rows,
    queue: VecDeque<Waiting>,
    commits: u64,
    /// Number of commits that were carried out, reported or not.
    applied: u64,
    fault: Option<(u64, StoreError)>,
    /// Rows before the last commit.
    #[cfg(planted)]
    older: Rows,
    poisoned: bool,
}

/// A request that was not completed.
#[derive(Debug, Clone)]
enum Waiting {
    Request(StoreRequest),
    /// Carried out, but not reported.
    Done {
        done: StoreDone,
        is_commit: bool,
    },
}

impl MemStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a store that holds `rows`.
    pub fn with_rows(rows: Rows) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Queues a request. It has no effect before it is completed.
    pub fn submit(&mut self, request: StoreRequest) {
        self.queue.push_back(Waiting::Request(request));
    }

    /// Returns the number of requests that wait for completion.
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether some commit is carried out but not reported.
    pub fn has_unreported(&self) -> bool {
        self.queue.iter().any(|waiting| matches!(waiting, Waiting::Done { is_commit: true, .. }))
    }

    /// Returns the rows that are durable now.
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Returns the number of commits that were completed, well or not, since this store was opened.
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// Makes the `nth` commit from now fail with `error`; 0 is the next one. As with a disk, all later commits fail
    /// too.
    pub fn fail_commit(&mut self, nth: u64, error: StoreError) {
        self.fault = Some((self.applied + nth, error));
    }

    /// Completes the oldest waiting request.
    pub fn complete_next(&mut self) -> Option<StoreDone> {
        let (done, is_commit) = match self.queue.pop_front()? {
            Waiting::Request(request) => {
                let is_commit = matches!(request, StoreRequest::Commit { .. });
                (self.execute(request), is_commit)
            }
            Waiting::Done { done, is_commit } => (done, is_commit),
        };
        self.commits += u64::from(is_commit);
        Some(done)
    }

    /// Makes the oldest waiting commit durable, and carries out the requests before it, without reporting any: a
    /// disk is done a moment before its user knows. All of them complete in their turn.
    pub fn settle_next(&mut self) {
        for at in 0..self.queue.len() {
            let Some(Waiting::Request(request)) = self.queue.get(at).cloned() else { continue };
            let is_commit = matches!(request, StoreRequest::Commit { .. });
            let done = self.execute(request);
            self.queue[at] = Waiting::Done { done, is_commit };
            if is_commit {
                return;
            }
        }
    }

    /// Answers a read at once from the durable rows, before all waiting requests. A submitted read waits its turn.
    ///
    /// # Panics
    /// If the request is not a [`Read::Durable`](crate::storage::Read::Durable).
    pub fn read_durable(&mut self, request: StoreRequest) -> StoreDone {
        assert!(request.is_durable_read(), "what is ordered waits its turn");
        #[cfg(planted)]
        if crate::planted::is_on("read.too-old") {
            return Self { rows: self.older.clone(), ..self.clone() }.execute(request);
        }
        self.execute(request)
    }

    /// Carries out all waiting requests, oldest first.
    pub fn complete_all(&mut self) -> Vec<StoreDone> {
        core::iter::from_fn(|| self.complete_next()).collect()
    }

    /// Returns the store after a crash now: all durable rows, and the first `keep` of the commits that were
    /// submitted but not completed. A commit that would have failed is never among them.
    #[must_use]
    pub fn crash(&self, keep: usize) -> Self {
        let mut after = Self { queue: VecDeque::new(), ..self.clone() };
        let volatile = self.queue.iter().filter_map(|waiting| match waiting {
            Waiting::Request(request @ StoreRequest::Commit { .. }) => Some(request),
            Waiting::Request(_) | Waiting::Done { .. } => None,
        });
        for request in volatile.take(keep) {
            after.execute(request.clone());
        }
        Self::with_rows(after.rows)
    }

    fn execute(&mut self, request: StoreRequest) -> StoreDone {
        let id = request.id();
        let done = if self.poisoned { Err(StoreError::Poisoned) } else { request.check() };
        let is_commit = matches!(request, StoreRequest::Commit { .. });
        let done = done.and_then(|()| match request {
            StoreRequest::Commit { id, ops } => self.commit(id, ops),
            StoreRequest::Get { id, keys, .. } => {
                Ok(StoreDone::Got { id, values: keys.into_iter().map(|row| self.rows.get(&row).cloned()).collect() })
            }
            StoreRequest::Scan { id, scan, .. } => {
                let (mut rows, mut more) = self.scan(&scan);
                if let Some(join) = &scan.join {
                    let get = |key: &[u8]| {
                        Ok::<_, StoreError>(self.rows.get(&(join.table, Bytes::copy_from_slice(key))).cloned())
                    };
                    more |= join.apply(&mut rows, scan.bytes_max, get)?;
                }
                Ok(StoreDone::Scanned { id, rows, more })
            }
        });
        if is_commit {
            self.applied += 1;
            self.poisoned |= done.is_err();
        }
        done.unwrap_or_else(|error| StoreDone::Failed { id, error })
    }

    fn commit(&mut self, id: StoreId, ops: Vec<Op>) -> Result<StoreDone, StoreError> {
        if let Some((_, error)) = self.fault.take_if(|(nth, _)| *nth == self.applied) {
            return Err(error);
        }
        #[cfg(planted)]
        self.older.clone_from(&self.rows);
        for op in ops {
            match op {
                Op::Put { table, key, value } => drop(self.rows.insert((table, key), value)),
                Op::Delete { table, key } => drop(self.rows.remove(&(table, key))),
                Op::Insert { table, key, counter } => {
                    if let Entry::Vacant(row) = self.rows.entry((table, key)) {
                        row.insert(Bytes::new());
                        let number = self.rows.entry((Table::Tally, counter)).or_default();
                        *number = counted(number, 1);
                    }
                }
                Op::Replace { table, key, value } => {
                    if let Some(row) = self.rows.get_mut(&(table, key)) {
                        *row = value;
                    }
                }
                Op::DeleteRange { table, from, to } => {
                    let Some(range) = range(table, &from, &to) else { continue };
                    let gone: Vec<_> = self.rows.range(range).map(|(row, _)| row.clone()).collect();
                    gone.iter().for_each(|row| drop(self.rows.remove(row)));
                }
            }
        }
        Ok(StoreDone::Committed { id })
    }

    fn scan(&self, scan: &Scan) -> (Vec<Row>, bool) {
        let mut rows = Vec::new();
        let mut bytes = 0usize;
        let Some(range) = range(scan.table, &scan.from, &scan.to) else { return (rows, false) };
        let mut found = self.rows.range(range);
        while let Some(((_, key), value)) = if scan.reverse { found.next_back() } else { found.next() } {
            bytes = bytes.saturating_add(key.len() + value.len());
            if rows.len() >= scan.rows_max || (bytes > scan.bytes_max && !rows.is_empty()) {
                return (rows, true);
            }
            rows.push((key.clone(), value.clone()));
        }
        (rows, false)
    }
}

/// Bounds of a range of rows.
type Range = (Bound<(Table, Bytes)>, Bound<(Table, Bytes)>);

/// Returns the range of `from <= key < to`; `None` if it is empty.
fn range(table: Table, from: &Bytes, to: &Bytes) -> Option<Range> {
    let from = (table, from.clone());
    if !to.is_empty() {
        let to = (table, to.clone());
        return (from < to).then_some((Bound::Included(from), Bound::Excluded(to)));
    }
    let next = Table::ALL.iter().find(|next| **next > table);
    let end = next.map_or(Bound::Unbounded, |next| Bound::Excluded((*next, Bytes::new())));
    Some((Bound::Included(from), end))
}

impl Subject for MemStore {
    fn run(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreDone> {
        for request in requests {
            self.submit(request);
        }
        self.complete_all()
    }

    fn reopen(&mut self) {
        *self = self.crash(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Read;

    fn put(id: u64, key: &'static str) -> StoreRequest {
        let row = Op::Put { table: Table::Meta, key: key.into(), value: "v".into() };
        StoreRequest::Commit { id: StoreId(id), ops: vec![row] }
    }

    #[test]
    fn keeps_the_promises_of_a_store() {
        conformance(&mut MemStore::new());
    }

    #[test]
    fn a_crash_keeps_what_is_durable_and_a_prefix_of_the_rest() {
        let mut store = MemStore::new();
        for (id, key) in ["a", "b", "c"].into_iter().enumerate() {
            store.submit(put(id as u64, key));
        }
        assert_eq!(store.rows().len(), 0);
        assert_eq!(store.complete_next(), Some(StoreDone::Committed { id: StoreId(0) }));
        for keep in 0..4 {
            let after = store.crash(keep);
            assert_eq!((after.rows().len(), after.pending()), ((1 + keep).min(3), 0));
        }
    }

    fn get(id: u64, key: &'static str, read: Read) -> StoreRequest {
        StoreRequest::Get { id: StoreId(id), keys: vec![(Table::Meta, key.into())], read }
    }

    fn got(id: u64, value: Option<&'static str>) -> StoreDone {
        StoreDone::Got { id: StoreId(id), values: vec![value.map(Bytes::from)] }
    }

    #[test]
    fn a_durable_read_sees_what_is_durable_when_the_test_asks() {
        let mut store = MemStore::new();
        for request in [put(0, "a"), get(1, "a", Read::Ordered), put(2, "b"), get(3, "b", Read::Durable)] {
            store.submit(request);
        }
        assert_eq!(store.read_durable(get(4, "a", Read::Durable)), got(4, None));
        store.settle_next();
        assert_eq!(store.read_durable(get(5, "a", Read::Durable)), got(5, Some("v")));
        assert_eq!((store.commits(), store.crash(0).rows().len(), store.crash(1).rows().len()), (0, 1, 2));
        let rest = [
            StoreDone::Committed { id: StoreId(0) },
            got(1, Some("v")),
            StoreDone::Committed { id: StoreId(2) },
            got(3, Some("v")),
        ];
        assert_eq!(store.complete_all(), rest);
        assert_eq!(store.commits(), 2);
    }

    #[test]
    fn a_failure_that_nobody_was_told_of_refuses_durable_reads() {
        let mut store = MemStore::new();
        store.fail_commit(0, StoreError::Full);
        store.submit(put(0, "a"));
        store.settle_next();
        let refused = StoreDone::Failed { id: StoreId(1), error: StoreError::Poisoned };
        assert_eq!(store.read_durable(get(1, "a", Read::Durable)), refused);
        assert_eq!(store.complete_all(), [StoreDone::Failed { id: StoreId(0), error: StoreError::Full }]);
    }

    #[test]
    fn an_injected_failure_applies_nothing_and_poisons_what_follows() {
        let mut store = MemStore::new();
        store.fail_commit(1, StoreError::Full);
        for (id, key) in ["a", "b", "c"].into_iter().enumerate() {
            store.submit(put(id as u64, key));
        }
        assert_eq!(store.crash(3).rows().len(), 1);
        let done = store.complete_all();
        assert_eq!(done[0], StoreDone::Committed { id: StoreId(0) });
        assert_eq!(done[1], StoreDone::Failed { id: StoreId(1), error: StoreError::Full });
        assert_eq!(done[2], StoreDone::Failed { id: StoreId(2), error: StoreError::Poisoned });
        assert_eq!(store.rows().len(), 1);
        store.reopen();
        store.submit(put(3, "d"));
        assert_eq!(store.complete_all(), [StoreDone::Committed { id: StoreId(3) }]);
    }
}
