//! The independent verifier of `spec/verify/`: Python with packages from PyPI, in an environment under `target/`.
//!
//! The verifier is written from the specification and knows nothing of the product's code. If Python or its packages
//! are not available, the task fails and says so: a check that did not run shows nothing.

use crate::{Failure, Output, repo, step};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENVIRONMENT: &str = "target/verify";
const REQUIREMENTS: &str = "spec/verify/requirements.txt";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The built program for the live checks [default: the release build, else the debug build]
    #[arg(long, value_name = "PROGRAM")]
    node: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Result of a run of the verifier: the last line of its output with `-o json`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Outcome {
    /// Number of checks that ran, by part.
    pub(crate) ran: BTreeMap<String, u64>,
    /// Number of checks that failed, by part.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Figures of the live checks.
    pub(crate) figures: BTreeMap<String, u64>,
}

/// Checks the vectors, that the checks detect corrupted ones, and a running node.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let program = match &args.node {
        Some(program) => std::path::absolute(program)?,
        None => built()?,
    };
    let mut verifier = verifier(&program)?;
    if args.output == Output::Json {
        verifier.args(["--output", "json"]);
    }
    step::shown(verifier)
}

/// Runs the same checks as a step of `test`, on the debug build.
pub(crate) fn check() -> Result<(), Failure> {
    step::shown(verifier(&repo::target().join("debug/cosmicsync"))?)
}

/// Runs the verifier against a program and returns its result. Failed checks are printed to stderr.
pub(crate) fn outcome(program: &Path) -> Result<Outcome, Failure> {
    let mut verifier = verifier(program)?;
    let printed = verifier.args(["--output", "json"]).output()?;
    let text = String::from_utf8(printed.stdout)?;
    for line in text.lines().filter(|line| line.contains("\"passed\": false")) {
        eprintln!("{line}");
    }
    let last = text
        .lines()
        .last()
        .ok_or_else(|| format!("the verifier printed nothing: {}", String::from_utf8_lossy(&printed.stderr).trim()))?;
    Ok(serde_json::from_str(last)?)
}

/// Returns the verifier's command with all checks; creates its environment if it does not exist.
fn verifier(program: &Path) -> Result<Command, Failure> {
    if !program.exists() {
        return Err(format!("{} is not there: build it first", program.display()).into());
    }
    ensure()?;
    let mut verifier = repo::command(&format!("{ENVIRONMENT}/bin/python"));
    // Nothing is written beside the sources.
    verifier.arg("-B").args(["spec/verify/verify.py", "--self-check", "--node"]).arg(program);
    Ok(verifier)
}

fn built() -> Result<PathBuf, Failure> {
    let programs = ["release", "debug"].map(|profile| repo::target().join(profile).join("cosmicsync"));
    programs.into_iter().find(|program| program.exists()).ok_or_else(|| "no build of cosmicsync: `cargo build`".into())
}

/// Creates the environment with the pinned packages, unless it exists with exactly these.
fn ensure() -> Result<(), Failure> {
    let wanted = std::fs::read_to_string(repo::root().join(REQUIREMENTS))?;
    let installed = repo::root().join(ENVIRONMENT).join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    println!("installing the verifier's packages into {ENVIRONMENT}");
    let cannot = |error: Failure| format!("the verifier cannot run here: it needs Python 3.11 and PyPI ({error})");
    let mut environment = repo::command("python3");
    environment.args(["-m", "venv", ENVIRONMENT]);
    step::shown(environment).map_err(cannot)?;
    let mut pip = repo::command(&format!("{ENVIRONMENT}/bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--retries", "5", "--requirement", REQUIREMENTS]);
    step::shown(pip).map_err(cannot)?;
    std::fs::write(installed, wanted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned() {
        let text = std::fs::read_to_string(repo::root().join(REQUIREMENTS)).unwrap();
        let packages: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(!packages.is_empty());
        assert!(packages.iter().all(|line| line.split_once("==").is_some_and(|(_, version)| !version.is_empty())));
    }

    #[test]
    fn an_outcome_is_the_last_line() {
        let line = r#"{"ran": {"vector": 9}, "failed": {"vector": 0}, "figures": {"handshakes": 2}}"#;
        let outcome: Outcome = serde_json::from_str(line).unwrap();
        assert_eq!((outcome.ran["vector"], outcome.failed["vector"], outcome.figures["handshakes"]), (9, 0, 2));
    }
}
