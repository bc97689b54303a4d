//! SIGKILL at random moments of writing and syncing.
//!
//! Both nodes write and sync without pause until one of them is killed; they are killed in turn. A library preloaded
//! into each records every write to the store's file. The last record shows whether the process died inside a commit:
//! after the first page of the commit was to be written, and before the root page was.

use super::writers::{Acked, Writers, lost};
use super::{Report, Setting, shim};
use crate::Failure;
use crate::prove::node::{Device, Node, start_joined};
use crate::random::Random;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::Duration;

const KILLS: u64 = 200;
/// Number of writers on each node.
const WRITERS: usize = 3;
/// Least time before a kill, and largest random addition to it, in milliseconds.
const LIFE_MS: (u64, u64) = (30, 400);
/// Size of a record of the preloaded library, in bytes.
const NOTE_BYTES: u64 = 17;
/// The record that ends a commit: its root page was written.
const ROOT_WRITTEN: u8 = 3;
/// Records within a commit: pages, the root page, a sync.
const WITHIN: [u8; 3] = [1, 2, 4];

/// Proves the part.
pub(super) fn prove(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let library = shim(home)?;
    let library = library.to_str().ok_or("a directory that is not UTF-8")?;
    let mut nodes = Vec::new();
    for node in start_joined(&setting.binary, home, 2)? {
        let listen = node.listen.clone();
        nodes.push(live(&node.stop()?, &listen, library)?);
    }
    let mut tally = Tally::default();
    let mut random = Random(0x5eed);
    for kill in 0..KILLS {
        let writers = [Writers::start(&nodes[0], WRITERS, "a", kill)?, Writers::start(&nodes[1], WRITERS, "b", kill)?];
        thread::sleep(Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1)));
        let at = usize::from(kill % 2 == 1);
        let node = nodes.remove(at);
        let listen = node.listen.clone();
        let device = node.kill();
        tally.inside += u64::from(died_inside_commit(&device)?);
        let mut acked = Acked::new();
        for writers in writers {
            // Writes to the other node continue until here.
            acked.extend(writers.finish()?);
        }
        let mut node = live(&device, &listen, library)?;
        tally.slowest = tally.slowest.max(node.ready);
        let own = if at == 0 { "a-" } else { "b-" };
        tally.lost += lost(&mut node, &acked.iter().filter(|(key, _)| key.starts_with(own)).map(cloned).collect())?;
        tally.acked.extend(acked);
        tally.kills += 1;
        nodes.insert(at, node);
        if kill % 20 == 19 {
            let (inside, acked) = (tally.inside, tally.acked.len());
            eprintln!("  {} kills, {inside} inside a commit, {acked} documents acknowledged", kill + 1);
        }
    }
    tally.end(nodes)?;
    tally.report(report);
    Ok(())
}

fn cloned((key, value): (&String, &u64)) -> (String, u64) {
    (key.clone(), *value)
}

/// Starts a node whose writes are recorded from the beginning.
fn live(device: &Device, listen: &str, library: &str) -> Result<Node, Failure> {
    let notes = notes(device);
    // There are no records before the first life.
    drop(fs::remove_file(&notes));
    let notes = notes.to_str().ok_or("a directory that is not UTF-8")?;
    device.start_with(listen, &[("LD_PRELOAD", library), ("CRASH_LOG", notes), ("CRASH_BRIEF", "1")])
}

fn notes(device: &Device) -> std::path::PathBuf {
    device.dir.with_extension("notes")
}

/// Returns whether the last complete record of a killed process is inside a commit.
fn died_inside_commit(device: &Device) -> Result<bool, Failure> {
    let mut file = fs::File::open(notes(device))?;
    let whole = file.metadata()?.len() / NOTE_BYTES;
    let Some(last) = whole.checked_sub(1) else { return Ok(false) };
    file.seek(SeekFrom::Start(last * NOTE_BYTES))?;
    let mut kind = [0];
    file.read_exact(&mut kind)?;
    match kind[0] {
        ROOT_WRITTEN => Ok(false),
        kind => Ok(WITHIN.contains(&kind)),
    }
}

/// Counts of the runs.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    inside: u64,
    lost: u64,
    forks: u64,
    acked: Acked,
    slowest: Duration,
}

impl Tally {
    /// Waits until both nodes agree, and checks all acknowledged writes once more on both.
    fn end(&mut self, mut nodes: Vec<Node>) -> Result<(), Failure> {
        for node in &mut nodes {
            node.wait_sync()?;
        }
        let mut digests = Vec::new();
        for node in &mut nodes {
            self.lost += lost(node, &self.acked)?;
            digests.push(node.digest()?);
        }
        if digests[0] != digests[1] {
            return Err("the digests differ after the last kill".into());
        }
        // Both nodes must have every entry of every log, and no log may have forked.
        let mut logs = Vec::new();
        for node in &mut nodes {
            let mut partitions = node.ask("partition_list", json!({}))?;
            if let Some(partitions) = partitions.as_array_mut() {
                partitions.sort_by_key(|partition| partition["partition"].to_string());
            }
            logs.push(partitions);
            let findings = node.ask("doctor", json!({}))?;
            for finding in findings.as_array().into_iter().flatten() {
                let message = finding.get("message").and_then(Value::as_str).unwrap_or_default();
                let is_bad = finding.get("level") == Some(&json!("problem"));
                let is_lost = message.contains("has several branches") || message.contains("ended here:");
                if is_bad || is_lost {
                    eprintln!("  doctor: {finding}");
                    self.forks += 1;
                }
            }
        }
        self.forks += u64::from(logs[0] != logs[1]);
        Ok(())
    }

    fn report(&self, report: &mut Report<'_>) {
        let workload = |what: &str| format!("SIGKILL at a random moment, both nodes: {what}");
        report.figure(&workload("kills"), self.kills as f64, self.kills);
        report.figure(&workload("inside a commit"), self.inside as f64, self.kills);
        report.figure(&workload("acknowledged writes lost"), self.lost as f64, self.acked.len() as u64);
        report.figure(&workload("log forks"), self.forks as f64, self.kills);
        eprintln!("  slowest restart {:.0?}", self.slowest);
    }
}
