//! `clone`: if stores are copied, no log forks and no text is lost or repeated. If processes are copied with their
//! memory, or a log is forked deliberately, no text is lost.

mod nodes;

use super::{Report, Setting, sim_core};
use crate::{Failure, repo};
use serde_json::Value;

/// Plays the scenarios on endpoints in memory (`protocol/examples/clones.rs`).
const EXAMPLE: &str = "clones";

/// Number of seeds in which stores are copied.
const SEEDS: u64 = 2_000;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let stories = stories(report);
    let seeds = seeds(report);
    let nodes = nodes::prove(setting, report);
    stories.and(seeds).and(nodes)
}

/// Runs seeds in which stores are copied byte for byte while they run, restored, and started two to five times, under
/// all other faults.
fn seeds(report: &mut Report<'_>) -> Result<(), Failure> {
    let run = sim_core::run_all(&sim_core::swarm()?, SEEDS, &["--stores"])?;
    run.bad.iter().for_each(|line| eprintln!("clone: {line}"));
    let count = run.seeds.len() as u64;
    let met = |mark: &str| run.marks.get(mark).copied().unwrap_or(0) as f64;
    // A line begins with `bad SEED ORACLE`.
    let violated = |oracle: &str| run.bad.iter().filter(|line| line.split(' ').nth(2) == Some(oracle)).count() as f64;
    report.figure("2 to 5 copies of a store: seeds", count as f64, count);
    report.figure("2 to 5 copies of a store: copies started", met("store.cloned") + met("store.rolled-back"), count);
    report.figure("2 to 5 copies of a store: logs forked", met("log.forked") + met("log.retired"), count);
    report.figure("2 to 5 copies of a store: seeds with a word lost or repeated", violated("O2"), count);
    report.figure("2 to 5 copies of a store: seeds in which replicas differ", violated("O1"), count);
    report.figure("2 to 5 copies of a store: seeds with any violation", run.bad.len() as f64, count);
    Ok(())
}

fn stories(report: &mut Report<'_>) -> Result<(), Failure> {
    repo::output(repo::cargo(&["build", "--quiet", "--workspace", "--example", EXAMPLE]))?;
    let program = repo::target().join("debug/examples").join(EXAMPLE);
    let told = repo::output(repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?))?;
    let told: Value = serde_json::from_str(&told)?;
    for (name, what) in [
        ("copied", "byte-for-byte copies, all edited"),
        ("resumed", "process resumed two or three times, all edited"),
        ("forked", "fork at entry 1 of 10000 that others built on, excluded words published again"),
    ] {
        let found = told.get(name).ok_or_else(|| format!("{EXAMPLE} says nothing of {name}"))?;
        let count = |figure: &str| super::node::number(found, figure);
        let (words, cases) = (count("words")?, count("cases")?);
        eprintln!("clone: {what}: {words} words in {cases} runs, {} logs forked", count("forked")?);
        report.figure(&format!("{what}: words lost"), count("lost")? as f64, words);
        if name == "copied" {
            report.figure(&format!("{what}: words repeated"), count("repeated")? as f64, words);
            report.figure(&format!("{what}: logs forked"), count("forked")? as f64, cases);
        } else {
            // A republished text appears twice if the choice of the kept history changes later.
            report.figure(&format!("{what}: runs whose fork nobody found"), count("unfound")? as f64, cases);
        }
        report.figure(&format!("{what}: differences between replicas"), count("differing")? as f64, cases);
    }
    Ok(())
}
