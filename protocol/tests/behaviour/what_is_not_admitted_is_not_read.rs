//! A log is held with any card, and read once its epoch has admitted it. Among its entries, those of kinds that
//! this version knows are read.

use cosmicsync_protocol::crdt::forge::{Forgery, forge};
use cosmicsync_protocol::ids::EpochId;
use cosmicsync_protocol::log::{EntryKind, Header, Item, KeyRef, Lane, Plain};
use cosmicsync_protocol::testkit::hostile::{OwnLog, Siege};
use cosmicsync_protocol::testkit::notes::doc_id;

/// Makes a log that `change` has spoiled, and sends an entry of `kind` with an update of a document.
fn send(siege: &mut Siege, change: impl FnOnce(&mut OwnLog), kind: EntryKind) {
    let main = siege.member.main();
    let mut log = siege.member.new_log(main, Lane::Live);
    change(&mut log);
    let item = Item { doc: doc_id(5), new_in: None, section: 2, part: None, key: KeyRef::here(1), dictionary: None };
    let header = Header { items: vec![item], ..Header::new(kind, 0) };
    let (seed, update) = ([7; 16], forge(log.peer(), Forgery::ManyKeys(3)));
    let body = Plain::Body { seed: &seed, bytes: &update, dictionary: None };
    let entry = siege.member.entry(&mut log, &header, &[Plain::KeyBox(&seed), body]);
    siege.send(&log, 0, [0; 32], vec![entry]);
    siege.press();
    assert_eq!(siege.end(), None, "the log is held and passed on");
}

fn is_read(siege: &mut Siege) -> bool {
    siege.net.peers[0].value(doc_id(5)).is_some()
}

#[test]
fn an_honest_log_is_read() {
    let mut siege = Siege::lay();
    send(&mut siege, |_| {}, EntryKind::Update);
    assert!(is_read(&mut siege));
}

#[test]
fn a_card_of_an_epoch_that_nobody_knows_admits_nothing() {
    let mut siege = Siege::lay();
    let forge_card = |log: &mut OwnLog| {
        log.card.place.epoch = EpochId([9; 16]);
        log.card.admission = [0; 64];
        let mut bytes = Vec::new();
        log.card.encode(&mut bytes);
        log.card_bytes = bytes.into();
    };
    send(&mut siege, forge_card, EntryKind::Update);
    assert!(!is_read(&mut siege));
}

#[test]
fn a_log_in_the_name_of_another_device_is_not_read() {
    let mut siege = Siege::lay();
    let founder = siege.net.peers[0].endpoint.device();
    let main = siege.member.main();
    let claimed = siege.member.new_log_as(main, Lane::Live, founder);
    send(&mut siege, |log| *log = claimed, EntryKind::Update);
    assert!(!is_read(&mut siege));
}

#[test]
fn a_log_of_nobody_is_not_read() {
    let mut siege = Siege::lay();
    let main = siege.member.main();
    let nobody = siege.member.new_log_of_nobody(main);
    send(&mut siege, |log| *log = nobody, EntryKind::Update);
    assert!(!is_read(&mut siege));
}

#[test]
fn kinds_of_later_versions_are_no_updates() {
    for kind in [EntryKind::Snapshot, EntryKind::Blob, EntryKind::Control] {
        let mut siege = Siege::lay();
        send(&mut siege, |_| {}, kind);
        assert!(!is_read(&mut siege), "{kind:?}");
    }
}
