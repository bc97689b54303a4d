//! A device that lacks the key of an epoch in use requests it, and gets it from any device that holds it.

use cosmicsync_protocol::log::{EntryKind, Header, Lane, Plain};
use cosmicsync_protocol::spaces::record::encode_records;
use cosmicsync_protocol::testkit::hostile::Siege;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Has the hostile member mint an epoch for the founder alone, and write under it so that it becomes trusted.
fn mint_for_the_founder(siege: &mut Siege, generation: u32) {
    let control = siege.member.control();
    let mut opening = siege.member.new_log(control, Lane::Live);
    let records = encode_records(&[siege.member.device()]);
    let record = siege.member.mint_for(&[&siege.net.peers[0]], generation);
    let header = Header::new(EntryKind::Control, 0);
    let entry = siege.member.entry(&mut opening, &header, &[Plain::Open(&record), Plain::Records(&records)]);
    siege.send(&opening, 0, [0; 32], vec![entry]);
    siege.press();
}

#[test]
fn by_a_device_that_a_hostile_member_left_out() {
    let mut siege = Siege::lay();
    mint_for_the_founder(&mut siege, 100);
    siege.net.peers[0].create(doc_id(7), note("under a key that not all were given"), BODY);
    siege.net.run();
    siege.press();
    assert_eq!(siege.net.peers[1].value(doc_id(7)), siege.net.peers[0].value(doc_id(7)));
    assert!(siege.net.peers[1].value(doc_id(7)).is_some());
}

#[test]
fn again_after_a_restart_and_only_once() {
    let mut siege = Siege::lay();
    mint_for_the_founder(&mut siege, 100);
    siege.net.cut();
    siege.net.peers[0].create(doc_id(7), note("a"), BODY);
    // The other one sees it, requests the key, and ends before the answer comes.
    siege.net.dial(1, 0);
    siege.net.run();
    siege.net.cut();
    let entries = |siege: &Siege| -> u64 { siege.net.peers[1].endpoint.logs().map(|log| log.entries).sum() };
    let before = entries(&siege);
    for round in 0..3 {
        let store = siege.net.peers[1].store.crash(0);
        siege.net.peers[1] = Peer::recover(store, 20 + round);
        siege.net.dial(1, 0);
        siege.net.run();
        siege.net.cut();
    }
    assert_eq!(entries(&siege), before, "nothing is asked or answered twice");
    assert!(siege.net.peers[1].value(doc_id(7)).is_some());
}

#[test]
fn an_epoch_far_ahead_is_not_written_under() {
    let mut siege = Siege::lay();
    siege.net.peers[0].create(doc_id(6), note("opens a log"), BODY);
    mint_for_the_founder(&mut siege, u32::MAX);
    let before = siege.net.peers[1].endpoint.logs().map(|log| log.entries).sum::<u64>();
    siege.net.peers[0].create(doc_id(7), note("readable at once"), BODY);
    siege.net.run();
    assert!(siege.net.peers[1].value(doc_id(7)).is_some());
    let after = siege.net.peers[1].endpoint.logs().map(|log| log.entries).sum::<u64>();
    assert_eq!(after, before + 1, "no key was asked for");
}

#[test]
fn many_keys_that_nobody_uses_keep_none_out_that_is_used() {
    let mut siege = Siege::lay();
    let control = siege.member.control();
    let mut opening = siege.member.new_log(control, Lane::Live);
    for count in 0..1_100 {
        let (seq, h) = (opening.seq, opening.h);
        // Boxed to the other device alone, and recorded in entries that nobody can read.
        let record = siege.member.mint_for(&[&siege.net.peers[1]], 2 + count);
        let header = Header::new(EntryKind::Control, 0);
        let entry = siege.member.entry(&mut opening, &header, &[Plain::Open(&record)]);
        siege.send(&opening, seq, h, vec![entry]);
        if count % 50 == 0 {
            siege.press();
        }
    }
    siege.press();
    // Another device joins: there is a new epoch, and the founder writes under it.
    siege.net.peers.push(Peer::new(9));
    siege.net.sent.push(0);
    let joiner = siege.net.peers.len() - 1;
    siege.net.join(joiner, 0);
    siege.net.peers[0].create(doc_id(7), note("under the newest key"), BODY);
    siege.net.run();
    assert!(siege.net.peers[1].value(doc_id(7)).is_some());
}

#[test]
fn by_devices_that_two_copies_of_one_invited_apart() {
    let mut founder = Peer::new(1);
    founder.found("home");
    let copy = Peer::recover(founder.store.crash(0), 50);
    let mut net = Net::new(vec![founder, copy, Peer::new(2), Peer::new(3)]);
    net.join(2, 0);
    net.join(3, 1);
    for (peer, inviter) in [(2, 0), (3, 1)] {
        net.dial(peer, inviter);
        net.run();
        net.cut();
    }
    for peer in 0..4 {
        let doc = net.peers[peer].create(doc_id(10 + peer as u32), note("hers"), BODY);
        net.peers[peer].edit(doc, insert(0, "and more"), BODY).unwrap();
    }
    for _ in 0..4 {
        for (from, to) in [(2, 0), (3, 1), (3, 0), (2, 1), (2, 3)] {
            net.dial(from, to);
            net.run();
            net.cut();
        }
    }
    for doc in 10..14 {
        let values: Vec<_> = (0..4).map(|peer| net.peers[peer].value(doc_id(doc))).collect();
        assert!(values[0].is_some(), "{doc}");
        assert!(values.iter().all(|value| *value == values[0]), "{doc}: {values:?}");
    }
}
