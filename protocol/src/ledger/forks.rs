//! Logs with several histories: telling them apart, keeping all of them, and choosing the one that counts.
//!
//! A run that contradicts what is held makes its log a *suspect*: the chain hashes of what is held are collected from
//! the store, and from then on every run finds its place by its hashes. A history that leaves another one gets a number
//! and rows of its own; nothing that is held ever moves or goes. Which history counts is a pure function of all entries
//! (`access`), so what other logs' entries cite is collected too, once, when the first fork shows. `spec/exclusion.md`.

use super::accept::{Refusal, Run};
use super::book::Branch;
use super::recent::Held;
use super::rows::{DocRef, EntryRef, entry_key, entry_seq, log_key};
use super::{Batch, Ledger, Work};
use crate::access::{self, At, Citation, Forks, Histories, Part, Short};
use crate::ids::LogId;
use crate::log::chain::{self, ChainError};
use crate::log::entry::Entry;
use crate::log::head::Head;
use crate::log::header::Header;
use crate::log::read::EntryReader;
use crate::storage::{Row, Scan, Table};
use crate::sync::LogNo;
use crate::wire::codec::{CodecError, Reader, Write};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Most histories of one log that are kept. Only its writer can make more; what they would hold is not taken.
pub(crate) const HISTORIES_MAX: usize = 16;
/// First byte of what a header's extension says of an entry that restates others.
const RESTATES: u8 = 1;
/// How much is read at a time when hashes and citations are collected.
const SURVEY_BYTES_MAX: usize = 1024 * 1024;

/// What is collected once some log has several histories.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Logs of which a contradiction was seen.
    suspects: BTreeSet<LogNo>,
    /// Scans for chain hashes under way.
    tracing: BTreeSet<LogNo>,
    /// Whether citations were asked for, and whether all have come.
    asked: bool,
    done: bool,
    cited: BTreeMap<LogId, BTreeSet<Citation>>,
    /// Something changed on which the choice of histories rests.
    stale: bool,
    /// What was asked for last: many documents may lie in one entry.
    parted: Option<Part<EntryRef>>,
}

/// What came for the survey.
#[derive(Debug, Clone)]
pub(crate) enum SurveyStep {
    /// Entries of a log, for their chain hashes.
    Trace(LogNo),
    /// Entries of all logs, for what they cite.
    Cites(Scan),
    /// Entries that do not count, for the documents that they touch.
    Cut(LogNo, Scan),
}

/// What became of a run of a log with several histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is staged, or was held: this log's history ends where the run does, or later.
    Yes(LogNo),
    /// What it follows is not held.
    Detached,
    /// Hashes are being collected: try again.
    Later,
}

impl Ledger {
    /// Whether all entries of a log are wanted, because it may have several histories.
    pub(crate) fn is_suspect(&self, no: LogNo) -> bool {
        let main = self.book.main_of(no);
        self.survey.suspects.contains(&main) || !self.book.log(main).branches.is_empty()
    }

    /// Notes that a log may have several histories.
    pub(crate) fn suspect(&mut self, main: LogNo) {
        self.survey.suspects.insert(main);
    }

    /// Notes the forks that were known when the store was opened.
    pub(super) fn restore_forks(&mut self) {
        let forked: Vec<LogNo> = self.book.iter().filter_map(|log| log.branch).map(|branch| branch.main).collect();
        for main in forked {
            let histories: Vec<LogNo> = self.book.histories(main).map(|log| log.no).collect();
            for no in histories {
                self.book.log_mut(no).trace = None;
            }
            self.suspect(main);
            self.survey.stale = true;
        }
    }

    /// Whether it is not known yet which entries count.
    pub(crate) fn is_judging(&self) -> bool {
        !self.judged && self.has_forks()
    }

    /// Whether some log has several histories.
    pub(crate) fn has_forks(&self) -> bool {
        self.survey.suspects.iter().any(|no| !self.book.log(*no).branches.is_empty())
    }

    /// Asks for what the survey lacks.
    pub(crate) fn poll_survey(&mut self) {
        if self.survey.suspects.is_empty() {
            return;
        }
        if !core::mem::replace(&mut self.survey.asked, true) {
            let scan = Scan { table: Table::Entry, from: Bytes::new(), to: Bytes::new(), bytes_max: SURVEY_BYTES_MAX };
            self.store.scan(scan.clone(), Work::Survey(SurveyStep::Cites(scan)));
        }
        let suspects: Vec<LogNo> = self.survey.suspects.iter().copied().collect();
        for main in suspects {
            let histories: Vec<LogNo> = self.book.histories(main).map(|log| log.no).collect();
            for no in histories {
                self.trace(no);
            }
        }
    }

    /// Where the chain hashes of a log that were collected begin, and how many there are.
    fn traced(&self, no: LogNo) -> (u64, u64) {
        let log = self.book.log(no);
        (log.branch.map_or(0, |branch| branch.base), log.trace.as_ref().map_or(0, Vec::len) as u64)
    }

    fn is_traced(&self, no: LogNo) -> bool {
        let (from, count) = self.traced(no);
        self.book.log(no).trace.is_some() && from + count == self.held_to(no)
    }

    /// Up to where the entries of a history are held without a gap: the seq after.
    fn held_to(&self, no: LogNo) -> u64 {
        let log = self.book.log(no);
        let from = log.branch.map_or(0, |branch| branch.base);
        log.staged.held.first_gap_from(from).unwrap_or(u64::MAX)
    }

    /// The first entry of a history that is not held while a later one is.
    fn first_gap(&self, no: LogNo) -> Option<u64> {
        let last = *self.book.log(no).staged.held.iter().next_back()?.end();
        Some(self.held_to(no)).filter(|gap| *gap < last)
    }

    /// Whether more is known of a history than the entries that are held without a gap: whether it is of this history
    /// at all is not known.
    pub(super) fn is_bare(&self, no: LogNo) -> bool {
        self.held_to(no) < self.book.log(no).next_seq()
    }

    /// Whether a run that goes on where a history is held to can stand under its number: not if what stands behind the
    /// gap is of another one.
    fn has_room(&self, no: LogNo, run: &Run, before: &[[u8; 32]], head: &Head) -> bool {
        let fits = || self.refuse_fork(no, run.start, before, head).is_ok();
        !self.book.log(no).torn && (self.first_gap(no).is_none() || fits())
    }

    /// Lets a head go of which nothing says that it belongs to the history that is held, before a run that goes on with
    /// that history is staged. Unless the run leads to it, peers are asked for what does.
    fn let_go_of_bare_head(&mut self, no: LogNo, start: u64, before: &[[u8; 32]]) {
        if !self.is_bare(no) || self.first_gap(no).is_some() {
            return;
        }
        let Some(tip) = self.book.log_mut(no).staged.tip.take() else { return };
        let at = (tip.seq + 1).checked_sub(start).and_then(|at| before.get(usize::try_from(at).ok()?));
        if at != Some(&tip.h) {
            self.wanted.push((self.book.main_of(no), tip.seq, tip.h));
        }
    }

    fn trace(&mut self, no: LogNo) {
        if self.is_traced(no) || self.survey.tracing.contains(&no) {
            return;
        }
        let (from, count) = self.traced(no);
        let log = self.book.log_mut(no);
        log.trace.get_or_insert_default();
        let next = from + count;
        // What is not held has to be fetched first; what is not durable yet comes with its commit.
        let Some(tip) = &log.durable.tip else { return };
        if next > tip.seq || !log.durable.held.contains(next) {
            return;
        }
        self.survey.tracing.insert(no);
        let from = entry_key(EntryRef { log: no, seq: next });
        let scan = Scan { table: Table::Entry, from, to: log_key(LogNo(no.0 + 1)), bytes_max: SURVEY_BYTES_MAX };
        self.store.scan(scan, Work::Survey(SurveyStep::Trace(no)));
    }

    /// Rows came. Returns a log whose hashes are all there now.
    pub(crate) fn handle_survey(&mut self, step: SurveyStep, rows: &[Row], more: bool) -> Option<LogNo> {
        match step {
            SurveyStep::Trace(no) => {
                self.survey.tracing.remove(&no);
                for (row_key, row) in rows {
                    let Ok(seq) = entry_seq(row_key) else { continue };
                    if let Ok(held) = self.held_from_row(EntryRef { log: no, seq }, row) {
                        self.note_hash(no, seq, held.h);
                    }
                }
                self.trace(no);
                self.is_traced(no).then(|| self.book.main_of(no))
            }
            SurveyStep::Cites(scan) => {
                for (row_key, row) in rows {
                    self.read_citations(row_key, row);
                }
                match rows.last().filter(|_| more) {
                    Some((last, _)) => {
                        let scan = super::rows::scan_on(&scan, last);
                        self.store.scan(scan.clone(), Work::Survey(SurveyStep::Cites(scan)));
                    }
                    None => self.survey.done = true,
                }
                None
            }
            SurveyStep::Cut(no, scan) => {
                for (row_key, row) in rows {
                    self.read_affected(no, row_key, row);
                }
                if let Some((last, _)) = rows.last().filter(|_| more) {
                    let scan = super::rows::scan_on(&scan, last);
                    self.store.scan(scan.clone(), Work::Survey(SurveyStep::Cut(no, scan)));
                }
                None
            }
        }
    }

    fn read_affected(&mut self, no: LogNo, row_key: &[u8], row: &Bytes) {
        let Ok(seq) = entry_seq(row_key) else { return };
        let at = EntryRef { log: no, seq };
        let (Some(owner), Ok(held)) = (self.book.log(no).owner, self.held_from_row(at, row)) else { return };
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        if let Some(header) = self.header_of(at, &reader) {
            let docs = header.items.iter().map(|item| DocRef { partition: owner.partition, doc: item.doc });
            self.affected.extend(docs);
        }
    }

    /// Has the documents found that entries touch which do not count.
    fn find_affected(&mut self) {
        let cuts: Vec<_> = self.book.iter().filter_map(|log| Some((log.no, log.cut?))).collect();
        for (no, cut) in cuts {
            let from = entry_key(EntryRef { log: no, seq: cut });
            let scan = Scan { table: Table::Entry, from, to: log_key(LogNo(no.0 + 1)), bytes_max: SURVEY_BYTES_MAX };
            self.store.scan(scan.clone(), Work::Survey(SurveyStep::Cut(no, scan)));
        }
    }

    /// What exclusion has to know of an entry.
    pub(crate) fn part(&mut self, at: EntryRef, held: &Held) -> Part<EntryRef> {
        if let Some(last) = self.survey.parted.as_ref().filter(|last| last.key == at && last.at.h == short(&held.h)) {
            return last.clone();
        }
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        let header = self.header_of(at, &reader);
        let mut part = Part { key: at, at: self.at(at, &held.h), deps: Vec::new(), restates: None };
        if let Some(header) = header {
            let named =
                |dep: &crate::log::Dep| Some(At { log: *header.logs.get(dep.log as usize)?, seq: dep.seq, h: dep.h });
            part.deps = header.deps.iter().filter_map(named).collect();
            part.restates = decode_restates(&header.extension).ok();
            self.survey.parted = Some(part.clone());
        }
        part
    }

    /// Whether this store wrote an entry itself.
    pub(crate) fn wrote(&self, at: EntryRef) -> bool {
        self.book.log(at.log).wrote > at.seq
    }

    /// Notes the chain hash after an entry, if those before it were collected.
    pub(super) fn note_hash(&mut self, no: LogNo, seq: u64, h: [u8; 32]) {
        let (from, count) = self.traced(no);
        if let Some(trace) = &mut self.book.log_mut(no).trace
            && seq == from + count
        {
            trace.push(h);
            self.survey.stale = true;
        }
    }

    fn read_citations(&mut self, row_key: &[u8], row: &Bytes) {
        let Ok(seq) = entry_seq(row_key) else { return };
        let Some(no) = row_key.first_chunk().map(|no| LogNo(u32::from_be_bytes(*no))) else { return };
        if no.0 as usize >= self.book.len() || self.book.log(no).control {
            return;
        }
        let at = EntryRef { log: no, seq };
        let Ok(held) = self.held_from_row(at, row) else { return };
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        if let Some(header) = self.header_of(at, &reader) {
            self.note_citations(no, &header);
        }
    }

    /// Notes which entries of other logs an entry builds on.
    pub(super) fn note_citations(&mut self, no: LogNo, header: &Header) {
        if !self.survey.asked || header.deps.is_empty() {
            return;
        }
        let Some(owner) = self.book.log(no).owner else { return };
        let Some(user) = self.credentials.get(&owner.device).map(|credential| credential.user()) else { return };
        for dep in &header.deps {
            let Some(log) = header.logs.get(dep.log as usize) else { continue };
            let citation = Citation { user, device: owner.device, seq: dep.seq, h: dep.h };
            if self.survey.cited.entry(*log).or_default().insert(citation) {
                self.survey.stale = true;
            }
        }
    }

    /// Chooses the histories that count, if something changed and all that it rests on is here. Returns whether what
    /// counts changed, or became known.
    pub(crate) fn judge(&mut self) -> bool {
        let forked: Vec<LogNo> =
            self.survey.suspects.iter().copied().filter(|no| !self.book.log(*no).branches.is_empty()).collect();
        let known = |no: &LogNo| self.book.histories(*no).all(|log| self.is_traced(log.no));
        if !self.survey.stale || !self.survey.done || forked.is_empty() || !forked.iter().all(known) {
            return false;
        }
        self.survey.stale = false;
        let mut changed = !core::mem::replace(&mut self.judged, true);
        for main in forked {
            let all: Vec<LogNo> = self.book.histories(main).map(|log| log.no).collect();
            let goes_on = |no: &LogNo| self.book.is_outgrown(*no, self.held_to(*no));
            let histories: Vec<LogNo> = all.iter().copied().filter(|no| !goes_on(no)).collect();
            let log = self.book.log(main);
            let author = log.owner.and_then(|owner| {
                self.credentials.get(&owner.device).map(|credential| (credential.user(), owner.device))
            });
            let cited = self.survey.cited.get(&log.id).cloned().unwrap_or_default();
            let view = Chains { ledger: self, histories: &histories };
            let Some(kept) = access::keep(&view, author, &cited).map(|kept| histories[kept]) else { continue };
            let view = Chains { ledger: self, histories: &all };
            let at = all.iter().position(|no| *no == kept).unwrap_or_default();
            let cuts: Vec<_> = (0..all.len())
                .map(|other| (other != at && !view.ledger.book.log(main).control).then(|| view.split(at, other)))
                .collect();
            for (no, cut) in all.into_iter().zip(cuts) {
                changed |= self.book.log(no).cut != cut;
                self.book.log_mut(no).cut = cut;
            }
        }
        if changed {
            self.find_affected();
        }
        changed
    }

    /// Verifies a run of a log that may have several histories, and stages what is new in it where it belongs.
    pub(crate) fn accept_branch(&mut self, run: &Run, batch: &mut Batch) -> Result<Taken, Refusal> {
        let (no, entries, before, head) = self.verify(run)?;
        let main = self.book.main_of(no);
        // A head without entries says nothing about where another history leaves this one: entries come first.
        if self.book.log(main).staged.held.is_empty() && self.book.log(main).branches.is_empty() {
            if run.start > 0 {
                return Ok(Taken::Detached);
            }
            self.let_go_of_bare_head(main, run.start, &before);
            self.stage_entries(main, run, entries, &before, head, batch);
            return Ok(Taken::Yes(main));
        }
        self.suspect(main);
        if self.book.log(main).branches.is_empty()
            && let Some(gap) = self.first_gap(main)
        {
            // What fits around the gap fills it. What does not shows that there are two histories, perhaps one on each
            // side.
            if self.refuse_fork(main, run.start, &before, &head).is_ok() {
                if run.start > gap {
                    return Ok(Taken::Detached);
                }
                self.stage_entries(main, run, entries, &before, head, batch);
                return Ok(Taken::Yes(main));
            }
        }
        let histories: Vec<LogNo> = self.book.histories(main).map(|log| log.no).collect();
        histories.iter().for_each(|no| self.trace(*no));
        if !histories.iter().all(|no| self.is_traced(*no)) {
            return Ok(Taken::Later);
        }
        let fits = |no: LogNo| self.common(no, run.start, &before);
        let Some((no, shared)) = histories.iter().filter_map(|no| Some((*no, fits(*no)?))).max_by_key(|(_, to)| *to)
        else {
            return Ok(Taken::Detached);
        };
        if shared == head.seq + 1 {
            self.book.log_mut(no).staged.know(&head);
            self.fall_back(main, batch);
            return Ok(Taken::Yes(no));
        }
        if self.held_to(no) == shared && self.has_room(no, run, &before, &head) {
            self.retire_for(no);
            self.let_go_of_bare_head(no, run.start, &before);
            let skip = (shared - run.start) as usize;
            let rest = Run {
                log: run.log,
                card: None,
                start: shared,
                h_prev: before[skip],
                entries: run.entries[skip..].to_vec(),
                signature: run.signature,
            };
            let entries = entries.into_iter().skip(skip).collect();
            self.stage_entries(no, &rest, entries, &before[skip..], head, batch);
            self.fall_back(main, batch);
            return Ok(Taken::Yes(no));
        }
        self.add_history(main, no, shared, run, entries, &before, head, batch)
    }

    #[expect(clippy::too_many_arguments, reason = "what was verified, passed on once")]
    fn add_history(
        &mut self,
        main: LogNo,
        beside: LogNo,
        base: u64,
        run: &Run,
        entries: Vec<Entry>,
        before: &[[u8; 32]],
        head: Head,
        batch: &mut Batch,
    ) -> Result<Taken, Refusal> {
        if self.book.log(main).branches.len() + 1 >= HISTORIES_MAX {
            return Err(Refusal::Forked);
        }
        self.retire_for(main);
        let parent = match base.checked_sub(1) {
            Some(last) => self.book.owner_of(EntryRef { log: beside, seq: last }).log,
            None => main,
        };
        let no = self.book.add_branch(Branch { main, parent, base });
        if base > run.start {
            // They are there to be served with the head that proves them; they were read where they were first held.
            self.book.log_mut(no).staged.indexed.insert(run.start..=base - 1);
        }
        self.stage_entries(no, run, entries, before, head, batch);
        batch.touch(main, false);
        self.fall_back(main, batch);
        self.survey.stale = true;
        self.judged = false;
        self.forked.push(self.book.log(main).id);
        Ok(Taken::Yes(no))
    }

    /// Whether the head that is known beyond a history's entries turned out to be of another one.
    fn is_of_another(&self, no: LogNo) -> bool {
        let Some(tip) = self.book.log(no).staged.tip.filter(|_| self.is_bare(no)) else { return false };
        let mut others = self.book.histories(self.book.main_of(no)).filter(|other| other.no != no);
        others.any(|other| other.staged.tip == Some(tip) || self.book.hash(other.no, tip.seq) == Some(tip.h))
    }

    /// Has histories end where they are held to, if the heads known beyond those turned out to be the end of others.
    fn fall_back(&mut self, main: LogNo, batch: &mut Batch) {
        let histories: Vec<LogNo> = self.book.histories(main).map(|log| log.no).collect();
        for no in histories {
            if !self.is_of_another(no) {
                continue;
            }
            let (to, torn) = (self.held_to(no), self.first_gap(no).is_some());
            let log = self.book.log_mut(no);
            if log.staged.fall_back(to) {
                log.torn |= torn;
                batch.touch(no, true);
                // What was read of the rows behind the end is read again where it belongs.
                self.survey.stale |= torn;
                self.judged &= !torn;
            }
        }
    }

    /// Gives a log up of which others' entries came, if it is one that this store writes.
    fn retire_for(&mut self, no: LogNo) {
        if self.book.log(no).mine {
            self.retire(no);
            self.retired.push(self.book.log(no).id);
        }
    }

    /// Up to where a history agrees with a run: the seq after the last common entry. `None` if it lacks what the run
    /// follows.
    fn common(&self, no: LogNo, start: u64, before: &[[u8; 32]]) -> Option<u64> {
        let same = |seq: u64, h: &[u8; 32]| self.book.hash(no, seq).as_ref() == Some(h);
        if let Some(last) = start.checked_sub(1)
            && !same(last, before.first()?)
        {
            return None;
        }
        let shared = (start..).zip(&before[1..]).take_while(|(seq, h)| same(*seq, h)).count() as u64;
        Some(start + shared)
    }

    /// Which history of a log has this entry, if that is known; else the first.
    pub(crate) fn history_with(&self, main: LogNo, seq: u64, h: &[u8; 32]) -> LogNo {
        let has = |no: LogNo| {
            self.book.log(no).durable.tip.as_ref().is_some_and(|tip| tip.seq == seq && tip.h == *h)
                || self.book.hash(no, seq).as_ref() == Some(h)
        };
        self.book.histories(main).map(|log| log.no).find(|no| has(*no)).unwrap_or(main)
    }

    /// The first entry of a log whose row stands under this number.
    pub(crate) fn rows_from(&self, no: LogNo) -> u64 {
        self.book.log(no).durable.held.iter().next().map_or(0, |range| *range.start())
    }

    /// How an entry is named beyond this store.
    pub(crate) fn at(&self, at: EntryRef, h: &[u8; 32]) -> At {
        At { log: self.book.log(at.log).id, seq: at.seq, h: short(h) }
    }

    /// Verifies a run against its card, its chain and its head. Returns the log's number, the entries, the chain hashes
    /// around them and the head.
    #[expect(clippy::type_complexity, reason = "taken apart at once by the two that call it")]
    pub(super) fn verify(&mut self, run: &Run) -> Result<(LogNo, Vec<Entry>, Vec<[u8; 32]>, Head), Refusal> {
        let card = self.card_for(run.log, run.card.as_ref())?;
        let entries = run.entries.iter().map(Entry::decode).collect::<Result<Vec<_>, _>>()?;
        if !entries.iter().all(Entry::is_whole) {
            return Err(Refusal::Partial);
        }
        let h_first = if run.start == 0 { chain::genesis(&run.log) } else { run.h_prev };
        let mut h = h_first;
        let mut before = Vec::with_capacity(entries.len() + 1);
        for entry in &entries {
            before.push(h);
            h = entry.chain(&card.epoch, &h);
        }
        let seq = (run.start + entries.len() as u64).checked_sub(1).ok_or(ChainError::Empty)?;
        let head = Head { seq, h, signature: run.signature };
        chain::verify_run(&card, &run.log, &h_first, run.start, &entries, &head)?;
        before.push(h);
        let no = self.number(run.log, card, run.card.as_ref())?;
        Ok((no, entries, before, head))
    }
}

/// The histories of one log, as [`access`] sees them.
struct Chains<'a> {
    ledger: &'a Ledger,
    histories: &'a [LogNo],
}

impl Histories for Chains<'_> {
    fn count(&self) -> usize {
        self.histories.len()
    }

    fn hash(&self, history: usize, seq: u64) -> Option<[u8; 32]> {
        self.ledger.book.hash(self.histories[history], seq)
    }

    fn split(&self, a: usize, b: usize) -> u64 {
        // Hashes along a chain never agree again once they differ.
        let (mut same, mut differ) = (0, self.ledger.held_to(self.histories[a]));
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

impl Forks for Ledger {
    fn is_kept(&self, at: &At) -> bool {
        let Some(main) = self.book.by_id(&at.log) else { return true };
        if self.book.log(main).branches.is_empty() {
            return true;
        }
        self.book
            .histories(main)
            .find(|log| log.cut.is_none())
            .and_then(|kept| self.book.hash(kept.no, at.seq))
            .is_some_and(|h| short(&h) == at.h)
    }

    fn leads_to(&self, earlier: &At, later: &At) -> bool {
        let Some(main) = self.book.by_id(&later.log) else { return false };
        if self.book.log(main).branches.is_empty() {
            return true;
        }
        let on = |no: LogNo, at: &At| self.book.hash(no, at.seq).is_some_and(|h| short(&h) == at.h);
        self.book.histories(main).any(|log| on(log.no, earlier) && on(log.no, later))
    }
}

/// What the extension of a header says of an entry that restates others, up to and with one of them.
pub(crate) fn encode_restates(at: &At) -> Vec<u8> {
    let mut out = vec![RESTATES];
    out.raw(at.log.as_ref());
    out.varint(at.seq);
    out.raw(&at.h);
    out
}

fn decode_restates(bytes: &[u8]) -> Result<At, CodecError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != RESTATES {
        return Err(CodecError::OutOfRange("extension"));
    }
    let at = At { log: LogId(reader.array()?), seq: reader.varint()?, h: reader.array()? };
    reader.finish().map(|()| at)
}

pub(crate) fn short(h: &[u8; 32]) -> Short {
    let mut short = [0; 8];
    short.copy_from_slice(&h[..8]);
    short
}
