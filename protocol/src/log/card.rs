//! Log cards: the public record that precedes entry 0 and lets anyone verify a log.
//!
//! A card names the log's key and, blinded, where the log belongs; the admission signature shows that its author
//! knew the current epoch of that partition. It says nothing about who the author is (`spec/log.md`, section 1).

use crate::ids::{EpochId, LogId};
use crate::wire::codec::{CodecError, Reader, Write};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// First byte of an encoded card.
const VERSION: u8 = 0;
const DOMAIN: &[u8] = b"cosmicsync card 1";

/// What a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Edits as they are made.
    Live = 0,
    /// One import, ended by a LogClose.
    Bulk = 1,
}

/// Why a card or its log cannot be accepted. The sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// The log's public key is no point of the curve.
    #[error("the log key is not a public key")]
    BadKey,
    /// The admission signature was not made by the epoch's admission key over this card.
    #[error("the log was not admitted by its epoch")]
    NotAdmitted,
}

/// The public facts of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCard {
    /// The key that signs the log's heads.
    pub log_pk: [u8; 32],
    /// The space, blinded.
    pub space_token: [u8; 16],
    /// The partition, blinded.
    pub partition_token: [u8; 16],
    /// What the log is for.
    pub lane: Lane,
    /// The epoch that admitted the log, and the one its entries are sealed under unless they name another.
    pub epoch: EpochId,
    /// By the epoch's admission key, over all the other fields.
    pub admission: [u8; 64],
}

impl LogCard {
    /// Encoded length in bytes; every card has the same.
    pub const LEN: usize = 1 + 32 + 16 + 16 + 1 + 16 + 64;

    /// Makes the card of a new log and signs it with the epoch's admission key.
    pub fn admit(
        log_key: &VerifyingKey,
        space_token: [u8; 16],
        partition_token: [u8; 16],
        lane: Lane,
        epoch: EpochId,
        admission_key: &SigningKey,
    ) -> Self {
        let log_pk = log_key.to_bytes();
        let mut card = Self { log_pk, space_token, partition_token, lane, epoch, admission: [0; 64] };
        card.admission = admission_key.sign(&card.signed_bytes()).to_bytes();
        card
    }

    /// The log's id: a hash of its key, its place and its lane, not of the epoch.
    pub fn log_id(&self) -> LogId {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync log 1");
        hasher.raw(&self.log_pk);
        hasher.raw(&self.space_token);
        hasher.raw(&self.partition_token);
        hasher.byte(self.lane as u8);
        LogId(*hasher.finalize().as_bytes())
    }

    /// The key that heads must be signed with.
    pub fn log_key(&self) -> Result<VerifyingKey, CardError> {
        VerifyingKey::from_bytes(&self.log_pk).map_err(|_| CardError::BadKey)
    }

    /// Checks that the holder of the epoch's admission key admitted this log.
    pub fn verify_admission(&self, admission_key: &VerifyingKey) -> Result<(), CardError> {
        admission_key
            .verify_strict(&self.signed_bytes(), &Signature::from_bytes(&self.admission))
            .map_err(|_| CardError::NotAdmitted)
    }

    /// Appends the canonical form: [`Self::LEN`] bytes.
    pub fn encode(&self, out: &mut impl Write) {
        out.byte(VERSION);
        self.write_fields(out);
        out.raw(&self.admission);
    }

    /// Reads what [`Self::encode`] wrote. Checks no signature.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        if reader.u8()? != VERSION {
            return Err(CodecError::OutOfRange("card version"));
        }
        Ok(Self {
            log_pk: reader.array()?,
            space_token: reader.array()?,
            partition_token: reader.array()?,
            lane: match reader.u8()? {
                0 => Lane::Live,
                1 => Lane::Bulk,
                _ => return Err(CodecError::OutOfRange("lane")),
            },
            epoch: EpochId(reader.array()?),
            admission: reader.array()?,
        })
    }

    fn write_fields(&self, out: &mut impl Write) {
        out.raw(&self.log_pk);
        out.raw(&self.space_token);
        out.raw(&self.partition_token);
        out.byte(self.lane as u8);
        out.raw(self.epoch.as_bytes());
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        self.write_fields(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card() -> (LogCard, VerifyingKey) {
        let admission = SigningKey::from_bytes(&[1; 32]);
        let log = SigningKey::from_bytes(&[2; 32]).verifying_key();
        let card = LogCard::admit(&log, [3; 16], [4; 16], Lane::Bulk, EpochId([5; 16]), &admission);
        (card, admission.verifying_key())
    }

    #[test]
    fn a_card_round_trips_and_its_admission_verifies() {
        let (card, admission) = card();
        let mut bytes = Vec::new();
        card.encode(&mut bytes);
        assert_eq!(bytes.len(), LogCard::LEN);
        let mut reader = Reader::new(&bytes);
        assert_eq!(LogCard::decode(&mut reader), Ok(card));
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(card.verify_admission(&admission), Ok(()));
    }

    #[test]
    fn any_other_byte_is_another_card_that_is_not_admitted() {
        let (card, admission) = card();
        let mut bytes = Vec::new();
        card.encode(&mut bytes);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let admitted =
                LogCard::decode(&mut Reader::new(&bad)).is_ok_and(|c| c.verify_admission(&admission).is_ok());
            assert!(!admitted, "byte {at}");
        }
    }

    #[test]
    fn the_log_id_names_key_place_and_lane() {
        let (card, _) = card();
        let id = card.log_id();
        assert_ne!(LogCard { lane: Lane::Live, ..card }.log_id(), id);
        assert_ne!(LogCard { log_pk: [9; 32], ..card }.log_id(), id);
        assert_ne!(LogCard { space_token: [9; 16], ..card }.log_id(), id);
        assert_ne!(LogCard { partition_token: [9; 16], ..card }.log_id(), id);
        assert_eq!(LogCard { epoch: EpochId([9; 16]), ..card }.log_id(), id);
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(mut bytes in prop::collection::vec(any::<u8>(), 146), lane in 0u8..3) {
            bytes[0] = 0;
            bytes[65] = lane;
            let decoded = LogCard::decode(&mut Reader::new(&bytes));
            prop_assert_eq!(decoded.is_ok(), lane < 2);
            if let Ok(card) = decoded {
                let mut again = Vec::new();
                card.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
