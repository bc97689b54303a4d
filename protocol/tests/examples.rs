//! The examples run, and their store keeps the promises of a store.
#![expect(clippy::duplicate_mod, reason = "each example is a program of its own")]

#[path = "../examples/foreign_runtime.rs"]
#[expect(dead_code, reason = "its `main` reads arguments, which belong to the test program here")]
mod foreign_runtime;
#[path = "../examples/two_peers.rs"]
mod two_peers;

use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use cosmicsync_protocol::testkit::store::{Subject, conformance};
use two_peers::memory_store::MemoryStore;

impl Subject for MemoryStore {
    fn run(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreDone> {
        requests.into_iter().map(|request| self.carry_out(request)).collect()
    }

    fn reopen(&mut self) {
        self.poisoned = false;
    }
}

#[test]
fn their_store_keeps_the_promises() {
    conformance(&mut MemoryStore::default());
}

#[test]
fn two_peers_merge() {
    two_peers::main().expect("both peers have the document");
}

#[test]
fn a_runtime_of_threads_joins_and_edits_over_tcp() {
    let both = foreign_runtime::both_sides().expect("both sides end in good order");
    assert_eq!(both, ["a thread, a host", "a thread, a host"]);
}

/// The snippets of the guide are parts of the examples, up to their indentation.
#[test]
fn the_guide_shows_their_code() {
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let examples = [
        trimmed(include_str!("../examples/two_peers.rs")),
        trimmed(include_str!("../examples/foreign_runtime.rs")),
        trimmed(include_str!("../examples/memory_store/mod.rs")),
    ];
    let guide = include_str!("../../docs/guides/embed.md");
    let snippets: Vec<&str> = guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!snippets.is_empty());
    for snippet in snippets {
        let code = trimmed(snippet);
        assert!(examples.iter().any(|example| example.contains(&code)), "in no example:\n{snippet}");
    }
}
