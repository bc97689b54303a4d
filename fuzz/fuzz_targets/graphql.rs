//! Fuzzes requests of GraphQL (`node/api/src/fuzz.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cosmicsync_api::fuzz::graphql(data));
