//! Epoch keys, and the keys derived from them (`spec/encryption.md`, section 1).

use crate::entropy::Entropy;
use crate::identity::{derive, derive_cut};
use crate::ids::EpochId;
use core::fmt;
use ed25519_dalek::SigningKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The key of one epoch of a space. Anyone who has it can read all that was sealed in the epoch.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct EpochKey([u8; 32]);

impl EpochKey {
    /// Makes a new key.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self(entropy.bytes())
    }

    /// Wraps the bytes of a key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the secret, to be sealed at rest or boxed.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the epoch's id, which commits to the key: no other key has this id.
    pub fn id(&self) -> EpochId {
        EpochId(derive_cut("cosmicsync epoch 1", &[&self.0]))
    }

    /// Derives the key that seals the headers of entries.
    pub fn header_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive("cosmicsync epoch header 1", &[&self.0]))
    }

    /// Derives the key that seals control records.
    pub fn records_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive("cosmicsync epoch records 1", &[&self.0]))
    }

    /// Derives the key that seals the sections in which data keys travel.
    pub fn key_box_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive("cosmicsync epoch key box 1", &[&self.0]))
    }

    /// Derives the key that seals the owner of a log in its card.
    pub fn owner_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive("cosmicsync epoch owner 1", &[&self.0]))
    }

    /// Derives the key that seals the key of the previous epoch.
    pub(super) fn previous_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive("cosmicsync epoch previous 1", &[&self.0]))
    }

    /// Derives the key that signs log cards: it proves to those who cannot read that the writer can.
    pub fn admission_key(&self) -> SigningKey {
        SigningKey::from_bytes(&Zeroizing::new(derive("cosmicsync epoch admission 1", &[&self.0])))
    }

    /// Derives the key that signs orders to erase.
    pub fn erase_key(&self) -> SigningKey {
        SigningKey::from_bytes(&Zeroizing::new(derive("cosmicsync epoch erase 1", &[&self.0])))
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EpochKey").field(&self.id()).finish()
    }
}
