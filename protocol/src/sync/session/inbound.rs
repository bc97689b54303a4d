//! Receiving: logs in which the peer is ahead, requests for them, and their durability.
//!
//! Received data is never acknowledged before it is durable (`spec/sync.md`, section 3).

use super::handles::whole_card;
use super::outbound::note_range;
use super::{Action, Session, SessionError};
use crate::ids::{LogId, LogNo, SpaceNo};
use crate::sync::{Bodies, Catalog, Class, LogView, Tip};
use crate::wire::message::{GoneReason, LogRef, Message, Run};
use bytes::Bytes;
use std::collections::VecDeque;

/// State of a log's transfer from the peer. Positions are "the seq after".
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// The announced head that is still to be reached.
    need: Option<u64>,
    /// True if the peer answered that it can't send entries: the head is enough.
    is_gone: bool,
    /// Ranges of entries for which the peer answered that. If they come after all, they are accepted as requested.
    gone: Vec<(u64, u64)>,
    /// End of the entries that came, durable or not.
    next: u64,
    /// The highest positions that came: of entries, and of heads without entries.
    entries_came: u64,
    head_came: u64,
    /// The last requested range.
    wanted: Option<(u64, u64)>,
    /// The range that the endpoint asked to fetch.
    fetch: Option<(u64, u64)>,
    want_due: bool,
    card_due: bool,
    /// True if a run was dropped, because entries before it are missing or its log seemed to have several
    /// histories.
    dropped: bool,
    /// The last head that came, as the seq after it and its signature.
    last: Option<(u64, [u8; 64])>,
    /// True if received data was dropped unacknowledged, since its log seemed to have several histories.
    dropped_unacked: bool,
    /// End of a history announced by the peer, taken since then.
    taken: Option<u64>,
    /// Runs that were passed to the endpoint and are not yet durable.
    flights: VecDeque<Flight>,
    /// Position of a head without entries that was passed to the endpoint.
    head_flight: Option<u64>,
    /// Number of the log's histories that are being fetched.
    pub(super) branches: usize,
}

/// Bytes that were passed to the endpoint. Their credit goes back when they are durable.
#[derive(Debug)]
struct Flight {
    end: u64,
    class: Class,
    bytes: u64,
}

/// A head without entries, as received.
pub(super) struct Head {
    pub(super) card: Option<Bytes>,
    pub(super) seq: u64,
    pub(super) h: [u8; 32],
    pub(super) signature: [u8; 64],
}

impl Inbound {
    pub(super) fn is_pending(&self) -> bool {
        self.need.is_some() || !self.flights.is_empty() || self.head_flight.is_some() || self.branches > 0
    }

    fn note_head(&mut self, head: (u64, [u8; 64])) {
        if self.last.is_none_or(|last| last.0 <= head.0) {
            self.last = Some(head);
        }
    }

    /// Notes that a history held by the peer was taken up to this position.
    pub(super) fn note_taken(&mut self, to: u64) {
        self.taken = Some(to);
    }

    /// Returns the bytes of each run that is not durable.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = u64> {
        self.flights.iter().map(|flight| flight.bytes)
    }

    /// Drops everything awaited except histories. Returns the credit that goes back.
    pub(super) fn drop_pending(&mut self) -> Vec<(Class, u64)> {
        (self.need, self.wanted, self.fetch, self.head_flight) = (None, None, None, None);
        (self.want_due, self.card_due, self.dropped) = (false, false, true);
        (self.next, self.dropped_unacked) = (0, true);
        self.flights.drain(..).map(|flight| (flight.class, flight.bytes)).collect()
    }

    /// Returns whether the store has everything announced that this replica wants.
    fn is_met(&self, view: &LogView, bodies: Bodies) -> bool {
        self.need.is_none_or(|to| {
            let entries_wanted = bodies != Bodies::HeadOnly && !self.is_gone;
            view.tip_to() >= to && (!entries_wanted || view.entries_to >= to)
        })
    }
}

impl Session {
    /// Reports that data of a log passed to the endpoint is durable, or was dropped as already held.
    pub fn handle_durable(&mut self, catalog: &dyn Catalog, log: LogNo) {
        self.settle_inbound(catalog, log);
        self.pump(catalog);
    }

    /// Requests entries `from <= seq < to` that this replica's policy didn't fetch. Only one range per log is open;
    /// a newer one replaces it.
    pub fn fetch(&mut self, catalog: &dyn Catalog, log: LogNo, from: u64, to: u64) {
        let view = catalog.log(log);
        if from < to
            && self.introduce(view.space, view.id)
            && let Ok(stream) = self.stream(view.space, view.id)
        {
            stream.inbound.fetch = Some((from, to));
            self.set_due(view.id);
        }
    }

    /// Fetches wanted entries of a log of which this replica has only the head, from a peer that holds entries or wrote
    /// the log.
    pub(super) fn fetch_lagging(&mut self, catalog: &dyn Catalog, log: LogNo) {
        let view = catalog.log(log);
        let from = match catalog.bodies(view.space, Some(log)) {
            Bodies::All => catalog.first_lacking(log, 0),
            Bodies::Newest(count) => catalog.first_lacking(log, view.tip_to().saturating_sub(count)),
            Bodies::HeadOnly => view.tip_to(),
        };
        let peer_holds_entries = self.spaces.get(&view.space).is_some_and(|space| space.peer_follows_all());
        if peer_holds_entries || view.is_peers {
            self.fetch(catalog, log, from, view.tip_to());
        }
    }

    /// Schedules an ack for announced data, even if nothing has to move.
    pub(super) fn on_announced(&mut self, space: SpaceNo, id: LogId, seq: u64) -> Result<(), SessionError> {
        let inbound = &mut self.stream(space, id)?.inbound;
        inbound.head_came = inbound.head_came.max(seq + 1);
        self.acks_due.insert(id);
        Ok(())
    }

    /// Handles that the peer's tip of a log is `seq`: the peer or this side may be ahead.
    pub(super) fn on_peer_has(
        &mut self,
        catalog: &dyn Catalog,
        space: SpaceNo,
        id: LogId,
        seq: u64,
    ) -> Result<(), SessionError> {
        let view = self.view(catalog, &id);
        if let Some((no, _)) = view.as_ref().filter(|(_, view)| view.is_forked()) {
            self.hint_fork(catalog, *no);
            return Ok(());
        }
        let tip_to = view.map_or(0, |(_, view)| view.tip_to());
        if tip_to > seq + 1 {
            self.stream(space, id)?.outbound.peer_ends(seq + 1);
            self.offer(catalog, space, id, seq + 1);
            return Ok(());
        }
        self.stream(space, id)?.outbound.peer_has(seq + 1);
        if tip_to <= seq {
            self.need(space, id, seq + 1)?;
        }
        Ok(())
    }

    /// Notes that the peer has the log up to `to`, and requests the missing entries unless they are already coming.
    pub(super) fn need(&mut self, space: SpaceNo, id: LogId, to: u64) -> Result<(), SessionError> {
        let inbound = &mut self.stream(space, id)?.inbound;
        inbound.need = Some(inbound.need.map_or(to, |need| need.max(to)));
        inbound.is_gone = false;
        if inbound.next < to {
            inbound.want_due = true;
            self.set_due(id);
        }
        self.account(&id);
        Ok(())
    }

    pub(super) fn on_range(
        &mut self,
        catalog: &dyn Catalog,
        class: Class,
        log: LogRef,
        (opens, card): (Option<u32>, Option<Bytes>),
        run: Run,
    ) -> Result<(), SessionError> {
        let bytes = run.bytes();
        let credit = &mut self.credit_in[class.index()];
        *credit = credit.checked_sub(bytes).ok_or(SessionError::CreditOverrun)?;
        if card.as_ref().is_some_and(|card| card.len() > self.limits.card_bytes_max)
            || run.entries.iter().any(|entry| entry.len() > self.limits.entry_bytes_max)
        {
            return Err(SessionError::TooMuch("a card or an entry"));
        }
        if let Some((index, card)) = opens.zip(card.as_ref()) {
            self.on_opened(catalog, log, index, card)?;
        }
        let Some((space, id)) = self.resolve(log)? else {
            self.credit_due[class.index()] += bytes;
            return Ok(());
        };
        let (start, end) = (run.start, run.end());
        assert!(!planted!("run.too-long") || end != start + 3, "a planted panic");
        let view = self.view(catalog, &id);
        if let Some((no, _)) = view.as_ref().filter(|(_, view)| view.is_forked()) {
            self.credit_due[class.index()] += bytes;
            self.hint_fork(catalog, *no);
            return Ok(());
        }
        let is_other = view.as_ref().is_some_and(|(_, view)| is_other(view, &run));
        let held = view.map(|(_, view)| view.entries_to);
        let inbound = &mut self.stream(space, id)?.inbound;
        inbound.note_head((end, run.signature));
        let is_asked = inbound.wanted.is_some_and(|(from, to)| from <= start && start < to);
        // A belated run may begin before the gap that it fills.
        let begins = |from: u64| from <= start || !planted!("gap.inside-run");
        let fills = inbound.gone.iter().any(|(from, to)| *from < end && start < *to && begins(*from));
        let is_wanted = is_asked || (fills && !planted!("gap.not-filled"));
        let came = held.unwrap_or(0).max(inbound.next);
        let is_known = !is_other && (held.is_some_and(|held| end <= held) || end <= inbound.next);
        let is_rootless = held.is_none() && came == 0 && start > 0 && inbound.head_flight.is_none();
        if is_rootless || (!is_wanted && (is_known || start > came)) {
            // A dropped run is acknowledged too, once its entries are held, whoever sends them.
            inbound.entries_came = inbound.entries_came.max(end);
            if !is_known {
                // The request that was open is void. If it was for older entries, it is repeated, with what waits.
                let older = inbound.wanted.take().filter(|(from, _)| *from < came);
                let both = inbound.fetch.into_iter().chain(older);
                inbound.fetch = both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
                inbound.dropped = true;
            }
            self.credit_due[class.index()] += if planted!("credit.kept") { 0 } else { bytes };
            if !is_known {
                return self.need(space, id, end);
            }
            self.stream(space, id)?.outbound.peer_has(end);
            self.acks_due.insert(id);
            return Ok(());
        }
        inbound.entries_came = inbound.entries_came.max(end);
        inbound.next = inbound.next.max(end);
        inbound.flights.push_back(Flight { end, class, bytes });
        // A run that begins behind the next wanted entry was pushed before the peer saw the request.
        if let Some((next, to)) = inbound.wanted.filter(|(next, _)| start <= *next) {
            inbound.wanted = (end < to).then_some((next.max(end), to));
        }
        self.stream(space, id)?.outbound.peer_has(end);
        self.account(&id);
        let card = whole_card(catalog, space, card);
        self.actions.push_back(Action::Received { space, log: id, card, run });
        Ok(())
    }

    pub(super) fn on_head(&mut self, catalog: &dyn Catalog, log: LogRef, head: Head) -> Result<(), SessionError> {
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        if head.card.as_ref().is_some_and(|card| card.len() > self.limits.card_bytes_max) {
            return Err(SessionError::TooMuch("a card or an entry"));
        }
        let to = head.seq + 1;
        let view = self.view(catalog, &id);
        let contradicts = |no: LogNo| catalog.hash_after(no, head.seq).is_some_and(|h| h != head.h);
        if let Some((no, view)) = view.as_ref().filter(|(no, view)| view.is_forked() || contradicts(*no)) {
            self.hint_fork(catalog, *no);
            if view.held_ends().is_empty() {
                self.want_history(catalog, *no, (head.seq, head.h));
            }
            return Ok(());
        }
        let stream = self.stream(space, id)?;
        stream.outbound.peer_has_head(to);
        stream.inbound.head_came = stream.inbound.head_came.max(to);
        stream.inbound.note_head((to, head.signature));
        if let Some((log, view)) = &view
            && view.tip_to() >= to
        {
            self.acks_due.insert(id);
            self.settle_inbound(catalog, *log);
            return Ok(());
        }
        if stream.inbound.head_flight.is_some_and(|flight| flight >= to) && !planted!("head.asked-again") {
            // A further request before it is durable would bring it again and again.
            return Ok(());
        }
        let is_gone = stream.inbound.is_gone;
        if view.is_none() && head.card.is_none() && stream.inbound.head_flight.is_none() {
            stream.inbound.card_due = true;
            return self.need(space, id, to);
        }
        stream.inbound.head_flight = Some(stream.inbound.head_flight.map_or(to, |flight| flight.max(to)));
        self.need(space, id, to)?;
        self.stream(space, id)?.inbound.is_gone = is_gone;
        let Head { card, seq, h, signature } = head;
        let card = whole_card(catalog, space, card);
        self.actions.push_back(Action::ReceivedHead { space, log: id, card, seq, h, signature });
        Ok(())
    }

    pub(super) fn on_gone(
        &mut self,
        catalog: &dyn Catalog,
        log: LogRef,
        from: u64,
        to: u64,
        reason: GoneReason,
    ) -> Result<(), SessionError> {
        let Some((space, id)) = self.resolve(log)? else { return Ok(()) };
        if reason == GoneReason::History {
            self.on_branch_gone(catalog, id);
            return Ok(());
        }
        let absent_max = self.limits.absent_max;
        let inbound = &mut self.stream(space, id)?.inbound;
        inbound.is_gone = true;
        note_range(&mut inbound.gone, from, to, absent_max);
        // An answer that begins behind the next wanted entry belongs to an earlier request: the two have crossed.
        if let Some((next, end)) = inbound.wanted.filter(|(next, _)| from <= *next) {
            inbound.wanted = (to < end).then_some((next.max(to), end));
        }
        self.actions.push_back(Action::Gone { log: id, from, to, reason });
        if let Some(log) = catalog.log_by_id(&id) {
            self.settle_inbound(catalog, log);
        }
        Ok(())
    }

    /// Acknowledges data that became durable, returns its credit and requests the entries that are still missing.
    pub(super) fn settle_inbound(&mut self, catalog: &dyn Catalog, log: LogNo) {
        let view = catalog.log(log);
        if view.is_forked() {
            self.drop_stream(&view.id);
            self.check_settled(catalog, view.space);
            return;
        }
        let Some(stream) = self.streams.get_mut(&view.id) else { return };
        let bodies = catalog.bodies(view.space, Some(log));
        let inbound = &mut stream.inbound;
        let mut is_news = inbound.head_flight.is_some_and(|to| to <= view.tip_to());
        if is_news {
            inbound.head_flight = None;
        }
        while let Some(flight) = inbound.flights.pop_front_if(|flight| flight.end <= view.entries_to) {
            self.credit_due[flight.class.index()] += flight.bytes << u32::from(planted!("credit.twice"));
            is_news = true;
        }
        // The log seemed to have two histories and has only the peer's: its dropped data is held and must be
        // acknowledged.
        let is_last = |tip: &Tip| inbound.last == Some((tip.seq + 1, tip.signature)) && tip.seq < view.entries_to;
        if inbound.dropped_unacked && view.tip.as_ref().is_some_and(is_last) {
            (inbound.dropped_unacked, is_news) = (false, true);
        }
        is_news |= inbound.taken.take_if(|to| *to <= view.entries_to).is_some();
        if inbound.is_met(&view, bodies) {
            is_news |= inbound.need.take().is_some();
        } else if inbound.flights.is_empty() && inbound.head_flight.is_none() && !inbound.is_gone && is_news {
            inbound.next = inbound.next.min(view.entries_to);
            inbound.want_due = true;
        }
        if inbound.wanted.is_none() && (inbound.want_due || inbound.fetch.is_some()) {
            self.set_due(view.id);
        }
        if is_news {
            self.acks_due.insert(view.id);
        }
        self.account(&view.id);
        self.check_settled(catalog, view.space);
    }

    /// Returns the position that may be acknowledged to the peer, among the data that it sent.
    pub(super) fn durable_to(&self, view: &LogView) -> Option<u64> {
        let inbound = &self.streams.get(&view.id).filter(|_| !view.is_forked())?.inbound;
        let heads = view.tip_to().min(inbound.head_came);
        let entries = view.entries_to.min(inbound.entries_came);
        let to = if inbound.head_came > inbound.entries_came { heads } else { entries };
        (to > 0).then_some(to)
    }

    /// Builds the request for the missing entries of a log.
    pub(super) fn build_inbound(&mut self, catalog: &dyn Catalog, id: LogId) {
        let view = self.view(catalog, &id);
        let (Some(log), Some(stream)) = (self.handles.reference(&id), self.streams.get_mut(&id)) else { return };
        let bodies = catalog.bodies(stream.space, view.as_ref().map(|(no, _)| *no));
        let inbound = &mut stream.inbound;
        // While an earlier request is open, the next one waits for its end.
        if inbound.wanted.is_some() {
            return;
        }
        if let Some((from, to)) = inbound.fetch.take() {
            inbound.wanted = Some((from, to));
            self.built.push_back(Message::Want { log, from, to, again: true });
            return;
        }
        let Some(need) = inbound.need.filter(|_| core::mem::take(&mut inbound.want_due)) else { return };
        let card = core::mem::take(&mut inbound.card_due) || view.is_none();
        let held = view.as_ref().map_or(0, |(_, view)| view.entries_to);
        let from = match bodies {
            Bodies::All => held,
            Bodies::Newest(count) if view.is_some() => held.max(need.saturating_sub(count)),
            Bodies::Newest(_) | Bodies::HeadOnly => need,
        };
        let from = from.max(inbound.next);
        if from < need {
            inbound.wanted = Some((from, need));
            let again = core::mem::take(&mut inbound.dropped);
            self.built.push_back(Message::Want { log, from, to: need, again });
        } else if inbound.next < need && inbound.head_flight.is_none() {
            self.built.push_back(Message::WantHead { log, card });
        }
    }
}

/// Returns whether a run ends at the tip's seq but at another head, as if two copies of a store wrote the same
/// entry. By its numbers it would seem to be held.
fn is_other(view: &LogView, run: &Run) -> bool {
    view.tip.as_ref().is_some_and(|tip| tip.seq + 1 == run.end() && tip.signature != run.signature)
}
