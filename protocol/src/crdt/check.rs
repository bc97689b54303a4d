//! The check before Loro: the conditions that an update must meet to be imported.
//!
//! Loro does not authenticate its peers, so this module does: an update contains the operations of exactly
//! its log's peer, starting exactly where that peer's last update in this document ended
//! (`spec/documents.md`, section 4).

use super::{UPDATE_BYTES_MAX, UPDATE_OPS_MAX, envelope, roots};
use loro::{EncodedBlobMode, LoroDoc};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An update that passed [`check`]: the only thing a replica imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedUpdate {
    /// In Loro's envelope.
    pub(super) bytes: Vec<u8>,
    pub(super) peer: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Other operations that these build on: (peer, counter).
    pub(super) deps: Vec<(u64, u32)>,
}

impl CheckedUpdate {
    /// Returns the peer that made these operations.
    pub const fn peer(&self) -> u64 {
        self.peer
    }

    /// Returns the counter of the first operation.
    pub const fn start(&self) -> u32 {
        self.start
    }

    /// Returns the counter after the last operation: the start of the peer's next update in this document.
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// Returns the operations outside the update that it directly builds on, as (peer, counter).
    pub fn deps(&self) -> &[(u64, u32)] {
        &self.deps
    }
}

/// Reason why an update is not acceptable. Always its author's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Longer than [`UPDATE_BYTES_MAX`].
    #[error("the update is longer than {UPDATE_BYTES_MAX} bytes")]
    TooLong,
    /// Not a Loro update.
    #[error("the update cannot be decoded")]
    Undecodable,
    /// A root container has a name that no honest writer uses.
    #[error("the update names a root container that no document has")]
    RootName,
    /// No operation, or operations of more than one peer.
    #[error("the update holds the operations of {0} peers, not of one")]
    Peers(usize),
    /// Operations of another peer than the log's.
    #[error("the update is of peer {found:016x}, not of its log's peer")]
    WrongPeer {
        /// The peer of the operations.
        found: u64,
    },
    /// A gap or an overlap with the peer's last update.
    #[error("the update starts at operation {found}, not at {expected}")]
    WrongStart {
        /// End of the peer's last update.
        expected: u32,
        /// Start of this update.
        found: i64,
    },
    /// More than [`UPDATE_OPS_MAX`] operations, or counters that run out.
    #[error("the update holds more than {UPDATE_OPS_MAX} operations")]
    TooManyOps,
}

/// Checks one update against the peer of its log and the end of that peer's last update in this document.
///
/// A pure function of its arguments. Nothing is imported, and a panic of the decoder is an
/// [`UpdateError::Undecodable`].
pub fn check(update: &[u8], peer: u64, start: u32) -> Result<CheckedUpdate, UpdateError> {
    if update.len() > UPDATE_BYTES_MAX {
        return Err(UpdateError::TooLong);
    }
    if !roots::are_ours(update).ok_or(UpdateError::Undecodable)? {
        return Err(UpdateError::RootName);
    }
    let bytes = envelope::within(update);
    let meta = catch_unwind(AssertUnwindSafe(|| LoroDoc::decode_import_blob_meta(&bytes, true)))
        .map_err(core::mem::forget)
        .and_then(|decoded| decoded.map_err(drop))
        .map_err(|()| UpdateError::Undecodable)?;
    debug_assert_eq!(meta.mode, EncodedBlobMode::Updates, "the envelope says so");
    let mut peers = meta.partial_end_vv.iter();
    let (Some((&found, &end)), None) = (peers.next(), peers.next()) else {
        return Err(UpdateError::Peers(meta.partial_end_vv.len()));
    };
    if found != peer || peer == u64::MAX {
        return Err(UpdateError::WrongPeer { found });
    }
    let found = meta.partial_start_vv.get(&peer).copied().unwrap_or(-1);
    if u32::try_from(found) != Ok(start) {
        return Err(UpdateError::WrongStart { expected: start, found: found.into() });
    }
    let end = u32::try_from(end).map_err(|_| UpdateError::TooManyOps)?;
    if end <= start || end - start > UPDATE_OPS_MAX {
        return Err(UpdateError::TooManyOps);
    }
    let dep = |id: loro::ID| u32::try_from(id.counter).map(|counter| (id.peer, counter));
    let deps = meta.start_frontiers.iter().map(dep).collect::<Result<_, _>>().map_err(|_| UpdateError::Undecodable)?;
    Ok(CheckedUpdate { bytes, peer, start, end, deps })
}
