//! The record that distributes an epoch key to devices.
//!
//! It names the epoch and contains the public keys that strangers check with, the previous key under the new one,
//! and one HPKE box for each device. A box is found by a tag that only those who know the device's HPKE key can
//! compute.

use super::aead::{NONCE_BYTES, TAG_BYTES, open, seal};
use super::keys::EpochKey;
use crate::codec::{CodecError, Reader, Write};
use crate::entropy::Entropy;
use crate::identity::{DeviceKeys, derive_cut};
use crate::ids::{EpochId, SpaceId};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most boxes in one record.
pub const BOXES_MAX: usize = 1024;

const VERSION: u8 = 0;
const INFO: &[u8] = b"cosmicsync key epoch 1";
const BOX_CIPHERTEXT: usize = 32 + 16;

/// Reason why no record was made. The fault of the caller, who chose the recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// More recipients than a record holds.
    #[error("an epoch key can be boxed to at most {BOXES_MAX} devices")]
    TooManyRecipients,
    /// The HPKE key of the recipient at this position is unusable.
    #[error("the key of recipient {0} is weak")]
    WeakRecipient(usize),
}

/// A box that one device opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBox {
    /// Tag that finds the box without naming its recipient.
    pub tag: [u8; 8],
    /// The encapsulated key.
    pub enc: [u8; 32],
    /// The epoch key, sealed.
    pub ciphertext: [u8; BOX_CIPHERTEXT],
}

/// The epoch before, and its key under the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Id of the epoch.
    pub epoch: EpochId,
    /// Random nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// The previous key, sealed under the new one.
    pub wrapped: [u8; 32 + TAG_BYTES],
}

/// One epoch, as recorded in the control partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEpoch {
    /// Commits to the epoch key.
    pub epoch: EpochId,
    /// Number of the epoch in its space. Two offline writers may mint the same number.
    pub generation: u32,
    /// Public key that checks log cards of the epoch.
    pub admission: [u8; 32],
    /// Public key that checks orders to erase in the epoch.
    pub erase: [u8; 32],
    /// Absent in the first epoch.
    pub previous: Option<Previous>,
    /// Boxes, ascending by tag, so the order reveals nothing about the recipients.
    pub boxes: Vec<KeyBox>,
}

impl KeyEpoch {
    /// Makes the record of `key`'s epoch for the devices with the HPKE keys `recipients`; repeated ones get one
    /// box.
    ///
    /// # Errors
    /// Fails if there are more than [`BOXES_MAX`] recipients or one has a weak key.
    pub fn mint(
        space: &SpaceId,
        key: &EpochKey,
        previous: Option<&EpochKey>,
        generation: u32,
        recipients: &[[u8; 32]],
        entropy: &mut Entropy,
    ) -> Result<Self, MintError> {
        if recipients.len() > BOXES_MAX {
            return Err(MintError::TooManyRecipients);
        }
        let epoch = key.id();
        let mut record = Self {
            epoch,
            generation,
            admission: key.admission_key().verifying_key().to_bytes(),
            erase: key.erase_key().verifying_key().to_bytes(),
            previous: previous.map(|previous| wrap_previous(space, key, previous, entropy)),
            boxes: Vec::new(),
        };
        let head = record.encode_head();
        let mut boxes = BTreeMap::new();
        for (at, recipient) in recipients.iter().enumerate() {
            let tag = box_tag(recipient, &epoch);
            if let std::collections::btree_map::Entry::Vacant(slot) = boxes.entry(tag) {
                slot.insert(seal_box(space, &head, tag, recipient, key, entropy).ok_or(MintError::WeakRecipient(at))?);
            }
        }
        record.boxes = boxes.into_values().collect();
        Ok(record)
    }

    /// Returns the bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.encode_head();
        bytes.varint(self.boxes.len() as u64);
        for key_box in &self.boxes {
            bytes.raw(&key_box.tag);
            bytes.raw(&key_box.enc);
            bytes.raw(&key_box.ciphertext);
        }
        bytes
    }

    /// Returns all but the boxes: the data that every box is bound to.
    fn encode_head(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.byte(VERSION);
        bytes.raw(self.epoch.as_ref());
        bytes.varint(u64::from(self.generation));
        bytes.raw(&self.admission);
        bytes.raw(&self.erase);
        match &self.previous {
            None => bytes.byte(0),
            Some(previous) => {
                bytes.byte(1);
                bytes.raw(previous.epoch.as_ref());
                bytes.raw(&previous.nonce);
                bytes.raw(&previous.wrapped);
            }
        }
        bytes
    }

    /// Reads a record. Its content is checked only by [`Self::open`].
    ///
    /// # Errors
    /// Fails if the bytes are not canonical or there are too many boxes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(CodecError::OutOfRange("the version of a key epoch"));
        }
        let epoch = EpochId(reader.array()?);
        let generation = reader.varint_max(u64::from(u32::MAX), "the generation of a key epoch")? as u32;
        let (admission, erase) = (reader.array()?, reader.array()?);
        let previous = match reader.u8()? {
            0 => None,
            1 => Some(Previous { epoch: EpochId(reader.array()?), nonce: reader.array()?, wrapped: reader.array()? }),
            _ => return Err(CodecError::OutOfRange("whether there is a previous epoch")),
        };
        let count = reader.count(BOXES_MAX, "the number of key boxes")?;
        let mut boxes: Vec<KeyBox> = Vec::new();
        for _ in 0..count {
            let key_box = KeyBox { tag: reader.array()?, enc: reader.array()?, ciphertext: reader.array()? };
            if boxes.last().is_some_and(|last| last.tag >= key_box.tag) {
                return Err(CodecError::OutOfRange("the order of key boxes"));
            }
            boxes.push(key_box);
        }
        reader.finish()?;
        Ok(Self { epoch, generation, admission, erase, previous, boxes })
    }

    /// Opens this device's box. `None` if there is no such box, or if it does not contain the key that the record
    /// announces: the id must commit to it and both public keys must derive from it.
    pub fn open(&self, space: &SpaceId, device: &DeviceKeys) -> Option<EpochKey> {
        let tag = box_tag(&device.public().hpke, &self.epoch);
        let at = self.boxes.binary_search_by_key(&tag, |key_box| key_box.tag).ok()?;
        let key_box = &self.boxes[at];
        let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(device.hpke_secret().as_bytes()).ok()?;
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&key_box.enc).ok()?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret,
            &enc,
            &info(space),
            &key_box.ciphertext,
            &self.encode_head(),
        );
        let bytes = Zeroizing::new(opened.ok()?);
        let key = EpochKey::from_bytes(bytes.as_slice().try_into().ok()?);
        self.announces(&key).then_some(key)
    }

    /// Returns whether the record announces `key`.
    fn announces(&self, key: &EpochKey) -> bool {
        key.id() == self.epoch
            && key.admission_key().verifying_key().to_bytes() == self.admission
            && key.erase_key().verifying_key().to_bytes() == self.erase
    }

    /// Opens the key of the previous epoch with the key of this one. `None` in the first epoch, under another key,
    /// or if the previous id does not commit to the key found.
    pub fn open_previous(&self, space: &SpaceId, key: &EpochKey) -> Option<EpochKey> {
        let previous = self.previous.as_ref()?;
        let aad = previous_aad(space, &self.epoch, &previous.epoch);
        let bytes = Zeroizing::new(open(&key.previous_key(), &previous.nonce, &aad, &previous.wrapped).ok()?);
        let key = EpochKey::from_bytes(bytes.as_slice().try_into().ok()?);
        (key.id() == previous.epoch).then_some(key)
    }
}

fn box_tag(hpke: &[u8; 32], epoch: &EpochId) -> [u8; 8] {
    derive_cut("cosmicsync key box tag 1", &[hpke, epoch.as_ref()])
}

fn info(space: &SpaceId) -> Vec<u8> {
    [INFO, space.as_ref()].concat()
}

fn previous_aad(space: &SpaceId, epoch: &EpochId, previous: &EpochId) -> Vec<u8> {
    [space.as_ref(), epoch.as_ref(), previous.as_ref()].concat()
}

fn wrap_previous(space: &SpaceId, key: &EpochKey, previous: &EpochKey, entropy: &mut Entropy) -> Previous {
    let (epoch, nonce) = (previous.id(), entropy.bytes());
    let mut sealed = Vec::new();
    let aad = previous_aad(space, &key.id(), &epoch);
    seal(&key.previous_key(), &nonce, &aad, previous.as_bytes(), &mut sealed);
    let mut wrapped = [0; 32 + TAG_BYTES];
    wrapped.copy_from_slice(&sealed);
    Previous { epoch, nonce, wrapped }
}

/// Seals a box for a recipient. `None` if the recipient's key is weak.
fn seal_box(
    space: &SpaceId,
    head: &[u8],
    tag: [u8; 8],
    recipient: &[u8; 32],
    key: &EpochKey,
    entropy: &mut Entropy,
) -> Option<KeyBox> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(recipient).ok()?;
    let (enc, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        &info(space),
        key.as_bytes(),
        head,
        entropy,
    )
    .ok()?;
    let ciphertext = sealed.as_slice().try_into().ok()?;
    Some(KeyBox { tag, enc: enc.to_bytes().into(), ciphertext })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member mints dishonestly: the boxes open, and the record announces other keys than theirs.
    #[test]
    fn a_record_that_announces_other_keys_is_not_believed() {
        let (space, mut entropy) = (SpaceId([1; 32]), Entropy::new([1; 32]));
        let device = DeviceKeys::generate(&mut entropy);
        let hpke = device.public().hpke;
        let (key, other) = (EpochKey::generate(&mut entropy), EpochKey::generate(&mut entropy));
        let honest = KeyEpoch::mint(&space, &key, Some(&other), 0, &[hpke], &mut entropy).unwrap();
        let strange = KeyEpoch::mint(&space, &other, None, 0, &[hpke], &mut entropy).unwrap();
        let mut opens = |record: KeyEpoch| {
            let head = record.encode_head();
            let tag = box_tag(&hpke, &record.epoch);
            let boxes = vec![seal_box(&space, &head, tag, &hpke, &key, &mut entropy).unwrap()];
            KeyEpoch { boxes, ..record }.open(&space, &device).is_some()
        };
        assert!(opens(honest.clone()));
        assert!(!opens(KeyEpoch { admission: strange.admission, ..honest.clone() }));
        assert!(!opens(KeyEpoch { erase: strange.erase, ..honest.clone() }));
        assert!(!opens(KeyEpoch { epoch: strange.epoch, ..honest.clone() }));
        let mut lying = honest;
        if let Some(previous) = &mut lying.previous {
            *previous = wrap_previous(&space, &key, &key, &mut entropy);
            previous.epoch = other.id();
        }
        assert_eq!(lying.open_previous(&space, &key), None);
    }
}
