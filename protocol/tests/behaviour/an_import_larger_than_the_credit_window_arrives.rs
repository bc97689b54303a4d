//! Catch-up continues past the credit window: durable data returns its credit.

use cosmicsync_protocol::crdt::{Meta, TextPaths, Value};
use cosmicsync_protocol::documents::{Bulk, Erasable};
use cosmicsync_protocol::endpoint::NewDoc;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::peer::Net;

#[test]
fn an_import_larger_than_the_credit_window_arrives() {
    let mut net = Net::joined();
    let peer = &mut net.peers[0];
    let log = peer.endpoint.bulk_open(peer.now, peer.main()).expect("a log");
    let collection = peer.endpoint.collection_id(SpaceNo(0), "noise").expect("a space");
    // Text that does not compress, so that some hundred documents fill a window of two mebibytes more than once.
    let mut state = 1u64;
    let mut noise = || -> String {
        (0..16_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b' ' + (state >> 57) as u8 % 94)
            })
            .collect()
    };
    let docs: Vec<NewDoc> = (0..400u128)
        .map(|at| NewDoc {
            doc: DocId((1000 + at).to_be_bytes()),
            meta: Meta::default(),
            value: [("text", Value::from(noise().as_str()))].into_iter().collect(),
        })
        .collect();
    let texts = &TextPaths::none();
    let bulk = Bulk { collection, docs: &docs, texts, dictionary: &[], erasable: Erasable::Alone, unknown: None };
    peer.endpoint.bulk_append(peer.now, log, &bulk, Vec::new()).expect("rows");
    peer.endpoint.bulk_close(peer.now, log);
    net.run();
    assert!(net.sent[0] > 4 * 1024 * 1024, "the test sends more than a window: {}", net.sent[0]);
    let [a, b] = &mut net.peers[..] else { panic!("two peers") };
    let root = |peer: &cosmicsync_protocol::testkit::peer::Peer| peer.endpoint.spaces().next().map(|space| space.root);
    assert_eq!(root(a), root(b));
    for doc in docs.iter().step_by(37) {
        assert_eq!(b.value(doc.doc).as_ref(), Some(&doc.value));
    }
}
