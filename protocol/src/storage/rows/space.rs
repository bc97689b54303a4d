//! Rows of spaces: their names, partitions, devices, keys and invites, and the identity of this store.

use super::{
    META_BODIES, META_DEVICE, META_GIVEN, META_WANTED, SECRET_EPOCH, SECRET_IDENTITY, SECRET_INVITE, key, number, put,
};
use crate::codec::{CodecError, Reader, Write};
use crate::identity::{Credential, DeviceKeys, Membership, OwnIdentity, UserKey, VerifiedCredential};
use crate::ids::{DeviceId, EpochId, PartNo, PartitionId, SpaceNo};
use crate::sealed::EpochKey;
use crate::storage::{Op, Table};
use crate::sync::Bodies;
use bytes::Bytes;

/// Length of the longest credential or genesis record in a row, in bytes.
const BLOB_BYTES_MAX: usize = 4096;

/// Returns the row of a space.
pub(crate) fn space_row(space: SpaceNo, genesis: &[u8], name: &str) -> Op {
    let mut row = Vec::new();
    row.prefixed(genesis);
    row.raw(name.as_bytes());
    put(Table::Space, key(&[&space.0.to_be_bytes()]), row)
}

/// Returns the genesis record and the name from the row of a space.
pub(crate) fn decode_space(row: &[u8]) -> Result<(Bytes, String), CodecError> {
    let mut reader = Reader::new(row);
    let genesis = Bytes::copy_from_slice(reader.bytes(BLOB_BYTES_MAX, "genesis")?);
    Ok((genesis, name(&mut reader)?))
}

/// Partition of a space, as [`Table::Partition`] numbers it.
#[derive(Debug)]
pub(crate) struct PartitionRow {
    pub(crate) no: PartNo,
    pub(crate) space: SpaceNo,
    pub(crate) id: PartitionId,
    /// Empty as long as only the id is known.
    pub(crate) name: String,
}

impl PartitionRow {
    pub(crate) fn op(&self) -> Op {
        let row = key(&[&self.space.0.to_be_bytes(), self.id.as_ref(), self.name.as_bytes()]);
        put(Table::Partition, part_key(self.no), row)
    }

    pub(crate) fn decode(row_key: &[u8], row: &[u8]) -> Result<Self, CodecError> {
        let no = PartNo(u32::from_be_bytes(Reader::new(row_key).array()?));
        let mut reader = Reader::new(row);
        let (space, id) = (space_no(&mut reader)?, PartitionId(reader.array()?));
        Ok(Self { no, space, id, name: name(&mut reader)? })
    }
}

pub(crate) fn part_key(part: PartNo) -> Bytes {
    key(&[&part.0.to_be_bytes()])
}

/// Returns the row of a device of a space.
pub(crate) fn device_row(space: SpaceNo, credential: &VerifiedCredential) -> Op {
    let device = credential.device().device;
    put(Table::Meta, key(&[META_DEVICE, device.as_ref(), &space.0.to_be_bytes()]), credential.encode())
}

/// Returns the space and the credential from the row of a device.
pub(crate) fn decode_device(rest: &[u8], row: &[u8]) -> Result<(DeviceId, SpaceNo, VerifiedCredential), CodecError> {
    let credential = Credential::verify(row).map_err(|_| CodecError::OutOfRange("credential"))?;
    let mut reader = Reader::new(rest);
    let (device, space) = (DeviceId(reader.array()?), space_no(&mut reader)?);
    reader.finish().map(|()| (device, space, credential))
}

/// Key of an epoch, as [`Table::Secret`] holds it.
#[derive(Debug)]
pub(crate) struct EpochRow {
    pub(crate) space: SpaceNo,
    pub(crate) key: EpochKey,
    pub(crate) generation: u32,
    pub(crate) trusted: bool,
}

impl EpochRow {
    pub(crate) fn key(space: SpaceNo, epoch: &EpochId) -> Bytes {
        key(&[SECRET_EPOCH, &space.0.to_be_bytes(), epoch.as_ref()])
    }

    pub(crate) fn op(&self) -> Op {
        let mut row = vec![u8::from(self.trusted)];
        row.varint(u64::from(self.generation));
        row.raw(self.key.as_bytes());
        put(Table::Secret, Self::key(self.space, &self.key.id()), row)
    }

    /// Reads a row. `rest` is its key without [`SECRET_EPOCH`].
    pub(crate) fn decode(rest: &[u8], row: &[u8]) -> Result<Self, CodecError> {
        let space = space_no(&mut Reader::new(rest))?;
        let mut reader = Reader::new(row);
        let trusted = reader.u8()? != 0;
        let generation = number(&mut reader)?;
        Ok(Self { space, key: EpochKey::from_bytes(reader.array()?), generation, trusted })
    }
}

/// Returns the key of the row that records this store's request for an epoch's key.
pub(crate) fn wanted_key(space: SpaceNo, epoch: &EpochId) -> Bytes {
    key(&[META_WANTED, &space.0.to_be_bytes(), epoch.as_ref()])
}

/// Returns the row that records this store's request for an epoch's key; `owner` writes under the epoch.
pub(crate) fn wanted_row(space: SpaceNo, epoch: &EpochId, owner: Option<DeviceId>) -> Op {
    put(Table::Meta, wanted_key(space, epoch), owner.map(|owner| owner.as_ref().to_vec()).unwrap_or_default())
}

/// Reads a request for an epoch's key. `rest` is the row's key without [`META_WANTED`].
pub(crate) fn decode_wanted(rest: &[u8], row: &[u8]) -> Result<(SpaceNo, EpochId, Option<DeviceId>), CodecError> {
    let mut reader = Reader::new(rest);
    let (space, epoch) = (space_no(&mut reader)?, EpochId(reader.array()?));
    let owner = if row.is_empty() { None } else { Some(DeviceId(Reader::new(row).array()?)) };
    Ok((space, epoch, owner))
}

/// Returns the row that records that this store boxed an epoch's key to a device on request.
pub(crate) fn given_row(space: SpaceNo, epoch: &EpochId, device: &DeviceId) -> Op {
    let row_key = key(&[META_GIVEN, &space.0.to_be_bytes(), epoch.as_ref(), device.as_ref()]);
    put(Table::Meta, row_key, Vec::new())
}

/// Reads the record of a boxed key. `rest` is the row's key without [`META_GIVEN`].
pub(crate) fn decode_given(rest: &[u8]) -> Result<(SpaceNo, EpochId, DeviceId), CodecError> {
    let mut reader = Reader::new(rest);
    Ok((space_no(&mut reader)?, EpochId(reader.array()?), DeviceId(reader.array()?)))
}

/// An invite that was handed out and not yet forgotten.
#[derive(Debug, Clone)]
pub(crate) struct InviteRow {
    pub(crate) psk: [u8; 32],
    pub(crate) space: SpaceNo,
    pub(crate) expires_ms: u64,
    /// The device that used the invite. Only that device may use it again, in case the answer was lost.
    pub(crate) used_by: Option<DeviceId>,
}

impl InviteRow {
    pub(crate) fn key(&self) -> Bytes {
        let name = blake3::derive_key("cosmicsync invite row 1", &self.psk);
        key(&[SECRET_INVITE, &name[..16]])
    }

    pub(crate) fn op(&self) -> Op {
        let mut row = Vec::new();
        row.raw(&self.psk);
        row.varint(u64::from(self.space.0));
        row.varint(self.expires_ms);
        match &self.used_by {
            Some(device) => row.prefixed(device.as_ref()),
            None => row.prefixed(&[]),
        }
        put(Table::Secret, self.key(), row)
    }

    pub(crate) fn decode(row: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(row);
        let invite = Self {
            psk: reader.array()?,
            space: SpaceNo(number(&mut reader)?),
            expires_ms: reader.varint()?,
            used_by: match reader.bytes(32, "device")? {
                [] => None,
                bytes => Some(DeviceId(bytes.try_into().map_err(|_| CodecError::OutOfRange("device"))?)),
            },
        };
        reader.finish()?;
        Ok(invite)
    }
}

/// Returns the row that stores the identity of this store.
pub(crate) fn identity_row(own: &OwnIdentity) -> Op {
    let mut out = vec![0];
    out.prefixed(&own.keys.to_bytes()[..]);
    match &own.user {
        None => out.byte(0),
        Some(Membership { credential, user_key: None }) => {
            out.byte(1);
            out.prefixed(&credential.encode());
        }
        Some(Membership { credential, user_key: Some(user_key) }) => {
            out.byte(2);
            out.prefixed(&credential.encode());
            out.raw(&user_key.to_bytes()[..]);
        }
    }
    put(Table::Secret, SECRET_IDENTITY, out)
}

pub(crate) fn decode_identity(value: &[u8]) -> Result<OwnIdentity, CodecError> {
    const WHAT: CodecError = CodecError::OutOfRange("identity");
    let mut reader = Reader::new(value);
    if reader.u8()? != 0 {
        return Err(WHAT);
    }
    let keys = DeviceKeys::from_bytes(reader.bytes(DeviceKeys::LEN, "device keys")?).map_err(|_| WHAT)?;
    let user = match reader.u8()? {
        0 => None,
        kind => {
            let credential = Credential::verify(reader.bytes(BLOB_BYTES_MAX, "credential")?).map_err(|_| WHAT)?;
            let user_key = match kind {
                1 => None,
                _ => Some(UserKey::from_bytes(&reader.array()?)),
            };
            Some(Membership { credential, user_key })
        }
    };
    reader.finish()?;
    Ok(OwnIdentity { keys, user })
}

/// Returns the row that stores the choice of a space's bodies.
pub(crate) fn bodies_row(space: SpaceNo, bodies: Bodies) -> Op {
    let mut out = Vec::new();
    match bodies {
        Bodies::All => out.byte(0),
        Bodies::HeadOnly => out.byte(1),
        Bodies::Newest(entries) => {
            out.byte(2);
            out.varint(entries);
        }
    }
    put(Table::Meta, key(&[META_BODIES, &space.0.to_be_bytes()]), out)
}

/// Reads the choice of a space's bodies. `rest` is the row's key without [`META_BODIES`].
pub(crate) fn decode_bodies(rest: &[u8], row: &[u8]) -> Result<(SpaceNo, Bodies), CodecError> {
    let space = space_no(&mut Reader::new(rest))?;
    let mut reader = Reader::new(row);
    let bodies = match reader.u8()? {
        0 => Bodies::All,
        1 => Bodies::HeadOnly,
        2 => Bodies::Newest(reader.varint()?),
        _ => return Err(CodecError::OutOfRange("bodies")),
    };
    reader.finish().map(|()| (space, bodies))
}

fn space_no(reader: &mut Reader<'_>) -> Result<SpaceNo, CodecError> {
    reader.array().map(|no| SpaceNo(u32::from_be_bytes(no)))
}

fn name(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    core::str::from_utf8(reader.take_rest()).map(str::to_owned).map_err(|_| CodecError::NotUtf8)
}
