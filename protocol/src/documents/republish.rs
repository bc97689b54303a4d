//! Republishing: excluded content is written again, in a log that is not excluded.
//!
//! The process that appended an excluded entry republishes it at once. Entries of others are republished only
//! on a person's request (`spec/exclusion.md`, section 4).

use super::read::read_index;
use super::{Doc, Documents};
use crate::branch::{At, Forks};
use crate::crdt::{CheckedUpdate, Replica, Update, check};
use crate::event::Event;
use crate::identity::peer_id;
use crate::ids::{DocRef, EntryRef, LogId, PartNo};
use crate::ledger::Ledger;
use crate::logs::{Batch, Effect, Touch};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most documents that are examined at one time.
const EXAMINED_MAX: usize = 8;

/// Updates in an order in which they can be imported.
type Ordered = Vec<(EntryRef, CheckedUpdate)>;

impl Documents {
    /// Drops the cached values of the next documents that excluded entries touch, and reads those in which
    /// this process may have entries to republish.
    pub(crate) fn examine(&mut self, ledger: &mut Ledger) {
        let mut batch = Batch::default();
        let mut dropped = Vec::new();
        while self.examined.len() < EXAMINED_MAX
            && let Some(doc) = ledger.affected.pop_first()
        {
            ledger.drop_cached(doc, Touch { here: false, may_delete: true }, &mut batch);
            dropped.push(doc);
            if !self.asked.contains(&doc)
                && (planted!("exclusion.not-republished") || !ledger.logs.wrote_in(doc.partition))
            {
                continue;
            }
            self.examined.insert(doc);
            if self.dirty.contains(&doc) {
                self.flush(ledger);
            }
            let life = self.new_life();
            match self.docs.get_mut(&doc) {
                Some(state) => {
                    state.examined = true;
                    self.start_over(ledger, doc);
                }
                None => {
                    read_index(ledger, doc, life);
                    self.docs.insert(doc, Doc { examined: true, ..Doc::new(life) });
                }
            }
        }
        if !dropped.is_empty() {
            // Documents that are not in memory tell of nothing themselves.
            batch.effects.push(Effect::Dropped(dropped));
        }
        ledger.submit(batch);
    }

    /// Has all excluded entries of a document republished by this process, whoever wrote them.
    pub(crate) fn publish_excluded(&mut self, ledger: &mut Ledger, doc: DocRef) {
        self.asked.insert(doc);
        ledger.affected.insert(doc);
    }

    /// Returns whether a request to republish a document is still open.
    pub(crate) fn is_publishing(&self, doc: DocRef) -> bool {
        self.asked.contains(&doc)
    }

    /// Returns the number of documents that are examined, or will be.
    pub(crate) fn examining(&self, ledger: &Ledger) -> usize {
        self.examined.len() + ledger.affected.len()
    }

    /// Republishes excluded entries of a document that was just read for this: all on a person's request,
    /// else only those of this process.
    pub(super) fn republish(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.examined && state.ready) else { return };
        state.examined = false;
        self.examined.remove(&doc);
        let unpinned = state.pins == 0;
        let is_asked = self.asked.remove(&doc);
        let is_due = |at: &&EntryRef| (is_asked || ledger.logs.wrote(**at)) && !self.republished.contains(&(doc, **at));
        let mut due: BTreeSet<EntryRef> = state.excluded_entries.iter().filter(is_due).copied().collect();
        let mut entries = 0;
        while !due.is_empty() {
            let done = self.publish(ledger, doc, &due);
            if done.is_empty() {
                // A body that it builds on is missing: it is tried again when the document grows.
                self.pending.insert(doc);
                break;
            }
            entries += done.len();
            due.retain(|at| !done.contains(at));
            self.republished.extend(done.into_iter().map(|at| (doc, at)));
        }
        if entries > 0 {
            events.push_back(Event::Republished { doc, entries });
        }
        if let Some(state) = self.docs.get_mut(&doc) {
            state.opened.clear();
            if unpinned && !self.idle.contains(&doc) {
                self.idle.push_back(doc);
            }
        }
        self.evict(ledger);
    }

    /// Writes the additions of excluded entries to a document as operations of a new log. Returns the
    /// finished entries: a document holds only one history of a log, so others follow in further calls.
    fn publish(&mut self, ledger: &mut Ledger, doc: DocRef, due: &BTreeSet<EntryRef>) -> BTreeSet<EntryRef> {
        let none = BTreeSet::new();
        let Some(state) = self.docs.get(&doc) else { return none };
        let (base, rest) = state.base_and_rest(ledger, due);
        let done: BTreeSet<EntryRef> = rest.iter().map(|(at, _)| *at).filter(|at| due.contains(at)).collect();
        if done.is_empty() {
            return none;
        }
        let mut batch = Batch::default();
        let Some(peer) = self.fresh_writer(ledger, doc, &mut batch) else { return none };
        let updates = |ordered: Ordered| ordered.into_iter().map(|(_, update)| update).collect();
        let restated = Replica::republish(updates(base), updates(rest), peer);
        let written = restated.is_ok_and(|restated| {
            restated.into_iter().all(|update| self.append_republished(ledger, doc, update, peer, &mut batch))
        });
        ledger.submit(batch);
        if written { done } else { none }
    }

    /// Returns the peer id of a live log that has no operation in a document yet.
    fn fresh_writer(&mut self, ledger: &mut Ledger, doc: DocRef, batch: &mut Batch) -> Option<u64> {
        let space = ledger.known_partition(doc.partition).ok()?.space;
        ledger.space(space).current_epoch()?;
        let log = ledger.live_log(doc.partition, batch);
        let peer = peer_id(&ledger.logs.registry.log(log).id);
        let state = self.docs.get(&doc);
        if !state.is_some_and(|state| state.replica.version().contains_key(&peer) || state.lacks(log)) {
            return Some(peer);
        }
        ledger.submit(core::mem::take(batch));
        self.end_live_log(ledger, doc.partition);
        let log = ledger.live_log(doc.partition, batch);
        Some(peer_id(&ledger.logs.registry.log(log).id))
    }

    /// Ends the live log of a partition, so that edits continue in a new one.
    pub(super) fn end_live_log(&mut self, ledger: &mut Ledger, part: PartNo) {
        self.flush(ledger);
        if let Some(log) = ledger.logs.live(part) {
            ledger.logs.end_log(log);
        }
    }

    /// Ends all live logs, so that edits and records continue in new ones.
    pub(crate) fn end_live_logs(&mut self, ledger: &mut Ledger) {
        self.flush(ledger);
        ledger.logs.end_live_logs();
    }

    fn append_republished(
        &mut self,
        ledger: &mut Ledger,
        doc: DocRef,
        update: Update,
        peer: u64,
        batch: &mut Batch,
    ) -> bool {
        let Ok(checked) = check(&update.bytes, peer, update.start) else { return false };
        if self.append(ledger, doc.partition, vec![(doc, update)], batch).is_err() {
            return false;
        }
        let Some(state) = self.docs.get_mut(&doc) else { return false };
        state.cached = false;
        state.replica.import(vec![checked]).is_ok()
    }
}

impl Doc {
    /// Returns the entries that excluded entries build on, themselves included: first those that are not
    /// excluded, then those that are. Entries that fit nothing here are left out.
    fn base_and_rest(&self, ledger: &Ledger, due: &BTreeSet<EntryRef>) -> (Ordered, Ordered) {
        let past = self.past(ledger, due);
        let (base, rest): (BTreeSet<EntryRef>, BTreeSet<EntryRef>) =
            past.into_iter().partition(|at| !self.excluded_entries.contains(at));
        let mut ends = BTreeMap::new();
        let base = self.in_order(ledger, &base, &mut ends);
        let rest = self.in_order(ledger, &rest, &mut ends);
        (base, rest)
    }

    /// Returns the entries that others build on, themselves included. If several histories of a log are
    /// named, the first one is taken.
    fn past(&self, ledger: &Ledger, of: &BTreeSet<EntryRef>) -> BTreeSet<EntryRef> {
        let mut past: BTreeSet<EntryRef> = BTreeSet::new();
        let mut ends: BTreeMap<LogId, At> = BTreeMap::new();
        let mut open: VecDeque<At> = of.iter().filter_map(|at| self.parts.get(at)).map(|part| part.at).collect();
        while let Some(upto) = open.pop_front() {
            let end = ends.get(&upto.log);
            if end.is_some_and(|end| upto.seq <= end.seq || !ledger.leads_to(end, &upto)) {
                continue;
            }
            ends.insert(upto.log, upto);
            let leads = |other: &At| other.log == upto.log && other.seq <= upto.seq && ledger.leads_to(other, &upto);
            for part in self.parts.values().filter(|part| leads(&part.at)) {
                if past.insert(part.key) {
                    open.extend(part.deps.iter());
                }
            }
        }
        past
    }

    /// Returns the updates of entries, in an order in which they can be imported after operations that end at
    /// `ends`.
    fn in_order(&self, ledger: &Ledger, entries: &BTreeSet<EntryRef>, ends: &mut BTreeMap<u64, u32>) -> Ordered {
        let peer_of = |at: &EntryRef| peer_id(&ledger.logs.registry.log(at.log).id);
        let opened = self.opened.iter().filter(|((at, _), _)| entries.contains(at));
        let mut left: Vec<(EntryRef, u64, &Vec<u8>)> =
            opened.map(|((at, _), bytes)| (*at, peer_of(at), bytes)).collect();
        let mut ordered = Vec::new();
        loop {
            let before = left.len();
            left.retain(|(at, peer, bytes)| {
                let end = |peer: &u64| ends.get(peer).copied().unwrap_or(0);
                let fits = check(bytes, *peer, end(peer))
                    .ok()
                    .filter(|update| update.deps().iter().all(|(peer, counter)| *counter < end(peer)));
                let Some(update) = fits else { return true };
                ends.insert(*peer, update.end());
                ordered.push((*at, update));
                false
            });
            if left.len() == before {
                return ordered;
            }
        }
    }
}
