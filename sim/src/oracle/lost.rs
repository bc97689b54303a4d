//! What the plan itself destroyed: words and partitions that only stores held which are gone.
//!
//! Entries are told apart by their chain hashes, for copies of a store write other entries under the same numbers. What
//! was restated stands in another log than it was written to: so it counts as well what a store's replica shows.

use super::reader::Reader;
use crate::coverage::Mark;
use crate::random::purpose;
use crate::world::{Alive, World, partition_name};
use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::ledger::rows::entry_key;
use cosmicsync_protocol::ledger::{EntryRef, Lease};
use cosmicsync_protocol::log::chain::genesis;
use cosmicsync_protocol::log::{Entry, LogCard};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::sync::{LogNo, SpaceNo};
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::wire::codec;
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of a log's card in its row.
const CARD_BYTES_MAX: usize = 4096;

/// A store, as it was when another was lost.
struct Kept {
    store: MemStore,
    /// The chain hashes of the entries before which nothing is missing.
    whole: BTreeSet<[u8; 32]>,
    seed: [u8; 32],
    /// Read back when first asked. `None` inside if it cannot be.
    reader: Option<Option<Box<Reader>>>,
    shown: BTreeMap<u64, BTreeSet<u64>>,
}

impl Kept {
    fn new(store: MemStore, seed: [u8; 32]) -> Self {
        Self { whole: whole(&store), store, seed, reader: None, shown: BTreeMap::new() }
    }

    fn reader(&mut self, core: &crate::plan::Core) -> Option<&mut Reader> {
        let (store, seed) = (&self.store, self.seed);
        let read = || Reader::new(store.clone(), core, Lease::Continued, seed).map(Box::new);
        self.reader.get_or_insert_with(read).as_deref_mut()
    }

    /// Whether it holds a token, with all that its author had, or shows it.
    fn has(&mut self, plan: &crate::plan::Plan, word: &Word) -> bool {
        if !word.within.is_empty() && word.within.iter().all(|h| self.whole.contains(h)) {
            return true;
        }
        if !self.shown.contains_key(&word.doc) {
            let show = |reader: &mut Reader| reader.doc(plan.partitions, word.doc).map(|at| reader.show(at).tokens());
            let tokens = self.reader(&plan.core).and_then(show).unwrap_or_default();
            self.shown.insert(word.doc, tokens);
        }
        self.shown.get(&word.doc).is_some_and(|tokens| tokens.contains(&word.token))
    }

    fn knows(&mut self, plan: &crate::plan::Plan, partition: u32) -> bool {
        let name = partition_name(partition);
        self.reader(&plan.core).is_some_and(|reader| reader.endpoint.partition(SpaceNo(0), &name).is_some())
    }
}

/// A token that was reported safe.
struct Word {
    token: u64,
    doc: u64,
    within: Vec<[u8; 32]>,
}

impl World<'_> {
    /// A store was replaced: what only the old one held is nobody's any more.
    pub(crate) fn replaced(&mut self, peer: usize, gone: MemStore) {
        self.model.remembered.remove(&peer);
        self.model.seen.retain(|(at, _), _| *at != peer);
        self.release(vec![gone], |_| true);
    }

    /// Some stay dead: what only they held is nobody's any more.
    pub(crate) fn release_dead(&mut self) {
        let dead = (0..self.nodes.len()).filter(|peer| !self.core[*peer]);
        let gone: Vec<MemStore> = dead.map(|peer| self.nodes[peer].durable()).collect();
        if self.model.losses || !gone.is_empty() {
            let core = self.core.clone();
            self.release(gone, |peer| core[peer]);
        }
    }

    /// Releases what the stores that are gone held and none of the peers' that are left does. What was given up and has
    /// come after all, from a link or from a snapshot, is asked for again.
    fn release(&mut self, gone: Vec<MemStore>, left: impl Fn(usize) -> bool) {
        self.model.losses = true;
        let (plan, keyed) = (self.plan, self.keyed);
        let seed = |tag: usize| keyed.seed(&[purpose::LOST, tag as u64]);
        let kept = |(tag, store)| Kept::new(store, seed(tag));
        let left = (0..self.nodes.len()).filter(|peer| left(*peer)).map(|peer| self.nodes[peer].durable());
        let mut left: Vec<Kept> = left.enumerate().map(kept).collect();
        let mut gone: Vec<Kept> = gone.into_iter().enumerate().map(kept).collect();
        for partition in 0..=plan.partitions {
            if left.iter_mut().any(|store| store.knows(plan, partition)) {
                self.model.lost_partitions.remove(&partition);
            } else if gone.iter_mut().any(|store| store.knows(plan, partition)) {
                self.model.lost_partitions.insert(partition);
            }
        }
        let mut released = 0;
        for (number, token) in self.model.tokens.iter_mut().filter(|(_, token)| token.acked.is_some()) {
            let word = Word { token: *number, doc: token.doc, within: token.within.clone() };
            if left.iter_mut().any(|store| store.has(plan, &word)) {
                token.released = false;
            } else if !token.released && gone.iter_mut().any(|store| store.has(plan, &word)) {
                token.released = true;
                released += 1;
            }
        }
        (0..released).for_each(|_| self.mark(Mark::Released));
    }
}

/// The chain hashes after what a peer holds of each log without a gap.
pub(crate) fn ends(alive: &Alive) -> Vec<[u8; 32]> {
    let rows = alive.store.rows();
    let row = |log, seq| rows.get(&(Table::Entry, entry_key(EntryRef { log, seq })));
    let end = |log: cosmicsync_protocol::endpoint::LogInfo| {
        let count = if log.held < log.entries {
            (0..log.held).take_while(|seq| row(log.no, *seq).is_some()).count() as u64
        } else {
            log.entries
        };
        let card = card(&alive.store, log.no)?;
        Some(link(&card, row(log.no, count.checked_sub(1)?)?)?.1)
    };
    alive.endpoint.logs().filter_map(end).collect()
}

/// The card of a log.
fn card(store: &MemStore, log: LogNo) -> Option<LogCard> {
    let key = bytes::Bytes::copy_from_slice(&log.0.to_be_bytes());
    read_card(store.rows().get(&(Table::Log, key))?)
}

fn read_card(row: &[u8]) -> Option<LogCard> {
    let mut reader = codec::Reader::new(row);
    reader.u8().ok()?;
    LogCard::decode(&mut codec::Reader::new(reader.bytes(CARD_BYTES_MAX, "card").ok()?)).ok()
}

/// The chain hashes before and after the entry of a row.
fn link(card: &LogCard, row: &bytes::Bytes) -> Option<([u8; 32], [u8; 32])> {
    let before = *row.first_chunk::<32>()?;
    let entry = Entry::decode(&row.slice(32..)).ok()?;
    Some((before, entry.chain(&card.epoch, &before)))
}

/// See [`Kept::whole`].
fn whole(store: &MemStore) -> BTreeSet<[u8; 32]> {
    let mut links: BTreeMap<u64, Vec<([u8; 32], [u8; 32])>> = BTreeMap::new();
    let mut cards: BTreeMap<[u8; 4], LogCard> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    for ((table, key), value) in store.rows() {
        let Some((log, seq)) = key.split_first_chunk::<4>() else { continue };
        if *table == Table::Log
            && let Some(card) = read_card(value)
        {
            let id: LogId = card.log_id();
            whole.insert(genesis(&id));
            cards.insert(*log, card);
        }
        if *table == Table::Entry
            && let (Some(card), Some(seq)) = (cards.get(log), seq.first_chunk())
            && let Some(link) = link(card, value)
        {
            links.entry(u64::from_be_bytes(*seq)).or_default().push(link);
        }
    }
    for (before, after) in links.into_values().flatten() {
        if whole.contains(&before) {
            whole.insert(after);
        }
    }
    whole
}
