//! `data-sim`: databases under deterministic simulation. On every replica, indexes, answers and live queries match the
//! documents after merges, crashes, partial replicas, excluded histories and faults of links and stores.
//!
//! The seeds are those of `swarm --databases` (`sim/src/generate/databases.rs`), the oracles O15 to O21 beside those of the
//! core. What they are worth is shown by planted bugs (`data/src/planted.rs`).

use super::sim_core::{OF_DATABASES, Run, Scale, planted, round, run_all, swarm, unmet};
use super::{Report, Setting};
use crate::Failure;

/// Number of seeds.
const SEEDS: u64 = 5_000;
/// Number of the first seeds that run again, in other processes and in the opposite order.
const PAIRS: u64 = 200;
/// Largest number of seeds that a planted bug may survive.
const PLANTED_SEEDS: u64 = 2_000;
/// Marks that runs of databases do not reach: those of edits, texts and members on bare endpoints.
const OF_EDITS: &[&str] = &[
    "doc.changed",
    "doc.opened",
    "document.came-back",
    "document.deleted",
    "document.hides",
    "document.made-apart",
    "draft.set-whole",
    "edit.acked",
    "edit.failed",
    "edit.refused",
    "edit.taken",
    "edits.concurrent",
    "crash.with-edits-open",
    "excluded.published",
    "field.removed",
    "stop.with-edits-open",
    "store.read-failed",
    "transaction.seen",
    "write.released",
];
/// Marks of query plans.
const PLANS: [&str; 5] = ["get", "index", "descending", "union", "scan"];

/// Proves the claim.
pub(super) fn prove(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let scale = Scale::from_environment();
    let swarm = swarm()?;
    let seeds = scale.of(SEEDS);
    let flags = ["--databases"];
    let first = run_all(&swarm, seeds, &flags)?;
    first.bad.iter().for_each(|line| eprintln!("data-sim: {line}"));
    let met = |mark: &str| first.marks.get(mark).copied().unwrap_or(0) as f64;
    report.figure("databases: seeds", first.seeds.len() as f64, seeds);
    report.figure("databases: seeds with a violation", first.bad.len() as f64, seeds);
    report.figure("databases: CPU time a seed", round(first.total(0) / 1_000.0 / seeds as f64), seeds);
    report.figure("databases: requests answered", met("data.answered"), seeds);
    report.figure("databases: writes reported durable", first.total(4), seeds);
    report.figure("databases: comparisons by oracles", first.total(5), seeds);
    report.figure("databases: faults", first.total(6), seeds);
    report.figure("databases: indexes compared with their documents", met("data.index-checked"), seeds);
    report.figure("databases: crashes while an index was built", met("data.crash-in-build"), seeds);
    report.figure("databases: answers while documents changed", met("data.found-beside-changes"), seeds);
    report.figure("databases: batches that live queries told", met("data.live-told"), seeds);
    report.figure("databases: changes read from feeds", met("data.feed-read"), seeds);
    report.figure("databases: answers to those whom rules bind", met("data.asked-by-one-bound"), seeds);
    report.figure("databases: partial replicas compared", met("data.partial-checked"), seeds);
    report.figure("databases: replicas compared after logs forked", met("data.forks-checked"), seeds);
    for plan in PLANS {
        report.figure(&format!("databases: questions answered by {plan}"), met(&format!("data.plan.{plan}")), seeds);
    }
    report.figure("databases: marks that no seed met", unmet_of(&first) as f64, seeds);
    let pairs = scale.of(PAIRS);
    let again = run_all(&swarm, pairs, &["--databases", "--backwards"])?;
    let differ = again.seeds.iter().filter(|(seed, hash)| first.seeds.get(seed) != Some(hash)).count();
    report.figure("databases: pairs of processes whose traces differ", differ as f64, pairs);
    planted(report, &flags, PLANTED_SEEDS)
}

/// Returns the number of required marks that no run reached: faults, and all actions of databases.
fn unmet_of(run: &Run) -> usize {
    unmet(run, |mark| mark.starts_with(OF_DATABASES) || !OF_EDITS.contains(&mark))
}
