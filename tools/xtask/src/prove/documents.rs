//! `doc-merge` and `doc-versions`: documents that several devices create, edit, delete and create again apart from each
//! other lose nothing, and their earlier versions are those of the replicas at that time
//! (`data/examples/documents.rs`).

use super::node::number;
use super::{Report, Setting};
use crate::{Failure, repo};
use serde_json::Value;

/// Number of histories of one keyed document.
const HISTORIES: u64 = 100_000;

/// Proves `doc-merge`.
pub(super) fn merge(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let told = told(HISTORIES)?;
    let merged = told.get("merged").ok_or("nothing was merged")?;
    let cases = number(merged, "histories")?;
    for (workload, member) in [
        ("edits", "edits"),
        ("characters and items that nobody deleted who saw them", "standing"),
        ("of those, listed beside the value", "listed"),
        ("of those, neither shown nor listed", "missing"),
        ("deleted and shown", "undead"),
        ("replicas that differ", "differing"),
        ("documents wrongly deleted, or not", "wrongly_gone"),
        ("histories with a branch excluded and published again", "republished"),
    ] {
        report.figure(workload, number(merged, member)? as f64, cases);
    }
    Ok(())
}

/// Proves `doc-versions`.
pub(super) fn versions(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let told = told(1)?;
    let versions = told.get("versions").ok_or("no version was read")?;
    let read = number(versions, "read")?;
    report.figure("versions read in 100 histories", read as f64, read);
    report.figure("of those, other than a replica had then", number(versions, "wrong")? as f64, read);
    report.figure("reverts, there and back, that end elsewhere", number(versions, "reverted_wrong")? as f64, read);
    report.figure("differences that do not lead to the later value", number(versions, "patched_wrong")? as f64, read);
    Ok(())
}

fn told(histories: u64) -> Result<Value, Failure> {
    let package = ["--package", "cosmicsync-data", "--features", "testkit", "--example", "documents"];
    repo::output(repo::cargo(&[&["build", "--release", "--quiet"], &package[..]].concat()))?;
    let program = repo::target().join("release/examples/documents");
    let mut command = repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?);
    command.arg(histories.to_string());
    Ok(serde_json::from_str(&repo::output(command)?)?)
}
