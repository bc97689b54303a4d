//! Sending: one stream for each log, from the peer's position to the end held here.
//!
//! Catching up and live push are the same path. Entries that the peer is known to hold are never sent unasked
//! (`spec/sync.md`, section 3).

use super::{Action, Session, SessionError};
use crate::ids::{LogId, LogNo, SpaceNo};
use crate::log::card::short_card;
use crate::sync::{Catalog, Class, LogView};
use crate::wire::message::{GoneReason, LogRef, Message, Run};

/// Adds a range to those that were requested but are not held, at most `max`: more are merged into one.
pub(super) fn note_range(ranges: &mut Vec<(u64, u64)>, from: u64, to: u64, max: usize) {
    let meets = |range: &mut (u64, u64)| range.0 <= to && from <= range.1;
    let whole = |all: (u64, u64), range: (u64, u64)| (all.0.min(range.0), all.1.max(range.1));
    let mut range = ranges.extract_if(.., meets).fold((from, to), whole);
    if reached!(AbsentRanges, ranges.len() >= max) {
        range = ranges.drain(..).fold(range, whole);
    }
    ranges.push(range);
}

/// State of the peer's copy of a log, and of the transfer to it. Positions are "the seq after".
#[derive(Debug)]
pub(super) struct Outbound {
    /// The seq that the peer needs next, once known.
    pub(super) next: Option<u64>,
    /// Start of the unbroken stream that ends at `next`.
    from: u64,
    /// End of the peer's request. A peer that follows heads alone gets nothing past it.
    asked: Option<u64>,
    /// The highest head that the peer knows.
    head_to: u64,
    sent: u64,
    entries_sent: u64,
    acked: u64,
    state: State,
    head_due: Option<HeadDue>,
    /// Ranges to be refused, with the reason of the last one.
    gone_due: (Vec<(u64, u64)>, GoneReason),
    /// Ranges that the peer requested and that were not held: they are sent if they come.
    absent: Vec<(u64, u64)>,
    /// True if the ends of all held histories must be announced.
    pub(super) forks_due: bool,
}

/// Request of a peer.
pub(super) struct Want {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) again: bool,
}

/// A head to be sent without entries.
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

    /// Notes that the peer holds the head below `to`, and the entries too unless it is requesting them.
    pub(super) fn peer_has(&mut self, to: u64) {
        self.head_to = self.head_to.max(to);
        if self.next.is_none_or(|next| next < to && self.asked.is_none_or(|asked| next >= asked)) {
            self.start(to);
        }
    }

    /// Notes that the peer's log ends at `to`: the peer lacks the entries after it and knows no later head, if none
    /// was sent on this link.
    pub(super) fn peer_ends(&mut self, to: u64) {
        if self.sent > to {
            return;
        }
        if !planted!("head.taken-for-known") {
            self.head_to = self.head_to.min(to);
        }
        if self.next.is_some_and(|next| next > to) {
            self.start(to);
        }
    }

    /// Notes that the head below `to` was announced to the peer, which acknowledges it once it holds it.
    pub(super) fn announced(&mut self, to: u64) {
        self.sent = self.sent.max(to);
    }

    /// Notes that the peer holds the head below `to`, perhaps without entries.
    pub(super) fn peer_has_head(&mut self, to: u64) {
        self.head_to = self.head_to.max(to);
    }

    /// Sends nothing more of the log, and awaits no ack.
    pub(super) fn drop_pending(&mut self) {
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
    /// Reports that a log's durable state grew, whatever the source of the entries; `from` is the first new seq.
    /// To be called on every session of the log's space.
    pub fn handle_grown(&mut self, catalog: &dyn Catalog, log: LogNo, from: u64) {
        self.settle_inbound(catalog, log);
        let view = catalog.log(log);
        if view.is_forked() || self.has_pending_hint(&view.id) {
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

    /// Sends entries that the peer requested before they were held here.
    fn send_belated(&mut self, catalog: &dyn Catalog, log: LogNo, view: &LogView) {
        let Some(stream) = self.streams.get_mut(&view.id).filter(|_| !planted!("body.not-passed-on")) else { return };
        let outbound = &mut stream.outbound;
        let first = |(from, to): (u64, u64)| catalog.first_held(log, from).filter(|first| *first < to);
        let here = outbound.absent.iter().enumerate().filter_map(|(at, range)| Some((first(*range)?, at)));
        let Some((first, at)) = here.min() else { return };
        let (from, to) = outbound.absent.swap_remove(at);
        if from < first {
            note_range(&mut outbound.absent, from, first, self.limits.absent_max);
        }
        // A stream towards the end of an earlier request reaches these entries: it is not begun anew behind others.
        let flows = outbound.next.zip(outbound.asked).is_some_and(|(next, asked)| next < asked && next <= first)
            && !planted!("belated.replaced");
        if !flows {
            outbound.start(first);
        }
        outbound.asked = outbound.asked.max(Some(to));
        self.activate(catalog, view.id, view, view.class);
    }

    /// Answers [`Action::Read`]. A run that starts elsewhere than requested is dropped.
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
            // The peer knows of the gap now; the entries after it continue.
            if let Some(stream) = self.streams.get_mut(&id) {
                note_range(&mut stream.outbound.absent, next, to, self.limits.absent_max);
                stream.outbound.start(to);
            }
        }
        self.end_run(catalog, id, class, None);
        self.pump(catalog);
    }

    /// Refuses a range of entries to the peer, and sends it the head instead.
    fn refuse(&mut self, id: LogId, from: u64, to: u64, reason: GoneReason) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let outbound = &mut stream.outbound;
        note_range(&mut outbound.gone_due.0, from, to, self.limits.absent_max);
        outbound.gone_due.1 = reason;
        outbound.head_due = Some(HeadDue { with_card: from == 0 });
        if reason != GoneReason::Absent {
            outbound.start(to);
        }
        self.account(&id);
        self.set_due(id);
    }

    /// Starts or continues sending a log to a peer that needs it from `next` on, according to the peer's
    /// [`Follow`](crate::sync::Follow).
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

    /// Queues a log for reading if there is something to send, and otherwise announces its end.
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
        // The card at the log's start introduces the log.
        let is_named = if next == 0 { self.open(space, id) } else { self.introduce(space, id) };
        if is_named {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.outbound.state = State::Queued;
            }
            self.active[class.index()].push_back(id);
            self.account(&id);
        }
    }

    /// Answers for entries beyond the last one held here: refuses them to a peer that requested them, and sends the
    /// head to any other peer.
    fn end_stream(&mut self, catalog: &dyn Catalog, id: LogId, view: &LogView, next: u64) {
        if next < view.entries_to {
            return;
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(to) = stream.outbound.asked.filter(|to| next < *to) {
            stream.outbound.asked = Some(next);
            note_range(&mut stream.outbound.absent, next, to, self.limits.absent_max);
            self.refuse(id, next, to, GoneReason::Absent);
        } else if view.entries_to < view.tip_to() {
            self.offer_head(catalog, view.space, id, next == 0);
        }
    }

    /// Emits reads, most urgent first, as far as credit and the number of runs in memory allow.
    pub(super) fn pump(&mut self, catalog: &dyn Catalog) {
        for class in Class::ALL {
            let at = class.index();
            while !reached!(Reads, self.reads[at] >= self.limits.reads_max)
                && self.credit_out[at] > 0
                && let Some(id) = self.active[at].pop_front()
            {
                let Some(stream) = self.streams.get_mut(&id) else { continue };
                let Some((log, from)) = catalog.log_by_id(&id).zip(stream.outbound.next) else {
                    // Its stream was dropped while it waited for its turn.
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
            if !is_stale && reached!(Window, bytes > self.credit_out[at]) {
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

    /// Ends a run that was sent whole or given up, and continues the log if there is more.
    pub(super) fn end_run(&mut self, catalog: &dyn Catalog, id: LogId, class: Class, sent: Option<u64>) {
        self.reads[class.index()] -= 1;
        if sent.is_some() {
            self.handles.opened(&id);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.outbound.state = State::Idle;
        }
        if let Some((_, view)) = self.view(catalog, &id) {
            // The rest of a longer stretch is catching up: it must not delay live entries of others.
            let class =
                if sent.is_some() && class != Class::Control { view.class.max(Class::Recent) } else { view.class };
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
            let absent_max = self.limits.absent_max;
            note_range(&mut self.stream(space, id)?.outbound.absent, from, to, absent_max);
            self.refuse(id, from, to, GoneReason::Absent);
            return Ok(());
        };
        if view.space != space {
            return Err(SessionError::WrongSpace);
        }
        let outbound = &mut self.stream(space, id)?.outbound;
        // Entries that already flow to a follower need not be requested: the request crossed them.
        let flows = follows_all && !again && outbound.next.is_some_and(|next| outbound.from <= from && from <= next);
        if !flows {
            outbound.start(from);
        }
        // A later report of the peer's tip must not end a stream that the peer requested.
        outbound.asked = if flows { outbound.asked.max(Some(to)) } else { Some(to) };
        self.activate(catalog, id, &view, view.class);
        Ok(())
    }

    pub(super) fn on_want_head(&mut self, catalog: &dyn Catalog, log: LogRef, card: bool) -> Result<(), SessionError> {
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        let here = self.view(catalog, &id).filter(|(_, view)| view.space == space && view.tip.is_some());
        if let Some((no, _)) = here.as_ref().filter(|(_, view)| view.is_forked()) {
            self.hint_fork(catalog, *no);
        } else if here.is_some() {
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

    /// Builds the due messages about a log that this side must send.
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
