//! Log cards: the public record that precedes entry 0 and lets anyone verify a log.
//!
//! A card contains the log's key and, blinded, the log's place. The admission signature shows that its author knew
//! the current epoch of that partition. The author's identity is in a box that only members open (`spec/log.md`,
//! section 1).

use super::owner::OWNER_BOX_MAX;
use crate::codec::{CodecError, Reader, Write};
use crate::identity::{log_id, owner_box_hash};
use crate::ids::{EpochId, LogId};
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// First byte of an encoded card.
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"cosmicsync card 1";

/// Purpose of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Edits as they are made.
    Live = 0,
    /// One import, ended by a LogClose.
    Bulk = 1,
}

/// Reason why a card or its log cannot be accepted. The sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// The log's public key is not a point of the curve.
    #[error("the log key is not a public key")]
    BadKey,
    /// The admission signature was not made by the epoch's admission key over this card.
    #[error("the log was not admitted by its epoch")]
    NotAdmitted,
}

/// Public place of a log: its key, the blinded space and partition, its lane and its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardPlace {
    /// The key that signs the log's heads.
    pub log_pk: [u8; 32],
    /// The space, blinded.
    pub space_token: [u8; 16],
    /// The partition, blinded.
    pub partition_token: [u8; 16],
    /// Purpose of the log.
    pub lane: Lane,
    /// The epoch that admitted the log. Its entries are sealed under this epoch unless they name another.
    pub epoch: EpochId,
}

impl CardPlace {
    const LEN: usize = 32 + 16 + 16 + 1 + 16;

    /// Reads the place from the beginning of a card.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
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
        })
    }

    /// Returns the bytes that are signed and that seals are bound to.
    pub(super) fn bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.log_pk);
        bytes[32..48].copy_from_slice(&self.space_token);
        bytes[48..64].copy_from_slice(&self.partition_token);
        bytes[64] = self.lane as u8;
        bytes[65..].copy_from_slice(self.epoch.as_bytes());
        bytes
    }
}

/// The public record of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCard {
    /// Place of the log.
    pub place: CardPlace,
    /// The sealed owner of the log ([`super::LogOwner`]).
    pub owner_box: Bytes,
    /// Signature by the epoch's admission key, over all the other fields.
    pub admission: [u8; 64],
}

impl LogCard {
    /// Length of the longest card, in bytes.
    pub const LEN_MAX: usize = 1 + CardPlace::LEN + 2 + OWNER_BOX_MAX + 64;

    /// Makes the card of a new log and signs it with the epoch's admission key.
    pub fn admit(place: CardPlace, owner_box: Bytes, admission_key: &SigningKey) -> Self {
        let mut card = Self { place, owner_box, admission: [0; 64] };
        card.admission = admission_key.sign(&card.signed_bytes()).to_bytes();
        card
    }

    /// Returns the log's id: a hash of its key, its place, its lane and its owner box, not of the epoch.
    pub fn log_id(&self) -> LogId {
        let CardPlace { log_pk, space_token, partition_token, lane, .. } = &self.place;
        log_id(log_pk, space_token, partition_token, *lane as u8, &self.owner_box)
    }

    /// Returns the key that heads must be signed with.
    pub fn log_key(&self) -> Result<VerifyingKey, CardError> {
        VerifyingKey::from_bytes(&self.place.log_pk).map_err(|_| CardError::BadKey)
    }

    /// Checks that the holder of the epoch's admission key admitted this log.
    pub fn verify_admission(&self, admission_key: &VerifyingKey) -> Result<(), CardError> {
        admission_key
            .verify_strict(&self.signed_bytes(), &Signature::from_bytes(&self.admission))
            .map_err(|_| CardError::NotAdmitted)
    }

    /// Appends the canonical form: at most [`Self::LEN_MAX`] bytes.
    pub fn encode(&self, out: &mut impl Write) {
        out.byte(VERSION);
        out.raw(&self.place.bytes());
        out.prefixed(&self.owner_box);
        out.raw(&self.admission);
    }

    /// Reads the canonical form. Checks no signature.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let place = CardPlace::read(reader)?;
        let owner_box = Bytes::copy_from_slice(reader.bytes(OWNER_BOX_MAX, "owner box")?);
        Ok(Self { place, owner_box, admission: reader.array()? })
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN, &self.place.bytes(), &owner_box_hash(&self.owner_box)].concat()
    }
}

/// Place of the space token in an encoded card.
const TOKEN: core::ops::Range<usize> = 33..49;

/// Returns an encoded card as it travels: without its space token, since both sides know the log's space.
pub fn short_card(card: &[u8]) -> Bytes {
    [&card[..TOKEN.start], &card[TOKEN.end..]].concat().into()
}

/// Returns the encoded card of a log in the space with this token. Too few bytes are returned as they are, which is
/// not a card.
pub fn restored_card(short: &[u8], token: &[u8; 16]) -> Bytes {
    match short.split_at_checked(TOKEN.start) {
        Some((before, after)) => [before, token, after].concat().into(),
        None => Bytes::copy_from_slice(short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card() -> (LogCard, VerifyingKey) {
        let admission = SigningKey::from_bytes(&[1; 32]);
        let place = CardPlace {
            log_pk: SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
            space_token: [3; 16],
            partition_token: [4; 16],
            lane: Lane::Bulk,
            epoch: EpochId([5; 16]),
        };
        (LogCard::admit(place, Bytes::from_static(&[6; 130]), &admission), admission.verifying_key())
    }

    fn encoded(card: &LogCard) -> Vec<u8> {
        let mut bytes = Vec::new();
        card.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_card_round_trips_and_its_admission_verifies() {
        let (card, admission) = card();
        let bytes = encoded(&card);
        assert!(bytes.len() <= LogCard::LEN_MAX);
        let mut reader = Reader::new(&bytes);
        assert_eq!(LogCard::decode(&mut reader).as_ref(), Ok(&card));
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(card.verify_admission(&admission), Ok(()));
    }

    #[test]
    fn any_other_byte_is_another_card_that_is_not_admitted() {
        let (card, admission) = card();
        let bytes = encoded(&card);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let admitted =
                LogCard::decode(&mut Reader::new(&bad)).is_ok_and(|c| c.verify_admission(&admission).is_ok());
            assert!(!admitted, "byte {at}");
        }
    }

    #[test]
    fn a_card_travels_without_its_space_token() {
        let bytes = encoded(&card().0);
        let short = short_card(&bytes);
        assert_eq!(short.len(), bytes.len() - 16);
        assert_eq!(restored_card(&short, &[3; 16]), bytes);
        assert_ne!(restored_card(&short, &[4; 16]), bytes);
        assert_eq!(restored_card(&short[..32], &[3; 16]), short[..32]);
    }

    #[test]
    fn the_log_id_names_key_place_lane_and_owner() {
        let (card, _) = card();
        let id = card.log_id();
        let at = |place: CardPlace| LogCard { place, ..card.clone() }.log_id();
        assert_ne!(at(CardPlace { lane: Lane::Live, ..card.place }), id);
        assert_ne!(at(CardPlace { log_pk: [9; 32], ..card.place }), id);
        assert_ne!(at(CardPlace { space_token: [9; 16], ..card.place }), id);
        assert_ne!(at(CardPlace { partition_token: [9; 16], ..card.place }), id);
        assert_ne!(LogCard { owner_box: Bytes::new(), ..card.clone() }.log_id(), id);
        assert_eq!(at(CardPlace { epoch: EpochId([9; 16]), ..card.place }), id);
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(mut bytes in prop::collection::vec(any::<u8>(), 200), lane in 0u8..3) {
            bytes[0] = VERSION;
            bytes[65] = lane;
            bytes[82] = (200 - 147) as u8;
            let decoded = LogCard::decode(&mut Reader::new(&bytes));
            prop_assert_eq!(decoded.is_ok(), lane < 2);
            if let Ok(card) = decoded {
                prop_assert_eq!(encoded(&card), bytes);
            }
        }
    }
}
