//! A member who holds a valid link and sends spoiled messages on it.

use super::State;
use crate::endpoint::Dial;
use crate::event::Event;
use crate::ids::LinkId;
use crate::ledger::View;
use crate::testkit::notes::{BODY, doc_id, insert, note};
use crate::testkit::peer::{Net, Peer};
use crate::wire::frame::PLAINTEXT_MAX;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Flips, inserts, removes or cuts some bytes.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().clamp(1, 64));
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                _ => bytes.insert(at.min(bytes.len()), self.below(256) as u8),
            }
        }
    }
}

/// Returns the peer's next bytes, spoiled before sealing if the dice decide so.
fn next(peer: &mut Peer, link: LinkId, dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let endpoint = &mut peer.endpoint;
    if let Some(State::Open(open)) = endpoint.links.links.get_mut(&link).map(|link| &mut link.state) {
        let view = View { ledger: &endpoint.ledger, peer: open.device, spaces: &open.spaces };
        let mut plain = Vec::new();
        let any = open.session.poll_transmit(&view, &mut plain, PLAINTEXT_MAX);
        if dice.below(5) == 0 {
            dice.spoil(&mut plain);
            plain.truncate(PLAINTEXT_MAX);
            let _ = open.transport.seal(&plain, &mut out);
        } else if any {
            let _ = open.transport.seal(&plain, &mut out);
        }
        endpoint.links.run(&mut endpoint.ledger, &mut endpoint.events);
        return out;
    }
    peer.endpoint.poll_transmit(peer.now, link, &mut out);
    out
}

#[test]
fn spoiled_messages_end_the_link_at_worst() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    let there = net.peers[1].open(doc_id(1));
    net.run();
    net.cut();
    let mut dice = Dice(7);
    let mut closed = 0;
    for round in 0..150 {
        let links = [0, 1].map(|at: usize| {
            let peer = &mut net.peers[at];
            peer.take_events();
            peer.endpoint.handle_link_up(peer.now, (at == 1).then_some(Dial::Sync))
        });
        if round % 4 == 0 {
            let _ = net.peers[1].edit(there, insert(0, "b"), BODY);
        }
        for step in 0..30 {
            if step % 10 == 8 {
                net.peers[0].edit(open, insert(0, "a"), BODY).unwrap();
            }
            for (from, to) in [(0, 1), (1, 0)] {
                // Only peer 1 is hostile.
                let mut bytes = Vec::new();
                if from == 1 {
                    bytes = next(&mut net.peers[1], links[1], &mut dice);
                } else {
                    let peer = &mut net.peers[0];
                    while peer.endpoint.poll_transmit(peer.now, links[0], &mut bytes) {}
                }
                let peer = &mut net.peers[to];
                peer.endpoint.handle_bytes(peer.now, links[to], &bytes);
                peer.settle();
            }
        }
        closed += usize::from(net.peers[0].events.iter().any(|event| matches!(event, Event::Close { .. })));
        for (at, link) in links.into_iter().enumerate() {
            let peer = &mut net.peers[at];
            peer.endpoint.handle_link_lost(peer.now, link);
            peer.settle();
        }
        assert!(!net.peers[0].events.iter().any(|event| matches!(event, Event::StoreFailed { .. })));
    }
    assert!(closed > 50, "{closed}");
    let store = net.peers[0].store.crash(0);
    net.peers[0] = Peer::recover(store, 9);
    net.dial(1, 0);
    net.run();
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[1].value(doc_id(1)));
    assert_eq!(net.peers[0].root(), net.peers[1].root());
}
