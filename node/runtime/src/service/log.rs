//! The last lines of a node's log, kept in memory for `log show` and the HTTP API.
//!
//! The lines contain no content of documents and no secrets; see `docs/operate.md`.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

/// Largest number of lines kept.
const LINES_MAX: usize = 2_000;
/// Longest message kept, in bytes; the rest is cut off.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Number of the line; the first line after the process's start is 1.
    pub number: u64,
    /// The time, in Unix milliseconds.
    pub at: u64,
    /// The severity: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The module that wrote the line.
    pub target: String,
    /// The text, followed by its fields.
    pub message: String,
}

/// A page of the log, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Number of the last line on the page, after which the next page begins.
    pub next: u64,
    /// Number of discarded lines between the requested place and this page.
    pub missed: u64,
}

/// The last lines of a log.
#[derive(Debug)]
pub struct LogTail {
    lines: Mutex<VecDeque<LogLine>>,
    /// Number of the newest line.
    newest: watch::Sender<u64>,
}

impl Default for LogTail {
    fn default() -> Self {
        Self { lines: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl LogTail {
    /// Appends a line, and discards the oldest one if there are too many.
    pub fn push(&self, at: u64, level: &str, target: &str, mut message: String) {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.newest.borrow() + 1;
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(LogLine { number, at, level: level.to_owned(), target: target.to_owned(), message });
        self.newest.send_replace(number);
    }

    /// Returns at most `limit` lines after the line `after`; without it, the last lines.
    ///
    /// A number beyond the last line is from an earlier process; then the last lines are returned.
    pub fn page(&self, after: Option<u64>, limit: usize) -> LogPage {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = *self.newest.borrow();
        let oldest = lines.front().map_or(newest + 1, |line| line.number);
        let after = after.filter(|after| *after <= newest);
        let from = after.map_or_else(|| newest + 1 - (lines.len().min(limit) as u64), |after| after + 1);
        let missed = oldest.saturating_sub(from);
        let skipped = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let lines: Vec<LogLine> = lines.iter().skip(skipped).take(limit).cloned().collect();
        let next = lines.last().map_or(newest, |line| line.number);
        LogPage { lines, next, missed }
    }

    /// Like [`page`](Self::page), but waits up to `wait` for a line if there is none.
    pub async fn next_page(&self, after: Option<u64>, limit: usize, wait: Duration) -> LogPage {
        let mut newest = self.newest.subscribe();
        if let Some(after) = after.filter(|after| *after == *newest.borrow()) {
            // The end of the wait only means that there is no new line.
            drop(timeout(wait, newest.wait_for(|newest| *newest > after)).await);
        }
        self.page(after, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(page: &LogPage) -> Vec<u64> {
        page.lines.iter().map(|line| line.number).collect()
    }

    fn tail(lines: usize) -> LogTail {
        let tail = LogTail::default();
        for line in 1..=lines {
            tail.push(0, "info", "test", format!("line {line}"));
        }
        tail
    }

    #[test]
    fn pages_follow_one_another() {
        let tail = tail(5);
        assert_eq!(numbers(&tail.page(None, 2)), [4, 5]);
        let page = tail.page(Some(1), 3);
        assert_eq!((numbers(&page), page.next, page.missed), (vec![2, 3, 4], 4, 0));
        let end = tail.page(Some(5), 3);
        assert_eq!((numbers(&end), end.next), (vec![], 5));
        assert_eq!(numbers(&tail.page(Some(99), 2)), [4, 5], "a place of an earlier process");
        assert_eq!(LogTail::default().page(None, 2), LogPage { lines: Vec::new(), next: 0, missed: 0 });
    }

    #[test]
    fn forgotten_lines_are_counted() {
        let tail = tail(LINES_MAX + 10);
        let page = tail.page(Some(4), 1);
        assert_eq!((numbers(&page), page.missed), (vec![11], 6));
        assert_eq!(tail.page(None, LINES_MAX * 2).lines.len(), LINES_MAX);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let tail = LogTail::default();
        tail.push(0, "info", "test", "é".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(tail.page(None, 1).lines[0].message.len(), MESSAGE_BYTES_MAX);
        tail.push(0, "info", "test", format!("a{}", "é".repeat(MESSAGE_BYTES_MAX)));
        assert_eq!(tail.page(None, 1).lines[0].message.len(), MESSAGE_BYTES_MAX - 1);
    }

    #[tokio::test]
    async fn a_page_waits_for_a_line() {
        let tail = tail(1);
        let day = Duration::from_secs(86_400);
        let waits = tail.next_page(Some(1), 10, day);
        let writes = async { tail.push(0, "warn", "test", "came".to_owned()) };
        assert_eq!(numbers(&tokio::join!(waits, writes).0), [2]);
    }
}
