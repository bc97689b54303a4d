//! An attacker between two peers can drop, swap, repeat, cross and withhold their messages, or replay an old link.
//! Links end or stall; nothing is lost, forged, taken for a fork, or given up.

use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Manipulation of the pieces of one direction; `at` counts them.
type Trick = fn(at: usize, pieces: &mut Vec<Vec<u8>>, old: &[Vec<u8>]);

fn drops(at: usize, pieces: &mut Vec<Vec<u8>>, _: &[Vec<u8>]) {
    if at % 5 == 4 {
        pieces.clear();
    }
}

fn swaps(at: usize, pieces: &mut Vec<Vec<u8>>, _: &[Vec<u8>]) {
    // Sealed messages keep their own lengths: the last of some becomes the first.
    if at % 4 == 3
        && let Some(last) = pieces.pop()
    {
        pieces.insert(0, last);
    }
}

fn repeats(at: usize, pieces: &mut Vec<Vec<u8>>, _: &[Vec<u8>]) {
    if at % 6 == 5 {
        pieces.extend_from_within(..);
    }
}

fn withholds(at: usize, pieces: &mut Vec<Vec<u8>>, _: &[Vec<u8>]) {
    if at > 6 {
        pieces.clear();
    }
}

/// Replaces the traffic by that of an earlier link.
fn rolls_back(at: usize, pieces: &mut Vec<Vec<u8>>, old: &[Vec<u8>]) {
    if at > 1 {
        pieces.clear();
        pieces.extend(old.get(at).cloned());
    }
}

fn drain(peer: &mut Peer, link: LinkId) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    loop {
        let mut bytes = Vec::new();
        if !peer.endpoint.poll_transmit(peer.now, link, &mut bytes) {
            peer.settle();
            return pieces;
        }
        pieces.push(bytes);
    }
}

fn feed(peer: &mut Peer, link: LinkId, pieces: &[Vec<u8>]) {
    for piece in pieces {
        peer.endpoint.handle_bytes(peer.now, link, piece);
        peer.settle();
    }
}

/// Runs one link through the middle while both sides write. Returns the dialling side's traffic.
fn through(net: &mut Net, trick: Trick, old: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let links = [0, 1].map(|at: usize| {
        let peer = &mut net.peers[at];
        peer.endpoint.handle_link_up(peer.now, (at == 1).then_some(Dial::Sync))
    });
    let docs = [0, 1].map(|at: usize| net.peers[at].open(doc_id(1)));
    let mut said = Vec::new();
    for at in 0..24 {
        if at % 6 == 0 {
            let turn = at / 6 % 2;
            net.peers[turn].edit(docs[turn], insert(0, "x"), BODY).expect("an edit");
        }
        for (from, to) in [(1, 0), (0, 1)] {
            let mut pieces = drain(&mut net.peers[from], links[from]);
            if from == 1 {
                said.extend(pieces.iter().cloned());
                trick(at, &mut pieces, old);
            }
            feed(&mut net.peers[to], links[to], &pieces);
        }
    }
    for (at, link) in links.into_iter().enumerate() {
        let peer = &mut net.peers[at];
        peer.endpoint.handle_link_lost(peer.now, link);
        peer.settle();
    }
    said
}

fn survives(trick: Trick) {
    let mut net = Net::joined();
    net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    net.cut();
    let old = through(&mut net, |_, _, _| (), &[]);
    for _ in 0..5 {
        through(&mut net, trick, &old);
    }
    net.dial(1, 0);
    net.run();
    let bad = |event: &Event| matches!(event, Event::Forked { .. } | Event::Retired { .. } | Event::EditsFailed { .. });
    assert!(!net.peers.iter().any(|peer| peer.events.iter().any(bad)));
    let [here, there] = [0, 1].map(|at: usize| net.peers[at].value(doc_id(1)));
    assert!(here.is_some());
    assert_eq!(here, there);
    assert_eq!(net.peers[0].root(), net.peers[1].root());
}

#[test]
fn that_drops() {
    survives(drops);
}

#[test]
fn that_swaps() {
    survives(swaps);
}

#[test]
fn that_repeats() {
    survives(repeats);
}

#[test]
fn that_withholds() {
    survives(withholds);
}

#[test]
fn that_plays_an_old_link_again() {
    survives(rolls_back);
}

#[test]
fn that_crosses_two_links() {
    let mut net = Net::joined();
    net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    net.cut();
    let mut dial = |at: usize| {
        let peer = &mut net.peers[at];
        peer.endpoint.handle_link_up(peer.now, (at == 1).then_some(Dial::Sync))
    };
    let links = [[dial(0), dial(1)], [dial(0), dial(1)]];
    for at in 0..20 {
        for (from, to) in [(1, 0), (0, 1)] {
            for (which, link) in links.iter().enumerate() {
                let pieces = drain(&mut net.peers[from], link[from]);
                // After the handshakes each link gets the other one's traffic.
                let other = if at < 4 { which } else { 1 - which };
                feed(&mut net.peers[to], links[other][to], &pieces);
            }
        }
    }
    for (at, link) in links.into_iter().flat_map(|pair| pair.into_iter().enumerate()) {
        let peer = &mut net.peers[at];
        peer.endpoint.handle_link_lost(peer.now, link);
        peer.settle();
    }
    net.dial(1, 0);
    net.run();
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[1].value(doc_id(1)));
}
