//! Sending: one stream for each log, from what the peer holds to what we hold. Catching up and live push are the
//! same path.

use super::{Action, Session, SessionError};
use crate::ids::LogId;
use crate::log::card::short_card;
use crate::sync::{Catalog, Class, LogNo, LogView, SpaceNo};
use crate::wire::message::{GoneReason, LogRef, Message, Run};

/// How many ranges that were asked for in vain are told apart; more become one.
const RANGES_MAX: usize = 8;

/// Adds a range to those that were asked for in vain.
pub(super) fn note_range(ranges: &mut Vec<(u64, u64)>, from: u64, to: u64) {
    let meets = |range: &mut (u64, u64)| range.0 <= to && from <= range.1;
    let whole = |all: (u64, u64), range: (u64, u64)| (all.0.min(range.0), all.1.max(range.1));
    let mut range = ranges.extract_if(.., meets).fold((from, to), whole);
    if ranges.len() >= RANGES_MAX {
        range = ranges.drain(..).fold(range, whole);
    }
    ranges.push(range);
}

/// What is known of the peer's copy of a log, and what is under way to it. Positions are "the seq after".
#[derive(Debug)]
pub(super) struct Outbound {
    /// What the peer needs next, once known.
    pub(super) next: Option<u64>,
    /// Where the unbroken stream that ends at `next` began.
    from: u64,
    /// Up to where the peer asked. One who follows heads alone gets nothing past it.
    asked: Option<u64>,
    /// The highest head that the peer knows.
    head_to: u64,
    sent: u64,
    entries_sent: u64,
    acked: u64,
    state: State,
    head_due: Option<HeadDue>,
    /// Ranges to be refused, and why the last of them is.
    gone_due: (Vec<(u64, u64)>, GoneReason),
    /// What the peer asked for while it was not here: it is sent should it come.
    absent: Vec<(u64, u64)>,
    /// The ends of all histories that are held are to be told.
    pub(super) forks_due: bool,
}

/// What a peer asks for.
pub(super) struct Want {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) again: bool,
}

/// A head that goes out without entries.
#[derive(Debug, Clone, Copy)]
struct HeadDue {
    with_card: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Queued,
    Reading(Class),
    Ready(Run),
    Writing,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            next: None,
            from: 0,
            asked: None,
            head_to: 0,
            sent: 0,
            entries_sent: 0,
            acked: 0,
            state: State::Idle,
            head_due: None,
            gone_due: (Vec::new(), GoneReason::Absent),
            absent: Vec::new(),
            forks_due: false,
        }
    }
}

impl Outbound {
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle) || self.head_due.is_some() || !self.gone_due.0.is_empty() || self.forks_due
    }

    pub(super) fn is_unacked(&self) -> bool {
        self.acked < self.sent
    }

    /// Notes that the peer holds the head below `to` and the entries too, unless it is asking for them.
    pub(super) fn peer_has(&mut self, to: u64) {
        self.head_to = self.head_to.max(to);
        if self.next.is_none_or(|next| next < to && self.asked.is_none_or(|asked| next >= asked)) {
            self.start(to);
        }
    }

    /// Notes that the peer says that its log ends at `to`: it lacks what comes then, if nothing of that was sent here.
    pub(super) fn peer_ends(&mut self, to: u64) {
        if self.sent <= to && self.next.is_some_and(|next| next > to) {
            self.start(to);
        }
    }

    /// Notes that the peer was told of the head below `to`: it will ack when it holds that.
    pub(super) fn announced(&mut self, to: u64) {
        self.sent = self.sent.max(to);
    }

    /// Notes that the peer holds the head below `to`, perhaps without entries.
    pub(super) fn peer_has_head(&mut self, to: u64) {
        self.head_to = self.head_to.max(to);
    }

    /// Sends nothing more of the log, and waits for no ack.
    pub(super) fn let_go(&mut self) {
        (self.next, self.asked, self.head_due) = (None, None, None);
        self.gone_due.0.clear();
        self.acked = self.acked.max(self.sent);
    }

    fn start(&mut self, at: u64) {
        self.next = Some(at);
        self.from = at;
    }
}

impl Session {
    /// Tells the session that a log's durable state grew, whoever the entries came from; `from` is the first seq that
    /// is new. Call it on every session of the log's space.
    pub fn handle_grown(&mut self, catalog: &dyn Catalog, log: LogNo, from: u64) {
        self.settle_inbound(catalog, log);
        let view = catalog.log(log);
        if view.is_forked() || self.owes_hint(&view.id) {
            self.hint_fork(catalog, log);
        }
        if view.is_forked() {
            self.pump(catalog);
            return;
        }
        if view.entries_to < view.tip_to() {
            self.fetch_lagging(catalog, log);
        }
        self.send_belated(catalog, log, &view);
        match self.streams.get(&view.id).and_then(|stream| stream.outbound.next) {
            Some(next) => self.offer(catalog, view.space, view.id, next),
            None => self.announce_or_offer(catalog, view.space, view.id, from),
        }
        self.pump(catalog);
    }

    /// Sends what the peer asked for in vain, once it is here.
    fn send_belated(&mut self, catalog: &dyn Catalog, log: LogNo, view: &LogView) {
        let Some(stream) = self.streams.get_mut(&view.id).filter(|_| !planted!("body.not-passed-on")) else { return };
        let outbound = &mut stream.outbound;
        let first = |(from, to): (u64, u64)| catalog.first_held(log, from).filter(|first| *first < to);
        let here = outbound.absent.iter().enumerate().filter_map(|(at, range)| Some((first(*range)?, at)));
        let Some((first, at)) = here.min() else { return };
        let (from, to) = outbound.absent.swap_remove(at);
        if from < first {
            note_range(&mut outbound.absent, from, first);
        }
        outbound.start(first);
        outbound.asked = outbound.asked.max(Some(to));
        self.activate(catalog, view.id, view, view.class);
    }

    /// Answers [`Action::Read`]. A run that starts elsewhere than asked is dropped.
    pub fn handle_entries(&mut self, catalog: &dyn Catalog, log: LogNo, run: Run) {
        let id = catalog.log(log).id;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let State::Reading(class) = stream.outbound.state else { return };
        if run.entries.is_empty() || stream.outbound.next != Some(run.start) {
            self.end_run(catalog, id, class, None);
        } else {
            let (space, start) = (stream.space, run.start);
            stream.outbound.state = State::Ready(run);
            if start > 0 {
                self.introduce(space, id);
            }
            self.ready[class.index()].push_back(id);
        }
        self.pump(catalog);
    }

    /// Answers [`Action::Read`] when entries below `to` are not held.
    pub fn handle_missing(&mut self, catalog: &dyn Catalog, log: LogNo, to: u64, reason: GoneReason) {
        let id = catalog.log(log).id;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let State::Reading(class) = stream.outbound.state else { return };
        if let Some(next) = stream.outbound.next
            && to > next
        {
            self.refuse(id, next, to, reason);
            // Whoever asked knows now; what comes after the gap goes on.
            if let Some(stream) = self.streams.get_mut(&id) {
                note_range(&mut stream.outbound.absent, next, to);
                stream.outbound.start(to);
            }
        }
        self.end_run(catalog, id, class, None);
        self.pump(catalog);
    }

    /// Notes that the peer will not get entries from here, and sends it the head instead.
    fn refuse(&mut self, id: LogId, from: u64, to: u64, reason: GoneReason) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let outbound = &mut stream.outbound;
        note_range(&mut outbound.gone_due.0, from, to);
        outbound.gone_due.1 = reason;
        outbound.head_due = Some(HeadDue { with_card: from == 0 });
        if reason != GoneReason::Absent {
            outbound.start(to);
        }
        self.account(&id);
        self.set_due(id);
    }

    /// Starts or continues sending a log to a peer that needs it from `next` on, in the way that the peer follows.
    pub(super) fn offer(&mut self, catalog: &dyn Catalog, space: SpaceNo, id: LogId, next: u64) {
        let follows_all = self.spaces.get(&space).is_some_and(|space| space.peer_follows_all());
        let Some((no, view)) = self.view(catalog, &id) else { return };
        if view.is_forked() {
            self.hint_fork(catalog, no);
            return;
        }
        let Ok(stream) = self.stream(space, id) else { return };
        stream.outbound.peer_has(next);
        if !follows_all {
            self.offer_head(catalog, space, id, next == 0);
        }
        self.activate(catalog, id, &view, view.class);
    }

    /// Sends the newest head if the peer doesn't know it.
    pub(super) fn offer_head(&mut self, catalog: &dyn Catalog, space: SpaceNo, id: LogId, with_card: bool) {
        let Some((no, view)) = self.view(catalog, &id) else { return };
        if view.is_forked() {
            self.hint_fork(catalog, no);
            return;
        }
        let Ok(stream) = self.stream(space, id) else { return };
        let outbound = &mut stream.outbound;
        if view.tip_to() > outbound.head_to {
            let with_card = with_card || outbound.head_due.is_some_and(|due| due.with_card);
            outbound.head_due = Some(HeadDue { with_card });
            self.account(&id);
            self.set_due(id);
        }
    }

    /// Queues a log for reading if there is something to send, and says how it ends if there is not.
    fn activate(&mut self, catalog: &dyn Catalog, id: LogId, view: &LogView, class: Class) {
        let follows_all = self.spaces.get(&view.space).is_some_and(|space| space.peer_follows_all());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (outbound, space) = (&mut stream.outbound, stream.space);
        let Some(next) = outbound.next.filter(|_| matches!(outbound.state, State::Idle)) else { return };
        let limit = if follows_all { u64::MAX } else { outbound.asked.unwrap_or(0) };
        if next >= view.entries_to.min(limit) {
            self.end_stream(catalog, id, view, next);
            return;
        }
        // The card that goes with a log's start introduces it.
        let is_named = if next == 0 { self.open(space, id) } else { self.introduce(space, id) };
        if is_named {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.outbound.state = State::Queued;
            }
            self.active[class.index()].push_back(id);
            self.account(&id);
        }
    }

    /// Tells what lies beyond the last entry held here: to whoever asked that it does not come, to all others the
    /// head.
    fn end_stream(&mut self, catalog: &dyn Catalog, id: LogId, view: &LogView, next: u64) {
        if next < view.entries_to {
            return;
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(to) = stream.outbound.asked.filter(|to| next < *to) {
            stream.outbound.asked = Some(next);
            note_range(&mut stream.outbound.absent, next, to);
            self.refuse(id, next, to, GoneReason::Absent);
        } else if view.entries_to < view.tip_to() {
            self.offer_head(catalog, view.space, id, next == 0);
        }
    }

    /// Emits reads, most urgent first, as far as credit and the number of runs in memory allow.
    pub(super) fn pump(&mut self, catalog: &dyn Catalog) {
        for class in Class::ALL {
            let at = class.index();
            while self.reads[at] < self.limits.reads_max
                && self.credit_out[at] > 0
                && let Some(id) = self.active[at].pop_front()
            {
                let Some(stream) = self.streams.get_mut(&id) else { continue };
                let Some((log, from)) = catalog.log_by_id(&id).zip(stream.outbound.next) else {
                    // It was let go while it waited for its turn.
                    stream.outbound.state = State::Idle;
                    self.account(&id);
                    continue;
                };
                stream.outbound.state = State::Reading(class);
                self.reads[at] += 1;
                let bytes_max =
                    self.limits.run_bytes_max.min(usize::try_from(self.credit_out[at]).unwrap_or(usize::MAX));
                self.actions.push_back(Action::Read { log, from, bytes_max });
            }
        }
    }

    /// Takes the next run of a class that credit allows, as a message.
    pub(super) fn next_range(&mut self, catalog: &dyn Catalog, class: Class) -> Option<(LogId, u64, Message)> {
        let at = class.index();
        while let Some(id) = self.ready[at].front().copied() {
            let stream = self.streams.get_mut(&id)?;
            let outbound = &mut stream.outbound;
            let State::Ready(run) = &outbound.state else { return None };
            let bytes = run.bytes();
            let is_stale = outbound.next != Some(run.start);
            if !is_stale && bytes > self.credit_out[at] {
                return None;
            }
            self.ready[at].pop_front();
            if is_stale {
                self.end_run(catalog, id, class, None);
                continue;
            }
            let State::Ready(run) = core::mem::replace(&mut outbound.state, State::Writing) else { return None };
            let end = run.end();
            outbound.next = Some(end);
            outbound.sent = outbound.sent.max(end);
            outbound.entries_sent = outbound.entries_sent.max(end);
            outbound.head_to = outbound.head_to.max(end);
            self.credit_out[at] -= bytes;
            self.account(&id);
            let space = self.streams.get(&id).and_then(|stream| self.spaces.get(&stream.space));
            let (log, opens, card) = if run.start == 0 {
                let (log, opens) = self.handles.opening(&id)?;
                let (_, view) = self.view(catalog, &id)?;
                (log, space.filter(|_| opens).map(|space| space.index), Some(short_card(&view.card)))
            } else {
                (self.handles.reference(&id)?, None, None)
            };
            return Some((id, end, Message::Range { log, opens, card, run }));
        }
        None
    }

    /// Ends a run, sent whole or given up, and goes on with the log if there is more.
    pub(super) fn end_run(&mut self, catalog: &dyn Catalog, id: LogId, class: Class, sent: Option<u64>) {
        self.reads[class.index()] -= 1;
        if sent.is_some() {
            self.handles.opened(&id);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.outbound.state = State::Idle;
        }
        if let Some((_, view)) = self.view(catalog, &id) {
            // What did not fit into one run is catching up: it must not delay what others write now.
            let class =
                if sent.is_some() && class != Class::Control { view.class.max(Class::EntryCache) } else { view.class };
            self.activate(catalog, id, &view, class);
        }
        self.account(&id);
        self.pump(catalog);
    }

    pub(super) fn on_want(&mut self, catalog: &dyn Catalog, log: LogRef, want: Want) -> Result<(), SessionError> {
        let Want { from, to, again } = want;
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        let follows_all = self.spaces.get(&space).is_some_and(|space| space.is_begun() && space.peer_follows_all());
        if let Some((no, _)) = self.view(catalog, &id).filter(|(_, view)| view.is_forked()) {
            self.hint_fork(catalog, no);
            return Ok(());
        }
        let Some((_, view)) = self.view(catalog, &id).filter(|(_, view)| from < view.entries_to) else {
            note_range(&mut self.stream(space, id)?.outbound.absent, from, to);
            self.refuse(id, from, to, GoneReason::Absent);
            return Ok(());
        };
        if view.space != space {
            return Err(SessionError::WrongSpace);
        }
        let outbound = &mut self.stream(space, id)?.outbound;
        // What already flows to one who follows need not be asked for: the request crossed it.
        let flows = follows_all && !again && outbound.next.is_some_and(|next| outbound.from <= from && from <= next);
        if !flows {
            outbound.start(from);
        }
        // What the peer says of its tip must not end a stream that it asked for.
        outbound.asked = if flows { outbound.asked.max(Some(to)) } else { Some(to) };
        self.activate(catalog, id, &view, view.class);
        Ok(())
    }

    pub(super) fn on_want_head(&mut self, catalog: &dyn Catalog, log: LogRef, card: bool) -> Result<(), SessionError> {
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        if self.view(catalog, &id).is_some_and(|(_, view)| view.space == space && view.tip.is_some()) {
            self.stream(space, id)?.outbound.head_due = Some(HeadDue { with_card: card });
            self.account(&id);
            self.set_due(id);
        }
        Ok(())
    }

    pub(super) fn on_ack(&mut self, catalog: &dyn Catalog, log: LogRef, to: u64) -> Result<(), SessionError> {
        let Some((_, id)) = self.resolve(log)? else { return Ok(()) };
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let outbound = &mut stream.outbound;
        if to > outbound.sent {
            return Err(SessionError::Unexpected);
        }
        let entries_acked = outbound.acked.min(outbound.entries_sent);
        outbound.acked = outbound.acked.max(to);
        let to = outbound.acked.min(outbound.entries_sent);
        if to > entries_acked
            && let Some(log) = catalog.log_by_id(&id)
        {
            self.actions.push_back(Action::Acked { log, seq: to - 1 });
        }
        self.account(&id);
        Ok(())
    }

    /// Builds what is due about a log that is ours to tell.
    pub(super) fn build_outbound(&mut self, catalog: &dyn Catalog, id: LogId) {
        let view = self.view(catalog, &id);
        let ends = view.as_ref().map(|(_, view)| view.held_ends()).unwrap_or_default();
        let tip_and_card = view.and_then(|(_, view)| view.tip.zip(Some(view.card)));
        let Some(space) = self.streams.get(&id).map(|stream| stream.space) else { return };
        if !self.introduce(space, id) {
            return;
        }
        let (Some(log), Some(stream)) = (self.handles.reference(&id), self.streams.get_mut(&id)) else { return };
        let outbound = &mut stream.outbound;
        let (ranges, reason) = (core::mem::take(&mut outbound.gone_due.0), outbound.gone_due.1);
        self.built.extend(ranges.into_iter().map(|(from, to)| Message::Gone { log, from, to, reason }));
        if core::mem::take(&mut outbound.forks_due) {
            self.built.extend(ends.into_iter().map(|(seq, h)| Message::ForkHint { log, seq, h }));
        }
        if let (Some(due), Some((tip, card))) = (outbound.head_due.take(), tip_and_card) {
            outbound.head_to = tip.seq + 1;
            outbound.sent = outbound.sent.max(tip.seq + 1);
            let card = due.with_card.then(|| short_card(&card));
            self.built.push_back(Message::Head { log, card, seq: tip.seq, h: tip.h, signature: tip.signature });
        }
        self.account(&id);
    }
}
