//! The user: a key that certifies devices, made with a commitment to the key that can replace it
//! (`spec/identity.md`, section 2).

use super::{IdentityError, VERSION, derived, read_version, recovery_commitment, signature};
use crate::codec::Reader;
use crate::entropy::Entropy;
use crate::ids::UserId;
use core::fmt;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

const CONTEXT: &str = "cosmicsync user genesis 1";

/// The key that recovers a user whose devices are lost. Made once, shown once, kept off the device.
pub struct RecoveryKey(SigningKey);

impl RecoveryKey {
    /// Makes a new key.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self::from_secret(&Zeroizing::new(entropy.bytes()))
    }

    /// Rebuilds the key from the secret that its owner kept.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Returns the 32 bytes that the owner keeps. Anyone who has them can take over the user.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Returns the commitment to this key in the genesis record.
    pub fn commitment(&self) -> [u8; 32] {
        recovery_commitment(&self.0.verifying_key().to_bytes())
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

/// The secret of a user, wiped on drop. It signs certificates of devices and geneses of spaces.
#[derive(Clone)]
pub struct UserKey(pub(super) SigningKey);

impl UserKey {
    /// Makes a new key.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self::from_bytes(&Zeroizing::new(entropy.bytes()))
    }

    /// Rebuilds the key from [`Self::to_bytes`].
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Returns the secret, to be sealed at rest.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Returns the public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Makes the user's genesis record. Called once in a user's life: each call makes another user.
    pub fn genesis(&self, recovery_commitment: [u8; 32], entropy: &mut Entropy) -> UserGenesis {
        let mut genesis = UserGenesis {
            public: self.public(),
            recovery_commitment,
            nonce: entropy.bytes(),
            signature: [0; UserGenesis::SIGNATURE],
        };
        let bytes = genesis.encode();
        genesis.signature = signature::sign(&self.0, CONTEXT, &bytes[..UserGenesis::SIGNED]);
        genesis
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey(…)")
    }
}

/// The self-signed record whose hash is the user's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserGenesis {
    /// The user's Ed25519 key.
    pub public: [u8; 32],
    /// Commits to the recovery key; see [`recovery_commitment`].
    pub recovery_commitment: [u8; 32],
    /// Random, so that two users with the same keys differ.
    pub nonce: [u8; 16],
    /// Signature by `public`, over all that precedes it.
    pub signature: [u8; 64],
}

impl UserGenesis {
    /// Length of the encoding in bytes.
    pub const LEN: usize = Self::SIGNED + Self::SIGNATURE;
    const SIGNED: usize = 1 + 32 + 32 + 16;
    const SIGNATURE: usize = 64;

    /// Returns the bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        [&[VERSION][..], &self.public, &self.recovery_commitment, &self.nonce, &self.signature].concat()
    }

    /// Reads a record and checks its signature.
    ///
    /// # Errors
    /// Fails if the bytes are not canonical, of an unknown version, or not signed by their own key.
    pub fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader, "the user genesis")?;
        let genesis = Self {
            public: reader.array()?,
            recovery_commitment: reader.array()?,
            nonce: reader.array()?,
            signature: reader.array()?,
        };
        reader.finish()?;
        if !signature::verify(&genesis.public, CONTEXT, &bytes[..Self::SIGNED], &genesis.signature) {
            return Err(IdentityError::BadSignature("user genesis"));
        }
        Ok(genesis)
    }

    /// Returns the user's id: the hash of the signed record.
    pub fn user_id(&self) -> UserId {
        UserId(derived::derive("cosmicsync user 1", &[&self.encode()]))
    }
}
