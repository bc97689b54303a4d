//! Plans that once failed hold: every bundle of `scenarios/regressions/`.

use cosmicsync_sim::{Plan, Violation, run};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The parts of a bundle that a regression needs.
#[derive(Debug, Deserialize)]
struct Regression {
    about: String,
    violation: Violation,
    plan: Plan,
}

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/regressions");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

#[test]
fn what_was_mended_stays_mended() {
    let mut failures = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let regression: Regression =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!regression.about.is_empty(), "{}: `about` says what the bug was", path.display());
        let report = run(&regression.plan).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Some(violation) = report.violations.first() {
            let (name, was) = (path.display(), regression.violation.oracle);
            failures.push(format!("{name} ({}; it was {was}): {violation:?}", regression.about));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn there_are_regressions_to_replay() {
    assert!(!files().is_empty());
}
