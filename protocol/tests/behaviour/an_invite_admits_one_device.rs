//! An invite is valid for one device, for a while, and only with its secret.

use cosmicsync_protocol::endpoint::{Dial, Event};
use cosmicsync_protocol::sealed::Invite;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::peer::{Net, Peer};

fn founded() -> Net {
    let mut first = Peer::new(1);
    first.found("home");
    Net::new(vec![first, Peer::new(2), Peer::new(3)])
}

fn invite(peer: &mut Peer, for_ms: u64) -> String {
    let expires = peer.now.wall_ms + for_ms;
    let invite = peer.endpoint.invite(peer.now, SpaceNo(0), vec!["127.0.0.1:1".into()], expires).expect("an invite");
    peer.settle();
    invite.to_line().to_string()
}

fn join(net: &mut Net, peer: usize, line: &str) -> bool {
    net.peers[peer].take_events();
    net.link(peer, 0, Dial::Join(Box::new(Invite::parse(line).expect("an invite"))));
    net.run();
    net.cut();
    net.peers[peer].events.iter().any(|event| matches!(event, Event::Joined { .. }))
}

fn sent_by_inviter(net: &mut Net, peer: usize, line: &str) -> u64 {
    let before = net.sent[0];
    assert!(!join(net, peer, line));
    net.sent[0] - before
}

#[test]
fn another_device_is_refused_and_the_same_one_may_ask_again() {
    let mut net = founded();
    let line = invite(&mut net.peers[0], 60_000);
    assert!(join(&mut net, 1, &line));
    assert!(!join(&mut net, 2, &line));
    assert!(join(&mut net, 1, &line));
    assert_eq!(net.peers[2].endpoint.spaces().count(), 0);
    assert_eq!(net.peers[0].endpoint.spaces().next().expect("a space").devices.len(), 2);
}

#[test]
fn a_device_whose_answer_was_lost_may_ask_again() {
    let mut net = founded();
    let line = invite(&mut net.peers[0], 60_000);
    net.link(1, 0, Dial::Join(Box::new(Invite::parse(&line).expect("an invite"))));
    // Until the inviter has admitted the device; its answer never arrives.
    for _ in 0..8 {
        for (from, to) in [(1, 0), (0, 1)] {
            if net.peers[0].events.iter().any(|event| matches!(event, Event::Admitted { .. })) {
                continue;
            }
            let mut bytes = Vec::new();
            let link = *net.peers[from].endpoint.links().last().expect("a link");
            let now = net.peers[from].now;
            while net.peers[from].endpoint.poll_transmit(now, link, &mut bytes) {}
            let link = *net.peers[to].endpoint.links().last().expect("a link");
            net.peers[to].endpoint.handle_bytes(now, link, &bytes);
            net.peers[to].settle();
        }
    }
    assert!(net.peers[0].events.iter().any(|event| matches!(event, Event::Admitted { .. })));
    net.cut();
    assert_eq!(net.peers[1].endpoint.spaces().count(), 0);
    assert!(join(&mut net, 1, &line));
    assert!(!join(&mut net, 2, &line));
    net.dial(1, 0);
    net.run();
    assert_eq!(net.peers[0].root(), net.peers[1].root());
}

#[test]
fn an_expired_one_is_refused_without_a_byte() {
    let mut net = founded();
    let line = invite(&mut net.peers[0], 1_000);
    net.peers[0].pass(2_000_000);
    assert_eq!(sent_by_inviter(&mut net, 1, &line), 0);
}

#[test]
fn a_wrong_secret_gets_no_byte() {
    let mut net = founded();
    invite(&mut net.peers[0], 60_000);
    // An invite of another founder, with another secret, that leads to this one.
    let mut other = Peer::new(9);
    other.found("elsewhere");
    let line = invite(&mut other, 60_000);
    assert_eq!(sent_by_inviter(&mut net, 1, &line), 0);
}

#[test]
fn a_device_that_was_not_invited_is_refused() {
    let mut net = founded();
    net.dial(1, 0);
    net.run();
    assert!(net.peers.iter().all(|peer| !peer.events.iter().any(|event| matches!(event, Event::PeerUp { .. }))));
    let mut other = Peer::new(9);
    other.found("elsewhere");
    net.peers[2] = other;
    net.dial(2, 0);
    net.run();
    assert!(net.peers.iter().all(|peer| !peer.events.iter().any(|event| matches!(event, Event::PeerUp { .. }))));
    assert!(net.peers[0].endpoint.links().is_empty());
}
