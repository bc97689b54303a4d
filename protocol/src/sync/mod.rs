//! Finding and moving differences between replicas (`spec/sync.md`).

pub mod spans;
pub mod trie;
