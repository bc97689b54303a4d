//! Fuzzes selectors (`data/src/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cosmicsync_data::fuzz::selector(data));
