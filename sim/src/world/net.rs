//! The network: connections are ordered byte streams; links dial them repeatedly.
//!
//! Loss, duplication and reordering do not exist inside a stream. They act as on a real one: by delay, by a reset,
//! or by a middlebox that changes bytes.

use super::node::Alive;
use super::{Phase, What, World};
use crate::coverage::{Mark, Point};
use crate::plan::{Link, Tampering, Way};
use crate::random::purpose;
use crate::trace::{Cause, Detail};
use cosmicsync_protocol::endpoint::{Dial, LinkId};
use std::collections::VecDeque;

/// The first pause after a failed dial, and the longest, as in the node, in microseconds.
const BACKOFF_US: (u64, u64) = (250_000, 30_000_000);
/// Duration from which on a connection was a success, in microseconds.
const GOOD_US: u64 = 2_000_000;
/// Time after which an unanswered dial is given up, in microseconds.
const DIAL_US: u64 = 10_000_000;

/// State of a plan's link, and its present quality.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) quality: Link,
    pub(crate) wanted: bool,
    /// Number of dials; an event of an earlier one is void.
    pub(crate) attempt: u64,
    failures: u32,
    up_since_us: Option<u64>,
    pub(crate) conn: Option<u64>,
    dialling: bool,
    /// Times before which nothing passes: from the dialler, to the dialler.
    pub(crate) blocked_until: [u64; 2],
    pub(crate) refused_until: u64,
    pub(crate) unanswered_until: u64,
    pub(crate) split: usize,
    pub(crate) gather_us: u64,
    /// Number of further bytes before the connection is reset.
    pub(crate) reset_after: Option<u64>,
    pub(crate) tamper: [Option<(u64, Tampering)>; 2],
}

impl Route {
    pub(crate) fn new(link: &Link) -> Self {
        Self {
            quality: link.clone(),
            wanted: !link.idle,
            attempt: 0,
            failures: 0,
            up_since_us: None,
            conn: None,
            dialling: false,
            blocked_until: [0; 2],
            refused_until: 0,
            unanswered_until: 0,
            split: 0,
            gather_us: 0,
            reset_after: None,
            tamper: [None; 2],
        }
    }

    /// Ends all faults of the route.
    pub(crate) fn heal(&mut self, link: &Link) {
        let healed = Self::new(link);
        *self = Self {
            wanted: self.wanted,
            attempt: self.attempt,
            up_since_us: self.up_since_us,
            conn: self.conn,
            dialling: self.dialling,
            ..healed
        };
    }

    pub(crate) const fn is_dialling(&self) -> bool {
        self.dialling
    }

    pub(crate) fn block(&mut self, way: Way, until_us: u64) {
        for at in match way {
            Way::Both => 0..2,
            Way::Forth => 0..1,
            Way::Back => 1..2,
        } {
            self.blocked_until[at] = self.blocked_until[at].max(until_us);
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) peer: usize,
    /// The core's number for the connection; `None` once this end is over.
    pub(crate) link: Option<LinkId>,
}

/// Bytes on their way.
#[derive(Debug)]
struct Chunk {
    arrives_us: u64,
    bytes: Vec<u8>,
    cause: Cause,
}

#[derive(Debug, Default)]
struct Pipe {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    last_us: u64,
    sent: u64,
    /// True if the sender found no room and was not told yet that there is some.
    full: bool,
    /// True if the sender is about to be told.
    freed: bool,
    /// True if the sender ended the stream in good order: the receiver is told after the last byte.
    ended: bool,
    tampered: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) route: usize,
    /// The dialler, and the other end.
    pub(crate) ends: [End; 2],
    pipes: [Pipe; 2],
    /// True after a reset: nothing travels on it any more, though its ends may not know yet.
    pub(super) broken: bool,
}

impl Conn {
    /// Returns whether no byte is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.pipes.iter().all(|pipe| pipe.bytes == 0)
    }

    fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.link.is_none())
    }
}

impl World<'_> {
    /// Returns the number of bytes that each link of a peer takes.
    pub(super) fn rooms(&self, alive: &Alive) -> Vec<(LinkId, usize)> {
        let room = |conn: u64, end: usize| {
            let Some(conn) = self.conns.get(&conn) else { return 0 };
            let buffer = usize::try_from(self.routes[conn.route].quality.buffer.get()).unwrap_or(usize::MAX);
            buffer.saturating_sub(conn.pipes[end].bytes)
        };
        alive.links.iter().map(|(link, (conn, end))| (*link, room(*conn, *end))).collect()
    }

    /// Returns whether a link found no room and its sender was not told yet that there is some.
    pub(super) fn awaits_room(&self, conn: u64, end: usize) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.pipes[end].full)
    }

    /// Notes that a link found no room; its sender is told when there is some again.
    pub(super) fn is_full(&mut self, conn: u64, end: usize) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.pipes[end].full = true;
        }
        self.mark(Mark::Full);
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, conn: u64, end: usize, bytes: Vec<u8>, cause: Cause) {
        self.stats.bytes += bytes.len() as u64;
        let Some(state) = self.conns.get_mut(&conn).filter(|state| !state.broken) else { return };
        let route = &self.routes[state.route];
        let pipe = &mut state.pipes[end];
        let quality = &route.quality;
        let key = [purpose::JITTER, state.route as u64, end as u64, conn, pipe.sent];
        let jitter = self.keyed.below(&key, quality.jitter_us + 1);
        pipe.sent += 1;
        pipe.bytes += bytes.len();
        // The line is busy with earlier bytes; the rest of the way all bytes travel at once. What takes more than a
        // second on the line comes in pieces.
        let mut line_free = pipe.last_us.saturating_sub(quality.latency_us).max(self.now_us);
        let a_second = usize::try_from(quality.bandwidth).unwrap_or(usize::MAX);
        let mut arrivals = Vec::new();
        for piece in bytes.chunks(if a_second == 0 { usize::MAX } else { a_second }) {
            line_free += (piece.len() as u64 * 1_000_000).checked_div(quality.bandwidth).unwrap_or(0);
            let mut arrives_us = (line_free + quality.latency_us + jitter).max(pipe.last_us);
            if let Some(slots) = arrives_us.checked_div(route.gather_us) {
                arrives_us = (slots + 1) * route.gather_us;
            }
            pipe.last_us = arrives_us;
            pipe.chunks.push_back(Chunk { arrives_us, bytes: piece.to_vec(), cause });
            arrivals.push(arrives_us);
        }
        let receiver = state.ends[1 - end].peer;
        for arrives_us in arrivals {
            self.schedule(arrives_us, receiver, What::Deliver { conn, way: end });
        }
    }

    /// Ends a connection from one end, in good order: the other end is told after the last byte.
    pub(super) fn hang_up(&mut self, conn: u64, end: usize) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        state.ends[end].link = None;
        state.pipes[end].ended = true;
        // Bytes on their way to this end are lost.
        state.pipes[1 - end].chunks.clear();
        let (at_us, receiver) = (state.pipes[end].last_us, state.ends[1 - end].peer);
        self.schedule(at_us, receiver, What::Deliver { conn, way: end });
        self.settle_conn(conn);
    }

    /// Removes the peer of an end, which is gone without notice.
    pub(super) fn vanish(&mut self, conn: u64, end: usize) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.ends[end].link = None;
            state.pipes[1 - end].chunks.clear();
        }
        self.settle_conn(conn);
    }

    /// Breaks a connection: bytes in flight are lost, and both ends are told after a while.
    pub(super) fn reset(&mut self, conn: u64) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        if state.pipes.iter().any(|pipe| !pipe.chunks.is_empty()) {
            self.marks.entry(Mark::ResetMidFrame).and_modify(|count| *count += 1).or_insert(1);
        }
        state.broken = true;
        let mut told = Vec::new();
        for end in 0..2 {
            state.pipes[end].chunks.clear();
            let key = [purpose::JITTER, u64::MAX, conn, end as u64];
            let after_us = self.keyed.below(&key, self.routes[state.route].quality.latency_us + 1);
            told.push((self.now_us + after_us, state.ends[end].peer, end));
        }
        for (at_us, peer, end) in told {
            self.schedule(at_us, peer, What::Lost { conn, end });
        }
    }

    /// Returns the time before which nothing passes in a direction.
    fn blocked_until(&self, route: usize, way: usize) -> u64 {
        self.routes[route].blocked_until[way]
    }

    pub(super) fn deliver(&mut self, conn: u64, way: usize) {
        let Some(state) = self.conns.get(&conn) else { return };
        let (route, receiver) = (state.route, state.ends[1 - way].peer);
        let until_us = self.blocked_until(route, way).max(self.nodes[receiver].paused_until);
        if until_us > self.now_us {
            self.mark(Mark::Stalled);
            self.schedule(until_us, receiver, What::Deliver { conn, way });
            return;
        }
        let Some((bytes, cause)) = self.take(conn, way) else {
            self.deliver_end(conn, way);
            return;
        };
        let bytes = self.tamper(conn, way, bytes);
        let (bytes, resets) = self.cut_short(route, bytes);
        self.deliver_bytes(conn, 1 - way, &bytes, cause);
        if resets {
            self.reset(conn);
        }
        if let Some(state) = self.conns.get_mut(&conn) {
            let pipe = &mut state.pipes[way];
            let tells = pipe.full && !core::mem::replace(&mut pipe.freed, true);
            let sender = state.ends[way].peer;
            if tells {
                self.schedule(self.now_us, sender, What::Room { conn, end: way });
            }
        }
        self.deliver_end(conn, way);
    }

    /// Takes bytes that have arrived: one piece as it was sent, or several at once.
    fn take(&mut self, conn: u64, way: usize) -> Option<(Vec<u8>, Cause)> {
        let (keyed, now_us) = (self.keyed, self.now_us);
        let pipe = &mut self.conns.get_mut(&conn)?.pipes[way];
        let first = pipe.chunks.pop_front_if(|chunk| chunk.arrives_us <= now_us)?;
        let (mut bytes, mut cause) = (first.bytes, first.cause);
        let key = [purpose::COALESCE, conn, way as u64, pipe.sent, pipe.chunks.len() as u64];
        if keyed.once_in(&key, 2) {
            while let Some(next) = pipe.chunks.pop_front_if(|chunk| chunk.arrives_us <= now_us) {
                bytes.extend(next.bytes);
                cause = next.cause;
            }
        }
        pipe.bytes -= bytes.len();
        Some((bytes, cause))
    }

    /// Tells the receiver of the end, if the sender has ended and everything is delivered.
    fn deliver_end(&mut self, conn: u64, way: usize) {
        let Some(state) = self.conns.get(&conn) else { return };
        let pipe = &state.pipes[way];
        if pipe.ended && pipe.chunks.is_empty() {
            self.lose(conn, 1 - way);
        }
    }

    /// Cuts a delivery where a reset is due.
    fn cut_short(&mut self, route: usize, mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
        let Some(left) = self.routes[route].reset_after else { return (bytes, false) };
        if (bytes.len() as u64) < left {
            self.routes[route].reset_after = Some(left - bytes.len() as u64);
            return (bytes, false);
        }
        self.routes[route].reset_after = None;
        bytes.truncate(left as usize);
        (bytes, true)
    }

    fn tamper(&mut self, conn: u64, way: usize, mut bytes: Vec<u8>) -> Vec<u8> {
        let Some(state) = self.conns.get_mut(&conn) else { return bytes };
        let Some((left, with)) = self.routes[state.route].tamper[way] else { return bytes };
        if (bytes.len() as u64) <= left {
            self.routes[state.route].tamper[way] = Some((left - bytes.len() as u64, with));
            return bytes;
        }
        self.routes[state.route].tamper[way] = None;
        state.pipes[way].tampered = true;
        let at = left as usize;
        match with {
            Tampering::Flip(bit) => bytes[at] ^= 1 << (bit % 8),
            Tampering::Drop(count) => {
                let end = (at + usize::from(count).max(1)).min(bytes.len());
                bytes.drain(at..end);
            }
            Tampering::Repeat(count) => {
                let again = bytes[at.saturating_sub(usize::from(count))..=at].to_vec();
                bytes.splice(at + 1..at + 1, again);
            }
            Tampering::Forge(count) => {
                let forged = (0..u64::from(count).max(1)).map(|n| self.keyed.draw(&[purpose::FORGE, conn, n]) as u8);
                bytes.splice(at..at, forged);
            }
            Tampering::Swap(count) => {
                let count = usize::from(count).max(1).min((bytes.len() - at) / 2);
                bytes[at..at + 2 * count].rotate_left(count);
            }
        }
        self.stats.faults += 1;
        self.mark(Mark::Tampered);
        bytes
    }

    /// Passes bytes to the core at an end, in pieces if the link is split.
    fn deliver_bytes(&mut self, conn: u64, end: usize, bytes: &[u8], cause: Cause) {
        let Some(state) = self.conns.get(&conn) else { return };
        let (peer, split) = (state.ends[end].peer, self.routes[state.route].split);
        let piece = if split == 0 { bytes.len().max(1) } else { split };
        for bytes in bytes.chunks(piece) {
            let Some(link) = self.conns.get(&conn).and_then(|state| state.ends[end].link) else { return };
            self.check_idle(peer);
            self.point(peer, Point::Received, cause, bytes);
            self.detail_link(conn, Some(bytes.len()), String::new);
            self.model.watch_wire(bytes);
            self.call(peer, |alive, now| alive.endpoint.handle_bytes(now, link, bytes));
            self.turn(peer);
        }
    }

    /// Tells an end that the connection is gone.
    pub(super) fn lose(&mut self, conn: u64, end: usize) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let peer = state.ends[end].peer;
        let until_us = self.nodes[peer].paused_until;
        if until_us > self.now_us {
            self.schedule(until_us, peer, What::Lost { conn, end });
            return;
        }
        let link = state.ends[end].link.take();
        state.pipes[end].ended = true;
        state.pipes[1 - end].chunks.clear();
        if let Some(link) = link {
            self.check_idle(peer);
            self.point(peer, Point::Lost, None, &link.0.to_le_bytes());
            self.detail_link(conn, None, String::new);
            self.call(peer, |alive, now| {
                alive.links.remove(&link);
                alive.up.remove(&link);
                alive.endpoint.handle_link_lost(now, link);
            });
            self.turn(peer);
        }
        self.settle_conn(conn);
    }

    /// Forgets a connection that both ends have forgotten, and dials again.
    fn settle_conn(&mut self, conn: u64) {
        let Some(state) = self.conns.get(&conn) else { return };
        let (route, dialler_gone, over) = (state.route, state.ends[0].link.is_none(), state.is_over());
        if dialler_gone && self.routes[route].conn == Some(conn) {
            let now_us = self.now_us;
            let state = &mut self.routes[route];
            state.conn = None;
            if state.up_since_us.take().is_some_and(|since| now_us.saturating_sub(since) >= GOOD_US) {
                state.failures = 0;
            }
            self.dial_again(route);
        }
        if over {
            self.conns.remove(&conn);
        }
    }

    /// Notes that a link's handshake was completed at an end.
    pub(super) fn is_up(&mut self, conn: u64) {
        if let Some(state) = self.conns.get(&conn) {
            self.routes[state.route].up_since_us.get_or_insert(self.now_us);
        }
    }

    /// Sets a mark if a tampered stream led to the end of its link.
    pub(super) fn note_closed(&mut self, conn: u64) {
        if self.is_tampered(conn) {
            self.mark(Mark::TamperNoticed);
        }
    }

    /// Returns whether the bytes of a connection were tampered with.
    pub(crate) fn is_tampered(&self, conn: u64) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.pipes.iter().any(|pipe| pipe.tampered))
    }

    pub(super) fn give_room(&mut self, conn: u64, end: usize) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        (state.pipes[end].full, state.pipes[end].freed) = (false, false);
        if state.ends[end].link.is_some() {
            let peer = state.ends[end].peer;
            self.turn(peer);
        }
    }

    /// Dials a route after a pause that grows with its failures.
    pub(super) fn dial_again(&mut self, route: usize) {
        let failures = self.routes[route].failures;
        self.routes[route].failures += 1;
        let full = BACKOFF_US.0.saturating_mul(1 << failures.min(16)).min(BACKOFF_US.1);
        let key = [purpose::BACKOFF, route as u64, self.routes[route].attempt];
        self.dial_later(route, full / 2 + self.keyed.below(&key, full / 2 + 1));
    }

    pub(super) fn dial_later(&mut self, route: usize, after_us: u64) {
        let state = &mut self.routes[route];
        state.attempt += 1;
        state.dialling = false;
        let (attempt, peer) = (state.attempt, self.plan.links[route].from);
        self.schedule(self.now_us + after_us, peer, What::Dial { route, attempt });
    }

    pub(super) fn dial(&mut self, route: usize, attempt: u64) {
        let state = &self.routes[route];
        if state.attempt != attempt || !state.wanted || state.conn.is_some() || state.dialling {
            return;
        }
        let Link { from, to, .. } = self.plan.links[route];
        let paused_until = self.nodes[from].paused_until;
        if paused_until > self.now_us {
            self.schedule(paused_until, from, What::Dial { route, attempt });
            return;
        }
        // A peer dials when it starts.
        if self.nodes[from].alive.is_none() || self.phase >= Phase::Healing && !(self.core[from] && self.core[to]) {
            return;
        }
        // A device that is connected already, from either side, is not dialled.
        if self.are_linked(from, to) {
            self.dial_later(route, BACKOFF_US.0);
            return;
        }
        self.routes[route].dialling = true;
        let state = &self.routes[route];
        let blocked = state.blocked_until.iter().any(|until| *until > self.now_us);
        let round_trip = 2 * state.quality.latency_us;
        let silent = blocked || state.unanswered_until > self.now_us || self.nodes[to].paused_until > self.now_us;
        let refused = state.refused_until > self.now_us || self.nodes[to].alive.is_none();
        let (after_us, reached) = match (silent, refused) {
            (true, _) => {
                self.mark(Mark::DialUnanswered);
                (DIAL_US, false)
            }
            (false, true) => {
                self.mark(Mark::DialRefused);
                (round_trip, false)
            }
            (false, false) => (round_trip, true),
        };
        self.schedule(self.now_us + after_us, from, What::Dialled { route, attempt, reached });
    }

    /// Returns whether two peers have a link that both know to be up, or one that is being made.
    fn are_linked(&self, from: usize, to: usize) -> bool {
        self.conns.values().any(|conn| {
            let peers = [conn.ends[0].peer, conn.ends[1].peer];
            (peers == [from, to] || peers == [to, from])
                && conn.ends.iter().filter(|end| end.peer == from).all(|end| {
                    let alive = self.nodes[from].alive.as_ref();
                    end.link.zip(alive).is_some_and(|(link, alive)| alive.up.contains_key(&link))
                })
        })
    }

    /// Returns whether two peers have a link that both know to be up.
    pub(super) fn are_up(&self, from: usize, to: usize) -> bool {
        self.conns.values().any(|conn| {
            let peers = [conn.ends[0].peer, conn.ends[1].peer];
            let up = |end: &End| {
                let alive = self.nodes[end.peer].alive.as_ref();
                end.link.zip(alive).is_some_and(|(link, alive)| alive.up.contains_key(&link))
            };
            (peers == [from, to] || peers == [to, from]) && conn.ends.iter().all(up)
        })
    }

    pub(super) fn dialled(&mut self, route: usize, attempt: u64, reached: bool) {
        if self.routes[route].attempt != attempt {
            return;
        }
        self.routes[route].dialling = false;
        let Link { from, to, .. } = self.plan.links[route];
        let both = self.nodes[from].alive.is_some() && self.nodes[to].alive.is_some();
        if !reached || !both || !self.routes[route].wanted {
            if self.nodes[from].alive.is_some() {
                self.point(from, Point::Refused, None, &[]);
                self.detail(|| Detail { note: format!("dial to peer {to}"), ..Detail::default() });
            }
            if self.routes[route].wanted {
                self.dial_again(route);
            }
            return;
        }
        self.connect(route, from, to);
    }

    fn connect(&mut self, route: usize, from: usize, to: usize) {
        let conn = self.next_conn;
        self.next_conn += 1;
        if self.conns.values().any(|conn| conn.ends[0].peer == to && conn.ends[1].peer == from) {
            self.mark(Mark::Simultaneous);
        }
        let end = |peer: usize| End { peer, link: None };
        let state = Conn { route, ends: [end(from), end(to)], pipes: Default::default(), broken: false };
        self.conns.insert(conn, state);
        self.routes[route].conn = Some(conn);
        for (at, peer) in [from, to].into_iter().enumerate() {
            self.check_idle(peer);
            let dial = (at == 0).then_some(Dial::Sync);
            let point = if at == 0 { Point::Dialled } else { Point::Accepted };
            self.point(peer, point, None, &conn.to_le_bytes());
            self.detail_link(conn, None, String::new);
            let link = self.call(peer, |alive, now| {
                let link = alive.endpoint.handle_link_up(now, dial);
                alive.links.insert(link, (conn, at));
                link
            });
            if let Some(state) = self.conns.get_mut(&conn) {
                state.ends[at].link = link;
            }
        }
        // If a core dies of the event, the other end is left alone.
        let missing = |end: &usize| self.conns.get(&conn).is_some_and(|state| state.ends[*end].link.is_none());
        if let Some(end) = (0..2).find(missing) {
            self.hang_up(conn, end);
        }
        self.turn(from);
        self.turn(to);
    }

    /// Returns the connections that a predicate accepts.
    pub(super) fn conns_where(&self, which: impl Fn(&Conn) -> bool) -> Vec<u64> {
        self.conns.iter().filter(|(_, conn)| which(conn)).map(|(no, _)| *no).collect()
    }
}
