//! Spaces read back from their rows (`spec/storage.md`, section 4).

use super::{Epoch, Partition, Space, Spaces};
use crate::codec::CodecError;
use crate::identity::{SpaceGenesis, partition_token};
use crate::ids::{DeviceId, SpaceNo};
use crate::storage::rows::{
    self, EpochRow, InviteRow, META_BODIES, META_DEVICE, META_GIVEN, META_WANTED, PartitionRow, SECRET_EPOCH,
    SECRET_IDENTITY, SECRET_INVITE,
};

/// Data of earlier tables that rows of later tables need.
#[derive(Debug, Default)]
pub(crate) struct Found {
    devices: Vec<(DeviceId, SpaceNo)>,
    epochs: Vec<(SpaceNo, Epoch)>,
}

impl Spaces {
    /// Takes a row of [`Table::Meta`](crate::storage::Table::Meta), if it belongs to a space.
    pub(crate) fn restore_meta(&mut self, row_key: &[u8], row: &[u8], found: &mut Found) -> Result<(), CodecError> {
        if let Some(rest) = row_key.strip_prefix(META_DEVICE) {
            let (device, space, credential) = rows::decode_device(rest, row)?;
            self.credentials.insert(credential.device().device, credential);
            found.devices.push((device, space));
        } else if let Some(rest) = row_key.strip_prefix(META_BODIES) {
            let (space, bodies) = rows::decode_bodies(rest, row)?;
            self.bodies.insert(space, bodies);
        } else if let Some(rest) = row_key.strip_prefix(META_WANTED) {
            let (space, epoch, owner) = rows::decode_wanted(rest, row)?;
            self.requests.restore_wanted(space, epoch, owner);
        } else if let Some(rest) = row_key.strip_prefix(META_GIVEN) {
            let (space, epoch, device) = rows::decode_given(rest)?;
            self.requests.restore_given(space, epoch, device);
        }
        Ok(())
    }

    pub(crate) fn restore_secret(&mut self, row_key: &[u8], row: &[u8], found: &mut Found) -> Result<(), CodecError> {
        if row_key == SECRET_IDENTITY {
            self.own = rows::decode_identity(row)?;
        } else if let Some(rest) = row_key.strip_prefix(SECRET_EPOCH) {
            let EpochRow { space, key, generation, trusted } = EpochRow::decode(rest, row)?;
            found.epochs.push((space, Epoch::new(key, generation, trusted)));
        } else if row_key.starts_with(SECRET_INVITE) {
            self.invited.push(InviteRow::decode(row)?);
        }
        Ok(())
    }

    pub(crate) fn restore_space(&mut self, row: &[u8], found: &Found) -> Result<(), CodecError> {
        let (genesis_bytes, name) = rows::decode_space(row)?;
        let genesis = SpaceGenesis::decode(&genesis_bytes).map_err(|_| CodecError::OutOfRange("genesis"))?;
        let no = SpaceNo(self.all.len() as u32);
        let mut space = Space::new(no, &genesis, genesis_bytes, name);
        for (at, epoch) in &found.epochs {
            if *at == no {
                space.epochs.insert(epoch.key.id(), epoch.clone());
            }
        }
        for (device, at) in &found.devices {
            if let (true, Some(credential)) = (*at == no, self.credentials.get(device)) {
                space.devices.insert(*device, *credential.device());
            }
        }
        self.all.push(space);
        Ok(())
    }

    pub(crate) fn restore_partition(&mut self, row_key: &[u8], row: &[u8]) -> Result<(), CodecError> {
        let PartitionRow { no, space, id, name } = PartitionRow::decode(row_key, row)?;
        let state = self.all.get_mut(space.0 as usize).ok_or(CodecError::OutOfRange("space number"))?;
        if no.0 as usize != self.partitions.len() {
            return Err(CodecError::OutOfRange("partition number"));
        }
        let token = partition_token(&state.id, &id);
        state.partitions.insert(id, no);
        state.tokens.insert(token, no);
        self.partitions.push(Partition { no, space, id, name });
        Ok(())
    }
}
