//! Signed heads: the author's signature over a whole chain up to one entry (`spec/log.md`, section 4).

use crate::codec::{CodecError, Reader, Write};
use crate::ids::LogId;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

const DOMAIN: &[u8] = b"cosmicsync head 1";

/// Error for a head that was not signed by its log's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head was not signed by the log's key")]
pub struct BadHead;

/// The chain hash after one entry, signed by the log's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Seq of the last entry that the head covers.
    pub seq: u64,
    /// The chain hash after that entry.
    pub h: [u8; 32],
    /// Ed25519 over the domain, the log's id, `seq` and `h`.
    pub signature: [u8; 64],
}

impl Head {
    /// Signs the chain of `log` up to and including entry `seq`.
    ///
    /// The caller must hold that entry durably: a head over bytes that a crash takes back forks the log.
    pub fn sign(key: &SigningKey, log: &LogId, seq: u64, h: [u8; 32]) -> Self {
        Self { seq, h, signature: key.sign(&signed_bytes(log, seq, &h)).to_bytes() }
    }

    /// Checks the signature, strictly: batch and cofactored verification accept more and would split replicas.
    pub fn verify(&self, key: &VerifyingKey, log: &LogId) -> Result<(), BadHead> {
        key.verify_strict(&signed_bytes(log, self.seq, &self.h), &Signature::from_bytes(&self.signature))
            .map_err(|_| BadHead)
    }

    /// Appends the canonical form: `seq varint | h 32 | signature 64`.
    pub fn encode(&self, out: &mut impl Write) {
        out.varint(self.seq);
        out.raw(&self.h);
        out.raw(&self.signature);
    }

    /// Reads the canonical form. Checks no signature.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { seq: reader.varint()?, h: reader.array()?, signature: reader.array()? })
    }
}

fn signed_bytes(log: &LogId, seq: u64, h: &[u8; 32]) -> [u8; DOMAIN.len() + 72] {
    let mut bytes = [0; DOMAIN.len() + 72];
    let (domain, rest) = bytes.split_at_mut(DOMAIN.len());
    domain.copy_from_slice(DOMAIN);
    rest[..32].copy_from_slice(log.as_bytes());
    rest[32..40].copy_from_slice(&seq.to_le_bytes());
    rest[40..].copy_from_slice(h);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_round_trip_and_verify_for_their_log_alone(secret: [u8; 32], log: [u8; 32], seq: u64, h: [u8; 32]) {
            let key = SigningKey::from_bytes(&secret);
            let head = Head::sign(&key, &LogId(log), seq, h);
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            prop_assert_eq!(Head::decode(&mut Reader::new(&bytes)), Ok(head));
            prop_assert_eq!(head.verify(&key.verifying_key(), &LogId(log)), Ok(()));
            let mut other = log;
            other[0] ^= 1;
            prop_assert_eq!(head.verify(&key.verifying_key(), &LogId(other)), Err(BadHead));
        }
    }

    #[test]
    fn any_other_byte_fails() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let head = Head::sign(&key, &LogId([2; 32]), 300, [3; 32]);
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let mut reader = Reader::new(&bad);
            let ok = Head::decode(&mut reader)
                .is_ok_and(|head| reader.is_empty() && head.verify(&key.verifying_key(), &LogId([2; 32])).is_ok());
            assert!(!ok, "byte {at}");
        }
    }
}
