//! Storage, as correlated requests and completions.
//!
//! The endpoint never touches a disk. It emits [`StoreRequest`]s and is told of each by one [`StoreDone`] with the
//! same [`StoreId`]. A store is any ordered key-value map with atomic batches: LMDB in the node, a `BTreeMap` in
//! tests, a model of a failing disk in the simulator (`spec/storage.md`).
//!
//! What a store must promise:
//! 1. Commits, and reads that are [`Read::Ordered`], take effect and complete in the order in which they were polled; such
//!    a read sees every earlier commit.
//! 2. A commit applies whole or not at all, and its [`StoreDone::Committed`] comes only after it is durable.
//! 3. After a crash the store holds a prefix of the commits that contains every one reported durable.
//! 4. A failed commit applied nothing. After one failure the store fails every later commit until it is reopened.
//! 5. A read that is [`Read::Durable`] sees the state after some commit that is durable, all of it from the same one. It
//!    is the last that was reported when the read was polled, or a later one. It completes before or after any other
//!    request.

use bytes::Bytes;

/// The longest key of a row. No key is empty.
pub const KEY_BYTES_MAX: usize = 480;

/// The longest bound of a range: a key, or what is just behind the longest.
pub const BOUND_BYTES_MAX: usize = KEY_BYTES_MAX + 1;

/// The most rows that one [`StoreRequest::Get`] may ask for.
pub const GET_ROWS_MAX: usize = 65_536;

/// The tables, each an ordered map from bytes to bytes. The number is the one that stands on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Singletons: format version, incarnation, counters.
    Meta = 0,
    /// Secret keys: device, epochs, logs, invites. Sealed at rest; the log keys never enter a backup.
    Secret = 1,
    /// Space number -> genesis record, name.
    Space = 2,
    /// Partition number -> its space, id and name.
    Partition = 3,
    /// Log number -> card, newest head, owner, what is held.
    Log = 4,
    /// (log number, seq) -> entry as it travels, absent sections as their hashes.
    Entry = 5,
    /// (log number, seq) -> signature of the head that ends a segment there.
    Head = 6,
    /// (partition number, document, log number, seq, section) -> how to read that section.
    Index = 7,
    /// (partition number, collection, document) -> nothing: which documents there are.
    Doc = 8,
    /// (partition number, document) -> materialised value and version: a cache. Sealed at rest.
    Value = 9,
    /// (space number, position) -> log number: the order in which logs grew, for cursors.
    Journal = 10,
    /// (device, space) -> how far this store has read that peer's journal.
    Peer = 11,
    /// Rows of the layer above: import progress, names, requests that were carried out. Sealed at rest.
    App = 12,
    /// Number of a change -> partition number, document, whether it was made here. It stays out of backups.
    Feed = 13,
    /// (partition number, 0, collection) -> how many documents of it are listed; (partition number, 1, document) -> that it
    /// may be deleted, or is.
    Tally = 14,
    /// Rows of indexes: (index number `u32`, what is indexed, document) -> empty or a mark. Keys and values are sealed at
    /// rest. They stay out of backups.
    Term = 15,
    /// (partition number, document) -> which rows of [`Table::Term`] stand for it. Sealed at rest. They stay out of backups.
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

    /// The name on disk.
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

    /// Whether values carry plaintext and must be sealed under the store key.
    pub const fn sealed_at_rest(self) -> bool {
        matches!(self, Self::Secret | Self::Space | Self::Partition | Self::Value | Self::App | Self::Term | Self::Keys)
    }

    /// Whether keys of rows carry plaintext too, so that neither they nor what tells them apart may stand on a disk.
    pub const fn keys_sealed(self) -> bool {
        matches!(self, Self::Term)
    }

    /// Whether rows follow from those of other tables, or hold for one store alone: no backup has them.
    pub const fn stays_out_of_backups(self) -> bool {
        matches!(self, Self::Feed | Self::Term | Self::Keys)
    }
}

/// Correlates a request with its completion. Unique within one endpoint's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Inserts or replaces a row.
    Put {
        /// Where.
        table: Table,
        /// The row's key, 1 to [`KEY_BYTES_MAX`] bytes.
        key: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// Removes a row; fine if there is none.
    Delete {
        /// Where.
        table: Table,
        /// The row's key.
        key: Bytes,
    },
    /// Inserts an empty row if there is none, and then adds one to the number at `counter` in [`Table::Tally`]: 8 bytes,
    /// the highest first; none is 0.
    Insert {
        /// Where.
        table: Table,
        /// The row's key, as of [`Op::Put`].
        key: Bytes,
        /// The number's key.
        counter: Bytes,
    },
    /// Replaces a row; fine if there is none.
    Replace {
        /// Where.
        table: Table,
        /// The row's key.
        key: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// Removes all rows of `from <= key < to`; fine if there are none.
    DeleteRange {
        /// Where.
        table: Table,
        /// The first key, inclusive. Empty means the beginning of the table.
        from: Bytes,
        /// The last key, exclusive. Empty means the end of the table.
        to: Bytes,
    },
}

impl Op {
    /// The row that this writes. `None` if it may be many.
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

/// A number of [`Table::Tally`] after `more` were added. What is no number counts as 0.
pub fn counted(number: &[u8], more: u64) -> Bytes {
    let before = number.try_into().map_or(0, u64::from_be_bytes);
    Bytes::copy_from_slice(&before.saturating_add(more).to_be_bytes())
}

/// A bounded read of consecutive rows, `from <= key < to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Where.
    pub table: Table,
    /// First key, inclusive. Empty means the beginning of the table.
    pub from: Bytes,
    /// Last key, exclusive. Empty means the end of the table.
    pub to: Bytes,
    /// Stop before the row that would take keys and values past this many bytes; the first row always comes.
    pub bytes_max: usize,
    /// At most so many rows; `usize::MAX` means any number.
    pub rows_max: usize,
    /// Whether rows come descending, from just below `to` down to `from`.
    pub reverse: bool,
    /// Rows of another table that take the place of the values.
    pub join: Option<Join>,
}

/// Has a scan bring values of another table, of the same state, in the place of those of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The other table.
    pub table: Table,
    /// The beginning of the other row's key.
    pub prefix: Bytes,
    /// Its end: so many last bytes of the key of the row that was scanned.
    pub tail: usize,
}

impl Join {
    /// Puts in the place of the values of scanned rows those that `get` brings: an empty one where there is no row. Keeps
    /// within the scan's limit of bytes; returns whether rows were left out.
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
    /// A scan that ascends and takes any number of rows.
    pub const fn of(table: Table, from: Bytes, to: Bytes, bytes_max: usize) -> Self {
        Self { table, from, to, bytes_max, rows_max: usize::MAX, reverse: false, join: None }
    }

    /// The same scan of at most `rows_max` rows.
    #[must_use]
    pub const fn limit(mut self, rows_max: usize) -> Self {
        self.rows_max = rows_max;
        self
    }

    /// The same scan with values of another table.
    #[must_use]
    pub fn joined(self, join: Join) -> Self {
        Self { join: Some(join), ..self }
    }

    /// The same scan in descending order.
    #[must_use]
    pub const fn descending(mut self) -> Self {
        self.reverse = true;
        self
    }
}

/// Which state a read sees, and when it completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Read {
    /// Every commit that was polled before it, and none that came later. It completes in its turn.
    #[default]
    Ordered,
    /// The last commit that was reported when it was polled, or a later one that is durable. It waits for no commit, and
    /// completes before or after any other request.
    Durable,
}

/// One row.
pub type Row = (Bytes, Bytes);

/// What the endpoint asks of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    /// Applies all writes atomically, then makes them durable.
    Commit {
        /// For the completion.
        id: StoreId,
        /// In order; a later one on the same key wins.
        ops: Vec<Op>,
    },
    /// Reads single rows.
    Get {
        /// For the completion.
        id: StoreId,
        /// Which rows.
        keys: Vec<(Table, Bytes)>,
        /// Of which state.
        read: Read,
    },
    /// Reads consecutive rows.
    Scan {
        /// For the completion.
        id: StoreId,
        /// Which rows.
        scan: Scan,
        /// Of which state.
        read: Read,
    },
}

impl StoreRequest {
    /// Whether the request keeps to the limits that every store checks before it touches anything.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] says which limit it breaks.
    pub fn check(&self) -> Result<(), StoreError> {
        let (fits, what) = match self {
            Self::Commit { ops, .. } => (ops.iter().all(Op::fits), "a key is empty or too long"),
            Self::Get { keys, .. } if keys.len() > GET_ROWS_MAX => (false, "too many rows at once"),
            Self::Get { keys, .. } => (keys.iter().all(|(_, key)| key_fits(key)), "a key is empty or too long"),
            Self::Scan { scan, .. } => (bound_fits(&scan.from) && bound_fits(&scan.to), "a bound is too long"),
        };
        fits.then_some(()).ok_or(StoreError::Invalid(what))
    }

    /// Whether it reads, waits for no commit, and completes in any order.
    pub const fn is_durable_read(&self) -> bool {
        matches!(self, Self::Get { read: Read::Durable, .. } | Self::Scan { read: Read::Durable, .. })
    }

    /// The id that the completion must carry.
    pub const fn id(&self) -> StoreId {
        match self {
            Self::Commit { id, .. } | Self::Get { id, .. } | Self::Scan { id, .. } => *id,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreDone {
    /// The commit is durable.
    Committed {
        /// Of the request.
        id: StoreId,
    },
    /// The rows that were asked for, in that order.
    Got {
        /// Of the request.
        id: StoreId,
        /// `None` where there is no such row.
        values: Vec<Option<Bytes>>,
    },
    /// The rows that a scan found.
    Scanned {
        /// Of the request.
        id: StoreId,
        /// Ascending by key, or descending if the scan does.
        rows: Vec<Row>,
        /// Whether the scan stopped at a limit before a row; go on after the last key.
        more: bool,
    },
    /// The request failed.
    Failed {
        /// Of the request.
        id: StoreId,
        /// Why.
        error: StoreError,
    },
}

impl StoreDone {
    /// The id of the request.
    pub const fn id(&self) -> StoreId {
        match self {
            Self::Committed { id } | Self::Got { id, .. } | Self::Scanned { id, .. } | Self::Failed { id, .. } => *id,
        }
    }
}

/// Why a store failed, told so that a person can act.
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
        /// Where.
        table: &'static str,
    },
    /// The request breaks the limits of a store: a bug in what sits above it. Nothing of it was applied.
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
