//! Measures documents that many processes wrote to, each in a log of its own, and prints one JSON object: the part
//! of `prove sessions` without a disk.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures time")]

use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use serde_json::{Value, json};
use std::time::Instant;

/// More than the drift at which live logs end, in milliseconds.
const JUMP_MS: u64 = 120_000;
/// Number of runs; the fastest is reported.
const RUNS: usize = 3;

fn main() {
    let sessions: Vec<Value> = [1_000, 10_000].into_iter().map(measure).collect();
    let told = json!({ "sessions": sessions, "many": editable(20_000) });
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("{told}");
    }
}

/// Makes a peer that wrote a document in this many logs.
fn written(sessions: usize) -> Peer {
    let mut peer = Peer::new(1);
    peer.found("home");
    let doc = peer.create(doc_id(1), note(""), BODY);
    for number in 1..sessions {
        peer.now.wall_ms += JUMP_MS;
        peer.edit(doc, insert(number - 1, "x"), BODY).expect("an edit");
    }
    peer
}

fn measure(sessions: usize) -> Value {
    let writer = written(sessions);
    let open_ms = (0..RUNS).map(|run| open_ms(&writer, run as u8)).fold(f64::INFINITY, f64::min);
    // Two devices are in sync; the first starts anew and types one character.
    let mut net = Net::new(vec![writer, Peer::new(2)]);
    net.join(1, 0);
    net.dial(1, 0);
    net.run();
    net.cut();
    let store = net.peers[0].store.crash(0);
    net.peers[0] = Peer::recover(store, 50);
    net.dial(1, 0);
    net.run();
    let open = net.peers[0].open(doc_id(1));
    let (before, logs) = (net.sent.clone(), net.peers[0].endpoint.logs().count());
    net.peers[0].edit(open, insert(0, "y"), BODY).expect("an edit");
    net.run();
    assert_eq!(net.peers[0].endpoint.logs().count(), logs + 1, "the first edit opens a log");
    let sent: u64 = net.sent.iter().zip(&before).map(|(now, before)| now - before).sum();
    let update = body_bytes(&net.peers[0]);
    json!({ "sessions": sessions, "open_ms": open_ms, "first_edit": sent, "update": update })
}

/// Returns the time that a freshly started peer takes to open the document, in milliseconds.
fn open_ms(writer: &Peer, run: u8) -> f64 {
    let mut peer = Peer::recover(writer.store.crash(0), 60 + run);
    let began = Instant::now();
    peer.open(doc_id(1));
    began.elapsed().as_secs_f64() * 1_000.0
}

/// Returns the length of the last section of the newest entry, in bytes: the update, without its tag.
fn body_bytes(peer: &Peer) -> usize {
    let newest = peer.endpoint.logs().last().expect("a log").no;
    let row = peer.store.rows().iter().filter(|((table, key), _)| {
        *table == cosmicsync_protocol::storage::Table::Entry && key.starts_with(&newest.0.to_be_bytes())
    });
    let (_, row) = row.last().expect("an entry");
    let entry = cosmicsync_protocol::log::Entry::decode(&row.slice(32..)).expect("a stored entry decodes");
    entry.sections().last().map_or(0, |section| section.len() - 16)
}

/// Measures whether a freshly started process can still edit a document of this many sessions.
fn editable(sessions: usize) -> Value {
    let mut peer = Peer::recover(written(sessions).store.crash(0), 70);
    let began = Instant::now();
    let doc = peer.open(doc_id(1));
    let open_ms = began.elapsed().as_secs_f64() * 1_000.0;
    let began = Instant::now();
    let edited = peer.edit(doc, insert(0, "y"), BODY).is_ok();
    json!({
        "sessions": sessions, "open_ms": open_ms, "edited": edited,
        "edit_ms": began.elapsed().as_secs_f64() * 1_000.0,
    })
}
