//! A and C never meet: B, which opens no document, carries everything between them.

use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Makes three devices of one user. The first founded and invited the others; none is linked.
fn three() -> Net {
    let mut first = Peer::new(1);
    first.found("home");
    let mut net = Net::new(vec![first, Peer::new(2), Peer::new(3)]);
    net.join(1, 0);
    net
}

fn meet(net: &mut Net, from: usize, to: usize) {
    net.dial(from, to);
    net.run();
    net.cut();
}

#[test]
fn a_relay_forwards_both_ways() {
    let mut net = three();
    net.join(2, 0);
    let here = net.peers[0].create(doc_id(1), note("a"), BODY);
    meet(&mut net, 1, 0);
    meet(&mut net, 2, 1);
    assert_eq!(net.peers[2].value(doc_id(1)), Some(note("a")));
    let there = net.peers[2].open(doc_id(1));
    net.peers[2].edit(there, insert(1, "c"), BODY).expect("an edit");
    net.peers[0].edit(here, insert(0, "A"), BODY).expect("an edit");
    meet(&mut net, 1, 2);
    meet(&mut net, 0, 1);
    meet(&mut net, 1, 2);
    for peer in [0, 2] {
        assert_eq!(net.peers[peer].value(doc_id(1)), Some(note("Aac")));
    }
    assert_eq!(net.peers[0].root(), net.peers[2].root());
    assert_eq!(net.peers[1].endpoint.stats().open_docs, 0);
}

#[test]
fn who_joins_later_reads_what_was_written_before() {
    let mut net = three();
    net.peers[0].create(doc_id(1), note("of a"), BODY);
    meet(&mut net, 1, 0);
    // Offline, B continues under the epoch that it knows.
    net.peers[1].create(doc_id(2), note("of b"), BODY);
    net.join(2, 0);
    meet(&mut net, 2, 0);
    assert_eq!(net.peers[2].value(doc_id(1)), Some(note("of a")));
    net.peers[2].create(doc_id(3), note("of c"), BODY);
    meet(&mut net, 2, 1);
    meet(&mut net, 1, 0);
    for peer in 0..3 {
        for (doc, text) in [(1, "of a"), (2, "of b"), (3, "of c")] {
            assert_eq!(net.peers[peer].value(doc_id(doc)), Some(note(text)), "peer {peer}, document {doc}");
        }
        assert_eq!(net.peers[peer].root(), net.peers[0].root());
    }
}

#[test]
fn a_relay_that_is_connected_to_both_passes_live_edits_on() {
    let mut net = three();
    net.join(2, 0);
    net.dial(1, 0);
    net.dial(2, 1);
    net.run();
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    for at in 0..50 {
        net.peers[0].edit(open, insert(at, "x"), BODY).expect("an edit");
        net.run();
    }
    assert_eq!(net.peers[2].value(doc_id(1)), Some(note(&"x".repeat(50))));
}
