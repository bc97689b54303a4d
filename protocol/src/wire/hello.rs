//! The first bytes of a link: the cleartext preamble, the sealed Hello, and the agreement of two Hellos.
//!
//! This module never checks a signature or a clock: the handshake carries these bytes, and the endpoint judges them
//! (`spec/handshake.md`, sections 2 and 4).

use crate::codec::{CodecError, Reader, Write};
use crate::identity::{CREDENTIAL_BYTES_MAX, DeviceClaim};
use crate::ids::{Incarnation, Instance};

/// Most bytes of a Hello.
pub const HELLO_BYTES_MAX: usize = 2048;
/// The major version of the protocol.
pub const VERSION_MAJOR: u8 = 0;
/// The version of the protocol that this code speaks, (major, minor).
pub const VERSION: (u8, u8) = (VERSION_MAJOR, 0);

const MAGIC: [u8; 4] = *b"CSYN";
const FORMAT: u8 = 0;
const FEATURES_MAX: usize = 64;
const SUITES_MAX: usize = 16;

/// Ciphers of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suite(pub u8);

impl Suite {
    /// X25519, ChaCha20-Poly1305, BLAKE2s.
    pub const X25519_CHACHAPOLY_BLAKE2S: Self = Self(1);
}

/// Noise pattern of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pattern {
    /// Two devices that may never have met: XX.
    Xx = 1,
    /// A device with an invite: XXpsk0.
    XxPsk0 = 2,
}

/// Reason why a preamble was refused. The peer's fault; it gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreambleError {
    /// The bytes are not of this protocol.
    #[error("the peer speaks another protocol")]
    Magic,
    /// A major version that is not known here.
    #[error("the peer speaks version {0} of the protocol: update the older node")]
    Major(u8),
    /// A cipher suite that is not known here.
    #[error("the peer uses cipher suite {0}, which is not known here")]
    Suite(u8),
    /// A handshake pattern that is not known here.
    #[error("the peer uses handshake pattern {0}, which is not known here")]
    Pattern(u8),
    /// Flags that are not known here.
    #[error("the peer sets flags that are not known here")]
    Flags,
}

/// The eight bytes that an initiator sends in the clear. They are part of the handshake's prologue, so nobody can
/// change them on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// Major version of the protocol.
    pub major: u8,
    /// Cipher suite of the handshake.
    pub suite: Suite,
    /// Pattern of the handshake.
    pub pattern: Pattern,
}

impl Preamble {
    /// Length of the encoding in bytes.
    pub const LEN: usize = 8;

    /// Makes the preamble that this version sends.
    pub const fn new(pattern: Pattern) -> Self {
        Self { major: VERSION_MAJOR, suite: Suite::X25519_CHACHAPOLY_BLAKE2S, pattern }
    }

    /// Returns the bytes that travel.
    pub const fn encode(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = MAGIC;
        [a, b, c, d, self.major, self.suite.0, self.pattern as u8, 0]
    }

    /// Reads a preamble and refuses everything that is not known here.
    ///
    /// # Errors
    /// Names the first field that is not known.
    pub fn decode(bytes: [u8; Self::LEN]) -> Result<Self, PreambleError> {
        let [a, b, c, d, major, suite, pattern, flags] = bytes;
        if [a, b, c, d] != MAGIC {
            return Err(PreambleError::Magic);
        }
        if major != VERSION_MAJOR {
            return Err(PreambleError::Major(major));
        }
        if suite != Suite::X25519_CHACHAPOLY_BLAKE2S.0 {
            return Err(PreambleError::Suite(suite));
        }
        let pattern = match pattern {
            1 => Pattern::Xx,
            2 => Pattern::XxPsk0,
            other => return Err(PreambleError::Pattern(other)),
        };
        if flags != 0 {
            return Err(PreambleError::Flags);
        }
        Ok(Self { major, suite: Suite(suite), pattern })
    }
}

/// The versions of the protocol that an end speaks, both bounds included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest, (major, minor).
    pub min: (u8, u8),
    /// The newest, (major, minor).
    pub max: (u8, u8),
}

/// An extension of the base protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feature {
    /// Id from the table of `spec/handshake.md`.
    pub id: u16,
    /// True if an end that does not know the feature must hang up.
    pub critical: bool,
}

/// Limits of a Hello's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloLimits {
    /// Longest logical message, in bytes.
    pub message_bytes_max: u64,
    /// Most channels that are open at one time.
    pub channels_max: u64,
    /// Credit that each class starts with, in bytes.
    pub credit_bytes: u64,
}

/// Role of a Hello's sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A certified device: the bytes of a [`Credential`](crate::identity::Credential), not yet verified.
    Member(Vec<u8>),
    /// A device with an invite and without a certificate: its claim, not yet verified.
    Joiner(DeviceClaim),
}

/// Message of each end to the other inside the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Versions that the sender speaks.
    pub versions: Versions,
    /// Features of the sender, ascending by id; unknown ones are kept.
    pub features: Vec<Feature>,
    /// Limits of the sender.
    pub limits: HelloLimits,
    /// The life of the sender's store.
    pub incarnation: Incarnation,
    /// The start of the sender's store: differs between copies of a store that run at the same time.
    pub instance: Instance,
    /// All suites that the sender knows, ascending; a higher number is preferred.
    pub suites: Vec<Suite>,
    /// Role of the sender.
    pub role: Role,
}

impl Hello {
    /// Returns the bytes that travel.
    ///
    /// # Panics
    /// If features or suites are not strictly ascending or beyond their limits: the caller's mistake.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.features.len() <= FEATURES_MAX && self.features.is_sorted_by(|a, b| a.id < b.id));
        assert!(self.suites.len() <= SUITES_MAX && self.suites.is_sorted_by(|a, b| a < b));
        let mut bytes = Vec::new();
        bytes.byte(FORMAT);
        for (major, minor) in [self.versions.min, self.versions.max] {
            bytes.raw(&[major, minor]);
        }
        bytes.varint(self.features.len() as u64);
        for feature in &self.features {
            bytes.varint(u64::from(feature.id) << 1 | u64::from(feature.critical));
        }
        bytes.varint(self.limits.message_bytes_max);
        bytes.varint(self.limits.channels_max);
        bytes.varint(self.limits.credit_bytes);
        bytes.raw(self.incarnation.as_ref());
        bytes.raw(self.instance.as_ref());
        bytes.varint(self.suites.len() as u64);
        for suite in &self.suites {
            bytes.byte(suite.0);
        }
        match &self.role {
            Role::Member(credential) => {
                bytes.byte(0);
                bytes.prefixed(credential);
            }
            Role::Joiner(claim) => {
                bytes.byte(1);
                bytes.raw(&claim.encode());
            }
        }
        bytes
    }

    /// Reads a Hello. The role in it is not verified.
    ///
    /// # Errors
    /// Fails if the bytes are not canonical or beyond a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > HELLO_BYTES_MAX {
            return Err(CodecError::OutOfRange("the length of a hello"));
        }
        let mut reader = Reader::new(bytes);
        if reader.u8()? != FORMAT {
            return Err(CodecError::OutOfRange("the format of a hello"));
        }
        let [min_major, min_minor, max_major, max_minor] = reader.array()?;
        let versions = Versions { min: (min_major, min_minor), max: (max_major, max_minor) };
        if versions.max < versions.min {
            return Err(CodecError::OutOfRange("the range of versions"));
        }
        let features = read_features(&mut reader)?;
        let limits = HelloLimits {
            message_bytes_max: reader.varint()?,
            channels_max: reader.varint()?,
            credit_bytes: reader.varint()?,
        };
        let incarnation = Incarnation(reader.array()?);
        let instance = Instance(reader.array()?);
        let suites = reader.bytes(SUITES_MAX, "the number of suites")?;
        if !suites.is_sorted_by(|a, b| a < b) {
            return Err(CodecError::OutOfRange("the order of suites"));
        }
        let suites = suites.iter().copied().map(Suite).collect();
        let role = match reader.u8()? {
            0 => Role::Member(reader.bytes(CREDENTIAL_BYTES_MAX, "the length of a credential")?.to_vec()),
            1 => Role::Joiner(DeviceClaim::read(&mut reader)?),
            _ => return Err(CodecError::OutOfRange("the role")),
        };
        reader.finish()?;
        Ok(Self { versions, features, limits, incarnation, instance, suites, role })
    }
}

fn read_features(reader: &mut Reader<'_>) -> Result<Vec<Feature>, CodecError> {
    let count = reader.count(FEATURES_MAX, "the number of features")?;
    let mut features: Vec<Feature> = Vec::new();
    for _ in 0..count {
        let word = reader.varint_max(u64::from(u16::MAX) << 1 | 1, "the id of a feature")?;
        let feature = Feature { id: (word >> 1) as u16, critical: word & 1 == 1 };
        if features.last().is_some_and(|last| last.id >= feature.id) {
            return Err(CodecError::OutOfRange("the order of features"));
        }
        features.push(feature);
    }
    Ok(features)
}

/// Settings of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Version, as (major, minor).
    pub version: (u8, u8),
    /// Ids of the features that both ends have, ascending.
    pub features: Vec<u16>,
    /// The smaller of each limit.
    pub limits: HelloLimits,
}

impl Negotiated {
    /// Returns whether both ends have a feature.
    pub fn has(&self, id: u16) -> bool {
        self.features.binary_search(&id).is_ok()
    }
}

/// Reason why two Hellos do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The ranges of versions do not meet.
    #[error("the peer speaks no version that is known here: update the older node")]
    NoCommonVersion,
    /// The peer needs a feature that is not known here.
    #[error("the peer needs feature {0}, which is not known here: update this node")]
    UnknownFeature(u16),
    /// The peer lacks a feature that is needed here.
    #[error("the peer lacks feature {0}, which is needed here: update the peer")]
    MissingFeature(u16),
    /// Both ends know a better suite or version than the one in use: an attacker in the middle made one of them
    /// fall back.
    #[error(
        "both ends know a better version or cipher suite than the link uses: somebody on the way may have changed the handshake"
    )]
    Downgrade,
}

/// Negotiates the settings of a link. Both ends get the same result.
///
/// `used` is the preamble of this handshake: its suite and major version must be the best that both ends know.
///
/// # Errors
/// Fails if the ends have no version in common, one lacks a critical feature, or the link was forced down.
pub fn negotiate(ours: &Hello, theirs: &Hello, used: Preamble) -> Result<Negotiated, HelloError> {
    let version = ours.versions.max.min(theirs.versions.max);
    if version < ours.versions.min.max(theirs.versions.min) {
        return Err(HelloError::NoCommonVersion);
    }
    let best_suite = ours.suites.iter().filter(|suite| theirs.suites.contains(suite)).max();
    if best_suite != Some(&used.suite) || version.0 != used.major {
        return Err(HelloError::Downgrade);
    }
    let has = |hello: &Hello, id| hello.features.iter().any(|feature| feature.id == id);
    if let Some(unknown) = theirs.features.iter().find(|feature| feature.critical && !has(ours, feature.id)) {
        return Err(HelloError::UnknownFeature(unknown.id));
    }
    if let Some(missing) = ours.features.iter().find(|feature| feature.critical && !has(theirs, feature.id)) {
        return Err(HelloError::MissingFeature(missing.id));
    }
    let limits = HelloLimits {
        message_bytes_max: ours.limits.message_bytes_max.min(theirs.limits.message_bytes_max),
        channels_max: ours.limits.channels_max.min(theirs.limits.channels_max),
        credit_bytes: ours.limits.credit_bytes.min(theirs.limits.credit_bytes),
    };
    let features = ours.features.iter().map(|feature| feature.id).filter(|id| has(theirs, *id)).collect();
    Ok(Negotiated { version, features, limits })
}

#[cfg(test)]
mod tests;
