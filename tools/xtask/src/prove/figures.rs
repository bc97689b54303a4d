//! Figures that a script or an example prints: a line of JSON for each, `{"name": ..., "value": ..., "n": ...}`.

use super::Report;
use crate::{Failure, repo};
use serde::Deserialize;
use std::process::{Command, Stdio};

/// A figure that was printed.
#[derive(Debug, Deserialize)]
struct Told {
    name: String,
    value: f64,
    n: u64,
}

/// Runs a program and reports what it tells, each figure under `prefix` and its name. What it says on stderr is shown.
pub(super) fn told(mut program: Command, prefix: &str, report: &mut Report<'_>) -> Result<(), Failure> {
    program.stderr(Stdio::inherit());
    for line in repo::output(program)?.lines() {
        let Told { name, value, n } = serde_json::from_str(line)?;
        report.figure(&format!("{prefix}{name}"), value, n);
    }
    Ok(())
}
