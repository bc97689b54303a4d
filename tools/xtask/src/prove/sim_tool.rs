//! `sim-tool`: failures of `cosmicsync-chaos` replay elsewhere, and its lanes fit into a pull request's run.
//!
//! Bundles of this program are replayed by a program built from a fresh clone, in another directory: each must violate
//! the same oracle with the same trace. Then the tests of each lane run on their own, and their times are printed.

use super::{Report, Setting, built, sim_core, sim_process};
use crate::{Failure, repo, step};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Number of bundles.
const BUNDLES: u64 = 6;

/// The lanes in the run of a pull request, and the tests of each.
const LANES: [(&str, &str); 3] = [
    ("core", "package(cosmicsync-sim)"),
    ("transport", "binary(transport)"),
    ("process", "package(cosmicsync-chaos) & binary(processes)"),
];

/// Proves the claim.
pub(super) fn prove(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let replayed = replay(report);
    let timed = lanes(report);
    replayed.and(timed)
}

fn replay(report: &mut Report<'_>) -> Result<(), Failure> {
    let build = ["build", "--release", "--quiet", "--package", "cosmicsync-chaos"];
    step::shown(repo::cargo(&build))?;
    let home = tempfile::tempdir()?;
    let bundles = home.path().join("bundles");
    let mut campaign = Command::new(built("cosmicsync-chaos")?);
    campaign.args(["campaign", "--canary", "--quiet", "--seeds", &BUNDLES.to_string(), "--bundles"]).arg(&bundles);
    // It ends with an error: a canary must fail.
    campaign.output()?;
    let fresh = sim_process::built_from_clone(home.path(), "HEAD", "cosmicsync-chaos")?;
    let (mut replayed, mut same) = (0u32, 0u32);
    for file in std::fs::read_dir(&bundles)? {
        let file = file?.path();
        replayed += 1;
        same += u32::from(is_same(&fresh, home.path(), &file)?);
    }
    report.figure("bundles replayed by a program of a fresh clone", f64::from(replayed), u64::from(replayed));
    let other = f64::from(replayed - same);
    report.figure("bundles with another oracle or trace there", other, u64::from(replayed));
    // The clone's program took the place of this one.
    step::shown(repo::cargo(&build))
}

/// Returns whether a bundle fails as recorded.
fn is_same(program: &Path, dir: &Path, bundle: &Path) -> Result<bool, Failure> {
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(bundle)?)?;
    let mut replay = Command::new(program);
    let output = replay.current_dir(dir).args(["-o", "json", "replay"]).arg(bundle).output()?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    Ok(found["same_trace"] == true
        && found["trace_hash"] == recorded["trace_hash"]
        && found["violation"]["oracle"] == recorded["violation"]["oracle"])
}

fn lanes(report: &mut Report<'_>) -> Result<(), Failure> {
    step::shown(repo::cargo(&["build", "--quiet", "--workspace", "--bins"]))?;
    step::shown(repo::cargo(&["nextest", "run", "--workspace", "--no-run", "--cargo-quiet"]))?;
    for (lane, tests) in LANES {
        let began = Instant::now();
        let mut run = repo::cargo(&["nextest", "run", "--workspace", "--cargo-quiet", "--status-level", "fail"]);
        run.args(["-E", tests]);
        step::shown(run)?;
        let seconds = sim_core::round(began.elapsed().as_secs_f64());
        report.figure(&format!("pull request, lane {lane}: time"), seconds, 1);
    }
    Ok(())
}
