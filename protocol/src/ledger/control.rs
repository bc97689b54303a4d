//! Control: founds spaces, and applies the records of trusted authors (`spec/access.md`).

use super::registry::{Owner, Standing};
use super::{Batch, Effect, Ledger};
use crate::identity::{
    Credential, DevicePublic, Membership, RecoveryKey, SpaceGenesis, UserKey, VerifiedCredential, partition_id,
    partition_token,
};
use crate::ids::{DeviceId, LogNo, PartNo, PartitionId, SpaceId, SpaceNo};
use crate::log::owner::{FOUNDER_GRANT, LogOwner, OpenedOwner};
use crate::log::write::SealError;
use crate::sealed::{InviteError, MintError};
use crate::spaces::record::{NAME_BYTES_MAX, Record};
use crate::spaces::{CONTROL, MAIN, Partition, Space};
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

impl Ledger {
    /// Creates a user whose first device is this one. Returns the recovery key, which is stored nowhere.
    pub(crate) fn create_user(&mut self, batch: &mut Batch) -> Result<RecoveryKey, SpaceError> {
        if self.own.user.is_some() {
            return Err(SpaceError::HasUser);
        }
        let recovery = RecoveryKey::generate(&mut self.entropy);
        let user_key = UserKey::generate(&mut self.entropy);
        let genesis = user_key.genesis(recovery.commitment(), &mut self.entropy);
        let cert = user_key.certify(genesis.user_id(), self.own.keys.claim(), 0, u64::MAX);
        let credential =
            Credential::verify(&Credential { genesis, cert }.encode()).expect("an own credential verifies");
        self.own.user = Some(Membership { credential, user_key: Some(user_key) });
        batch.ops.push(identity_row(&self.own));
        Ok(recovery)
    }

    /// Founds a space with this device alone: others are invited later.
    pub(crate) fn create_space(&mut self, name: &str, batch: &mut Batch) -> Result<SpaceNo, SpaceError> {
        check_name(name)?;
        let me = self.own.user.as_ref().ok_or(SpaceError::NoUser)?;
        let user_key = me.user_key.as_ref().ok_or(SpaceError::NoUserKey)?;
        if self.spaces.iter().any(|space| space.name == name) {
            return Err(SpaceError::Name);
        }
        let credential = me.credential.clone();
        let genesis = SpaceGenesis::create(user_key, me.credential.genesis().clone(), &mut self.entropy);
        let no = self.ensure_space(&genesis, name, batch);
        for name in [CONTROL, MAIN] {
            self.ensure_partition(no, partition_id(&self.space(no).id, name), name, batch);
        }
        self.add_device(no, &credential, batch);
        let records = vec![
            Record::SpaceName { name: name.into() },
            Record::Partition { name: MAIN.into() },
            Record::Device { credential: Bytes::from(credential.encode()) },
        ];
        let record = self.mint_epoch(no, batch)?;
        self.append_control(no, &records, Some(record), batch)?;
        Ok(no)
    }

    /// Adds a partition by its name.
    pub(crate) fn create_partition(
        &mut self,
        space: SpaceNo,
        name: &str,
        batch: &mut Batch,
    ) -> Result<PartNo, SpaceError> {
        check_name(name)?;
        let known = self.known_space(space)?;
        let id = partition_id(&known.id, name);
        if known.current_epoch().is_none() {
            return Err(SpaceError::NoKeys);
        }
        if known.partitions.get(&id).is_some_and(|no| !self.partition(*no).name.is_empty()) {
            return Err(SpaceError::Name);
        }
        let no = self.ensure_partition(space, id, name, batch);
        self.append_control(space, &[Record::Partition { name: name.into() }], None, batch)?;
        Ok(no)
    }

    pub(crate) fn space_by_id(&self, id: &SpaceId) -> Option<SpaceNo> {
        self.spaces.iter().find(|space| space.id == *id).map(|space| space.no)
    }

    pub(crate) fn ensure_space(&mut self, genesis: &SpaceGenesis, name: &str, batch: &mut Batch) -> SpaceNo {
        let no = SpaceNo(self.spaces.len() as u32);
        self.spaces.push(Space::new(no, genesis, Bytes::from(genesis.encode()), name.into()));
        batch.ops.push(self.space(no).row());
        batch.effects.push(Effect::SpaceChanged(no));
        no
    }

    /// Makes a partition known, or names one that had only its id so far.
    pub(crate) fn ensure_partition(
        &mut self,
        space: SpaceNo,
        id: PartitionId,
        name: &str,
        batch: &mut Batch,
    ) -> PartNo {
        let known = self.spaces[space.0 as usize].partitions.get(&id).copied();
        let no = known.unwrap_or(PartNo(self.partitions.len() as u32));
        if known.is_none() {
            let state = &mut self.spaces[space.0 as usize];
            let token = partition_token(&state.id, &id);
            state.partitions.insert(id, no);
            state.tokens.insert(token, no);
            self.partitions.push(Partition { no, space, id, name: String::new(), live: None });
        }
        let partition = &mut self.partitions[no.0 as usize];
        if known.is_none() || (partition.name.is_empty() && !name.is_empty()) {
            partition.name = name.into();
            batch.ops.push(PartitionRow { no, space, id, name: name.into() }.op());
        }
        no
    }

    /// Returns whether a partition is known, or there is room for one more.
    fn has_room_for_partition(&self, space: SpaceNo, id: &PartitionId) -> bool {
        let partitions = &self.space(space).partitions;
        partitions.len() < PARTITIONS_MAX || partitions.contains_key(id)
    }

    pub(super) fn add_device(&mut self, space: SpaceNo, credential: &VerifiedCredential, batch: &mut Batch) {
        let device = *credential.device();
        self.spaces[space.0 as usize].devices.insert(device.device, device);
        batch.ops.push(device_row(space, credential));
        self.credentials.insert(device.device, credential.clone());
    }

    /// Determines the owner of a log from its card. `records` are those of the current control entry, which
    /// may introduce the device. An owner that cannot be determined yet stays unknown and is tried again when
    /// control grows.
    pub(super) fn resolve(&mut self, no: LogNo, records: &[Record], batch: &mut Batch) -> Standing {
        let log = self.registry.log(no);
        if log.standing != Standing::Unknown {
            return log.standing;
        }
        let card = log.card();
        let space = self.space(log.space);
        // The cheap checks come first: a log that stays unknown is tried again and again.
        let Some(epoch) = space.epochs.get(&card.place.epoch) else { return Standing::Unknown };
        let Some(partition) = space.tokens.get(&card.place.partition_token).copied() else { return Standing::Unknown };
        let Ok(opened) = OpenedOwner::open(&card.place, &card.owner_box, &epoch.owner_key) else {
            return self.refuse(no, batch);
        };
        let Some(device) = self.known_device(space.no, &opened.device(), records) else { return Standing::Unknown };
        if card.verify_admission(&epoch.key.admission_key().verifying_key()).is_err() {
            return self.refuse(no, batch);
        }
        match opened.verify(&device).filter(|owner| owner.grant == FOUNDER_GRANT) {
            Some(owner) => self.own(no, &owner, partition, batch),
            None => self.refuse(no, batch),
        }
    }

    fn refuse(&mut self, no: LogNo, batch: &mut Batch) -> Standing {
        self.set_standing(no, Standing::Refused, batch)
    }

    /// Records the owner of a log, and the logs of that device and partition before and after it. Names of
    /// other logs in its card, and its name in others' cards, are ignored.
    fn own(&mut self, no: LogNo, owner: &LogOwner, partition: PartNo, batch: &mut Batch) -> Standing {
        let here = Owner { device: owner.device, partition };
        let standing = self.set_standing(no, Standing::Owned(here), batch);
        let id = self.registry.log(no).id;
        let naming: Vec<_> = self.expected.range((id, LogNo(0))..=(id, LogNo(u32::MAX))).copied().collect();
        for (id, next) in naming {
            self.expected.remove(&(id, next));
            if self.registry.log(next).owner() == Some(here) {
                self.name(no, next, batch);
            }
        }
        for prev in &owner.prev {
            match self.registry.by_id(&prev.log) {
                Some(before) if self.registry.log(before).owner() == Some(here) => self.name(before, no, batch),
                Some(before) if self.registry.log(before).standing != Standing::Unknown => {}
                Some(_) | None => drop(self.expected.insert((prev.log, no))),
            }
        }
        if owner.device == self.own.keys.device_id() && !self.registry.log(no).named {
            self.unnamed.insert((partition, no));
        }
        standing
    }

    /// Records that the card of `next` names a log as an earlier one. If several cards do, the nearest is
    /// kept: the one that leads to the others, or else the first.
    fn name(&mut self, before: LogNo, next: LogNo, batch: &mut Batch) {
        let is_nearer =
            self.registry.log(before).next.is_none_or(|known| self.registry.after(next).any(|no| no == known));
        let log = self.registry.log_mut(before);
        log.named = true;
        if is_nearer {
            log.next = Some(next);
        }
        let part = log.owner().map(|owner| owner.partition);
        if let Some(part) = part {
            self.unnamed.remove(&(part, before));
        }
        batch.touch(before, false);
    }

    fn set_standing(&mut self, no: LogNo, standing: Standing, batch: &mut Batch) -> Standing {
        let histories: Vec<LogNo> = self.registry.histories(self.registry.main_of(no)).map(|log| log.no).collect();
        for no in histories {
            self.registry.log_mut(no).standing = standing;
            batch.touch(no, false);
        }
        standing
    }

    fn known_device(&self, space: SpaceNo, device: &DeviceId, records: &[Record]) -> Option<DevicePublic> {
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
    pub(super) fn apply_records(&mut self, space: SpaceNo, author: DeviceId, records: &[Record], batch: &mut Batch) {
        // Devices first: the order of records within an entry means nothing.
        for record in records {
            if let Record::Device { credential } = record
                && let Some(credential) = self.member_credential(space, credential)
            {
                self.add_device(space, &credential, batch);
            }
        }
        for record in records {
            match record {
                Record::Partition { name } => {
                    let id = partition_id(&self.space(space).id, name);
                    if self.has_room_for_partition(space, &id) {
                        self.ensure_partition(space, id, name, batch);
                    }
                }
                Record::SpaceName { name } => {
                    if self.space(space).name.is_empty() {
                        self.spaces[space.0 as usize].name.clone_from(name);
                        batch.ops.push(self.space(space).row());
                    }
                }
                Record::EpochWant { epoch } => self.record_epoch_request(space, *epoch, author),
                Record::Device { .. } | Record::Unknown { .. } => {}
            }
        }
        batch.effects.push(Effect::SpaceChanged(space));
    }
}

fn check_name(name: &str) -> Result<(), SpaceError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX { Err(SpaceError::Name) } else { Ok(()) }
}
