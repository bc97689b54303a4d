//! Requests that are carried out once, however often they are asked for.
//!
//! The writes of a request are kept for a day, in the commit of its edits, under a name that the caller chose.

use super::request::{RequestError, Wrote};
use bytes::Bytes;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::ledger::rows::scan_prefix;
use cosmicsync_protocol::storage::{Op, Row, Scan, Table};
use cosmicsync_protocol::time::Now;

/// Before the rows of the table `app`.
const PREFIX: &[u8] = b"once/";
/// The hours that a row stands.
const HOURS: u64 = 24;
const HOUR_MS: u64 = 3_600_000;
/// The bytes of the oldest rows that a request reads, to remove them.
const SWEEP_BYTES: usize = 4 * 1024;

/// The name of a request, and a hash of what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    name: [u8; 32],
    request: [u8; 32],
}

impl Once {
    /// Names a request. `scope` keeps the names of different callers apart; `request` is all that it asks for.
    pub fn new(scope: &[u8], name: &str, request: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync once 1");
        hasher.update(&(scope.len() as u64).to_le_bytes()).update(scope).update(name.as_bytes());
        let request = blake3::derive_key("cosmicsync once request 1", request);
        Self { name: *hasher.finalize().as_bytes(), request }
    }

    /// Returns whether both are asked for under one name.
    pub(super) fn is_same_name(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// The rows in which it may stand.
    pub(super) fn rows(&self, now: Now) -> Vec<(Table, Bytes)> {
        let hour = now.wall_ms / HOUR_MS;
        (hour.saturating_sub(HOURS)..=hour.saturating_add(1)).map(|hour| (Table::App, self.key(hour))).collect()
    }

    /// The row that keeps what was written.
    pub(super) fn keep(&self, now: Now, wrote: &[Wrote]) -> Vec<Op> {
        let mut row = self.request.to_vec();
        for one in wrote {
            row.push(u8::from(one.created));
            row.extend_from_slice(one.doc.as_ref());
        }
        vec![Op::Put { table: Table::App, key: self.key(now.wall_ms / HOUR_MS), value: row.into() }]
    }

    /// By the hour, so that what is old stands together.
    fn key(&self, hour: u64) -> Bytes {
        [PREFIX, &hour.to_be_bytes(), &self.name[..]].concat().into()
    }
}

/// The oldest rows.
pub(super) fn oldest() -> Scan {
    scan_prefix(Table::App, PREFIX, SWEEP_BYTES)
}

/// Removes those that are too old to matter.
pub(super) fn forget(now: Now, rows: &[Row]) -> Vec<Op> {
    let is_old = |key: &Bytes| {
        let hour = key.get(PREFIX.len()..).and_then(|rest| rest.first_chunk::<8>());
        hour.is_some_and(|hour| u64::from_be_bytes(*hour).saturating_add(HOURS + 1) < now.wall_ms / HOUR_MS)
    };
    let old = rows.iter().map(|(key, _)| key).filter(|key| is_old(key));
    old.map(|key| Op::Delete { table: Table::App, key: key.clone() }).collect()
}

/// What the same request wrote before; an error if the name was given to another request.
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
