//! Importing into open documents: checked, in causal order, in batches.

use super::{Body, Doc, Shelf, read_index};
use crate::access::{Forks, Part, excluded};
use crate::document::{CheckedUpdate, ImportError, Replica, UpdateError, check};
use crate::endpoint::Event;
use crate::identity::peer_id;
use crate::ids::LogId;
use crate::ledger::forks::short;
use crate::ledger::{DocRef, EntryRef, Ledger};
use crate::sync::LogNo;
use std::collections::{BTreeMap, VecDeque};

impl Shelf {
    /// Imports what waits and can be imported, and tells of it.
    pub(super) fn import(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        if ledger.is_judging() {
            return;
        }
        let Some(state) = self.docs.get_mut(&doc) else { return };
        state.leave_out(ledger);
        state.note_off(ledger, doc);
        if state.left_out.iter().any(|at| state.imported.get(&at.log).is_some_and(|next| at.seq < *next)) {
            // It was taken in before that came which it restates.
            if self.dirty.contains(&doc) {
                self.flush(ledger);
            }
            self.start_over(ledger, doc);
            return;
        }
        if let Some(live) = ledger.partition(doc.partition).live
            && state.left_out.iter().any(|at| at.log == live)
        {
            // What follows in it, in this document, would not count either.
            self.end_live_log(ledger, doc.partition);
        }
        let Some(state) = self.docs.get_mut(&doc).filter(|state| state.reading == 0) else { return };
        let ready = state.ready_updates(ledger);
        let changed = !ready.is_empty();
        if changed && state.take_in(ready).is_err() {
            self.renew(ledger, doc);
            return;
        }
        let was_ready = core::mem::replace(&mut state.ready, true);
        if !was_ready && state.pins > 0 {
            events.push_back(Event::Opened { doc, exists: state.exists() });
        } else if changed {
            events.push_back(Event::Changed { doc });
        }
        self.see_to(ledger, doc);
        self.restate(ledger, doc, events);
    }

    /// Other entries count than did: reads every document in memory again.
    pub(crate) fn rebuild(&mut self, ledger: &mut Ledger) {
        self.flush(ledger);
        // What there was nothing to say of may be said now.
        self.saying.values_mut().for_each(|saying| saying.retain(|saying| saying.at.is_some()));
        let docs: Vec<DocRef> = self.docs.keys().copied().collect();
        for doc in docs {
            self.start_over(ledger, doc);
        }
    }

    /// Reads a document again if its replica broke when it was last read or edited.
    pub(crate) fn mend(&mut self, ledger: &mut Ledger, doc: DocRef) {
        if self.docs.get(&doc).is_some_and(|state| state.replica.is_broken()) {
            self.renew(ledger, doc);
        }
    }

    /// Reads a document again; edits of it that were only gathered go with the replica that broke.
    fn renew(&mut self, ledger: &mut Ledger, doc: DocRef) {
        if self.dirty.contains(&doc) {
            self.give_up(ledger);
        } else {
            self.start_over(ledger, doc);
        }
    }

    /// Reads a document again from its first entry on, after its replica broke: to import it one by one.
    pub(super) fn start_over(&mut self, ledger: &mut Ledger, doc: DocRef) {
        let life = self.new_life();
        let Some(state) = self.docs.get_mut(&doc) else { return };
        read_index(ledger, doc, life);
        let (pins, careful, repairing) = (state.pins, state.careful || state.replica.is_broken(), state.repairing);
        *state = Doc { pins, hold: state.hold.take(), careful, repairing, ..Doc::new(life) };
    }
}

impl Doc {
    /// Takes out of the waiting sections those that do not count.
    fn leave_out(&mut self, ledger: &Ledger) {
        let bears = |part: &Part<EntryRef>| !part.restates.is_empty() || !ledger.is_kept(&part.at);
        if !self.parts.values().any(bears) || planted!("exclusion.by-arrival") {
            return;
        }
        let parts: Vec<Part<EntryRef>> = self.parts.values().cloned().collect();
        self.left_out = excluded(&parts, ledger);
        let (opened, left_out, repairing) = (&mut self.opened, &self.left_out, self.repairing);
        self.waiting.retain(|place, (_, body)| {
            let counts = !left_out.contains(&place.0);
            if let (false, true, Body::Plain(bytes, _)) = (counts, repairing, &mut *body) {
                opened.insert(*place, core::mem::take(bytes));
            }
            counts || repairing && matches!(body, Body::Absent)
        });
    }

    /// Notes where what does not count begins, for what comes when the document is not in memory.
    fn note_off(&self, ledger: &mut Ledger, doc: DocRef) {
        let mut first: BTreeMap<LogId, u64> = BTreeMap::new();
        for part in self.left_out.iter().filter_map(|at| self.parts.get(at)) {
            let seq = first.entry(part.at.log).or_insert(part.at.seq);
            *seq = part.at.seq.min(*seq);
        }
        if first.is_empty() {
            ledger.off.remove(&doc);
        } else {
            ledger.off.insert(doc, first);
        }
    }

    /// Takes out of the waiting sections those that can be imported, in an order in which they can.
    fn ready_updates(&mut self, ledger: &Ledger) -> Vec<Ready> {
        let mut ends = self.replica.version().clone();
        let mut ready = Vec::new();
        loop {
            let before = ready.len();
            for (log, peer) in self.waiting_logs(ledger) {
                while let Some(update) = self.next_of(ledger, log, peer, &ends) {
                    ends.insert(peer, update.update.end());
                    ready.push(update);
                }
            }
            if ready.len() == before {
                return ready;
            }
        }
    }

    fn waiting_logs(&self, ledger: &Ledger) -> Vec<(LogNo, u64)> {
        let mut logs: Vec<LogNo> = self.waiting.keys().map(|(entry, _)| entry.log).collect();
        logs.dedup();
        logs.into_iter().map(|log| (log, peer_id(&ledger.book.log(log).id))).collect()
    }

    /// The first waiting section of a log, if its turn has come. What breaks a rule excludes the rest of its log.
    fn next_of(&mut self, ledger: &Ledger, log: LogNo, peer: u64, ends: &BTreeMap<u64, u32>) -> Option<Ready> {
        let first = EntryRef { log, seq: 0 };
        let (&place, (row, body)) =
            self.waiting.range((first, 0)..).next().filter(|((entry, _), _)| entry.log == log)?;
        let at = row.entry;
        let held_back = self.hold.as_ref().is_some_and(|hold| hold.get(&log).is_none_or(|seq| *seq < at.seq));
        if held_back && !ledger.wrote(at) {
            return None;
        }
        let Body::Plain(bytes, h) = body else { return None };
        let h = *h;
        let end = |peer: &u64| ends.get(peer).copied().unwrap_or(0);
        match check(bytes.clone(), peer, end(&peer)) {
            Ok(update) if update.deps().iter().all(|(peer, counter)| *counter < end(peer)) => {
                if !self.is_meant(ledger, at, &update) {
                    return None;
                }
                if planted!("import.by-number") && log.0 % 8 == 7 && at.seq % 4 == 3 {
                    self.excluded.insert(log, at);
                }
                self.brought.insert((peer, update.end()), (at, short(&h)));
                let taken = self.waiting.remove(&place);
                if self.waiting.range((at, 0)..=(at, u32::MAX)).next().is_none() {
                    self.cited.remove(&at);
                }
                if let (true, Some((_, Body::Plain(bytes, _)))) = (self.repairing, taken) {
                    self.opened.insert(place, bytes);
                }
                Some(Ready { at, h, update })
            }
            // It builds on what is not here yet.
            Ok(_) => None,
            // A body between is missing on this replica.
            Err(UpdateError::WrongStart { expected, found }) if found > expected.into() => None,
            Err(_) => {
                self.excluded.insert(log, at);
                self.waiting.retain(|(entry, _), _| entry.log != log);
                None
            }
        }
    }

    /// Whether the operations that an update builds on are those here, and not others under the same ids, of another
    /// history of their log: where it cites entries of that log, the one that brought them is among these.
    fn is_meant(&self, ledger: &Ledger, at: EntryRef, update: &CheckedUpdate) -> bool {
        let cited = self.cited.get(&at).map_or(&[][..], |cited| cited);
        update.deps().iter().filter_map(|(peer, counter)| self.brought(*peer, *counter)).all(|(brought, h)| {
            let log = ledger.book.log(brought.log).id;
            let mut of_log = cited.iter().filter(|dep| dep.log == log).peekable();
            log == ledger.book.log(at.log).id
                || of_log.peek().is_none()
                || of_log.any(|dep| (dep.seq, dep.h) == (brought.seq, h))
        })
    }

    fn take_in(&mut self, ready: Vec<Ready>) -> Result<(), ImportError> {
        self.cached = false;
        let (places, updates): (Vec<_>, Vec<_>) = ready.into_iter().map(|one| ((one.at, one.h), one.update)).unzip();
        let mut excluded = Vec::new();
        if self.careful && self.imported.is_empty() {
            let peer = self.replica.peer();
            (self.replica, excluded) = Replica::rebuild(peer, &updates);
        } else {
            self.replica.import(updates)?;
        }
        for (index, (at, h)) in places.into_iter().enumerate() {
            if excluded.contains(&index) {
                self.excluded.entry(at.log).or_insert(at);
                continue;
            }
            self.imported.insert(at.log, at.seq + 1);
            self.fresh.insert(at.log, (at.seq, h));
        }
        Ok(())
    }
}

/// An update whose turn has come, and the entry that brought it.
#[derive(Debug)]
struct Ready {
    at: EntryRef,
    h: [u8; 32],
    update: CheckedUpdate,
}
