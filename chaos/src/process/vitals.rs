//! Memory and open files of the processes, sampled while they run.

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::peer::Peer;

/// Interval of samples.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time after a start that is left out of slopes, in seconds.
const WARM_UP_S: f64 = 10.0;

/// One sample.
#[derive(Debug, Clone, Copy)]
struct Sample {
    pid: u32,
    at_s: f64,
    rss: u64,
    /// The part of `rss` that is no mapped file, such as the store.
    own: u64,
    fds: u64,
}

/// Samples processes in a thread.
#[derive(Debug)]
pub(super) struct Monitor {
    over: mpsc::Sender<()>,
    thread: JoinHandle<Vec<Vec<Sample>>>,
}

/// Figures of one peer.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Vitals {
    /// Resident memory at the end, in bytes.
    pub(super) rss_bytes: u64,
    /// Largest resident memory, in bytes.
    pub(super) rss_max_bytes: u64,
    /// Largest resident memory that is no mapped file, in bytes. The store is a mapped file.
    pub(super) own_max_bytes: u64,
    /// Slope of the same over the longest life of a process, in KiB a minute, without its first seconds.
    pub(super) slope_kib_a_minute: f64,
    /// Length of that life, in seconds.
    pub(super) life_s: f64,
    /// Largest number of open files.
    pub(super) files_max: u64,
    /// Number of open files at the end.
    pub(super) files: u64,
}

impl Monitor {
    /// Starts the thread.
    pub(super) fn new(peers: Vec<Arc<Peer>>) -> Self {
        let (over, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            let began = Instant::now();
            let mut samples: Vec<Vec<Sample>> = peers.iter().map(|_| Vec::new()).collect();
            while ended.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                for (samples, peer) in samples.iter_mut().zip(&peers) {
                    samples.extend(peer.pid().and_then(|pid| sample(pid, began.elapsed().as_secs_f64())));
                }
            }
            samples
        });
        Self { over, thread }
    }

    /// Ends the thread; returns the figures of each peer.
    pub(super) fn finish(self) -> Vec<Vitals> {
        drop(self.over);
        self.thread.join().unwrap_or_default().iter().map(|samples| vitals(samples)).collect()
    }
}

fn sample(pid: u32, at_s: f64) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let (rss, own) = (bytes("VmRSS:")?, bytes("RssAnon:")?);
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Sample { pid, at_s, rss, own, fds })
}

fn vitals(samples: &[Sample]) -> Vitals {
    let lives = samples.chunk_by(|a, b| a.pid == b.pid);
    let length = |life: &[Sample]| match life {
        [first, .., last] => last.at_s - first.at_s,
        _ => 0.0,
    };
    let longest = lives.max_by(|a, b| length(a).total_cmp(&length(b))).unwrap_or_default();
    let last = samples.last();
    Vitals {
        rss_bytes: last.map_or(0, |sample| sample.rss),
        rss_max_bytes: samples.iter().map(|sample| sample.rss).max().unwrap_or(0),
        own_max_bytes: samples.iter().map(|sample| sample.own).max().unwrap_or(0),
        slope_kib_a_minute: slope(longest),
        life_s: length(longest),
        files_max: samples.iter().map(|sample| sample.fds).max().unwrap_or(0),
        files: last.map_or(0, |sample| sample.fds),
    }
}

/// Returns the slope of a straight line through the samples' own memory, by least squares.
fn slope(life: &[Sample]) -> f64 {
    let Some(first) = life.first() else { return 0.0 };
    let points: Vec<(f64, f64)> = life
        .iter()
        .filter(|sample| sample.at_s - first.at_s >= WARM_UP_S)
        .map(|sample| (sample.at_s / 60.0, sample.own as f64 / 1024.0))
        .collect();
    let count = points.len() as f64;
    if points.len() < 2 {
        return 0.0;
    }
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_longest_life() {
        let at = |pid, at_s: u32, kib: u64| Sample { pid, at_s: f64::from(at_s), rss: 0, own: kib * 1024, fds: 3 };
        let mut samples: Vec<Sample> = (0..5).map(|s| at(1, s, 999)).collect();
        samples.extend((5..125).map(|s| at(2, s, 100 + u64::from(s))));
        let found = vitals(&samples);
        assert!((found.slope_kib_a_minute - 60.0).abs() < 0.01, "{found:?}");
        assert!((found.life_s - 119.0).abs() < 0.01, "{found:?}");
        assert_eq!(found.files_max, 3);
    }
}
