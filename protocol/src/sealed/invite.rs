//! Invites: one pasteable line that brings a device into a space.
//!
//! The secret is valid for one handshake. The Noise key proves to the new device that it talks to the inviter.

use crate::codec::{CodecError, Reader, Write};
use crate::entropy::Entropy;
use crate::identity::{derive, derive_cut};
use crate::ids::SpaceId;
use core::fmt;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The beginning of every invite.
pub const INVITE_PREFIX: &str = "cosmicsync-invite1:";

const ADDRESSES_MAX: usize = 8;
const ADDRESS_BYTES_MAX: usize = 255;
const CHECK_BYTES: usize = 4;
/// Length of the longest encoding: 1 + 8 * (2 + 255) + 32 + 32 + 32 + 10, and the checksum.
const BYTES_MAX: usize = 1 + ADDRESSES_MAX * (2 + ADDRESS_BYTES_MAX) + 3 * 32 + 10 + CHECK_BYTES;
/// Length of the longest line: base58 takes at most 1.38 characters per byte.
const TEXT_MAX: usize = INVITE_PREFIX.len() + BYTES_MAX * 7 / 5;

/// Reason why a text is not an invite, with advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// The text starts with something else.
    #[error("this is not an invite: paste the whole line that starts with {INVITE_PREFIX}")]
    NotAnInvite,
    /// The invite was made by a newer version.
    #[error("this invite was made by a newer version: update this node, or ask for an invite from the older one")]
    UnknownVersion,
    /// The text is longer than any invite.
    #[error("this line is too long for an invite: paste one invite alone, with nothing after it")]
    TooLong,
    /// Characters are missing, added or changed.
    #[error("the invite is incomplete or mistyped: copy the whole line again")]
    Damaged,
    /// There is no address, too many, or an invalid one.
    #[error("an invite holds 1 to {ADDRESSES_MAX} addresses of 1 to {ADDRESS_BYTES_MAX} printable bytes: check them")]
    BadAddresses,
    /// The checksum is right but the content is not.
    #[error("the invite is malformed ({0}): ask for a new one")]
    Malformed(#[from] CodecError),
}

/// The data with which a new device joins. It is a secret: the first device that has it joins.
///
/// ```
/// use cosmicsync_protocol::endpoint::Dial;
/// use cosmicsync_protocol::sealed::{Invite, InviteError};
/// use cosmicsync_protocol::testkit::peer::Peer; // an endpoint with a store in memory
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The inviter: one device may join, within an hour, at one of these addresses.
/// let mut inviter = Peer::new(1);
/// let space = inviter.found("home");
/// let expires_ms = inviter.now.wall_ms + 3_600_000;
/// let invite = inviter.endpoint.invite(inviter.now, space, vec!["host.example:7071".into()], expires_ms)?;
/// let line = invite.to_line();
///
/// // The new device: a person pastes the line. A typing error is found before anything is dialled.
/// assert_eq!(Invite::parse(&line[..line.len() - 1]), Err(InviteError::Damaged));
/// let invite = Invite::parse(&line)?;
/// assert_eq!(invite.addresses(), ["host.example:7071"]);
///
/// // It dials the address and reports the link with this purpose.
/// let mut joiner = Peer::new(2);
/// let link = joiner.endpoint.handle_link_up(joiner.now, Some(Dial::Join(Box::new(invite))));
/// assert!(joiner.endpoint.poll_transmit(joiner.now, link, &mut Vec::new()), "the handshake begins");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Invite {
    /// Addresses of the inviter, 1 to 8, best first.
    #[zeroize(skip)]
    addresses: Vec<String>,
    #[zeroize(skip)]
    space: SpaceId,
    #[zeroize(skip)]
    inviter: [u8; 32],
    secret: [u8; 32],
    #[zeroize(skip)]
    expires_ms: u64,
}

impl Invite {
    /// Makes an invite to `space` by the device whose Noise static key is `inviter`, valid until `expires_ms` on
    /// the wall clock (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// [`InviteError::BadAddresses`].
    pub fn create(
        addresses: Vec<String>,
        space: SpaceId,
        inviter: [u8; 32],
        expires_ms: u64,
        entropy: &mut Entropy,
    ) -> Result<Self, InviteError> {
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX || !addresses.iter().all(|text| is_address(text)) {
            return Err(InviteError::BadAddresses);
        }
        Ok(Self { addresses, space, inviter, secret: entropy.bytes(), expires_ms })
    }

    /// Returns the addresses of the inviter, best first.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Returns the space that the invite leads to.
    pub const fn space(&self) -> SpaceId {
        self.space
    }

    /// Returns the inviter's Noise static key: a responder with another key is not the inviter.
    pub const fn inviter(&self) -> &[u8; 32] {
        &self.inviter
    }

    /// Returns the last moment of the invite's validity, wall clock in milliseconds since the Unix epoch.
    pub const fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Returns whether the invite's validity has ended.
    pub const fn is_expired_at(&self, wall_ms: u64) -> bool {
        wall_ms > self.expires_ms
    }

    /// Returns the key that both ends mix into the handshake.
    pub fn psk(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive("cosmicsync invite psk 1", &[&self.secret, self.space.as_ref(), &self.inviter]))
    }

    /// Returns the line to paste.
    pub fn to_line(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
        bytes.varint(self.addresses.len() as u64);
        for address in &self.addresses {
            bytes.prefixed(address.as_bytes());
        }
        bytes.raw(self.space.as_ref());
        bytes.raw(&self.inviter);
        bytes.raw(&self.secret);
        bytes.varint(self.expires_ms);
        let check = checksum(&bytes);
        bytes.raw(&check);
        Zeroizing::new(format!("{INVITE_PREFIX}{}", bs58::encode(bytes.as_slice()).into_string()))
    }

    /// Reads a pasted line; white space around it is allowed.
    ///
    /// # Errors
    /// Each error advises the next step.
    pub fn parse(line: &str) -> Result<Self, InviteError> {
        let line = line.trim();
        let Some(digits) = line.strip_prefix(INVITE_PREFIX) else {
            let newer = line.strip_prefix("cosmicsync-invite").and_then(|rest| rest.split_once(':'));
            let is_version = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            return Err(match newer {
                Some((version, _)) if is_version(version) => InviteError::UnknownVersion,
                _ => InviteError::NotAnInvite,
            });
        };
        if line.len() > TEXT_MAX {
            return Err(InviteError::TooLong);
        }
        let bytes = Zeroizing::new(bs58::decode(digits).into_vec().map_err(|_| InviteError::Damaged)?);
        let (content, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(InviteError::Damaged)?;
        if checksum(content) != *check {
            return Err(InviteError::Damaged);
        }
        Self::decode(content)
    }

    fn decode(bytes: &[u8]) -> Result<Self, InviteError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(ADDRESSES_MAX, "the number of addresses")?;
        let mut addresses = Vec::new();
        for _ in 0..count {
            addresses.push(reader.text(ADDRESS_BYTES_MAX, "the length of an address")?.to_owned());
        }
        if addresses.is_empty() || !addresses.iter().all(|text| is_address(text)) {
            return Err(InviteError::BadAddresses);
        }
        let invite = Self {
            addresses,
            space: SpaceId(reader.array()?),
            inviter: reader.array()?,
            secret: reader.array()?,
            expires_ms: reader.varint()?,
        };
        reader.finish()?;
        Ok(invite)
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("addresses", &self.addresses).field("space", &self.space).finish_non_exhaustive()
    }
}

/// Returns whether a text may be an address here: a driver interprets it.
fn is_address(text: &str) -> bool {
    (1..=ADDRESS_BYTES_MAX).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn checksum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    derive_cut("cosmicsync invite checksum 1", &[bytes])
}
