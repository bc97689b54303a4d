//! Choice of the next bytes for the link. Messages are built here and only here, when there is room for them
//! (`spec/wire.md`, section 3).

use super::Session;
use crate::ids::LogId;
use crate::sync::{Catalog, Class};
use crate::wire::frame::{CHANNELS, FRAME_BYTES_MIN, Outgoing};
use crate::wire::message::{ITEMS_MAX, Message};

/// Chunks that each class may send before the others have their turn; class 0 always goes first.
const TURNS: [u8; CHANNELS] = [0, 8, 4, 2, 1, 1];

/// A message that is partly on the link.
#[derive(Debug)]
pub(super) struct Sending {
    outgoing: Outgoing,
    /// For a run: its log, and the seq after its last entry.
    run: Option<(LogId, u64)>,
}

impl Session {
    /// Appends at most `max` bytes of frames to `out`, the plaintext of one transport message. Returns whether
    /// there was something to send. Call it as often as the link can take more. It may leave actions, even if it
    /// returns `false`.
    pub fn poll_transmit(&mut self, catalog: &dyn Catalog, out: &mut Vec<u8>, max: usize) -> bool {
        let start = out.len();
        let max = max.min(self.limits.frame_bytes_max);
        loop {
            let room = max.saturating_sub(out.len() - start);
            if reached!(FrameBytes, room < FRAME_BYTES_MIN) {
                break;
            }
            self.load(catalog);
            let Some(class) = self.pick() else { break };
            let at = class.index();
            let others_wait = (0..CHANNELS).any(|other| other != at && self.sending[other].is_some());
            let chunk_max = if others_wait { self.limits.chunk_bytes_max } else { max };
            let Some(sending) = &mut self.sending[at] else { break };
            if !sending.outgoing.write(class as u8, out, room, chunk_max) {
                break;
            }
            if sending.outgoing.is_done() {
                let run = sending.run;
                self.sending[at] = None;
                if let Some((id, end)) = run {
                    self.end_run(catalog, id, class, Some(end));
                }
            }
        }
        self.pump(catalog);
        out.len() > start
    }

    /// Builds the next message of each channel that has none under way. Runs wait until all small messages are
    /// sent, since those introduce the handles that runs use.
    fn load(&mut self, catalog: &dyn Catalog) {
        if self.sending[0].is_none()
            && let Some(message) = self.next_control(catalog)
        {
            self.sending[0] = Some(Sending { outgoing: Outgoing::new(message.encode()), run: None });
        }
        if self.sending[0].is_some() {
            return;
        }
        for class in Class::ALL {
            let at = class.index();
            if self.sending[at].is_none()
                && let Some((id, end, message)) = self.next_range(catalog, class)
            {
                self.sending[at] = Some(Sending { outgoing: Outgoing::new(message.encode()), run: Some((id, end)) });
            }
        }
        if self.sending.iter().all(Option::is_none)
            && let Some(message) = self.next_settling(catalog)
        {
            self.sending[0] = Some(Sending { outgoing: Outgoing::new(message.encode()), run: None });
        }
    }

    /// Chooses the channel for the next chunk: 0 first, then weighted round robin.
    fn pick(&mut self) -> Option<Class> {
        if self.sending[0].is_some() {
            return Some(Class::Control);
        }
        let waiting = |session: &Self| {
            Class::ALL
                .into_iter()
                .find(|class| session.sending[class.index()].is_some() && session.turns[class.index()] > 0)
        };
        let class = waiting(self).or_else(|| {
            self.turns = TURNS;
            waiting(self)
        })?;
        self.turns[class.index()] -= 1;
        Some(class)
    }

    fn next_control(&mut self, catalog: &dyn Catalog) -> Option<Message> {
        loop {
            if let Some(message) = self.next_small(catalog) {
                return Some(message);
            }
            if let Some(id) = self.logs_due.pop_front() {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.is_due = false;
                }
                self.build_inbound(catalog, id);
                self.build_outbound(catalog, id);
                continue;
            }
            let walking = self.spaces_due.iter().find(|no| self.spaces.get(no).is_some_and(|s| s.walk.has_work()));
            if let Some(no) = walking.copied() {
                let message = self.next_nodes(catalog, no);
                self.built.extend(message);
                continue;
            }
            let changed = self.spaces_due.iter().find(|no| self.has_changes(**no)).copied();
            if let Some(no) = changed {
                self.build_changes(catalog, no);
                continue;
            }
            return None;
        }
    }

    /// Returns the next message that can be sent as it is. Spaces go before logs, and logs before messages that
    /// name them.
    fn next_small(&mut self, catalog: &dyn Catalog) -> Option<Message> {
        if let Some(message) = self.next_open(catalog) {
            return Some(message);
        }
        if let Some((no, first, ids)) = self.handles.take_due(self.limits.names_max)
            && let Some(space) = self.spaces.get(&no)
        {
            return Some(Message::Logs { space: space.index, first, ids });
        }
        if let Some(message) = self.built.pop_front() {
            if matches!(message, Message::BranchRun { .. }) {
                self.serve_branch(catalog);
            }
            return Some(message);
        }
        if let Some(nonce) = self.pong_due.take() {
            return Some(Message::Pong { nonce });
        }
        if let Some(message) = self.app_due.pop_front() {
            return Some(message);
        }
        self.next_branch_want().or_else(|| self.next_credit()).or_else(|| self.next_ack(catalog))
    }

    fn next_credit(&mut self) -> Option<Message> {
        let class = Class::ALL.into_iter().find(|class| {
            let at = class.index();
            self.credit_due[at] > 0 && self.credit_due[at] >= self.limits.window_bytes / 4
        })?;
        let bytes = core::mem::take(&mut self.credit_due[class.index()]);
        self.credit_in[class.index()] += bytes;
        Some(Message::Credit { class, bytes })
    }

    fn next_ack(&mut self, catalog: &dyn Catalog) -> Option<Message> {
        let mut logs = Vec::new();
        while logs.len() < ITEMS_MAX
            && let Some(id) = self.acks_due.pop_first()
        {
            let Some((_, view)) = self.view(catalog, &id) else { continue };
            if let Some((log, to)) = self.handles.reference(&id).zip(self.durable_to(&view)) {
                logs.push((log, to));
            }
        }
        (!logs.is_empty()).then_some(Message::Ack { logs })
    }

    fn next_settling(&mut self, catalog: &dyn Catalog) -> Option<Message> {
        while let Some(no) = self.spaces_due.pop_first() {
            self.check_settled(catalog, no);
            if self.spaces.get(&no).is_some_and(|space| space.walk.has_work()) {
                self.spaces_due.insert(no);
                return self.next_control(catalog);
            }
            if let Some(message) = self.next_settled(catalog, no) {
                return Some(message);
            }
        }
        None
    }
}
