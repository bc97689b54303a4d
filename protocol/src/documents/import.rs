//! Imports entries into open documents: checked, in causal order, in batches.
//!
//! An update is never imported before the operations that it builds on; an excluded one is never imported
//! (`spec/documents.md`, section 4; `spec/exclusion.md`, section 3).

use super::read::read_index;
use super::{Body, Doc, Documents};
use crate::branch::{Forks, Part, excluded};
use crate::crdt::{CheckedUpdate, ImportError, Replica, UpdateError, Version, check};
use crate::event::Event;
use crate::identity::peer_id;
use crate::ids::{DocRef, EntryRef, LogNo};
use crate::ledger::Ledger;
use crate::logs::short;
use std::collections::VecDeque;

impl Documents {
    /// Imports the waiting sections that can be imported, and reports the change.
    pub(super) fn import(&mut self, ledger: &mut Ledger, doc: DocRef, events: &mut VecDeque<Event>) {
        if ledger.logs.is_choosing_branches() {
            return;
        }
        let Some(state) = self.docs.get_mut(&doc) else { return };
        state.remove_excluded(ledger);
        if state.excluded_entries.iter().any(|at| state.imported.get(&at.log).is_some_and(|next| at.seq < *next)) {
            // It was imported before the choice of histories changed.
            if self.dirty.contains(&doc) {
                self.flush(ledger);
            }
            self.start_over(ledger, doc);
            return;
        }
        if let Some(live) = ledger.logs.live(doc.partition)
            && state.excluded_entries.iter().any(|at| at.log == live)
        {
            // Later entries of the log would be excluded in this document, too.
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
        let unseen = core::mem::take(&mut state.unseen);
        if !was_ready && state.pins > 0 {
            events.push_back(Event::Opened { doc, exists: state.exists(), changed: state.changed });
        } else if (changed || !was_ready && state.changed) && !unseen {
            // Also if all that it showed before is excluded now.
            if !(planted!("change.unsaid") && state.imported.values().sum::<u64>() % 2 == 0) {
                events.push_back(Event::Changed { doc });
            }
        }
        self.republish(ledger, doc, events);
    }

    /// Reads every document in memory again, since the set of excluded entries changed.
    pub(crate) fn rebuild(&mut self, ledger: &mut Ledger) {
        self.flush(ledger);
        let docs: Vec<DocRef> = self.docs.keys().copied().collect();
        for doc in docs {
            self.start_over(ledger, doc);
        }
    }

    /// Reads a document again if its replica broke during the last read or edit.
    pub(crate) fn reread_if_broken(&mut self, ledger: &mut Ledger, doc: DocRef) {
        if self.docs.get(&doc).is_some_and(|state| state.replica.is_broken()) {
            self.renew(ledger, doc);
        }
    }

    /// Reads a document again. Its gathered edits are lost with the broken replica.
    fn renew(&mut self, ledger: &mut Ledger, doc: DocRef) {
        if self.dirty.contains(&doc) {
            self.drop_gathered(ledger);
        } else {
            self.start_over(ledger, doc);
        }
    }

    /// Reads a document again from its first entry on, after its replica broke: updates are then imported one
    /// by one.
    pub(super) fn start_over(&mut self, ledger: &mut Ledger, doc: DocRef) {
        let life = self.new_life();
        let Some(state) = self.docs.get_mut(&doc) else { return };
        read_index(ledger, doc, life);
        let (pins, careful, examined) = (state.pins, state.careful || state.replica.is_broken(), state.examined);
        *state = Doc { pins, hold: state.hold.take(), careful, examined, changed: true, ..Doc::new(life) };
    }
}

impl Doc {
    /// Removes excluded sections from the waiting ones.
    fn remove_excluded(&mut self, ledger: &Ledger) {
        let is_kept = |part: &Part<EntryRef>| ledger.is_kept(&part.at);
        if self.parts.values().all(is_kept) || planted!("exclusion.by-arrival") {
            return;
        }
        let parts: Vec<Part<EntryRef>> = self.parts.values().cloned().collect();
        self.excluded_entries = excluded(&parts, ledger);
        let (opened, excluded_entries, examined) = (&mut self.opened, &self.excluded_entries, self.examined);
        self.waiting.retain(|place, (_, body)| {
            let is_excluded = excluded_entries.contains(&place.0);
            if let (true, true, Body::Plain(bytes, _)) = (is_excluded, examined, &mut *body) {
                opened.insert(*place, core::mem::take(bytes));
            }
            !is_excluded || examined && matches!(body, Body::Absent)
        });
    }

    /// Removes the sections that can be imported from the waiting ones. Returns them in an importable order.
    ///
    /// A section that builds on a missing operation waits under that operation. The work thus grows with the
    /// importable sections, not with all waiting ones.
    fn ready_updates(&mut self, ledger: &Ledger) -> Vec<Ready> {
        let mut ahead = Version::new();
        let mut ready = Vec::new();
        let mut runnable = core::mem::take(&mut self.runnable);
        while let Some(log) = runnable.pop_first() {
            let peer = peer_id(&ledger.logs.registry.log(log).id);
            while let Some(update) = self.next_of(ledger, log, peer, &ahead) {
                let (start, end) = (update.update.start(), update.update.end());
                ahead.insert(peer, end);
                ready.push(update);
                // Logs that wait for an operation of this update; none waits for an earlier one.
                let woken: Vec<(u64, u32)> =
                    self.blocked.range((peer, start)..(peer, end)).map(|(at, _)| *at).collect();
                runnable.extend(woken.iter().filter_map(|at| self.blocked.remove(at)).flatten());
            }
        }
        ready
    }

    /// Returns the first waiting section of a log, if it can be imported. A section that breaks a rule
    /// excludes the rest of its log.
    fn next_of(&mut self, ledger: &Ledger, log: LogNo, peer: u64, ahead: &Version) -> Option<Ready> {
        let first = EntryRef { log, seq: 0 };
        let (&place, (row, body)) =
            self.waiting.range((first, 0)..).next().filter(|((entry, _), _)| entry.log == log)?;
        let at = row.entry;
        let held_back = self.hold.as_ref().is_some_and(|hold| hold.get(&log).is_none_or(|seq| *seq < at.seq));
        if held_back && !ledger.logs.wrote(at) {
            return None;
        }
        let Body::Plain(bytes, h) = body else { return None };
        let h = *h;
        let version = self.replica.version();
        let end = |peer: &u64| ahead.get(peer).or_else(|| version.get(peer)).copied().unwrap_or(0);
        match check(bytes, peer, end(&peer)) {
            Ok(update) => {
                let lacks = |(peer, counter): &&(u64, u32)| *counter >= end(peer);
                if let Some(lacking) = update.deps().iter().find(lacks) {
                    self.blocked.entry(*lacking).or_default().insert(log);
                    return None;
                }
                if !self.builds_on_imported(ledger, at, &update) {
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
                if let (true, Some((_, Body::Plain(bytes, _)))) = (self.examined, taken) {
                    self.opened.insert(place, bytes);
                }
                Some(Ready { at, update })
            }
            // The operations in between are missing on this replica, or belong to another history of the log.
            Err(UpdateError::WrongStart { expected, found }) if found > expected.into() => {
                if let Ok(before) = u32::try_from(found - 1) {
                    self.blocked.entry((peer, before)).or_default().insert(log);
                }
                None
            }
            Err(_) => {
                self.excluded.insert(log, at);
                self.waiting.retain(|(entry, _), _| entry.log != log);
                None
            }
        }
    }

    /// Returns whether an update builds on the operations held here, not on others with the same ids from
    /// another history of their log. If it cites entries of that log, the entry that brought the operations
    /// must be among them.
    fn builds_on_imported(&self, ledger: &Ledger, at: EntryRef, update: &CheckedUpdate) -> bool {
        let cited = self.cited.get(&at).map_or(&[][..], |cited| cited);
        update.deps().iter().filter_map(|(peer, counter)| self.brought(*peer, *counter)).all(|(brought, h)| {
            let log = ledger.logs.registry.log(brought.log).id;
            let mut of_log = cited.iter().filter(|dep| dep.log == log).peekable();
            log == ledger.logs.registry.log(at.log).id
                || of_log.peek().is_none()
                || of_log.any(|dep| (dep.seq, dep.h) == (brought.seq, h))
        })
    }

    fn take_in(&mut self, ready: Vec<Ready>) -> Result<(), ImportError> {
        self.cached = false;
        let (places, updates): (Vec<_>, Vec<_>) = ready.into_iter().map(|one| (one.at, one.update)).unzip();
        let mut excluded = Vec::new();
        if self.careful && self.imported.is_empty() {
            let peer = self.replica.peer();
            (self.replica, excluded) = Replica::rebuild(peer, &updates);
        } else {
            self.replica.import(updates)?;
        }
        for (index, at) in places.into_iter().enumerate() {
            if excluded.contains(&index) {
                self.excluded.entry(at.log).or_insert(at);
                continue;
            }
            self.imported.insert(at.log, at.seq + 1);
        }
        Ok(())
    }
}

/// An importable update, and the entry that brought it.
#[derive(Debug)]
struct Ready {
    at: EntryRef,
    update: CheckedUpdate,
}
