//! Control: the state of spaces that follows from the records of trusted authors (`spec/access.md`).

use super::record::{NAME_BYTES_MAX, Record};
use super::{CONTROL, MAIN, Partition, Space, Spaces};
use crate::entropy::Entropy;
use crate::identity::{
    Credential, DevicePublic, Membership, RecoveryKey, SpaceGenesis, UserKey, VerifiedCredential, partition_id,
    partition_token,
};
use crate::ids::{DeviceId, PartNo, PartitionId, SpaceId, SpaceNo};
use crate::log::write::SealError;
use crate::sealed::{InviteError, MintError};
use crate::storage::Op;
use crate::storage::rows::{PartitionRow, device_row, identity_row};
use bytes::Bytes;

/// Most partitions of a space that are known here. They stay in memory, and a record of few bytes adds one.
const PARTITIONS_MAX: usize = 32_768;

/// Reason why a space could not be made or changed. The caller can correct it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// No user was made on this device, and it has not joined one.
    #[error("this device has no user yet: create one, or join with an invite")]
    NoUser,
    /// The user key is on another device.
    #[error("the user key is on another device: do this there")]
    NoUserKey,
    /// There is a user on this device already.
    #[error("this device already belongs to a user")]
    HasUser,
    /// A name is empty, too long, or taken.
    #[error("a name must have 1 to 255 bytes and must not be taken")]
    Name,
    /// No such space here.
    #[error("there is no such space here")]
    UnknownSpace,
    /// No such partition here.
    #[error("there is no such partition here")]
    UnknownPartition,
    /// The space's keys have not arrived yet.
    #[error("the keys of this space have not arrived yet: connect to a device that has them")]
    NoKeys,
    /// Too many invites are open.
    #[error("too many invites are open: wait until some expire")]
    TooManyInvites,
    /// Another device used the invite.
    #[error("the invite was used by another device: make a new one")]
    InviteUsed,
    /// The device belongs to another user.
    #[error("the device belongs to another user")]
    OtherUser,
    /// An address in an invite is invalid.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The epoch could not be minted.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The entry could not be built.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Spaces {
    /// Creates a user whose first device is this one. Returns the recovery key, which is stored nowhere.
    pub(crate) fn create_user(&mut self, entropy: &mut Entropy, ops: &mut Vec<Op>) -> Result<RecoveryKey, SpaceError> {
        if self.own.user.is_some() {
            return Err(SpaceError::HasUser);
        }
        let recovery = RecoveryKey::generate(entropy);
        let user_key = UserKey::generate(entropy);
        let genesis = user_key.genesis(recovery.commitment(), entropy);
        let cert = user_key.certify(genesis.user_id(), self.own.keys.claim(), 0, u64::MAX);
        let credential =
            Credential::verify(&Credential { genesis, cert }.encode()).expect("an own credential verifies");
        self.own.user = Some(Membership { credential, user_key: Some(user_key) });
        ops.push(identity_row(&self.own));
        Ok(recovery)
    }

    /// Founds a space with this device alone: others are invited later. Returns the records that make it known to
    /// others, and the record of its first epoch.
    pub(crate) fn found(
        &mut self,
        name: &str,
        entropy: &mut Entropy,
        ops: &mut Vec<Op>,
    ) -> Result<(SpaceNo, Vec<Record>, Vec<u8>), SpaceError> {
        check_name(name)?;
        let me = self.own.user.as_ref().ok_or(SpaceError::NoUser)?;
        let user_key = me.user_key.as_ref().ok_or(SpaceError::NoUserKey)?;
        if self.all.iter().any(|space| space.name == name) {
            return Err(SpaceError::Name);
        }
        let credential = me.credential.clone();
        let genesis = SpaceGenesis::create(user_key, me.credential.genesis().clone(), entropy);
        let no = self.add_space(&genesis, name, &credential, ops);
        let records = vec![
            Record::SpaceName { name: name.into() },
            Record::Partition { name: MAIN.into() },
            Record::Device { credential: Bytes::from(credential.encode()) },
        ];
        let epoch = self.mint_epoch(no, entropy, ops)?;
        Ok((no, records, epoch))
    }

    /// Adds a partition by its name. Returns it with the record that makes it known to others.
    pub(crate) fn create_partition(
        &mut self,
        space: SpaceNo,
        name: &str,
        ops: &mut Vec<Op>,
    ) -> Result<(PartNo, Record), SpaceError> {
        check_name(name)?;
        let known = self.known_space(space)?;
        let id = partition_id(&known.id, name);
        if known.current_epoch().is_none() {
            return Err(SpaceError::NoKeys);
        }
        if known.partitions.get(&id).is_some_and(|no| !self.partition(*no).name.is_empty()) {
            return Err(SpaceError::Name);
        }
        let no = self.ensure_partition(space, id, name, ops);
        Ok((no, Record::Partition { name: name.into() }))
    }

    pub(super) fn space_by_id(&self, id: &SpaceId) -> Option<SpaceNo> {
        self.all.iter().find(|space| space.id == *id).map(|space| space.no)
    }

    /// Makes a space known, with its first partitions and this device.
    pub(super) fn add_space(
        &mut self,
        genesis: &SpaceGenesis,
        name: &str,
        own: &VerifiedCredential,
        ops: &mut Vec<Op>,
    ) -> SpaceNo {
        let no = SpaceNo(self.all.len() as u32);
        self.all.push(Space::new(no, genesis, Bytes::from(genesis.encode()), name.into()));
        ops.push(self.space(no).row());
        for name in [CONTROL, MAIN] {
            self.ensure_partition(no, partition_id(&self.space(no).id, name), name, ops);
        }
        self.add_device(no, own, ops);
        no
    }

    /// Makes a partition known, or names one that had only its id so far.
    fn ensure_partition(&mut self, space: SpaceNo, id: PartitionId, name: &str, ops: &mut Vec<Op>) -> PartNo {
        let known = self.space(space).partitions.get(&id).copied();
        let no = known.unwrap_or(PartNo(self.partitions.len() as u32));
        if known.is_none() {
            let state = self.space_mut(space);
            let token = partition_token(&state.id, &id);
            state.partitions.insert(id, no);
            state.tokens.insert(token, no);
            self.partitions.push(Partition { no, space, id, name: String::new() });
        }
        let partition = &mut self.partitions[no.0 as usize];
        if known.is_none() || (partition.name.is_empty() && !name.is_empty()) {
            partition.name = name.into();
            ops.push(PartitionRow { no, space, id, name: name.into() }.op());
        }
        no
    }

    /// Returns whether a partition is known, or there is room for one more.
    fn has_room_for_partition(&self, space: SpaceNo, id: &PartitionId) -> bool {
        let partitions = &self.space(space).partitions;
        partitions.len() < PARTITIONS_MAX || partitions.contains_key(id)
    }

    pub(super) fn add_device(&mut self, space: SpaceNo, credential: &VerifiedCredential, ops: &mut Vec<Op>) {
        let device = *credential.device();
        self.space_mut(space).devices.insert(device.device, device);
        ops.push(device_row(space, credential));
        self.credentials.insert(device.device, credential.clone());
    }

    /// Returns a device of a space. `records` are those of the current control entry, which may introduce it.
    pub(crate) fn known_device(&self, space: SpaceNo, device: &DeviceId, records: &[Record]) -> Option<DevicePublic> {
        if let Some(public) = self.space(space).devices.get(device) {
            return Some(*public);
        }
        records.iter().find_map(|record| {
            let Record::Device { credential } = record else { return None };
            let credential = self.member_credential(space, credential)?;
            (credential.device().device == *device).then(|| *credential.device())
        })
    }

    fn member_credential(&self, space: SpaceNo, bytes: &[u8]) -> Option<VerifiedCredential> {
        let credential = Credential::verify(bytes).ok()?;
        self.space(space).is_member(&credential.user()).then_some(credential)
    }

    /// Applies the records of one entry by a trusted author. Records that do not verify are skipped: a record
    /// is a statement, and a false one has no effect.
    pub(crate) fn apply(&mut self, space: SpaceNo, author: DeviceId, records: &[Record], ops: &mut Vec<Op>) {
        // Devices first: the order of records within an entry means nothing.
        for record in records {
            if let Record::Device { credential } = record
                && let Some(credential) = self.member_credential(space, credential)
            {
                self.add_device(space, &credential, ops);
            }
        }
        for record in records {
            match record {
                Record::Partition { name } => {
                    let id = partition_id(&self.space(space).id, name);
                    if self.has_room_for_partition(space, &id) {
                        self.ensure_partition(space, id, name, ops);
                    }
                }
                Record::SpaceName { name } => {
                    if self.space(space).name.is_empty() {
                        self.space_mut(space).name.clone_from(name);
                        ops.push(self.space(space).row());
                    }
                }
                Record::EpochWant { epoch } => self.record_epoch_request(space, *epoch, author),
                Record::Device { .. } | Record::Unknown { .. } => {}
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), SpaceError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX { Err(SpaceError::Name) } else { Ok(()) }
}
