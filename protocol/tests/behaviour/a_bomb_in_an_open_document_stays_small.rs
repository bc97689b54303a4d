//! Bodies that inflate a thousandfold are opened only up to a limit: memory use stays in proportion to sent bytes.
//! Entries of others in the same document are imported all the same.

use cosmicsync_protocol::crdt::forge::{Forgery, forge};
use cosmicsync_protocol::documents::Missing;
use cosmicsync_protocol::log::Lane;
use cosmicsync_protocol::testkit::hostile::Siege;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};

#[test]
fn others_edit_a_document_with_a_bomb() {
    let mut siege = Siege::lay();
    let doc = siege.net.peers[0].create(doc_id(1), note(""), BODY);
    siege.press();
    let mut log = siege.announced_log(Lane::Live);
    let mut updates = vec![forge(log.peer(), Forgery::ManyKeys(1))];
    updates.extend(vec![vec![0; 256 * 1024]; 200]);
    let entries = updates.iter().map(|update| siege.member.update(&mut log, doc_id(1), update)).collect();
    siege.send(&log, 0, [0; 32], entries);
    siege.press();
    assert_eq!(siege.end(), None);
    let missing = siege.net.peers[0].endpoint.missing(doc);
    assert!(
        missing.iter().any(|missing| matches!(missing, Missing::TooLarge(_) | Missing::Excluded(_))),
        "{missing:?}"
    );
    let there = siege.net.peers[1].open(doc_id(1));
    siege.net.peers[1].edit(there, insert(0, "still here"), BODY).expect("an honest edit");
    siege.press();
    for peer in &mut siege.net.peers {
        let value = peer.value(doc_id(1)).expect("a document");
        assert_eq!(body(&value), "still here");
    }
}
