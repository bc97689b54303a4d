//! Control records: the content of entries in a space's `control` partition.
//!
//! A control entry carries a list of records, sealed under the epoch's records key. Records are statements, not
//! commands: their sum is a pure function of their set (`spec/access.md`). This module only encodes them.

use crate::codec::{CodecError, Reader, Write};
use crate::ids::EpochId;
use bytes::Bytes;

/// Most records in one entry.
pub const RECORDS_MAX: usize = 1024;
/// Length of the longest name of a space or partition, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Length of the longest credential, in bytes.
const BLOB_BYTES_MAX: usize = 4096;

/// One statement in control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A device of a member, by its credential: genesis record and certificate.
    Device {
        /// An encoded `Credential`.
        credential: Bytes,
    },
    /// A partition and its name.
    Partition {
        /// The name, at most [`NAME_BYTES_MAX`] bytes.
        name: String,
    },
    /// The name that people gave the space.
    SpaceName {
        /// The name, at most [`NAME_BYTES_MAX`] bytes.
        name: String,
    },
    /// A request for an epoch's key: the author's device holds entries that it cannot open.
    EpochWant {
        /// The epoch.
        epoch: EpochId,
    },
    /// A record of a kind that this version does not know, or that was retired (2). Kept as it is, and ignored.
    Unknown {
        /// The kind.
        kind: u64,
        /// The body.
        body: Bytes,
    },
}

/// Encodes a list of records.
pub fn encode_records(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    out.varint(records.len() as u64);
    for record in records {
        let (kind, body) = record.encode();
        out.varint(kind);
        out.prefixed(&body);
    }
    out
}

/// Decodes a list of records.
///
/// # Errors
/// Fails if the bytes are not canonical or a limit is exceeded.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<Record>, CodecError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(RECORDS_MAX, "record count")?;
    let mut records = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let kind = reader.varint()?;
        records.push(Record::decode(kind, reader.bytes(64 * 1024, "record")?)?);
    }
    reader.finish()?;
    Ok(records)
}

impl Record {
    fn encode(&self) -> (u64, Vec<u8>) {
        let mut body = Vec::new();
        let kind = match self {
            Self::Device { credential } => {
                body.raw(credential);
                1
            }
            Self::Partition { name } => {
                body.raw(name.as_bytes());
                3
            }
            Self::SpaceName { name } => {
                body.raw(name.as_bytes());
                4
            }
            Self::EpochWant { epoch } => {
                body.raw(epoch.as_ref());
                5
            }
            Self::Unknown { kind, body: rest } => {
                body.raw(rest);
                *kind
            }
        };
        (kind, body)
    }

    fn decode(kind: u64, body: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(body);
        let record = match kind {
            1 if body.len() > BLOB_BYTES_MAX => return Err(CodecError::OutOfRange("credential")),
            1 => Self::Device { credential: Bytes::copy_from_slice(reader.take_rest()) },
            3 => Self::Partition { name: name(reader.take_rest())? },
            4 => Self::SpaceName { name: name(reader.take_rest())? },
            5 => Self::EpochWant { epoch: EpochId(reader.array()?) },
            kind => Self::Unknown { kind, body: Bytes::copy_from_slice(reader.take_rest()) },
        };
        reader.finish()?;
        Ok(record)
    }
}

fn name(bytes: &[u8]) -> Result<String, CodecError> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(CodecError::OutOfRange("name"));
    }
    core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| CodecError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_round_trip_and_unknown_ones_survive() {
        let records = vec![
            Record::Device { credential: Bytes::from_static(b"credential") },
            Record::Partition { name: "main".into() },
            Record::SpaceName { name: "família".into() },
            Record::EpochWant { epoch: EpochId([4; 16]) },
            Record::Unknown { kind: 2, body: Bytes::from_static(b"retired") },
            Record::Unknown { kind: 99, body: Bytes::from_static(b"later") },
        ];
        assert_eq!(decode_records(&encode_records(&records)), Ok(records));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>) {
            if let Ok(records) = decode_records(&bytes) {
                prop_assert_eq!(encode_records(&records), bytes);
            }
        }
    }
}
