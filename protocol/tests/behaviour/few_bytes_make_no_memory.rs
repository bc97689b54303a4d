//! Data that costs its author few bytes must cost its readers few: an entry's items need sections of their own, and
//! partitions and named logs have limits.

use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::log::{Entry, EntryKind, Header, Item, KeyRef, Lane, Plain};
use cosmicsync_protocol::spaces::record::Record;
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::testkit::hostile::Siege;
use cosmicsync_protocol::testkit::notes::doc_id;
use cosmicsync_protocol::wire::close::CloseCode;
use cosmicsync_protocol::wire::message::{LogRef, Message};

fn index_rows(siege: &Siege) -> usize {
    siege.net.peers[0].store.rows().keys().filter(|(table, _)| *table == Table::Index).count()
}

#[test]
fn items_that_share_a_section_or_have_none_say_nothing() {
    let mut siege = Siege::lay();
    let mut log = siege.announced_log(Lane::Live);
    let before = index_rows(&siege);
    let item = |section, number| Item {
        doc: doc_id(number),
        new_in: None,
        section,
        part: None,
        key: KeyRef::Records,
        dictionary: None,
    };
    let shared = (0..16_384).map(|number| item(1, number));
    let missing = (0..16_384).map(|number| item(2 + number, number));
    for items in [shared.collect::<Vec<_>>(), missing.collect()] {
        let header = Header { items, ..Header::new(EntryKind::Update, 0) };
        let (start, h_prev) = (log.seq, log.h);
        let entry = siege.member.entry(&mut log, &header, &[Plain::Records(b"x")]);
        siege.send(&log, start, h_prev, vec![entry]);
        siege.press();
    }
    assert_eq!(siege.end(), None);
    assert_eq!(index_rows(&siege) - before, 1);
}

#[test]
fn parts_of_a_section_are_as_many_as_it_has_bytes_and_in_order() {
    let mut siege = Siege::lay();
    let mut log = siege.announced_log(Lane::Live);
    let before = index_rows(&siege);
    let item = |part, number| Item {
        doc: doc_id(number),
        new_in: None,
        section: 1,
        part: Some(part),
        key: KeyRef::Records,
        dictionary: None,
    };
    let many = (0..16_384).map(|number| item(number, number));
    let same_part = (0..100).map(|number| item(0, 20_000 + number));
    let falling = (0..10).map(|number| item(number, 30_000 - number));
    let mut sealed_len = 0;
    for items in [many.collect::<Vec<_>>(), same_part.collect(), falling.collect()] {
        let header = Header { items, ..Header::new(EntryKind::Update, 0) };
        let (start, h_prev) = (log.seq, log.h);
        let entry = siege.member.entry(&mut log, &header, &[Plain::Records(b"x")]);
        sealed_len = Entry::decode(&entry).map_or(0, |entry| entry.sections()[1].len());
        siege.send(&log, start, h_prev, vec![entry]);
        siege.press();
    }
    assert_eq!(siege.end(), None);
    assert_eq!(index_rows(&siege) - before, sealed_len + 1 + 1);
}

#[test]
fn many_items_are_indexed_in_many_commits() {
    let mut siege = Siege::lay();
    let mut log = siege.announced_log(Lane::Bulk);
    let before = index_rows(&siege);
    let items = (1..=3_000).map(|section| Item {
        doc: doc_id(section),
        new_in: None,
        section,
        part: None,
        key: KeyRef::Records,
        dictionary: None,
    });
    let header = Header { items: items.collect(), ..Header::new(EntryKind::Update, 0) };
    let sections = [Plain::Records(b"x"); 3_000];
    let entries = (0..6).map(|_| siege.member.entry(&mut log, &header, &sections)).collect();
    siege.send(&log, 0, [0; 32], entries);
    siege.press();
    assert_eq!(siege.end(), None);
    assert_eq!(index_rows(&siege) - before, 18_000);
    let read = siege.net.peers[0].endpoint.logs().find(|info| info.id == log.id).map(|info| info.read);
    assert_eq!(read, Some(6));
}

#[test]
fn partitions_of_a_space_have_a_limit() {
    let mut siege = Siege::lay();
    let control = siege.member.control();
    let mut log = siege.member.new_log(control, Lane::Live);
    let mut records = vec![siege.member.device()];
    for number in 0..40u32 {
        records.extend((0..1_000).map(|at| Record::Partition { name: format!("{number}.{at}") }));
        let (start, h_prev) = (log.seq, log.h);
        let entry = siege.member.control_entry(&mut log, &core::mem::take(&mut records));
        siege.send(&log, start, h_prev, vec![entry]);
        siege.press();
    }
    assert_eq!(siege.end(), None);
    assert_eq!(siege.net.peers[0].endpoint.partitions().count(), 32_768);
}

#[test]
fn logs_named_on_a_link_have_a_limit() {
    let mut siege = Siege::lay();
    let mut named = 0u32;
    while siege.end().is_none() && named < 300_000 {
        let ids = (named..named + 4_096).map(|at| LogId(*blake3::hash(&at.to_le_bytes()).as_bytes()));
        siege.line.introduce(ids.collect());
        siege.line.say(&Message::Changes { logs: (named..named + 4_096).map(|at| (LogRef::Mine(at), 5)).collect() });
        siege.strike();
        named += 4_096;
    }
    assert_eq!(siege.code(), Some(CloseCode::TooMuch));
    assert!(named <= 70_000, "{named}");
}
