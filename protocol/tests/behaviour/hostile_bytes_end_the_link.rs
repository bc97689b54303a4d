//! On any bytes the link ends with a reason, nothing panics, and honest peers notice nothing.

use cosmicsync_protocol::endpoint::{CloseReason, Dial, Event, LinkId};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

fn drain(peer: &mut Peer, link: LinkId) -> Vec<u8> {
    let mut bytes = Vec::new();
    while peer.endpoint.poll_transmit(peer.now, link, &mut bytes) {}
    bytes
}

fn closed(peer: &Peer, link: LinkId) -> Option<&CloseReason> {
    peer.events.iter().find_map(|event| {
        let Event::Close { link: at, reason, .. } = event else { return None };
        (*at == link).then_some(reason)
    })
}

fn still_works(net: &mut Net) {
    let doc = doc_id(900);
    let open = net.peers[0].open(doc);
    if net.peers[0].endpoint.view(open).is_none() {
        net.peers[0].create(doc, note(""), BODY);
    }
    net.peers[0].edit(open, insert(0, "x"), BODY).expect("an edit");
    net.run();
    let here = net.peers[0].value(doc);
    assert_eq!(net.peers[1].value(doc), here);
}

#[test]
fn noise_of_a_stranger() {
    let mut net = Net::joined();
    let mut dice = Dice(1);
    for round in 0..200 {
        let peer = &mut net.peers[0];
        let dial = (round % 3 == 0).then_some(Dial::Sync);
        let link = peer.endpoint.handle_link_up(peer.now, dial);
        if round % 2 == 0 {
            drain(peer, link);
        }
        for _ in 0..dice.below(6) {
            let len = dice.below(700);
            let bytes = dice.bytes(len);
            peer.endpoint.handle_bytes(peer.now, link, &bytes);
            peer.settle();
        }
        peer.endpoint.handle_link_lost(peer.now, link);
        peer.settle();
        assert!(closed(peer, link).is_some());
    }
    still_works(&mut net);
}

/// Carries bytes between a new pair of links and spoils the `nth` piece of one direction.
fn spoiled(net: &mut Net, dice: &mut Dice, nth: usize, direction: usize) {
    let links = [1, 0].map(|at: usize| {
        let peer = &mut net.peers[at];
        peer.take_events();
        (at, peer.endpoint.handle_link_up(peer.now, (at == 1).then_some(Dial::Sync)))
    });
    let open = net.peers[0].open(doc_id(1));
    let mut pieces = 0;
    let mut victim = None;
    for round in 0..40 {
        if round % 8 == 6 {
            let _ = net.peers[0].edit(open, insert(0, "y"), BODY);
        }
        for from in 0..2 {
            let (at, link) = links[from];
            let mut bytes = drain(&mut net.peers[at], link);
            if bytes.is_empty() {
                continue;
            }
            if from == direction {
                if pieces == nth {
                    let place = dice.below(bytes.len());
                    match dice.below(3) {
                        0 => bytes[place] ^= 1 << dice.below(8),
                        1 => drop(bytes.remove(place)),
                        _ => bytes.insert(place, dice.below(256) as u8),
                    }
                    victim = Some(links[1 - from]);
                }
                pieces += 1;
            }
            let (to, link) = links[1 - from];
            let peer = &mut net.peers[to];
            peer.endpoint.handle_bytes(peer.now, link, &bytes);
            peer.settle();
        }
    }
    if let Some((at, link)) = victim {
        let peer = &mut net.peers[at];
        // A length that announces more bytes keeps the reader waiting until the link times out.
        for _ in 0..4 {
            peer.pass(15_000_000);
        }
        assert!(closed(peer, link).is_some(), "piece {nth} of side {direction}");
    }
    for (at, link) in links {
        let peer = &mut net.peers[at];
        peer.endpoint.handle_link_lost(peer.now, link);
        peer.settle();
    }
}

#[test]
fn spoiled_traffic_of_a_peer() {
    let mut net = Net::joined();
    net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    net.cut();
    let mut dice = Dice(2);
    for nth in 0..10 {
        for direction in 0..2 {
            for _ in 0..4 {
                spoiled(&mut net, &mut dice, nth, direction);
            }
        }
    }
    net.dial(1, 0);
    net.run();
    still_works(&mut net);
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[1].value(doc_id(1)));
}
