//! The examples run, and their store keeps the promises of a store.
#![expect(clippy::duplicate_mod, reason = "each example is a program of its own")]

#[path = "../examples/memory_store/mod.rs"]
mod memory_store;
#[path = "../examples/two_peers.rs"]
mod two_peers;

use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use cosmicsync_protocol::testkit::store::{Subject, conformance};
use memory_store::MemoryStore;

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
