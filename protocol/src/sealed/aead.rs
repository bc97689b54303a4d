//! XChaCha20-Poly1305: `ciphertext | tag(16)`. Never chooses a key or a nonce.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 24;
/// Number of bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// Error for bytes that were not sealed under this key, nonce and associated data, or were changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: the key, the place or the bytes are wrong")]
pub struct OpenError;

/// Appends `plaintext`, encrypted, and a tag of 16 bytes to `out`.
///
/// # Panics
/// For a plaintext beyond 256 GiB.
pub fn seal(key: &[u8; KEY_BYTES], nonce: &[u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(plaintext.len() + TAG_BYTES);
    out.extend_from_slice(plaintext);
    let tag = XChaCha20Poly1305::new(&Key::from(*key))
        .encrypt_inout_detached(&XNonce::from(*nonce), aad, (&mut out[start..]).into())
        .expect("a plaintext that fits in memory is below the limit of the cipher");
    out.extend_from_slice(&tag);
}

/// Opens the output of [`seal`].
///
/// # Errors
/// [`OpenError`], without the cause.
pub fn open(key: &[u8; KEY_BYTES], nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
    let mut plaintext = ciphertext.to_vec();
    XChaCha20Poly1305::new(&Key::from(*key))
        .decrypt_inout_detached(&XNonce::from(*nonce), aad, plaintext.as_mut_slice().into(), &Tag::from(*tag))
        .map_err(|_| OpenError)?;
    Ok(plaintext)
}
