//! Setting a value to itself never fills a document up.

use cosmicsync_protocol::testkit::notes::{doc_id, note, set};
use cosmicsync_protocol::testkit::peer::Peer;

#[test]
fn a_value_can_be_set_again_for_ever() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let open = peer.create(doc_id(1), note(""), &[]);
    let value = "x".repeat(100_000);
    for _ in 0..8 {
        peer.edit(open, set("field", value.as_str()), &[]).expect("an edit");
    }
}
