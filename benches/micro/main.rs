//! The parts, one by one: handshake, entries, chain, tries, documents, store.
//!
//! Where there is a floor it stands in the same group and run: what the same work costs with nothing of ours around it.

mod core;
mod store;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    core::handshake,
    core::transport,
    core::live_entry,
    core::bulk_entry,
    core::trie,
    core::documents,
    store::commits
);
criterion_main!(benches);
