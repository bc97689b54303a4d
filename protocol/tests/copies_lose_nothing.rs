//! Peers of which some are copied byte for byte, keys and all, and go on apart: once each has met each they are equal,
//! and nothing that was reported safe on any of them is missing.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::document::{Meta, TextPaths};
use cosmicsync_protocol::endpoint::{Dial, Event, LinkId, NewDoc};
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::ledger::rows::doc_key;
use cosmicsync_protocol::ledger::{DocRef, Lease};
use cosmicsync_protocol::shelf::{Edit, decode_snapshot};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note, set};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;

/// Documents that each peer makes.
const DOCS: u32 = 2;
/// All of those, and one that any peer may make: of what several made apart, one text wins.
const ALL: u32 = DOCS * PEERS_MAX as u32 + 1;
/// With the copies.
const PEERS_MAX: usize = 5;

#[derive(Debug, Clone)]
enum Do {
    Create { peer: usize, doc: u32 },
    Import { peer: usize, docs: usize },
    Insert { peer: usize, doc: u32, urgent: bool },
    Set { peer: usize, doc: u32, value: i64 },
    Both { peer: usize, doc: u32 },
    Delete { peer: usize, doc: u32, deleted: bool },
    Open { peer: usize, doc: u32 },
    Close { peer: usize, doc: u32 },
    Hold { peer: usize, doc: u32, on: bool },
    Link { from: usize, to: usize },
    Cut { from: usize, to: usize },
    Pass { peer: usize, ms: u64 },
    Crash { peer: usize, keep: usize, broken: bool },
    Copy { peer: usize, keep: usize },
    Run { completions: usize, bytes: usize, rounds: usize },
}

fn anything() -> impl Strategy<Value = Do> {
    let peer = || 0..PEERS_MAX;
    let doc = || 0..ALL;
    let pair = || (0..PEERS_MAX, 1..PEERS_MAX).prop_map(|(from, step)| (from, (from + step) % PEERS_MAX));
    prop_oneof![
        4 => (peer(), 0..=DOCS).prop_map(|(peer, doc)| {
            Do::Create { peer, doc: if doc == DOCS { ALL - 1 } else { peer as u32 * DOCS + doc } }
        }),
        1 => (peer(), 1..4usize).prop_map(|(peer, docs)| Do::Import { peer, docs }),
        8 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, urgent)| Do::Insert { peer, doc, urgent }),
        2 => (peer(), doc(), 0..9i64).prop_map(|(peer, doc, value)| Do::Set { peer, doc, value }),
        2 => (peer(), doc()).prop_map(|(peer, doc)| Do::Both { peer, doc }),
        1 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, deleted)| Do::Delete { peer, doc, deleted }),
        4 => (peer(), doc()).prop_map(|(peer, doc)| Do::Open { peer, doc }),
        3 => (peer(), doc()).prop_map(|(peer, doc)| Do::Close { peer, doc }),
        1 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, on)| Do::Hold { peer, doc, on }),
        4 => pair().prop_map(|(from, to)| Do::Link { from, to }),
        2 => pair().prop_map(|(from, to)| Do::Cut { from, to }),
        2 => (peer(), 0..40u64).prop_map(|(peer, ms)| Do::Pass { peer, ms }),
        2 => (peer(), 0..3usize, prop::bool::weighted(0.3))
            .prop_map(|(peer, keep, broken)| Do::Crash { peer, keep, broken }),
        2 => (peer(), 0..3usize).prop_map(|(peer, keep)| Do::Copy { peer, keep }),
        8 => (0..4usize, 1..3_000usize, 1..12usize)
            .prop_map(|(completions, bytes, rounds)| Do::Run { completions, bytes, rounds }),
    ]
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
            | Self::Copy { peer, .. } => vec![*peer],
            Self::Link { from, to } | Self::Cut { from, to } => vec![*from, *to],
            Self::Run { .. } => Vec::new(),
        }
    }
}

struct Wire {
    ends: [(usize, LinkId); 2],
    flight: [VecDeque<u8>; 2],
}

struct World {
    peers: Vec<Peer>,
    wires: Vec<Wire>,
    seeds: u8,
    tokens: u32,
    imported: u32,
    /// Edits that were taken and not yet reported safe: (peer, commit) -> document and token.
    open: BTreeMap<(usize, u64), Vec<(DocId, String)>>,
    safe: Vec<(DocId, String)>,
    /// How often each peer has each document open.
    pins: BTreeMap<(usize, DocId), u32>,
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

fn config() -> Config {
    Config { recent_bytes_max: 4_000, idle_docs_max: 1, ..Config::default() }
}

impl World {
    fn new() -> Self {
        let stores = founded().iter().cloned();
        let start = |(at, store)| Peer::with_config(store, Lease::Continued, at as u8 + 10, config());
        Self {
            peers: stores.enumerate().map(start).collect(),
            wires: Vec::new(),
            seeds: 20,
            tokens: 0,
            imported: 1_000,
            open: BTreeMap::new(),
            safe: Vec::new(),
            pins: BTreeMap::new(),
        }
    }

    fn doc(&self, peer: usize, doc: u32) -> DocRef {
        DocRef { partition: self.peers[peer].main(), doc: doc_id(doc) }
    }

    fn token(&mut self, doc: u32) -> (DocId, String) {
        self.tokens += 1;
        // Now and then a long one.
        let long = if self.tokens.is_multiple_of(7) { "z".repeat(3_000) } else { String::new() };
        (doc_id(doc), format!("<{}{long}>", self.tokens))
    }

    fn edit(&mut self, peer: usize, edits: Vec<(DocRef, Edit)>, tokens: Vec<(DocId, String)>, urgent: bool) {
        let texts: TextPaths = BODY.iter().copied().collect();
        let state = &mut self.peers[peer];
        if let Ok(commit) = state.endpoint.edit(state.now, &edits, &texts, urgent) {
            self.open.insert((peer, commit.0), tokens);
        }
    }

    fn act(&mut self, step: Do) {
        if !step.peers().iter().all(|peer| *peer < self.peers.len()) {
            return;
        }
        match step {
            Do::Create { peer, doc } => {
                let at = self.doc(peer, doc);
                let token = self.token(doc);
                let collection = self.peers[peer].endpoint.collection_id(SpaceNo(0), "notes");
                let edit = Edit::Create { collection, meta: Meta::default(), value: note(&token.1) };
                self.edit(peer, vec![(at, edit)], vec![token], false);
            }
            Do::Import { peer, docs } => self.import(peer, docs),
            Do::Insert { peer, doc, urgent } => {
                let token = self.token(doc);
                self.edit(peer, vec![(self.doc(peer, doc), insert(0, &token.1))], vec![token], urgent);
            }
            Do::Set { peer, doc, value } => {
                self.edit(peer, vec![(self.doc(peer, doc), set("field", value))], Vec::new(), false);
            }
            Do::Both { peer, doc } => {
                let docs = [doc, (doc + 1) % (ALL)];
                let tokens = docs.map(|doc| self.token(doc));
                let edits = [0, 1].map(|at| (self.doc(peer, docs[at]), insert(0, &tokens[at].1)));
                self.edit(peer, edits.to_vec(), tokens.to_vec(), false);
            }
            Do::Delete { peer, doc, deleted } => {
                self.edit(peer, vec![(self.doc(peer, doc), Edit::SetDeleted(deleted))], Vec::new(), true);
            }
            Do::Open { peer, doc } => {
                let at = self.doc(peer, doc);
                *self.pins.entry((peer, at.doc)).or_default() += 1;
                let state = &mut self.peers[peer];
                state.endpoint.open(state.now, at);
            }
            Do::Close { peer, doc } => {
                let at = self.doc(peer, doc);
                if let Some(pins) = self.pins.get_mut(&(peer, at.doc)).filter(|pins| **pins > 0) {
                    *pins -= 1;
                    let state = &mut self.peers[peer];
                    state.endpoint.close(state.now, at);
                }
            }
            Do::Hold { peer, doc, on } => {
                let at = self.doc(peer, doc);
                let state = &mut self.peers[peer];
                let hold = on.then(|| state.endpoint.seen(at));
                state.endpoint.hold(state.now, at, hold);
            }
            Do::Link { from, to } => self.link(from, to),
            Do::Cut { from, to } => self.cut(|ends| ends.iter().all(|(at, _)| [from, to].contains(at))),
            Do::Pass { peer, ms } => {
                let state = &mut self.peers[peer];
                state.now = state.now.after_us(ms * 1000);
                state.endpoint.handle_timeout(state.now);
            }
            Do::Crash { peer, keep, broken } => self.crash(peer, keep, broken),
            Do::Copy { peer, keep } => self.copy(peer, keep),
            Do::Run { completions, bytes, rounds } => {
                for _ in 0..rounds {
                    self.round(completions, bytes);
                }
            }
        }
    }

    fn import(&mut self, peer: usize, docs: usize) {
        let main = self.peers[peer].main();
        let state = &mut self.peers[peer];
        let collection = state.endpoint.collection_id(SpaceNo(0), "imported");
        let Ok(log) = state.endpoint.bulk_open(state.now, main) else { return };
        let first = self.imported;
        self.imported += docs as u32;
        let new = |number| NewDoc { doc: doc_id(number), meta: Meta::default(), value: note(&format!("<{number}>")) };
        let docs: Vec<NewDoc> = (first..self.imported).map(new).collect();
        let texts = BODY.iter().copied().collect();
        let commit = state.endpoint.bulk_append(state.now, log, collection, &docs, &texts, b"a note", Vec::new());
        state.endpoint.bulk_close(state.now, log);
        if let Ok(commit) = commit {
            let tokens = (first..self.imported).map(|number| (doc_id(number), format!("<{number}>")));
            self.open.insert((peer, commit.0), tokens.collect());
        }
    }

    fn copy(&mut self, peer: usize, keep: usize) {
        if self.peers.len() < PEERS_MAX {
            let store = self.peers[peer].store.crash(keep);
            self.seeds += 1;
            self.peers.push(Peer::with_config(store, Lease::Continued, self.seeds, config()));
        }
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

    fn crash(&mut self, peer: usize, keep: usize, broken: bool) {
        // What was told before the crash was told.
        self.events(peer);
        let store = self.peers[peer].store.crash(keep);
        let now = self.peers[peer].now;
        self.cut(|ends| ends.iter().any(|(at, _)| *at == peer));
        self.seeds += 1;
        let lease = if broken { Lease::Broken } else { Lease::Continued };
        self.peers[peer] = Peer::with_config(store, lease, self.seeds, config());
        self.peers[peer].now = now;
        self.open.retain(|(at, _), _| *at != peer);
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
                let tokens = commits.iter().filter_map(|commit| self.open.remove(&(peer, commit.0)));
                self.safe.extend(tokens.flatten());
            } else if let Event::EditsFailed { commits } = event {
                commits.iter().for_each(|commit| drop(self.open.remove(&(peer, commit.0))));
            } else if let Event::Close { link, .. } = event {
                self.cut(|ends| ends.contains(&(peer, link)));
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

    fn heal(&mut self) {
        for peer in 0..self.peers.len() {
            for doc in 0..ALL {
                let at = self.doc(peer, doc);
                let state = &mut self.peers[peer];
                state.endpoint.hold(state.now, at, None);
            }
        }
        for _ in 0..2 {
            for peer in 0..self.peers.len() {
                self.act(Do::Pass { peer, ms: 1000 });
            }
            self.rest();
        }
        // Copies are one device to others, which talk with one of them at a time.
        for _ in 0..3 {
            for from in 0..self.peers.len() {
                for to in 0..from {
                    self.cut(|_| true);
                    self.link(from, to);
                    self.rest();
                }
            }
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let roots: Vec<_> = self.peers.iter().map(Peer::root).collect();
        if !roots.iter().all(|root| *root == roots[0]) {
            for peer in &self.peers {
                eprintln!("PEER {:?}", peer.root());
                peer.endpoint.logs().for_each(|log| {
                    eprintln!("  {:?} {:?} {}/{}/{} mine {}", log.no, log.id, log.read, log.held, log.entries, log.mine)
                });
            }
        }
        prop_assert!(roots.iter().all(|root| *root == roots[0]), "roots differ");
        for peer in &self.peers {
            let logs: Vec<_> =
                peer.endpoint.logs().filter(|log| log.held < log.entries || log.read < log.held).collect();
            prop_assert!(logs.is_empty(), "unread: {logs:?}");
        }
        for doc in (0..ALL).chain(1_000..self.imported) {
            let mut values = Vec::new();
            for peer in &mut self.peers {
                let at = peer.open(doc_id(doc));
                prop_assert_eq!(peer.endpoint.missing(at), vec![]);
                let live = peer.endpoint.view(at);
                let cached = peer.store.rows().get(&(Table::Value, doc_key(at))).cloned();
                let afresh =
                    Peer::with_config(peer.store.crash(0), Lease::Continued, 99, config()).snapshot(doc_id(doc));
                prop_assert_eq!(&live, &afresh, "what is open is what the entries say");
                if let Some(row) = cached {
                    prop_assert_eq!(&decode_snapshot(&row).ok(), &live, "what is cached is what the entries say");
                }
                values.push(live);
            }
            prop_assert!(values.iter().all(|value| *value == values[0]), "document {doc} differs: {values:?}");
            let text = values[0].as_ref().map(|snapshot| body(&snapshot.value).to_owned()).unwrap_or_default();
            for (_, token) in self.safe.iter().filter(|(at, _)| doc != ALL - 1 && *at == doc_id(doc)) {
                prop_assert!(text.contains(token), "{token} was safe and is not in {text:?}");
            }
        }
        prop_assert!(self.open.is_empty(), "edits that nobody heard of: {:?}", self.open);
        Ok(())
    }
}

fn after(steps: impl IntoIterator<Item = Do>) {
    let mut world = World::new();
    steps.into_iter().for_each(|step| world.act(step));
    world.heal();
    world.check().expect("convergence");
}

#[test]
fn two_copies_open_a_log_apart() {
    after([
        Do::Copy { peer: 0, keep: 0 },
        Do::Copy { peer: 0, keep: 0 },
        Do::Link { from: 4, to: 1 },
        Do::Create { peer: 4, doc: 8 },
        Do::Create { peer: 0, doc: 0 },
        Do::Run { completions: 0, bytes: 1, rounds: 1 },
        Do::Cut { from: 0, to: 1 },
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 6, max_shrink_iters: 4000, ..ProptestConfig::default() })]
    #[test]
    fn copies_lose_nothing(steps in prop::collection::vec(anything(), 1..80)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.act(step));
        world.heal();
        world.check()?;
    }
}
