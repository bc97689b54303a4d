#![allow(missing_docs, clippy::all, unused)]
use bytes::Bytes;
use cosmicsync_protocol::document::forge::{Forgery, forge, nested_chain};
use cosmicsync_protocol::endpoint::*;
use cosmicsync_protocol::ledger::Lease;
use cosmicsync_protocol::log::*;
use cosmicsync_protocol::space::record::Record;
use cosmicsync_protocol::testkit::hostile::*;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::wire::message::*;

fn hwm() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        / 1024
}

#[test]
fn honest_use() {
    let mut s = Siege::lay();
    let mut log = s.announced_log(Lane::Live);
    let up = forge(log.peer(), Forgery::ManyKeys(3));
    s.send_update(&mut log, doc_id(5), &up);
    let v = s.net.peers[0].value(doc_id(5));
    println!("{:?} {v:?}", s.end());
    println!("{:?}", s.net.peers[1].value(doc_id(5)));
    assert!(s.net.peers[1].value(doc_id(5)).is_some());
}

#[test]
fn partial_entry() {
    let mut s = Siege::lay();
    // B writes, cut off from A; H got it from B... simulate: H takes B's entries from B by own line? use own log instead
    let mut log = s.announced_log(Lane::Live);
    let up = forge(log.peer(), Forgery::ManyKeys(3));
    let entry = s.member.update(&mut log, doc_id(5), &up);
    let partial = Entry::decode(&entry).unwrap().without(|n| n == 2).encode();
    s.send(&log, 0, [0; 32], vec![partial]);
    s.press();
    let v = s.net.peers[0].value(doc_id(5));
    println!("{:?} {v:?}", s.end());
    assert!(s.end().is_some());
}

#[test]
fn item_bomb() {
    let mut s = Siege::lay();
    let mut log = s.announced_log(Lane::Live);
    let before = hwm();
    let mut entries = Vec::new();
    let mut header = Header::new(EntryKind::Update, 0, 0);
    header.items =
        vec![Item { doc: doc_id(1), new_in: None, section: 1, key: KeyRef::Records, dictionary: None }; 16_384];
    for _ in 0..20 {
        entries.push(s.member.entry(&mut log, &header, &[Plain::Records(b"x")]));
    }
    println!("entry {} B", entries[0].len());
    s.send(&log, 0, [0; 32], entries);
    let t = std::time::Instant::now();
    s.press();
    println!("{:?} hwm {} -> {} MiB {:?}", s.end(), before, hwm(), t.elapsed());
    assert!(hwm() - before < 64);
}

#[test]
fn plain_bomb() {
    let mut s = Siege::lay();
    let mut log = s.announced_log(Lane::Live);
    s.net.peers[0].open(doc_id(5));
    let before = hwm();
    let zeros = vec![0; 256 * 1024];
    let mut entries = Vec::new();
    for _ in 0..1000 {
        entries.push(s.member.update(&mut log, doc_id(5), &zeros));
    }
    println!("entry {} B", entries[0].len());
    s.send(&log, 0, [0; 32], entries);
    let t = std::time::Instant::now();
    s.press();
    println!("{:?} hwm {} -> {} MiB {:?}", s.end(), before, hwm(), t.elapsed());
    assert!(hwm() - before < 64);
}

#[test]
fn spans() {
    let mut s = Siege::lay();
    let main = s.member.main();
    let mut log = s.member.new_log(main, Lane::Live);
    let name = s.line.name(log.id);
    let head = s.member.head(&log, 1 << 40, [5; 32]);
    s.line.say(&Message::Head {
        log: name,
        card: Some(log.card_bytes.clone()),
        seq: 1 << 40,
        h: [5; 32],
        signature: head.signature,
    });
    s.press();
    println!(
        "{:?} heard {:?}",
        s.end(),
        s.line.heard.iter().filter(|m| matches!(m, Message::Want { .. })).collect::<Vec<_>>()
    );
    for at in 0..5000u64 {
        log.seq = 10 + at * 2;
        log.h = [7; 32];
        let header = Header::new(EntryKind::Update, 0, 0);
        let entry = s.member.entry(&mut log, &header, &[]);
        s.send(&log, 10 + at * 2, [7; 32], vec![entry]);
        s.strike();
        if s.end().is_some() {
            break;
        }
    }
    s.press();
    println!("{:?}", s.end());
    let store = s.net.peers[0].store.crash(0);
    Peer::recover(store, Lease::Continued, 9);
}

#[test]
fn retire_by_word() {
    let mut s = Siege::lay();
    let doc = s.net.peers[0].create(doc_id(1), note("x"), BODY);
    s.press();
    for round in 0..50 {
        let log = *s.net.peers[0].own_logs().last().unwrap();
        let name = s.line.name(log);
        s.line.say(&Message::Changes { logs: vec![(name, 1 << 50)] });
        s.press();
        s.net.peers[0].edit(doc, insert(0, "y"), BODY).unwrap();
        s.press();
    }
    let retired = s.net.peers[0].events.iter().filter(|e| matches!(e, Event::Retired { .. })).count();
    println!("{:?} retired {retired} logs {}", s.end(), s.net.peers[0].endpoint.logs().count());
    assert!(retired < 20);
}

#[test]
fn fork_hint() {
    let mut s = Siege::lay();
    let doc = s.net.peers[0].create(doc_id(1), note("x"), BODY);
    s.press();
    for round in 0..50 {
        let log = *s.net.peers[0].own_logs().last().unwrap();
        let name = s.line.name(log);
        s.line.say(&Message::ForkHint { log: name, seq: 0, h: [3; 32] });
        s.press();
        s.net.peers[0].edit(doc, insert(0, "y"), BODY).unwrap();
        s.press();
    }
    let retired = s.net.peers[0].events.iter().filter(|e| matches!(e, Event::Retired { .. })).count();
    let forked = s.net.peers[0].events.iter().filter(|e| matches!(e, Event::Forked { .. })).count();
    println!("{:?} retired {retired} forked {forked} logs {}", s.end(), s.net.peers[0].endpoint.logs().count());
    assert!(retired < 20);
}

#[test]
fn handles_memory() {
    let mut s = Siege::lay();
    let before = hwm();
    let mut n = 0u64;
    'all: for _ in 0..64 {
        let ids: Vec<_> = (0..4096)
            .map(|_| {
                n += 1;
                let mut id = [0; 32];
                id[..8].copy_from_slice(blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk::<8>().unwrap());
                cosmicsync_protocol::ids::LogId(id)
            })
            .collect();
        let first = n as u32 - 4096;
        s.line.introduce(ids);
        s.line.say(&Message::Changes { logs: (first..first + 4096).map(|h| (LogRef::Mine(h), 5)).collect() });
        s.strike();
        if s.end().is_some() {
            break 'all;
        }
    }
    println!("{:?} n {n} hwm {} -> {} MiB", s.end(), before, hwm());
    s.press();
    println!("{:?} hwm {} -> {} MiB", s.end(), before, hwm());
    assert!(hwm() - before < 100);
}

#[test]
fn deep_chain() {
    let t = std::time::Instant::now();
    let work = || {
        let mut s = Siege::lay();
        let mut log = s.announced_log(Lane::Live);
        let t = std::time::Instant::now();
        let chain = nested_chain(log.peer(), 2_000, 10);
        println!("made {:?} {:?}", t.elapsed(), chain.iter().map(Vec::len).collect::<Vec<_>>());
        s.net.peers[0].open(doc_id(5));
        for up in &chain {
            let t = std::time::Instant::now();
            s.send_update(&mut log, doc_id(5), up);
            println!("{:?} {:?}", s.end(), t.elapsed());
        }
        let t = std::time::Instant::now();
        let v = s.net.peers[0].value(doc_id(5)).is_some();
        println!("{v} {:?}", t.elapsed());
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn partitions() {
    let mut s = Siege::lay();
    let before = hwm();
    let control = s.member.control();
    let mut log = s.member.new_log(control, Lane::Live);
    let mut n = 0;
    for round in 0..100 {
        let mut records = vec![];
        if round == 0 {
            records.push(s.member.device());
            records.push(s.member.log_open(&log));
        }
        while records.len() < 1024 {
            n += 1;
            records.push(Record::Partition { name: format!("{n:x}") });
        }
        let (start, h) = (log.seq, log.h);
        let entry = s.member.control_entry(&mut log, &records);
        s.send(&log, start, h, vec![entry]);
        s.strike();
    }
    s.press();
    println!("{:?} hwm {} -> {} MiB, {}", s.end(), before, hwm(), s.net.peers[0].endpoint.partitions().count());
}

#[test]
fn generation_overflow() {}
#[test]
fn deep_small_stack() {
    let kib: usize = std::env::var("KIB").unwrap().parse().unwrap();
    use cosmicsync_protocol::document::{Replica, check};
    let chain = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(|| {
            let n: usize = std::env::var("STEP").unwrap().parse().unwrap();
            nested_chain(77, n, 8000 / n)
        })
        .unwrap()
        .join()
        .unwrap();
    std::thread::Builder::new()
        .stack_size(kib << 10)
        .spawn(move || {
            let mut r = Replica::new(1);
            let mut start = 0;
            for up in chain {
                let c = check(up, 77, start).unwrap();
                start = c.end();
                r.import(vec![c]).unwrap();
                println!("imported");
            }
            println!("value {}", r.value().is_ok());
            println!("hist {}", r.history().unwrap().len());
            drop(r);
            println!("dropped");
        })
        .unwrap()
        .join()
        .unwrap();
}
