//! An endpoint with a store in memory, and a network of them: the smallest possible runtime.

use crate::config::Config;
use crate::crdt::{Meta, TextPaths, Value};
use crate::documents::{Edit, EditError, Snapshot};
use crate::endpoint::{Dial, Endpoint};
use crate::endpoint::{Recovery, Step};
use crate::event::Event;
use crate::ids::{CommitId, DocId, DocRef, LinkId, LogId, PartNo, SpaceNo};
use crate::ledger::Image;
use crate::pump::{Io, pump};
use crate::sealed::Invite;
use crate::storage::StoreRequest;
use crate::testkit::store::MemStore;
use crate::time::Now;
use std::collections::{BTreeMap, VecDeque};

/// An endpoint, its store, and its events so far.
#[derive(Debug)]
pub struct Peer {
    /// The core.
    pub endpoint: Endpoint,
    /// Store of the peer.
    pub store: MemStore,
    /// Events that no test took yet.
    pub events: Vec<Event>,
    /// The time.
    pub now: Now,
    /// Hash over every request, event and sent byte, if present: equal hashes mean equal outputs.
    pub trace: Option<Box<blake3::Hasher>>,
}

impl Peer {
    /// Makes a peer with an empty store.
    pub fn new(seed: u8) -> Self {
        Self::recover(MemStore::new(), seed)
    }

    /// Makes a peer with an empty store and a seed of full length.
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self::start(MemStore::new(), None, seed, Config::default())
    }

    /// Starts a peer from a store.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn recover(store: MemStore, seed: u8) -> Self {
        Self::with_config(store, seed, Config::default())
    }

    /// Starts a peer from a store with a configuration of its own.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn with_config(store: MemStore, seed: u8, config: Config) -> Self {
        Self::start(store, None, [seed; 32], config)
    }

    /// Starts a peer that continues as a copy of another process, memory included.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn resume(store: MemStore, image: Image, seed: u8, config: Config) -> Self {
        Self::start(store, Some(image), [seed; 32], config)
    }

    fn start(mut store: MemStore, image: Option<Image>, seed: [u8; 32], config: Config) -> Self {
        let now = Now { mono_us: 1, wall_ms: 1_700_000_000_000 };
        let recovery = Recovery::new(config, seed);
        let mut recovery = match image {
            Some(image) => recovery.resume(image),
            None => recovery,
        };
        let endpoint = loop {
            while let Some(request) = recovery.poll_store() {
                store.submit(request);
            }
            let done = store.complete_next().expect("recovery waits for its reads");
            match recovery.step(now, done).expect("the store can be read") {
                Step::More(more) => recovery = more,
                Step::Ready(endpoint) => break *endpoint,
            }
        };
        let mut peer = Self { endpoint, store, events: Vec::new(), now, trace: None };
        peer.settle();
        peer
    }

    /// Completes store requests and takes events until none is left. Bytes for links stay where they are.
    ///
    /// # Panics
    /// If the endpoint never comes to rest.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let mut io = Kept { store: &mut self.store, events: &mut self.events, trace: self.trace.as_deref_mut() };
            let deadline = pump(&mut self.endpoint, self.now, &mut io);
            match self.store.complete_next() {
                Some(done) => self.endpoint.handle_stored(self.now, done),
                None if deadline.is_some_and(|deadline| deadline.at_us <= self.now.mono_us) => {}
                None => return,
            }
        }
        panic!("the endpoint asks its store for ever");
    }

    /// Lets time pass and fires what is due.
    pub fn pass(&mut self, us: u64) {
        self.now = self.now.after_us(us);
        self.settle();
    }

    /// Takes the events so far.
    pub fn take_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    /// Makes a user and a space.
    ///
    /// # Panics
    /// If there is one already.
    pub fn found(&mut self, name: &str) -> SpaceNo {
        self.endpoint.create_user(self.now).expect("a new user");
        let space = self.endpoint.create_space(self.now, name).expect("a new space");
        self.settle();
        space
    }

    /// Returns the partition `main` of the first space.
    ///
    /// # Panics
    /// If there is no such partition yet.
    pub fn main(&self) -> PartNo {
        self.endpoint.partition(SpaceNo(0), "main").expect("a space was founded or joined")
    }

    /// Opens a document and reads it.
    pub fn open(&mut self, doc: DocId) -> DocRef {
        let doc = DocRef { partition: self.main(), doc };
        self.endpoint.open(self.now, doc);
        self.settle();
        doc
    }

    /// Makes a document in the collection `notes`.
    ///
    /// # Panics
    /// If the document is refused.
    pub fn create(&mut self, doc: DocId, value: Value, texts: &[&str]) -> DocRef {
        let doc = self.open(doc);
        let collection = self.endpoint.collection_id(SpaceNo(0), "notes").expect("a space");
        let meta = Meta { collection: Some("notes".into()), ..Meta::default() };
        self.edit(doc, Edit::Create { collection, meta, value }, texts).expect("a new document");
        doc
    }

    /// Edits an open document, urgently.
    ///
    /// # Errors
    /// Fails if the endpoint refuses the edit.
    pub fn edit(&mut self, doc: DocRef, edit: Edit, texts: &[&str]) -> Result<CommitId, EditError> {
        let texts: TextPaths = texts.iter().copied().collect();
        let commit = self.endpoint.edit(self.now, &[(doc, edit)], &texts, true)?;
        self.settle();
        Ok(commit)
    }

    /// Returns the logs that this peer writes.
    pub fn own_logs(&self) -> Vec<LogId> {
        self.endpoint.logs().filter(|log| log.mine).map(|log| log.id).collect()
    }

    /// Returns the root of the first space, which peers compare.
    pub fn root(&self) -> Option<[u8; 16]> {
        self.endpoint.spaces().next().map(|space| space.root)
    }

    /// Returns a document's current state, opened for the purpose; `None` if it does not exist here.
    pub fn snapshot(&mut self, doc: DocId) -> Option<Snapshot> {
        let doc = self.open(doc);
        let snapshot = self.endpoint.view(doc);
        self.endpoint.close(self.now, doc);
        self.settle();
        snapshot
    }

    /// Returns the value of a document, opened for the purpose; `None` if it does not exist here.
    pub fn value(&mut self, doc: DocId) -> Option<Value> {
        self.snapshot(doc).map(|snapshot| snapshot.value)
    }
}

/// Passes on requests and events of a core, but takes no bytes: those are fetched when they are to travel.
#[derive(Debug)]
pub struct Kept<'a> {
    /// Receiver of the requests.
    pub store: &'a mut MemStore,
    /// Receiver of the events.
    pub events: &'a mut Vec<Event>,
    /// Hash over both.
    pub trace: Option<&'a mut blake3::Hasher>,
}

impl Io for Kept<'_> {
    fn store(&mut self, request: StoreRequest) {
        if let Some(trace) = &mut self.trace {
            trace.update(format!("{request:?}").as_bytes());
        }
        self.store.submit(request);
    }

    fn has_room(&mut self, _: LinkId) -> bool {
        false
    }

    fn send(&mut self, link: LinkId, _: Vec<u8>) {
        unreachable!("{link:?} has no room");
    }

    fn event(&mut self, event: Event) {
        if let Some(trace) = &mut self.trace {
            trace.update(format!("{event:?}").as_bytes());
        }
        self.events.push(event);
    }
}

/// Two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// (peer, link) at the dialling end, then at the other.
    pub ends: [(usize, LinkId); 2],
}

/// Peers and the connections between them. Bytes travel in order and at once, in pieces of at most `piece` bytes.
#[derive(Debug)]
pub struct Net {
    /// The peers.
    pub peers: Vec<Peer>,
    wires: Vec<Wire>,
    /// Size of the pieces into which the bytes are cut.
    pub piece: usize,
    /// Bytes that each peer sent.
    pub sent: Vec<u64>,
    /// Number of transport turns: changes of the direction of the traffic.
    pub turns: u64,
}

impl Net {
    /// Makes a network without connections.
    pub fn new(peers: Vec<Peer>) -> Self {
        let sent = vec![0; peers.len()];
        Self { peers, wires: Vec::new(), piece: usize::MAX, sent, turns: 0 }
    }

    /// Makes two peers of one user: `b` joined `a`'s space and is linked to `a`.
    ///
    /// # Panics
    /// If joining fails.
    pub fn joined() -> Self {
        let mut a = Peer::new(1);
        a.found("home");
        let mut net = Self::new(vec![a, Peer::new(2)]);
        net.join(1, 0);
        net.dial(1, 0);
        net.run();
        net
    }

    /// Has `joiner` join the first space of `inviter`.
    ///
    /// # Panics
    /// If joining fails.
    pub fn join(&mut self, joiner: usize, inviter: usize) {
        let peer = &mut self.peers[inviter];
        let expires = peer.now.wall_ms + 60_000;
        let invite = peer
            .endpoint
            .invite(peer.now, SpaceNo(0), vec!["127.0.0.1:1".into()], expires)
            .expect("the founder invites");
        peer.settle();
        let line = invite.to_line();
        let invite = Invite::parse(&line).expect("what was written is read");
        self.link(joiner, inviter, Dial::Join(Box::new(invite)));
        self.run();
        let joined = self.peers[joiner].events.iter().any(|event| matches!(event, Event::Joined { .. }));
        assert!(joined, "joined: {:?} {:?}", self.peers[joiner].events, self.peers[inviter].events);
    }

    /// Links two peers to sync.
    pub fn dial(&mut self, from: usize, to: usize) -> Wire {
        self.link(from, to, Dial::Sync)
    }

    /// Links two peers.
    pub fn link(&mut self, from: usize, to: usize, dial: Dial) -> Wire {
        let now = self.peers[from].now;
        let here = self.peers[from].endpoint.handle_link_up(now, Some(dial));
        let now = self.peers[to].now;
        let there = self.peers[to].endpoint.handle_link_up(now, None);
        let wire = Wire { ends: [(from, here), (to, there)] };
        self.wires.push(wire);
        wire
    }

    /// Breaks all connections.
    pub fn cut(&mut self) {
        for wire in core::mem::take(&mut self.wires) {
            for (peer, link) in wire.ends {
                let now = self.peers[peer].now;
                self.peers[peer].endpoint.handle_link_lost(now, link);
                self.peers[peer].settle();
            }
        }
    }

    /// Carries bytes and completes store requests until nothing moves.
    ///
    /// # Panics
    /// If the network does not come to rest within a hundred thousand rounds.
    pub fn run(&mut self) {
        let mut last = None;
        for _ in 0..100_000 {
            let mut moved = false;
            for peer in &mut self.peers {
                peer.settle();
            }
            for wire in self.wires.clone() {
                for (from, to) in [(0, 1), (1, 0)] {
                    let bytes = self.drain(wire.ends[from]);
                    if bytes.is_empty() {
                        continue;
                    }
                    moved = true;
                    if last != Some(wire.ends[from]) {
                        self.turns += 1;
                        last = Some(wire.ends[from]);
                    }
                    self.deliver(wire.ends[to], &bytes);
                }
            }
            self.drop_closed();
            if !moved {
                return;
            }
        }
        panic!("the network does not come to rest");
    }

    fn drain(&mut self, (peer, link): (usize, LinkId)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let state = &mut self.peers[peer];
        while state.endpoint.poll_transmit(state.now, link, &mut bytes) {}
        if let Some(trace) = &mut state.trace {
            trace.update(&bytes);
        }
        self.sent[peer] += bytes.len() as u64;
        bytes
    }

    fn deliver(&mut self, (peer, link): (usize, LinkId), bytes: &[u8]) {
        let state = &mut self.peers[peer];
        for piece in bytes.chunks(self.piece) {
            state.endpoint.handle_bytes(state.now, link, piece);
            state.settle();
        }
    }

    fn drop_closed(&mut self) {
        let mut closed: BTreeMap<usize, Vec<LinkId>> = BTreeMap::new();
        for (at, peer) in self.peers.iter().enumerate() {
            for event in &peer.events {
                if let Event::Close { link, .. } = event {
                    closed.entry(at).or_default().push(*link);
                }
            }
        }
        let is_closed = |(peer, link): &(usize, LinkId)| closed.get(peer).is_some_and(|links| links.contains(link));
        let (gone, kept): (VecDeque<Wire>, VecDeque<Wire>) =
            self.wires.iter().partition(|wire| wire.ends.iter().any(is_closed));
        self.wires = kept.into();
        for wire in gone {
            for [from, to] in [[0, 1], [1, 0]] {
                let bytes = self.drain(wire.ends[from]);
                self.deliver(wire.ends[to], &bytes);
            }
            for (peer, link) in wire.ends {
                let now = self.peers[peer].now;
                self.peers[peer].endpoint.handle_link_lost(now, link);
                self.peers[peer].settle();
            }
        }
    }
}
