//! Two honest peers, linked, and a hostile member with a line to the first: the setting of most attacks.

use super::{Liar, Lie, Line, Member, OwnLog};
use crate::config::Config;
use crate::event::{CloseReason, Event};
use crate::ids::{DocId, LinkId};
use crate::log::Lane;
use crate::testkit::peer::{Net, Peer};
use crate::testkit::store::MemStore;
use crate::wire::close::CloseCode;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Two honest peers, linked, and a hostile member with a link to the first.
#[derive(Debug)]
pub struct Siege {
    /// The honest peers: the founder, at the other end of the hostile line, and another.
    pub net: Net,
    /// The attacker.
    pub member: Member,
    /// The attacker's end of the link.
    pub line: Line,
    /// The founder's end.
    pub link: LinkId,
    /// Number of ended links, by code; [`NO_CODE`] if the founder could not send one.
    pub closes: BTreeMap<u16, u64>,
}

/// Key in [`Siege::closes`] of links that ended without a code: in the handshake, or after bytes that do not open.
pub const NO_CODE: u16 = u16::MAX;

impl Siege {
    /// Makes a siege of peers with the default configuration.
    pub fn lay() -> Self {
        Self::lay_to(Config::default())
    }

    /// Makes a siege of peers with this configuration.
    ///
    /// # Panics
    /// If the peers cannot be set up.
    pub fn lay_to(config: Config) -> Self {
        let peer = |seed| Peer::with_config(MemStore::new(), seed, config.clone());
        let mut founder = peer(1);
        founder.found("home");
        let mut net = Net::new(vec![founder, peer(2), peer(3)]);
        net.join(1, 0);
        net.join(2, 0);
        net.dial(1, 0);
        net.dial(2, 0);
        net.run();
        let mut member = Member::of(&net.peers[2], 66);
        net.cut();
        net.peers.truncate(2);
        net.dial(1, 0);
        net.run();
        let line = Line::dial(&mut member);
        let founder = &mut net.peers[0];
        let link = founder.endpoint.handle_link_up(founder.now, None);
        let mut siege = Self { net, member, line, link, closes: BTreeMap::new() };
        siege.press();
        assert!(siege.line.is_open(), "a member is let in");
        siege.open_space();
        siege
    }

    /// Opens the space with a root that differs, so that nothing is settled.
    pub fn open_space(&mut self) {
        self.line.open_space(&self.member, 1, None, [9; 16]);
        self.press();
    }

    /// Carries bytes between the line and the founder, and between the honest peers, until nothing moves.
    pub fn press(&mut self) {
        for _ in 0..10_000 {
            let out = self.line.drain();
            let peer = &mut self.net.peers[0];
            if !out.is_empty() {
                peer.endpoint.handle_bytes(peer.now, self.link, &out);
            }
            peer.settle();
            let mut back = Vec::new();
            while peer.endpoint.poll_transmit(peer.now, self.link, &mut back) {}
            peer.settle();
            self.line.take(&back);
            if out.is_empty() && back.is_empty() {
                break;
            }
        }
        self.net.run();
    }

    /// Sends the line's output to the founder alone.
    pub fn strike(&mut self) {
        let out = self.line.drain();
        let peer = &mut self.net.peers[0];
        peer.endpoint.handle_bytes(peer.now, self.link, &out);
        peer.settle();
    }

    /// Returns the reason for which the founder ended the hostile link, if it did.
    pub fn end(&self) -> Option<&CloseReason> {
        self.net.peers[0].events.iter().find_map(|event| {
            let Event::Close { link, reason, .. } = event else { return None };
            (*link == self.link).then_some(reason)
        })
    }

    /// Returns the code with which the founder ended the hostile link.
    pub fn code(&self) -> Option<CloseCode> {
        if let Some(CloseReason::Ours(code)) = self.end() { Some(*code) } else { None }
    }

    /// Dials again if the link was ended, and counts the code.
    ///
    /// # Panics
    /// If a member is not let in again.
    pub fn redial(&mut self) {
        let Some(reason) = self.end() else { return };
        let code = if let CloseReason::Ours(code) = reason { *code as u16 } else { NO_CODE };
        *self.closes.entry(code).or_default() += 1;
        let peer = &mut self.net.peers[0];
        peer.endpoint.handle_link_lost(peer.now, self.link);
        peer.settle();
        peer.take_events();
        self.net.peers[1].take_events();
        self.line = Line::dial(&mut self.member);
        let peer = &mut self.net.peers[0];
        self.link = peer.endpoint.handle_link_up(peer.now, None);
        self.press();
        assert!(self.line.is_open(), "a member is let in again");
        self.open_space();
    }

    /// Makes a log in the main partition, announced in a control log, so that both honest peers know its owner.
    pub fn announced_log(&mut self, lane: Lane) -> OwnLog {
        let main = self.member.main();
        let log = self.member.new_log(main, lane);
        let control = self.member.control();
        let mut opening = self.member.new_log(control, Lane::Live);
        let records = [self.member.device()];
        let entry = self.member.control_entry(&mut opening, &records);
        self.send(&opening, 0, [0; 32], vec![entry]);
        self.press();
        log
    }

    /// Sends a range of an own log.
    pub fn send(&mut self, log: &OwnLog, start: u64, h_prev: [u8; 32], entries: Vec<Bytes>) {
        let message = self.member.range(&mut self.line, log, start, h_prev, entries);
        self.line.say(&message);
    }

    /// Has a liar send one lie and carries it over, dialling again if the link ended.
    pub fn endure(&mut self, liar: &mut Liar) -> Lie {
        let lie = liar.lie(&mut self.member, &mut self.line);
        self.press();
        self.redial();
        lie
    }

    /// Writes an update of a document into a log and sends it.
    pub fn send_update(&mut self, log: &mut OwnLog, doc: DocId, update: &[u8]) {
        let (start, h_prev) = (log.seq, log.h);
        let entry = self.member.update(log, doc, update);
        self.send(log, start, h_prev, vec![entry]);
        self.press();
    }
}
