//! Fuzzes log cards and their owner boxes (`protocol/src/testkit/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cosmicsync_protocol::testkit::fuzz::card(data));
