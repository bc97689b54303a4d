//! Events of the endpoint for its driver, and the types that they name.
//!
//! The driver drains them with [`poll_event`](crate::Endpoint::poll_event). An event never waits for an answer
//! (`ARCHITECTURE.md`, "How it is driven").

use crate::connection::HandshakeError;
use crate::ids::{CommitId, DeviceId, DocRef, Instance, LinkId, LogId, ReadId, SpaceNo};
use crate::spaces::{JoinError, SpaceError};
use crate::storage::{Row, StoreError};
use crate::wire::close::CloseCode;
use bytes::Bytes;

/// The process at the other end of a link: a device and one start of its store. A store that is copied with
/// its keys and started twice is one device in two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The device.
    pub device: DeviceId,
    /// The start of the process's store.
    pub instance: Instance,
}

/// Result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadResult {
    /// Single rows, in the order asked for.
    Values(Vec<Option<Bytes>>),
    /// Consecutive rows; more follow if the scan stopped at its byte limit.
    Rows {
        /// Ascending by key.
        rows: Vec<Row>,
        /// True if rows follow after the last one.
        more: bool,
    },
    /// The requested values were made, as far as possible.
    Made,
    /// The store failed.
    Failed(StoreError),
}

/// Reason for the end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The connection broke.
    Lost,
    /// This side ends the link.
    Ours(CloseCode),
    /// The peer ended the link, with a code that a newer version may have added.
    Theirs(u16),
    /// The handshake failed.
    Handshake(HandshakeError),
    /// The handshake, or the link, took too long.
    Timeout,
    /// Joining a space failed.
    Join(JoinError),
    /// The peer could not be admitted.
    Admission(SpaceError),
    /// The purpose of the link is fulfilled.
    Done,
}

/// An event for the driver or the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A document was opened and read; it may not exist.
    Opened {
        /// The document.
        doc: DocRef,
        /// True if the document has any content.
        exists: bool,
        /// True if entries came, or were excluded, while the document was read. [`Event::Changed`] may report them
        /// before.
        changed: bool,
    },
    /// A document may show another value: others' entries were indexed, or its excluded entries changed. This
    /// is also reported of documents that are not open. An open one has imported them.
    Changed {
        /// The document.
        doc: DocRef,
    },
    /// Edits are durable.
    Committed {
        /// The commits.
        commits: Vec<CommitId>,
    },
    /// Edits were lost before they became durable: the store failed, or their log was given up.
    EditsFailed {
        /// The commits.
        commits: Vec<CommitId>,
    },
    /// A peer was authenticated and its session runs.
    PeerUp {
        /// The link.
        link: LinkId,
        /// The process of the peer. Its device may be this one: a copy of this store runs elsewhere.
        peer: Process,
    },
    /// Two processes of a device run at the same time: its store was copied, or a backup of it was restored elsewhere.
    Twice {
        /// The device. It may be this one.
        device: DeviceId,
    },
    /// The link must be closed once [`poll_transmit`](crate::Endpoint::poll_transmit) has nothing more for it.
    Close {
        /// The link.
        link: LinkId,
        /// The device behind the link, if authenticated.
        device: Option<DeviceId>,
        /// The reason.
        reason: CloseReason,
    },
    /// This device joined a space.
    Joined {
        /// The space.
        space: SpaceNo,
    },
    /// An invited device was admitted.
    Admitted {
        /// The device.
        device: DeviceId,
        /// The space that admitted the device.
        space: SpaceNo,
    },
    /// A space's name, partitions, devices or keys changed.
    SpaceChanged {
        /// The space.
        space: SpaceNo,
    },
    /// A log that this process wrote has ended, because a peer has entries of it that this process did not
    /// write: memory was copied, or the key was stolen. The next write opens another log.
    Retired {
        /// The log.
        log: LogId,
    },
    /// A further history of a log was found and is kept. All entries together decide which one is kept; entries
    /// of the others are excluded.
    Forked {
        /// The log.
        log: LogId,
    },
    /// Excluded entries of a document were written again, in a log that is not excluded.
    Republished {
        /// The document.
        doc: DocRef,
        /// Number of republished entries.
        entries: usize,
    },
    /// A repair walk left the roots of a space unequal.
    Mismatch {
        /// The space.
        space: SpaceNo,
    },
    /// A read of the layer above completed.
    Read {
        /// The read.
        id: ReadId,
        /// The result.
        result: ReadResult,
    },
    /// The store failed. The endpoint acknowledges nothing any more: recover a new one from the store.
    StoreFailed {
        /// The error of the store.
        error: StoreError,
    },
}
