//! The parts, one by one: handshake, entries, chain, tries, documents, store.
//!
//! A floor is in the same group and run: the cost of the same work without this project's code around it.

mod pure;
mod store;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    pure::handshake,
    pure::transport,
    pure::live_entry,
    pure::bulk_entry,
    pure::trie,
    pure::documents,
    store::commits
);
criterion_main!(benches);
