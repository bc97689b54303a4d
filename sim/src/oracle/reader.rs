//! A replica that only reads: made of a store's rows, apart from the run.

use crate::world::{Piece, config, doc_id, partition_name, partition_of, pieces_of, recover, tokens_of};
use bytes::Bytes;
use cosmicsync_protocol::crdt::{Hidden, Version};
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::{Dial, Endpoint, Event, LinkId};
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::pump::{Io, pump};
use cosmicsync_protocol::storage::rows::listing_parts;
use cosmicsync_protocol::storage::{StoreRequest, Table};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::Now;
use std::collections::{BTreeMap, BTreeSet};

/// Content of a document on a replica.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(super) snapshot: Option<Snapshot>,
    pub(super) version: Version,
    pub(super) missing: usize,
    /// Containers hidden by concurrent writes of another kind.
    pub(super) hidden: Vec<Hidden>,
}

impl Shown {
    /// Returns the tokens in it.
    pub(super) fn tokens(&self) -> BTreeSet<u64> {
        self.all_tokens().into_iter().collect()
    }

    /// Returns the pieces that the document shows or lists.
    pub(super) fn pieces(&self) -> BTreeSet<Piece> {
        self.snapshot.as_ref().map(|snapshot| pieces_of(&snapshot.value, &self.hidden).all).unwrap_or_default()
    }

    /// Returns a token that occurs twice in it.
    pub(super) fn twice(&self) -> Option<u64> {
        let mut seen = BTreeSet::new();
        self.all_tokens().into_iter().find(|token| !seen.insert(*token))
    }

    fn all_tokens(&self) -> Vec<u64> {
        self.snapshot.as_ref().map(|snapshot| tokens_of(&snapshot.value)).unwrap_or_default()
    }
}

/// A replica that only reads: made of a store's rows, apart from the run.
pub(crate) struct Reader {
    pub(crate) endpoint: Endpoint,
    pub(super) store: MemStore,
    now: Now,
    sent: BTreeMap<LinkId, Vec<u8>>,
}

struct ReaderIo<'a> {
    store: &'a mut MemStore,
    sent: &'a mut BTreeMap<LinkId, Vec<u8>>,
}

impl Io for ReaderIo<'_> {
    fn store(&mut self, request: StoreRequest) {
        self.store.submit(request);
    }

    fn has_room(&mut self, _: LinkId) -> bool {
        true
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        self.sent.entry(link).or_default().extend(bytes);
    }

    fn event(&mut self, _: Event) {}
}

impl Reader {
    /// Reads a store back. `None` if it cannot be read.
    pub(crate) fn new(mut store: MemStore, core: &crate::plan::Core, seed: [u8; 32]) -> Option<Self> {
        let now = Now { mono_us: 1, wall_ms: 1_700_000_000_000 };
        let endpoint = recover(&mut store, config(core), seed, None, now)?;
        Some(Self { endpoint, store, now, sent: BTreeMap::new() })
    }

    /// Runs until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut io = ReaderIo { store: &mut self.store, sent: &mut self.sent };
            let deadline = pump(&mut self.endpoint, self.now, &mut io);
            match self.store.complete_next() {
                Some(done) => self.endpoint.handle_stored(self.now, done),
                None if deadline.is_some_and(|deadline| deadline.at_us <= self.now.mono_us) => {}
                None => return,
            }
        }
    }

    /// Returns the document of a number; `None` if its partition is not known.
    pub(super) fn doc(&self, partitions: u32, number: u64) -> Option<DocRef> {
        let name = partition_name(partition_of(partitions, number));
        let partition = self.endpoint.partition(SpaceNo(0), &name)?;
        Some(DocRef { partition, doc: doc_id(number) })
    }

    /// Reads all listed documents of a partition.
    pub(crate) fn documents(&mut self, partition: PartNo) -> BTreeMap<DocId, Snapshot> {
        let prefix = partition.0.to_be_bytes();
        let from = (Table::Doc, Bytes::copy_from_slice(&prefix));
        let rows = self.store.rows().range(from..).map(|((table, key), _)| (*table, key));
        let listed = rows.take_while(|(table, key)| *table == Table::Doc && key.starts_with(&prefix));
        let docs: BTreeSet<DocId> = listed.filter_map(|(_, key)| Some(listing_parts(key).ok()?.1)).collect();
        docs.iter().for_each(|doc| self.endpoint.open(self.now, DocRef { partition, doc: *doc }));
        self.settle();
        let shown = docs.iter().filter_map(|doc| Some((*doc, self.endpoint.view(DocRef { partition, doc: *doc })?)));
        shown.collect()
    }

    /// Reads a document and closes it.
    pub(super) fn show(&mut self, doc: DocRef) -> Shown {
        self.read(doc, false)
    }

    /// Republishes the excluded entries of a document, as on a person's request, and reads it.
    pub(super) fn publish(&mut self, doc: DocRef) -> Shown {
        self.read(doc, true)
    }

    fn read(&mut self, doc: DocRef, publish: bool) -> Shown {
        self.endpoint.open(self.now, doc);
        self.settle();
        if publish && !self.endpoint.excluded_entries(doc).is_empty() {
            self.endpoint.publish_excluded(self.now, doc);
            self.settle();
        }
        let missing = self.endpoint.missing(doc).len();
        let snapshot = self.endpoint.view(doc);
        let mut replica = self.endpoint.replica(doc);
        let version = replica.as_ref().map(|replica| replica.version().clone()).unwrap_or_default();
        let hidden = replica.as_mut().and_then(|replica| replica.hidden().ok()).unwrap_or_default();
        self.endpoint.close(self.now, doc);
        self.settle();
        Shown { snapshot, version, missing, hidden }
    }
}

/// Carries all traffic between two replicas until they are done.
pub(super) fn exchange(a: &mut Reader, b: &mut Reader, a_dials: bool, piece: usize) {
    let dial = |dials: bool| dials.then_some(Dial::Sync);
    let links = [a.endpoint.handle_link_up(a.now, dial(a_dials)), b.endpoint.handle_link_up(b.now, dial(!a_dials))];
    for _ in 0..100_000 {
        a.settle();
        b.settle();
        let (to_b, to_a) = (a.sent.remove(&links[0]), b.sent.remove(&links[1]));
        if to_a.is_none() && to_b.is_none() {
            break;
        }
        for bytes in to_b.iter().flat_map(|bytes| bytes.chunks(piece)) {
            b.endpoint.handle_bytes(b.now, links[1], bytes);
        }
        for bytes in to_a.iter().flat_map(|bytes| bytes.chunks(piece)) {
            a.endpoint.handle_bytes(a.now, links[0], bytes);
        }
    }
    a.endpoint.handle_link_lost(a.now, links[0]);
    a.settle();
}
