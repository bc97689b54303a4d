//! The same plan gives the same run, to the last record, in any process and after any other run.

use cosmicsync_sim::{Profile, generate, run, run_traced};
use std::io::Write;
use std::process::Command;

/// Set for the process that only prints its hashes.
const CHILD: &str = "COSMICSYNC_SIM_CHILD";
const SEEDS: u64 = 12;

fn hashes(seeds: impl Iterator<Item = u64>) -> Vec<(u64, String)> {
    let mut hashes: Vec<_> = seeds
        .map(|seed| (seed, run(&generate(seed, &Profile::default())).expect("a plan that runs").trace_hash))
        .collect();
    hashes.sort();
    hashes
}

#[test]
fn two_processes_agree() {
    if std::env::var_os(CHILD).is_some() {
        // In reverse order, so that no state of one run reaches the next.
        writeln!(std::io::stdout(), "hashes: {:?}", hashes((0..SEEDS).rev())).unwrap();
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["two_processes_agree", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    let expected = format!("hashes: {:?}", hashes(0..SEEDS));
    assert!(text.contains(&expected), "{text}\n{expected}");
}

#[test]
fn keeping_the_trace_changes_nothing() {
    let plan = generate(3, &Profile::default());
    let (plain, traced) = (run(&plan).unwrap(), run_traced(&plan).unwrap());
    assert_eq!((&plain.trace_hash, &plain.stats), (&traced.trace_hash, &traced.stats));
    let trace = traced.trace.unwrap();
    assert!(trace.len() > 100);
    assert!(trace.iter().any(|record| record.cause.is_some_and(|(peer, _)| peer != record.peer)));
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(hashes(0..1)[0].1, hashes(1..2)[0].1);
}

#[test]
fn taking_an_action_out_leaves_what_comes_before_it_alone() {
    let mut plan = generate(5, &Profile::default());
    let whole = run_traced(&plan).unwrap().trace.unwrap();
    let last = plan.bounds.phase_one_us - 1;
    plan.actions.retain(|action| !matches!(action.when, cosmicsync_sim::plan::When::AtUs(at) if at >= last / 2));
    let part = run_traced(&plan).unwrap().trace.unwrap();
    let before = |trace: &[cosmicsync_sim::report::Record]| -> Vec<_> {
        trace.iter().filter(|record| record.at_us < last / 2).cloned().collect()
    };
    assert_eq!(before(&whole), before(&part));
}
