//! The chain verifies without any sections, so any peer on the way could remove some. Only whole entries are
//! accepted: otherwise this replica would report the entry as held, and never request its missing sections.

use cosmicsync_protocol::crdt::forge::{Forgery, forge};
use cosmicsync_protocol::log::{Entry, Lane};
use cosmicsync_protocol::testkit::hostile::Siege;
use cosmicsync_protocol::testkit::notes::doc_id;
use cosmicsync_protocol::wire::close::CloseCode;

#[test]
fn the_link_ends_and_the_whole_entry_still_arrives() {
    let mut siege = Siege::lay();
    let mut log = siege.announced_log(Lane::Live);
    let update = forge(log.peer(), Forgery::ManyKeys(3));
    let entry = siege.member.update(&mut log, doc_id(5), &update);
    let partial = Entry::decode(&entry).expect("an own entry").without(|section| section == 2).encode();
    siege.send(&log, 0, [0; 32], vec![partial]);
    siege.press();
    assert_eq!(siege.code(), Some(CloseCode::BadChain));
    siege.redial();
    siege.send(&log, 0, [0; 32], vec![entry]);
    siege.press();
    let here = siege.net.peers[0].value(doc_id(5));
    assert!(here.is_some());
    assert_eq!(siege.net.peers[1].value(doc_id(5)), here);
}
