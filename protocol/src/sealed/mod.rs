//! Keys that seal content, their wrapping, and their distribution to the devices that may read.
//!
//! An [`EpochKey`] belongs to a space for a while and travels in [`KeyEpoch`] records, in a box for each device.
//! This module draws randomness only from the [`Entropy`](crate::entropy::Entropy) it is given, and never decides
//! about access to a key (`spec/identity.md`, sections 4 to 6).

mod aead;
mod invite;
mod key_epoch;
mod key_tree;
mod keys;
#[cfg(test)]
mod tests;

pub use aead::{KEY_BYTES, NONCE_BYTES, OpenError, TAG_BYTES, open, seal};
pub use invite::{INVITE_PREFIX, Invite, InviteError};
pub use key_epoch::{BOXES_MAX, KeyBox, KeyEpoch, MintError, Previous};
pub use key_tree::{KeyNode, Seed, SeedWalk, Seeds, leaf_seeds, node_seed};
pub use keys::EpochKey;
