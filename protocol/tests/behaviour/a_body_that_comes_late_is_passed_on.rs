//! A peer that requested a missing body gets it when it comes, on the link of its request.

use cosmicsync_protocol::sync::{Bodies, SpaceNo};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

fn lacking(peer: &Peer) -> u64 {
    peer.endpoint.logs().map(|log| log.entries - log.held).sum()
}

fn follow(net: &mut Net, peer: usize, bodies: Bodies) {
    let peer = &mut net.peers[peer];
    peer.endpoint.set_bodies(peer.now, SpaceNo(0), bodies).expect("a space");
    peer.settle();
}

/// Makes a writer, a replica of heads next to it, and one behind that.
fn chain() -> Net {
    let mut writer = Peer::new(1);
    writer.found("home");
    let mut net = Net::new(vec![writer, Peer::new(2), Peer::new(3)]);
    net.join(1, 0);
    net.join(2, 0);
    net.dial(1, 0);
    net.dial(2, 1);
    net.run();
    net.cut();
    for peer in [1, 2] {
        follow(&mut net, peer, Bodies::HeadOnly);
    }
    net
}

fn write(net: &mut Net) {
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    for at in 0..5 {
        net.peers[0].edit(open, insert(at, "x"), BODY).expect("an edit");
    }
}

#[test]
fn when_the_head_was_known_on_both_sides() {
    let mut net = chain();
    write(&mut net);
    net.dial(1, 0);
    net.dial(2, 1);
    net.run();
    assert!(lacking(&net.peers[1]) > 0 && lacking(&net.peers[2]) > 0);
    net.cut();
    // The last one wants all bodies, and requests them from the one between, which has none.
    follow(&mut net, 1, Bodies::All);
    follow(&mut net, 2, Bodies::All);
    net.dial(2, 1);
    net.run();
    assert!(lacking(&net.peers[2]) > 0);
    net.dial(1, 0);
    net.run();
    assert_eq!((lacking(&net.peers[1]), lacking(&net.peers[2])), (0, 0));
    assert_eq!(net.peers[2].value(doc_id(1)), Some(note("xxxxx")));
}
