//! A process resumed from an earlier image ends its log as soon as a peer shows more of it.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Resumes peer 0 from an image of its memory and its store, taken before its last edit, which peer 1 has.
fn put_back() -> Net {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note("."), BODY);
    net.peers[0].create(doc_id(2), note("other"), BODY);
    net.run();
    let (before, image) = (net.peers[0].store.crash(0), net.peers[0].endpoint.image());
    net.peers[0].edit(open, insert(0, "later"), BODY).expect("an edit");
    net.run();
    net.cut();
    net.peers[0] = Peer::resume(before, image, 9, Config::default());
    net.peers[1].take_events();
    net
}

fn converges(net: &mut Net) -> String {
    net.run();
    let values: Vec<_> = (0..2).map(|at| net.peers[at].value(doc_id(1)).expect("a note")).collect();
    assert_eq!(values[0], values[1]);
    assert_eq!(net.peers[0].root(), net.peers[1].root());
    body(&values[0]).to_owned()
}

#[test]
fn edits_of_a_retired_log_go_to_a_new_one() {
    let mut net = put_back();
    let old = net.peers[0].own_logs();
    net.dial(1, 0);
    net.run();
    assert!(net.peers[0].events.iter().any(|event| matches!(event, Event::Retired { .. })));
    let open = net.peers[0].open(doc_id(1));
    net.peers[0].edit(open, insert(5, "!"), BODY).expect("an edit");
    assert_eq!(converges(&mut net), "later!.");
    assert_ne!(net.peers[0].own_logs(), old);
    assert!(net.peers.iter().all(|peer| !peer.events.iter().any(|event| matches!(event, Event::Forked { .. }))));
}

#[test]
fn edits_that_were_only_gathered_are_reported_lost() {
    let mut net = put_back();
    let peer = &mut net.peers[0];
    let open = peer.open(doc_id(1));
    let texts = BODY.iter().copied().collect();
    let commit = peer.endpoint.edit(peer.now, &[(open, insert(0, "lost"))], &texts, false).expect("an edit");
    net.dial(1, 0);
    net.run();
    let peer = &mut net.peers[0];
    let again = peer.endpoint.edit(peer.now, &[(open, insert(0, "kept "))], &texts, true);
    if again.is_err() {
        peer.settle();
        peer.edit(open, insert(0, "kept "), BODY).expect("the document is read again");
    }
    net.run();
    net.peers[0].pass(1_000_000);
    assert_eq!(converges(&mut net), "kept later.");
    let failed = |event: &Event| matches!(event, Event::EditsFailed { commits } if commits.contains(&commit));
    let committed = |event: &Event| matches!(event, Event::Committed { commits } if commits.contains(&commit));
    assert!(net.peers[0].events.iter().any(failed), "{:?}", net.peers[0].events);
    assert!(!net.peers[0].events.iter().any(committed));
}

#[test]
fn edits_gathered_after_the_log_was_given_up_open_a_new_one() {
    let mut net = put_back();
    let open = net.peers[0].open(doc_id(1));
    let other = net.peers[0].open(doc_id(2));
    net.dial(1, 0);
    net.run();
    let peer = &mut net.peers[0];
    let texts = BODY.iter().copied().collect();
    peer.pass(1);
    for _ in 0..3 {
        let _ = peer.endpoint.edit(peer.now, &[(open, insert(0, "x"))], &texts, false);
        let _ = peer.endpoint.edit(peer.now, &[(other, insert(0, "y"))], &texts, false);
        peer.pass(100_000);
    }
    converges(&mut net);
    let store = net.peers[0].store.crash(0);
    net.cut();
    net.peers[0] = Peer::recover(store, 10);
    net.dial(1, 0);
    converges(&mut net);
}
