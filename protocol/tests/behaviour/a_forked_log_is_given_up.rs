//! A store that was put back and written to before it met a peer has forked its log: it notices, and goes on in another.
//! Both branches are kept, what it wrote counts in any case, and everybody is told.

use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::ledger::Lease;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Peer 0 wrote `theirs` entries that peer 1 has, was put back to before them, and wrote `ours` others.
fn forked(theirs: usize, ours: usize) {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    net.peers[0].create(doc_id(2), note(""), BODY);
    net.run();
    let before = net.peers[0].store.crash(0);
    for _ in 0..theirs {
        net.peers[0].edit(open, insert(0, "t"), BODY).expect("an edit");
        net.run();
    }
    net.cut();
    net.peers[0] = Peer::recover(before, Lease::Continued, 9);
    let open = net.peers[0].open(doc_id(1));
    for _ in 0..ours {
        net.peers[0].edit(open, insert(0, "o"), BODY).expect("an edit");
    }
    net.dial(1, 0);
    net.run();
    let forked = |event: &Event| matches!(event, Event::Forked { .. });
    let retired = |event: &Event| matches!(event, Event::Retired { .. });
    assert!(net.peers.iter().any(|peer| peer.events.iter().any(forked)), "{theirs} {ours}");
    assert!(net.peers[0].events.iter().any(retired), "{theirs} {ours}");
    // What has nothing to do with it goes on, in a log of its own.
    net.peers[0].create(doc_id(3), note("new"), BODY);
    net.run();
    assert_eq!(net.peers[1].value(doc_id(3)), Some(note("new")), "{theirs} {ours}");
    assert_eq!(net.peers[0].root(), net.peers[1].root(), "{theirs} {ours}");
    for peer in &mut net.peers {
        let value = peer.value(doc_id(1)).expect("a value");
        let count = |letter| body(&value).chars().filter(|found| *found == letter).count();
        // The store that wrote the others is gone; of what it wrote, what is kept counts.
        assert!(count('o') == ours && [0, theirs].contains(&count('t')), "{theirs} {ours}: {value:?}");
    }
}

#[test]
fn whichever_branch_is_longer() {
    forked(3, 1);
    forked(2, 2);
    forked(1, 3);
    forked(1, 80);
}
