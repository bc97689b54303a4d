//! Fuzzes the document boundary (`protocol/src/testkit/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(
    // Panics of the document engine are contained by the code under test; libFuzzer's hook would end the process first.
    init: std::panic::set_hook(Box::new(|_| {})),
    |data: &[u8]| cosmicsync_protocol::testkit::fuzz::document(data)
);
