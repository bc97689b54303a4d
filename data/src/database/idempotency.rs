//! Idempotency keys: a request that repeats a key is answered from the first one and not carried out again.
//!
//! The outcome of a request is stored for a day, in the commit of its edits, under a key that the caller chose.

use super::request::{RequestError, Wrote};
use bytes::Bytes;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::storage::rows::scan_prefix;
use cosmicsync_protocol::storage::{Op, Row, Scan, Table};
use cosmicsync_protocol::time::Now;

/// Prefix of the rows in the table `app`.
const PREFIX: &[u8] = b"once/";
/// Lifetime of a row, in hours.
const HOURS: u64 = 24;
const HOUR_MS: u64 = 3_600_000;
/// Size of the oldest rows that a request reads to delete them, in bytes.
const SWEEP_BYTES: usize = 4 * 1024;

/// Idempotency key of a request, and a hash of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    name: [u8; 32],
    request: [u8; 32],
}

impl Once {
    /// Returns the key of a request. `scope` separates the keys of different callers; `request` is the request's whole
    /// content.
    pub fn new(scope: &[u8], name: &str, request: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync once 1");
        hasher.update(&(scope.len() as u64).to_le_bytes()).update(scope).update(name.as_bytes());
        let request = blake3::derive_key("cosmicsync once request 1", request);
        Self { name: *hasher.finalize().as_bytes(), request }
    }

    /// Returns whether both requests have the same idempotency key.
    pub(super) fn is_same_name(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// Returns the rows that may hold the outcome.
    pub(super) fn rows(&self, now: Now) -> Vec<(Table, Bytes)> {
        let hour = now.wall_ms / HOUR_MS;
        (hour.saturating_sub(HOURS)..=hour.saturating_add(1)).map(|hour| (Table::App, self.key(hour))).collect()
    }

    /// Returns the write that stores the outcome.
    pub(super) fn keep(&self, now: Now, wrote: &[Wrote]) -> Vec<Op> {
        let mut row = self.request.to_vec();
        for one in wrote {
            row.push(u8::from(one.created));
            row.extend_from_slice(one.doc.as_ref());
        }
        vec![Op::Put { table: Table::App, key: self.key(now.wall_ms / HOUR_MS), value: row.into() }]
    }

    /// The key begins with the hour, so that old rows are adjacent.
    fn key(&self, hour: u64) -> Bytes {
        [PREFIX, &hour.to_be_bytes(), &self.name[..]].concat().into()
    }
}

/// Returns a scan of the oldest rows.
pub(super) fn oldest() -> Scan {
    scan_prefix(Table::App, PREFIX, SWEEP_BYTES)
}

/// Returns the writes that delete expired rows.
pub(super) fn forget(now: Now, rows: &[Row]) -> Vec<Op> {
    let is_old = |key: &Bytes| {
        let hour = key.get(PREFIX.len()..).and_then(|rest| rest.first_chunk::<8>());
        hour.is_some_and(|hour| u64::from_be_bytes(*hour).saturating_add(HOURS + 1) < now.wall_ms / HOUR_MS)
    };
    let old = rows.iter().map(|(key, _)| key).filter(|key| is_old(key));
    old.map(|key| Op::Delete { table: Table::App, key: key.clone() }).collect()
}

/// Returns the stored outcome of the same request; fails if the key was used for another request.
pub(super) fn before(once: &Once, rows: Vec<Option<Bytes>>) -> Result<Option<Vec<Wrote>>, RequestError> {
    let Some(row) = rows.into_iter().flatten().next() else { return Ok(None) };
    let (request, mut rest) = row.split_at_checked(32).ok_or(RequestError::OnceMismatch)?;
    if request != once.request {
        return Err(RequestError::OnceMismatch);
    }
    let mut wrote = Vec::new();
    while let Some((one, behind)) = rest.split_at_checked(17) {
        let mut id = [0; 16];
        id.copy_from_slice(&one[1..]);
        wrote.push(Wrote { doc: DocId(id), created: one[0] == 1, version: None });
        rest = behind;
    }
    Ok(Some(wrote))
}
