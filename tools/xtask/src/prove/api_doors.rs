//! The HTTP API of the program, asked by clients of others as its own processes (`tools/doors`).
//!
//! - `api-contract`: what its description says holds, clients that stock generators make of it work, and clients that follow
//!   changes lose nothing when they are cut.
//! - `api-locked`: each route lets in whom it should, and nothing of what is forbidden is in any answer.
//! - `api-hostile`: what is too large, malformed, too slow or too much is refused, and others are served meanwhile.
//! - `api-fast`: how long operations take under mixed load, beside servers of others.

use super::{Report, Setting, figures};
use crate::{Failure, repo, step};
use std::path::{Path, PathBuf};

const DOORS: &str = "tools/doors";
/// The servers of others that `api-fast` compares with.
const PEERS: &str = "tools/doors/peers";

/// See the module's head.
pub(super) fn contract(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    run("contract.mjs", setting, Some(&python()?), report)
}

/// See the module's head.
pub(super) fn locked(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    run("locked.mjs", setting, None, report)
}

/// See the module's head.
pub(super) fn hostile(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    modules(DOORS)?;
    run("hostile.mjs", setting, None, report)
}

/// See the module's head.
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

/// Installs the packages of a folder at the versions that its lockfile names.
fn modules(folder: &str) -> Result<(), Failure> {
    let mut npm = repo::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefix", folder]);
    repo::output(npm).map(drop)
}

/// Makes an environment with the Python packages at the versions of `requirements.txt`; returns its interpreter.
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
