//! Figures printed by a script or an example: one line of JSON for each, `{"name": ..., "value": ..., "n": ...}`.

use super::Report;
use crate::{Failure, repo};
use serde::Deserialize;
use std::process::{Command, Stdio};

/// A printed figure.
#[derive(Debug, Deserialize)]
struct Told {
    name: String,
    value: f64,
    n: u64,
}

/// Runs a program and reports its figures, each under `prefix` and its name. Its stderr is shown.
pub(super) fn told(mut program: Command, prefix: &str, report: &mut Report<'_>) -> Result<(), Failure> {
    program.stderr(Stdio::inherit());
    for line in repo::output(program)?.lines() {
        let Told { name, value, n } = serde_json::from_str(line)?;
        report.figure(&format!("{prefix}{name}"), value, n);
    }
    Ok(())
}
