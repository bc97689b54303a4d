//! Invites and joins: admission of a device to a user and a space.
//!
//! The invite's secret is the pre-shared key of an XXpsk0 handshake. Over that link the inviter certifies the
//! new device, mints an epoch that is boxed to it too, and answers with a [`JoinAccept`]. The new device
//! learns everything else by syncing control (`spec/identity.md`).

use super::record::Record;
use super::{SpaceError, Spaces};
use crate::codec::{CodecError, Reader, Write};
use crate::entropy::Entropy;
use crate::identity::{Credential, DeviceClaim, Membership, SpaceGenesis, VerifiedCredential};
use crate::ids::{DeviceId, SpaceId, SpaceNo};
use crate::sealed::Invite;
use crate::storage::rows::{InviteRow, delete, identity_row};
use crate::storage::{Op, Table};
use crate::time::Now;
use bytes::Bytes;

/// Most invites that are open at one time.
const INVITED_MAX: usize = 64;

/// Reason why joining failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The answer is not canonical.
    #[error("the inviter's answer is malformed")]
    Codec(#[from] CodecError),
    /// The answer is about another device, user or space.
    #[error("the inviter's answer is for another device, user or space: ask for a new invite")]
    Mismatch,
    /// The inviter refused.
    #[error(transparent)]
    Refused(JoinRefusal),
    /// This device has another user already.
    #[error("this device already belongs to another user")]
    OtherUser,
}

/// Reason why the inviter refused, as sent to the joiner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// Another device used the invite.
    #[error("the invite was used by another device: ask for a new one")]
    Used,
    /// The device belongs to another user.
    #[error("this device belongs to another user than the inviter")]
    OtherUser,
    /// The inviter failed to admit the device.
    #[error("the inviter could not admit this device: look at the inviter's log")]
    Failed,
}

impl JoinRefusal {
    const ALL: [Self; 3] = [Self::Used, Self::OtherUser, Self::Failed];

    /// Returns the refusal that an error at the inviter maps to.
    pub(crate) const fn of(error: &SpaceError) -> Self {
        if matches!(error, SpaceError::InviteUsed) {
            Self::Used
        } else if matches!(error, SpaceError::OtherUser) {
            Self::OtherUser
        } else {
            Self::Failed
        }
    }

    /// Encodes the refusal as the inviter's answer.
    pub(crate) fn encode(self) -> Vec<u8> {
        vec![1, self as u8]
    }
}

/// Identity of a joining device.
#[derive(Debug, Clone)]
pub(crate) enum Admission {
    /// A device without a user, asking for a certificate.
    Claim(DeviceClaim),
    /// A device of the user already, new to the space.
    Certified(Box<VerifiedCredential>),
}

/// An admitted device, with what remains to be done for it.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) device: DeviceId,
    pub(crate) space: SpaceNo,
    /// The answer, which leaves once all is durable.
    pub(crate) accept: Vec<u8>,
    /// For a device that is new in the space: the record that names it in control, and the record of an epoch for it.
    pub(crate) introduction: Option<(Record, Vec<u8>)>,
}

/// The inviter's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinAccept {
    pub(crate) credential: Bytes,
    pub(crate) genesis: Bytes,
}

impl JoinAccept {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.prefixed(&self.credential);
        out.prefixed(&self.genesis);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, JoinError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != 0 {
            let refusal = JoinRefusal::ALL.get(usize::from(reader.u8()?)).copied();
            return Err(JoinError::Refused(refusal.unwrap_or(JoinRefusal::Failed)));
        }
        let mut field = |what| reader.bytes(4096, what).map(Bytes::copy_from_slice);
        let accept = Self { credential: field("credential")?, genesis: field("genesis")? };
        reader.finish()?;
        Ok(accept)
    }
}

impl Spaces {
    /// Makes an invite for one device, valid until it was used or `expires_ms` has passed.
    pub(crate) fn invite(
        &mut self,
        space: SpaceNo,
        addresses: Vec<String>,
        expires_ms: u64,
        now: Now,
        entropy: &mut Entropy,
        ops: &mut Vec<Op>,
    ) -> Result<Invite, SpaceError> {
        let me = self.own.user.as_ref().ok_or(SpaceError::NoUser)?;
        if me.user_key.is_none() {
            return Err(SpaceError::NoUserKey);
        }
        let space_id = self.known_space(space)?.id;
        self.forget_expired(now, ops);
        if self.invited.len() >= INVITED_MAX {
            return Err(SpaceError::TooManyInvites);
        }
        let noise = self.own.keys.public().noise;
        let invite = Invite::create(addresses, space_id, noise, expires_ms, entropy)?;
        let invited = InviteRow { psk: *invite.psk(), space, expires_ms, used_by: None };
        ops.push(invited.op());
        self.invited.push(invited);
        Ok(invite)
    }

    /// Returns the pre-shared keys of all open invites.
    pub(crate) fn invite_psks(&mut self, now: Now, ops: &mut Vec<Op>) -> Vec<[u8; 32]> {
        self.forget_expired(now, ops);
        self.invited.iter().map(|invited| invited.psk).collect()
    }

    fn forget_expired(&mut self, now: Now, ops: &mut Vec<Op>) {
        self.invited.retain(|invited| {
            let keep = invited.expires_ms > now.wall_ms;
            if !keep {
                ops.push(delete(Table::Secret, invited.key()));
            }
            keep
        });
    }

    /// Admits the device that came with an invite's key: certifies it, and mints an epoch for it. A device that lost
    /// the answer may ask again.
    pub(crate) fn admit(
        &mut self,
        psk: &[u8; 32],
        who: &Admission,
        entropy: &mut Entropy,
        ops: &mut Vec<Op>,
    ) -> Result<Admitted, SpaceError> {
        let at = self.invited.iter().position(|invited| invited.psk == *psk).ok_or(SpaceError::UnknownSpace)?;
        let me = self.own.user.as_ref().ok_or(SpaceError::NoUser)?;
        let user_key = me.user_key.as_ref().ok_or(SpaceError::NoUserKey)?;
        let user = me.credential.user();
        let credential = match who {
            Admission::Certified(credential) if credential.user() == user => (**credential).clone(),
            Admission::Certified(_) => return Err(SpaceError::OtherUser),
            Admission::Claim(claim) => {
                let cert = user_key.certify(user, *claim, 0, u64::MAX);
                let credential = Credential { genesis: me.credential.genesis().clone(), cert };
                Credential::verify(&credential.encode()).map_err(|_| SpaceError::OtherUser)?
            }
        };
        let device = credential.device().device;
        let invited = &self.invited[at];
        if invited.used_by.is_some_and(|other| other != device) {
            return Err(SpaceError::InviteUsed);
        }
        let space = invited.space;
        let accept =
            JoinAccept { credential: Bytes::from(credential.encode()), genesis: self.space(space).genesis.clone() };
        let mut introduction = None;
        if !self.space(space).devices.contains_key(&device) {
            self.add_device(space, &credential, ops);
            let epoch = self.mint_epoch(space, entropy, ops)?;
            introduction = Some((Record::Device { credential: accept.credential.clone() }, epoch));
        }
        Ok(Admitted { device, space, accept: accept.encode(), introduction })
    }

    /// Notes that a device used an invite. Returns the invite's row.
    pub(crate) fn use_invite(&mut self, psk: &[u8; 32], device: DeviceId) -> Option<Op> {
        let invited = self.invited.iter_mut().find(|invited| invited.psk == *psk)?;
        invited.used_by = Some(device);
        Some(invited.op())
    }

    /// Takes the inviter's answer: from now on this device has a user and knows the space. Returns the space, and
    /// whether it is new.
    pub(crate) fn join(
        &mut self,
        expected: &SpaceId,
        accept: &[u8],
        ops: &mut Vec<Op>,
    ) -> Result<(SpaceNo, bool), JoinError> {
        let accept = JoinAccept::decode(accept)?;
        let credential = Credential::verify(&accept.credential).map_err(|_| JoinError::Mismatch)?;
        let genesis = SpaceGenesis::decode(&accept.genesis).map_err(|_| JoinError::Mismatch)?;
        if *credential.device() != self.own.keys.public()
            || genesis.space_id() != *expected
            || genesis.creator_id() != credential.user()
        {
            return Err(JoinError::Mismatch);
        }
        match &self.own.user {
            Some(me) if me.credential.user() != credential.user() => return Err(JoinError::OtherUser),
            Some(_) => {}
            None => {
                self.own.user = Some(Membership { credential: credential.clone(), user_key: None });
                ops.push(identity_row(&self.own));
            }
        }
        Ok(match self.space_by_id(expected) {
            Some(space) => (space, false),
            None => (self.add_space(&genesis, "", &credential, ops), true),
        })
    }
}
