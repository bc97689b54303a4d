//! Identity: users, devices, spaces and the ids derived from them.
//!
//! Every id is a hash or a public key, so anyone can check one and no authority assigns them. The records here
//! carry their own signatures and are hashed and signed as the bytes that travel. This module never knows a link, a
//! role or a clock: only the handshake checks whether a certificate is *current* (`spec/identity.md`).
//!
//! A runtime makes a user with [`Endpoint::create_user`](crate::Endpoint::create_user):
//!
//! ```
//! use cosmicsync_protocol::identity::{RecoveryKey, did_key, parse_did_key};
//! use cosmicsync_protocol::spaces::SpaceError;
//! use cosmicsync_protocol::testkit::peer::Peer; // an endpoint with a store in memory
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut peer = Peer::new(1);
//! assert!(peer.endpoint.credential().is_none());
//!
//! // The recovery key is returned once and stored nowhere: the user writes its 32 bytes down.
//! let recovery_key = peer.endpoint.create_user(peer.now)?;
//! let written_down = recovery_key.secret();
//! assert_eq!(RecoveryKey::from_secret(&written_down).commitment(), recovery_key.commitment());
//!
//! // A device belongs to one user.
//! assert_eq!(peer.endpoint.create_user(peer.now).err(), Some(SpaceError::HasUser));
//! let credential = peer.endpoint.credential().ok_or("the user was made")?;
//! assert_eq!(credential.device().device, peer.endpoint.device());
//!
//! // The id of a device is its public key, and has a form for people and other systems.
//! let text = did_key(&peer.endpoint.device());
//! assert!(text.starts_with("did:key:z6Mk"));
//! assert_eq!(parse_did_key(&text)?, peer.endpoint.device());
//! # Ok(())
//! # }
//! ```

mod certificate;
mod derived;
mod device;
mod did;
mod own;
mod signature;
mod space;
#[cfg(test)]
mod tests;
mod user;

pub use certificate::{CREDENTIAL_BYTES_MAX, Credential, DeviceCert, VerifiedCredential};
pub use derived::{
    collection_id, doc_id_for_key, log_id, partition_id, partition_token, peer_id, recovery_commitment, space_token,
};
pub(crate) use derived::{derive, derive_cut, owner_box_hash};
pub use device::{DeviceClaim, DeviceKeys, DevicePublic};
pub use did::{DidError, did_key, parse_did_key};
pub(crate) use own::{Membership, OwnIdentity};
pub use space::SpaceGenesis;
pub use user::{RecoveryKey, UserGenesis, UserKey};

use crate::codec::CodecError;

/// The version byte at the start of every record of this module.
const VERSION: u8 = 0;

/// Reason why a record of identity was refused. Always the fault of its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not the canonical encoding.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The record has a newer version of the format.
    #[error("version {0} of {1} is not known here: update this node")]
    UnknownVersion(u8, &'static str),
    /// A signature does not match.
    #[error("the signature of the {0} does not verify")]
    BadSignature(&'static str),
    /// The certificate names another user than the genesis record beside it.
    #[error("the certificate belongs to another user than the genesis record beside it")]
    WrongUser,
    /// An X25519 public key has small order, so a secret agreed with it would not be secret.
    #[error("a key agreement key is weak")]
    WeakKey,
    /// A certificate ends before it starts.
    #[error("the certificate ends before it starts")]
    EmptyValidity,
}

/// Reads the version byte of a record called `what`.
fn read_version(reader: &mut crate::codec::Reader<'_>, what: &'static str) -> Result<(), IdentityError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(IdentityError::UnknownVersion(other, what)),
    }
}
