//! SIGKILL at random moments of writing and syncing.
//!
//! Both nodes write without pause and sync with each other; they are killed in turn. A library preloaded into each
//! notes every write to the store's file, so that the last note tells whether the process died inside a commit: after
//! the first page of it was to be written and before the root page was.

use super::writers::{Acked, Writers, lost};
use super::{Report, Setting, shim};
use crate::Failure;
use crate::prove::node::{ANY_PORT, Device, Node, start_joined};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const KILLS: u64 = 200;
/// Writers on each node.
const WRITERS: usize = 3;
/// A process lives for this long after it serves, and up to as much longer.
const LIFE_MS: (u64, u64) = (30, 400);
/// Bytes of a note of the preloaded library.
const NOTE_BYTES: u64 = 17;
/// The note after which a commit is over: its root page was written.
const ROOT_WRITTEN: u8 = 3;
/// Notes of writes within a commit: pages, the root page, a sync.
const WITHIN: [u8; 3] = [1, 2, 4];

/// One of the two nodes, in its present life.
struct Life {
    node: Node,
    writers: Writers,
    began: Instant,
}

/// See the module's head.
pub(super) fn prove(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let library = shim(home)?;
    let library = library.to_str().ok_or("a directory that is not UTF-8")?;
    let mut lives = Vec::new();
    for node in start_joined(&setting.binary, home, 2)? {
        let listen = node.listen.clone();
        let device = node.stop()?;
        lives.push(live(&device, &listen, library, 0)?);
    }
    let mut tally = Tally::default();
    let mut random = Random(0x5eed);
    for kill in 0..KILLS {
        let at = usize::from(kill % 2 == 1);
        let Life { node, writers, began } = lives.remove(at);
        let age = Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1));
        thread::sleep(age.saturating_sub(began.elapsed()));
        let listen = node.listen.clone();
        let device = node.kill();
        tally.inside += u64::from(died_inside_commit(&device)?);
        let acked = writers.finish()?;
        let mut life = live(&device, &listen, library, kill + 1)?;
        tally.slowest = tally.slowest.max(life.node.ready);
        tally.lost += lost(&mut life.node, &acked)?;
        tally.acked.extend(acked);
        tally.kills += 1;
        lives.insert(at, life);
        if kill % 20 == 19 {
            eprintln!(
                "  {} kills, {} inside a commit, {} documents acknowledged",
                kill + 1,
                tally.inside,
                tally.acked.len()
            );
        }
    }
    tally.end(lives)?;
    tally.report(report);
    Ok(())
}

fn live(device: &Device, listen: &str, library: &str, round: u64) -> Result<Life, Failure> {
    let notes = notes(device);
    drop(fs::remove_file(&notes));
    let notes = notes.to_str().ok_or("a directory that is not UTF-8")?.to_owned();
    let variables = [("LD_PRELOAD", library), ("CRASH_LOG", &notes), ("CRASH_BRIEF", "1")];
    let node = device.start_with(if listen.is_empty() { ANY_PORT } else { listen }, &variables)?;
    let label = device.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let writers = Writers::start(&node, WRITERS, &label, round)?;
    Ok(Life { node, writers, began: Instant::now() })
}

fn notes(device: &Device) -> std::path::PathBuf {
    device.dir.with_extension("notes")
}

/// What the last whole note of a killed process says.
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

/// What was counted.
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
    /// Lets both nodes agree and looks for everything once more, on both.
    fn end(&mut self, lives: Vec<Life>) -> Result<(), Failure> {
        let mut nodes = Vec::new();
        for Life { node, writers, .. } in lives {
            self.acked.extend(writers.finish()?);
            nodes.push(node);
        }
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
        // Every entry of every log is on both, and nobody saw two histories of one.
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
                let is_lost = message.contains("two histories") || message.contains("was ended here");
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

/// Random enough for moments, and the same in every run.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
