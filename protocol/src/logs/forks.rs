//! Logs with several histories: telling them apart and keeping all of them.
//!
//! A run that contradicts held entries makes its log a *suspect*: the chain hashes of held entries are
//! collected from the store, and from then on every run is placed by its hashes. A history that leaves
//! another one gets a number and rows of its own; no held entry ever moves or goes. The collected hashes and
//! citations determine the kept history (`fork_index`). `spec/exclusion.md`.

use super::Logs;
use super::accept::{Arrival, Refusal, Run};
use super::registry::Branch;
use crate::branch::{At, Short};
use crate::ids::{EntryRef, LogNo};
use crate::log::chain::{self, ChainError};
use crate::log::entry::Entry;
use crate::log::head::Head;
use crate::spaces::Spaces;

/// Most histories of one log that are kept. Only its writer can make more; further ones are refused.
pub(crate) const HISTORIES_MAX: usize = 16;

/// Result of accepting a run of a log with several histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The run is staged, or was held already: this log's history ends at the end of the run, or later.
    Yes(LogNo),
    /// The entry before the run is not held.
    Detached,
    /// Hashes are still being collected: try again.
    Later,
    /// The run belongs to another history and is not taken, for now or for good.
    No,
}

impl Logs {
    /// Returns whether all entries of a log are wanted, because it may have several histories.
    pub(crate) fn is_suspect(&self, no: LogNo) -> bool {
        let main = self.registry.main_of(no);
        self.forks.suspects.contains(&main) || !self.registry.log(main).branches().is_empty()
    }

    /// Marks a log as one that may have several histories.
    pub(crate) fn suspect(&mut self, main: LogNo) {
        self.forks.suspects.insert(main);
    }

    /// Returns the end of the gapless part of a history: the seq after its last entry.
    pub(super) fn held_to(&self, no: LogNo) -> u64 {
        let log = self.registry.log(no);
        let from = log.branch().map_or(0, |branch| branch.base);
        log.staged().held.first_gap_from(from).unwrap_or(u64::MAX)
    }

    /// Returns the first missing entry of a history that holds a later one.
    fn first_gap(&self, no: LogNo) -> Option<u64> {
        let last = *self.registry.log(no).staged().held.iter().next_back()?.end();
        Some(self.held_to(no)).filter(|gap| *gap < last)
    }

    /// Returns whether a head is known beyond the gapless part of a history. Whether that head belongs to the
    /// same history is unknown.
    pub(super) fn has_bare_head(&self, no: LogNo) -> bool {
        self.held_to(no) < self.registry.log(no).next_seq()
    }

    /// Returns whether a run that follows the gapless part of a history fits under its number, that is,
    /// whether the entries behind the gap agree with the run. A conflicting head without entries behind the
    /// gap is dropped.
    fn make_run_fit(
        &mut self,
        no: LogNo,
        run: &Run,
        before: &[[u8; 32]],
        head: &Head,
        arrival: &mut Arrival<'_>,
    ) -> bool {
        if self.registry.log(no).is_torn() {
            return false;
        }
        let fits = |logs: &Self| logs.fits_branch(no, run.start, before, head);
        self.first_gap(no).is_none()
            || fits(self)
            || (self.registry.log(no).staged().agrees(run.start, before) && {
                self.drop_unheld_head(no, arrival);
                fits(self)
            })
    }

    /// Drops a head that may not belong to the held history, before a run that continues this history is
    /// staged. Unless the run leads to the head, peers are asked for the history that does.
    fn drop_bare_head(&mut self, no: LogNo, start: u64, before: &[[u8; 32]], arrival: &mut Arrival<'_>) {
        if !self.has_bare_head(no) || self.first_gap(no).is_some() {
            return;
        }
        let Some(tip) = self.registry.log_mut(no).staged_mut().tip.take() else { return };
        let at = (tip.seq + 1).checked_sub(start).and_then(|at| before.get(usize::try_from(at).ok()?));
        if at != Some(&tip.h) {
            arrival.news.wanted.push((self.registry.main_of(no), tip.seq, tip.h));
        }
    }

    /// Verifies a run of a log that may have several histories, and stages its new entries in the right one.
    /// `after` names the end of a held history that the run continues, behind a gap that nobody can fill.
    pub(crate) fn accept_branch(
        &mut self,
        run: &Run,
        after: Option<u64>,
        arrival: &mut Arrival<'_>,
    ) -> Result<Taken, Refusal> {
        let (no, entries, before, head) = self.verify(run, arrival.spaces)?;
        let main = self.registry.main_of(no);
        // A head without entries does not show where another history leaves this one: entries come first.
        if self.registry.log(main).staged().held.is_empty() && self.registry.log(main).branches().is_empty() {
            if run.start > 0 {
                return Ok(Taken::Detached);
            }
            self.drop_bare_head(main, run.start, &before, arrival);
            self.stage_entries(main, run, entries, &before, head, arrival);
            return Ok(Taken::Yes(main));
        }
        self.suspect(main);
        // A run that begins behind a gap and fits there fills the gap. A run that does not fit proves two
        // histories, perhaps one on each side.
        if self.registry.log(main).branches().is_empty()
            && let Some(gap) = self.first_gap(main).filter(|gap| run.start >= *gap)
            && self.make_run_fit(main, run, &before, &head, arrival)
        {
            if run.start > gap && after != Some(gap) {
                return Ok(Taken::Detached);
            }
            // If the run ends amid held entries, the hashes there show whether it belongs to another history.
            // They are collected up to the gap.
            self.trace(main, &mut arrival.asks);
            let fits = self.stage_entries(main, run, entries, &before, head, arrival);
            return Ok(if fits || run.start > gap { Taken::Yes(main) } else { Taken::Later });
        }
        let histories: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
        histories.iter().for_each(|no| self.trace(*no, &mut arrival.asks));
        if !histories.iter().all(|no| self.is_traced(*no)) {
            return Ok(Taken::Later);
        }
        let fits = |no: LogNo| self.common(no, run.start, &before);
        let Some((no, shared)) = histories.iter().filter_map(|no| Some((*no, fits(*no)?))).max_by_key(|(_, to)| *to)
        else {
            return Ok(self.accept_behind_gap(main, run, after, entries, &before, head, arrival));
        };
        if shared == head.seq + 1 {
            self.registry.log_mut(no).staged_mut().add_edge(&head);
            self.drop_foreign_heads(main, arrival);
            return Ok(Taken::Yes(no));
        }
        if self.held_to(no) == shared && self.make_run_fit(no, run, &before, &head, arrival) {
            self.end_own_log(no, arrival);
            self.drop_bare_head(no, run.start, &before, arrival);
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
            self.stage_entries(no, &rest, entries, &before[skip..], head, arrival);
            self.drop_foreign_heads(main, arrival);
            return Ok(Taken::Yes(no));
        }
        Ok(self.add_history(main, no, shared, run, entries, &before, head, arrival))
    }

    /// Stages a run whose preceding entry nobody has: in the history that is held up to `after`, if the run
    /// can belong to it, or else as the only part of a further history.
    #[expect(clippy::too_many_arguments, reason = "what was verified, passed on once")]
    fn accept_behind_gap(
        &mut self,
        main: LogNo,
        run: &Run,
        after: Option<u64>,
        entries: Vec<Entry>,
        before: &[[u8; 32]],
        head: Head,
        arrival: &mut Arrival<'_>,
    ) -> Taken {
        let Some(after) = after else { return Taken::Detached };
        let histories: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
        let ends_alike = histories.iter().copied().find(|no| self.registry.log(*no).staged().ends_at(&head));
        let mut ends = histories.into_iter().filter(|no| self.held_to(*no) == after);
        let goes_on = ends.next().filter(|_| ends.next().is_none());
        let Some(no) = ends_alike.or(goes_on).filter(|no| {
            self.make_run_fit(*no, run, before, &head, arrival) && self.fits_branch(*no, run.start, before, &head)
        }) else {
            return self.add_history(main, main, 0, run, entries, before, head, arrival);
        };
        self.end_own_log(no, arrival);
        self.stage_entries(no, run, entries, before, head, arrival);
        self.drop_foreign_heads(main, arrival);
        Taken::Yes(no)
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
        arrival: &mut Arrival<'_>,
    ) -> Taken {
        if self.registry.log(main).branches().len() + 1 >= HISTORIES_MAX {
            return Taken::No;
        }
        self.end_own_log(main, arrival);
        let parent = match base.checked_sub(1) {
            Some(last) => self.registry.owner_of(EntryRef { log: beside, seq: last }).log,
            None => main,
        };
        let no = self.registry.add_branch(Branch { main, parent, base });
        if base > run.start {
            // The shared entries are held to be served with the head that proves them; they were read under
            // the earlier history.
            self.registry.log_mut(no).staged_mut().indexed.insert(run.start..=base - 1);
        }
        self.stage_entries(no, run, entries, before, head, arrival);
        arrival.batch.touch(main, false);
        self.drop_foreign_heads(main, arrival);
        self.forks.stale = true;
        self.forks.chosen = false;
        arrival.news.forked.push(self.registry.log(main).id);
        Taken::Yes(no)
    }

    /// Returns whether the head known beyond a history's entries belongs to another history.
    fn is_of_another(&self, no: LogNo) -> bool {
        let Some(tip) = self.registry.log(no).staged().tip.filter(|_| self.has_bare_head(no)) else { return false };
        let mut others = self.registry.histories(self.registry.main_of(no)).filter(|other| other.no != no);
        others.any(|other| other.staged().ends_at(&tip) || self.registry.hash(other.no, tip.seq) == Some(tip.h))
    }

    /// Ends histories at their gapless part, if the head known beyond it belongs to another one. If there are
    /// several histories, any head without entries is dropped and requested: peers are told the ends that are
    /// held.
    fn drop_foreign_heads(&mut self, main: LogNo, arrival: &mut Arrival<'_>) {
        let histories: Vec<LogNo> = self.registry.histories(main).map(|log| log.no).collect();
        for &no in &histories {
            if histories.len() > 1 && !self.is_of_another(no) {
                self.drop_unheld_head(no, arrival);
            }
            if !self.is_of_another(no) {
                continue;
            }
            let (to, torn) = (self.held_to(no), self.first_gap(no).is_some());
            let log = self.registry.log_mut(no);
            if log.staged_mut().truncate(to) {
                log.fork_mut().torn |= torn;
                arrival.batch.touch(no, true);
                // Rows behind the end were read under this history; they are read again under the right one.
                self.forks.stale |= torn;
                self.forks.chosen &= !torn;
            }
        }
    }

    /// Ends a history at its last entry if only a head is known beyond it, and asks peers for that head's
    /// history.
    fn drop_unheld_head(&mut self, no: LogNo, arrival: &mut Arrival<'_>) {
        let main = self.registry.main_of(no);
        let staged = self.registry.log_mut(no).staged_mut();
        let Some(tip) = staged.tip.filter(|tip| !staged.held.contains(tip.seq)) else { return };
        let to = staged.held.iter().next_back().map_or(0, |range| range.end() + 1);
        if staged.truncate(to) {
            arrival.batch.touch(no, true);
            arrival.news.wanted.push((main, tip.seq, tip.h));
        }
    }

    /// Returns the seq after the last entry that a history and a run have in common. `None` if the history
    /// lacks the entry before the run.
    fn common(&self, no: LogNo, start: u64, before: &[[u8; 32]]) -> Option<u64> {
        let same = |seq: u64, h: &[u8; 32]| self.registry.hash(no, seq).as_ref() == Some(h);
        if let Some(last) = start.checked_sub(1)
            && !same(last, before.first()?)
        {
            return None;
        }
        let shared = (start..).zip(&before[1..]).take_while(|(seq, h)| same(*seq, h)).count() as u64;
        Some(start + shared)
    }

    /// Returns the history of a log that has this entry, if known, or else the first one.
    pub(crate) fn history_with(&self, main: LogNo, seq: u64, h: &[u8; 32]) -> LogNo {
        let has = |no: LogNo| {
            self.registry.log(no).durable.tip.as_ref().is_some_and(|tip| tip.seq == seq && tip.h == *h)
                || self.registry.hash(no, seq).as_ref() == Some(h)
        };
        self.registry.histories(main).map(|log| log.no).find(|no| has(*no)).unwrap_or(main)
    }

    /// Returns the name of an entry beyond this store.
    pub(crate) fn at(&self, at: EntryRef, h: &[u8; 32]) -> At {
        At { log: self.registry.log(at.log).id, seq: at.seq, h: short(h) }
    }

    /// Verifies a run against its card, its chain and its head. Returns the log's number, the entries, the
    /// chain hashes around them and the head.
    #[expect(clippy::type_complexity, reason = "taken apart at once by the two that call it")]
    pub(super) fn verify(
        &mut self,
        run: &Run,
        spaces: &Spaces,
    ) -> Result<(LogNo, Vec<Entry>, Vec<[u8; 32]>, Head), Refusal> {
        let card = self.card_for(run.log, run.card.as_ref(), spaces)?;
        let entries = run.entries.iter().map(Entry::decode).collect::<Result<Vec<_>, _>>()?;
        if !entries.iter().all(Entry::is_whole) {
            return Err(Refusal::Partial);
        }
        let h_first = if run.start == 0 { chain::genesis(&run.log) } else { run.h_prev };
        let mut h = h_first;
        let mut before = Vec::with_capacity(entries.len() + 1);
        for entry in &entries {
            before.push(h);
            h = entry.chain(&card.place.epoch, &h);
        }
        let seq = (run.start + entries.len() as u64).checked_sub(1).ok_or(ChainError::Empty)?;
        let head = Head { seq, h, signature: run.signature };
        chain::verify_run(&card, &run.log, &h_first, run.start, &entries, &head)?;
        before.push(h);
        let no = self.number(run.log, &card, run.card.as_ref(), spaces)?;
        Ok((no, entries, before, head))
    }
}

pub(crate) fn short(h: &[u8; 32]) -> Short {
    let mut short = [0; 8];
    short.copy_from_slice(&h[..8]);
    short
}
