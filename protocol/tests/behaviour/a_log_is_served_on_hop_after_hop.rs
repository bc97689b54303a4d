//! Any holder of a log can serve any stretch of it with a head that proves it, from whatever source the log came.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::testkit::notes::{doc_id, note, set};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use std::sync::OnceLock;

const HOPS: usize = 5;

/// Text that does not compress.
fn noise(at: usize, len: usize) -> Value {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let mut state = 1u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 58) as u8)
        };
        (0..256 * 1024).map(next).collect()
    });
    Value::from(&text[at..at + len])
}

/// Makes a peer that serves nothing from memory.
fn peer(seed: u8) -> Peer {
    Peer::with_config(MemStore::new(), seed, Config { recent_bytes_max: 1, ..Config::default() })
}

/// Has the first peer write entries of these sizes and the second take them `step` at a time; then each catches up
/// with the one before as a stranger.
fn hop(sizes: &[usize], step: usize) {
    let mut net = Net::new((0..HOPS as u8).map(|at| peer(at + 1)).collect());
    net.peers[0].found("home");
    (1..HOPS).for_each(|at| net.join(at, 0));
    let open = net.peers[0].create(doc_id(1), note(""), &[]);
    for (at, size) in sizes.iter().enumerate() {
        net.peers[0].edit(open, set(&format!("{}", at % 8), noise(at, *size)), &[]).expect("an edit");
        if at % step == 0 {
            net.dial(1, 0);
            net.run();
            net.cut();
        }
    }
    let value = net.peers[0].value(doc_id(1));
    for at in 1..HOPS {
        net.dial(at, at - 1);
        net.run();
        assert_eq!(net.peers[at].root(), net.peers[0].root(), "hop {at}: {:?}", net.peers[at].events);
        assert_eq!(net.peers[at].value(doc_id(1)), value, "hop {at}");
        net.cut();
    }
}

#[test]
fn of_many_small_entries() {
    for count in [1, 2, 63, 64, 65, 130, 300] {
        hop(&(0..count).map(|at| at * 7 % 100).collect::<Vec<_>>(), count);
    }
    hop(&[10; 150], 7);
}

#[test]
fn of_entries_of_odd_sizes() {
    let sizes: Vec<usize> = (0..80).map(|at| if at % 5 == 0 { 90_000 } else { at * 977 % 9_000 }).collect();
    hop(&sizes, 3);
}

#[test]
fn of_entries_that_nearly_fill_a_segment() {
    hop(&[200_000; 6], 6);
    hop(&[130_000; 8], 1);
    let sizes: Vec<usize> = (0..12).map(|at| if at % 4 == 3 { 250_000 } else { 80_000 }).collect();
    hop(&sizes, 4);
}
