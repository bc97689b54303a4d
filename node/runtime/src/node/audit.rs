//! The audit log of commands about access: rows of the node's own, the newest [`KEPT`], never synced.

use super::Acting;
use crate::clock::wall_ms;
use crate::driver::{AUDIT_ROWS, Core};
use crate::service::{Audited, Reply, ServiceError};
use bytes::Bytes;
use cosmicsync_protocol::storage::{Op, Table};
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Number of rows that are kept.
const KEPT: usize = 4096;
/// Largest number of failures logged within [`PACE_MS`], so that unauthorised clients cannot fill the store.
const FAILURES_MAX: u32 = 50;
const PACE_MS: u64 = 10_000;
/// Largest number of rows in an answer.
const LISTED_MAX: u64 = 1000;
/// Longest object of a row, in bytes.
const ABOUT_BYTES_MAX: usize = 256;

/// The audit log of a node.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    rows: VecDeque<Audited>,
    /// Number of failures logged in the present period, and its start.
    failures: (u32, u64),
}

impl AuditLog {
    /// Reads a stored row; rows come in the order of their numbers.
    pub(crate) fn read_row(&mut self, value: &[u8]) {
        self.rows.extend(serde_json::from_slice::<Audited>(value));
    }

    /// Returns whether another failure is logged.
    fn admits(&mut self, now: u64) -> bool {
        let (count, since) = &mut self.failures;
        if now >= since.saturating_add(PACE_MS) {
            (*count, *since) = (0, now);
        }
        *count += 1;
        *count <= FAILURES_MAX
    }

    /// Adds a row under the next number. Returns the writes.
    fn push(&mut self, mut row: Audited) -> Vec<Op> {
        if !row.done && !self.admits(row.at) {
            return Vec::new();
        }
        row.number = self.rows.back().map_or(1, |last| last.number + 1);
        let Ok(value) = serde_json::to_vec(&row) else { return Vec::new() };
        let mut ops = vec![Op::Put { table: Table::App, key: key(row.number), value: value.into() }];
        self.rows.push_back(row);
        while self.rows.len() > KEPT {
            let old = self.rows.pop_front();
            ops.extend(old.map(|old| Op::Delete { table: Table::App, key: key(old.number) }));
        }
        ops
    }
}

impl Acting<'_> {
    /// Logs an action of the actor.
    pub(super) async fn note_audit(&self, what: &str, about: impl Into<String>, done: bool) {
        let who = match &self.who {
            None => "operator".to_owned(),
            Some(who) => who.token.account.clone().unwrap_or_else(|| who.token.name.clone()),
        };
        self.audit_as(who, what, about, done).await;
    }

    /// Logs an action. A log that cannot be written does not make the action fail.
    pub(super) async fn audit_as(&self, who: String, what: &str, about: impl Into<String>, done: bool) {
        let mut about: String = about.into();
        about.truncate(about.floor_char_boundary(ABOUT_BYTES_MAX));
        let row = Audited { number: 0, at: wall_ms(), who, what: what.to_owned(), about, done };
        let note = move |core: &mut Core| {
            let ops = core.audit.push(row);
            if !ops.is_empty() {
                // The row is not waited for: it becomes durable with the next commit.
                core.write(ops, oneshot::channel().0);
            }
        };
        if let Ok(handle) = self.handle() {
            drop(handle.with(note).await);
        }
    }

    pub(super) async fn audit_list(&self, before: Option<u64>, limit: u64) -> Result<Reply, ServiceError> {
        let limit = usize::try_from(limit.min(LISTED_MAX)).unwrap_or(usize::MAX);
        let list = move |core: &mut Core| {
            let rows = core.audit.rows.iter().rev().filter(|row| before.is_none_or(|before| row.number < before));
            rows.take(limit).cloned().collect()
        };
        Ok(Reply::Audit(self.handle()?.with(list).await?))
    }
}

fn key(number: u64) -> Bytes {
    [AUDIT_ROWS, format!("{number:016x}").as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: u64, done: bool) -> Audited {
        Audited { number: 0, at, who: "ada".to_owned(), what: "login".to_owned(), about: String::new(), done }
    }

    #[test]
    fn the_oldest_rows_go() {
        let mut log = AuditLog::default();
        for at in 0..KEPT as u64 {
            assert_eq!(log.push(row(at, true)).len(), 1);
        }
        assert_eq!(log.push(row(0, true)).len(), 2, "one comes, one goes");
        assert_eq!((log.rows.len(), log.rows[0].number), (KEPT, 2));
    }

    #[test]
    fn failures_are_noted_at_a_pace() {
        let mut log = AuditLog::default();
        let noted = (0..1000).filter(|_| !log.push(row(5, false)).is_empty()).count();
        assert_eq!(noted, FAILURES_MAX as usize);
        assert_eq!(log.push(row(5, true)).len(), 1, "what is done is always noted");
        assert_eq!(log.push(row(5 + PACE_MS, false)).len(), 1);
    }
}
