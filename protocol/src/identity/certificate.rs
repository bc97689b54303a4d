//! Certificates: signed statements of a user that a device belongs to the user (`spec/identity.md`, section 2).

use super::{DeviceClaim, DevicePublic, IdentityError, UserGenesis, UserKey, VERSION, read_version, signature};
use crate::codec::{Reader, Write};
use crate::ids::UserId;

const CONTEXT: &str = "cosmicsync device cert 1";

/// Most bytes that a [`Credential`] takes.
pub const CREDENTIAL_BYTES_MAX: usize = 2 + UserGenesis::LEN + 2 + DeviceCert::LEN_MAX;

/// Statement that a device belongs to a user, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCert {
    /// The owner.
    pub user: UserId,
    /// The device's own claim.
    pub claim: DeviceClaim,
    /// First moment of validity, wall clock in milliseconds since the Unix epoch.
    pub not_before_ms: u64,
    /// Last moment of validity, in the same unit; `u64::MAX` never ends.
    pub not_after_ms: u64,
    /// Signature by the user key, over all that precedes it.
    pub signature: [u8; 64],
}

impl DeviceCert {
    const LEN_MAX: usize = 1 + 32 + DeviceClaim::LEN + 10 + 10 + 64;

    /// Returns the bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_part();
        bytes.raw(&self.signature);
        bytes
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN_MAX);
        bytes.byte(VERSION);
        bytes.raw(self.user.as_ref());
        bytes.raw(&self.claim.encode());
        bytes.varint(self.not_before_ms);
        bytes.varint(self.not_after_ms);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader, "the device certificate")?;
        let cert = Self {
            user: UserId(reader.array()?),
            claim: DeviceClaim::read(&mut reader)?,
            not_before_ms: reader.varint()?,
            not_after_ms: reader.varint()?,
            signature: reader.array()?,
        };
        reader.finish()?;
        if cert.not_after_ms < cert.not_before_ms {
            return Err(IdentityError::EmptyValidity);
        }
        Ok(cert)
    }
}

impl UserKey {
    /// Certifies a device whose claim was verified.
    pub fn certify(&self, user: UserId, claim: DeviceClaim, not_before_ms: u64, not_after_ms: u64) -> DeviceCert {
        let mut cert = DeviceCert { user, claim, not_before_ms, not_after_ms, signature: [0; 64] };
        cert.signature = signature::sign(&self.0, CONTEXT, &cert.signed_part());
        cert
    }
}

/// A genesis record and a certificate, which prove to a stranger that a device belongs to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Genesis record of the user.
    pub genesis: UserGenesis,
    /// Certificate of the device.
    pub cert: DeviceCert,
}

impl Credential {
    /// Returns the bytes that travel in a Hello and in control records.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CREDENTIAL_BYTES_MAX);
        bytes.prefixed(&self.genesis.encode());
        bytes.prefixed(&self.cert.encode());
        bytes
    }

    /// Reads a credential and checks every signature in it.
    ///
    /// The signatures do not prove that the other end of a link *has* the device's keys: compare
    /// [`DevicePublic::noise`] with the static key of the handshake. The validity period is not checked either: see
    /// [`VerifiedCredential::valid_at`].
    ///
    /// # Errors
    /// Fails if the bytes are not canonical, a signature fails, the certificate names another user than the genesis
    /// record, or a key is weak.
    pub fn verify(bytes: &[u8]) -> Result<VerifiedCredential, IdentityError> {
        let mut reader = Reader::new(bytes);
        let genesis = UserGenesis::decode(reader.bytes(UserGenesis::LEN, "the length of the user genesis")?)?;
        let cert = DeviceCert::decode(reader.bytes(DeviceCert::LEN_MAX, "the length of the device certificate")?)?;
        reader.finish()?;
        if cert.user != genesis.user_id() {
            return Err(IdentityError::WrongUser);
        }
        if !signature::verify(&genesis.public, CONTEXT, &cert.signed_part(), &cert.signature) {
            return Err(IdentityError::BadSignature("device certificate"));
        }
        cert.claim.verify()?;
        Ok(VerifiedCredential(Self { genesis, cert }))
    }
}

/// A credential whose signatures were checked. Only [`Credential::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCredential(Credential);

impl VerifiedCredential {
    /// Returns the owner.
    pub const fn user(&self) -> UserId {
        self.0.cert.user
    }

    /// Returns the device's public keys.
    pub const fn device(&self) -> &DevicePublic {
        &self.0.cert.claim.public
    }

    /// Returns the owner's genesis record.
    pub const fn genesis(&self) -> &UserGenesis {
        &self.0.genesis
    }

    /// Returns the certificate.
    pub const fn cert(&self) -> &DeviceCert {
        &self.0.cert
    }

    /// Returns the bytes that were verified.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// Returns whether the certificate is current. Checked when a link is made, never when an entry is judged:
    /// replicas accept entries independently of clocks.
    pub const fn valid_at(&self, wall_ms: u64) -> bool {
        self.0.cert.not_before_ms <= wall_ms && wall_ms <= self.0.cert.not_after_ms
    }
}
