//! Stores and sessions in memory: opaque entries, a chain that anyone can check, and links that keep order.

use super::*;
use crate::entropy::Entropy;
use crate::sync::{Bodies, Follow, LeafItem, NodeView, Scope, Tip};
use std::cell::RefCell;

pub(super) const SPACE: SpaceNo = SpaceNo(7);
const TOKEN: [u8; 16] = [9; 16];

#[derive(Debug, Clone)]
pub(super) struct FakeLog {
    pub(super) partition: [u8; 16],
    pub(super) class: Class,
    pub(super) entries: BTreeMap<u64, Bytes>,
    pub(super) hashes: BTreeMap<u64, [u8; 32]>,
    pub(super) entries_to: u64,
    pub(super) tip_to: u64,
}

/// Hashes of trie nodes, until the store changes.
type NodeHashes = BTreeMap<(Scope, Vec<u8>), [u8; 16]>;

/// One store: the durable content of a registry of logs.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) incarnation: Incarnation,
    pub(super) ids: Vec<LogId>,
    pub(super) logs: BTreeMap<LogId, FakeLog>,
    pub(super) numbers: BTreeMap<LogId, LogNo>,
    pub(super) journal: BTreeMap<u64, LogNo>,
    pub(super) journaled: BTreeMap<LogNo, u64>,
    pub(super) position: u64,
    pub(super) cursors: BTreeMap<usize, Cursor>,
    pub(super) follow: Follow,
    pub(super) bodies: Bodies,
    nodes: RefCell<NodeHashes>,
}

/// The store, as seen by the session with one peer.
pub(super) struct View<'a>(pub(super) &'a Store, pub(super) usize);

pub(super) fn chain(prev: [u8; 32], entry: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("test chain");
    hasher.update(&prev).update(entry);
    *hasher.finalize().as_bytes()
}

pub(super) fn sign(id: &LogId, seq: u64, h: &[u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    let mut hasher = blake3::Hasher::new_derive_key("test signature");
    hasher.update(&id.0).update(&seq.to_le_bytes()).update(h);
    hasher.finalize_xof().fill(&mut signature);
    signature
}

fn card(log: &FakeLog, id: &LogId) -> Bytes {
    let mut card = log.partition.to_vec();
    card.resize(32, 0);
    card.push(log.class as u8);
    card.extend_from_slice(&TOKEN);
    card.extend_from_slice(&id.0);
    card.resize(190, 0);
    card.into()
}

impl Store {
    pub(super) fn new(incarnation: u8) -> Self {
        Self {
            incarnation: Incarnation([incarnation; 8]),
            ids: Vec::new(),
            logs: BTreeMap::new(),
            numbers: BTreeMap::new(),
            journal: BTreeMap::new(),
            journaled: BTreeMap::new(),
            position: 0,
            cursors: BTreeMap::new(),
            follow: Follow::All,
            bodies: Bodies::All,
            nodes: RefCell::default(),
        }
    }

    pub(super) fn create(&mut self, id: LogId, partition: [u8; 16], class: Class) {
        self.numbers.insert(id, LogNo(self.ids.len() as u32));
        self.ids.push(id);
        let (entries, hashes) = Default::default();
        self.logs.insert(id, FakeLog { partition, class, entries, hashes, entries_to: 0, tip_to: 0 });
    }

    fn journal(&mut self, id: &LogId) {
        let no = self.numbers[id];
        if let Some(position) = self.journaled.remove(&no) {
            self.journal.remove(&position);
        }
        self.position += 1;
        self.journal.insert(self.position, no);
        self.journaled.insert(no, self.position);
        self.nodes.borrow_mut().clear();
    }

    /// Appends an own entry durably. Returns the arguments for `handle_grown`.
    pub(super) fn append(&mut self, id: &LogId, entry: Bytes) -> (LogNo, u64) {
        let log = self.logs.get_mut(id).unwrap();
        let seq = log.entries_to;
        let prev = seq.checked_sub(1).map_or([0; 32], |seq| log.hashes[&seq]);
        log.hashes.insert(seq, chain(prev, &entry));
        log.entries.insert(seq, entry);
        (log.entries_to, log.tip_to) = (seq + 1, seq + 1);
        self.journal(id);
        (self.numbers[id], seq)
    }

    /// Verifies and stores a run. Returns the first new seq, if any entry was new.
    pub(super) fn store_run(&mut self, id: &LogId, card: Option<&Bytes>, run: &Run) -> Option<u64> {
        self.learn(id, card);
        let log = self.logs.get_mut(id).unwrap();
        if self.bodies == Bodies::All {
            assert!(run.start <= log.entries_to, "a gap was handed on");
        }
        let mut h = run.h_prev;
        let mut is_new = false;
        for (seq, entry) in (run.start..).zip(&run.entries) {
            h = chain(h, entry);
            if let Some(known) = log.hashes.insert(seq, h) {
                assert_eq!(known, h, "a fork that this test didn't ask for");
            }
            is_new |= log.entries.insert(seq, entry.clone()).is_none();
        }
        assert_eq!(run.signature, sign(id, run.end() - 1, &h));
        let from = log.entries_to.min(run.end());
        log.entries_to = log.entries_to.max(run.end());
        log.tip_to = log.tip_to.max(run.end());
        is_new.then(|| self.journal(id)).map(|()| from)
    }

    pub(super) fn store_head(&mut self, id: &LogId, card: Option<&Bytes>, seq: u64, h: [u8; 32]) -> u64 {
        self.learn(id, card);
        let log = self.logs.get_mut(id).unwrap();
        log.hashes.insert(seq, h);
        let from = log.entries_to;
        if seq + 1 > log.tip_to {
            log.tip_to = seq + 1;
            self.journal(id);
        }
        from
    }

    fn learn(&mut self, id: &LogId, card: Option<&Bytes>) {
        if !self.logs.contains_key(id) {
            let card = card.expect("an unknown log comes with its card");
            assert_eq!((&card[33..49], &card[49..81]), (&TOKEN[..], &id.0[..]));
            let class = Class::from_channel(card[32]).unwrap();
            self.create(*id, card[..16].try_into().unwrap(), class);
        }
    }

    pub(super) fn read(&self, log: LogNo, from: u64, bytes_max: usize) -> Option<Run> {
        let id = &self.ids[log.0 as usize];
        let log = &self.logs[id];
        let mut entries: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for (at, (seq, entry)) in log.entries.range(from..).enumerate() {
            if *seq != from + at as u64 || (at > 0 && bytes + entry.len() > bytes_max) {
                break;
            }
            bytes += entry.len();
            entries.push(entry.clone());
        }
        let last = from + (entries.len() as u64).checked_sub(1)?;
        let h_prev = from.checked_sub(1).map_or([0; 32], |seq| log.hashes[&seq]);
        Some(Run { start: from, h_prev, entries, signature: sign(id, last, &log.hashes[&last]) })
    }

    /// Returns the heads of all logs, which must be equal in the end.
    pub(super) fn heads(&self) -> BTreeMap<LogId, (u64, [u8; 32])> {
        let known = self.logs.iter().filter(|(_, log)| log.tip_to > 0);
        known.map(|(id, log)| (*id, (log.tip_to, log.hashes[&(log.tip_to - 1)]))).collect()
    }

    pub(super) fn entries(&self) -> BTreeMap<(LogId, u64), Bytes> {
        let all = self.logs.iter().flat_map(|(id, log)| log.entries.iter().map(|(seq, e)| ((*id, *seq), e.clone())));
        all.collect()
    }

    fn all_items(&self, scope: Scope, prefix: &[u8]) -> Vec<LeafItem> {
        let nibble = |key: &[u8], at: usize| key[at / 2] >> (4 * (1 - at % 2)) & 15;
        let under = |key: &[u8]| prefix.iter().enumerate().all(|(at, expected)| nibble(key, at) == *expected);
        let mut partitions = BTreeSet::new();
        let mut items = Vec::new();
        for (id, log) in self.logs.iter().filter(|(_, log)| log.tip_to > 0) {
            match scope {
                Scope::Space => {
                    if under(&log.partition) && partitions.insert(log.partition) {
                        let root = self.node_hash(Scope::Partition(log.partition), &[]);
                        items.push(LeafItem::Partition { token: log.partition, root });
                    }
                }
                Scope::Partition(token) if token == log.partition && under(&id.0) => {
                    let h = log.hashes[&(log.tip_to - 1)][..8].try_into().unwrap();
                    items.push(LeafItem::Log { id: *id, seq: log.tip_to - 1, h });
                }
                Scope::Partition(_) => {}
            }
        }
        items.sort_by(|a, b| a.key().cmp(b.key()));
        items
    }

    fn node_hash(&self, scope: Scope, prefix: &[u8]) -> [u8; 16] {
        if let Some(hash) = self.nodes.borrow().get(&(scope, prefix.to_vec())) {
            return *hash;
        }
        let text = format!("{:?}", self.view_node(scope, prefix));
        let hash: [u8; 16] = blake3::hash(text.as_bytes()).as_bytes()[..16].try_into().unwrap();
        self.nodes.borrow_mut().insert((scope, prefix.to_vec()), hash);
        hash
    }

    fn view_node(&self, scope: Scope, prefix: &[u8]) -> NodeView {
        let items = self.all_items(scope, prefix);
        if items.len() <= 16 {
            return NodeView::Leaf(items);
        }
        let mut children = [None; 16];
        for item in &items {
            let at = prefix.len();
            let child = item.key()[at / 2] >> (4 * (1 - at % 2)) & 15;
            if children[usize::from(child)].is_none() {
                let path: Vec<u8> = prefix.iter().copied().chain([child]).collect();
                children[usize::from(child)] = Some(self.node_hash(scope, &path));
            }
        }
        NodeView::Inner(Box::new(children))
    }
}

impl Catalog for View<'_> {
    fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }
    fn spaces(&self) -> Vec<SpaceNo> {
        vec![SPACE]
    }
    fn space_token(&self, _: SpaceNo) -> [u8; 16] {
        TOKEN
    }
    fn follow(&self, _: SpaceNo) -> Follow {
        self.0.follow
    }
    fn root(&self, _: SpaceNo) -> [u8; 16] {
        self.0.node_hash(Scope::Space, &[])
    }
    fn position(&self, _: SpaceNo) -> u64 {
        self.0.position
    }
    fn cursor(&self, _: SpaceNo) -> Option<Cursor> {
        self.0.cursors.get(&self.1).copied()
    }
    fn changed_since(&self, _: SpaceNo, position: u64, max: usize) -> Vec<(u64, LogNo)> {
        self.0.journal.range(position + 1..).take(max).map(|(position, log)| (*position, *log)).collect()
    }
    fn lagging(&self, _: SpaceNo, after: Option<LogNo>, max: usize) -> Vec<LogNo> {
        let store = self.0;
        let lags = |id: &&LogId| store.bodies == Bodies::All && store.logs[*id].entries_to < store.logs[*id].tip_to;
        let logs = store.ids.iter().filter(lags).map(|id| store.numbers[id]);
        logs.filter(|log| after.is_none_or(|after| *log > after)).take(max).collect()
    }
    fn log(&self, no: LogNo) -> LogView {
        let id = self.0.ids[no.0 as usize];
        let log = &self.0.logs[&id];
        let tip = log.tip_to.checked_sub(1).map(|seq| {
            let h = log.hashes[&seq];
            Tip { seq, h, signature: sign(&id, seq, &h) }
        });
        let (class, entries_to) = (log.class, log.entries_to);
        LogView { id, space: SPACE, class, card: card(log, &id), tip, entries_to, is_peers: false, leaves: Vec::new() }
    }
    fn log_by_id(&self, id: &LogId) -> Option<LogNo> {
        self.0.numbers.get(id).copied()
    }
    fn log_of_card(&self, card: &[u8]) -> Option<LogId> {
        Some(LogId(card.get(49..81)?.try_into().unwrap()))
    }
    fn node(&self, _: SpaceNo, scope: Scope, prefix: &[u8]) -> NodeView {
        self.0.view_node(scope, prefix)
    }
    fn items(&self, _: SpaceNo, scope: Scope, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<LeafItem> {
        let items = self.0.all_items(scope, prefix).into_iter();
        items.filter(|item| after.is_none_or(|after| item.key() > after)).take(max).collect()
    }
    fn bodies(&self, _: SpaceNo, _: Option<LogNo>) -> Bodies {
        self.0.bodies
    }
}

/// A write that became durable later than it was passed over.
#[derive(Debug)]
enum Write {
    Run(LogId, Option<Bytes>, Run),
    Head(LogId, Option<Bytes>, u64, [u8; 32]),
}

/// Stores and the sessions between them.
pub(super) struct World {
    pub(super) stores: Vec<Store>,
    /// (from, to) -> the session that `from` has with `to`.
    pub(super) sessions: BTreeMap<(usize, usize), Session>,
    wire: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
    writes: Vec<VecDeque<(usize, Write)>>,
    reads: VecDeque<(usize, usize, LogNo, u64, usize)>,
    pub(super) bytes: usize,
    pub(super) data_bytes: u64,
    pub(super) actions: Vec<(usize, Action)>,
    pub(super) entropy: Entropy,
    pub(super) limits: Limits,
}

impl World {
    pub(super) fn new(stores: Vec<Store>) -> Self {
        Self {
            writes: stores.iter().map(|_| VecDeque::new()).collect(),
            stores,
            sessions: BTreeMap::new(),
            wire: BTreeMap::new(),
            reads: VecDeque::new(),
            bytes: 0,
            data_bytes: 0,
            actions: Vec::new(),
            entropy: Entropy::new([3; 32]),
            limits: Limits::default(),
        }
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let hash = self.entropy.bytes();
        for (me, peer) in [(a, b), (b, a)] {
            let link = Link {
                initiator: me == a,
                handshake_hash: hash,
                peer_incarnation: self.stores[peer].incarnation,
                peer_window_bytes: self.limits.window_bytes,
            };
            let session = Session::new(&View(&self.stores[me], peer), link, self.limits.clone());
            self.sessions.insert((me, peer), session);
            self.wire.insert((me, peer), VecDeque::new());
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        for pair in [(a, b), (b, a)] {
            self.sessions.remove(&pair);
            self.wire.remove(&pair);
        }
        self.reads.retain(|(me, peer, ..)| ![(a, b), (b, a)].contains(&(*me, *peer)));
    }

    pub(super) fn append(&mut self, at: usize, id: &LogId, entry: Bytes) {
        let (log, from) = self.stores[at].append(id, entry);
        self.grown(at, log, from);
    }

    fn grown(&mut self, at: usize, log: LogNo, from: u64) {
        for ((me, peer), session) in &mut self.sessions {
            if *me == at {
                session.handle_grown(&View(&self.stores[at], *peer), log, from);
            }
        }
        self.act();
    }

    /// Performs actions until none is left; writes and reads may wait.
    fn act(&mut self) {
        let pairs: Vec<_> = self.sessions.keys().copied().collect();
        for (me, peer) in pairs {
            while let Some(action) = self.sessions.get_mut(&(me, peer)).and_then(Session::poll_action) {
                match action {
                    Action::Read { log, from, bytes_max } => self.reads.push_back((me, peer, log, from, bytes_max)),
                    Action::Received { log, card, run, .. } => {
                        self.data_bytes += run.bytes();
                        self.writes[me].push_back((peer, Write::Run(log, card, run)));
                    }
                    Action::ReceivedHead { log, card, seq, h, .. } => {
                        self.writes[me].push_back((peer, Write::Head(log, card, seq, h)));
                    }
                    Action::SaveCursor { cursor, .. } => {
                        self.stores[me].cursors.insert(peer, cursor);
                    }
                    // Histories are told apart by chain hashes, which these stores do not have.
                    Action::ReadBranch { .. } => {
                        let store = &self.stores[me];
                        if let Some(session) = self.sessions.get_mut(&(me, peer)) {
                            session.handle_branch(&View(store, peer), None);
                        }
                        self.actions.push((me, action));
                    }
                    other @ (Action::Acked { .. }
                    | Action::Gone { .. }
                    | Action::ReceivedBranch { .. }
                    | Action::Mismatch { .. }
                    | Action::App { .. }
                    | Action::Pong { .. }
                    | Action::Renew
                    | Action::Closed { .. }) => self.actions.push((me, other)),
                }
            }
        }
    }

    fn read_one(&mut self) -> bool {
        let Some((me, peer, log, from, bytes_max)) = self.reads.pop_front() else { return false };
        let store = &self.stores[me];
        let Some(session) = self.sessions.get_mut(&(me, peer)) else { return true };
        let view = View(store, peer);
        match store.read(log, from, bytes_max) {
            Some(run) => session.handle_entries(&view, log, run),
            None => {
                let held = &store.logs[&store.ids[log.0 as usize]];
                let to = held.entries.range(from..).next().map_or(held.tip_to, |(seq, _)| *seq);
                session.handle_missing(&view, log, to, GoneReason::Absent);
            }
        }
        true
    }

    fn write_one(&mut self, at: usize) -> bool {
        let Some((peer, write)) = self.writes[at].pop_front() else { return false };
        match write {
            Write::Run(id, card, run) => match self.stores[at].store_run(&id, card.as_ref(), &run) {
                Some(from) => {
                    let log = self.stores[at].numbers[&id];
                    self.grown(at, log, from);
                }
                None => {
                    let log = self.stores[at].numbers[&id];
                    if let Some(session) = self.sessions.get_mut(&(at, peer)) {
                        session.handle_durable(&View(&self.stores[at], peer), log);
                    }
                }
            },
            Write::Head(id, card, seq, h) => {
                let from = self.stores[at].store_head(&id, card.as_ref(), seq, h);
                let log = self.stores[at].numbers[&id];
                self.grown(at, log, from);
            }
        }
        true
    }

    fn transmit_one(&mut self, pair: (usize, usize), max: usize) -> bool {
        let mut out = Vec::new();
        let Some(session) = self.sessions.get_mut(&pair) else { return false };
        let is_some = session.poll_transmit(&View(&self.stores[pair.0], pair.1), &mut out, max);
        assert_eq!(is_some, !out.is_empty());
        assert!(out.len() <= max);
        if is_some {
            self.bytes += out.len() + 18;
            self.wire.get_mut(&pair).unwrap().push_back(out);
        }
        self.act();
        is_some
    }

    fn deliver_one(&mut self, pair: (usize, usize)) -> bool {
        let Some(bytes) = self.wire.get_mut(&pair).and_then(VecDeque::pop_front) else { return false };
        let session = self.sessions.get_mut(&(pair.1, pair.0)).unwrap();
        session.handle_frame_bytes(&View(&self.stores[pair.1], pair.0), &bytes).unwrap();
        self.act();
        true
    }

    fn local(&mut self) -> bool {
        self.act();
        let mut moved = false;
        loop {
            let mut again = self.read_one();
            for at in 0..self.stores.len() {
                again |= self.write_one(at);
            }
            self.act();
            moved |= again;
            if !again {
                return moved;
            }
        }
    }

    /// Sends everything that is ready on both sides at once: half a round trip. Returns whether something crossed.
    pub(super) fn half_trip(&mut self) -> bool {
        let pairs: Vec<_> = self.sessions.keys().copied().collect();
        self.local();
        for pair in &pairs {
            while self.transmit_one(*pair, 65_519) {
                self.local();
            }
        }
        let mut moved = false;
        for pair in &pairs {
            while self.deliver_one(*pair) {
                moved = true;
            }
        }
        self.local();
        moved
    }

    /// Runs in half trips until nothing moves. Returns the number of half trips after which `done` first held.
    pub(super) fn settle(&mut self, mut done: impl FnMut(&Self) -> bool) -> Option<usize> {
        let mut at = done(self).then_some(0);
        for trip in 1..20_000 {
            if !self.half_trip() {
                return at;
            }
            if at.is_none() && done(self) {
                at = Some(trip);
            }
        }
        panic!("the sessions never come to rest");
    }

    /// Takes one random step: a read, a write, a transmission of any size, or a delivery.
    pub(super) fn random_step(&mut self) {
        let pairs: Vec<_> = self.sessions.keys().copied().collect();
        match self.entropy.below(4) {
            0 => {
                self.read_one();
            }
            1 => {
                let at = self.entropy.below(self.stores.len() as u64) as usize;
                self.write_one(at);
            }
            step if !pairs.is_empty() => {
                let pair = pairs[self.entropy.below(pairs.len() as u64) as usize];
                let max = 64 + self.entropy.below(700) as usize;
                if step == 2 {
                    self.transmit_one(pair, max)
                } else {
                    self.deliver_one(pair)
                };
            }
            _ => {}
        }
        self.act();
    }

    /// Crashes a store: data that was not durable is lost, together with its links.
    pub(super) fn crash(&mut self, at: usize) {
        self.writes[at].clear();
        for peer in 0..self.stores.len() {
            self.disconnect(at, peer);
        }
    }
}
