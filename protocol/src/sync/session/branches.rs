//! Logs with several histories. Each side announces the heads at the ends of its histories and requests the ones
//! that it lacks, one run at a time. Such a log is never streamed, announced as changed or acknowledged
//! (`spec/sync.md`, section 10).

use super::handles::whole_card;
use super::{Action, Session, SessionError};
use crate::ids::{LogId, LogNo, SpaceNo};
use crate::log::card::short_card;
use crate::sync::{Bodies, Catalog};
use crate::wire::message::{GoneReason, LogRef, Message, Run};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Most histories that are requested from a peer at one time.
const WANTS_MAX: usize = 1024;
/// Distance before this side's end at which the first request begins; each further one begins sixteen times as far
/// back.
const STEP: u64 = 64;
/// Most requests on one link for a history of which the peer lacks a part: the peer may get that part, or this side
/// may get the entries before it.
const ASKS_MAX: u32 = 8;

/// A head at the end of a history.
pub(super) type End = (u64, [u8; 32]);

/// State of histories on this link.
#[derive(Debug, Default)]
pub(super) struct Branches {
    wants: BTreeMap<(LogId, End), Want>,
    /// The history that was requested and has not come.
    asked: Option<(LogId, End)>,
    /// The log that the peer requested, and the first seq.
    serving: Option<(LogId, u64)>,
    queued: BTreeMap<LogId, (End, u64)>,
    sent_ends: BTreeMap<LogId, Vec<End>>,
    /// Logs whose ends must be announced to the peer once there are any.
    pending_hints: BTreeSet<LogId>,
    /// Number of requests for each end that the peer announced.
    requests: BTreeMap<(LogId, End), u32>,
}

/// A history to be fetched.
#[derive(Debug)]
struct Want {
    from: u64,
    step: u64,
    /// True while the store is not ready for the history.
    waits: bool,
    /// True while the peer's part of it follows entries that must come first, with another history.
    detached: bool,
    /// True if no other history is to come: nobody has the entries before it.
    behind_gap: bool,
    /// True if the peer holds less of it than was requested.
    lacks: bool,
}

/// Result of a run that was passed to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The run is staged, or was held already.
    Yes,
    /// The entry before the run is not held.
    Detached,
    /// The endpoint reports when to ask again.
    Later,
    /// The run will not be stored.
    No,
}

/// Returns the seq after the highest of some ends.
fn past(ends: &[End]) -> Option<u64> {
    ends.iter().map(|(seq, _)| seq + 1).max()
}

impl Session {
    /// Announces the held histories of a log to the peer, unless that was done already.
    pub fn hint_fork(&mut self, catalog: &dyn Catalog, log: LogNo) {
        let view = catalog.log(log);
        let ends = view.held_ends();
        if ends.is_empty() {
            // The received entries are not durable yet.
            self.branches.pending_hints.insert(view.id);
            return;
        }
        self.branches.pending_hints.remove(&view.id);
        if self.branches.sent_ends.get(&view.id) == Some(&ends) {
            return;
        }
        if self.introduce(view.space, view.id)
            && let Ok(stream) = self.stream(view.space, view.id)
        {
            stream.outbound.forks_due = true;
            self.branches.sent_ends.insert(view.id, ends);
            self.account(&view.id);
            self.set_due(view.id);
        }
    }

    /// Returns whether an announcement of a log's histories is pending, because there was none to make yet.
    pub(super) fn has_pending_hint(&self, id: &LogId) -> bool {
        self.branches.pending_hints.contains(id)
    }

    pub(super) fn on_fork_hint(
        &mut self,
        catalog: &dyn Catalog,
        log: LogRef,
        seq: u64,
        h: [u8; 32],
    ) -> Result<(), SessionError> {
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        let view = self.view(catalog, &id);
        let ends = view.as_ref().map(|(_, view)| view.held_ends()).unwrap_or_default();
        let lacking = view
            .as_ref()
            .and_then(|(no, view)| catalog.gap(*no).filter(|_| catalog.bodies(view.space, Some(*no)) == Bodies::All));
        // The peer may lack a history held here, whether or not this one is held here.
        if let Some((no, _)) = view.filter(|_| ends != [(seq, h)]) {
            self.hint_fork(catalog, no);
        }
        if ends.contains(&(seq, h)) && lacking.is_none() {
            return Ok(());
        }
        let key = (id, (seq, h));
        let asks = self.branches.requests.entry(key).or_default();
        if *asks >= ASKS_MAX || self.branches.wants.contains_key(&key) {
            return Ok(());
        }
        *asks += 1;
        if self.branches.wants.len() >= WANTS_MAX || self.branches.requests.len() > WANTS_MAX * 16 {
            return Err(SessionError::TooMuch("histories of logs"));
        }
        self.want_branch(space, id, lacking.or_else(|| past(&ends)), (seq, h))
    }

    /// Requests the history with this end from the peer, which may hold it without having announced it.
    pub fn want_history(&mut self, catalog: &dyn Catalog, log: LogNo, end: End) {
        let view = catalog.log(log);
        if self.branches.wants.len() < WANTS_MAX && self.introduce(view.space, view.id) {
            // This fails only for a log of another space than its own.
            let _ = self.want_branch(view.space, view.id, past(&view.held_ends()), end);
        }
    }

    /// Adds a history to be fetched. `held` is the greatest seq up to which entries before `end` may be held here.
    fn want_branch(&mut self, space: SpaceNo, id: LogId, held: Option<u64>, end: End) -> Result<(), SessionError> {
        if self.branches.wants.contains_key(&(id, end)) {
            return Ok(());
        }
        let ours = held.unwrap_or(0).min(end.0 + 1);
        let want = Want {
            from: ours.saturating_sub(STEP),
            step: STEP * 16,
            waits: false,
            detached: false,
            behind_gap: false,
            lacks: false,
        };
        self.stream(space, id)?.inbound.branches += 1;
        self.branches.wants.insert((id, end), want);
        self.account(&id);
        self.set_due(id);
        Ok(())
    }

    /// Builds the next request for a history, if none is open.
    pub(super) fn next_branch_want(&mut self) -> Option<Message> {
        if self.branches.asked.is_some() {
            return None;
        }
        let (&(id, end), want) = self.branches.wants.iter().find(|(_, want)| !want.waits && !want.detached)?;
        let log = self.handles.reference(&id)?;
        self.branches.asked = Some((id, end));
        Some(Message::BranchWant { log, seq: end.0, h: end.1, from: want.from })
    }

    pub(super) fn on_branch_run(
        &mut self,
        catalog: &dyn Catalog,
        log: LogRef,
        card: Option<Bytes>,
        run: Run,
    ) -> Result<(), SessionError> {
        let asked = self.branches.asked.map(|(id, _)| id);
        let Some((space, id)) = self.resolve(log)?.filter(|(_, id)| asked == Some(*id)) else {
            return Err(SessionError::Unexpected);
        };
        if card.as_ref().is_some_and(|card| card.len() > self.limits.card_bytes_max)
            || run.entries.iter().any(|entry| entry.len() > self.limits.entry_bytes_max)
        {
            return Err(SessionError::TooMuch("a card or an entry"));
        }
        let want = self.branches.asked.and_then(|asked| self.branches.wants.get(&asked));
        let after = want.filter(|want| want.behind_gap).map(|want| want.from);
        let card = whole_card(catalog, space, card);
        self.actions.push_back(Action::ReceivedBranch { log: id, card, run, after });
        Ok(())
    }

    /// Answers [`Action::ReceivedBranch`] for a run of entries `start <= seq < end`.
    pub fn handle_taken(&mut self, catalog: &dyn Catalog, start: u64, end: u64, taken: Taken) {
        let Some(asked) = self.branches.asked.take() else { return };
        let Some(want) = self.branches.wants.get_mut(&asked) else { return };
        want.lacks |= taken == Taken::Detached || start > want.from;
        let lacks = want.lacks;
        let is_over = match taken {
            Taken::Yes => {
                let ahead = end > want.from;
                want.from = end;
                end > asked.1.0 || !ahead
            }
            Taken::Detached if start > want.from => {
                want.detached = true;
                want.behind_gap
            }
            Taken::Detached => {
                want.from = want.from.min(start).saturating_sub(want.step);
                want.step = want.step.saturating_mul(16);
                start == 0
            }
            Taken::Later => {
                want.waits = true;
                false
            }
            Taken::No => true,
        };
        if taken == Taken::Yes {
            self.wants_of(&asked.0).for_each(|want| want.detached = false);
        }
        if is_over {
            if taken == Taken::Yes
                && let Some(stream) = self.streams.get_mut(&asked.0)
            {
                stream.inbound.note_taken(asked.1.0 + 1);
            }
            self.end_branch(catalog, asked, lacks);
        }
        self.retry_detached(asked.0);
    }

    fn wants_of(&mut self, id: &LogId) -> impl Iterator<Item = &mut Want> {
        self.branches.wants.iter_mut().filter(move |((of, _), _)| of == id).map(|(_, want)| want)
    }

    /// Requests the first history of a log once more, if all remaining ones follow entries that no other one will
    /// bring.
    fn retry_detached(&mut self, id: LogId) {
        if !self.wants_of(&id).all(|want| want.detached) {
            return;
        }
        self.set_due(id);
        if let Some(want) = self.wants_of(&id).next() {
            (want.detached, want.behind_gap) = (false, true);
        }
    }

    /// Resumes histories of a log that waited for the store.
    pub fn resume_branches(&mut self, catalog: &dyn Catalog, log: LogNo) {
        let view = catalog.log(log);
        self.wants_of(&view.id).for_each(|want| want.waits = false);
        self.settle_inbound(catalog, log);
    }

    /// Ends the fetch of a history. `lacks` is true if the peer could not serve all of it and may announce it
    /// again.
    fn end_branch(&mut self, catalog: &dyn Catalog, ended: (LogId, End), lacks: bool) {
        self.branches.wants.remove(&ended);
        if let Some(asks) = self.branches.requests.get_mut(&ended).filter(|_| !lacks) {
            *asks = ASKS_MAX;
        }
        if let Some(stream) = self.streams.get_mut(&ended.0) {
            stream.inbound.branches -= 1;
            let space = stream.space;
            self.account(&ended.0);
            self.check_settled(catalog, space);
        }
    }

    /// Handles the peer's answer that it cannot serve a requested history.
    pub(super) fn on_branch_gone(&mut self, catalog: &dyn Catalog, id: LogId) {
        if let Some(asked) = self.branches.asked.take_if(|(of, _)| *of == id) {
            self.end_branch(catalog, asked, true);
            self.retry_detached(id);
        }
    }

    pub(super) fn on_branch_want(
        &mut self,
        catalog: &dyn Catalog,
        log: LogRef,
        end: End,
        from: u64,
    ) -> Result<(), SessionError> {
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        if self.view(catalog, &id).is_none_or(|(_, view)| view.space != space) {
            // The number that the peer gave is the peer's: it is named otherwise in an answer.
            let log = if planted!("history.gone-misnamed") { Some(log) } else { self.handles.reference(&id) };
            let gone = log.map(|log| Message::Gone { log, from, to: from + 1, reason: GoneReason::History });
            self.built.extend(gone);
            return Ok(());
        }
        if self.branches.queued.insert(id, (end, from)).is_some() || self.branches.queued.len() > WANTS_MAX {
            return Err(SessionError::Unexpected);
        }
        self.serve_branch(catalog);
        Ok(())
    }

    /// Has the next requested run read, unless one still waits for the link: a peer that requests the histories of
    /// many logs and does not read costs the memory of one run.
    pub(super) fn serve_branch(&mut self, catalog: &dyn Catalog) {
        let waits = |message: &Message| matches!(message, Message::BranchRun { .. });
        if self.branches.serving.is_some() || self.built.iter().any(waits) {
            return;
        }
        let Some((id, ((seq, h), from))) = self.branches.queued.pop_first() else { return };
        let Some(log) = catalog.log_by_id(&id) else { return };
        self.branches.serving = Some((id, from));
        self.actions.push_back(Action::ReadBranch { log, seq, h, from, bytes_max: self.limits.run_bytes_max });
    }

    /// Answers [`Action::ReadBranch`]; `None` if no part of the history is held.
    pub fn handle_branch(&mut self, catalog: &dyn Catalog, run: Option<Run>) {
        let Some((id, from)) = self.branches.serving.take() else { return };
        if run.as_ref().is_none_or(|run| run.start > from) {
            // If the rest comes later, the peer may be able to take it.
            self.branches.sent_ends.remove(&id);
        }
        if let Some((_, view)) = self.view(catalog, &id)
            && let Some(log) = self.handles.reference(&id)
        {
            self.built.push_back(match run {
                Some(run) => {
                    let card = (run.start == 0).then(|| short_card(&view.card));
                    Message::BranchRun { log, card, run }
                }
                None => Message::Gone { log, from: 0, to: 1, reason: GoneReason::History },
            });
        }
        self.serve_branch(catalog);
    }

    /// Handles a refused run, whose log has another history here: drops the stream of the log and announces the
    /// held histories.
    pub fn handle_refused(&mut self, catalog: &dyn Catalog, log: LogNo) {
        let id = catalog.log(log).id;
        self.drop_stream(&id);
        self.hint_fork(catalog, log);
    }

    /// Ends the stream of a log: credit goes back, and nothing is awaited.
    pub(super) fn drop_stream(&mut self, id: &LogId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        for (class, bytes) in stream.inbound.drop_pending() {
            self.credit_due[class.index()] += bytes;
        }
        stream.outbound.drop_pending();
        self.account(id);
    }
}
