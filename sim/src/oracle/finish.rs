//! What is checked at the end: values against each other, against fresh replicas, and against the model.

use super::model::leaks;
use super::tokens_in;
use crate::coverage::{Mark, Point};
use crate::random::purpose;
use crate::report::OracleId;
use crate::world::{BODY, World, config, doc_id, partition_name, recover};
use cosmicsync_protocol::document::{Value, Version};
use cosmicsync_protocol::endpoint::{Dial, Endpoint, Event, LinkId};
use cosmicsync_protocol::identity::peer_id;
use cosmicsync_protocol::ledger::rows::{doc_key, index_place};
use cosmicsync_protocol::ledger::{DocRef, Lease};
use cosmicsync_protocol::log::Entry;
use cosmicsync_protocol::pump::{Io, pump};
use cosmicsync_protocol::shelf::{Snapshot, decode_snapshot};
use cosmicsync_protocol::storage::{StoreRequest, Table};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::Now;
use std::collections::{BTreeMap, BTreeSet};

/// The tables whose rows a store keeps as they are.
const OPEN_TABLES: [Table; 6] = [Table::Meta, Table::Log, Table::Entry, Table::Head, Table::Index, Table::Doc];
/// One run in so many lets a replica come late and learn everything from the others.
const LATE_ONE_IN: u64 = 4;

/// How many commits a peer may make, and how many more for each entry, edit, link and document.
const COMMITS_BASE: u64 = 100;
/// See [`COMMITS_BASE`].
const COMMITS_EACH: u64 = 10;

/// A document as a replica shows it.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    snapshot: Option<Snapshot>,
    version: Version,
    missing: usize,
}

/// A replica that only reads: made of a store's rows, apart from the run.
struct Reader {
    endpoint: Endpoint,
    store: MemStore,
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
    fn new(mut store: MemStore, core: &crate::plan::Core, lease: Lease, seed: [u8; 32]) -> Option<Self> {
        let now = Now { mono_us: 1, wall_ms: 1_700_000_000_000 };
        let endpoint = recover(&mut store, config(core), lease, seed, now)?;
        Some(Self { endpoint, store, now, sent: BTreeMap::new() })
    }

    fn settle(&mut self) {
        loop {
            let mut io = ReaderIo { store: &mut self.store, sent: &mut self.sent };
            pump(&mut self.endpoint, self.now, &mut io);
            let Some(done) = self.store.complete_next() else { return };
            self.endpoint.handle_stored(self.now, done);
        }
    }

    fn doc(&self, partitions: u32, number: u64) -> Option<DocRef> {
        let name = partition_name((number % u64::from(partitions + 1)) as u32);
        let partition = self.endpoint.partition(SpaceNo(0), &name)?;
        Some(DocRef { partition, doc: doc_id(number) })
    }

    fn show(&mut self, doc: DocRef) -> Shown {
        self.endpoint.open(self.now, doc);
        self.settle();
        let missing = self.endpoint.missing(doc).len();
        let snapshot = self.endpoint.view(doc);
        let version = self.endpoint.replica(doc).map(|replica| replica.version().clone()).unwrap_or_default();
        self.endpoint.close(self.now, doc);
        self.settle();
        Shown { snapshot, version, missing }
    }
}

impl World<'_> {
    /// The run has converged: everything is compared.
    pub(crate) fn finish(&mut self) {
        self.check_stores();
        self.check_baseline();
        self.check_effort();
        let docs: Vec<u64> = self.model.docs.keys().copied().collect();
        let mut first: BTreeMap<u64, Shown> = BTreeMap::new();
        for peer in self.full_core() {
            let seed = self.keyed.seed(&[purpose::CHECK, peer as u64]);
            let store = self.nodes[peer].durable();
            let Some(mut fresh) = Reader::new(store, &self.plan.core, Lease::Continued, seed) else {
                self.violation(OracleId::O10, Some(peer), "the store cannot be read back".to_owned());
                continue;
            };
            for doc in &docs {
                self.check_doc(peer, *doc, &mut fresh, &mut first);
            }
        }
        self.check_owed(&first);
        if self.keyed.once_in(&[purpose::CHECK, u64::MAX], LATE_ONE_IN) {
            self.check_late(&first);
        }
    }

    /// The peers of the core that are to have everything.
    fn full_core(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|peer| self.core[*peer] && !self.nodes[*peer].partial).collect()
    }

    /// O1 and O4 for one document on one peer.
    fn check_doc(&mut self, peer: usize, doc: u64, fresh: &mut Reader, first: &mut BTreeMap<u64, Shown>) {
        let Some(at) = fresh.doc(self.plan.partitions, doc) else {
            self.violation(OracleId::O1, Some(peer), format!("the partition of document {doc} is not known"));
            return;
        };
        self.stats.checks += 3;
        let shown = fresh.show(at);
        // What builds on entries that are nowhere any more waits for ever.
        let lost = self.model.losses && shown.missing > 0;
        if shown.missing > 0 && !self.model.forks && !lost {
            let text = format!("document {doc} lacks {} of the entries that are here", shown.missing);
            self.violation(OracleId::O4, Some(peer), text);
        }
        let writers: BTreeSet<u64> = fresh
            .store
            .rows()
            .range((Table::Index, doc_key(at))..)
            .take_while(|((table, key), _)| *table == Table::Index && key.starts_with(&doc_key(at)))
            .filter_map(|((_, key), _)| fresh.endpoint.log_id(index_place(key).ok()?.log))
            .map(|log| peer_id(&log))
            .collect();
        if shown.version.keys().copied().collect::<BTreeSet<_>>() != writers && !self.model.forks && !lost {
            self.violation(OracleId::O4, Some(peer), format!("document {doc} does not cover all its entries"));
        }
        if let Some(row) = fresh.store.rows().get(&(Table::Value, doc_key(at)))
            && decode_snapshot(row).ok() != shown.snapshot
        {
            self.violation(OracleId::O4, Some(peer), format!("what is cached of document {doc} is out of date"));
        }
        let open = self.nodes[peer].alive.as_deref().and_then(|alive| alive.docs.get(&doc).cloned());
        if let Some(open) = open.filter(|open| open.opened) {
            let live = self.call(peer, |alive, _| alive.endpoint.view(open.doc)).flatten();
            if live != shown.snapshot {
                let text = format!("document {doc} shows something else than its entries say");
                self.violation(OracleId::O4, Some(peer), text);
            }
        }
        match first.get(&doc) {
            None => drop(first.insert(doc, shown)),
            Some(other) if other.snapshot != shown.snapshot => {
                self.violation(OracleId::O1, Some(peer), format!("document {doc} has another value than elsewhere"));
            }
            Some(other) if other.version != shown.version => {
                self.violation(OracleId::O1, Some(peer), format!("document {doc} has another version than elsewhere"));
            }
            Some(_) => {}
        }
    }

    /// O2: what was reported safe is there.
    fn check_owed(&mut self, shown: &BTreeMap<u64, Shown>) {
        let tokens: BTreeMap<u64, BTreeSet<u64>> =
            shown.iter().map(|(doc, shown)| (*doc, tokens_of(shown.snapshot.as_ref()))).collect();
        let owed: Vec<(u64, u64, usize)> =
            self.model.owed().map(|(number, token)| (number, token.doc, token.acked.unwrap_or_default())).collect();
        for (token, doc, peer) in owed {
            self.stats.checks += 1;
            if !tokens.get(&doc).is_some_and(|tokens| tokens.contains(&token)) {
                let text = format!("token {token} of document {doc} was reported safe and is gone");
                self.violation(OracleId::O2, Some(peer), text);
            }
        }
    }

    /// O6: no plaintext on a wire or in rows that are kept as they are; no nonce twice.
    pub(crate) fn check_stores(&mut self) {
        if self.model.leaks > 0 {
            let text = format!("plaintext went over a wire {} times", self.model.leaks);
            self.violation(OracleId::O6, None, text);
        }
        let mut nonces: BTreeMap<[u8; 24], blake3::Hash> = BTreeMap::new();
        for peer in 0..self.nodes.len() {
            let store = self.nodes[peer].durable();
            self.stats.checks += 1;
            for ((table, key), value) in store.rows() {
                if OPEN_TABLES.contains(table) && (leaks(key) || leaks(value)) {
                    self.violation(OracleId::O6, Some(peer), format!("plaintext in table {}", table.name()));
                }
                if *table != Table::Entry || value.len() < 32 {
                    continue;
                }
                let Ok(entry) = Entry::decode(&value.slice(32..)) else {
                    self.violation(OracleId::O10, Some(peer), "an entry cannot be read back".to_owned());
                    continue;
                };
                let hash = blake3::hash(&value[32..]);
                if *nonces.entry(*entry.nonce()).or_insert(hash) != hash && !self.model.forks {
                    self.violation(OracleId::O6, Some(peer), "two entries share a nonce".to_owned());
                }
            }
        }
    }

    /// O8: how much a peer stores is in proportion to what it learns.
    fn check_effort(&mut self) {
        for peer in 0..self.nodes.len() {
            let causes = [Point::EntryReceived, Point::EditTaken, Point::Shaken, Point::DocOpened, Point::Started];
            let causes: u64 = causes.into_iter().map(|point| self.count(peer, point)).sum();
            let commits = self.count(peer, Point::Submitted);
            self.stats.checks += 1;
            if commits > COMMITS_BASE + COMMITS_EACH * causes {
                let text = format!("{commits} commits for {causes} things that happened");
                self.violation(OracleId::O8, Some(peer), text);
            }
        }
    }

    /// O7: when all is said, nothing is kept for later, and no more documents than asked for.
    fn check_baseline(&mut self) {
        for peer in (0..self.nodes.len()).filter(|peer| self.core[*peer]).collect::<Vec<_>>() {
            self.stats.checks += 1;
            let Some(alive) = self.nodes[peer].alive.as_deref() else { continue };
            let stats = alive.endpoint.stats();
            let wanted = alive.docs.len() + self.plan.core.idle_docs;
            let links = alive.links.len();
            let queued: usize = stats.links.iter().map(|link| link.queued).sum();
            if queued > 0 || stats.store_requests > 0 {
                let text = format!("{queued} things queued and {} requests open at rest", stats.store_requests);
                self.violation(OracleId::O7, Some(peer), text);
            }
            if stats.open_docs > wanted {
                let text = format!("{} documents in memory at rest, {wanted} wanted", stats.open_docs);
                self.violation(OracleId::O7, Some(peer), text);
            }
            if stats.links.len() != links {
                let text = format!("{} links in memory, {links} there", stats.links.len());
                self.violation(OracleId::O7, Some(peer), text);
            }
        }
    }

    /// O13: the same operations, learned by a replica that comes late, from two others, in other pieces, give the same.
    fn check_late(&mut self, shown: &BTreeMap<u64, Shown>) {
        let sources = self.full_core();
        let Some(slot) = sources.first().copied() else { return };
        let read = |world: &Self, store: MemStore, lease, tag: u64| {
            Reader::new(store, &world.plan.core, lease, world.keyed.seed(&[purpose::LATE, tag]))
        };
        let Some(mut late) = read(self, self.nodes[slot].origin.clone(), Lease::Broken, 0) else { return };
        // What the late one began from is no source.
        for (tag, source) in sources.into_iter().filter(|source| *source != slot).take(2).enumerate() {
            let Some(mut source) = read(self, self.nodes[source].durable(), Lease::Continued, 1 + tag as u64) else {
                continue;
            };
            let piece = 1 + self.keyed.below(&[purpose::CUT, tag as u64], 2_000) as usize;
            let dialler = tag == 0;
            exchange(&mut late, &mut source, dialler, piece);
        }
        self.mark(Mark::LateReplica);
        if !late.endpoint.logs().any(|log| !log.mine && log.entries > 0) {
            return;
        }
        for (doc, other) in shown {
            let Some(at) = late.doc(self.plan.partitions, *doc) else { continue };
            self.stats.checks += 1;
            let found = late.show(at);
            // A late one that found no source to tell it of a document has nothing to compare.
            if found.missing == 0 && found.version == other.version && found.snapshot != other.snapshot {
                let text = format!("document {doc} has another value on a replica that came late");
                self.violation(OracleId::O13, Some(slot), text);
            } else if found.version != other.version && self.full_core().len() > 1 && !self.model.forks {
                let text = format!("document {doc} has another version on a replica that came late");
                self.violation(OracleId::O13, Some(slot), text);
            }
        }
    }
}

/// Carries everything between two replicas until they are done.
fn exchange(a: &mut Reader, b: &mut Reader, a_dials: bool, piece: usize) {
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

fn tokens_of(snapshot: Option<&Snapshot>) -> BTreeSet<u64> {
    let text = snapshot.and_then(|snapshot| snapshot.value.entry(BODY)).and_then(Value::as_text);
    tokens_in(text.unwrap_or_default()).into_iter().collect()
}
