//! How a value stands on disk: sealed, or with a checksum.
//!
//! Sealed: nonce (24 bytes), XChaCha20-Poly1305 ciphertext, tag (16 bytes). Plain: value, then 8 bytes of BLAKE3.
//! Both bind the value to its table and key, so that a row moved elsewhere is noticed (`spec/storage.md`).

use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use core::fmt;
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{StoreError, Table};
use zeroize::ZeroizeOnDrop;

const NONCE_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;

/// The key that seals what a store keeps at rest. It stands in the key file, never in the store.
#[derive(Clone, ZeroizeOnDrop)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// Takes key bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the key file.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells keys apart without giving anything away: kept in the store to name a wrong key file as such.
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

/// Turns values into what stands on disk and back.
#[derive(Clone)]
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    checksum_key: [u8; 32],
}

impl Sealer {
    pub(super) fn new(key: &StoreKey) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&blake3::derive_key("cosmicsync store row 1", &key.0).into()),
            checksum_key: blake3::derive_key("cosmicsync row checksum 1", &[]),
        }
    }

    /// Encodes `value` into `stored`, whose old content goes.
    pub(super) fn seal(&self, entropy: &mut Entropy, row: (Table, &[u8]), value: &[u8], stored: &mut Vec<u8>) {
        stored.clear();
        if row.0.sealed_at_rest() {
            let nonce: [u8; NONCE_BYTES] = entropy.bytes();
            stored.extend_from_slice(&nonce);
            stored.extend_from_slice(value);
            let tag = self
                .cipher
                .encrypt_inout_detached(&XNonce::from(nonce), &aad(row), (&mut stored[NONCE_BYTES..]).into())
                .expect("a value is shorter than the cipher's limit of 256 GiB");
            stored.extend_from_slice(&tag);
        } else {
            stored.extend_from_slice(value);
            stored.extend_from_slice(&self.checksum(row, value));
        }
    }

    /// Decodes what stands on disk.
    pub(super) fn open(&self, row: (Table, &[u8]), stored: &[u8]) -> Result<Bytes, StoreError> {
        let value = if row.0.sealed_at_rest() { self.unseal(row, stored) } else { self.verify(row, stored) };
        value.ok_or(StoreError::Corrupt { table: row.0.name() })
    }

    fn unseal(&self, row: (Table, &[u8]), stored: &[u8]) -> Option<Bytes> {
        let (nonce, sealed) = stored.split_first_chunk::<NONCE_BYTES>()?;
        let mut value = sealed.to_vec();
        self.cipher.decrypt_in_place(&XNonce::from(*nonce), &aad(row), &mut value).ok()?;
        Some(value.into())
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
