//! Bodies for operators: the log and backups.

use cosmicsync_node::service::{LogLine, LogPage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of the node's log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogPage)]
pub(crate) struct LogView {
    /// The lines, oldest first.
    lines: Vec<LineView>,
    /// Number of the last line on the page, for `after` in the next request.
    next: u64,
    /// Number of lines after `after` that the node has discarded.
    missed: u64,
}

/// A line of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LineView {
    /// Number of the line; the first line after the node's start is 1.
    number: u64,
    /// The time, in Unix milliseconds.
    at: u64,
    /// The severity: `error`, `warn`, `info`, `debug` or `trace`.
    level: String,
    /// The module that wrote the line.
    target: String,
    /// The text, followed by its fields.
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

/// A request for a backup.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBackup {
    /// The passphrase that seals the backup, at least 8 characters. The backup cannot be read without it.
    #[schema(min_length = 8)]
    pub(crate) passphrase: String,
}
