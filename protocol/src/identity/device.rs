//! The device: a signing key that is also its id, a Noise static key for links and an HPKE key for boxes
//! (`spec/identity.md`, section 2).

use super::{IdentityError, VERSION, read_version, signature};
use crate::codec::{CodecError, Reader};
use crate::entropy::Entropy;
use crate::ids::DeviceId;
use core::fmt;
use ed25519_dalek::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const CONTEXT: &str = "cosmicsync device claim 1";

/// The three secrets of a device, wiped on drop. They never leave it.
#[derive(Clone)]
pub struct DeviceKeys {
    signing: SigningKey,
    noise: StaticSecret,
    hpke: StaticSecret,
}

impl DeviceKeys {
    /// Length of [`Self::to_bytes`].
    pub const LEN: usize = 1 + 3 * 32;

    /// Makes the keys of a new device.
    pub fn generate(entropy: &mut Entropy) -> Self {
        let mut draw = || Zeroizing::new(entropy.bytes::<32>());
        Self {
            signing: SigningKey::from_bytes(&draw()),
            noise: StaticSecret::from(*draw()),
            hpke: StaticSecret::from(*draw()),
        }
    }

    /// Returns the secrets, to be sealed at rest.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([VERSION; Self::LEN]);
        bytes[1..33].copy_from_slice(self.signing.as_bytes());
        bytes[33..65].copy_from_slice(self.noise.as_bytes());
        bytes[65..].copy_from_slice(self.hpke.as_bytes());
        bytes
    }

    /// Rebuilds the keys from [`Self::to_bytes`].
    ///
    /// # Errors
    /// Fails if the bytes have another length or an unknown version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader, "the device keys")?;
        let keys = Self {
            signing: SigningKey::from_bytes(&Zeroizing::new(reader.array()?)),
            noise: StaticSecret::from(reader.array::<32>()?),
            hpke: StaticSecret::from(reader.array::<32>()?),
        };
        reader.finish()?;
        Ok(keys)
    }

    /// Returns the device's id.
    pub fn device_id(&self) -> DeviceId {
        DeviceId(self.signing.verifying_key().to_bytes())
    }

    /// Returns the public halves.
    pub fn public(&self) -> DevicePublic {
        DevicePublic {
            device: self.device_id(),
            noise: PublicKey::from(&self.noise).to_bytes(),
            hpke: PublicKey::from(&self.hpke).to_bytes(),
        }
    }

    /// Makes the statement that the three public keys belong to one device. It is independent of any handshake, so
    /// it is made once.
    pub fn claim(&self) -> DeviceClaim {
        let public = self.public();
        DeviceClaim { public, signature: signature::sign(&self.signing, CONTEXT, &public.encode()) }
    }

    /// Signs `body` as this device for the purpose that `context` names.
    pub fn sign(&self, context: &'static str, body: &[u8]) -> [u8; 64] {
        signature::sign(&self.signing, context, body)
    }

    /// Returns the Noise static secret.
    pub(crate) const fn noise_secret(&self) -> &StaticSecret {
        &self.noise
    }

    /// Returns the HPKE secret.
    pub(crate) const fn hpke_secret(&self) -> &StaticSecret {
        &self.hpke
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceKeys").field(&self.device_id()).finish()
    }
}

/// The public keys of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevicePublic {
    /// Ed25519: the device's id and its signing key.
    pub device: DeviceId,
    /// X25519: the static key of its Noise handshakes.
    pub noise: [u8; 32],
    /// X25519: the key that epoch keys are boxed to.
    pub hpke: [u8; 32],
}

impl DevicePublic {
    /// Length of the encoding in bytes.
    pub const LEN: usize = 96;

    fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(self.device.as_ref());
        bytes[32..64].copy_from_slice(&self.noise);
        bytes[64..].copy_from_slice(&self.hpke);
        bytes
    }

    /// Returns whether `signature` is this device's over `body` for the purpose that `context` names.
    pub fn verify(&self, context: &'static str, body: &[u8], signature: &[u8; 64]) -> bool {
        signature::verify(self.device.as_bytes(), context, body, signature)
    }
}

/// A device's own statement that three public keys belong together.
///
/// A claim is part of a device's request to join and of every certificate. Without it a user could certify the signing
/// key of somebody else's device under a Noise key of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceClaim {
    /// The claimed keys.
    pub public: DevicePublic,
    /// Signature by the device key.
    pub signature: [u8; 64],
}

impl DeviceClaim {
    /// Length of the encoding in bytes.
    pub const LEN: usize = DevicePublic::LEN + 64;

    /// Returns the bytes that travel.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..DevicePublic::LEN].copy_from_slice(&self.public.encode());
        bytes[DevicePublic::LEN..].copy_from_slice(&self.signature);
        bytes
    }

    /// Reads a claim, unchecked.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let public = DevicePublic { device: DeviceId(reader.array()?), noise: reader.array()?, hpke: reader.array()? };
        Ok(Self { public, signature: reader.array()? })
    }

    /// Checks the signature, and that neither key agreement key is weak.
    ///
    /// # Errors
    /// [`IdentityError::BadSignature`] or [`IdentityError::WeakKey`].
    pub fn verify(&self) -> Result<(), IdentityError> {
        if is_weak(&self.public.noise) || is_weak(&self.public.hpke) {
            return Err(IdentityError::WeakKey);
        }
        if !self.public.verify(CONTEXT, &self.public.encode(), &self.signature) {
            return Err(IdentityError::BadSignature("device"));
        }
        Ok(())
    }
}

/// Returns whether an X25519 key has small order: any clamped scalar, being a multiple of 8, then takes it to zero.
fn is_weak(public: &[u8; 32]) -> bool {
    !StaticSecret::from([1; 32]).diffie_hellman(&PublicKey::from(*public)).was_contributory()
}
