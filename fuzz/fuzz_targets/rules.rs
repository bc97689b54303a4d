//! Fuzzes rules of collections (`data/src/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cosmicsync_data::fuzz::rules(data));
