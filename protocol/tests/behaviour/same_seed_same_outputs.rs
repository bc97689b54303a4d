//! The same seeds and inputs give the same bytes, requests and events, in any process.

use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note, set};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use std::process::Command;

const CHILD: &str = "COSMICSYNC_TRACE_ONLY";

/// Runs a little of everything and hashes all outputs.
fn trace() -> String {
    let mut net = Net::new(vec![Peer::new(1), Peer::new(2)]);
    for peer in &mut net.peers {
        peer.trace = Some(Box::new(blake3::Hasher::new()));
    }
    net.peers[0].found("home");
    net.join(1, 0);
    net.dial(1, 0);
    net.run();
    for number in 0..5 {
        let here = net.peers[0].create(doc_id(number), note("middle"), BODY);
        net.run();
        let there = net.peers[1].open(doc_id(number));
        net.cut();
        net.peers[0].edit(here, insert(0, "left "), BODY).expect("an edit");
        net.peers[1].edit(there, insert(6, " right"), BODY).expect("an edit");
        net.peers[1].edit(there, set("field", 5), BODY).expect("an edit");
        net.dial(0, 1);
        net.run();
        net.peers.iter_mut().for_each(|peer| peer.pass(100_000));
        net.run();
    }
    let hashes = net.peers.iter_mut().map(|peer| peer.trace.take().expect("a trace").finalize().to_hex().to_string());
    hashes.collect::<Vec<_>>().join(" ")
}

#[test]
#[expect(clippy::print_stdout, reason = "the child tells its parent what it computed")]
fn two_processes_agree() {
    let here = trace();
    if std::env::var_os(CHILD).is_some() {
        println!("trace {here}");
        return;
    }
    assert_eq!(here, trace(), "twice in one process");
    let test = std::env::current_exe().expect("the test's own path");
    let child = Command::new(test)
        .args(["--exact", "same_seed_same_outputs::two_processes_agree", "--nocapture"])
        .env(CHILD, "1")
        .output();
    let output = String::from_utf8(child.expect("a child process").stdout).expect("text");
    assert!(output.contains(&format!("trace {here}")), "{here} is not in {output}");
}
