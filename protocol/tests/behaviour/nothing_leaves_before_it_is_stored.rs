//! Nothing is sent or acknowledged before the store confirmed it.

use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Takes events and passes requests to the store, which does nothing yet.
fn submit(peer: &mut Peer) {
    peer.events.extend(core::iter::from_fn(|| peer.endpoint.poll_event()));
    while let Some(request) = peer.endpoint.poll_store() {
        peer.store.submit(request);
    }
}

fn transmit(peer: &mut Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    let link = peer.endpoint.links()[0];
    while peer.endpoint.poll_transmit(peer.now, link, &mut bytes) {}
    bytes
}

fn receive(peer: &mut Peer, bytes: &[u8]) {
    let link = peer.endpoint.links()[0];
    peer.endpoint.handle_bytes(peer.now, link, bytes);
}

#[test]
fn an_edit_waits_for_its_commit_and_an_ack_for_the_peers() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    let dialled: Vec<_> = net.peers[0].endpoint.links();
    assert_eq!(dialled.len(), 1, "one link");
    let (left, right) = net.peers.split_at_mut(1);
    let (a, b) = (&mut left[0], &mut right[0]);
    a.take_events();
    let commit =
        a.endpoint.edit(a.now, &[(open, insert(0, "safe"))], &BODY.iter().copied().collect(), true).expect("an edit");
    submit(a);
    let committed = |peer: &Peer| peer.events.contains(&Event::Committed { commits: vec![commit] });
    assert!(transmit(a).is_empty(), "sent before it was stored");
    assert!(!committed(a));
    a.settle();
    assert!(committed(a));
    let pushed = transmit(a);
    assert!(!pushed.is_empty());
    receive(b, &pushed);
    submit(b);
    assert!(transmit(b).is_empty(), "acknowledged before it was stored");
    assert!(b.store.pending() > 0);
    let acked = |peer: &Peer| peer.endpoint.stats().links[0].acked.clone();
    let before = acked(a);
    b.settle();
    let ack = transmit(b);
    assert!(!ack.is_empty());
    receive(a, &ack);
    assert_ne!(acked(a), before);
}
