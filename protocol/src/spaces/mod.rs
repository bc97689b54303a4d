//! Spaces: their members, their partitions, and the keys that seal them.
//!
//! A `Space` is the sum of the records of its `control` partition. `Spaces` holds all of them, with the identity of
//! this store. It knows no log and does no IO: callers pass records whose author was checked, append the records that
//! it returns, and commit its rows (`spec/access.md`).

mod control;
mod epochs;
mod invites;
pub mod record;
mod restore;

pub use control::SpaceError;
pub(crate) use invites::Admission;
pub use invites::{JoinError, JoinRefusal};
pub(crate) use restore::Found;

use crate::identity::{DevicePublic, OwnIdentity, SpaceGenesis, VerifiedCredential};
use crate::ids::{CollectionId, DeviceId, DocId, EpochId, PartNo, PartitionId, SpaceId, SpaceNo, UserId};
use crate::log::EpochKeys;
use crate::sealed::EpochKey;
use crate::storage::Op;
use crate::storage::rows::{InviteRow, bodies_row, space_row};
use crate::sync::Bodies;
use bytes::Bytes;
use epochs::Requests;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Name of the partition that holds control records and syncs first.
pub const CONTROL: &str = "control";
/// Name of the partition for content that names no other.
pub const MAIN: &str = "main";

/// A read-key epoch: the key with its derived keys, and its place in the order of epochs.
#[derive(Clone)]
pub(crate) struct Epoch {
    pub(crate) key: EpochKey,
    /// Number that grows by one with each epoch minted with knowledge of the one before.
    pub(crate) generation: u32,
    /// True once an entry of a trusted author was sealed under the epoch; only then is it written with.
    pub(crate) trusted: bool,
    id: EpochId,
    pub(crate) header_key: Zeroizing<[u8; 32]>,
    pub(crate) records_key: Zeroizing<[u8; 32]>,
    pub(crate) key_box_key: Zeroizing<[u8; 32]>,
    pub(crate) owner_key: Zeroizing<[u8; 32]>,
}

impl Epoch {
    pub(crate) fn new(key: EpochKey, generation: u32, trusted: bool) -> Self {
        Self {
            id: key.id(),
            header_key: key.header_key(),
            records_key: key.records_key(),
            key_box_key: key.key_box_key(),
            owner_key: key.owner_key(),
            key,
            generation,
            trusted,
        }
    }

    pub(crate) fn keys(&self) -> EpochKeys<'_> {
        EpochKeys { epoch: self.id, header: &self.header_key, key_box: &self.key_box_key, records: &self.records_key }
    }
}

impl core::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Epoch").field("id", &self.id).field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A partition, as far as it is known here.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) no: PartNo,
    pub(crate) space: SpaceNo,
    pub(crate) id: PartitionId,
    pub(crate) name: String,
}

/// One space, as far as its control records are known here.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) no: SpaceNo,
    pub(crate) id: SpaceId,
    pub(crate) genesis: Bytes,
    pub(crate) creator: UserId,
    pub(crate) name: String,
    pub(crate) token: [u8; 16],
    pub(crate) partitions: BTreeMap<PartitionId, PartNo>,
    pub(crate) tokens: BTreeMap<[u8; 16], PartNo>,
    pub(crate) epochs: BTreeMap<EpochId, Epoch>,
    pub(crate) devices: BTreeMap<DeviceId, DevicePublic>,
}

impl Space {
    pub(crate) fn new(no: SpaceNo, genesis: &SpaceGenesis, genesis_bytes: Bytes, name: String) -> Self {
        let id = genesis.space_id();
        Self {
            no,
            id,
            genesis: genesis_bytes,
            creator: genesis.creator_id(),
            name,
            token: crate::identity::space_token(&id),
            partitions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            epochs: BTreeMap::new(),
            devices: BTreeMap::new(),
        }
    }

    /// Returns the row that stores the space.
    pub(crate) fn row(&self) -> Op {
        space_row(self.no, &self.genesis, &self.name)
    }

    /// Returns whether a user may read and write here. So far, a space has one user.
    pub(crate) fn is_member(&self, user: &UserId) -> bool {
        self.creator == *user
    }

    /// Returns the epoch that new entries are sealed under: the highest generation, the highest id among equals.
    pub(crate) fn current_epoch(&self) -> Option<(&EpochId, &Epoch)> {
        self.epochs.iter().filter(|(_, epoch)| epoch.trusted).max_by_key(|(id, epoch)| (epoch.generation, **id))
    }

    pub(crate) fn control(&self) -> Option<PartNo> {
        self.partitions.get(&crate::identity::partition_id(&self.id, CONTROL)).copied()
    }

    pub(crate) fn control_token(&self) -> [u8; 16] {
        crate::identity::partition_token(&self.id, &crate::identity::partition_id(&self.id, CONTROL))
    }

    /// Returns the id of a collection by its name.
    pub(crate) fn collection(&self, name: &str) -> CollectionId {
        crate::identity::collection_id(&self.id, name)
    }

    /// Returns the id of a document by its collection and key.
    pub(crate) fn doc_for_key(&self, collection: &CollectionId, key: &str) -> DocId {
        crate::identity::doc_id_for_key(&self.id, collection, key.as_bytes())
    }
}

/// All spaces that are known here, and the identity of this store.
#[derive(Debug)]
pub(crate) struct Spaces {
    pub(crate) own: OwnIdentity,
    all: Vec<Space>,
    partitions: Vec<Partition>,
    /// Every device that any space names.
    credentials: BTreeMap<DeviceId, VerifiedCredential>,
    /// Choice of the bodies that are fetched, for each space that does not fetch all.
    bodies: BTreeMap<SpaceNo, Bodies>,
    requests: Requests,
    invited: Vec<InviteRow>,
}

impl Spaces {
    pub(crate) fn new(own: OwnIdentity) -> Self {
        Self {
            own,
            all: Vec::new(),
            partitions: Vec::new(),
            credentials: BTreeMap::new(),
            bodies: BTreeMap::new(),
            requests: Requests::default(),
            invited: Vec::new(),
        }
    }

    pub(crate) fn space(&self, no: SpaceNo) -> &Space {
        &self.all[no.0 as usize]
    }

    fn space_mut(&mut self, no: SpaceNo) -> &mut Space {
        &mut self.all[no.0 as usize]
    }

    pub(crate) fn partition(&self, no: PartNo) -> &Partition {
        &self.partitions[no.0 as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Space> {
        self.all.iter()
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter()
    }

    /// Returns a space by a number that a caller may have made.
    pub(crate) fn known_space(&self, no: SpaceNo) -> Result<&Space, SpaceError> {
        self.all.get(no.0 as usize).ok_or(SpaceError::UnknownSpace)
    }

    /// Returns a partition by a number that a caller may have made.
    pub(crate) fn known_partition(&self, no: PartNo) -> Result<&Partition, SpaceError> {
        self.partitions.get(no.0 as usize).ok_or(SpaceError::UnknownPartition)
    }

    /// Returns the space of a partition.
    pub(crate) fn of_partition(&self, no: PartNo) -> &Space {
        self.space(self.partition(no).space)
    }

    /// Returns the user of a device that any space names.
    pub(crate) fn user_of(&self, device: &DeviceId) -> Option<UserId> {
        self.credentials.get(device).map(VerifiedCredential::user)
    }

    /// Returns the choice of the bodies of a space that are fetched.
    pub(crate) fn bodies(&self, space: SpaceNo) -> Bodies {
        self.bodies.get(&space).copied().unwrap_or(Bodies::All)
    }

    /// Chooses the bodies of a space that are fetched. Returns the row of the choice.
    pub(crate) fn set_bodies(&mut self, space: SpaceNo, bodies: Bodies) -> Op {
        self.bodies.insert(space, bodies);
        bodies_row(space, bodies)
    }
}

#[cfg(test)]
mod tests;
