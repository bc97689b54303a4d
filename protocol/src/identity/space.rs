//! The genesis record of a space (`spec/identity.md`, section 2).

use super::{IdentityError, UserGenesis, UserKey, VERSION, derived, read_version, signature};
use crate::codec::{Reader, Write};
use crate::entropy::Entropy;
use crate::ids::{SpaceId, UserId};

const CONTEXT: &str = "cosmicsync space genesis 1";

/// The signed record whose hash is the space's id. It contains its creator's genesis, so it can be checked alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceGenesis {
    /// The founder, who can never be removed from the space.
    pub creator: UserGenesis,
    /// Random, so that the spaces of one user differ.
    pub nonce: [u8; 16],
    /// Signature by the creator's user key, over all that precedes it.
    pub signature: [u8; 64],
}

impl SpaceGenesis {
    /// Most bytes that an encoding takes.
    pub const LEN_MAX: usize = 1 + 2 + UserGenesis::LEN + 16 + 64;

    /// Makes the record of a new space.
    pub fn create(key: &UserKey, creator: UserGenesis, entropy: &mut Entropy) -> Self {
        let mut genesis = Self { creator, nonce: entropy.bytes(), signature: [0; 64] };
        genesis.signature = signature::sign(&key.0, CONTEXT, &genesis.signed_part());
        genesis
    }

    /// Returns the bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_part();
        bytes.raw(&self.signature);
        bytes
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN_MAX);
        bytes.byte(VERSION);
        bytes.prefixed(&self.creator.encode());
        bytes.raw(&self.nonce);
        bytes
    }

    /// Reads a record and checks both signatures in it.
    ///
    /// # Errors
    /// Fails if the bytes are not canonical, of an unknown version, or a signature fails.
    pub fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader, "the space genesis")?;
        let creator = UserGenesis::decode(reader.bytes(UserGenesis::LEN, "the length of the user genesis")?)?;
        let genesis = Self { creator, nonce: reader.array()?, signature: reader.array()? };
        reader.finish()?;
        if !signature::verify(&genesis.creator.public, CONTEXT, &genesis.signed_part(), &genesis.signature) {
            return Err(IdentityError::BadSignature("space genesis"));
        }
        Ok(genesis)
    }

    /// Returns the user who made the space.
    pub fn creator_id(&self) -> UserId {
        self.creator.user_id()
    }

    /// Returns the space's id: the hash of the signed record.
    pub fn space_id(&self) -> SpaceId {
        SpaceId(derived::derive("cosmicsync space 1", &[&self.encode()]))
    }
}
