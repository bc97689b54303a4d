//! Reconnecting leaves nothing in memory: after a thousand links the state is as large as after a few.

use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::testkit::peer::Net;

/// Links before the state is measured first: caches and cursors have settled.
const FIRST: usize = 10;
/// Further links.
const MORE: usize = 1_000;
/// Most characters by which the state's description may grow: counters get longer.
const DIGITS: usize = 200;

#[test]
fn a_thousand_links_leave_the_state_as_large_as_it_was() {
    let mut net = Net::joined();
    for (peer, doc) in [(0, 1), (1, 2)] {
        let value: Value = [("title", Value::from("kept"))].into_iter().collect();
        net.peers[peer].create(DocId([doc; 16]), value, &[]);
    }
    let meet = |net: &mut Net| {
        net.dial(0, 1);
        net.run();
        net.cut();
        net.peers.iter_mut().for_each(|peer| drop(peer.take_events()));
    };
    let size = |net: &Net| net.peers.iter().map(|peer| format!("{:?}", peer.endpoint).len()).collect::<Vec<_>>();
    (0..FIRST).for_each(|_| meet(&mut net));
    let before = size(&net);
    (0..MORE).for_each(|_| meet(&mut net));
    for (before, after) in before.into_iter().zip(size(&net)) {
        assert!(after <= before + DIGITS, "the state grew from {before} to {after} characters");
    }
}
