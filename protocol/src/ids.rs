//! Identifiers: one newtype for each thing that has a name.
//!
//! Ids are hashes or public keys, so no authority assigns them. `spec/identity.md` defines the hashed
//! content. They print as lowercase hex and sort by their bytes.

use core::fmt;
use core::str::FromStr;

/// Error for the text of an id that is not hex of the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits")]
pub struct ParseIdError {
    /// Number of hexadecimal digits of the id.
    pub expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Returns the bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}(", stringify!($name))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…)")
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id!(
    /// A user: hash of a genesis record that commits to a recovery key.
    UserId, 32
);
id!(
    /// A device: its Ed25519 certifying public key.
    DeviceId, 32
);
id!(
    /// A space: hash of its signed genesis record.
    SpaceId, 32
);
id!(
    /// A partition: hash of its space and its name.
    PartitionId, 16
);
id!(
    /// A log: hash of its public key, space, partition and lane.
    LogId, 32
);
id!(
    /// A collection: hash of its space and its name.
    CollectionId, 16
);
id!(
    /// A document: time-ordered when minted, a hash when it was named by a key.
    DocId, 16
);
id!(
    /// A read-key epoch: a commitment to the epoch key.
    EpochId, 16
);
id!(
    /// One life of a store. A new one is drawn whenever a store may have lost or repeated writes.
    Incarnation, 8
);
id!(
    /// One start of a store: drawn by the process that opens it, and forgotten with that process.
    Instance, 8
);

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let error = ParseIdError { expected: N * 2 };
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(error);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).ok_or(error);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| error)?;
    }
    Ok(bytes)
}

/// A log's number in this store. Never travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNo(pub u32);

/// A space's number in this store. Never travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceNo(pub u32);

/// Local number of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNo(pub u32);

/// A document and the partition it lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocRef {
    /// The partition.
    pub partition: PartNo,
    /// The document.
    pub doc: DocId,
}

/// An entry of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryRef {
    /// The log.
    pub log: LogNo,
    /// Position of the entry in the log, from 0.
    pub seq: u64,
}

/// A connection, numbered by the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A commit of edits, numbered by the endpoint. Edits of one commit become durable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// A read of the layer above, numbered by the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_wrong_text_is_refused() {
        let id = DocId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ab".parse::<DocId>().is_err());
        assert!("zz".repeat(16).parse::<DocId>().is_err());
        assert!("é".repeat(16).parse::<DocId>().is_err());
    }
}
