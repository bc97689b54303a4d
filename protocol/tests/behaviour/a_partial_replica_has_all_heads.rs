//! A replica that holds few bodies has the same roots, reports its missing ones, and harms no other replica.

use cosmicsync_protocol::documents::Missing;
use cosmicsync_protocol::sync::{Bodies, SpaceNo};
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

fn three() -> Net {
    let mut first = Peer::new(1);
    first.found("home");
    let mut net = Net::new(vec![first, Peer::new(2), Peer::new(3)]);
    net.join(1, 0);
    net.join(2, 0);
    net
}

fn policy(net: &mut Net, peer: usize, bodies: Bodies) {
    let peer = &mut net.peers[peer];
    peer.endpoint.set_bodies(peer.now, SpaceNo(0), bodies).expect("a space");
    peer.settle();
}

fn held(peer: &Peer) -> (u64, u64) {
    peer.endpoint.logs().fold((0, 0), |(held, all), log| (held + log.held, all + log.entries))
}

fn write(net: &mut Net, from: usize, edits: usize) {
    let doc = net.peers[0].open(doc_id(1));
    for at in from..from + edits {
        net.peers[0].edit(doc, insert(at, "x"), BODY).expect("an edit");
        net.run();
    }
}

#[test]
fn heads_first_and_everything_later() {
    for bodies in [Bodies::HeadOnly, Bodies::Newest(3)] {
        let mut net = three();
        policy(&mut net, 1, bodies);
        net.peers[0].create(doc_id(1), note(""), BODY);
        write(&mut net, 0, 10);
        net.dial(1, 0);
        net.run();
        assert_eq!(net.peers[0].root(), net.peers[1].root(), "{bodies:?}");
        write(&mut net, 10, 10);
        assert_eq!(net.peers[0].root(), net.peers[1].root(), "{bodies:?}");
        let (some, all) = held(&net.peers[1]);
        assert!(some < all, "{bodies:?}");
        if bodies != Bodies::HeadOnly {
            let doc = net.peers[1].open(doc_id(1));
            let missing = net.peers[1].endpoint.missing(doc);
            assert!(missing.iter().any(|missing| matches!(missing, Missing::Body(_))), "{missing:?}");
            let now = net.peers[1].now;
            net.peers[1].endpoint.close(now, doc);
        }
        policy(&mut net, 1, Bodies::All);
        net.run();
        net.dial(1, 0);
        net.run();
        assert_eq!(held(&net.peers[1]), held(&net.peers[0]), "{bodies:?}");
        let doc = net.peers[1].open(doc_id(1));
        assert_eq!(net.peers[1].endpoint.missing(doc), []);
        let value = net.peers[1].value(doc_id(1)).expect("a note");
        assert_eq!(body(&value).len(), 20, "{bodies:?}");
    }
}

#[test]
fn a_relay_with_heads_only_breaks_nothing() {
    let mut net = three();
    policy(&mut net, 1, Bodies::HeadOnly);
    net.peers[0].create(doc_id(1), note(""), BODY);
    net.dial(1, 0);
    net.dial(2, 1);
    net.run();
    write(&mut net, 0, 5);
    net.run();
    assert_eq!(net.peers[2].root(), net.peers[0].root());
    // Sooner or later C meets a peer that has the bodies.
    net.dial(2, 0);
    net.run();
    let value = net.peers[2].value(doc_id(1)).expect("a note");
    assert_eq!(body(&value).len(), 5);
    // The edits of C travel through B to A.
    let doc = net.peers[2].open(doc_id(1));
    net.peers[2].edit(doc, insert(0, "y"), BODY).expect("an edit");
    net.run();
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[2].value(doc_id(1)));
}

#[test]
fn bodies_fetched_later_travel_on_with_the_next_link() {
    let mut net = three();
    policy(&mut net, 1, Bodies::HeadOnly);
    net.peers[0].create(doc_id(1), note(""), BODY);
    write(&mut net, 0, 5);
    net.dial(1, 0);
    net.dial(2, 1);
    net.run();
    assert_eq!(net.peers[2].root(), net.peers[0].root());
    policy(&mut net, 1, Bodies::All);
    net.run();
    net.dial(1, 0);
    net.run();
    net.dial(2, 1);
    net.run();
    assert_eq!(held(&net.peers[1]), held(&net.peers[0]));
    assert_eq!(held(&net.peers[2]), held(&net.peers[0]));
    assert_eq!(net.peers[2].value(doc_id(1)), net.peers[0].value(doc_id(1)));
}
