//! The endpoint's side of its store: numbers requests, and keeps the purpose of each (`spec/storage.md`, section
//! 1).

use crate::storage::{Op, Read, Scan, StoreDone, StoreId, StoreRequest, Table};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Outgoing requests, and for each request under way the work `W` that follows its completion.
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

    /// Returns the next request for the store.
    pub(crate) fn poll(&mut self) -> Option<StoreRequest> {
        self.out.pop_front()
    }

    /// Returns the work that follows `done`. `None` for an id that is not under way: a driver's mistake,
    /// ignored.
    pub(crate) fn complete(&mut self, done: &StoreDone) -> Option<W> {
        self.waiting.remove(&done.id())
    }

    /// Returns the number of requests that have not completed.
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
