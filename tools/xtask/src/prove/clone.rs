//! `clone`: stores that were restored, or copied with their keys, end as one, and nobody's words are lost.

mod nodes;

use super::{Report, Setting};
use crate::{Failure, repo};
use serde_json::Value;

/// Plays the scenarios on endpoints in memory (`protocol/examples/clones.rs`).
const EXAMPLE: &str = "clones";

/// See the module's head.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let scenarios = scenarios(report);
    let nodes = nodes::prove(setting, report);
    scenarios.and(nodes)
}

fn scenarios(report: &mut Report<'_>) -> Result<(), Failure> {
    repo::output(repo::cargo(&["build", "--quiet", "--workspace", "--example", EXAMPLE]))?;
    let program = repo::target().join("debug/examples").join(EXAMPLE);
    let told = repo::output(repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?))?;
    let told: Value = serde_json::from_str(&told)?;
    for (name, what) in [
        ("restored", "restored store edited on both sides"),
        ("copied", "byte-for-byte copies, all edited"),
        ("forked", "fork at seq 1 of 10000 entries that others built on"),
    ] {
        let found = told.get(name).ok_or_else(|| format!("{EXAMPLE} says nothing of {name}"))?;
        let count = |figure: &str| super::node::number(found, figure);
        let (words, cases) = (count("words")?, count("cases")?);
        eprintln!("clone: {what}: {words} words in {cases} runs, {} logs forked", count("forked")?);
        report.figure(&format!("{what}: words lost"), count("lost")? as f64, words);
        report.figure(&format!("{what}: words repeated"), count("repeated")? as f64, words);
        report.figure(&format!("{what}: differences between replicas"), count("differing")? as f64, cases);
    }
    Ok(())
}
