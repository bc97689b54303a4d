//! `sim-process`: the shipped program as real processes, with a proxy on each link.
//!
//! Five nodes run under random kills, stops, pauses, cuts and full disks (`cosmicsync-chaos soak`). Then an older build
//! runs beside this one: the two must become equal, or the older one must refuse with a clear error.

use super::sim_core::round;
use super::{Report, Setting, built};
use crate::{Failure, repo, step};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Duration of the soak, in seconds. `COSMICSYNC_SIM_SHARE` divides it for a quick run, which proves nothing.
const SOAK_S: u64 = 600;
/// File that came with the first lane. The older program is of the commit before it.
const FIRST_OF_LANES: &str = "tools/xtask/src/prove/sim_turmoil.rs";
/// The scenario of both programs.
const BESIDE: &str = "pause-beside-a-crash";

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    step::shown(repo::cargo(&["build", "--release", "--quiet", "--package", "cosmicsync-chaos"]))?;
    let chaos = built("cosmicsync-chaos")?;
    let soaked = soak(&chaos, &setting.binary, report);
    let beside = older(&chaos, &setting.binary, report);
    soaked.and(beside)
}

fn soak(chaos: &Path, binary: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let share = std::env::var("COSMICSYNC_SIM_SHARE").ok().and_then(|share| share.parse().ok()).unwrap_or(1).max(1);
    let seconds = (SOAK_S / share).max(20);
    let home = tempfile::tempdir()?;
    let mut command = Command::new(chaos);
    command.args(["--output", "json", "soak", "--peers", "5", "--for", &format!("{seconds}s"), "--bundles"]);
    let output = command.arg(home.path()).arg("--program").arg(binary).output()?;
    let run = first_object(&output)?;
    for line in array(&run, "not_run") {
        eprintln!("sim-process: not run: {}", line.as_str().unwrap_or_default());
    }
    for violation in array(&run, "violations") {
        eprintln!("sim-process: {violation}");
    }
    let stat = |name: &str| run["stats"][name].as_f64().unwrap_or_default();
    let of = |oracle: &str| array(&run, "violations").iter().filter(|violation| violation["oracle"] == oracle).count();
    let acked = stat("acked") as u64;
    report.figure("five nodes: seconds of work and faults", seconds as f64, 1);
    report.figure("five nodes: faults", stat("faults"), 1);
    report.figure("five nodes: edits acknowledged", stat("acked"), acked);
    report.figure("five nodes: acknowledged writes looked for, over all nodes", stat("checks"), acked);
    report.figure("five nodes: nodes that lack an acknowledged write", of("O2") as f64, acked);
    report.figure("five nodes: nodes that differ from another", (of("O1") + of("O8")) as f64, 5);
    report.figure("five nodes: violations", array(&run, "violations").len() as f64, 1);
    let converged = run["stats"]["converged_ms"].as_f64();
    report.figure("five nodes: equal after the last fault", round(converged.unwrap_or(f64::INFINITY) / 1e3), 1);
    let peers = array(&run, "peers");
    let most = |name: &str| peers.iter().filter_map(|peer| peer[name].as_f64()).fold(f64::MIN, f64::max);
    // Peer 0 is never killed, so its slope is over the whole run.
    let slope = peers.first().and_then(|peer| peer["slope_kib_a_minute"].as_f64()).unwrap_or_default();
    report.figure("five nodes: kills", peers.iter().filter_map(|peer| peer["kills"].as_f64()).sum(), 5);
    report.figure("five nodes: slope of the own memory of the node that lives on", round(slope), 1);
    report.figure("five nodes: memory, largest", round(most("rss_max_bytes") / f64::from(1 << 20)), 5);
    report.figure(
        "five nodes: memory without the mapped store, largest",
        round(most("own_max_bytes") / f64::from(1 << 20)),
        5,
    );
    report.figure("five nodes: open files, most", most("files_max"), 5);
    report.figure("five nodes: open files at the end, most", most("files"), 5);
    Ok(())
}

/// Runs the program of an older commit beside this one.
fn older(chaos: &Path, binary: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let this = home.path().join("this");
    std::fs::copy(binary, &this)?;
    let commit = older_commit()?;
    eprintln!("sim-process: the older program is of commit {commit}");
    let old = built_from_clone(home.path(), &commit, "cosmicsync")?;
    std::fs::copy(&this, binary)?;
    let mut command = Command::new(chaos);
    command.args(["--output", "json", "run", BESIDE, "--lane", "process", "--bundles"]).arg(home.path());
    command.current_dir(repo::root()).arg("--program").arg(&this);
    for peer in [1, 2] {
        let mut other = std::ffi::OsString::from(format!("{peer}="));
        other.push(&old);
        command.arg("--other").arg(other);
    }
    let output = command.output()?;
    let refused = String::from_utf8_lossy(&output.stderr).into_owned();
    // A refusal comes before the first edit: a node says why it cannot take part.
    if output.status.code() == Some(4) {
        eprintln!("sim-process: the older program is refused: {refused}");
        let clear = refused.contains("format") || refused.contains("version");
        report.figure(
            "an older program beside this one: neither equal nor refused clearly",
            f64::from(u8::from(!clear)),
            1,
        );
        return Ok(());
    }
    let run = first_object(&output)?;
    for violation in array(&run, "violations") {
        eprintln!("sim-process: older program: {violation}");
    }
    let held = run["held"] == true;
    eprintln!("sim-process: an older program beside this one: equal: {held}");
    report.figure("an older program beside this one: neither equal nor refused clearly", f64::from(u8::from(!held)), 1);
    Ok(())
}

/// Returns the commit of the last release, or else the last one before the lanes.
fn older_commit() -> Result<String, Failure> {
    let git = |args: &[&str]| {
        let mut git = repo::command("git");
        git.args(args);
        repo::output(git).map(|text| text.trim().to_owned())
    };
    let added = |file: &str| git(&["log", "--diff-filter=A", "--max-count=1", "--format=%H", "--", file]);
    let commit = git(&["describe", "--tags", "--abbrev=0"])
        .or_else(|_| git(&["rev-parse", &format!("{}^", added(FIRST_OF_LANES)?)]))
        .map_err(|error| format!("{error}; a shallow clone lacks the commit: git fetch --unshallow"))?;
    Ok(commit)
}

/// Builds a program from a clone of its own at a commit; returns its path below `home`.
///
/// The build shares the target directory, so that it builds no dependency twice. Its program takes the place of this
/// tree's own there, which the next build puts back.
pub(super) fn built_from_clone(home: &Path, commit: &str, package: &str) -> Result<PathBuf, Failure> {
    let tree = home.join("tree");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--shared", "--no-checkout"]).arg(repo::root()).arg(&tree);
    repo::output(clone)?;
    let mut checkout = Command::new("git");
    checkout.current_dir(&tree).args(["checkout", "--quiet", commit]);
    repo::output(checkout)?;
    let target = std::path::absolute(repo::target())?;
    let mut build = repo::cargo(&["build", "--release", "--quiet", "--package", package]);
    build.current_dir(&tree).arg("--target-dir").arg(&target);
    step::shown(build)?;
    let copy = home.join(format!("{package}-of-clone"));
    std::fs::copy(target.join("release").join(package), &copy)?;
    Ok(copy)
}

fn first_object(output: &Output) -> Result<Value, Failure> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    serde_json::from_str(line).map_err(|_| format!("no run: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn array<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}
