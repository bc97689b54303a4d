//! One link to a peer survives; half-open and silent ones are ended.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::endpoint::{CloseReason, Event, LinkId};
use cosmicsync_protocol::ledger::Lease;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::Reason;
use cosmicsync_protocol::wire::close::CloseCode;

fn closes(peer: &Peer) -> Vec<(LinkId, CloseReason)> {
    let close = |event: &Event| {
        let Event::Close { link, reason, .. } = event else { return None };
        Some((*link, reason.clone()))
    };
    peer.events.iter().filter_map(close).collect()
}

#[test]
fn of_two_that_are_dialled_at_once_one_survives() {
    for first in [0, 1] {
        for piece in [usize::MAX, 40] {
            let mut net = Net::joined();
            net.cut();
            net.piece = piece;
            net.dial(first, 1 - first);
            net.dial(1 - first, first);
            net.run();
            let up: Vec<_> = net.peers.iter().map(|peer| peer.endpoint.links().len()).collect();
            assert_eq!(up, [1, 1]);
            let open = net.peers[0].create(doc_id(1), note(""), BODY);
            net.run();
            net.peers[0].edit(open, insert(0, "x"), BODY).expect("an edit");
            net.run();
            assert_eq!(net.peers[1].value(doc_id(1)), Some(note("x")));
        }
    }
}

#[test]
fn a_newer_one_of_the_same_side_replaces_the_older() {
    let mut net = Net::joined();
    let old = net.peers[0].endpoint.links();
    net.dial(1, 0);
    net.run();
    assert_eq!(net.peers[0].endpoint.links().len(), 1);
    assert_ne!(net.peers[0].endpoint.links(), old);
    net.peers[0].create(doc_id(1), note("x"), BODY);
    net.run();
    assert_eq!(net.peers[1].value(doc_id(1)), Some(note("x")));
}

#[test]
fn half_open_ones_have_a_limit() {
    let config = Config { handshakes_max: 3, ..Config::default() };
    let mut peer = Peer::with_config(MemStore::new(), Lease::Continued, 1, config);
    peer.found("home");
    let links: Vec<_> = (0..5).map(|_| peer.endpoint.handle_link_up(peer.now, None)).collect();
    peer.settle();
    let refused: Vec<_> = closes(&peer).into_iter().collect();
    let overloaded = CloseReason::Ours(CloseCode::Overloaded);
    assert_eq!(refused, [(links[3], overloaded.clone()), (links[4], overloaded)]);
}

#[test]
fn a_handshake_that_takes_too_long_ends() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let link = peer.endpoint.handle_link_up(peer.now, None);
    let deadline = peer.endpoint.poll_timeout().expect("a deadline");
    assert_eq!(deadline.reason, Reason::HandshakeTimeout);
    peer.pass(deadline.at_us - peer.now.mono_us - 1);
    assert!(closes(&peer).is_empty());
    peer.pass(1);
    assert_eq!(closes(&peer), [(link, CloseReason::Timeout)]);
    assert_eq!(peer.endpoint.poll_timeout(), None);
}

#[test]
fn a_silent_one_is_probed_and_then_ended() {
    let mut net = Net::joined();
    let keep_alive_us = Config::default().keep_alive_us;
    for _ in 0..6 {
        net.peers.iter_mut().for_each(|peer| peer.pass(keep_alive_us));
        net.run();
    }
    assert_eq!(net.peers[0].endpoint.links().len(), 1, "who answers is alive");
    let peer = &mut net.peers[0];
    let link = peer.endpoint.links()[0];
    peer.take_events();
    for step in 0.. {
        let Some(deadline) = peer.endpoint.poll_timeout() else { break };
        assert!(step < 4, "a deadline is met once");
        peer.pass(deadline.at_us.saturating_sub(peer.now.mono_us));
    }
    assert_eq!(closes(peer), [(link, CloseReason::Timeout)]);
}

#[test]
fn one_on_which_no_message_is_ever_whole_is_ended() {
    let mut net = Net::joined();
    let keep_alive_us = Config::default().keep_alive_us;
    let peer = &mut net.peers[0];
    let link = peer.endpoint.links()[0];
    peer.take_events();
    // Something on the way left bytes out: what comes is taken for the length of a long message.
    peer.endpoint.handle_bytes(peer.now, link, &[0xff, 0xff]);
    for step in 1..=10 {
        peer.pass(keep_alive_us / 2);
        let over = step >= 8;
        assert_eq!(closes(peer), if over { vec![(link, CloseReason::Timeout)] } else { Vec::new() }, "step {step}");
        peer.endpoint.handle_bytes(peer.now, link, &[0]);
    }
}
