//! Measures the least work for a cold sync with the same guarantees, with nothing else around it.
//!
//! The tool takes the lines of a file as documents, bundled by size. On one core it does the work of a sender and a
//! receiver: compress, seal, hash and sign; then verify, open and decompress. The tool uses no network, no disk and no
//! merge. `cargo xtask prove` compares its time with the real program's in the same run.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signature, Signer, SigningKey};
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use std::error::Error;
use std::io::{Read, Write as _};
use std::process::ExitCode;
use std::time::Instant;

/// Plain size of a bundle, in bytes.
const BUNDLE_BYTES: usize = 256 << 10;
/// Number of runs; the fastest is the result.
const RUNS: usize = 7;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        drop(writeln!(std::io::stderr(), "usage: floor FILE, with one document a line"));
        return ExitCode::from(2);
    };
    let report = std::fs::read(path).map_err(Into::into).and_then(|file| measure(&file));
    match report.and_then(|report| Ok(writeln!(std::io::stdout(), "{report}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(file: &[u8]) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut fastest = f64::INFINITY;
    let mut bytes = 0;
    for _ in 0..RUNS {
        let began = Instant::now();
        bytes = round_trip(file)?;
        fastest = fastest.min(began.elapsed().as_secs_f64() * 1_000.0);
    }
    let documents = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    Ok(serde_json::json!({ "documents": documents, "ms": fastest, "bytes": bytes }))
}

/// Sends and receives a file bundle by bundle; returns the size of the sent data.
fn round_trip(file: &[u8]) -> Result<usize, Box<dyn Error>> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let (mut sent, mut rest, mut number) = (0, file, 0_u64);
    while !rest.is_empty() {
        let whole = rest[..rest.len().min(BUNDLE_BYTES)].iter().rposition(|byte| *byte == b'\n');
        let (bundle, after) = rest.split_at(whole.map_or(rest.len(), |at| at + 1));
        rest = after;
        let (sealed, signature) = send(bundle, number, &key)?;
        sent += sealed.len() + signature.to_bytes().len();
        if receive(&sealed, &signature, number, &key)? != bundle {
            return Err("a bundle came out differently".into());
        }
        number += 1;
    }
    Ok(sent)
}

fn send(bundle: &[u8], number: u64, key: &SigningKey) -> Result<(Vec<u8>, Signature), Box<dyn Error>> {
    let mut packed = Vec::new();
    DeflateEncoder::new(bundle, Compression::new(6)).read_to_end(&mut packed)?;
    let payload = Payload { msg: &packed, aad: &number.to_le_bytes() };
    let sealed = cipher().encrypt(&nonce(number), payload).map_err(|_| "a bundle could not be sealed")?;
    let signature = key.sign(blake3::hash(&sealed).as_bytes());
    Ok((sealed, signature))
}

fn receive(sealed: &[u8], signature: &Signature, number: u64, key: &SigningKey) -> Result<Vec<u8>, Box<dyn Error>> {
    key.verifying_key().verify_strict(blake3::hash(sealed).as_bytes(), signature)?;
    let payload = Payload { msg: sealed, aad: &number.to_le_bytes() };
    let packed = cipher().decrypt(&nonce(number), payload).map_err(|_| "a bundle could not be opened")?;
    let mut plain = Vec::new();
    DeflateDecoder::new(packed.as_slice()).read_to_end(&mut plain)?;
    Ok(plain)
}

/// Returns a cipher with any key, because the work does not depend on it.
fn cipher() -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&[9; 32].into())
}

fn nonce(number: u64) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_survive_the_way_and_take_fewer_bytes() {
        let file = "{\"name\":\"the same again and again\"}\n".repeat(10_000);
        let sent = round_trip(file.as_bytes()).unwrap();
        assert!(sent > 0 && sent < file.len() / 4);
    }
}
