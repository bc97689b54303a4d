//! Fuzzes entries, cards and heads (`protocol/src/testkit/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cosmicsync_protocol::testkit::fuzz::entry(data));
