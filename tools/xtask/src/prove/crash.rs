//! `crash`: killed processes, crashed disks, full disks and failing disks lose nothing acknowledged.

mod faults;
mod kills;
mod writers;

use super::import::import;
use super::input::Input;
use super::node::{ANY_PORT, start_owner};
use super::{Report, Setting, built};
use crate::{Failure, repo};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The sample, which is outside of the repository.
const SAMPLE: &str = "zipcodes.csv.gz";
/// Number of kills and restarts of the large store.
const RESTARTS: u64 = 5;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let parts: [(&str, Part); 4] =
        [("kills", kills::prove), ("restart", restart), ("faults", faults::prove), ("crash images", images)];
    let mut failures = Vec::new();
    for (name, part) in parts {
        let began = Instant::now();
        let home = tempfile::tempdir()?;
        // A failing part must not prevent the next from being measured.
        if let Err(failure) = part(setting, home.path(), report) {
            failures.push(format!("{name}: {failure}"));
        }
        eprintln!("crash: {name} took {:.1} s", began.elapsed().as_secs_f64());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

type Part = fn(&Setting, &Path, &mut Report<'_>) -> Result<(), Failure>;

/// Compiles the library that records a node's writes and injects faults.
fn shim(home: &Path) -> Result<PathBuf, Failure> {
    let mut command = Command::new(built("crash-images")?);
    command.arg("shim").arg(home);
    repo::output(command)?;
    Ok(home.join("shim.so"))
}

/// Kills a node with the large sample, and measures the time until it serves again.
fn restart(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let samples = Setting { binary: setting.binary.clone(), files: Vec::new() }.files_or(&[SAMPLE])?;
    let input = Input::read(&samples[0])?;
    let file = home.join(&input.name);
    fs::write(&file, &input.bytes)?;
    let mut node = start_owner(&setting.binary, home)?;
    import(&mut node, &file, "zipcodes", None)?;
    let before = node.digest()?;
    let mut worst = 0.0_f64;
    for _ in 0..RESTARTS {
        node = node.kill().start(ANY_PORT)?;
        worst = worst.max(node.ready.as_secs_f64());
    }
    if node.digest()? != before || before.get("documents") != Some(&json!(42_049)) {
        return Err("the documents are not the same after the restarts".into());
    }
    report.figure("restart with 42049 documents", (worst * 1_000.0).round() / 1_000.0, RESTARTS);
    Ok(())
}

/// Runs the crash images of `tools/crash-images`.
fn images(_: &Setting, _: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let output = Command::new(built("crash-images")?).args(["--images", "2000"]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).map_err(|_| format!("it has no figures: {told}"))?;
    eprint!("{told}");
    eprintln!("  {found}");
    let count = |name: &str| super::node::number(&found, name);
    let (images, checked) = (count("images")?, count("acked_checked")?);
    let workload = |what: &str| format!("crash images from recorded LMDB writes: {what}");
    report.figure(&workload("images"), images as f64, count("inside_commit")?);
    let lost = count("lost")? + count("unopenable")? + count("fault_violations")?;
    report.figure(&workload("acknowledged writes lost"), lost as f64, checked);
    // A log with a hole, or with entries that were never submitted, would continue differently and so fork.
    report.figure(&workload("log forks"), (count("holes")? + count("beyond")?) as f64, images);
    if output.status.success() { Ok(()) } else { Err(format!("crash-images failed: {told}").into()) }
}
