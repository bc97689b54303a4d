//! Running sessions: carries out their actions, and reports the ledger's progress to them.
//!
//! It connects two machines and never decides what to send: the session does (`spec/sync.md`, section 3).

use super::{Links, Open, State};
use crate::event::{CloseReason, Event};
use crate::ids::{LinkId, LogId, LogNo, SpaceNo};
use crate::ledger::Ledger;
use crate::log::{ChainError, Head};
use crate::logs::{self, Batch, Effect, News, Refusal, Run};
use crate::sync::session::{Action, Taken};
use crate::wire::close::CloseCode;
use crate::wire::message as wire;
use bytes::Bytes;
use std::collections::VecDeque;

impl Links {
    pub(super) fn handle_session_bytes(
        &mut self,
        ledger: &mut Ledger,
        id: LinkId,
        bytes: &[u8],
        _events: &mut VecDeque<Event>,
    ) -> Result<(), CloseReason> {
        let Some(State::Open(open)) = self.links.get_mut(&id).map(|link| &mut link.state) else { return Ok(()) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(RECEIVE_BYTES_MAX));
            rest = later;
            open.transport.receive(now).map_err(|_| CloseReason::Ours(CloseCode::Malformed))?;
            while let Some(plain) =
                open.transport.poll_message().map_err(|_| CloseReason::Ours(CloseCode::Malformed))?
            {
                open.messages_in += 1;
                open.with(ledger, |session, view| session.handle_frame_bytes(view, &plain))
                    .map_err(|error| CloseReason::Ours(error.close_code()))?;
            }
        }
        Ok(())
    }

    /// Carries out the actions of all sessions until none is left. Data that one session received goes into
    /// one commit. Returns the news of the logs; sessions request the wanted histories here.
    pub(in crate::endpoint) fn run(&mut self, ledger: &mut Ledger, events: &mut VecDeque<Event>) -> News {
        let mut news = News::default();
        for id in self.ids() {
            let messages_max = ledger.config.limits.handshake_messages;
            if let Some(State::Open(open)) = self.links.get(&id).map(|link| &link.state)
                && open.messages_in.max(open.messages_out) >= messages_max
            {
                self.end(id, CloseReason::Ours(CloseCode::Renew), events);
            }
            let mut batch = Batch::default();
            while let Some(State::Open(open)) = self.links.get_mut(&id).map(|link| &mut link.state)
                && let Some(action) = open.session.poll_action()
            {
                if let Action::Pong { nonce } = action {
                    self.handle_alive(id, nonce.min(ledger.now.mono_us), events);
                } else if let Err(reason) = open.carry_out(ledger, id, action, &mut batch, &mut news, events) {
                    self.end(id, reason, events);
                }
            }
            ledger.submit(batch);
            for (log, seq, h) in core::mem::take(&mut news.wanted) {
                let space = ledger.logs.registry.log(log).space;
                for open in self.sessions().filter(|open| open.spaces.contains(&space)) {
                    open.with(ledger, |session, view| session.want_history(view, log, (seq, h)));
                }
            }
        }
        news
    }

    /// Reports that a log's durable state moved: every session may have something to send.
    pub(in crate::endpoint) fn handle_grown(&mut self, ledger: &Ledger, log: LogNo, from: u64) {
        let space = ledger.logs.registry.log(log).space;
        for open in self.sessions().filter(|open| open.spaces.contains(&space)) {
            open.with(ledger, |session, view| session.handle_grown(view, log, from));
        }
    }

    /// Reports that a run from a link is durable, new or not.
    pub(in crate::endpoint) fn handle_durable(&mut self, ledger: &Ledger, id: LinkId, log: LogNo) {
        if let Some(State::Open(open)) = self.links.get_mut(&id).map(|link| &mut link.state) {
            open.with(ledger, |session, view| session.handle_durable(view, log));
        }
    }

    /// Reports that a space was made, joined or changed: sessions with a member open it.
    pub(in crate::endpoint) fn handle_space(&mut self, ledger: &Ledger, space: SpaceNo) {
        for open in self.sessions() {
            if ledger.space(space).is_member(&open.user) && !open.spaces.contains(&space) {
                open.spaces.push(space);
                open.with(ledger, |session, view| session.open_space(view, space));
            }
        }
    }

    /// Sends the inviter's answer.
    pub(in crate::endpoint) fn send_accept(&mut self, id: LinkId, accept: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let State::Joining(joining) = &mut link.state {
            joining.answer(accept, &mut link.outbox);
        }
    }

    /// Ends a link that was dialled to join: the join is done.
    pub(in crate::endpoint) fn finish_join(&mut self, id: LinkId, events: &mut VecDeque<Event>) {
        self.end(id, CloseReason::Done, events);
    }

    fn sessions(&mut self) -> impl Iterator<Item = &mut Open> {
        self.links.values_mut().filter_map(|link| match &mut link.state {
            State::Open(open) => Some(&mut **open),
            State::Greeting(_) | State::Joining(_) | State::Closed => None,
        })
    }
}

/// Most bytes of ciphertext that are passed to the transport in one piece.
const RECEIVE_BYTES_MAX: usize = 65_537;

impl Open {
    fn carry_out(
        &mut self,
        ledger: &mut Ledger,
        id: LinkId,
        action: Action,
        batch: &mut Batch,
        news: &mut News,
        events: &mut VecDeque<Event>,
    ) -> Result<(), CloseReason> {
        match action {
            Action::Read { log, from, bytes_max } => self.serve(ledger, id, log, from, bytes_max),
            Action::Received { log, card, run, .. } => {
                let run = received(log, card, run);
                let taken = ledger.accept(&run, batch).map_err(|refusal| CloseReason::Ours(close_code(refusal)))?;
                if let logs::Taken::Yes(no) = news.keep(taken) {
                    batch.effects.push(Effect::Received { link: id, log: no });
                } else if let Some(no) = ledger.logs.registry.by_id(&log) {
                    self.with(ledger, |session, view| session.handle_refused(view, no));
                }
            }
            Action::ReceivedHead { log, card, seq, h, signature, .. } => {
                let taken = ledger
                    .accept_head(log, card.as_ref(), Head { seq, h, signature }, batch)
                    .map_err(|refusal| CloseReason::Ours(close_code(refusal)))?;
                let no = news.keep(taken);
                batch.effects.push(Effect::Received { link: id, log: no });
            }
            Action::Acked { log, seq } => {
                self.acked.insert(log, seq + u64::from(planted!("acked.one-ahead")));
            }
            Action::SaveCursor { .. } if planted!("cursor.unsaved") => {}
            Action::SaveCursor { space, cursor } => ledger.save_cursor(self.device, space, cursor),
            Action::ReadBranch { log, seq, h, from, bytes_max } => {
                let history = ledger.logs.history_with(log, seq, &h);
                self.serve_branch(ledger, id, history, from, bytes_max);
            }
            Action::ReceivedBranch { log, card, run, after } => {
                self.take_branch(ledger, &received(log, card, run), after, batch, news)?;
            }
            Action::Mismatch { space } => events.push_back(Event::Mismatch { space }),
            Action::Gone { .. } | Action::App { .. } | Action::Pong { .. } => {}
            Action::Renew => return Err(CloseReason::Ours(CloseCode::Renew)),
            Action::Closed { code, .. } => return Err(CloseReason::Theirs(code)),
        }
        Ok(())
    }
}

impl Open {
    /// Takes a run of one history of a log.
    fn take_branch(
        &mut self,
        ledger: &mut Ledger,
        run: &Run,
        after: Option<u64>,
        batch: &mut Batch,
        news: &mut News,
    ) -> Result<(), CloseReason> {
        let (start, end) = (run.start, run.end());
        let taken = match ledger.accept_branch(run, after, batch).map(|taken| news.keep(taken)) {
            Ok(logs::Taken::Yes(_)) => Taken::Yes,
            Ok(logs::Taken::Detached) => Taken::Detached,
            Ok(logs::Taken::Later) => Taken::Later,
            Ok(logs::Taken::No) => Taken::No,
            // The card comes with the log's start, which may be in another history.
            Err(Refusal::NoCard) if start > 0 => Taken::Detached,
            Err(refusal) => return Err(CloseReason::Ours(close_code(refusal))),
        };
        self.with(ledger, |session, view| session.handle_taken(view, start, end, taken));
        Ok(())
    }
}

impl Links {
    /// Reports that the histories of a log can be told apart now: sessions ask again for those that waited.
    pub(in crate::endpoint) fn resume_branches(&mut self, ledger: &Ledger, log: LogNo) {
        for open in self.sessions() {
            open.with(ledger, |session, view| session.resume_branches(view, log));
        }
    }
}

/// Names the log of a run.
fn received(log: LogId, card: Option<Bytes>, run: wire::Run) -> Run {
    Run { log, card, start: run.start, h_prev: run.h_prev, entries: run.entries, signature: run.signature }
}

const fn close_code(refusal: Refusal) -> CloseCode {
    match refusal {
        Refusal::Codec(_) => CloseCode::Malformed,
        Refusal::NoCard | Refusal::WrongCard => CloseCode::BadCard,
        Refusal::Chain(ChainError::BadHead) => CloseCode::BadSignature,
        Refusal::Chain(_) | Refusal::Partial => CloseCode::BadChain,
        Refusal::Scattered => CloseCode::TooMuch,
    }
}
