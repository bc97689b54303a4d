//! The endpoint's side of its store: numbers requests, and remembers what each was for.

use crate::storage::{Op, Read, Scan, StoreDone, StoreId, StoreRequest, Table};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Requests on their way out, and for each one under way the `W` to do when it completes.
#[derive(Debug)]
pub(crate) struct StoreQueue<W> {
    next: u64,
    out: VecDeque<StoreRequest>,
    waiting: BTreeMap<StoreId, W>,
}

impl<W> StoreQueue<W> {
    pub(crate) const fn new() -> Self {
        Self { next: 0, out: VecDeque::new(), waiting: BTreeMap::new() }
    }

    pub(crate) fn commit(&mut self, ops: Vec<Op>, then: W) {
        let id = self.number(then);
        self.out.push_back(StoreRequest::Commit { id, ops });
    }

    pub(crate) fn get(&mut self, keys: Vec<(Table, Bytes)>, then: W) {
        self.get_of(Read::Ordered, keys, then);
    }

    pub(crate) fn scan(&mut self, scan: Scan, then: W) {
        self.scan_of(Read::Ordered, scan, then);
    }

    pub(crate) fn get_of(&mut self, read: Read, keys: Vec<(Table, Bytes)>, then: W) {
        let id = self.number(then);
        self.out.push_back(StoreRequest::Get { id, keys, read });
    }

    pub(crate) fn scan_of(&mut self, read: Read, scan: Scan, then: W) {
        let id = self.number(then);
        self.out.push_back(StoreRequest::Scan { id, scan, read });
    }

    /// The next request for the store.
    pub(crate) fn poll(&mut self) -> Option<StoreRequest> {
        self.out.pop_front()
    }

    /// Takes back what `done` was for. `None` for an id that is not under way: a driver's mistake, ignored.
    pub(crate) fn complete(&mut self, done: &StoreDone) -> Option<W> {
        self.waiting.remove(&done.id())
    }

    /// How many requests have not completed.
    pub(crate) fn under_way(&self) -> usize {
        self.waiting.len()
    }

    fn number(&mut self, then: W) -> StoreId {
        let id = StoreId(self.next);
        self.next += 1;
        self.waiting.insert(id, then);
        id
    }
}
