//! Checks at the end: compares values with each other, with fresh replicas, and with the model.

use super::members::Seen;
use super::model::{Token, leaks};
use super::reader::{Reader, Shown, exchange};
use crate::coverage::{Mark, Point};
use crate::random::purpose;
use crate::report::OracleId;
use crate::world::{COLLECTION, Piece, World, partition_of};
use cosmicsync_protocol::documents::decode_snapshot;
use cosmicsync_protocol::identity::peer_id;
use cosmicsync_protocol::log::Entry;
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::{doc_key, index_place};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::testkit::tally::{wrong_count, wrong_doubt};
use std::collections::{BTreeMap, BTreeSet};

/// The tables whose rows a store keeps unsealed.
const OPEN_TABLES: [Table; 7] =
    [Table::Meta, Table::Log, Table::Entry, Table::Head, Table::Index, Table::Doc, Table::Tally];
/// Number of runs of which one has a late replica that learns everything from the others.
const LATE_ONE_IN: u64 = 4;

/// Most commits of a peer without any cause.
const COMMITS_BASE: u64 = 100;
/// Most commits for each entry, edit, link and document, beside [`COMMITS_BASE`].
const COMMITS_EACH: u64 = 10;

impl World<'_> {
    /// Compares everything, after the run has converged.
    pub(crate) fn finish(&mut self) {
        self.check_stores();
        self.check_baseline();
        self.check_effort();
        let docs: Vec<u64> = self.model.docs.iter().copied().collect();
        let mut first: BTreeMap<u64, Shown> = BTreeMap::new();
        for peer in self.full_core() {
            let seed = self.keyed.seed(&[purpose::CHECK, peer as u64]);
            let store = self.nodes[peer].durable();
            let Some(mut fresh) = Reader::new(store, &self.plan.core, seed) else {
                self.violation(OracleId::O10, Some(peer), "the store cannot be read back".to_owned());
                continue;
            };
            for doc in &docs {
                self.check_doc(peer, *doc, &mut fresh, &mut first);
            }
        }
        self.check_members(&first);
        self.check_durable_edits(&first);
        self.check_values(&first);
        self.finish_databases();
        self.check_app_at_rest();
        if self.keyed.once_in(&[purpose::CHECK, u64::MAX], LATE_ONE_IN) {
            self.check_late(&first);
        }
    }

    /// Returns the peers of the core that must have everything.
    fn full_core(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|peer| self.core[*peer] && !self.nodes[*peer].partial).collect()
    }

    /// O1 and O4 for one document on one peer.
    fn check_doc(&mut self, peer: usize, doc: u64, fresh: &mut Reader, first: &mut BTreeMap<u64, Shown>) {
        let Some(at) = fresh.doc(self.plan.partitions, doc) else {
            if self.model.lost_partitions.contains(&partition_of(self.plan.partitions, doc)) {
                return;
            }
            self.violation(OracleId::O1, Some(peer), format!("the partition of document {doc} is not known"));
            return;
        };
        self.stats.checks += 3;
        let shown = fresh.show(at);
        // An update that builds on entries which no peer has any more waits for ever.
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
        let collection = fresh.endpoint.collection_id(SpaceNo(0), COLLECTION).expect("a document lies in a space");
        if let Some(wrong) = wrong_doubt(fresh.store.rows(), at, &collection, shown.snapshot.as_ref()) {
            self.violation(OracleId::O4, Some(peer), format!("of document {doc} the store holds that {wrong}"));
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
            Some(other) if other.hidden != shown.hidden => {
                self.violation(
                    OracleId::O14,
                    Some(peer),
                    format!("document {doc} hides something else than elsewhere"),
                );
            }
            Some(_) => {}
        }
    }

    /// O2: every edit that was reported durable is present, and none twice. If logs fork, an excluded edit must be
    /// present after republication, which the process that wrote it has done if it still lives.
    fn check_durable_edits(&mut self, shown: &BTreeMap<u64, Shown>) {
        let seen: BTreeMap<u64, Seen> = shown.iter().map(|(doc, shown)| (*doc, Seen::new(shown))).collect();
        for (doc, shown) in shown {
            self.stats.checks += 1;
            // Republishing an entry that turns out not to be excluded makes it occur twice.
            if self.model.forks {
                continue;
            }
            if let Some(token) = shown.twice() {
                self.violation(OracleId::O2, None, format!("document {doc} shows token {token} twice"));
            }
        }
        self.stats.checks += self.model.required().count() as u64;
        let undone = self.model.undone();
        let forks = self.model.forks;
        let is_shown = |number: u64, token: &Token| {
            seen.get(&token.doc).is_some_and(|seen| seen.has(number, token.deed.as_ref(), forks.then_some(&undone)))
        };
        let missing = self.model.required().filter(|(number, token)| !is_shown(*number, token));
        let mut missing: BTreeMap<u64, Token> = missing.map(|(number, token)| (number, token.clone())).collect();
        if self.model.forks {
            self.publish_excluded(&mut missing, &undone);
        }
        for (number, Token { doc, acked, deed, .. }) in missing {
            let what = if deed.is_some() { "edit" } else { "token" };
            let text = format!("{what} {number} of document {doc} was reported safe and is gone");
            self.violation(OracleId::O2, acked, text);
        }
    }

    /// Removes those missing edits that no living process had to republish, if a person can republish them, by one
    /// command per document. Other peers must then show them too.
    fn publish_excluded(&mut self, missing: &mut BTreeMap<u64, Token>, undone: &BTreeSet<Piece>) {
        let lives = |token: &Token| token.acked.is_some_and(|peer| self.nodes[peer].life == token.life);
        let mut left: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (number, token) in missing.iter().filter(|(_, token)| !lives(token)) {
            left.entry(token.doc).or_default().push(*number);
        }
        let readers = self.full_core().into_iter().take(2).map(|peer| {
            let seed = self.keyed.seed(&[purpose::LOST, u64::MAX, peer as u64]);
            Reader::new(self.nodes[peer].durable(), &self.plan.core, seed)
        });
        let mut readers: Vec<Reader> = readers.flatten().collect();
        let Some((first, others)) = readers.split_first_mut().filter(|_| !left.is_empty()) else { return };
        let partitions = self.plan.partitions;
        for doc in left.keys() {
            first.doc(partitions, *doc).map(|at| first.publish(at));
        }
        others.iter_mut().for_each(|other| exchange(first, other, true, usize::MAX));
        for (doc, numbers) in left {
            let shown: Vec<Shown> =
                readers.iter_mut().filter_map(|reader| Some(reader.show(reader.doc(partitions, doc)?))).collect();
            if shown.iter().any(|other| other.snapshot != shown[0].snapshot) {
                let text = format!("document {doc} differs after what was excluded was published again");
                self.violation(OracleId::O1, None, text);
            }
            let seen: Vec<Seen> = shown.iter().map(Seen::new).collect();
            let is_shown = |number: &&u64| {
                seen.iter().all(|seen| seen.has(**number, missing[*number].deed.as_ref(), Some(undone)))
            };
            let back: Vec<u64> = numbers.iter().filter(is_shown).copied().collect();
            for number in back {
                missing.remove(&number);
                self.mark(Mark::Asked);
            }
        }
    }

    /// O6: no plaintext on a wire or in unsealed rows; no nonce twice.
    pub(crate) fn check_stores(&mut self) {
        if self.model.leaks > 0 {
            let text = format!("plaintext went over a wire {} times", self.model.leaks);
            self.violation(OracleId::O6, None, text);
        }
        let mut nonces: BTreeMap<[u8; 24], blake3::Hash> = BTreeMap::new();
        for peer in 0..self.nodes.len() {
            let store = self.nodes[peer].durable();
            self.stats.checks += 1;
            if let Some(wrong) = wrong_count(store.rows()) {
                self.violation(OracleId::O4, Some(peer), wrong);
            }
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
                if *nonces.entry(*entry.nonce()).or_insert(hash) != hash {
                    self.violation(OracleId::O6, Some(peer), "two entries share a nonce".to_owned());
                }
            }
        }
    }

    /// O8: the number of a peer's commits is in proportion to its causes.
    fn check_effort(&mut self) {
        for peer in 0..self.nodes.len() {
            let causes =
                [Point::EntryReceived, Point::EditTaken, Point::Shaken, Point::DocOpened, Point::Started, Point::Asked];
            let causes: u64 = causes.into_iter().map(|point| self.count(peer, point)).sum();
            // Where steps of values and indexes are small, each may take one document.
            let is_small = self.plan.core.sizes.is_some() || self.plan.core.batch.is_some();
            let docs = if is_small { self.values_stored(peer) } else { 0 };
            let commits = self.count(peer, Point::Submitted);
            self.stats.checks += 1;
            if commits > COMMITS_BASE + COMMITS_EACH * (causes + docs) {
                let text = format!("{commits} commits for {causes} things that happened and {docs} documents");
                self.violation(OracleId::O8, Some(peer), text);
            }
        }
    }

    fn values_stored(&self, peer: usize) -> u64 {
        self.nodes[peer].durable().rows().keys().filter(|(table, _)| *table == Table::Value).count() as u64
    }

    /// O7: at rest, nothing is queued, and no document is in memory beyond the wanted ones.
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

    /// O13: a late replica that learns the same operations from two others, in other pieces, has the same values.
    fn check_late(&mut self, shown: &BTreeMap<u64, Shown>) {
        let sources = self.full_core();
        let Some(slot) = sources.first().copied() else { return };
        let read = |world: &Self, store: MemStore, tag: u64| {
            Reader::new(store, &world.plan.core, world.keyed.seed(&[purpose::LATE, tag]))
        };
        let Some(mut late) = read(self, self.nodes[slot].origin.clone(), 0) else { return };
        // The store that the late replica began from is not a source.
        for (tag, source) in sources.into_iter().filter(|source| *source != slot).take(2).enumerate() {
            let Some(mut source) = read(self, self.nodes[source].durable(), 1 + tag as u64) else {
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
            // Without a source that knows a document, the late replica has nothing to compare.
            let differs = found.snapshot != other.snapshot || found.hidden != other.hidden;
            if found.missing == 0 && found.version == other.version && differs {
                let text = format!("document {doc} has another value on a replica that came late");
                self.violation(OracleId::O13, Some(slot), text);
            } else if found.version != other.version && self.full_core().len() > 1 && !self.model.forks {
                let text = format!("document {doc} has another version on a replica that came late");
                self.violation(OracleId::O13, Some(slot), text);
            }
        }
    }
}
