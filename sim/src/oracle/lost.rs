//! Losses that the plan itself caused: tokens and partitions that only lost stores held.
//!
//! Entries are told apart by their chain hashes, since copies of a process write other entries under the same
//! numbers. A republished token is in another log than the original. For this reason, the documents that a store's
//! replica shows are checked too.

use super::members::Seen;
use super::model::Deed;
use super::reader::{Reader, Shown};
use crate::coverage::Mark;
use crate::plan::{Core, Plan};
use crate::random::purpose;
use crate::world::{Alive, Piece, World, partition_name};
use bytes::Bytes;
use cosmicsync_protocol::codec;
use cosmicsync_protocol::endpoint::LogInfo;
use cosmicsync_protocol::ids::EntryRef;
use cosmicsync_protocol::log::chain::genesis;
use cosmicsync_protocol::log::{Entry, LogCard};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::{entry_key, key};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::store::MemStore;
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of a log's card in its row.
const CARD_BYTES_MAX: usize = 4096;

/// A store, at the time when another was lost.
struct Kept {
    store: MemStore,
    /// Chain hashes of the entries before which none is missing.
    whole: BTreeSet<[u8; 32]>,
    seed: [u8; 32],
    /// The store's replica, read back on first use. `None` inside if it cannot be read.
    reader: Option<Option<Box<Reader>>>,
    shown: BTreeMap<u64, Option<Shown>>,
}

impl Kept {
    fn new(store: MemStore, seed: [u8; 32]) -> Self {
        Self { whole: whole(&store), store, seed, reader: None, shown: BTreeMap::new() }
    }

    fn reader(&mut self, core: &Core) -> Option<&mut Reader> {
        let (store, seed) = (&self.store, self.seed);
        let read = || Reader::new(store.clone(), core, seed).map(Box::new);
        self.reader.get_or_insert_with(read).as_deref_mut()
    }

    /// Returns whether the store holds a token, with all entries that its author had.
    fn holds(&self, word: &Word) -> bool {
        !word.within.is_empty() && word.within.iter().all(|h| self.whole.contains(h))
    }

    /// Returns whether the store holds a token or shows it.
    fn has(&mut self, plan: &Plan, word: &Word, undone: Option<&BTreeSet<Piece>>) -> bool {
        if self.holds(word) {
            return true;
        }
        if !self.shown.contains_key(&word.doc) {
            let show = |reader: &mut Reader| reader.doc(plan.partitions, word.doc).map(|at| reader.show(at));
            let shown = self.reader(&plan.core).and_then(show);
            self.shown.insert(word.doc, shown);
        }
        let Some(Some(shown)) = self.shown.get(&word.doc) else { return false };
        Seen::new(shown).has(word.token, word.deed.as_ref(), undone)
    }

    fn knows(&mut self, plan: &Plan, partition: u32) -> bool {
        let name = partition_name(partition);
        self.reader(&plan.core).is_some_and(|reader| reader.endpoint.partition(SpaceNo(0), &name).is_some())
    }
}

/// A token that was reported durable, as in the model.
struct Word {
    token: u64,
    doc: u64,
    within: Vec<[u8; 32]>,
    deed: Option<Deed>,
}

impl World<'_> {
    /// Handles the replacement of a store: releases tokens that only the old one held.
    pub(crate) fn replaced(&mut self, peer: usize, gone: MemStore) {
        self.model.remembered.remove(&peer);
        self.model.seen.retain(|(at, _), _| *at != peer);
        self.release(vec![gone], |_| true);
    }

    /// Releases tokens that only peers outside the core held, which stay dead.
    pub(crate) fn release_dead(&mut self) {
        let dead = (0..self.nodes.len()).filter(|peer| !self.core[*peer]);
        let gone: Vec<MemStore> = dead.map(|peer| self.nodes[peer].durable()).collect();
        if self.model.losses || !gone.is_empty() {
            let core = self.core.clone();
            self.release(gone, |peer| core[peer]);
        }
    }

    /// Releases tokens that a lost store held and no remaining peer's store does. A released token that has come
    /// after all, from a link or from a snapshot, is demanded again.
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
        let undone = self.model.undone();
        let undone = self.model.forks.then_some(&undone);
        let mut released = 0;
        for (number, token) in self.model.tokens.iter_mut().filter(|(_, token)| token.acked.is_some()) {
            let (within, deed) = (token.within.clone(), token.deed.clone());
            let word = Word { token: *number, doc: token.doc, within, deed };
            if left.iter_mut().any(|store| store.has(plan, &word, undone)) {
                token.released = false;
            } else if !token.released && gone.iter_mut().any(|store| store.has(plan, &word, undone)) {
                token.released = true;
                released += 1;
            }
        }
        (0..released).for_each(|_| self.mark(Mark::Released));
    }
}

/// Returns, for each log, the chain hash after the gapless part that a peer holds.
pub(crate) fn ends(alive: &Alive) -> Vec<[u8; 32]> {
    let rows = alive.store.rows();
    let row = |log, seq| rows.get(&(Table::Entry, entry_key(EntryRef { log, seq })));
    let end = |log: LogInfo| {
        let count = if log.held < log.entries {
            (0..log.held).take_while(|seq| row(log.no, *seq).is_some()).count() as u64
        } else {
            log.entries
        };
        let card = read_card(rows.get(&(Table::Log, key(&[&log.no.0.to_be_bytes()])))?)?;
        Some(link(&card, row(log.no, count.checked_sub(1)?)?)?.after)
    };
    alive.endpoint.logs().filter_map(end).collect()
}

/// Returns the card in a log's row.
fn read_card(row: &[u8]) -> Option<LogCard> {
    let mut reader = codec::Reader::new(row);
    reader.u8().ok()?;
    LogCard::decode(&mut codec::Reader::new(reader.bytes(CARD_BYTES_MAX, "card").ok()?)).ok()
}

/// The chain hashes around an entry.
struct Link {
    before: [u8; 32],
    after: [u8; 32],
}

/// Reads the row of an entry.
fn link(card: &LogCard, row: &Bytes) -> Option<Link> {
    let before = *row.first_chunk::<32>()?;
    let entry = Entry::decode(&row.slice(32..)).ok()?;
    Some(Link { before, after: entry.chain(&card.place.epoch, &before) })
}

/// Returns the content of [`Kept::whole`].
fn whole(store: &MemStore) -> BTreeSet<[u8; 32]> {
    let mut links: BTreeMap<u64, Vec<Link>> = BTreeMap::new();
    let mut cards: BTreeMap<[u8; 4], LogCard> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    for ((table, key), value) in store.rows() {
        let Some((log, seq)) = key.split_first_chunk::<4>() else { continue };
        if *table == Table::Log
            && let Some(card) = read_card(value)
        {
            whole.insert(genesis(&card.log_id()));
            cards.insert(*log, card);
        }
        if *table == Table::Entry
            && let (Some(card), Some(seq)) = (cards.get(log), seq.first_chunk())
            && let Some(link) = link(card, value)
        {
            links.entry(u64::from_be_bytes(*seq)).or_default().push(link);
        }
    }
    for Link { before, after } in links.into_values().flatten() {
        if whole.contains(&before) {
            whole.insert(after);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: u64 = 1 << 20;

    /// Makes a world in which peer 0 reported a token durable; peer 1 holds it too if they are `acquainted`.
    fn world(plan: &mut Plan, acquainted: bool) -> World<'_> {
        plan.core.acquainted = acquainted;
        let mut world = World::new(plan, false);
        let within = ends(world.nodes[0].alive.as_deref().unwrap());
        assert!(!within.is_empty());
        world.model.taken(vec![(0, TOKEN, Vec::new())], true);
        world.model.acked((0, 1), &[TOKEN], &within);
        world
    }

    /// Loses the disk of peer 0.
    fn lose_the_first(world: &mut World<'_>) -> bool {
        let gone = world.nodes[0].durable();
        world.release(vec![gone], |peer| peer == 1);
        world.model.tokens[&TOKEN].released
    }

    /// Returns the store with every entry replaced by another one under the same number.
    fn other_history(store: &MemStore) -> MemStore {
        let mut rows = store.rows().clone();
        for (_, row) in rows.iter_mut().filter(|((table, _), _)| *table == Table::Entry) {
            let entry = Entry::decode(&row.slice(32..)).unwrap();
            let at = row.windows(24).position(|bytes| bytes == entry.nonce()).unwrap();
            let mut changed = row.to_vec();
            changed[at] ^= 1;
            *row = changed.into();
        }
        MemStore::with_rows(rows)
    }

    #[test]
    fn what_another_store_holds_is_still_owed() {
        let mut plan = Plan::quiet(0, 2);
        assert!(!lose_the_first(&mut world(&mut plan, true)));
    }

    #[test]
    fn tokens_of_a_lost_store_are_required_once_they_return() {
        let mut plan = Plan::quiet(0, 2);
        let mut world = world(&mut plan, false);
        assert!(lose_the_first(&mut world));
        world.release(Vec::new(), |_| true);
        assert!(!world.model.tokens[&TOKEN].released, "peer 0 has it");
    }

    #[test]
    fn what_went_amiss_before_is_not_put_down_to_a_lost_store() {
        let mut plan = Plan::quiet(0, 2);
        let mut world = world(&mut plan, false);
        world.model.acked((0, 1), &[TOKEN], &[[7; 32]]);
        assert!(!lose_the_first(&mut world), "it did not hold the token either");
    }

    #[test]
    fn another_history_under_the_same_numbers_is_not_the_same() {
        let mut plan = Plan::quiet(0, 2);
        let world = world(&mut plan, true);
        let store = world.nodes[0].durable();
        let within = ends(world.nodes[0].alive.as_deref().unwrap());
        let holds = |store: &MemStore| {
            let whole = whole(store);
            within.iter().filter(|h| whole.contains(*h)).count()
        };
        assert_eq!(holds(&store), within.len());
        assert_eq!(holds(&other_history(&store)), 0);
    }

    #[test]
    fn what_lies_behind_a_gap_is_not_held_whole() {
        let mut plan = Plan::quiet(0, 2);
        let store = world(&mut plan, true).nodes[0].durable();
        let all = whole(&store).len();
        let mut rows = store.rows().clone();
        let first = rows.keys().find(|(table, _)| *table == Table::Entry).unwrap().clone();
        rows.remove(&first);
        let log = rows.keys().filter(|(table, key)| *table == Table::Entry && key[..4] == first.1[..4]).count();
        assert!(log > 0, "there is something behind it");
        assert_eq!(whole(&MemStore::with_rows(rows)).len(), all - log - 1);
    }

    #[test]
    fn a_partition_is_lost_when_no_store_knows_it() {
        for acquainted in [true, false] {
            let mut plan = Plan { partitions: 1, ..Plan::quiet(0, 2) };
            let mut world = world(&mut plan, acquainted);
            lose_the_first(&mut world);
            assert_eq!(world.model.lost_partitions.contains(&1), !acquainted);
        }
    }
}
