//! Restating: what was written and does not count any more is said again, once, in a log that counts.
//!
//! A store does so at once for what it wrote itself. What others wrote it restates after a while, if nobody else has by
//! then: whoever wrote it may be gone for good (`spec/exclusion.md`, section 5).

use super::{Doc, Saying, Shelf, Turns, read_index};
use crate::access::{At, Forks, Part, Span};
use crate::document::{CheckedUpdate, Update, check};
use crate::endpoint::Event;
use crate::identity::peer_id;
use crate::ids::LogId;
use crate::ledger::{Batch, DocRef, EntryRef, Ledger, PartNo, restates};
use crate::sync::LogNo;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long what cites a history that is not here is left alone: it may come yet.
const MAY_COME_US: u64 = 10_000_000;
/// How many documents are looked at at a time.
const REPAIRING_MAX: usize = 8;

impl Shelf {
    /// Looks at the next documents that entries touch which do not count.
    pub(crate) fn repair(&mut self, ledger: &mut Ledger) {
        let mut batch = Batch::default();
        while self.repairing.len() < REPAIRING_MAX
            && let Some(doc) = ledger.affected.pop_first()
        {
            ledger.drop_cached(doc, &mut batch);
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
        ledger.submit(batch);
    }

    /// Restates in a document that was just read what does not count in it, as far as it is this store's turn.
    pub(super) fn restate(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.repairing && state.ready) else { return };
        state.repairing = false;
        self.repairing.remove(&doc);
        let unpinned = state.pins == 0;
        let saying = self.saying.entry(doc).or_default();
        saying.retain(|saying| saying.at.is_none_or(|at| !state.parts.contains_key(&at)));
        let unsaid = if planted!("exclusion.not-restated") { Vec::new() } else { state.unsaid(ledger, saying) };
        if saying.is_empty() {
            self.saying.remove(&doc);
        }
        let own = self.take_turn(ledger, doc, unsaid);
        let mut said = false;
        let runs: Vec<usize> =
            self.docs.get(&doc).map_or(Vec::new(), |state| state.runs(&own).map(<[_]>::len).collect());
        let mut rest = &own[..];
        for runs in runs.chunks(restates::SPANS_MAX) {
            let (own, more) = rest.split_at(runs.iter().sum());
            rest = more;
            said |= self.say_again(ledger, doc, own);
            if self.owing.remove(&doc) {
                // Entries of several logs may rest on histories of one log that no document can hold together.
                for own in own.chunk_by(|a, b| a.log == b.log) {
                    said |= self.say_again(ledger, doc, own);
                }
            }
        }
        if said {
            let others = own.iter().filter(|at| !ledger.wrote(**at)).count();
            events.push_back(Event::Restated { doc, entries: own.len(), others });
        }
        if let Some(state) = self.docs.get_mut(&doc) {
            state.opened.clear();
            if unpinned && !self.idle.contains(&doc) {
                self.idle.push_back(doc);
            }
        }
        self.evict(ledger);
    }

    /// Of what is to be restated in a document what it is this store's turn to restate. It comes back to the rest.
    fn take_turn(&mut self, ledger: &Ledger, doc: DocRef, mut unsaid: Vec<EntryRef>) -> Vec<EntryRef> {
        let now_us = ledger.now.mono_us;
        if planted!("exclusion.own-alone") {
            unsaid.retain(|at| ledger.wrote(*at));
        }
        let before = self.turns.remove(&doc).map(|turns| turns.since_us).unwrap_or_default();
        let since_us = |at: &EntryRef| before.get(at).copied().unwrap_or(now_us);
        let citing = if unsaid.is_empty() { None } else { self.docs.get(&doc).map(Doc::citing_another_history) };
        let citing = citing.unwrap_or_default();
        let due_us = |at: &EntryRef| {
            let turns = u64::from(ledger.turns_before(*at));
            let may_come = citing.get(&at.log).is_some_and(|first| *first <= at.seq);
            let waits_us = if may_come { MAY_COME_US } else { 0 };
            since_us(at).saturating_add(waits_us).saturating_add(ledger.config.take_over_us.saturating_mul(turns))
        };
        let (due, later): (Vec<EntryRef>, Vec<EntryRef>) = unsaid.into_iter().partition(|at| due_us(at) <= now_us);
        if let Some(at_us) = later.iter().map(due_us).min() {
            let since_us = later.iter().map(|at| (*at, since_us(at))).collect();
            self.turns.insert(doc, Turns { since_us, at_us: Some(at_us) });
        }
        due
    }

    /// Has a document looked at if something in it is to be restated of which nothing was known when its entries came:
    /// another history may have been chosen since.
    pub(super) fn see_to(&mut self, ledger: &mut Ledger, doc: DocRef) {
        let Some(state) = self.docs.get(&doc).filter(|state| !state.repairing && !state.left_out.is_empty()) else {
            return;
        };
        if self.owing.contains(&doc) || self.turns.contains_key(&doc) {
            return;
        }
        let mut saying = self.saying.get(&doc).cloned().unwrap_or_default();
        saying.retain(|saying| saying.at.is_none_or(|at| !state.parts.contains_key(&at)));
        if !state.unsaid(ledger, &saying).is_empty() {
            ledger.affected.insert(doc);
        }
    }

    /// Looks again at the documents in which it is this store's turn.
    pub(super) fn look_again(&mut self, ledger: &mut Ledger) {
        let now_us = ledger.now.mono_us;
        for (doc, turns) in &mut self.turns {
            if turns.at_us.is_some_and(|at_us| at_us <= now_us) {
                turns.at_us = None;
                ledger.affected.insert(*doc);
            }
        }
    }

    /// When [`Self::look_again`] is wanted.
    pub(crate) fn take_over_at_us(&self) -> Option<u64> {
        self.turns.values().filter_map(|turns| turns.at_us).min()
    }

    /// How many documents are looked at, or will be, for what is to be restated in them.
    pub(crate) fn restating(&self, ledger: &Ledger) -> usize {
        self.repairing.len() + ledger.affected.len() + self.turns.len()
    }

    /// Restates entries together. Returns whether there was something to say and it was appended.
    fn say_again(&mut self, ledger: &mut Ledger, doc: DocRef, own: &[EntryRef]) -> bool {
        let Some(state) = self.docs.get(&doc) else { return false };
        let spans: Vec<Span> = state.runs(own).filter_map(|run| state.span(run)).collect();
        let Some((base, rest)) = state.base_and_rest(ledger, own) else {
            self.owing.insert(doc);
            return false;
        };
        let mut batch = Batch::default();
        let Some(peer) = self.fresh_writer(ledger, doc, &mut batch) else {
            ledger.submit(batch);
            return false;
        };
        let Some(state) = self.docs.get_mut(&doc) else { return false };
        let restated = state.replica.restate(&base, &rest, peer).ok();
        let said = restated.as_ref().is_some_and(|updates| !updates.is_empty());
        let done = restated.is_some_and(|updates| {
            updates.into_iter().all(|update| self.append_restated(ledger, doc, update, &spans, peer, &mut batch))
        });
        if !done {
            // Tried again when the document grows.
            self.owing.insert(doc);
        } else if !said {
            self.saying.entry(doc).or_default().push(Saying { at: None, spans });
        }
        ledger.submit(batch);
        done && said
    }

    /// The peer id of a live log that has no operation in a document yet: a new log if need be.
    fn fresh_writer(&mut self, ledger: &mut Ledger, doc: DocRef, batch: &mut Batch) -> Option<u64> {
        let space = ledger.partition(doc.partition).space;
        ledger.space(space).current_epoch()?;
        let log = ledger.live_log(doc.partition, batch).ok()?;
        let peer = peer_id(&ledger.book.log(log).id);
        let state = self.docs.get(&doc);
        let known = state.is_some_and(|state| state.replica.version().contains_key(&peer) || state.lacks(log));
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
        spans: &[Span],
        peer: u64,
        batch: &mut Batch,
    ) -> bool {
        let Ok(checked) = check(update.bytes.clone(), peer, update.start) else { return false };
        let extension = Bytes::from(restates::encode(spans));
        if self.append_saying(ledger, doc.partition, vec![(doc, update)], extension, batch).is_err() {
            return false;
        }
        if let Some(log) = ledger.partition(doc.partition).live {
            let at = EntryRef { log, seq: ledger.book.log(log).next_seq().saturating_sub(1) };
            self.saying.entry(doc).or_default().push(Saying { at: Some(at), spans: spans.to_vec() });
            ledger.restated_in.insert(doc);
        }
        let Some(state) = self.docs.get_mut(&doc) else { return false };
        state.cached = false;
        state.replica.import(vec![checked]).is_ok()
    }
}

impl Doc {
    /// Entries that do not count and that nothing which counts restates, in the order of their logs. `saying`: what this
    /// store restates of them in entries that are not durable yet.
    fn unsaid(&self, ledger: &Ledger, saying: &[Saying]) -> Vec<EntryRef> {
        let count = self.parts.values().filter(|part| !self.left_out.contains(&part.key));
        let appended = saying.iter().flat_map(|saying| &saying.spans);
        let said: BTreeSet<&Span> = count.flat_map(|part| &part.restates).chain(appended).collect();
        let is_unsaid = |part: &&Part<EntryRef>| !said.iter().any(|span| span.covers(&part.at, ledger));
        // What restates others is not said once more: the others are.
        let says = |part: &&Part<EntryRef>| part.restates.is_empty();
        self.left_out
            .iter()
            .filter_map(|at| self.parts.get(at))
            .filter(says)
            .filter(is_unsaid)
            .map(|part| part.key)
            .collect()
    }

    /// From which entry on logs cite, or follow what cites, an entry that is not here, in the place of which the document
    /// has one of another history.
    fn citing_another_history(&self) -> BTreeMap<LogNo, u64> {
        let here: BTreeSet<At> = self.parts.values().map(|part| part.at).collect();
        let is_other = |dep: &At| {
            let place = At { h: [0; 8], ..*dep }..=At { h: [u8::MAX; 8], ..*dep };
            !here.contains(dep) && here.range(place).next().is_some()
        };
        let mut first = BTreeMap::new();
        for (key, _) in self.parts.iter().filter(|(_, part)| part.deps.iter().any(is_other)) {
            first.entry(key.log).or_insert(key.seq);
        }
        first
    }

    /// Entries, in the order of their logs, cut where something else stands between two of them.
    fn runs<'a>(&'a self, entries: &'a [EntryRef]) -> impl Iterator<Item = &'a [EntryRef]> {
        let is_between = |after: &EntryRef, before: &EntryRef| {
            let after = EntryRef { seq: after.seq + 1, ..*after };
            self.parts.range(after..*before).any(|(_, part)| part.restates.is_empty())
        };
        entries.chunk_by(move |a, b| a.log == b.log && !is_between(a, b))
    }

    fn span(&self, run: &[EntryRef]) -> Option<Span> {
        Some(Span { first: run.first()?.seq, last: self.parts.get(run.last()?)?.at })
    }

    /// What entries that are to be restated built on and counts; and what of it does not, with them (`true`). `None` while
    /// some of it is not here.
    fn base_and_rest(&self, ledger: &Ledger, own: &[EntryRef]) -> Option<BaseAndRest> {
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
        let of_several = own.first().map(|at| at.log) != own.last().map(|at| at.log);
        if !mine.is_disjoint(&unfit) || of_several && self.are_rivals(base.iter().chain(&rest).map(|(at, _)| at)) {
            return None;
        }
        let base = base.into_iter().map(|(_, update)| update).collect();
        Some((base, built_on(rest, &mine)))
    }

    /// Whether entries of several logs say the same again: each makes its own containers, of which a document shows one.
    fn are_rivals<'a>(&self, entries: impl Iterator<Item = &'a EntryRef>) -> bool {
        let spans = entries
            .filter_map(|at| self.parts.get(at))
            .flat_map(|part| part.restates.iter().map(|span| (span.last.log, span.first, span.last.seq, part.key.log)));
        let mut spans: Vec<(LogId, u64, u64, LogNo)> = spans.collect();
        spans.sort_unstable();
        let mut before: Option<(LogId, u64, LogNo)> = None;
        spans.into_iter().any(|(log, first, last, by)| {
            let Some((_, end, of)) = before.filter(|(of, end, _)| *of == log && first <= *end) else {
                before = Some((log, last, by));
                return false;
            };
            if end < last {
                before = Some((log, last, by));
            }
            of != by
        })
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
            for upto in core::iter::once(&part.at).chain(part.deps.iter()) {
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

/// Of updates, in an order in which they can be imported, `mine` (`true`) and what those build on.
///
/// What an entry cites may have been seen in another document, and may stand in this one on a history that `mine` do not.
fn built_on(rest: Vec<(EntryRef, CheckedUpdate)>, mine: &BTreeSet<EntryRef>) -> Vec<(CheckedUpdate, bool)> {
    let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
    let mut kept = Vec::new();
    for (at, update) in rest.into_iter().rev() {
        let is_mine = mine.contains(&at);
        if !is_mine && ends.get(&update.peer()).is_none_or(|end| *end <= update.start()) {
            continue;
        }
        let before = update.start().checked_sub(1).map(|last| (update.peer(), last));
        for (peer, last) in update.deps().iter().copied().chain(before) {
            let end = ends.entry(peer).or_default();
            *end = (*end).max(last.saturating_add(1));
        }
        kept.push((update, is_mine));
    }
    kept.reverse();
    kept
}

type BaseAndRest = (Vec<CheckedUpdate>, Vec<(CheckedUpdate, bool)>);

fn peer_of(ledger: &Ledger, log: LogNo) -> u64 {
    peer_id(&ledger.book.log(log).id)
}
