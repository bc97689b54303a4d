//! Fuzzes what stands behind the seal of a header (`protocol/src/testkit/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cosmicsync_protocol::testkit::fuzz::header(data));
