//! Storage, as correlated requests and completions.
//!
//! The endpoint never touches a disk. It emits [`StoreRequest`]s, and each is answered by one [`StoreDone`]
//! with the same [`StoreId`]. A store is any ordered key-value map with atomic batches: LMDB in the node, a
//! `BTreeMap` in tests, a model of a failing disk in the simulator (`spec/storage.md`).
//!
//! Promises of a store:
//! 1. Commits, and reads that are [`Read::Ordered`], take effect and complete in the order in which they were
//!    polled; such a read sees every earlier commit.
//! 2. A commit applies whole or not at all, and its [`StoreDone::Committed`] comes only after it is durable.
//! 3. After a crash the store holds a prefix of the commits that contains every one reported durable.
//! 4. A failed commit applied nothing. After one failure the store fails every later commit until it is reopened.
//! 5. A read that is [`Read::Durable`] sees the state after one durable commit: the last one that was reported
//!    when the read was polled, or a later one. It completes before or after any other request.
//!
//! ```
//! use cosmicsync_protocol::storage::{Op, Read, Scan, StoreDone, StoreError, StoreId, StoreRequest, Table};
//! use cosmicsync_protocol::testkit::store::{MemStore, conformance}; // the test that every store passes
//!
//! // A program hands requests over as they are polled, and each completion to `Endpoint::handle_stored`.
//! let row = |key: &'static str| Op::Put { table: Table::App, key: key.into(), value: "value".into() };
//! let scan = Scan::of(Table::App, "a".into(), "c".into(), 1024);
//! let mut store = MemStore::new();
//! store.submit(StoreRequest::Commit { id: StoreId(1), ops: vec![row("b"), row("a"), row("c")] });
//! store.submit(StoreRequest::Scan { id: StoreId(2), scan: scan.limit(1), read: Read::Ordered });
//! assert_eq!(store.complete_next(), Some(StoreDone::Committed { id: StoreId(1) }));
//! let rows = vec![("a".into(), "value".into())];
//! assert_eq!(store.complete_next(), Some(StoreDone::Scanned { id: StoreId(2), rows, more: true }));
//!
//! // A store checks each request before it touches anything.
//! let bad = StoreRequest::Commit { id: StoreId(3), ops: vec![row("")] };
//! assert_eq!(bad.check(), Err(StoreError::Invalid("a key is empty or too long")));
//!
//! conformance(&mut MemStore::new());
//! ```

pub(crate) mod queue;
pub mod rows;

use bytes::Bytes;

/// Length of the longest key of a row, in bytes. No key is empty.
pub const KEY_BYTES_MAX: usize = 480;

/// Length of the longest bound of a range, in bytes: a key, or the bound just after the longest key.
pub const BOUND_BYTES_MAX: usize = KEY_BYTES_MAX + 1;

/// Most rows that one [`StoreRequest::Get`] may ask for.
pub const GET_ROWS_MAX: usize = 65_536;

/// The tables, each an ordered map from bytes to bytes. The number is the one on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Singletons: incarnation, number of the next change, and rows of devices and of fetched bodies.
    Meta = 0,
    /// Secrets: device and user keys, epoch keys, invites. Sealed at rest. Log keys are in memory alone.
    Secret = 1,
    /// Space number -> genesis record, name.
    Space = 2,
    /// Partition number -> its space, id and name.
    Partition = 3,
    /// Log number -> card, newest head, owner, what is held.
    Log = 4,
    /// (log number, seq) -> entry as it travels, absent sections as their hashes.
    Entry = 5,
    /// (log number, seq) -> chain hash and signature of the head that ends a segment there.
    Head = 6,
    /// (partition number, document, log number, seq, section) -> how to read that section.
    Index = 7,
    /// (partition number, collection, document) -> nothing: the existing documents.
    Doc = 8,
    /// (partition number, document) -> materialised value and version: a cache. Sealed at rest.
    Value = 9,
    /// Unused: the row of a log has its position.
    Journal = 10,
    /// (device, space) -> position up to which this store has read that peer's journal.
    Peer = 11,
    /// Rows of the layer above: import progress, names, requests that were carried out. Sealed at rest.
    App = 12,
    /// Number of a change -> partition number, document, flag for a change made here. Not in backups.
    Feed = 13,
    /// (partition number, 0, collection) -> number of its listed documents; (partition number, 1, document)
    /// -> mark that it may be deleted, or is.
    Tally = 14,
    /// Rows of indexes: (index number `u32`, indexed value, document) -> empty or a mark. Keys and values are
    /// sealed at rest. Not in backups.
    Term = 15,
    /// (partition number, document) -> its rows of [`Table::Term`]. Sealed at rest. Not in backups.
    Keys = 16,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::Secret,
        Self::Space,
        Self::Partition,
        Self::Log,
        Self::Entry,
        Self::Head,
        Self::Index,
        Self::Doc,
        Self::Value,
        Self::Journal,
        Self::Peer,
        Self::App,
        Self::Feed,
        Self::Tally,
        Self::Term,
        Self::Keys,
    ];

    /// Returns the name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Secret => "secret",
            Self::Space => "space",
            Self::Partition => "partition",
            Self::Log => "log",
            Self::Entry => "entry",
            Self::Head => "head",
            Self::Index => "index",
            Self::Doc => "doc",
            Self::Value => "value",
            Self::Journal => "journal",
            Self::Peer => "peer",
            Self::App => "app",
            Self::Feed => "feed",
            Self::Tally => "tally",
            Self::Term => "term",
            Self::Keys => "keys",
        }
    }

    /// Returns whether values carry plaintext and must be sealed under the store key.
    pub const fn sealed_at_rest(self) -> bool {
        matches!(self, Self::Secret | Self::Space | Self::Partition | Self::Value | Self::App | Self::Term | Self::Keys)
    }

    /// Returns whether keys of rows carry plaintext too, so that they and their differences must not be
    /// visible on a disk.
    pub const fn keys_sealed(self) -> bool {
        matches!(self, Self::Term)
    }

    /// Returns whether backups leave the rows out: the rows derive from those of other tables, or are valid
    /// for one store alone.
    pub const fn stays_out_of_backups(self) -> bool {
        matches!(self, Self::Feed | Self::Term | Self::Keys)
    }
}

/// Id that correlates a request with its completion. Unique within one endpoint's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Inserts or replaces a row.
    Put {
        /// The table.
        table: Table,
        /// The row's key, 1 to [`KEY_BYTES_MAX`] bytes.
        key: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// Removes a row; valid if there is no such row.
    Delete {
        /// The table.
        table: Table,
        /// The row's key.
        key: Bytes,
    },
    /// Inserts an empty row unless the key has a row, and for a new row adds one to the number at `counter` in
    /// [`Table::Tally`]: 8 bytes, big-endian; a missing number is 0.
    Insert {
        /// The table.
        table: Table,
        /// The row's key, as in [`Op::Put`].
        key: Bytes,
        /// The number's key.
        counter: Bytes,
    },
    /// Replaces a row; without effect if there is no such row.
    Replace {
        /// The table.
        table: Table,
        /// The row's key.
        key: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// Removes all rows of `from <= key < to`; valid if there are none.
    DeleteRange {
        /// The table.
        table: Table,
        /// The first key, inclusive. Empty means the beginning of the table.
        from: Bytes,
        /// The last key, exclusive. Empty means the end of the table.
        to: Bytes,
    },
}

impl Op {
    /// Returns the key of the row that this operation writes. `None` if it may write many.
    pub const fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Insert { key, .. } | Self::Replace { key, .. } => {
                Some(key)
            }
            Self::DeleteRange { .. } => None,
        }
    }

    fn fits(&self) -> bool {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Replace { key, .. } => key_fits(key),
            Self::Insert { key, counter, .. } => key_fits(key) && key_fits(counter),
            Self::DeleteRange { from, to, .. } => bound_fits(from) && bound_fits(to),
        }
    }
}

fn key_fits(key: &Bytes) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}

const fn bound_fits(bound: &Bytes) -> bool {
    bound.len() <= BOUND_BYTES_MAX
}

/// Returns a number of [`Table::Tally`] after `more` were added. Bytes that are not a number read as 0.
pub fn counted(number: &[u8], more: u64) -> Bytes {
    let before = number.try_into().map_or(0, u64::from_be_bytes);
    Bytes::copy_from_slice(&before.saturating_add(more).to_be_bytes())
}

/// A bounded read of consecutive rows, `from <= key < to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// First key, inclusive. Empty means the beginning of the table.
    pub from: Bytes,
    /// Last key, exclusive. Empty means the end of the table.
    pub to: Bytes,
    /// Limit on bytes of keys and values: the scan stops before the row that would exceed it. The first row
    /// always comes.
    pub bytes_max: usize,
    /// Most rows; `usize::MAX` means any number.
    pub rows_max: usize,
    /// True if rows come descending, from just below `to` down to `from`.
    pub reverse: bool,
    /// Rows of another table that replace the values.
    pub join: Option<Join>,
}

/// Replaces the values of scanned rows by those of another table, read from the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The other table.
    pub table: Table,
    /// The beginning of the other row's key.
    pub prefix: Bytes,
    /// Number of last bytes of the scanned row's key that end the other row's key.
    pub tail: usize,
}

impl Join {
    /// Replaces the values of scanned rows by those that `get` returns: an empty one if there is no row.
    /// Keeps within the scan's limit of bytes. Returns whether rows were left out.
    pub fn apply<E>(
        &self,
        rows: &mut Vec<Row>,
        bytes_max: usize,
        mut get: impl FnMut(&[u8]) -> Result<Option<Bytes>, E>,
    ) -> Result<bool, E> {
        let mut bytes = 0_usize;
        for at in 0..rows.len() {
            let (key, value) = &mut rows[at];
            let tail = &key[key.len().saturating_sub(self.tail)..];
            *value = get(&[self.prefix.as_ref(), tail].concat())?.unwrap_or_default();
            bytes = bytes.saturating_add(key.len() + value.len());
            if bytes > bytes_max && at > 0 {
                rows.truncate(at);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Scan {
    /// Returns a scan that ascends and takes any number of rows.
    pub const fn of(table: Table, from: Bytes, to: Bytes, bytes_max: usize) -> Self {
        Self { table, from, to, bytes_max, rows_max: usize::MAX, reverse: false, join: None }
    }

    /// Returns the same scan, limited to `rows_max` rows.
    #[must_use]
    pub const fn limit(mut self, rows_max: usize) -> Self {
        self.rows_max = rows_max;
        self
    }

    /// Returns the same scan with values of another table.
    #[must_use]
    pub fn joined(self, join: Join) -> Self {
        Self { join: Some(join), ..self }
    }

    /// Returns the same scan in descending order.
    #[must_use]
    pub const fn descending(mut self) -> Self {
        self.reverse = true;
        self
    }
}

/// The state that a read sees, and the time at which it completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Read {
    /// Every commit that was polled before the read, and none that was polled later. The read completes in
    /// its turn.
    #[default]
    Ordered,
    /// The last commit that was reported when the read was polled, or a later durable one. The read waits for
    /// no commit, and completes before or after any other request.
    Durable,
}

/// One row.
pub type Row = (Bytes, Bytes);

/// A request of the endpoint to its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    /// Applies all writes atomically, then makes them durable.
    Commit {
        /// Id for the completion.
        id: StoreId,
        /// In order; a later one on the same key wins.
        ops: Vec<Op>,
    },
    /// Reads single rows.
    Get {
        /// Id for the completion.
        id: StoreId,
        /// Keys of the rows.
        keys: Vec<(Table, Bytes)>,
        /// The state to read.
        read: Read,
    },
    /// Reads consecutive rows.
    Scan {
        /// Id for the completion.
        id: StoreId,
        /// Range of the rows.
        scan: Scan,
        /// The state to read.
        read: Read,
    },
}

impl StoreRequest {
    /// Checks the limits that every store checks before it touches anything.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] names the broken limit.
    pub fn check(&self) -> Result<(), StoreError> {
        let (fits, what) = match self {
            Self::Commit { ops, .. } => (ops.iter().all(Op::fits), "a key is empty or too long"),
            Self::Get { keys, .. } if keys.len() > GET_ROWS_MAX => (false, "too many rows at once"),
            Self::Get { keys, .. } => (keys.iter().all(|(_, key)| key_fits(key)), "a key is empty or too long"),
            Self::Scan { scan, .. } => (bound_fits(&scan.from) && bound_fits(&scan.to), "a bound is too long"),
        };
        fits.then_some(()).ok_or(StoreError::Invalid(what))
    }

    /// Returns whether the request is a read that waits for no commit and completes in any order.
    pub const fn is_durable_read(&self) -> bool {
        matches!(self, Self::Get { read: Read::Durable, .. } | Self::Scan { read: Read::Durable, .. })
    }

    /// Returns the id that the completion must carry.
    pub const fn id(&self) -> StoreId {
        match self {
            Self::Commit { id, .. } | Self::Get { id, .. } | Self::Scan { id, .. } => *id,
        }
    }
}

/// Completion of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreDone {
    /// The commit is durable.
    Committed {
        /// Id of the request.
        id: StoreId,
    },
    /// The requested rows, in the requested order.
    Got {
        /// Id of the request.
        id: StoreId,
        /// `None` where there is no such row.
        values: Vec<Option<Bytes>>,
    },
    /// The rows that a scan found.
    Scanned {
        /// Id of the request.
        id: StoreId,
        /// Ascending by key, or descending if the scan does.
        rows: Vec<Row>,
        /// True if the scan stopped at a limit before a row. The next scan starts after the last key.
        more: bool,
    },
    /// The request failed.
    Failed {
        /// Id of the request.
        id: StoreId,
        /// The error.
        error: StoreError,
    },
}

impl StoreDone {
    /// Returns the id of the request.
    pub const fn id(&self) -> StoreId {
        match self {
            Self::Committed { id } | Self::Got { id, .. } | Self::Scanned { id, .. } | Self::Failed { id, .. } => *id,
        }
    }
}

/// Error of a store, worded so that a person can act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the map is full; nothing of the commit was applied.
    #[error("the disk is full: free some space")]
    Full,
    /// The disk did not confirm that the data is safe.
    #[error("the disk failed to confirm a write ({0}): check the disk, then start the node again")]
    NotDurable(&'static str),
    /// A row could not be read back as written.
    #[error("the store is damaged in table {table}: restore a backup, or remove the store and sync again from a peer")]
    Corrupt {
        /// The table.
        table: &'static str,
    },
    /// The request breaks the limits of a store: a bug in the layer above. Nothing of it was applied.
    #[error("the request was refused ({0}): this is a bug, please report it")]
    Invalid(&'static str),
    /// The store failed before and was not reopened since.
    #[error("the store failed earlier: start the node again")]
    Poisoned,
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn table_numbers_and_names_are_unique() {
        for (at, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, at);
            assert!(Table::ALL.iter().filter(|other| other.name() == table.name()).count() == 1);
        }
    }
}
