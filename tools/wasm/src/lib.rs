//! The pure crates as a WebAssembly module, run by `smoke.mjs` under Node.js.
//!
//! A host in a browser gives the core its seed and the time, and nothing else; this module does the same. The module
//! never reads a clock, and is not the binding for applications.

use cosmicsync_data as _;
use cosmicsync_protocol::codec::{Reader, Write};
use cosmicsync_protocol::entropy::Entropy;

#[path = "../../../protocol/examples/two_peers.rs"]
#[expect(dead_code, reason = "its `main` prints, which a host of this module does not see")]
mod two_peers;

/// The text at the end of the example.
pub const MERGED: &str = "eggs, milk, bread";

/// Draws a number from the core's entropy, writes and reads it with the core's codec, and returns it. The native build
/// must return the same number.
pub fn smoke(seed: u8) -> u64 {
    let drawn = u64::from_le_bytes(Entropy::new([seed; 32]).child("smoke").bytes());
    let mut bytes = Vec::new();
    bytes.varint(drawn);
    let mut reader = Reader::new(&bytes);
    let read = reader.varint();
    assert_eq!(read, Ok(drawn), "a number written is the number read");
    assert_eq!(reader.finish(), Ok(()), "nothing is left over");
    drawn
}

/// Runs the example `two_peers`: two endpoints in memory share a space, edit one document apart and merge. Returns the
/// text that both have.
pub fn merge() -> Option<String> {
    Some(two_peers::merge().ok()?.entry("body")?.as_text()?.to_owned())
}

/// Calls [`merge`] for the host, and returns whether both peers have the text.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an export needs a fixed symbol name")]
// SAFETY: no other symbol of this module has the name `cosmicsync_two_peers`.
#[unsafe(no_mangle)]
pub extern "C" fn cosmicsync_two_peers() -> u32 {
    u32::from(merge().as_deref() == Some(MERGED))
}

/// Calls [`smoke`] for the host, which passes the seed byte as an `i32`.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an export needs a fixed symbol name")]
// SAFETY: no other symbol of this module has the name `cosmicsync_smoke`.
#[unsafe(no_mangle)]
pub extern "C" fn cosmicsync_smoke(seed: u32) -> u64 {
    smoke(seed as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_peers_have_the_text() {
        assert_eq!(merge().as_deref(), Some(MERGED));
    }

    /// `smoke.mjs` expects the same number from the WebAssembly build.
    #[test]
    fn the_native_build_draws_the_number_that_the_host_expects() {
        let script = include_str!("../smoke.mjs");
        assert!(script.contains(&format!("const expected = {}n;", smoke(7))), "write {} into smoke.mjs", smoke(7));
    }
}
