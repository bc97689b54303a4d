//! Identity of one store: its device's keys, and the user that the device belongs to, if any.

use super::{DeviceKeys, UserKey, VerifiedCredential};

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
