//! The HTTP API of the program, tested by independent clients in their own processes (`tools/doors`).
//!
//! - `api-contract`: the API matches its description, clients from standard generators work, and clients that follow
//!   changes lose nothing when they are disconnected.
//! - `api-locked`: each route admits only permitted accounts, and no answer contains anything forbidden.
//! - `api-hostile`: requests that are too large, malformed, too slow or too many are refused, and others are served
//!   meanwhile.
//! - `api-fast`: the duration of operations under mixed load, beside other servers.

use super::{Report, Setting, figures};
use crate::{Failure, repo, step};
use std::path::{Path, PathBuf};

const DOORS: &str = "tools/doors";
/// The other servers that `api-fast` compares with.
const PEERS: &str = "tools/doors/peers";

/// Proves `api-contract`.
pub(super) fn contract(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    run("contract.mjs", setting, Some(&python()?), report)
}

/// Proves `api-locked`.
pub(super) fn locked(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    run("locked.mjs", setting, None, report)
}

/// Proves `api-hostile`.
pub(super) fn hostile(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    run("hostile.mjs", setting, None, report)
}

/// Proves `api-fast`.
pub(super) fn fast(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    modules(PEERS)?;
    run("fast.mjs", setting, Some(&python()?), report)
}

/// Runs a script, and reports the figures that it prints.
fn run(name: &str, setting: &Setting, python: Option<&Path>, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut script = repo::command("node");
    script.arg(format!("{DOORS}/{name}")).arg("--binary").arg(&setting.binary);
    if let Some(python) = python {
        script.arg("--python").arg(python);
    }
    figures::told(script, "", report)
}

/// Installs the packages of a folder in the versions of its lockfile.
fn modules(folder: &str) -> Result<(), Failure> {
    let mut npm = repo::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefix", folder]);
    repo::output(npm).map(drop)
}

/// Creates an environment with the Python packages in the versions of `requirements.txt`; returns its interpreter.
fn python() -> Result<PathBuf, Failure> {
    let environment = std::path::absolute(repo::target())?.join("doors");
    let mut venv = repo::command("python3");
    venv.args(["-m", "venv"]).arg(&environment);
    repo::output(venv)?;
    let python = environment.join("bin/python");
    let mut pip = repo::command("env");
    pip.arg(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "5"]);
    pip.args(["--requirement", &format!("{DOORS}/requirements.txt")]);
    step::shown(pip)?;
    Ok(python)
}
