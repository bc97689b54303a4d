//! The fork index: data collected from all entries once a log has several histories, namely chain hashes and
//! citations. They determine the kept history (`spec/exclusion.md`).

use super::Logs;
use super::entry_cache::Held;
use super::forks::short;
use super::registry::Log;
use crate::branch::{self, At, Citation, Forks, Histories, Part};
use crate::ids::{DocRef, EntryRef, LogId, LogNo, SpaceNo};
use crate::log::header::{Dep, Header};
use crate::log::read::EntryReader;
use crate::spaces::Spaces;
use crate::storage::rows::{entry_key, entry_seq, log_key, scan_on};
use crate::storage::{Row, Scan, Table};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// State of the collection of hashes and citations.
#[derive(Debug, Default)]
pub(crate) struct ForkIndex {
    /// Logs in which a contradiction was seen.
    pub(super) suspects: BTreeSet<LogNo>,
    /// Scans for chain hashes under way.
    tracing: BTreeSet<LogNo>,
    /// True once citations were asked for; `done` is true once all have come.
    asked: bool,
    done: bool,
    cited: BTreeMap<LogId, BTreeSet<Citation>>,
    /// True if an input to the choice of histories changed.
    pub(super) stale: bool,
    /// True once the excluded entries were determined since the start.
    pub(super) chosen: bool,
}

/// Purpose of rows that came for the fork index.
#[derive(Debug, Clone)]
pub(crate) enum ForkStep {
    /// Entries of a log, for their chain hashes.
    Trace(LogNo),
    /// Entries of all logs, for what they cite.
    Cites(Scan),
    /// Entries that not all branches contain, for the documents that they touch.
    Apart(LogNo, Scan),
}

/// Reads that the fork index asks for, each with its purpose.
pub(crate) type Asks = Vec<(Scan, ForkStep)>;

/// Results of rows that came for the fork index.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// A log whose hashes are now complete.
    pub(crate) traced: Option<LogNo>,
    /// Documents that excluded entries touch.
    pub(crate) affected: Vec<DocRef>,
    pub(crate) asks: Asks,
}

impl Logs {
    /// Restores the forks that were known when the store was opened.
    pub(crate) fn restore_forks(&mut self) {
        let forked: Vec<LogNo> = self.registry.iter().filter_map(Log::branch).map(|branch| branch.main).collect();
        for main in forked {
            let histories: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
            for no in histories {
                self.registry.log_mut(no).fork_mut().trace = None;
            }
            self.suspect(main);
            self.forks.stale = true;
        }
    }

    /// Returns whether the excluded entries are still unknown, though a log has forked.
    pub(crate) fn is_choosing_branches(&self) -> bool {
        !self.forks.chosen && self.has_forks()
    }

    /// Returns whether entries of a space may be excluded: a log of it has several histories.
    pub(crate) fn may_exclude(&self, space: SpaceNo) -> bool {
        let forked =
            |no: &LogNo| !self.registry.log(*no).branches().is_empty() && self.registry.log(*no).space == space;
        self.forks.suspects.iter().any(forked)
    }

    /// Returns whether any log has several histories.
    pub(crate) fn has_forks(&self) -> bool {
        self.forks.suspects.iter().any(|no| !self.registry.log(*no).branches().is_empty())
    }

    /// Returns reads of the hashes and citations that are missing.
    pub(crate) fn poll_fork_index(&mut self) -> Asks {
        let mut asks = Vec::new();
        if self.forks.suspects.is_empty() {
            return asks;
        }
        if !core::mem::replace(&mut self.forks.asked, true) {
            let scan = Scan::of(Table::Entry, Bytes::new(), Bytes::new(), self.steps.read_bytes);
            asks.push((scan.clone(), ForkStep::Cites(scan)));
        }
        let suspects: Vec<LogNo> = self.forks.suspects.iter().copied().collect();
        for main in suspects {
            let histories: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
            for no in histories {
                self.trace(no, &mut asks);
            }
        }
        asks
    }

    /// Returns the start and the number of the collected chain hashes of a log.
    pub(super) fn traced(&self, no: LogNo) -> (u64, u64) {
        let log = self.registry.log(no);
        (log.branch().map_or(0, |branch| branch.base), log.trace().map_or(0, Vec::len) as u64)
    }

    pub(super) fn is_traced(&self, no: LogNo) -> bool {
        let (from, count) = self.traced(no);
        self.registry.log(no).trace().is_some() && from + count == self.held_to(no)
    }

    pub(super) fn trace(&mut self, no: LogNo, asks: &mut Asks) {
        if self.is_traced(no) || self.forks.tracing.contains(&no) {
            return;
        }
        let (from, count) = self.traced(no);
        let log = self.registry.log_mut(no);
        log.fork_mut().trace.get_or_insert_default();
        let next = from + count;
        // Entries that are not held must be fetched first; entries that are not durable yet come with their
        // commit.
        let Some(tip) = &log.durable.tip else { return };
        if next > tip.seq || !log.durable.held.contains(next) {
            return;
        }
        self.forks.tracing.insert(no);
        let from = entry_key(EntryRef { log: no, seq: next });
        let scan = Scan::of(Table::Entry, from, log_key(LogNo(no.0 + 1)), self.steps.read_bytes);
        asks.push((scan, ForkStep::Trace(no)));
    }

    /// Takes rows.
    pub(crate) fn handle_fork_index(&mut self, step: ForkStep, rows: &[Row], more: bool, spaces: &Spaces) -> Collected {
        let mut collected = Collected::default();
        match step {
            ForkStep::Trace(no) => {
                self.forks.tracing.remove(&no);
                for (row_key, row) in rows {
                    let Ok(seq) = entry_seq(row_key) else { continue };
                    if let Ok(held) = self.held_from_row(EntryRef { log: no, seq }, row) {
                        self.note_hash(no, seq, held.h);
                    }
                }
                self.trace(no, &mut collected.asks);
                collected.traced = self.is_traced(no).then(|| self.registry.main_of(no));
            }
            ForkStep::Cites(scan) => {
                for (row_key, row) in rows {
                    self.read_citations(row_key, row, spaces);
                }
                match rows.last().filter(|_| more) {
                    Some((last, _)) => {
                        let scan = scan_on(&scan, last);
                        collected.asks.push((scan.clone(), ForkStep::Cites(scan)));
                    }
                    None => self.forks.done = true,
                }
            }
            ForkStep::Apart(no, scan) => {
                for (row_key, row) in rows {
                    collected.affected.extend(self.read_affected(no, row_key, row, spaces));
                }
                if let Some((last, _)) = rows.last().filter(|_| more) {
                    let scan = scan_on(&scan, last);
                    collected.asks.push((scan.clone(), ForkStep::Apart(no, scan)));
                }
            }
        }
        collected
    }

    /// Returns the documents that an entry touches.
    fn read_affected(&mut self, no: LogNo, row_key: &[u8], row: &Bytes, spaces: &Spaces) -> Vec<DocRef> {
        let Ok(seq) = entry_seq(row_key) else { return Vec::new() };
        let at = EntryRef { log: no, seq };
        let (Some(owner), Ok(held)) = (self.registry.log(no).owner(), self.held_from_row(at, row)) else {
            return Vec::new();
        };
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        let header = self.header_of(at, &reader, spaces);
        let items = header.iter().flat_map(|header| &header.items);
        items.map(|item| DocRef { partition: owner.partition, doc: item.doc }).collect()
    }

    /// Returns reads that find the documents that a new choice of branches touches: those with entries off a kept
    /// branch, and those with entries of a kept branch that may have been excluded before.
    fn find_affected(&self) -> Asks {
        let mut apart = Vec::new();
        for main in self.registry.iter().filter(|log| !log.branches().is_empty()).map(|log| log.no) {
            let cuts = self.registry.histories(main).map(Log::cut);
            let Some(split) = cuts.flatten().min() else { continue };
            let split = if planted!("exclusion.kept-unread") { u64::MAX } else { split };
            apart.extend(self.registry.histories(main).map(|log| (log.no, log.cut().unwrap_or(split))));
        }
        let ask = |(no, from): (LogNo, u64)| {
            let from = entry_key(EntryRef { log: no, seq: from });
            let scan = Scan::of(Table::Entry, from, log_key(LogNo(no.0 + 1)), self.steps.read_bytes);
            (scan.clone(), ForkStep::Apart(no, scan))
        };
        apart.into_iter().map(ask).collect()
    }

    /// Returns the properties of an entry on which exclusion depends.
    pub(crate) fn part(&mut self, at: EntryRef, held: &Held, spaces: &Spaces) -> Part<EntryRef> {
        let of = (at, short(&held.h));
        if let Some(part) = self.opener.kept.part(of) {
            return part;
        }
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        let header = self.header_of(at, &reader, spaces);
        let mut part = Part { key: at, at: self.at(at, &held.h), deps: Arc::new([]) };
        if let Some(header) = header {
            let named = |dep: &Dep| Some(At { log: *header.logs.get(dep.log as usize)?, seq: dep.seq, h: dep.h });
            part.deps = header.deps.iter().filter_map(named).collect();
            self.opener.kept.keep_part(of, part.clone());
        }
        part
    }

    /// Adds the chain hash after an entry, if those before it were collected.
    pub(super) fn note_hash(&mut self, no: LogNo, seq: u64, h: [u8; 32]) {
        let (from, count) = self.traced(no);
        if self.registry.log(no).trace().is_some() && seq == from + count {
            self.registry.log_mut(no).fork_mut().trace.get_or_insert_default().push(h);
            self.forks.stale = true;
        }
    }

    fn read_citations(&mut self, row_key: &[u8], row: &Bytes, spaces: &Spaces) {
        let Ok(seq) = entry_seq(row_key) else { return };
        let Some(no) = row_key.first_chunk().map(|no| LogNo(u32::from_be_bytes(*no))) else { return };
        if no.0 as usize >= self.registry.len() || self.registry.log(no).control {
            return;
        }
        let at = EntryRef { log: no, seq };
        let Ok(held) = self.held_from_row(at, row) else { return };
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        if let Some(header) = self.header_of(at, &reader, spaces) {
            self.note_citations(no, &header, spaces);
        }
    }

    /// Adds the entries of other logs that an entry builds on.
    pub(super) fn note_citations(&mut self, no: LogNo, header: &Header, spaces: &Spaces) {
        if !self.forks.asked || header.deps.is_empty() {
            return;
        }
        let Some(owner) = self.registry.log(no).owner() else { return };
        let Some(user) = spaces.user_of(&owner.device) else { return };
        for dep in &header.deps {
            let Some(log) = header.logs.get(dep.log as usize) else { continue };
            let citation = Citation { user, device: owner.device, seq: dep.seq, h: dep.h };
            if self.forks.cited.entry(*log).or_default().insert(citation) {
                self.forks.stale = true;
            }
        }
    }

    /// Chooses the kept histories, if an input changed and all inputs are complete. If the excluded entries changed, or
    /// became known, it returns reads that find the documents that they touch.
    pub(crate) fn choose_branches(&mut self, spaces: &Spaces) -> Option<Asks> {
        let forked: Vec<LogNo> =
            self.forks.suspects.iter().copied().filter(|no| !self.registry.log(*no).branches().is_empty()).collect();
        let known = |no: &LogNo| self.registry.histories(*no).all(|log| self.is_traced(log.no));
        if !self.forks.stale || !self.forks.done || forked.is_empty() || !forked.iter().all(known) {
            return None;
        }
        self.forks.stale = false;
        let mut changed = !core::mem::replace(&mut self.forks.chosen, true);
        for main in forked {
            let all: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
            let histories: Vec<LogNo> = all.iter().copied().filter(|no| !self.is_beginning(*no, &all)).collect();
            let log = self.registry.log(main);
            let author = log.owner().and_then(|owner| spaces.user_of(&owner.device).map(|user| (user, owner.device)));
            let cited = self.forks.cited.get(&log.id).cloned().unwrap_or_default();
            let view = Chains { logs: self, histories: &histories };
            let Some(kept) = branch::keep(&view, author, &cited).map(|kept| histories[kept]) else { continue };
            let view = Chains { logs: self, histories: &all };
            let at = all.iter().position(|no| *no == kept).unwrap_or_default();
            let cuts: Vec<_> = (0..all.len())
                .map(|other| (other != at && !view.logs.registry.log(main).control).then(|| view.split(at, other)))
                .collect();
            for (no, cut) in all.into_iter().zip(cuts) {
                changed |= self.registry.log(no).cut() != cut;
                self.registry.log_mut(no).fork_mut().cut = cut;
            }
        }
        changed.then(|| self.find_affected())
    }

    /// Returns whether the gapless part of a history is the beginning of another one, or equal to one with a
    /// lower number. Such a history is not a branch of its own.
    fn is_beginning(&self, no: LogNo, all: &[LogNo]) -> bool {
        let to = self.held_to(no);
        let last = |other: LogNo| to.checked_sub(1).and_then(|last| self.registry.hash(other, last));
        let is_further = |other: LogNo| (self.held_to(other), no) > (to, other);
        all.iter().any(|other| is_further(*other) && last(*other) == last(no))
    }
}

/// The histories of one log, as input of [`branch`].
struct Chains<'a> {
    logs: &'a Logs,
    histories: &'a [LogNo],
}

impl Histories for Chains<'_> {
    fn count(&self) -> usize {
        self.histories.len()
    }

    fn hash(&self, history: usize, seq: u64) -> Option<[u8; 32]> {
        self.logs.registry.hash(self.histories[history], seq)
    }

    fn split(&self, a: usize, b: usize) -> u64 {
        // Hashes along a chain never agree again once they differ.
        let (mut same, mut differ) = (0, self.logs.held_to(self.histories[a]));
        while same < differ {
            let middle = same + (differ - same) / 2;
            if self.hash(a, middle) == self.hash(b, middle) {
                same = middle + 1;
            } else {
                differ = middle;
            }
        }
        same
    }
}

impl Forks for Logs {
    fn is_kept(&self, at: &At) -> bool {
        let Some(main) = self.registry.by_id(&at.log) else { return true };
        if self.registry.log(main).branches().is_empty() {
            return true;
        }
        self.registry
            .histories(main)
            .find(|log| log.cut().is_none())
            .and_then(|kept| self.registry.hash(kept.no, at.seq))
            .is_some_and(|h| short(&h) == at.h)
    }

    fn shared(&self, a: &At, b: &At) -> u64 {
        let main = self.registry.by_id(&a.log).filter(|_| a.log == b.log);
        let Some(main) = main else { return 0 };
        if self.registry.log(main).branches().is_empty() {
            return a.seq.min(b.seq).saturating_add(1);
        }
        let all: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
        let on = |at: &At| all.iter().position(|no| self.registry.hash(*no, at.seq).is_some_and(|h| short(&h) == at.h));
        let (Some(of_a), Some(of_b)) = (on(a), on(b)) else { return 0 };
        let apart = if of_a == of_b { u64::MAX } else { Chains { logs: self, histories: &all }.split(of_a, of_b) };
        apart.min(a.seq.min(b.seq) + 1)
    }
}
