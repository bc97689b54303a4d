//! The form of a value on disk: sealed, or with a checksum.
//!
//! Sealed: nonce (24 bytes), XChaCha20-Poly1305 ciphertext, tag (16 bytes). Plain: value, then 8 bytes of BLAKE3. The
//! cipher is composed of HChaCha20 and ring's ChaCha20-Poly1305, which takes a fifth of the time. Both forms bind the
//! value to its table and key, so that a moved row is detected. Specified in `spec/storage.md`.

use bytes::Bytes;
use chacha20::{R20, hchacha};
use core::fmt;
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{StoreError, Table};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{ZeroizeOnDrop, Zeroizing};

const NONCE_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;

/// The key that seals a store's values at rest. The key is in the key file, never in the store.
#[derive(Clone, ZeroizeOnDrop)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// Returns the key with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the key's bytes, for the key file.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns a value that identifies the key without revealing it; stored, so that a wrong key file is recognised.
    pub(super) fn check_value(&self) -> [u8; 16] {
        let mut check = [0; 16];
        check.copy_from_slice(&blake3::derive_key("cosmicsync store key check 1", &self.0)[..16]);
        check
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

/// Encodes and decodes values for the disk.
#[derive(Clone)]
pub(super) struct Sealer {
    key: Zeroizing<[u8; 32]>,
    checksum_key: [u8; 32],
}

impl Sealer {
    pub(super) fn new(key: &StoreKey) -> Self {
        Self {
            key: Zeroizing::new(blake3::derive_key("cosmicsync store row 1", &key.0)),
            checksum_key: blake3::derive_key("cosmicsync row checksum 1", &[]),
        }
    }

    /// Encodes `value` into `stored`, replacing its content.
    pub(super) fn seal(&self, entropy: &mut Entropy, row: (Table, &[u8]), value: &[u8], stored: &mut Vec<u8>) {
        stored.clear();
        if row.0.sealed_at_rest() {
            let nonce: [u8; NONCE_BYTES] = entropy.bytes();
            stored.extend_from_slice(&nonce);
            stored.extend_from_slice(value);
            let (cipher, short) = self.cipher(&nonce);
            let tag = cipher
                .seal_in_place_separate_tag(short, Aad::from(aad(row)), &mut stored[NONCE_BYTES..])
                .expect("a value is shorter than the cipher's limit of 256 GiB");
            stored.extend_from_slice(tag.as_ref());
        } else {
            stored.extend_from_slice(value);
            stored.extend_from_slice(&self.checksum(row, value));
        }
    }

    /// Decodes a value from the disk.
    pub(super) fn open(&self, row: (Table, &[u8]), stored: &[u8]) -> Result<Bytes, StoreError> {
        let value = if row.0.sealed_at_rest() { self.unseal(row, stored) } else { self.verify(row, stored) };
        value.ok_or(StoreError::Corrupt { table: row.0.name() })
    }

    fn unseal(&self, row: (Table, &[u8]), stored: &[u8]) -> Option<Bytes> {
        let (nonce, sealed) = stored.split_first_chunk::<NONCE_BYTES>()?;
        let mut value = sealed.to_vec();
        let (cipher, short) = self.cipher(nonce);
        let len = cipher.open_in_place(short, Aad::from(aad(row)), &mut value).ok()?.len();
        value.truncate(len);
        Some(value.into())
    }

    /// Returns the XChaCha20-Poly1305 cipher for a nonce: the first 16 bytes derive a key, the others follow 4 zeros.
    fn cipher(&self, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
        let mut input = [0; 16];
        let mut short = [0; NONCE_LEN];
        input.copy_from_slice(&nonce[..16]);
        short[4..].copy_from_slice(&nonce[16..]);
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(hchacha::<R20>(&(*self.key).into(), &input.into()).into());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("the cipher takes keys of 32 bytes");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
    }

    fn verify(&self, row: (Table, &[u8]), stored: &[u8]) -> Option<Bytes> {
        let (value, checksum) = stored.split_last_chunk::<CHECKSUM_BYTES>()?;
        (self.checksum(row, value) == *checksum).then(|| Bytes::copy_from_slice(value))
    }

    fn checksum(&self, row: (Table, &[u8]), value: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.checksum_key);
        hasher.update(&[row.0 as u8, u8::try_from(row.1.len()).unwrap_or(u8::MAX)]);
        hasher.update(row.1);
        hasher.update(value);
        let mut checksum = [0; CHECKSUM_BYTES];
        hasher.finalize_xof().fill(&mut checksum);
        checksum
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn aad((table, key): (Table, &[u8])) -> Vec<u8> {
    let mut aad = Vec::with_capacity(1 + key.len());
    aad.push(table as u8);
    aad.extend_from_slice(key);
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_stored_value_and_its_row_is_bound() {
        let sealer = Sealer::new(&StoreKey::new([3; 32]));
        let mut entropy = Entropy::new([1; 32]);
        for table in [Table::Secret, Table::Entry] {
            let mut stored = Vec::new();
            sealer.seal(&mut entropy, (table, b"key"), b"value", &mut stored);
            assert_eq!(sealer.open((table, b"key"), &stored), Ok(Bytes::from("value")));
            let corrupt = Err(StoreError::Corrupt { table: table.name() });
            assert_eq!(sealer.open((table, b"kez"), &stored), corrupt);
            for bit in 0..stored.len() * 8 {
                stored[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(sealer.open((table, b"key"), &stored), corrupt);
                stored[bit / 8] ^= 1 << (bit % 8);
            }
            assert_eq!(sealer.open((table, b"key"), &stored[..3]), corrupt);
        }
    }

    #[test]
    fn what_is_sealed_is_the_same_as_by_another_library() {
        use chacha20poly1305::aead::{Aead as _, Payload};
        use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
        let key = StoreKey::new([3; 32]);
        let sealer = Sealer::new(&key);
        let other = XChaCha20Poly1305::new(&blake3::derive_key("cosmicsync store row 1", &key.0).into());
        let mut entropy = Entropy::new([1; 32]);
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 200, 4028, 70_000] {
            let value = vec![len as u8; len];
            let row = (Table::Value, &value[..len.min(40)]);
            let mut stored = Vec::new();
            sealer.seal(&mut entropy, row, &value, &mut stored);
            let (nonce, sealed) = stored.split_first_chunk::<NONCE_BYTES>().unwrap();
            let by_other = other.encrypt(&XNonce::from(*nonce), Payload { msg: &value, aad: &aad(row) }).unwrap();
            assert_eq!(sealed, by_other, "{len} bytes");
            assert_eq!(sealer.open(row, &[nonce, &by_other[..]].concat()), Ok(value.into()));
        }
    }

    #[test]
    fn plaintext_of_sealed_tables_is_not_on_disk() {
        let sealer = Sealer::new(&StoreKey::new([3; 32]));
        let mut entropy = Entropy::new([1; 32]);
        for table in Table::ALL {
            let mut stored = Vec::new();
            sealer.seal(&mut entropy, (table, b"key"), b"canary", &mut stored);
            assert_eq!(stored.windows(6).any(|window| window == b"canary"), !table.sealed_at_rest());
        }
    }
}
