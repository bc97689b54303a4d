//! Devices as `did:key` texts, the form in which other programs name an Ed25519 key.

use crate::ids::DeviceId;

const PREFIX: &str = "did:key:z";
/// The multicodec number of an Ed25519 public key, as a varint.
const ED25519: [u8; 2] = [0xed, 0x01];

/// Error for a text that is not the `did:key` of an Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected did:key:z6Mk… with an Ed25519 key")]
pub struct DidError;

/// Writes a device as `did:key:z6Mk…`.
pub fn did_key(device: &DeviceId) -> String {
    let mut bytes = [0; 2 + DeviceId::LEN];
    bytes[..2].copy_from_slice(&ED25519);
    bytes[2..].copy_from_slice(device.as_ref());
    format!("{PREFIX}{}", bs58::encode(bytes).into_string())
}

/// Reads what [`did_key`] writes.
///
/// # Errors
/// Fails for any other text.
pub fn parse_did_key(text: &str) -> Result<DeviceId, DidError> {
    let digits = text.strip_prefix(PREFIX).ok_or(DidError)?;
    let mut bytes = [0; 2 + DeviceId::LEN];
    let len = bs58::decode(digits).onto(&mut bytes).map_err(|_| DidError)?;
    match bytes.split_first_chunk::<2>() {
        Some((&ED25519, key)) if len == bytes.len() => {
            Ok(DeviceId(<[u8; DeviceId::LEN]>::try_from(key).map_err(|_| DidError)?))
        }
        _ => Err(DidError),
    }
}
