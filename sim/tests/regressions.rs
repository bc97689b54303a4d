//! Plans that once failed hold: every bundle of `scenarios/regressions/`. Those in `open/` still fail.

use cosmicsync_sim::{Plan, Violation, run};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The parts of a bundle that a regression needs.
#[derive(Debug, Deserialize)]
struct Regression {
    about: String,
    violation: Violation,
    /// The hash of the failing run; empty if it is not on record.
    trace_hash: String,
    plan: Plan,
}

/// Returns the bundles of a folder of `scenarios`; none if there is no such folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(folder);
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> Regression {
    let text = std::fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs the plan of a bundle. Returns the bundle and the first violation.
fn replayed(path: &Path) -> (Regression, Option<Violation>) {
    let regression = read(path);
    assert!(!regression.about.is_empty(), "{}: `about` says what the bug was", path.display());
    let report = run(&regression.plan).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (regression, report.violations.into_iter().next())
}

#[test]
fn what_was_mended_stays_mended() {
    let mut failures = Vec::new();
    for path in files("regressions") {
        let (regression, violation) = replayed(&path);
        if let Some(violation) = violation {
            let (name, was) = (path.display(), regression.violation.oracle);
            failures.push(format!("{name} ({}; it was {was}): {violation:?}", regression.about));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_open_failure_that_is_mended_is_noticed() {
    let held = files("regressions/open").into_iter().filter(|path| replayed(path).1.is_none());
    let held: Vec<_> = held.map(|path| path.display().to_string()).collect();
    assert!(held.is_empty(), "move them up to scenarios/regressions, they hold now: {held:?}");
}

#[test]
fn each_trace_hash_is_of_one_plan() {
    let mut of = BTreeMap::new();
    for path in ["regressions", "regressions/open"].into_iter().flat_map(files) {
        let hash = read(&path).trace_hash;
        if !hash.is_empty()
            && let Some(other) = of.insert(hash, path.clone())
        {
            panic!("{} has the hash of {}", path.display(), other.display());
        }
    }
    assert!(!of.is_empty());
}

#[test]
fn there_are_regressions_to_replay() {
    assert!(!files("regressions").is_empty());
}
