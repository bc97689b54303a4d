//! The parts, one by one: handshake, entries, chain, tries, documents, store.
//!
//! Where there is a floor it stands in the same group and run: what the same work costs with nothing of ours around it.

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
