//! What an operator reads from elsewhere.

use cosmicsync_node::service::{LogLine, LogPage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogPage)]
pub(crate) struct LogView {
    /// The lines, oldest first.
    lines: Vec<LineView>,
    /// Number of the last line: `after` of the next request.
    next: u64,
    /// Number of lines behind `after` that the node no longer keeps.
    missed: u64,
}

/// A line of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LineView {
    /// Number of the line, from 1 at the start of the node.
    number: u64,
    /// Time, in Unix milliseconds.
    at: u64,
    /// Severity: `error`, `warn`, `info`, `debug` or `trace`.
    level: String,
    /// Module that wrote the line.
    target: String,
    /// Text, with the fields behind it.
    message: String,
}

impl From<LogPage> for LogView {
    fn from(page: LogPage) -> Self {
        let LogPage { lines, next, missed } = page;
        Self { lines: lines.into_iter().map(LineView::from).collect(), next, missed }
    }
}

impl From<LogLine> for LineView {
    fn from(line: LogLine) -> Self {
        let LogLine { number, at, level, target, message } = line;
        Self { number, at, level, target, message }
    }
}

/// A new backup.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBackup {
    /// Passphrase that seals it: 8 characters or more. Nobody reads the backup without it.
    #[schema(min_length = 8)]
    pub(crate) passphrase: String,
}
