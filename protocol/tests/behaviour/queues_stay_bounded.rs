//! A peer that takes nothing makes no queue grow with the number of edits.

use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::Net;

#[test]
fn a_peer_that_never_reads_costs_no_memory() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    let grown = |net: &Net| {
        let stats = net.peers[0].endpoint.stats();
        (stats.links.iter().map(|link| link.queued).collect::<Vec<_>>(), stats.store_requests, stats.open_docs)
    };
    let mut early = Default::default();
    for at in 0..3_000 {
        let peer = &mut net.peers[0];
        peer.edit(open, insert(at % 100, "x"), BODY).expect("an edit");
        peer.pass(1_000);
        if at == 100 {
            early = grown(&net);
        }
    }
    assert_eq!(grown(&net), early);
    net.run();
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[1].value(doc_id(1)));
    assert_eq!(net.peers[0].root(), net.peers[1].root());
}
