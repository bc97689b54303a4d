//! Every process opens logs of its own, and each card names the logs before it. The cards determine the logs'
//! order, and a device's newest entries.

use bytes::Bytes;
use cosmicsync_protocol::codec::Reader;
use cosmicsync_protocol::ids::{EntryRef, LogId, PartitionId};
use cosmicsync_protocol::log::card::short_card;
use cosmicsync_protocol::log::{EntryKind, Header, Lane, Prev};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::entry_key;
use cosmicsync_protocol::sync::{Bodies, LogNo, SpaceNo};
use cosmicsync_protocol::testkit::hostile::{OwnLog, Siege};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::wire::message::{Message, Run};

const CRASHES: usize = 1000;
/// The log that one replica lacks for a while.
const MISSING: usize = CRASHES - 5;

/// Ends a process and begins another on its store, which makes `edits` in a document of its own. Returns its log.
fn crash(peer: &mut Peer, doc: u32, edits: usize) -> LogId {
    let store = peer.store.crash(0);
    *peer = Peer::recover(store, 9);
    let open = peer.create(doc_id(doc), note(""), BODY);
    for _ in 1..edits {
        peer.edit(open, insert(0, "x"), BODY).expect("an edit");
    }
    let [log] = peer.own_logs()[..] else { panic!("one log for each process") };
    log
}

/// Returns the message with a log of one entry, as its writer's store holds it.
fn whole(siege: &mut Siege, writer: &Peer, id: LogId) -> Message {
    let log = writer.endpoint.log_no(&id).expect("a log of its own");
    let (rows, at) = (writer.store.rows(), entry_key(EntryRef { log, seq: 0 }));
    let row = |table, key: Bytes| rows.get(&(table, key)).expect("a row").clone();
    let card = row(Table::Log, Bytes::copy_from_slice(&log.0.to_be_bytes()));
    let card = Bytes::copy_from_slice(Reader::new(&card[1..]).bytes(4096, "card").expect("a card"));
    let (entry, head) = (row(Table::Entry, at.clone()), row(Table::Head, at));
    let signature = head[32..].try_into().expect("a hash, then a signature");
    let run = Run { start: 0, h_prev: [0; 32], entries: vec![entry.slice(32..)], signature };
    Message::Range { log: siege.line.name(id), opens: None, card: Some(short_card(&card)), run }
}

/// Returns the logs that lead from one to the end, by the cards.
fn chain(peer: &Peer, from: LogId) -> Vec<LogId> {
    let logs: Vec<_> = peer.endpoint.logs().collect();
    let of = |no: LogNo| logs.iter().find(|log| log.no == no);
    let first = logs.iter().find(|log| log.id == from);
    core::iter::successors(first, |log| of(log.next?)).map(|log| log.id).collect()
}

/// Returns the number of entries of these logs that a replica holds which wants `newest` of a peer's.
fn held(peer: &Peer, newest: u64, logs: &[LogId]) -> Vec<u64> {
    let mut net = Net::new(vec![Peer::recover(peer.store.crash(0), 40), Peer::new(41)]);
    net.join(1, 0);
    for bodies in [Bodies::HeadOnly, Bodies::Newest(newest)] {
        let replica = &mut net.peers[1];
        replica.endpoint.set_bodies(replica.now, SpaceNo(0), bodies).expect("a space");
        replica.settle();
        net.cut();
        net.dial(1, 0);
        net.run();
    }
    assert_eq!(net.peers[0].root(), net.peers[1].root());
    let known: Vec<_> = net.peers[1].endpoint.logs().collect();
    logs.iter().map(|id| known.iter().find(|log| log.id == *id).map_or(0, |log| log.held)).collect()
}

#[test]
fn a_chain_of_a_thousand_crashes_with_one_card_missing() {
    let mut siege = Siege::lay();
    siege.net.cut();
    let mut writer = siege.net.peers.remove(1);
    let logs: Vec<LogId> = (0..CRASHES).map(|at| crash(&mut writer, at as u32, 1)).collect();
    assert_eq!(chain(&writer, logs[0]), logs);
    for (at, id) in logs.iter().enumerate().filter(|(at, _)| *at != MISSING) {
        let message = whole(&mut siege, &writer, *id);
        siege.line.say(&message);
        if at % 50 == 0 {
            siege.press();
        }
    }
    siege.press();
    assert_eq!(siege.end(), None);
    let reader = &siege.net.peers[0];
    assert_eq!(chain(reader, logs[0]), logs[..MISSING]);
    assert_eq!(chain(reader, logs[MISSING + 1]), logs[MISSING + 1..]);
    // Behind the gap nobody knows that entries follow: the same number is wanted once more.
    let of_newest = held(reader, 10, &logs);
    let expected = |at: usize| u64::from(at > MISSING || (MISSING - 10..MISSING).contains(&at));
    let expected: Vec<u64> = (0..CRASHES).map(expected).collect();
    assert_eq!(of_newest, expected);

    let message = whole(&mut siege, &writer, logs[MISSING]);
    siege.line.say(&message);
    siege.press();
    assert_eq!(chain(&siege.net.peers[0], logs[0]), logs);
    let of_newest = held(&siege.net.peers[0], 10, &logs);
    assert_eq!(of_newest, (0..CRASHES).map(|at| u64::from(at >= CRASHES - 10)).collect::<Vec<_>>());
}

#[test]
fn the_newest_entries_are_counted_across_logs() {
    let mut writer = Peer::new(1);
    writer.found("home");
    let logs: Vec<LogId> = (0..4).map(|at| crash(&mut writer, at, 3)).collect();
    for (newest, expected) in [(0, [0, 0, 0, 0]), (2, [0, 0, 0, 2]), (5, [0, 0, 2, 3]), (9, [0, 3, 3, 3])] {
        assert_eq!(held(&writer, newest, &logs), expected, "{newest}");
    }
}

#[test]
fn a_log_that_is_imported_stands_between_those_of_its_device() {
    let mut writer = Peer::new(1);
    writer.found("home");
    let first = crash(&mut writer, 1, 1);
    writer = Peer::recover(writer.store.crash(0), 9);
    let now = writer.now;
    let bulk = writer.endpoint.bulk_open(now, writer.main()).expect("an import");
    writer.endpoint.bulk_close(now, bulk);
    writer.settle();
    let bulk = writer.endpoint.log_id(bulk).expect("it has a log");
    let last = crash(&mut writer, 2, 1);
    assert_eq!(chain(&writer, first), [first, bulk, last]);
}

/// Sends a log of the hostile member's with one empty entry. Returns the end that a later card may name.
fn send(siege: &mut Siege, partition: PartitionId, prev: &[Prev]) -> (LogId, Prev) {
    let mut log: OwnLog = siege.member.new_log_after(partition, prev.to_vec());
    let entry = siege.member.entry(&mut log, &Header::new(EntryKind::Update, 0), &[]);
    siege.send(&log, 0, [0; 32], vec![entry]);
    siege.press();
    (log.id, end(&log))
}

fn end(log: &OwnLog) -> Prev {
    let mut h = [0; 8];
    h.copy_from_slice(&log.h[..8]);
    Prev { log: log.id, seq: log.seq - 1, h }
}

#[test]
fn of_two_ends_on_one_chain_the_higher_counts() {
    let mut siege = Siege::lay();
    let main = siege.member.main();
    let (first, first_end) = send(&mut siege, main, &[]);
    let (second, second_end) = send(&mut siege, main, &[first_end]);
    let (third, _) = send(&mut siege, main, &[first_end, second_end]);
    assert_eq!(chain(&siege.net.peers[0], first), [first, second, third]);
}

#[test]
fn in_whatever_order_the_cards_come() {
    let mut siege = Siege::lay();
    let main = siege.member.main();
    let mut logs: Vec<(OwnLog, Bytes)> = Vec::new();
    for _ in 0..3 {
        let prev = logs.iter().map(|(log, _)| end(log)).collect();
        let mut log = siege.member.new_log_after(main, prev);
        let entry = siege.member.entry(&mut log, &Header::new(EntryKind::Update, 0), &[]);
        logs.push((log, entry));
    }
    for at in [2, 0, 1] {
        let (log, entry) = &logs[at];
        siege.send(log, 0, [0; 32], vec![entry.clone()]);
        siege.press();
    }
    let ids: Vec<LogId> = logs.iter().map(|(log, _)| log.id).collect();
    assert_eq!(chain(&siege.net.peers[0], ids[0]), ids);
}

#[test]
fn ends_of_other_devices_and_partitions_are_ignored() {
    let mut siege = Siege::lay();
    let (main, control) = (siege.member.main(), siege.member.control());
    let founder = &mut siege.net.peers[0];
    founder.create(doc_id(1), note(""), BODY);
    let part = founder.main();
    let own = founder.endpoint.logs().find(|log| log.mine && log.partition == Some(part)).expect("one").id;
    let foreign = Prev { log: own, seq: 0, h: [0; 8] };
    // A card of this device in another partition, and a log that comes only later.
    let opening = siege.member.new_log(control, Lane::Live);
    let elsewhere = Prev { log: opening.id, seq: 0, h: [0; 8] };
    let mut later = siege.member.new_log(main, Lane::Live);
    let entry = siege.member.entry(&mut later, &Header::new(EntryKind::Update, 0), &[]);
    let (namer, _) = send(&mut siege, main, &[foreign, elsewhere, end(&later)]);
    siege.send(&later, 0, [0; 32], vec![entry]);
    siege.press();
    let reader = &siege.net.peers[0];
    assert_eq!(chain(reader, own), [own]);
    assert_eq!(chain(reader, later.id), [later.id, namer]);
    // The founder still names its own log, though another device named it too.
    let store = siege.net.peers[0].store.crash(0);
    siege.net.peers[0] = Peer::recover(store, 12);
    let next = crash(&mut siege.net.peers[0], 2, 1);
    assert_eq!(chain(&siege.net.peers[0], own), [own, next]);
}
