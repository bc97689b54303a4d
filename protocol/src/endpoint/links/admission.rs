//! Admission: the handshake, and the check of the peer's identity.
//!
//! A peer is admitted by its credential or by an invite. A refused peer never gets a further byte
//! (`spec/handshake.md`).

use super::{Dial, Greeting, Joining, Link, Links, Open, PROCESSES_MAX, State};
use crate::connection::{Established, Handshake, Opening};
use crate::entropy::Entropy;
use crate::event::{CloseReason, Event, Process};
use crate::identity::{Credential, VerifiedCredential};
use crate::ids::{LinkId, SpaceNo};
use crate::ledger::{Ledger, View};
use crate::spaces::{Admission, JoinRefusal};
use crate::sync::session::{Link as SessionLink, Session};
use crate::wire::close::CloseCode;
use crate::wire::frame::CHANNELS;
use crate::wire::hello::{Hello, HelloLimits, Pattern, Preamble, Role, Suite, negotiate};
use std::collections::{BTreeMap, VecDeque};
use zeroize::Zeroizing;

/// Identity of an admitted peer.
enum CheckedPeer {
    Member(Box<VerifiedCredential>),
    Joiner(Admission),
}

impl Greeting {
    pub(super) fn new(ledger: &mut Ledger, dial: Option<Dial>, entropy: Entropy) -> Self {
        let hello = our_hello(ledger);
        let keys = &ledger.spaces.own.keys;
        let deadline_us = ledger.now.mono_us.saturating_add(ledger.config.handshake_us_max);
        let (handshake, psks) = match &dial {
            Some(Dial::Sync) => (Handshake::initiator(Opening::Xx, keys, hello.encode(), entropy), Vec::new()),
            Some(Dial::Join(invite)) => {
                let opening = Opening::Invited { psk: invite.psk(), inviter: *invite.inviter() };
                (Handshake::initiator(opening, keys, hello.encode(), entropy), Vec::new())
            }
            None => {
                let psks = ledger.invite_psks();
                let keys = &ledger.spaces.own.keys;
                let secret = psks.iter().map(|psk| Zeroizing::new(*psk)).collect();
                (Handshake::responder(keys, secret, hello.encode(), entropy), psks)
            }
        };
        Self { handshake, dial, psks, hello, deadline_us, checked: false }
    }

    /// Returns whether the handshake may send. An initiator's last message tells its identity, so it waits
    /// until the peer was checked.
    pub(super) fn may_speak(&self) -> bool {
        self.dial.is_none() || !self.handshake.is_done() || self.checked
    }

    fn pattern(&self, invited: bool) -> Pattern {
        match &self.dial {
            Some(Dial::Join(_)) => Pattern::XxPsk0,
            Some(Dial::Sync) => Pattern::Xx,
            None if invited => Pattern::XxPsk0,
            None => Pattern::Xx,
        }
    }
}

fn our_hello(ledger: &Ledger) -> Hello {
    let limits = &ledger.config.limits;
    let role = match &ledger.spaces.own.user {
        Some(user) => Role::Member(user.credential.encode()),
        None => Role::Joiner(ledger.spaces.own.keys.claim()),
    };
    Hello {
        versions: ledger.config.versions,
        features: ledger.config.features.clone(),
        limits: HelloLimits {
            message_bytes_max: limits.message_bytes_max as u64,
            channels_max: CHANNELS as u64,
            credit_bytes: limits.window_bytes,
        },
        incarnation: ledger.incarnation,
        instance: ledger.instance,
        suites: vec![Suite::X25519_CHACHAPOLY_BLAKE2S],
        role,
    }
}

impl Links {
    pub(super) fn handle_handshake_bytes(
        &mut self,
        ledger: &mut Ledger,
        id: LinkId,
        bytes: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), CloseReason> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.handshake_bytes += bytes.len() as u64;
        let State::Greeting(greeting) = &mut link.state else { return Ok(()) };
        greeting.handshake.handle(bytes).map_err(CloseReason::Handshake)?;
        let Some((remote_static, remote_hello)) = greeting.handshake.remote() else { return Ok(()) };
        let invited = !matches!(greeting.dial, Some(Dial::Sync)) && greeting.handshake.is_invited();
        let used = Preamble::new(greeting.pattern(invited));
        let theirs = Hello::decode(remote_hello).map_err(|_| CloseReason::Ours(CloseCode::Malformed))?;
        let may_claim = invited && greeting.dial.is_none();
        let checked = check_identity(ledger, &theirs, remote_static, invited, may_claim)?;
        negotiate(&greeting.hello, &theirs, used).map_err(|_| CloseReason::Ours(CloseCode::VersionMismatch))?;
        greeting.checked = true;
        let sent_before = link.outbox.len();
        greeting.handshake.poll_transmit(&mut link.outbox);
        link.handshake_bytes += (link.outbox.len() - sent_before) as u64;
        let State::Greeting(greeting) = core::mem::replace(&mut link.state, State::Closed) else { return Ok(()) };
        let Greeting { handshake, dial, psks, .. } = *greeting;
        let Some(mut done) = handshake.finish() else { return Err(CloseReason::Ours(CloseCode::HandshakeFailed)) };
        done.transport = done.transport.with_rekey_messages(ledger.config.limits.rekey_messages);
        let deadline_us = ledger.now.mono_us.saturating_add(ledger.config.handshake_us_max);
        let leftover = done.leftover.clone();
        link.handshake_bytes = link.handshake_bytes.saturating_sub(leftover.len() as u64);
        match (dial, checked) {
            (Some(Dial::Join(invite)), _) => {
                let space = Some(invite.space());
                link.state = State::Joining(Box::new(Joining { transport: done.transport, space, deadline_us }));
            }
            (None, CheckedPeer::Joiner(who)) => {
                let psk = done.psk_index.and_then(|at| psks.get(at)).copied().unwrap_or_default();
                link.state = State::Joining(Box::new(Joining { transport: done.transport, space: None, deadline_us }));
                if let Err(error) = ledger.admit(id, &psk, &who) {
                    self.send_accept(id, &JoinRefusal::of(&error).encode());
                    return Err(CloseReason::Admission(error));
                }
            }
            (Some(Dial::Sync) | None, CheckedPeer::Member(peer)) => {
                self.begin_session(ledger, id, done, &peer, &theirs, events)?;
            }
            (Some(Dial::Sync), CheckedPeer::Joiner(_)) => return Err(CloseReason::Ours(CloseCode::NotAdmitted)),
        }
        if leftover.is_empty() {
            return Ok(());
        }
        match self.links.get_mut(&id).map(|link| &mut link.state) {
            Some(State::Joining(joining)) => joining.handle_bytes(ledger, id, &leftover),
            Some(State::Open(_)) => self.handle_session_bytes(ledger, id, &leftover, events),
            Some(State::Greeting(_) | State::Closed) | None => Ok(()),
        }
    }

    fn begin_session(
        &mut self,
        ledger: &Ledger,
        id: LinkId,
        done: Established,
        peer: &VerifiedCredential,
        theirs: &Hello,
        events: &mut VecDeque<Event>,
    ) -> Result<(), CloseReason> {
        let device = peer.device().device;
        let spaces = shared_spaces(ledger, peer);
        let process = Process { device, instance: theirs.instance };
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.peer = Some(process);
        let dialled = link.dialled;
        self.make_room(ledger, process, id, dialled, events).map_err(CloseReason::Ours)?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let session_link = SessionLink {
            initiator: dialled,
            handshake_hash: done.handshake_hash,
            peer_incarnation: theirs.incarnation,
            peer_window_bytes: theirs.limits.credit_bytes,
        };
        let view = View { ledger, peer: device, spaces: &spaces };
        let session = Session::new(&view, session_link, ledger.config.limits.clone());
        link.state = State::Open(Box::new(Open {
            transport: done.transport,
            session,
            device,
            user: peer.user(),
            up_us: ledger.now.mono_us,
            alive_us: 0,
            spaces,
            serving: BTreeMap::new(),
            acked: BTreeMap::new(),
            messages_in: 0,
            messages_out: 0,
        }));
        events.push_back(Event::PeerUp { link: id, peer: process });
        self.meet(ledger.spaces.own.keys.device_id(), id, process, ledger.now.mono_us, events);
        Ok(())
    }

    /// Makes room for a link to `peer`. Of two links to one process, both ends keep the one that the lower
    /// process dialled, or the newer one if both were dialled by one side. A device keeps links with several
    /// of its processes, up to a limit: the longest silent one makes room. The others are probed, since most
    /// devices that come twice were restarted.
    fn make_room(
        &mut self,
        ledger: &Ledger,
        peer: Process,
        newer: LinkId,
        newer_dialled: bool,
        events: &mut VecDeque<Event>,
    ) -> Result<(), CloseCode> {
        let me = Process { device: ledger.spaces.own.keys.device_id(), instance: ledger.instance };
        if peer == me {
            return Err(CloseCode::Oneself);
        }
        for (older, older_dialled) in self.others(newer, |other| other == peer, |link| link.dialled) {
            if newer_dialled != older_dialled && newer_dialled != (me < peer) {
                return Err(CloseCode::Replaced);
            }
            self.end(older, CloseReason::Ours(CloseCode::Replaced), events);
        }
        let mut others = self.others(newer, |other| other.device == peer.device, |link| link.heard_us);
        others.sort_by_key(|(id, heard_us)| (*heard_us, *id));
        for (silent, _) in others.iter().rev().skip(PROCESSES_MAX - 1) {
            self.end(*silent, CloseReason::Ours(CloseCode::Replaced), events);
        }
        let now_us = ledger.now.mono_us;
        for (other, _) in others {
            if let Some(link) = self.links.get_mut(&other) {
                link.doubted_us.get_or_insert(now_us);
            }
        }
        Ok(())
    }

    /// Returns a value for each open link but one, if its peer is wanted.
    fn others<T>(&self, but: LinkId, wanted: impl Fn(Process) -> bool, say: impl Fn(&Link) -> T) -> Vec<(LinkId, T)> {
        let is_open = |link: &Link| matches!(link.state, State::Open(_)) && link.peer.is_some_and(&wanted);
        let others = self.links.iter().filter(|(id, link)| **id != but && is_open(link));
        others.map(|(id, link)| (*id, say(link))).collect()
    }
}

impl Joining {
    pub(super) fn handle_bytes(&mut self, ledger: &mut Ledger, id: LinkId, bytes: &[u8]) -> Result<(), CloseReason> {
        self.transport.receive(bytes).map_err(|_| CloseReason::Ours(CloseCode::Malformed))?;
        while let Some(plain) = self.transport.poll_message().map_err(|_| CloseReason::Ours(CloseCode::Malformed))? {
            let Some(space) = self.space else { return Err(CloseReason::Ours(CloseCode::UnexpectedMessage)) };
            ledger.join(id, &space, &plain).map_err(CloseReason::Join)?;
        }
        Ok(())
    }

    /// Seals the inviter's answer.
    pub(super) fn answer(&mut self, accept: &[u8], out: &mut Vec<u8>) {
        let sealed = self.transport.seal(accept, out);
        debug_assert!(sealed.is_ok(), "the answer is short");
    }
}

/// Checks the identity of the peer. A refused peer gets no further byte. Only the side that dials to join may claim an
/// identity that no user has certified.
fn check_identity(
    ledger: &Ledger,
    theirs: &Hello,
    remote_static: &[u8; 32],
    invited: bool,
    may_claim: bool,
) -> Result<CheckedPeer, CloseReason> {
    let refused = CloseReason::Ours(CloseCode::NotAdmitted);
    match &theirs.role {
        Role::Member(credential) => {
            let credential = Credential::verify(credential).map_err(|_| refused.clone())?;
            if credential.device().noise != *remote_static || !credential.valid_at(ledger.now.wall_ms) {
                return Err(refused);
            }
            if invited {
                return Ok(CheckedPeer::Joiner(Admission::Certified(Box::new(credential))));
            }
            if shared_spaces(ledger, &credential).is_empty() {
                return Err(refused);
            }
            Ok(CheckedPeer::Member(Box::new(credential)))
        }
        Role::Joiner(claim) => {
            if !may_claim || claim.public.noise != *remote_static || claim.verify().is_err() {
                return Err(refused);
            }
            Ok(CheckedPeer::Joiner(Admission::Claim(*claim)))
        }
    }
}

/// Returns the spaces that a peer is a member of.
fn shared_spaces(ledger: &Ledger, peer: &VerifiedCredential) -> Vec<SpaceNo> {
    ledger.spaces.iter().filter(|space| space.is_member(&peer.user())).map(|space| space.no).collect()
}
