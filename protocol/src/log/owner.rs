//! The owner box: the sealed part of a log card that names the log's owner.
//!
//! `log_id` commits to the box, so nobody can claim a log after it was opened. Only holders of the epoch's key open
//! it: a relay sees that a log has an owner, but not its identity (`spec/log.md`, section 1).

use super::card::CardPlace;
use crate::codec::{CodecError, Reader, Write};
use crate::identity::{DeviceKeys, DevicePublic, derive_cut};
use crate::ids::{DeviceId, LogId};
use crate::sealed::{NONCE_BYTES, open, seal};
use bytes::Bytes;

/// Most earlier logs that one card names.
pub const PREV_MAX: usize = 64;
/// Length of the longest owner box, in bytes.
pub const OWNER_BOX_MAX: usize = 4096 - 512;
/// The right under which the founder's devices open logs. Version 1 knows no other.
pub const FOUNDER_GRANT: u8 = 0;

const CONTEXT: &str = "cosmicsync owner 1";

/// The end of an earlier log of the same device and partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prev {
    /// The log.
    pub log: LogId,
    /// Seq of the log's last entry, as far as the writer knew.
    pub seq: u64,
    /// The first bytes of the chain hash after that entry.
    pub h: [u8; 8],
}

/// The owner of a log, and the logs before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOwner {
    /// The device that writes the log.
    pub device: DeviceId,
    /// The right under which the log was opened.
    pub grant: u8,
    /// The ends of earlier logs of this device and partition that no card named before.
    pub prev: Vec<Prev>,
}

/// Reason why an owner box is invalid. The author's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// The box was not sealed under this epoch for this card.
    #[error("the owner box of a log does not open")]
    Sealed,
    /// The plaintext is not canonical.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// An opened owner box whose signature has yet to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedOwner {
    owner: LogOwner,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl LogOwner {
    /// Signs and seals the box for a card at `place`.
    pub fn seal(&self, place: &CardPlace, device: &DeviceKeys, owner_key: &[u8; 32]) -> Bytes {
        let mut plain = Vec::with_capacity(128 + self.prev.len() * 44);
        self.encode(&mut plain);
        seal_signed(plain, place, device, owner_key)
    }

    fn encode(&self, out: &mut impl Write) {
        out.raw(self.device.as_bytes());
        out.byte(self.grant);
        out.varint(self.prev.len() as u64);
        for prev in &self.prev {
            out.raw(prev.log.as_bytes());
            out.varint(prev.seq);
            out.raw(&prev.h);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (device, grant) = (DeviceId(reader.array()?), reader.u8()?);
        let count = reader.count(PREV_MAX, "earlier logs")?;
        let prev = (0..count)
            .map(|_| Ok(Prev { log: LogId(reader.array()?), seq: reader.varint()?, h: reader.array()? }))
            .collect::<Result<_, CodecError>>()?;
        Ok(Self { device, grant, prev })
    }
}

impl OpenedOwner {
    /// Opens the box of a card at `place`.
    ///
    /// # Errors
    /// Fails if the box does not open under this key, or is not canonical.
    pub fn open(place: &CardPlace, owner_box: &[u8], owner_key: &[u8; 32]) -> Result<Self, OwnerError> {
        let aad = place.bytes();
        let plain = open(owner_key, &nonce(&place.log_pk), &aad, owner_box).map_err(|_| OwnerError::Sealed)?;
        let mut reader = Reader::new(&plain);
        let owner = LogOwner::decode(&mut reader)?;
        let signature = reader.array()?;
        reader.finish()?;
        let signed = [&aad[..], &plain[..plain.len() - 64]].concat();
        Ok(Self { owner, signed, signature })
    }

    /// Returns the device that the box names, without proof that the device agrees.
    pub const fn device(&self) -> DeviceId {
        self.owner.device
    }

    /// Returns the earlier logs that the box names, in its order.
    pub fn earlier(&self) -> impl Iterator<Item = LogId> {
        self.owner.prev.iter().map(|prev| prev.log)
    }

    /// Checks the signature with the device's key. Returns the owner.
    pub fn verify(self, device: &DevicePublic) -> Option<LogOwner> {
        let is_signed = device.device == self.owner.device && device.verify(CONTEXT, &self.signed, &self.signature);
        is_signed.then_some(self.owner)
    }
}

/// Signs any plaintext, and seals it.
pub(crate) fn seal_signed(mut plain: Vec<u8>, place: &CardPlace, device: &DeviceKeys, owner_key: &[u8; 32]) -> Bytes {
    let signature = device.sign(CONTEXT, &[&place.bytes()[..], &plain].concat());
    plain.raw(&signature);
    let mut sealed = Vec::new();
    seal(owner_key, &nonce(&place.log_pk), &place.bytes(), &plain, &mut sealed);
    sealed.into()
}

/// Derives the nonce of an owner box. A log key signs one card, so the nonce never repeats under one owner key.
fn nonce(log_pk: &[u8; 32]) -> [u8; NONCE_BYTES] {
    derive_cut("cosmicsync owner nonce 1", &[log_pk])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use crate::ids::EpochId;
    use crate::log::Lane;

    fn place() -> CardPlace {
        CardPlace {
            log_pk: [1; 32],
            space_token: [2; 16],
            partition_token: [3; 16],
            lane: Lane::Live,
            epoch: EpochId([4; 16]),
        }
    }

    fn owner(keys: &DeviceKeys, prev: usize) -> LogOwner {
        let prev = (0..prev).map(|at| Prev { log: LogId([at as u8; 32]), seq: at as u64, h: [9; 8] }).collect();
        LogOwner { device: keys.device_id(), grant: FOUNDER_GRANT, prev }
    }

    #[test]
    fn an_owner_box_opens_and_verifies() {
        let keys = DeviceKeys::generate(&mut Entropy::new([5; 32]));
        for prev in [0, 1, PREV_MAX] {
            let owner = owner(&keys, prev);
            let sealed = owner.seal(&place(), &keys, &[6; 32]);
            assert!(sealed.len() <= OWNER_BOX_MAX);
            let opened = OpenedOwner::open(&place(), &sealed, &[6; 32]).unwrap();
            assert_eq!(opened.verify(&keys.public()), Some(owner));
        }
    }

    #[test]
    fn another_place_key_or_device_is_refused() {
        let keys = DeviceKeys::generate(&mut Entropy::new([5; 32]));
        let other = DeviceKeys::generate(&mut Entropy::new([7; 32]));
        let sealed = owner(&keys, 1).seal(&place(), &keys, &[6; 32]);
        let open = |place: &CardPlace, key: u8| OpenedOwner::open(place, &sealed, &[key; 32]);
        assert_eq!(open(&place(), 8), Err(OwnerError::Sealed));
        assert_eq!(open(&CardPlace { lane: Lane::Bulk, ..place() }, 6), Err(OwnerError::Sealed));
        assert_eq!(open(&CardPlace { epoch: EpochId([9; 16]), ..place() }, 6), Err(OwnerError::Sealed));
        assert_eq!(open(&place(), 6).unwrap().verify(&other.public()), None);
    }

    #[test]
    fn a_claim_for_another_device_does_not_verify() {
        let keys = DeviceKeys::generate(&mut Entropy::new([5; 32]));
        let thief = DeviceKeys::generate(&mut Entropy::new([7; 32]));
        let claimed = owner(&keys, 0).seal(&place(), &thief, &[6; 32]);
        assert_eq!(OpenedOwner::open(&place(), &claimed, &[6; 32]).unwrap().verify(&keys.public()), None);
    }

    #[test]
    fn too_many_earlier_logs_are_refused() {
        let keys = DeviceKeys::generate(&mut Entropy::new([5; 32]));
        let sealed = owner(&keys, PREV_MAX + 1).seal(&place(), &keys, &[6; 32]);
        assert!(matches!(OpenedOwner::open(&place(), &sealed, &[6; 32]), Err(OwnerError::Codec(_))));
    }
}
