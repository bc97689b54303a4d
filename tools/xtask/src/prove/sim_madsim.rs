//! `sim-madsim`: the shipped driver under a scheduler that draws the order of its tasks
//! (`node/runtime/examples/interleave`).
//!
//! Each seed runs twice, and must have one trace. No run may hang, lose an acknowledged write, or leave a command
//! without an answer.

use super::sim_core::{Scale, round};
use super::sim_turmoil::run_all;
use super::{Report, Setting};
use crate::{Failure, sim};
use std::process::Command;
use std::time::Instant;

/// Number of seeds of each workload.
const SEEDS: u64 = 2_000;

/// Proves the claim.
pub(super) fn prove(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let program = sim::madsim(false)?;
    let listed = super::sim_core::printed(Command::new(&program).arg("--list"))?;
    let workloads: Vec<&str> = listed.lines().collect();
    let seeds = Scale::from_environment().of(SEEDS).max(1);
    let began = Instant::now();
    let ran = run_all(&program, &workloads, seeds)?;
    let seconds = began.elapsed().as_secs_f64();
    ran.bad.iter().for_each(|line| eprintln!("sim-madsim: {line}"));
    let runs = ran.hashes.len() as u64;
    let differ = ran.bad.iter().filter(|line| line.contains("two runs have two traces")).count();
    report.figure("interleavings: workloads", workloads.len() as f64, runs);
    report.figure("interleavings: seeds, each run twice", runs as f64, runs);
    report.figure("interleavings: seeds with two traces", differ as f64, runs);
    report.figure("interleavings: runs with a violation", (ran.bad.len() - differ) as f64, runs);
    report.figure("interleavings: commands answered", ran.total(2), runs);
    report.figure("interleavings: comparisons by oracles", ran.total(3), runs);
    report.figure("interleavings: kills, stops and full stores", ran.total(4), runs);
    report.figure(
        "interleavings: simulated seconds a second, all processes",
        round(ran.total(1) / 1e3 / seconds),
        runs,
    );
    Ok(())
}
