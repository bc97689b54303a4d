//! The endpoint's side of its store: numbers requests, and keeps the purpose of each (`spec/storage.md`, section
//! 1).

use crate::storage::{Op, Read, Scan, StoreDone, StoreId, StoreRequest, Table};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Length of a key in [`Table::Index`] up to the end of the document.
const DOC_KEY_BYTES: usize = 20;

/// Outgoing requests, and for each request under way the work `W` that follows its completion.
#[derive(Debug)]
pub(crate) struct StoreQueue<W> {
    next: u64,
    out: VecDeque<StoreRequest>,
    waiting: BTreeMap<StoreId, W>,
    /// Documents with each commit under way that writes index rows of them.
    written: BTreeSet<(Bytes, StoreId)>,
    /// The documents of each such commit.
    commits: BTreeMap<StoreId, Vec<Bytes>>,
}

impl<W> StoreQueue<W> {
    pub(crate) const fn new() -> Self {
        Self {
            next: 0,
            out: VecDeque::new(),
            waiting: BTreeMap::new(),
            written: BTreeSet::new(),
            commits: BTreeMap::new(),
        }
    }

    pub(crate) fn commit(&mut self, ops: Vec<Op>, then: W) {
        let id = self.number(then);
        let mut docs: Vec<Bytes> = ops.iter().filter_map(indexed_doc).collect();
        docs.dedup();
        if !docs.is_empty() {
            self.written.extend(docs.iter().map(|doc| (doc.clone(), id)));
            self.commits.insert(id, docs);
        }
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

    /// Reads a document's index rows. The read sees every earlier commit that writes such a row, and waits for no other:
    /// a document that nobody writes is read while the store flushes. It may also see later commits.
    pub(crate) fn scan_index(&mut self, doc: &Bytes, scan: Scan, then: W) {
        let commits = (doc.clone(), StoreId(0))..=(doc.clone(), StoreId(u64::MAX));
        let is_written = self.written.range(commits).next().is_some() && !planted!("index.read-early");
        self.scan_of(if is_written { Read::Ordered } else { Read::Durable }, scan, then);
    }

    /// Returns the next request for the store.
    pub(crate) fn poll(&mut self) -> Option<StoreRequest> {
        self.out.pop_front()
    }

    /// Returns the work that follows `done`. `None` for an id that is not under way: a driver's mistake,
    /// ignored.
    pub(crate) fn complete(&mut self, done: &StoreDone) -> Option<W> {
        for doc in self.commits.remove(&done.id()).unwrap_or_default() {
            self.written.remove(&(doc, done.id()));
        }
        self.waiting.remove(&done.id())
    }

    /// Returns the work of each request under way.
    pub(crate) fn works(&self) -> impl Iterator<Item = &W> {
        self.waiting.values()
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

/// Returns the document of an index row that an operation writes.
fn indexed_doc(op: &Op) -> Option<Bytes> {
    match op {
        Op::Put { table: Table::Index, key, .. } => Some(key.slice(..key.len().min(DOC_KEY_BYTES))),
        Op::Put { .. } | Op::Delete { .. } | Op::Insert { .. } | Op::Replace { .. } | Op::DeleteRange { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_row(doc: u8) -> Op {
        let (key, value) = (Bytes::from(vec![doc; DOC_KEY_BYTES + 4]), Bytes::new());
        Op::Put { table: Table::Index, key, value }
    }

    fn read_of(queue: &mut StoreQueue<()>, doc: u8) -> Option<Read> {
        let doc = Bytes::from(vec![doc; DOC_KEY_BYTES]);
        queue.scan_index(&doc, Scan::of(Table::Index, doc.clone(), Bytes::new(), 1), ());
        match queue.poll()? {
            StoreRequest::Scan { read, .. } => Some(read),
            StoreRequest::Commit { .. } | StoreRequest::Get { .. } => None,
        }
    }

    #[test]
    fn an_index_is_read_after_the_commits_that_write_it() {
        let mut queue = StoreQueue::new();
        queue.commit(vec![index_row(1), index_row(1), index_row(2)], ());
        queue.commit(vec![index_row(2)], ());
        let commits = [queue.poll(), queue.poll()].map(|commit| commit.expect("a commit").id());
        assert_eq!(
            [1, 2, 3].map(|doc| read_of(&mut queue, doc)),
            [Read::Ordered, Read::Ordered, Read::Durable].map(Some)
        );
        queue.complete(&StoreDone::Committed { id: commits[0] });
        assert_eq!([1, 2].map(|doc| read_of(&mut queue, doc)), [Read::Durable, Read::Ordered].map(Some));
        queue.complete(&StoreDone::Committed { id: commits[1] });
        assert_eq!(read_of(&mut queue, 2), Some(Read::Durable));
    }
}
