//! Links: one state machine for each connection, from the first byte to the last.
//!
//! A link shakes hands, is checked, and then carries a sync session, or a join. It verifies the identity of the peer
//! and never the content of entries, which the ledger verifies (`spec/handshake.md`, `spec/sync.md`).

mod admission;
mod run;
mod serve;
mod twins;

use super::stats::LinkInfo;
use crate::connection::{Handshake, Transport};
use crate::entropy::Entropy;
use crate::event::{CloseReason, Event, Process};
use crate::ids::{DeviceId, LinkId, LogNo, SpaceNo, UserId};
use crate::ledger::{Ledger, View};
use crate::logs::News;
use crate::sealed::Invite;
use crate::sync::Class;
use crate::sync::session::Credit;
use crate::sync::session::Session;
use crate::time::{Deadline, Reason};
use crate::wire::close::CloseCode;
use crate::wire::frame::{Outgoing, PLAINTEXT_MAX};
use crate::wire::hello::Hello;
use crate::wire::message::Message;
use serve::Serving;
use std::collections::{BTreeMap, VecDeque};
use twins::Meetings;

/// Purpose of a dialled connection.
#[derive(Debug)]
pub enum Dial {
    /// To sync with a device of a member.
    Sync,
    /// To join a space. The link ends when the answer is stored; the driver then dials again to sync.
    Join(Box<Invite>),
}

/// Number of keep-alives after which a link is dead that receives bytes but no complete message. Something on
/// the way removed or added bytes, so a wrong length may ask for any number more.
const MESSAGE_KEEP_ALIVES_MAX: u64 = 4;

/// Most processes of one device that have links at one time: running copies of its store, and processes that
/// ended without notice.
const PROCESSES_MAX: usize = 4;

/// One connection.
#[derive(Debug)]
struct Link {
    state: State,
    /// Process at the other end, once checked.
    peer: Option<Process>,
    /// Sealed bytes that leave before anything else.
    outbox: Vec<u8>,
    /// Time at which the connection was made.
    opened_us: u64,
    /// Time of the last bytes received.
    heard_us: u64,
    /// Time of the last complete message.
    whole_us: u64,
    probed: bool,
    /// Time since which nothing came on this link while another process of the peer's device has a link: the
    /// device may have been restarted.
    doubted_us: Option<u64>,
    bytes_in: u64,
    bytes_out: u64,
    handshake_bytes: u64,
    dialled: bool,
    /// True once the driver was told that the link ends.
    told: bool,
}

#[derive(Debug)]
enum State {
    Greeting(Box<Greeting>),
    /// Joining, or being asked to admit: one answer travels, then the link ends.
    Joining(Box<Joining>),
    Open(Box<Open>),
    /// The driver was told. Nothing is read any more, and only the outbox is sent.
    Closed,
}

#[derive(Debug)]
struct Greeting {
    handshake: Handshake,
    dial: Option<Dial>,
    psks: Vec<[u8; 32]>,
    hello: Hello,
    deadline_us: u64,
    /// True once the peer was checked. An initiator tells its own identity only then.
    checked: bool,
}

#[derive(Debug)]
struct Joining {
    transport: Transport,
    /// The space to be joined; `None` at the inviter.
    space: Option<crate::ids::SpaceId>,
    deadline_us: u64,
}

#[derive(Debug)]
struct Open {
    transport: Transport,
    session: Session,
    device: DeviceId,
    user: UserId,
    /// Time at which the peer was authenticated.
    up_us: u64,
    /// Time of the last ping that the peer answered.
    alive_us: u64,
    spaces: Vec<SpaceNo>,
    serving: BTreeMap<(LogNo, bool), Serving>,
    acked: BTreeMap<LogNo, u64>,
    messages_in: u64,
    messages_out: u64,
}

impl Open {
    /// Calls the session with its view of the ledger.
    fn with<R>(&mut self, ledger: &Ledger, work: impl FnOnce(&mut Session, &View<'_>) -> R) -> R {
        let view = View { ledger, peer: self.device, spaces: &self.spaces };
        work(&mut self.session, &view)
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    next: u64,
    entropy: Entropy,
    meetings: Meetings,
}

impl Links {
    pub(super) fn new(ledger: &Ledger) -> Self {
        Self { links: BTreeMap::new(), next: 0, entropy: ledger.entropy.child("links"), meetings: Meetings::default() }
    }

    pub(super) fn open(&mut self, ledger: &mut Ledger, dial: Option<Dial>, events: &mut VecDeque<Event>) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        let half_open = self.links.values().filter(|link| matches!(link.state, State::Greeting(_))).count();
        let dialled = dial.is_some();
        let entropy = self.entropy.child(&format!("link {}", id.0));
        let state = State::Greeting(Box::new(Greeting::new(ledger, dial, entropy)));
        let heard_us = ledger.now.mono_us;
        let link = Link {
            state,
            peer: None,
            outbox: Vec::new(),
            opened_us: heard_us,
            heard_us,
            whole_us: heard_us,
            probed: false,
            doubted_us: None,
            bytes_in: 0,
            bytes_out: 0,
            handshake_bytes: 0,
            dialled,
            told: false,
        };
        self.links.insert(id, link);
        if half_open >= ledger.config.handshakes_max {
            self.end(id, CloseReason::Ours(CloseCode::Overloaded), events);
        }
        id
    }

    pub(super) fn ids(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    pub(super) fn lost(&mut self, id: LinkId, events: &mut VecDeque<Event>) {
        let Some(link) = self.links.remove(&id) else { return };
        if !link.told {
            events.push_back(Event::Close { link: id, device: link.device(), reason: CloseReason::Lost });
        }
    }

    pub(super) fn handle_bytes(
        &mut self,
        ledger: &mut Ledger,
        id: LinkId,
        bytes: &[u8],
        events: &mut VecDeque<Event>,
    ) -> News {
        let Some(link) = self.links.get_mut(&id) else { return News::default() };
        let now_us = ledger.now.mono_us;
        link.heard_us = now_us;
        link.probed = false;
        link.doubted_us = None;
        let messages_in = link.messages_in();
        link.bytes_in += bytes.len() as u64;
        let outcome = match &mut link.state {
            State::Greeting(_) => self.handle_handshake_bytes(ledger, id, bytes, events),
            State::Joining(joining) => joining.handle_bytes(ledger, id, bytes),
            State::Open(_) => self.handle_session_bytes(ledger, id, bytes, events),
            State::Closed => Ok(()),
        };
        if let Some(link) = self.links.get_mut(&id)
            && (messages_in.is_none() || link.messages_in() != messages_in)
        {
            link.whole_us = now_us;
        }
        if let Err(reason) = outcome {
            self.end(id, reason, events);
        }
        self.run(ledger, events)
    }

    /// Ends a link: sends the code to the peer if there is a session, and tells the driver in any case.
    fn end(&mut self, id: LinkId, reason: CloseReason, events: &mut VecDeque<Event>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let device = link.device();
        if let (CloseReason::Ours(code), State::Open(open)) = (&reason, &mut link.state) {
            let mut plain = Vec::new();
            let message = Message::Close { code: *code as u16, detail: 0 }.encode();
            Outgoing::new(message).write(Class::Control as u8, &mut plain, PLAINTEXT_MAX, PLAINTEXT_MAX);
            // After bytes that did not decrypt, the transport seals nothing any more: the peer gets no
            // reason.
            let _ = open.transport.seal(&plain, &mut link.outbox);
        }
        link.state = State::Closed;
        if !core::mem::replace(&mut link.told, true) {
            events.push_back(Event::Close { link: id, device, reason });
        }
    }

    pub(super) fn close(&mut self, id: LinkId, code: CloseCode, events: &mut VecDeque<Event>) {
        self.end(id, CloseReason::Ours(code), events);
    }

    pub(super) fn close_all(&mut self, code: CloseCode, events: &mut VecDeque<Event>) {
        for id in self.ids() {
            self.end(id, CloseReason::Ours(code), events);
        }
    }

    pub(super) fn poll_transmit(
        &mut self,
        ledger: &mut Ledger,
        id: LinkId,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> (bool, News) {
        let mut news = News::default();
        loop {
            let (written, asks) = self.transmit(ledger, id, out, events);
            if written || asks {
                news.keep(((), self.run(ledger, events)));
            }
            // The requested data may be here already, and produce something to send.
            if written || !asks {
                return (written, news);
            }
        }
    }

    /// Appends bytes to `out`. Returns whether there were any, and whether the session has actions pending.
    fn transmit(
        &mut self,
        ledger: &Ledger,
        id: LinkId,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> (bool, bool) {
        let Some(link) = self.links.get_mut(&id) else { return (false, false) };
        let (start, mut asks) = (out.len(), false);
        out.append(&mut link.outbox);
        match &mut link.state {
            State::Greeting(greeting) if greeting.may_speak() => {
                greeting.handshake.poll_transmit(out);
            }
            State::Open(open) if out.len() == start => {
                let mut plain = Vec::new();
                let view = View { ledger, peer: open.device, spaces: &open.spaces };
                if open.session.poll_transmit(&view, &mut plain, PLAINTEXT_MAX) {
                    if open.transport.seal(&plain, out).is_err() {
                        self.end(id, CloseReason::Ours(CloseCode::Internal), events);
                        return (false, false);
                    }
                    open.messages_out += 1;
                }
                asks = open.session.has_actions();
            }
            State::Greeting(_) | State::Joining(_) | State::Open(_) | State::Closed => {}
        }
        let written = (out.len() - start) as u64;
        if let Some(link) = self.links.get_mut(&id) {
            link.bytes_out += written;
            if matches!(link.state, State::Greeting(_)) {
                link.handshake_bytes += written;
            }
        }
        (written > 0, asks)
    }

    /// Returns the time at which the next link times out or must be probed.
    pub(super) fn deadline(&self, ledger: &Ledger) -> Option<Deadline> {
        self.links
            .values()
            .filter_map(|link| match &link.state {
                State::Greeting(greeting) => {
                    Some(Deadline { at_us: greeting.deadline_us, reason: Reason::HandshakeTimeout })
                }
                State::Joining(joining) => {
                    Some(Deadline { at_us: joining.deadline_us, reason: Reason::HandshakeTimeout })
                }
                State::Open(_) => {
                    let patience = ledger.config.keep_alive_us * if link.probed { 2 } else { 1 };
                    let whole = link.whole_us.saturating_add(ledger.config.keep_alive_us * MESSAGE_KEEP_ALIVES_MAX);
                    let at_us = link.heard_us.saturating_add(patience).min(whole).min(link.given_up_us(ledger));
                    Some(Deadline { at_us, reason: Reason::KeepAlive })
                }
                State::Closed => None,
            })
            .min()
    }

    pub(super) fn handle_timeout(&mut self, ledger: &Ledger, events: &mut VecDeque<Event>) {
        let now_us = ledger.now.mono_us;
        for id in self.ids() {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let quiet_us = now_us.saturating_sub(link.heard_us);
            let given_up_us = link.given_up_us(ledger);
            if quiet_us >= ledger.config.keep_alive_us && !planted!("keep-alive.unsaid") {
                link.probe(now_us);
            }
            let over = match &link.state {
                State::Greeting(greeting) => greeting.deadline_us <= now_us,
                State::Joining(joining) => joining.deadline_us <= now_us,
                State::Open(_) => {
                    let amid_us = now_us.saturating_sub(link.whole_us);
                    quiet_us >= ledger.config.keep_alive_us * 2
                        || given_up_us <= now_us
                        || amid_us >= ledger.config.keep_alive_us * MESSAGE_KEEP_ALIVES_MAX
                }
                State::Closed => false,
            };
            if over {
                self.end(id, CloseReason::Timeout, events);
            }
        }
    }

    pub(super) fn one_info(&self, id: LinkId) -> Option<LinkInfo> {
        self.links.get(&id).map(|link| link.info(id))
    }

    pub(super) fn info(&self) -> Vec<LinkInfo> {
        self.links.iter().map(|(id, link)| link.info(*id)).collect()
    }
}

impl Link {
    /// Returns the number of messages received, once there is a session.
    fn messages_in(&self) -> Option<u64> {
        if let State::Open(open) = &self.state { Some(open.messages_in) } else { None }
    }

    /// Returns the time at which a doubted link is taken for dead: a sign of life takes no longer than a
    /// handshake may.
    fn given_up_us(&self, ledger: &Ledger) -> u64 {
        self.doubted_us.map_or(u64::MAX, |since_us| since_us.saturating_add(ledger.config.handshake_us_max))
    }

    /// Asks for a sign of life.
    fn probe(&mut self, now_us: u64) {
        if let (State::Open(open), false) = (&mut self.state, self.probed) {
            self.probed = open.session.ping(now_us).is_ok();
        }
    }

    fn device(&self) -> Option<DeviceId> {
        self.peer.map(|peer| peer.device)
    }

    fn info(&self, id: LinkId) -> LinkInfo {
        let open = if let State::Open(open) = &self.state { Some(&**open) } else { None };
        LinkInfo {
            link: id,
            peer: self.peer,
            dialled: self.dialled,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            handshake_bytes: self.handshake_bytes,
            messages_in: open.map_or(0, |open| open.messages_in),
            messages_out: open.map_or(0, |open| open.messages_out),
            walks: open.map_or(0, |open| open.session.walks()),
            credit: open.map_or_else(Credit::default, |open| open.session.credit()),
            queued: open.map_or(0, |open| open.session.queued() + open.serving.len()),
            spaces: open.map_or_else(BTreeMap::new, |open| open.session.shared().collect()),
            acked: open.map_or_else(BTreeMap::new, |open| open.acked.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
