//! Any number of inputs between drains, any cut of the bytes, and clocks that jump do no harm.

use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::time::Now;

fn values(net: &mut Net, docs: u32) -> Vec<Option<Value>> {
    assert_eq!(net.peers[0].root(), net.peers[1].root());
    let here: Vec<_> = (0..docs).map(|doc| net.peers[0].value(doc_id(doc))).collect();
    let there: Vec<_> = (0..docs).map(|doc| net.peers[1].value(doc_id(doc))).collect();
    assert_eq!(here, there);
    here
}

#[test]
fn many_edits_without_a_drain_all_arrive() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(0), note(""), BODY);
    net.run();
    let texts = BODY.iter().copied().collect();
    let peer = &mut net.peers[0];
    let mut now = peer.now;
    for at in 0..200usize {
        // Forward, backward, and standing still; the wall clock goes anywhere.
        now.mono_us = [now.mono_us + 7_000, now.mono_us.saturating_sub(5_000), now.mono_us][at % 3];
        now.wall_ms = [0, u64::MAX, 1_700_000_000_000][at % 3];
        peer.endpoint.edit(now, &[(open, insert(at, "x"))], &texts, at % 5 == 0).expect("an edit");
        peer.endpoint.handle_timeout(Now { mono_us: now.mono_us.saturating_sub(1), ..now });
    }
    peer.now = now.after_us(1_000_000);
    peer.pass(1);
    net.run();
    net.peers[0].pass(1_000_000);
    net.run();
    let value = values(&mut net, 1).remove(0).expect("a note");
    assert_eq!(body(&value).len(), 200);
}

#[test]
fn bytes_may_come_one_by_one() {
    let all = |piece| {
        let mut first = Peer::new(1);
        first.found("home");
        let mut net = Net::new(vec![first, Peer::new(2)]);
        net.piece = piece;
        net.join(1, 0);
        net.dial(1, 0);
        net.run();
        for doc in 0..3 {
            let open = net.peers[0].create(doc_id(doc), note("a"), BODY);
            net.run();
            let there = net.peers[1].open(doc_id(doc));
            net.peers[1].edit(there, insert(1, "b"), BODY).expect("an edit");
            net.peers[0].edit(open, insert(0, "c"), BODY).expect("an edit");
            net.run();
        }
        values(&mut net, 3)
    };
    let whole = all(usize::MAX);
    assert_eq!(all(1), whole);
    assert_eq!(all(7), whole);
}
