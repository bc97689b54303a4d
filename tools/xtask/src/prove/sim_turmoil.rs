//! `sim-turmoil`: the shipped driver on hosts of a simulated network, with a store in memory
//! (`node/runtime/tests/transport/README.md`).
//!
//! Seeds of each scenario run in separate processes, a chunk at a time. There must be no violation, and two processes
//! must produce the same run of one seed, to the last byte read. Then every planted bug must be found.

use super::sim_core::{Scale, in_parallel, printed, round};
use super::{Report, Setting, built};
use crate::{Failure, repo, step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Number of seeds of each scenario.
const SEEDS: u64 = 500;
/// Number of the first seeds of each scenario that run again, in other processes.
const PAIRS: u64 = 10;
/// Number of seeds per process.
const CHUNK: u64 = 50;
/// Largest number of seeds of each scenario that a planted bug may survive.
const PLANTED_SEEDS: u64 = 20;

/// Proves the claim.
pub(super) fn prove(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let scale = Scale::from_environment();
    let program = program(false)?;
    let listed = printed(Command::new(&program).arg("--list"))?;
    let scenarios: Vec<&str> = listed.lines().collect();
    let (seeds, pairs) = (scale.of(SEEDS).max(1), scale.of(PAIRS).max(1));
    let began = Instant::now();
    let first = run_all(&program, &scenarios, seeds)?;
    let seconds = began.elapsed().as_secs_f64();
    first.bad.iter().for_each(|line| eprintln!("sim-turmoil: {line}"));
    let runs = first.hashes.len() as u64;
    report.figure("transport: scenarios", scenarios.len() as f64, runs);
    report.figure("transport: runs", runs as f64, runs);
    report.figure("transport: runs with a violation", first.bad.len() as f64, runs);
    report.figure("transport: simulated seconds a second, all processes", round(first.total(1) / 1e3 / seconds), runs);
    report.figure("transport: commands answered", first.total(2), runs);
    report.figure("transport: comparisons by oracles", first.total(3), runs);
    report.figure("transport: faults", first.total(4), runs);
    report.figure("transport: connections", first.total(6), runs);
    let again = run_all(&program, &scenarios, pairs)?;
    let differ = again.hashes.iter().filter(|(run, hash)| first.hashes.get(*run) != Some(hash)).count();
    report.figure("transport: pairs of processes", again.hashes.len() as f64, again.hashes.len() as u64);
    report.figure("transport: pairs of processes whose traces differ", differ as f64, again.hashes.len() as u64);
    planted(report)
}

/// Builds the program that runs seeds, with planted bugs or without.
pub(super) fn program(planted: bool) -> Result<PathBuf, Failure> {
    let mut build =
        repo::cargo(&["build", "--release", "--quiet", "--package", "cosmicsync-node", "--example", "transport"]);
    if planted {
        build.env("RUSTC_WORKSPACE_WRAPPER", repo::root().join("tools/planted.sh"));
    }
    step::shown(build)?;
    Ok(built("examples")?.join("transport"))
}

/// Output of the processes.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) hashes: BTreeMap<String, String>,
    pub(super) bad: Vec<String>,
    totals: [u64; 7],
}

impl Runs {
    fn take(&mut self, line: &str) -> Result<(), Failure> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["seed", scenario, seed, hash] => drop(self.hashes.insert(format!("{scenario} {seed}"), hash.to_owned())),
            ["bad", ..] => self.bad.push(line.to_owned()),
            ["done", ref totals @ ..] => {
                for (sum, total) in self.totals.iter_mut().zip(totals) {
                    *sum += total.parse::<u64>()?;
                }
            }
            _ => return Err(format!("`{line}` is not what a run prints").into()),
        }
        Ok(())
    }

    pub(super) const fn total(&self, at: usize) -> f64 {
        self.totals[at] as f64
    }
}

pub(super) fn run_all(program: &Path, scenarios: &[&str], seeds: u64) -> Result<Runs, Failure> {
    let chunks = usize::try_from(seeds.div_ceil(CHUNK))?;
    let lines = in_parallel(scenarios.len() * chunks, |at| {
        let (scenario, from) = (scenarios[at / chunks], (at % chunks) as u64 * CHUNK);
        let (start, count) = (from.to_string(), CHUNK.min(seeds - from).to_string());
        printed(Command::new(program).args([start.as_str(), count.as_str(), scenario]))
    })?;
    let mut runs = Runs::default();
    lines.iter().flat_map(|lines| lines.lines()).try_for_each(|line| runs.take(line))?;
    Ok(runs)
}

/// Checks that every planted bug is found, and prints the number of runs for each.
fn planted(report: &mut Report<'_>) -> Result<(), Failure> {
    let program = program(true)?;
    let listed = printed(Command::new(&program).args(["--planted", "--list"]))?;
    let ids: Vec<&str> = listed.lines().collect();
    let lines = in_parallel(ids.len(), |at| {
        let line = printed(Command::new(&program).args(["--planted", &PLANTED_SEEDS.to_string(), ids[at]]))?;
        eprint!("sim-turmoil: planted: {line}");
        Ok(line)
    })?;
    let mut found = 0u32;
    for line in &lines {
        let columns: Vec<&str> = line.trim_end().split('\t').collect();
        let [id, region, runs, ..] = columns[..] else { continue };
        let Ok(runs) = runs.parse::<f64>() else { continue };
        found += 1;
        report.figure(&format!("planted {id} ({region}): runs to find"), runs, 1);
    }
    let planted = u32::try_from(ids.len())?;
    report.figure("planted bugs: found", f64::from(found), u64::from(planted));
    report.figure("planted bugs: not found", f64::from(planted - found), u64::from(planted));
    Ok(())
}
