//! A live link carries a space as soon as both ends know it, in either order.

use cosmicsync_protocol::crdt::{Meta, Value};
use cosmicsync_protocol::documents::Edit;
use cosmicsync_protocol::endpoint::{Dial, Event};
use cosmicsync_protocol::ids::{DocId, DocRef};
use cosmicsync_protocol::sealed::Invite;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::peer::{Net, Peer};

const FIRST: SpaceNo = SpaceNo(0);

/// Joins a space of peer 0.
fn join(net: &mut Net, joiner: usize, name: &str) {
    let inviter = &mut net.peers[0];
    let space = inviter.endpoint.spaces().find(|space| space.name == name).expect("it is there").no;
    let expires = inviter.now.wall_ms + 60_000;
    let invite = inviter.endpoint.invite(inviter.now, space, vec!["127.0.0.1:1".into()], expires).expect("an invite");
    inviter.settle();
    let invite = Invite::parse(&invite.to_line()).expect("what was written is read");
    net.peers[joiner].take_events();
    net.link(joiner, 0, Dial::Join(Box::new(invite)));
    net.run();
    let joined = net.peers[joiner].events.iter().any(|event| matches!(event, Event::Joined { .. }));
    assert!(joined, "{:?}", net.peers[joiner].events);
}

fn document(peer: &Peer, space: &str, doc: u8) -> DocRef {
    let space = peer.endpoint.spaces().find(|info| info.name == space).expect("it is there").no;
    DocRef { partition: peer.endpoint.partition(space, "main").expect("it is there"), doc: DocId([doc; 16]) }
}

fn create(peer: &mut Peer, space: &str, doc: u8) {
    let doc = document(peer, space, doc);
    peer.endpoint.open(peer.now, doc);
    peer.settle();
    let collection =
        peer.endpoint.collection_id(peer.endpoint.space_of(doc.partition).expect("known"), "notes").expect("a space");
    let meta = Meta { collection: Some("notes".into()), ..Meta::default() };
    let value = Value::from(space);
    let value = [("of", value)].into_iter().collect();
    peer.edit(doc, Edit::Create { collection, meta, value }, &[]).expect("a new document");
}

fn exists(peer: &mut Peer, space: &str, doc: u8) -> bool {
    let doc = document(peer, space, doc);
    peer.endpoint.open(peer.now, doc);
    peer.settle();
    peer.endpoint.view(doc).is_some()
}

fn found(peer: &mut Peer, name: &str) {
    peer.endpoint.create_space(peer.now, name).expect("a new space");
    peer.settle();
}

fn roots(peer: &Peer) -> Vec<(String, [u8; 16])> {
    let mut roots: Vec<_> = peer.endpoint.spaces().map(|space| (space.name, space.root)).collect();
    roots.sort();
    roots
}

/// Has peers 1 and 2 join the first space of peer 0, and makes the named links.
fn linked(wires: &[(usize, usize)]) -> Net {
    let mut first = Peer::new(1);
    first.found("one");
    let mut net = Net::new(vec![first, Peer::new(2), Peer::new(3)]);
    for joiner in [1, 2] {
        net.join(joiner, 0);
    }
    for (from, to) in wires {
        net.dial(*from, *to);
    }
    net.run();
    net
}

#[test]
fn one_that_was_founded_before_the_link() {
    for wire in [(1, 0), (0, 1)] {
        let mut net = linked(&[]);
        found(&mut net.peers[0], "two");
        create(&mut net.peers[0], "two", 1);
        net.dial(wire.0, wire.1);
        net.run();
        join(&mut net, 1, "two");
        assert!(exists(&mut net.peers[1], "two", 1));
        assert_eq!(roots(&net.peers[0]), roots(&net.peers[1]));
    }
}

#[test]
fn one_that_was_founded_while_the_link_was_up() {
    for wire in [(1, 0), (0, 1)] {
        let mut net = linked(&[wire]);
        found(&mut net.peers[0], "two");
        net.run();
        create(&mut net.peers[0], "two", 1);
        net.run();
        join(&mut net, 1, "two");
        assert!(exists(&mut net.peers[1], "two", 1));
        create(&mut net.peers[1], "two", 2);
        net.run();
        assert!(exists(&mut net.peers[0], "two", 2));
        assert_eq!(roots(&net.peers[0]), roots(&net.peers[1]));
    }
}

#[test]
fn several_in_another_order_than_they_were_founded_in() {
    let mut net = linked(&[(1, 0)]);
    for name in ["two", "three", "four"] {
        found(&mut net.peers[0], name);
        create(&mut net.peers[0], name, 1);
    }
    net.run();
    for name in ["three", "four", "two"] {
        join(&mut net, 1, name);
        assert!(exists(&mut net.peers[1], name, 1), "{name}");
    }
    assert_eq!(roots(&net.peers[0]), roots(&net.peers[1]));
}

#[test]
fn one_that_both_joined_from_a_third() {
    let mut net = linked(&[(1, 2)]);
    found(&mut net.peers[0], "two");
    create(&mut net.peers[0], "two", 1);
    join(&mut net, 1, "two");
    net.dial(1, 0);
    net.run();
    assert!(exists(&mut net.peers[1], "two", 1));
    join(&mut net, 2, "two");
    // Only the first joiner is linked to the founder: the second got its data from there.
    assert!(exists(&mut net.peers[2], "two", 1));
    assert_eq!(roots(&net.peers[1]), roots(&net.peers[2]));
}

#[test]
fn a_device_is_named_in_a_space_once_it_was_invited() {
    let mut net = linked(&[(1, 0)]);
    found(&mut net.peers[0], "two");
    net.run();
    let devices = |peer: &Peer| peer.endpoint.spaces().map(|space| space.devices.len()).collect::<Vec<_>>();
    assert_eq!(devices(&net.peers[0]), [3, 1]);
    join(&mut net, 1, "two");
    assert_eq!(devices(&net.peers[0]), [3, 2]);
}

#[test]
fn a_link_is_settled_though_one_end_has_a_space_for_itself() {
    let mut net = linked(&[(1, 0)]);
    found(&mut net.peers[0], "two");
    net.run();
    for peer in &net.peers[..2] {
        let links = peer.endpoint.stats().links;
        let open: Vec<_> = links.iter().filter(|link| link.peer.is_some()).collect();
        assert!(!open.is_empty() && open.iter().all(|link| link.is_settled()));
        let spaces: Vec<_> = open.iter().flat_map(|link| &link.spaces).collect();
        assert_eq!(spaces, [(&FIRST, &true)]);
    }
}
