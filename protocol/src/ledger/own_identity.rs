//! Identity of this store: the device's keys, and the user that the device belongs to, if any (`spec/identity.md`).

use crate::codec::{CodecError, Reader, Write};
use crate::identity::{Credential, DeviceKeys, UserKey, VerifiedCredential};
use crate::storage::rows::{SECRET_IDENTITY, put};
use crate::storage::{Op, Table};

/// The device, and its user.
#[derive(Debug)]
pub(crate) struct OwnIdentity {
    pub(crate) keys: DeviceKeys,
    pub(crate) user: Option<Membership>,
}

/// Membership of this device in a user.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) credential: VerifiedCredential,
    /// Present only on the device where the user was created; it certifies further devices.
    pub(crate) user_key: Option<UserKey>,
}

impl OwnIdentity {
    /// Returns the row that stores the identity.
    pub(crate) fn row(&self) -> Op {
        let mut out = vec![0];
        out.prefixed(&self.keys.to_bytes()[..]);
        match &self.user {
            None => out.byte(0),
            Some(Membership { credential, user_key: None }) => {
                out.byte(1);
                out.prefixed(&credential.encode());
            }
            Some(Membership { credential, user_key: Some(key) }) => {
                out.byte(2);
                out.prefixed(&credential.encode());
                out.raw(&key.to_bytes()[..]);
            }
        }
        put(Table::Secret, SECRET_IDENTITY, out)
    }

    pub(crate) fn from_row(value: &[u8]) -> Result<Self, CodecError> {
        const WHAT: CodecError = CodecError::OutOfRange("identity");
        let mut reader = Reader::new(value);
        if reader.u8()? != 0 {
            return Err(WHAT);
        }
        let keys = DeviceKeys::from_bytes(reader.bytes(DeviceKeys::LEN, "device keys")?).map_err(|_| WHAT)?;
        let user = match reader.u8()? {
            0 => None,
            kind => {
                let credential = Credential::verify(reader.bytes(4096, "credential")?).map_err(|_| WHAT)?;
                let user_key = match kind {
                    1 => None,
                    _ => Some(UserKey::from_bytes(&reader.array()?)),
                };
                Some(Membership { credential, user_key })
            }
        };
        reader.finish()?;
        Ok(Self { keys, user })
    }
}
