//! XChaCha20-Poly1305 over buffers that grow in place: `ciphertext | tag(16)`.
//!
//! Never chooses a key or a nonce.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

/// How many bytes a seal adds.
pub(crate) const TAG_LEN: usize = 16;

/// Appends the sealed form of `plain` to `out`.
pub(crate) fn seal_into(out: &mut Vec<u8>, key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plain: &[u8]) {
    let start = out.len();
    out.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&XNonce::from(*nonce), aad, (&mut out[start..]).into())
        .expect("a section is far below the cipher's limit of 256 GiB");
    out.extend_from_slice(&tag);
}

/// Opens what [`seal_into`] appended; `None` if key, nonce, associated data or bytes are not the sealer's.
pub(crate) fn open(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (cipher, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_LEN)?)?;
    let tag = Tag::try_from(tag).ok()?;
    let mut plain = cipher.to_vec();
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&XNonce::from(*nonce), aad, plain.as_mut_slice().into(), &tag)
        .ok()?;
    Some(plain)
}
