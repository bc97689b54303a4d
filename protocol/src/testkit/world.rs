//! A few peers in one space to which anything may happen, and the checks that must pass after they met again.
//!
//! A test draws the steps and chooses the final meetings. The world carries the steps out, remembers which edits
//! were reported durable, and compares. Steps about missing peers do nothing.

use crate::config::Config;
use crate::crdt::{Meta, TextPaths};
use crate::documents::{Bulk, Edit, Erasable, Snapshot, decode_snapshot};
use crate::endpoint::{Dial, NewDoc};
use crate::event::Event;
use crate::ids::{DocId, DocRef, LinkId, LogId, SpaceNo};
use crate::storage::Table;
use crate::storage::rows::doc_key;
use crate::sync::Bodies;
use crate::testkit::notes::{BODY, body, doc_id, insert, note, set};
use crate::testkit::peer::{Net, Peer};
use crate::testkit::store::MemStore;
use crate::testkit::tally::{wrong_count, wrong_doubt};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;

/// Number of peers with which a world begins.
pub const PEERS: usize = 3;
/// Most peers, copies included.
pub const PEERS_MAX: usize = 5;

/// Next step. Documents are named by number.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Do {
    /// A document is made.
    Create { peer: usize, doc: u32 },
    /// New documents are appended to the peer's import, which is opened if needed, and closed afterwards if
    /// `close`.
    Import { peer: usize, docs: usize, close: bool },
    /// A token is inserted into a document's text.
    Insert { peer: usize, doc: u32, urgent: bool },
    /// A field of a document is set.
    Set { peer: usize, doc: u32, value: i64 },
    /// A token is inserted into two documents at once.
    Both { peer: usize, doc: u32 },
    /// A document is marked as deleted, or as not deleted.
    Delete { peer: usize, doc: u32, deleted: bool },
    /// A document is opened once more.
    Open { peer: usize, doc: u32 },
    /// A document is closed once.
    Close { peer: usize, doc: u32 },
    /// A document imports nothing new from others (`on`), or everything again.
    Hold { peer: usize, doc: u32, on: bool },
    /// A link comes up.
    Link { from: usize, to: usize },
    /// All links between two break.
    Cut { from: usize, to: usize },
    /// Time passes on one peer.
    Pass { peer: usize, ms: u64 },
    /// A peer starts again, with the first `keep` of the commits under way.
    Crash { peer: usize, keep: usize },
    /// A store is copied byte for byte, as if it had crashed, and the copy starts as a further peer. With the
    /// memory of its process it continues from there: logs fork.
    Copy { peer: usize, keep: usize, memory: bool },
    /// A peer meets another until nothing moves, and is gone for good.
    Leave { peer: usize, to: usize },
    /// A peer chooses the bodies that it fetches.
    Bodies { peer: usize, bodies: Bodies },
    /// Stores and links proceed a little.
    Run { completions: usize, bytes: usize, rounds: usize },
}

impl Do {
    fn peers(&self) -> Vec<usize> {
        match self {
            Self::Create { peer, .. }
            | Self::Import { peer, .. }
            | Self::Insert { peer, .. }
            | Self::Set { peer, .. }
            | Self::Both { peer, .. }
            | Self::Delete { peer, .. }
            | Self::Open { peer, .. }
            | Self::Close { peer, .. }
            | Self::Hold { peer, .. }
            | Self::Pass { peer, .. }
            | Self::Crash { peer, .. }
            | Self::Copy { peer, .. }
            | Self::Bodies { peer, .. } => vec![*peer],
            Self::Link { from, to } | Self::Cut { from, to } => vec![*from, *to],
            Self::Leave { peer, to } => vec![*peer, *to],
            Self::Run { .. } => Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Wire {
    ends: [(usize, LinkId); 2],
    flight: [VecDeque<u8>; 2],
}

/// Peers, their traffic, and their events.
#[derive(Debug)]
pub struct World {
    /// The peers; copies come last.
    pub peers: Vec<Peer>,
    /// Events about logs with several histories, and about spaces that did not become equal.
    pub alarms: Vec<(usize, Event)>,
    wires: Vec<Wire>,
    seeds: u8,
    tokens: u32,
    /// Number of documents that the steps may name. Any peer may make the last one: if several made it apart, one
    /// text wins.
    docs: u32,
    /// The number of the next imported document.
    next_import: u32,
    imports: BTreeMap<usize, LogId>,
    /// Edits that were taken and not yet reported durable: (peer, commit) -> document and token.
    waiting: BTreeMap<(usize, u64), Vec<(DocId, String)>>,
    safe: Vec<(DocId, String)>,
    /// Number of times that each peer has each document open.
    pins: BTreeMap<(usize, DocId), u32>,
    /// True if a process was resumed beside itself: tokens may occur twice, and some are shown only after
    /// republication.
    resumed: bool,
    gone: BTreeSet<usize>,
    config: Config,
}

fn founded() -> &'static [MemStore] {
    static STORES: OnceLock<Vec<MemStore>> = OnceLock::new();
    STORES.get_or_init(|| {
        let mut first = Peer::new(1);
        first.found("home");
        let mut net = Net::new(vec![first, Peer::new(2), Peer::new(3)]);
        net.join(1, 0);
        net.join(2, 0);
        net.peers.iter().map(|peer| peer.store.crash(0)).collect()
    })
}

/// Returns the configuration of a world's peers: with little memory, so that much is read back.
pub fn config() -> Config {
    Config { recent_bytes_max: 4_000, idle_docs_max: 1, values_min: 1, ..Config::default() }
}

impl World {
    /// Makes three devices of one user that share a space, none linked. Steps may name documents below `docs`.
    pub fn new(docs: u32) -> Self {
        Self::with_config(docs, config())
    }

    /// Makes the same world with peers of this configuration.
    pub fn with_config(docs: u32, config: Config) -> Self {
        let stores = founded().iter().cloned();
        let start = |(at, store)| Peer::with_config(store, at as u8 + 10, config.clone());
        Self {
            peers: stores.enumerate().map(start).collect(),
            alarms: Vec::new(),
            wires: Vec::new(),
            seeds: 20,
            tokens: 0,
            docs,
            next_import: docs,
            imports: BTreeMap::new(),
            waiting: BTreeMap::new(),
            safe: Vec::new(),
            pins: BTreeMap::new(),
            resumed: false,
            gone: BTreeSet::new(),
            config,
        }
    }

    /// Carries out a step.
    ///
    /// # Panics
    /// If a store fails.
    pub fn act(&mut self, step: Do) {
        if !step.peers().iter().all(|peer| *peer < self.peers.len() && !self.gone.contains(peer)) {
            return;
        }
        match step {
            Do::Create { peer, doc } => {
                let at = self.doc(peer, doc);
                let token = self.token(doc);
                let collection = self.peers[peer].endpoint.collection_id(SpaceNo(0), "notes").expect("a space");
                let edit = Edit::Create { collection, meta: Meta::default(), value: note(&token.1) };
                self.edit(peer, vec![(at, edit)], vec![token], false);
            }
            Do::Import { peer, docs, close } => self.import(peer, docs, close),
            Do::Insert { peer, doc, urgent } => {
                let token = self.token(doc);
                self.edit(peer, vec![(self.doc(peer, doc), insert(0, &token.1))], vec![token], urgent);
            }
            Do::Set { peer, doc, value } => {
                self.edit(peer, vec![(self.doc(peer, doc), set("field", value))], Vec::new(), false);
            }
            Do::Both { peer, doc } => {
                let docs = [doc, (doc + 1) % self.docs];
                let tokens = docs.map(|doc| self.token(doc));
                let edits = [0, 1].map(|at| (self.doc(peer, docs[at]), insert(0, &tokens[at].1)));
                self.edit(peer, edits.to_vec(), tokens.to_vec(), false);
            }
            Do::Delete { peer, doc, deleted } => {
                self.edit(peer, vec![(self.doc(peer, doc), Edit::SetDeleted(deleted))], Vec::new(), true);
            }
            Do::Open { peer, doc } => self.open(peer, doc),
            Do::Close { peer, doc } => self.close(peer, doc),
            Do::Hold { peer, doc, on } => self.hold(peer, doc, on),
            Do::Link { from, to } => self.link(from, to),
            Do::Cut { from, to } => self.cut(|ends| ends.iter().all(|(at, _)| [from, to].contains(at))),
            Do::Pass { peer, ms } => {
                let state = &mut self.peers[peer];
                state.now = state.now.after_us(ms * 1000);
                state.endpoint.handle_timeout(state.now);
            }
            Do::Crash { peer, keep } => self.crash(peer, keep),
            Do::Copy { peer, keep, memory } => self.copy(peer, keep, memory),
            Do::Leave { peer, to } => self.leave(peer, to),
            Do::Bodies { peer, bodies } => {
                let state = &mut self.peers[peer];
                state.endpoint.set_bodies(state.now, SpaceNo(0), bodies).expect("a space");
            }
            Do::Run { completions, bytes, rounds } => {
                for _ in 0..rounds {
                    self.round(completions, bytes);
                }
            }
        }
    }

    /// Lets all peers have all bodies, removes all holds, and runs until everything rests.
    pub fn heal(&mut self) {
        for peer in 0..self.peers.len() {
            self.act(Do::Bodies { peer, bodies: Bodies::All });
            (0..self.next_import).for_each(|doc| self.act(Do::Hold { peer, doc, on: false }));
        }
        for _ in 0..2 {
            (0..self.peers.len()).for_each(|peer| self.act(Do::Pass { peer, ms: 1000 }));
            self.rest();
        }
    }

    /// Breaks all links, makes these, and runs until everything rests.
    pub fn meet(&mut self, pairs: &[(usize, usize)]) {
        self.cut(|_| true);
        let here = |(from, to): &&(usize, usize)| !self.gone.contains(from) && !self.gone.contains(to);
        let pairs: Vec<(usize, usize)> = pairs.iter().filter(here).copied().collect();
        pairs.into_iter().for_each(|(from, to)| self.link(from, to));
        self.rest();
    }

    /// Has a peer republish excluded content that is not shown, as on a person's request.
    pub fn publish_excluded(&mut self) {
        let Some(peer) = (0..self.peers.len()).find(|peer| self.resumed && !self.gone.contains(peer)) else { return };
        for doc in 0..self.next_import {
            let state = &mut self.peers[peer];
            let at = state.open(doc_id(doc));
            if !state.endpoint.excluded_entries(at).is_empty() {
                state.endpoint.publish_excluded(state.now, at);
                state.settle();
            }
            state.endpoint.close(state.now, at);
        }
    }

    /// Compares all peers, with each other and with their state after a restart.
    ///
    /// # Panics
    /// If they differ, lack something, or lost an edit that was reported durable.
    pub fn check(&mut self) {
        let here = (0..self.peers.len()).filter(|peer| !self.gone.contains(peer));
        let roots: Vec<_> = here.map(|peer| self.peers[peer].root()).collect();
        assert!(roots.iter().all(|root| *root == roots[0]), "roots differ: {:#?}", self.logs());
        for (at, peer) in self.peers.iter().enumerate().filter(|(at, _)| !self.gone.contains(at)) {
            let unread = peer.endpoint.logs().any(|log| log.held < log.entries || log.read < log.held);
            assert!(!unread, "peer {at} did not read all: {:#?}", self.logs());
        }
        for doc in 0..self.next_import {
            let here = self.peers.iter_mut().enumerate().filter(|(at, _)| !self.gone.contains(at));
            let values: Vec<_> = here.map(|(_, peer)| checked(peer, doc, &self.config)).collect();
            assert!(values.iter().all(|value| *value == values[0]), "document {doc} differs: {values:?}");
            let text = values[0].as_ref().map(|snapshot| body(&snapshot.value)).unwrap_or_default();
            for (_, token) in self.safe.iter().filter(|(at, _)| doc != self.docs - 1 && *at == doc_id(doc)) {
                let times = text.matches(token).count();
                assert!(times > 0, "{token} was safe and is not in {text:?} of document {doc}");
                assert!(times == 1 || self.resumed, "{token} stands {times} times in {text:?} of document {doc}");
            }
        }
        assert!(self.waiting.is_empty(), "edits that nobody heard of: {:?}", self.waiting);
    }

    /// Returns the logs of all peers, one per line.
    fn logs(&self) -> Vec<Vec<String>> {
        let line = |log: crate::endpoint::LogInfo| {
            format!("{:?} {:?} read {}/{}/{} mine {}", log.no, log.id, log.read, log.held, log.entries, log.mine)
        };
        self.peers.iter().map(|peer| peer.endpoint.logs().map(line).collect()).collect()
    }

    fn doc(&self, peer: usize, doc: u32) -> DocRef {
        DocRef { partition: self.peers[peer].main(), doc: doc_id(doc) }
    }

    fn token(&mut self, doc: u32) -> (DocId, String) {
        self.tokens += 1;
        // Every seventh token is a long one.
        let long = if self.tokens.is_multiple_of(7) { "z".repeat(3_000) } else { String::new() };
        (doc_id(doc), format!("<{}{long}>", self.tokens))
    }

    fn edit(&mut self, peer: usize, edits: Vec<(DocRef, Edit)>, tokens: Vec<(DocId, String)>, urgent: bool) {
        let texts: TextPaths = BODY.iter().copied().collect();
        // Only open documents can be edited.
        for (at, _) in &edits {
            let pins = self.pins.entry((peer, at.doc)).or_default();
            if *pins == 0 {
                *pins = 1;
                let state = &mut self.peers[peer];
                state.endpoint.open(state.now, *at);
                state.settle();
            }
        }
        let state = &mut self.peers[peer];
        if let Ok(commit) = state.endpoint.edit(state.now, &edits, &texts, urgent) {
            self.waiting.insert((peer, commit.0), tokens);
        }
    }

    fn open(&mut self, peer: usize, doc: u32) {
        let at = self.doc(peer, doc);
        *self.pins.entry((peer, at.doc)).or_default() += 1;
        let state = &mut self.peers[peer];
        state.endpoint.open(state.now, at);
    }

    fn close(&mut self, peer: usize, doc: u32) {
        let at = self.doc(peer, doc);
        if let Some(pins) = self.pins.get_mut(&(peer, at.doc)).filter(|pins| **pins > 0) {
            *pins -= 1;
            let state = &mut self.peers[peer];
            state.endpoint.close(state.now, at);
        }
    }

    fn hold(&mut self, peer: usize, doc: u32, on: bool) {
        let at = self.doc(peer, doc);
        let state = &mut self.peers[peer];
        let hold = on.then(|| state.endpoint.seen(at));
        state.endpoint.hold(state.now, at, hold);
    }

    fn import(&mut self, peer: usize, docs: usize, close: bool) {
        let main = self.peers[peer].main();
        let state = &mut self.peers[peer];
        let collection = state.endpoint.collection_id(SpaceNo(0), "imported").expect("a space");
        let begun = self.imports.get(&peer).and_then(|id| state.endpoint.log_no(id));
        let Some(log) = begun.or_else(|| state.endpoint.bulk_open(state.now, main).ok()) else { return };
        let numbers = self.next_import..self.next_import + docs as u32;
        self.next_import = numbers.end;
        let word = |number| format!("<import {number}>");
        let new = |number| NewDoc { doc: doc_id(number), meta: Meta::default(), value: note(&word(number)) };
        let docs: Vec<NewDoc> = numbers.clone().map(new).collect();
        let texts = BODY.iter().copied().collect();
        let erasable = if docs.len().is_multiple_of(2) { Erasable::Together } else { Erasable::Alone };
        let unknown = (!docs.len().is_multiple_of(3)).then(|| state.endpoint.moment());
        let bulk = Bulk { collection, docs: &docs, texts: &texts, dictionary: b"a note", erasable, unknown };
        let commit = state.endpoint.bulk_append(state.now, log, &bulk, Vec::new());
        match state.endpoint.log_id(log).filter(|_| commit.is_ok() && !close) {
            Some(id) => drop(self.imports.insert(peer, id)),
            None => {
                state.endpoint.bulk_close(state.now, log);
                self.imports.remove(&peer);
            }
        }
        if let Ok(commit) = commit {
            self.waiting.insert((peer, commit.0), numbers.map(|number| (doc_id(number), word(number))).collect());
        }
    }

    fn copy(&mut self, peer: usize, keep: usize, memory: bool) {
        if self.peers.len() < PEERS_MAX {
            let (store, image) = (self.peers[peer].store.crash(keep), self.peers[peer].endpoint.image());
            self.seeds += 1;
            self.resumed |= memory;
            self.peers.push(match memory {
                true => Peer::resume(store, image, self.seeds, self.config.clone()),
                false => Peer::with_config(store, self.seeds, self.config.clone()),
            });
        }
    }

    fn leave(&mut self, peer: usize, to: usize) {
        if self.peers.len() - self.gone.len() < 3 {
            return;
        }
        self.cut(|ends| ends.iter().any(|(at, _)| [peer, to].contains(at)));
        for at in [peer, to] {
            self.act(Do::Bodies { peer: at, bodies: Bodies::All });
            self.act(Do::Pass { peer: at, ms: 1000 });
        }
        self.link(peer, to);
        self.rest();
        self.cut(|ends| ends.iter().any(|(at, _)| *at == peer));
        self.waiting.retain(|(at, _), _| *at != peer);
        self.gone.insert(peer);
    }

    fn link(&mut self, from: usize, to: usize) {
        let mut up = |at: usize, dial| {
            let state = &mut self.peers[at];
            (at, state.endpoint.handle_link_up(state.now, dial))
        };
        let ends = [up(from, Some(Dial::Sync)), up(to, None)];
        self.wires.push(Wire { ends, flight: Default::default() });
    }

    fn cut(&mut self, which: impl Fn([(usize, LinkId); 2]) -> bool) {
        let (gone, kept): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.wires).into_iter().partition(|wire| which(wire.ends));
        self.wires = kept;
        for (peer, link) in gone.iter().flat_map(|wire| wire.ends) {
            let state = &mut self.peers[peer];
            state.endpoint.handle_link_lost(state.now, link);
        }
    }

    fn crash(&mut self, peer: usize, keep: usize) {
        // Events before the crash were reported.
        self.events(peer);
        let store = self.peers[peer].store.crash(keep);
        let now = self.peers[peer].now;
        self.cut(|ends| ends.iter().any(|(at, _)| *at == peer));
        self.seeds += 1;
        self.peers[peer] = Peer::with_config(store, self.seeds, self.config.clone());
        self.peers[peer].now = now;
        self.waiting.retain(|(at, _), _| *at != peer);
        self.pins.retain(|(at, _), _| *at != peer);
    }

    fn events(&mut self, peer: usize) -> bool {
        let state = &mut self.peers[peer];
        let mut events = state.take_events();
        events.extend(core::iter::from_fn(|| state.endpoint.poll_event()));
        let any = !events.is_empty();
        for event in events {
            assert!(!matches!(event, Event::StoreFailed { .. }), "peer {peer}: {event:?}");
            if let Event::Committed { commits } = event {
                let tokens = commits.iter().filter_map(|commit| self.waiting.remove(&(peer, commit.0)));
                self.safe.extend(tokens.flatten());
            } else if let Event::EditsFailed { commits } = event {
                commits.iter().for_each(|commit| drop(self.waiting.remove(&(peer, commit.0))));
            } else if let Event::Close { link, .. } = event {
                self.cut(|ends| ends.contains(&(peer, link)));
            } else if let Event::Forked { .. } | Event::Mismatch { .. } | Event::Retired { .. } = event {
                self.alarms.push((peer, event));
            }
        }
        any
    }

    /// Moves a little of everything. Returns whether anything moved.
    fn round(&mut self, completions: usize, bytes: usize) -> bool {
        let mut moved = false;
        for peer in 0..self.peers.len() {
            moved |= self.events(peer);
            let state = &mut self.peers[peer];
            while let Some(request) = state.endpoint.poll_store() {
                state.store.submit(request);
                moved = true;
            }
            for _ in 0..completions {
                let Some(done) = state.store.complete_next() else { break };
                state.endpoint.handle_stored(state.now, done);
                moved = true;
            }
        }
        for wire in &mut self.wires {
            for (from, to) in [(0, 1), (1, 0)] {
                let (peer, link) = wire.ends[from];
                let state = &mut self.peers[peer];
                let flight = &mut wire.flight[from];
                let mut out = Vec::new();
                while flight.len() + out.len() < 100_000 && state.endpoint.poll_transmit(state.now, link, &mut out) {}
                flight.extend(out);
                let piece: Vec<u8> = flight.drain(..bytes.min(flight.len())).collect();
                if !piece.is_empty() {
                    let (peer, link) = wire.ends[to];
                    let state = &mut self.peers[peer];
                    state.endpoint.handle_bytes(state.now, link, &piece);
                    moved = true;
                }
            }
        }
        moved
    }

    fn rest(&mut self) {
        for _ in 0..20_000 {
            if !self.round(100, 100_000) {
                return;
            }
        }
        panic!("no rest");
    }
}

/// Returns a document's current state on a peer, after comparing it with its cached value and with its state after
/// a restart.
fn checked(peer: &mut Peer, doc: u32, config: &Config) -> Option<Snapshot> {
    let at = peer.open(doc_id(doc));
    assert_eq!(peer.endpoint.missing(at), [], "of document {doc}");
    let live = peer.endpoint.view(at);
    let cached = peer.store.rows().get(&(Table::Value, doc_key(at))).cloned();
    let afresh = Peer::with_config(peer.store.crash(0), 99, config.clone()).snapshot(doc_id(doc));
    assert_eq!(live, afresh, "what is open of document {doc} is what the entries say");
    if let Some(row) = cached {
        assert_eq!(decode_snapshot(&row).ok(), live, "what is cached of document {doc} is what the entries say");
    }
    assert_eq!(wrong_count(peer.store.rows()), None);
    for name in ["notes", "imported"] {
        let collection = peer.endpoint.collection_id(SpaceNo(0), name).expect("a space");
        let wrong = wrong_doubt(peer.store.rows(), at, &collection, live.as_ref());
        assert_eq!(wrong, None, "of document {doc}");
    }
    live
}
