//! What the fuzzer runs, one function per target: hostile bytes in, no panic and no broken promise out.
//!
//! `fuzz/` drives these functions with libFuzzer. `tests/fuzz_corpus.rs` replays the committed corpora with the same
//! functions as ordinary tests, so a finding stays fixed on machines that have no fuzzer.

use crate::wire::codec::{CodecError, Reader, Write, varint_len};

/// A target: takes any bytes, and panics when the code under test breaks a promise.
pub type Target = fn(&[u8]);

/// Every target by name. `fuzz/corpus/NAME` holds its corpus, `fuzz/fuzz_targets/NAME.rs` its program.
pub const TARGETS: &[(&str, Target)] = &[("codec", codec)];

/// Reads fields as the input's own first bytes command, and writes back what was read: the encoding is canonical, so
/// the bytes must be the same (`spec/wire.md`, section 2).
pub fn codec(data: &[u8]) {
    let Some((commands, fields)) = data.split_first_chunk::<8>() else { return };
    let mut reader = Reader::new(fields);
    let mut written = Vec::new();
    for command in commands {
        if field(*command, &mut reader, &mut written).is_err() {
            break;
        }
        assert_eq!(written.len() + reader.remaining(), fields.len(), "a field is read exactly once");
        assert_eq!(fields.get(..written.len()), Some(&written[..]), "what was read has one encoding");
    }
}

fn field(command: u8, reader: &mut Reader<'_>, written: &mut Vec<u8>) -> Result<(), CodecError> {
    let limit = usize::from(command >> 2);
    match command & 3 {
        0 => written.raw(reader.take(limit)?),
        1 => {
            let value = reader.varint()?;
            let before = written.len();
            written.varint(value);
            assert_eq!(written.len() - before, varint_len(value), "a number has the length it is said to have");
        }
        2 => {
            let bytes = reader.bytes(limit, "bytes")?;
            assert!(bytes.len() <= limit, "a limit is kept");
            written.prefixed(bytes);
        }
        _ => written.prefixed(reader.text(limit, "text")?.as_bytes()),
    }
    Ok(())
}
