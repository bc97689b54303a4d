//! Restating: what this store wrote and what does not count any more is said again, once, in a log that counts.
//!
//! Nobody restates what others wrote: each store does so for its own entries (`spec/exclusion.md`, section 5).

use super::{Doc, Shelf, read_index};
use crate::access::{At, Forks};
use crate::document::{CheckedUpdate, Update, check};
use crate::endpoint::Event;
use crate::identity::peer_id;
use crate::ids::LogId;
use crate::ledger::rows::restated_row;
use crate::ledger::{Batch, DocRef, EntryRef, Ledger, PartNo, forks};
use crate::sync::LogNo;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many documents are looked at at a time.
const REPAIRING_MAX: usize = 8;

impl Shelf {
    /// Looks at the next documents that entries touch which do not count.
    pub(crate) fn repair(&mut self, ledger: &mut Ledger) {
        while self.repairing.len() < REPAIRING_MAX
            && let Some(doc) = ledger.affected.pop_first()
        {
            self.repairing.insert(doc);
            if self.dirty.contains(&doc) {
                self.flush(ledger);
            }
            let life = self.new_life();
            match self.docs.get_mut(&doc) {
                Some(state) => {
                    state.repairing = true;
                    self.start_over(ledger, doc);
                }
                None => {
                    read_index(ledger, doc, life);
                    self.docs.insert(doc, Doc { repairing: true, ..Doc::new(life) });
                }
            }
        }
    }

    /// Restates in a document that was just read what this store wrote in it and does not count.
    pub(super) fn restate(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.repairing && state.ready) else { return };
        state.repairing = false;
        self.repairing.remove(&doc);
        let unpinned = state.pins == 0;
        let own = if planted!("exclusion.not-restated") {
            Vec::new()
        } else {
            state.to_restate(ledger, doc, self.said_at.get(&doc))
        };
        let mut said = self.say_again(ledger, doc, &own);
        if self.owing.remove(&doc) {
            // Entries of several logs may rest on histories of one log that no document can hold together.
            said = own.chunk_by(|a, b| a.log == b.log).fold(said, |said, own| self.say_again(ledger, doc, own) || said);
        }
        if said {
            events.push_back(Event::Restated { doc, entries: own.len() });
        }
        if let Some(state) = self.docs.get_mut(&doc) {
            state.opened.clear();
            if unpinned && !self.idle.contains(&doc) {
                self.idle.push_back(doc);
            }
        }
        self.evict(ledger);
    }

    /// Restates entries together. Returns whether there was something to say and it was appended.
    fn say_again(&mut self, ledger: &mut Ledger, doc: DocRef, own: &[EntryRef]) -> bool {
        let Some(last) = own.last().copied() else { return false };
        let mut batch = Batch::default();
        let Some(peer) = self.fresh_writer(ledger, doc, &mut batch) else {
            ledger.submit(batch);
            return false;
        };
        let Some(state) = self.docs.get_mut(&doc) else { return false };
        let at = state.parts.get(&last).map(|part| part.at);
        let restated = state.restated(ledger, own, peer).zip(at);
        let said = restated.as_ref().is_some_and(|(updates, _)| !updates.is_empty());
        let done = restated.is_some_and(|(updates, at)| {
            updates.into_iter().all(|update| self.append_restated(ledger, doc, update, &at, peer, &mut batch))
        });
        if !done {
            // Not noted as said, so tried again when the document grows.
            self.owing.insert(doc);
            ledger.submit(batch);
            return false;
        }
        for entry in own {
            let upto = ledger.restated.entry((doc, entry.log)).or_default();
            *upto = (*upto).max(entry.seq + 1);
            batch.ops.push(restated_row(doc, entry.log, *upto));
        }
        ledger.submit(batch);
        said
    }

    /// The peer id of a live log that has no operation in a document yet: a new log if need be.
    fn fresh_writer(&mut self, ledger: &mut Ledger, doc: DocRef, batch: &mut Batch) -> Option<u64> {
        let space = ledger.partition(doc.partition).space;
        ledger.space(space).current_epoch()?;
        let log = ledger.live_log(doc.partition, batch).ok()?;
        let peer = peer_id(&ledger.book.log(log).id);
        let known = self.docs.get(&doc).is_some_and(|state| state.replica.version().contains_key(&peer));
        if !known {
            return Some(peer);
        }
        ledger.submit(core::mem::take(batch));
        self.end_live_log(ledger, doc.partition);
        let log = ledger.live_log(doc.partition, batch).ok()?;
        Some(peer_id(&ledger.book.log(log).id))
    }

    /// Has edits go on in a new log of a partition.
    pub(super) fn end_live_log(&mut self, ledger: &mut Ledger, part: PartNo) {
        self.flush(ledger);
        if let Some(log) = ledger.partitions[part.0 as usize].live.take() {
            ledger.finish_log(log);
            let mut batch = Batch::default();
            batch.touch(log, false);
            ledger.submit(batch);
        }
    }

    fn append_restated(
        &mut self,
        ledger: &mut Ledger,
        doc: DocRef,
        update: Update,
        at: &At,
        peer: u64,
        batch: &mut Batch,
    ) -> bool {
        let Ok(checked) = check(update.bytes.clone(), peer, update.start) else { return false };
        let extension = Bytes::from(forks::encode_restates(at));
        if self.append_saying(ledger, doc.partition, vec![(doc, update)], extension, batch).is_err() {
            return false;
        }
        if let Some(log) = ledger.partition(doc.partition).live {
            self.said_at.insert(doc, EntryRef { log, seq: ledger.book.log(log).next_seq().saturating_sub(1) });
        }
        let Some(state) = self.docs.get_mut(&doc) else { return false };
        state.cached = false;
        state.replica.import(vec![checked]).is_ok()
    }
}

impl Doc {
    /// Entries of this store that do not count and were not restated, or in vain, in the order of their logs. `said_at`:
    /// the last entry by which this store restated any since it was opened.
    fn to_restate(&self, ledger: &Ledger, doc: DocRef, said_at: Option<&EntryRef>) -> Vec<EntryRef> {
        // What was appended just now is not among the parts before it is durable; it is judged then.
        let is_judged = said_at.is_none_or(|at| self.parts.contains_key(at));
        let sayings = self.sayings(ledger);
        let is_said = |at: &EntryRef| {
            let noted = ledger.restated.get(&(doc, at.log)).is_some_and(|upto| at.seq < *upto);
            noted && !(is_judged && self.is_said_in_vain(ledger, at, &sayings))
        };
        // What restates something that counts again, or what another entry restates as well, is not said once more.
        let says_again = |at: &EntryRef| self.parts.get(at).is_some_and(|part| part.restates.is_some());
        self.left_out.iter().copied().filter(|at| ledger.wrote(*at) && !is_said(at) && !says_again(at)).collect()
    }

    /// What the entries by which this store restated others name, and whether they count.
    fn sayings(&self, ledger: &Ledger) -> Vec<(At, bool)> {
        let own = self.parts.values().filter(|part| ledger.wrote(part.key));
        own.filter_map(|part| Some((part.restates?, !self.left_out.contains(&part.key)))).collect()
    }

    /// Whether nothing that restates an own entry counts either: it rests on a history that was chosen then and is not
    /// any more.
    fn is_said_in_vain(&self, ledger: &Ledger, at: &EntryRef, sayings: &[(At, bool)]) -> bool {
        let Some(of) = self.parts.get(at).map(|part| part.at) else { return false };
        let is_of = |named: &At| named.log == of.log && of.seq <= named.seq && ledger.leads_to(&of, named);
        // Entries of several logs that were restated at once are named by the last alone.
        let by_name = sayings.iter().any(|(named, _)| is_of(named));
        let mut meant = sayings.iter().filter(|(named, _)| !by_name || is_of(named)).peekable();
        meant.peek().is_some() && !meant.any(|(_, counts)| *counts)
    }

    /// The updates that say own entries again, on top of what counts and they built on.
    /// `None` while some of them, or of what they built on, is not here.
    fn restated(&mut self, ledger: &Ledger, own: &[EntryRef], peer: u64) -> Option<Vec<Update>> {
        let is_opened = |at: &EntryRef| self.opened.range((*at, 0)..=(*at, u32::MAX)).next().is_some();
        if !own.iter().all(is_opened) {
            return None;
        }
        let past = self.past(ledger, own);
        let (base, mut rest): (BTreeSet<EntryRef>, BTreeSet<EntryRef>) =
            past.into_iter().partition(|at| !self.left_out.contains(at));
        let mut ends = BTreeMap::new();
        let (base, unfit) = self.in_order(ledger, &base, &mut ends);
        // What counts may build on what does not, where it was taken in before anybody knew of two histories.
        rest.extend(unfit);
        let (rest, unfit) = self.in_order(ledger, &rest, &mut ends);
        let mine: BTreeSet<EntryRef> = own.iter().copied().collect();
        if !mine.is_disjoint(&unfit) {
            return None;
        }
        let base: Vec<_> = base.into_iter().map(|(_, update)| update).collect();
        let rest: Vec<_> = rest.into_iter().map(|(at, update)| (update, mine.contains(&at))).collect();
        self.replica.restate(&base, &rest, peer).ok()
    }

    /// The entries that others build on, themselves included.
    ///
    /// Of several histories of a log it takes the one that is named nearest: a document holds one at a time, but whoever is
    /// cited may have held another.
    fn past(&self, ledger: &Ledger, of: &[EntryRef]) -> BTreeSet<EntryRef> {
        let mut past: BTreeSet<EntryRef> = of.iter().copied().collect();
        let mut ends: BTreeMap<LogId, At> = BTreeMap::new();
        let mut open: VecDeque<EntryRef> = of.iter().rev().copied().collect();
        while let Some(key) = open.pop_front() {
            let Some(part) = self.parts.get(&key) else { continue };
            for upto in core::iter::once(&part.at).chain(&part.deps) {
                let end = ends.get(&upto.log);
                if end.is_some_and(|end| upto.seq <= end.seq || !ledger.leads_to(end, upto)) {
                    continue;
                }
                ends.insert(upto.log, *upto);
                let leads = |other: &At| other.log == upto.log && other.seq <= upto.seq && ledger.leads_to(other, upto);
                for other in self.parts.values().filter(|other| leads(&other.at)) {
                    if !past.insert(other.key) {
                        continue;
                    }
                    if other.at.log == part.at.log {
                        open.push_front(other.key);
                    } else {
                        open.push_back(other.key);
                    }
                }
            }
        }
        past
    }

    /// The updates of some entries, in an order in which they can be imported after those before `ends`, and the entries
    /// that cannot.
    fn in_order(
        &self,
        ledger: &Ledger,
        entries: &BTreeSet<EntryRef>,
        ends: &mut BTreeMap<u64, u32>,
    ) -> (Vec<(EntryRef, CheckedUpdate)>, BTreeSet<EntryRef>) {
        let mut left: Vec<(EntryRef, u64, &Vec<u8>)> = self
            .opened
            .iter()
            .filter(|((at, _), _)| entries.contains(at))
            .map(|((at, _), bytes)| (*at, peer_of(ledger, at.log), bytes))
            .collect();
        let mut ordered = Vec::new();
        loop {
            let before = left.len();
            left.retain(|(at, peer, bytes)| {
                let end = |peer: &u64| ends.get(peer).copied().unwrap_or(0);
                let fits = check((*bytes).clone(), *peer, end(peer))
                    .ok()
                    .filter(|update| update.deps().iter().all(|(peer, counter)| *counter < end(peer)));
                let Some(update) = fits else { return true };
                ends.insert(*peer, update.end());
                ordered.push((*at, update));
                false
            });
            if left.len() == before {
                return (ordered, left.into_iter().map(|(at, ..)| at).collect());
            }
        }
    }
}

fn peer_of(ledger: &Ledger, log: LogNo) -> u64 {
    peer_id(&ledger.book.log(log).id)
}
