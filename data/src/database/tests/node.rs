//! A database with a store in memory, and a wire between two such nodes.

use super::super::Database;
use super::super::request::{Answer, Cut, Found, Name, Place, Request, Row, Ticket};
use crate::collection::CollectionMeta;
use crate::json::parse;
use crate::rules::Actor;
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::ids::{DocId, PartNo};
use cosmicsync_protocol::pump::{self, pump};
use cosmicsync_protocol::storage::{StoreDone, StoreRequest, Table};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::Now;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(super) struct Node {
    pub(super) db: Database,
    pub(super) store: MemStore,
    pub(super) now: Now,
    pub(super) answers: BTreeMap<Ticket, Answer>,
    pub(super) events: Vec<Event>,
    /// Reads that are answered but not delivered yet.
    read: VecDeque<StoreDone>,
    /// Seed of the order in which reads are delivered; with 0 they come first.
    pub(super) order: u64,
    /// Seed of the entropy; no two starts of a node share one.
    seed: u8,
}

/// A store that answers reads of durable state at once, without links.
struct Io<'a> {
    store: &'a mut MemStore,
    events: &'a mut Vec<Event>,
    read: &'a mut VecDeque<StoreDone>,
}

impl pump::Io for Io<'_> {
    fn store(&mut self, request: StoreRequest) {
        if request.is_durable_read() {
            self.read.push_back(self.store.read_durable(request));
        } else {
            self.store.submit(request);
        }
    }

    fn has_room(&mut self, _: LinkId) -> bool {
        false
    }

    fn send(&mut self, link: LinkId, _: Vec<u8>) {
        unreachable!("{link:?} has no room");
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

pub(super) fn value(json: &str) -> Value {
    parse(json.as_bytes()).unwrap()
}

pub(super) fn keyed(key: &str) -> Name {
    Name::Key { collection: "notes".to_owned(), key: key.to_owned() }
}

impl Node {
    pub(super) fn new() -> Self {
        let mut peer = Peer::new(1);
        peer.found("home");
        Self::of(peer)
    }

    pub(super) fn of(peer: Peer) -> Self {
        let Peer { endpoint, store, now, .. } = peer;
        Self {
            db: Database::new(endpoint),
            store,
            now,
            answers: BTreeMap::new(),
            events: Vec::new(),
            read: VecDeque::new(),
            order: 0,
            seed: 9,
        }
    }

    /// Returns two linked nodes of one space.
    pub(super) fn pair() -> ([Self; 2], Wire) {
        let mut net = Net::joined();
        net.cut();
        let mut peers = net.peers.into_iter();
        let mut nodes = [Self::of(peers.next().unwrap()), Self::of(peers.next().unwrap())];
        let wire = Wire::connect(&mut nodes);
        (nodes, wire)
    }

    /// Drops the database and recovers it from the store, with `keep` of the commits that were not durable.
    pub(super) fn restart(self, keep: usize) -> Self {
        let seed = self.seed + 1;
        let peer = Peer::recover(self.store.crash(keep), seed);
        Self { now: self.now, seed, order: self.order, ..Self::of(peer) }
    }

    /// Restarts from the same store without its materialised values.
    pub(super) fn without_values(self) -> Self {
        let rows = self.store.rows().iter().filter(|((table, _), _)| *table != Table::Value);
        let rows = rows.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { store: MemStore::with_rows(rows), ..self }.restart(0)
    }

    pub(super) fn main(&self) -> PartNo {
        self.db.endpoint().partition(SpaceNo(0), "main").unwrap()
    }

    pub(super) fn settle(&mut self) {
        assert!(self.settle_at_most(1_000_000), "the database never comes to rest");
    }

    /// Completes at most `completions` requests of the store; returns whether nothing is left to do.
    pub(super) fn settle_at_most(&mut self, completions: usize) -> bool {
        for _ in 0..completions {
            let mut io = Io { store: &mut self.store, events: &mut self.events, read: &mut self.read };
            let deadline = pump(&mut self.db, self.now, &mut io);
            while let Some((ticket, answer)) = self.db.poll_answer() {
                assert_eq!(self.answers.insert(ticket, answer), None);
            }
            if let Some(done) = self.complete() {
                self.db.handle_stored(self.now, done);
            } else if let Some(deadline) = deadline.filter(|at| at.at_us <= self.now.mono_us + 100_000) {
                self.now.mono_us = self.now.mono_us.max(deadline.at_us);
            } else {
                return true;
            }
        }
        false
    }

    /// Returns the next completion. Reads of durable state overtake the others, or come in a random order with them.
    fn complete(&mut self) -> Option<StoreDone> {
        self.order = self.order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(self.order > 0));
        if self.order >> 63 == 1 {
            return self.store.complete_next().or_else(|| self.read.pop_front());
        }
        self.read.pop_front().or_else(|| self.store.complete_next())
    }

    pub(super) fn start(&mut self, request: Request) -> Ticket {
        self.now = self.now.after_us(1000);
        self.db.request(self.now, request)
    }

    pub(super) fn ask(&mut self, request: Request) -> Answer {
        let shown = format!("{request:?}");
        let ticket = self.start(request);
        self.settle();
        self.answers.remove(&ticket).unwrap_or_else(|| panic!("no answer to {}", &shown[..shown.len().min(300)]))
    }

    /// Makes a request on behalf of an actor.
    pub(super) fn ask_as(&mut self, actor: Arc<Actor>, request: Request) -> Answer {
        self.now = self.now.after_us(1000);
        let ticket = self.db.request_as(self.now, Some(actor), request);
        self.settle();
        self.answers.remove(&ticket).expect("an answer")
    }

    pub(super) fn put(&mut self, key: &str, json: &str) -> (DocId, bool, Cut) {
        let (partition, collection) = (self.main(), "notes".to_owned());
        let (key, texts) = (Some(key.to_owned()), TextPaths::none());
        let answer = self.ask(Request::Put { partition, collection, key, value: value(json), texts });
        let Answer::Written { doc, created, cut, .. } = answer else { panic!("{answer:?}") };
        (doc, created, cut)
    }

    pub(super) fn get(&mut self, name: Name) -> Option<Value> {
        let partition = self.main();
        let answer = self.ask(Request::Get { partition, name });
        let Answer::Document(found) = answer else { panic!("{answer:?}") };
        found.and_then(|found| found.value)
    }

    /// Reads all documents, page by page, and compares their number with the count.
    pub(super) fn all(&mut self, collection: Option<&str>, limit: usize) -> Vec<Found> {
        let (partition, collection) = (self.main(), collection.map(str::to_owned));
        let mut all = Vec::new();
        let (mut after, mut places): (Option<Place>, Vec<(Place, usize)>) = (None, Vec::new());
        loop {
            let request = Request::Page { partition, collection: collection.clone(), after, limit, values: true };
            let Answer::Page { docs, next } = self.ask(request) else { panic!("a page") };
            assert!(docs.len() <= limit);
            all.extend(docs);
            after = next;
            places.extend(after.clone().map(|after| (after, all.len())));
            if after.is_none() {
                let count = |after| Request::Count { partition, collection: collection.clone(), after };
                assert_eq!(self.ask(count(None)), Answer::Count(all.len() as u64));
                for (place, left) in places {
                    assert_eq!(self.ask(count(Some(place))), Answer::Count((all.len() - left) as u64));
                }
                return all;
            }
        }
    }

    pub(super) fn digest(&mut self) -> Answer {
        let partition = self.main();
        self.ask(Request::Digest { partition })
    }

    pub(super) fn import(&mut self, source: &str, name: &str, resume: bool) -> (super::ImportId, Option<Vec<u8>>, u64) {
        let (partition, source) = (self.main(), source.to_owned());
        let answer = self.ask(Request::ImportOpen { partition, source, meta: CollectionMeta::new(name), resume });
        let Answer::ImportOpened { import, checkpoint, rows } = answer else { panic!("{answer:?}") };
        (import, checkpoint, rows)
    }

    pub(super) fn rows(&mut self, import: super::ImportId, rows: Vec<Row>, checkpoint: &[u8]) -> Answer {
        self.ask(Request::ImportRows { import, rows, checkpoint: checkpoint.to_vec() })
    }
}

/// A connection of two nodes, with the link at either end.
pub(super) struct Wire([LinkId; 2]);

impl Wire {
    pub(super) fn connect(nodes: &mut [Node; 2]) -> Self {
        let [a, b] = nodes;
        let wire = Self([a.db.handle_link_up(a.now, Some(Dial::Sync)), b.db.handle_link_up(b.now, None)]);
        wire.carry(nodes);
        wire
    }

    /// Delivers the bytes that node `from` has to send, and no others. Returns whether there were any.
    pub(super) fn deliver(&self, nodes: &mut [Node; 2], from: usize) -> bool {
        let mut bytes = Vec::new();
        let node = &mut nodes[from];
        while node.db.poll_transmit(node.now, self.0[from], &mut bytes) {}
        let node = &mut nodes[1 - from];
        if !bytes.is_empty() {
            node.db.handle_bytes(node.now, self.0[1 - from], &bytes);
        }
        !bytes.is_empty()
    }

    /// Delivers bytes until neither node sends any.
    pub(super) fn carry(&self, nodes: &mut [Node; 2]) {
        loop {
            let mut moved = false;
            nodes.iter_mut().for_each(Node::settle);
            for from in 0..2 {
                moved |= self.deliver(nodes, from);
            }
            if !moved {
                return;
            }
        }
    }
}
