//! What the endpoint tells its driver.

use crate::connection::HandshakeError;
use crate::ids::{DeviceId, Instance, LogId};
use crate::ledger::{DocRef, JoinError, SpaceError};
use crate::storage::{Row, StoreError};
use crate::sync::SpaceNo;
use crate::wire::close::CloseCode;
use bytes::Bytes;

/// Who is at the other end of a link: a device, and which start of its store. A store that is copied with its keys and
/// started twice is one device in two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Which device.
    pub device: DeviceId,
    /// Which start of its store.
    pub instance: Instance,
}

/// A connection, numbered by the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Edits that become safe together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// A read of the layer above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What a read brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadResult {
    /// Single rows, in the order asked for.
    Values(Vec<Option<Bytes>>),
    /// Consecutive rows; more follow if the scan stopped at its byte limit.
    Rows {
        /// Ascending by key.
        rows: Vec<Row>,
        /// Whether to go on.
        more: bool,
    },
    /// The values that were asked for are made, as far as they can be.
    Made,
    /// The store failed.
    Failed(StoreError),
}

/// Why a link ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The connection broke.
    Lost,
    /// This side ends it.
    Ours(CloseCode),
    /// The peer ended it, with a code that a newer version may have added.
    Theirs(u16),
    /// The handshake failed.
    Handshake(HandshakeError),
    /// The handshake, or the link, took too long.
    Timeout,
    /// Joining failed.
    Join(JoinError),
    /// The peer could not be admitted.
    Admission(SpaceError),
    /// What it was made for is done.
    Done,
}

/// Something happened that the driver or the layer above may care about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A document is open and read; it may not exist.
    Opened {
        /// Which.
        doc: DocRef,
        /// Whether there is any content.
        exists: bool,
        /// Whether entries came, or stopped counting, while it was read: [`Event::Changed`] may tell of these before.
        changed: bool,
    },
    /// A document's logs grew by others' entries. If it is open, they are imported.
    Changed {
        /// Which.
        doc: DocRef,
    },
    /// Edits are durable.
    Committed {
        /// Which.
        commits: Vec<CommitId>,
    },
    /// Edits were lost before they became durable: the store failed, or the log they were made for was given up.
    EditsFailed {
        /// Which.
        commits: Vec<CommitId>,
    },
    /// A peer was authenticated and its session runs.
    PeerUp {
        /// On which link.
        link: LinkId,
        /// Who. Its device may be this one: a copy of this store runs elsewhere.
        peer: Process,
    },
    /// Two processes of a device run at the same time: its store was copied, or a backup of it was restored elsewhere.
    Twice {
        /// Which. It may be this one.
        device: DeviceId,
    },
    /// The link must be closed once [`poll_transmit`](crate::Endpoint::poll_transmit) has nothing more for it.
    Close {
        /// Which.
        link: LinkId,
        /// The device behind it, if it was authenticated.
        device: Option<DeviceId>,
        /// Why.
        reason: CloseReason,
    },
    /// This device joined a space.
    Joined {
        /// Which.
        space: SpaceNo,
    },
    /// An invited device was admitted.
    Admitted {
        /// Which device.
        device: DeviceId,
        /// To which space.
        space: SpaceNo,
    },
    /// A space's name, partitions, devices or keys changed.
    SpaceChanged {
        /// Which.
        space: SpaceNo,
    },
    /// A log that this process wrote has ended, because a peer has entries of it that this process did not write: memory
    /// was copied, or the key was stolen. The next write opens another log.
    Retired {
        /// Which.
        log: LogId,
    },
    /// A further history of a log was found and is kept. All entries together decide which one is excluded.
    Forked {
        /// Which.
        log: LogId,
    },
    /// Excluded entries of a document were written again, in a log that is not excluded.
    Republished {
        /// Which document.
        doc: DocRef,
        /// How many entries.
        entries: usize,
    },
    /// A repair walk left a space as unequal as it was.
    Mismatch {
        /// Which space.
        space: SpaceNo,
    },
    /// Rows came for the layer above.
    Read {
        /// Which read.
        id: crate::endpoint::ReadId,
        /// What it brought.
        result: ReadResult,
    },
    /// The store failed. The endpoint acknowledges nothing any more: recover a new one from the store.
    StoreFailed {
        /// Why.
        error: StoreError,
    },
}
