//! Measures the delay of edits: from a write on one node until it is seen on another.

use crate::Failure;
use crate::prove::client::Client;
use crate::prove::node::Node;
use serde_json::json;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest delay before an edit is counted as lost.
const LOST: Duration = Duration::from_secs(30);
/// The pause between two edits.
const PAUSE: Duration = Duration::from_millis(10);

/// Edits on one node, watched on the other.
pub(super) struct Pace {
    writer: Client,
    seen: Receiver<(u64, Instant)>,
    next: u64,
}

/// Delays of edits.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    took: Vec<Duration>,
    lost: u64,
}

impl Pace {
    /// Starts to watch on `there` the writes on `here`.
    pub(super) fn start(here: &Node, there: &Node) -> Result<Self, Failure> {
        let (tell, seen) = channel();
        let (ready, is_ready) = channel();
        let mut watcher = there.client()?;
        thread::spawn(move || {
            let watch = json!({ "collection": "honest" });
            // Ends when the node does, or the proof.
            drop(watcher.call("doc_watch", watch, &mut |item| {
                if let Some(value) = item.pointer("/change/value/n").and_then(serde_json::Value::as_u64) {
                    // The proof may have ended.
                    let _ = tell.send((value, Instant::now()));
                } else {
                    let _ = ready.send(());
                }
            }));
        });
        is_ready.recv_timeout(LOST)?;
        Ok(Self { writer: here.client()?, seen, next: 0 })
    }

    /// Measures edits for the given time.
    pub(super) fn measure(&mut self, long: Duration) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::default();
        let until = Instant::now() + long;
        while Instant::now() < until {
            self.next += 1;
            let began = Instant::now();
            let value = json!({ "n": self.next, "fill": "x".repeat(100) });
            let key = (self.next % 20).to_string();
            self.writer.call("doc_put", json!({ "collection": "honest", "key": key, "value": value }), &mut |_| ())?;
            match self.wait(began)? {
                Some(took) => latencies.took.push(took),
                None => latencies.lost += 1,
            }
            thread::sleep(PAUSE);
        }
        latencies.took.sort_unstable();
        Ok(latencies)
    }

    fn wait(&self, began: Instant) -> Result<Option<Duration>, Failure> {
        loop {
            match self.seen.recv_timeout(LOST.saturating_sub(began.elapsed())) {
                Ok((number, at)) if number == self.next => return Ok(Some(at.duration_since(began))),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err("the watch ended".into()),
            }
        }
    }
}

impl Latencies {
    pub(super) fn count(&self) -> u64 {
        self.took.len() as u64
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns the 99th percentile of the delays, in milliseconds.
    pub(super) fn p99_ms(&self) -> f64 {
        let at = (self.took.len() * 99 / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).map_or(f64::NAN, |took| (took.as_secs_f64() * 100_000.0).round() / 100.0)
    }
}
