//! Entries that do not verify end the link, and leave the store of the refusing peer unchanged.

use bytes::Bytes;
use cosmicsync_protocol::endpoint::{CloseReason, Event};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::wire::close::CloseCode;

#[test]
fn a_log_that_does_not_verify_is_not_numbered() {
    let mut net = Net::joined();
    net.cut();
    net.peers[1].create(doc_id(1), note("forged"), BODY);
    let mut rows = net.peers[1].store.rows().clone();
    let ((_, _), row) = rows.iter_mut().rfind(|((table, _), _)| *table == Table::Entry).expect("an entry");
    let mut forged = row.to_vec();
    *forged.last_mut().expect("a byte") ^= 1;
    *row = Bytes::from(forged);
    net.peers[1] = Peer::recover(MemStore::with_rows(rows), 5);
    net.dial(1, 0);
    net.run();
    let refused = |event: &Event| {
        matches!(event, Event::Close { reason: CloseReason::Ours(CloseCode::BadSignature | CloseCode::BadChain), .. })
    };
    assert!(net.peers[0].events.iter().any(refused), "{:?}", net.peers[0].events);
    net.peers[0].create(doc_id(2), note("honest"), BODY);
    let mut again = Peer::recover(net.peers[0].store.crash(0), 6);
    assert_eq!(again.value(doc_id(2)), Some(note("honest")));
}
