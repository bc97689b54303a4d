//! `test` and `ci`: every check, cheapest first, with a time budget per step.
//!
//! All native steps share one profile and one set of features, so the dependency tree is compiled once for checking
//! (clippy, rustdoc) and once for running (tests, examples, the binary); wasm has a target directory of its own.

use crate::{Failure, deny, repo, step, step::Steps, tidy, toolbox, vectors, verify, walkthrough, wasm};

/// One step: its name, its time budget in seconds on two cores with only the downloads cached, and its work.
type Step = (&'static str, u64, fn() -> Result<(), Failure>);

/// Cheap steps. All of them run, so that one run shows every simple mistake.
const CHEAP: &[Step] = &[("fmt", 10, fmt), ("tidy", 20, || tidy::run(crate::Output::Text)), ("deny", 60, deny::run)];

/// The other steps; they stop at the first failure.
const FULL: &[Step] = &[
    ("clippy", 300, clippy),
    ("build", 300, build),
    ("test", 420, tests),
    ("otlp", 240, otlp),
    ("doctest", 60, doc_tests),
    ("rustdoc", 60, rustdoc),
    ("docs", 60, walkthrough::run),
    ("vectors", 30, vectors_check),
    ("verify", 120, verify::check),
    ("wasm", 480, wasm::run),
];

/// Runs the named steps, or all of them.
pub(crate) fn test(names: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = names.iter().find(|name| CHEAP.iter().chain(FULL).all(|(known, ..)| known != name)) {
        let known: Vec<_> = CHEAP.iter().chain(FULL).map(|(name, ..)| *name).collect();
        return Err(format!("no step is called {unknown}; there are {}", known.join(", ")).into());
    }
    let wanted = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.0);
    let mut steps = Steps::default();
    let mut passed = true;
    for (name, budget_s, work) in CHEAP.iter().filter(wanted) {
        passed &= steps.run(name, *budget_s, work);
    }
    for (name, budget_s, work) in FULL.iter().filter(wanted) {
        if !passed {
            break;
        }
        passed = steps.run(name, *budget_s, work);
    }
    steps.finish()
}

/// Runs every step, then checks that the run left the repository as it was.
pub(crate) fn ci() -> Result<(), Failure> {
    let status = || {
        let mut git = repo::command("git");
        git.args(["status", "--porcelain"]);
        repo::output(git)
    };
    let before = status()?;
    test(&[])?;
    let after = status()?;
    if before == after { Ok(()) } else { Err(format!("the run changed files of the repository:\n{after}").into()) }
}

fn fmt() -> Result<(), Failure> {
    step::shown(repo::cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Failure> {
    step::shown(repo::cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-Dwarnings"]))
}

fn build() -> Result<(), Failure> {
    step::shown(repo::cargo(&["build", "--locked", "--workspace", "--bins", "--tests", "--examples"]))
}

fn tests() -> Result<(), Failure> {
    match toolbox::ensure_nextest() {
        Ok(()) => step::shown(repo::cargo(&["nextest", "run", "--locked", "--workspace", "--no-fail-fast"])),
        Err(failure) => {
            println!("{failure}\nrunning `cargo test` instead");
            let targets = ["--lib", "--bins", "--tests", "--examples", "--no-fail-fast"];
            step::shown(repo::cargo(&[&["test", "--locked", "--workspace"], targets.as_slice()].concat()))
        }
    }
}

/// Tests what only programs with traces have.
fn otlp() -> Result<(), Failure> {
    let features = ["--features", "cosmicsync/otlp", "--test", "traces"];
    step::shown(repo::cargo(&[&["test", "--locked", "--workspace"], features.as_slice()].concat()))
}

fn doc_tests() -> Result<(), Failure> {
    step::shown(repo::cargo(&["test", "--locked", "--workspace", "--doc"]))
}

fn rustdoc() -> Result<(), Failure> {
    let mut doc = repo::cargo(&["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    step::shown(doc)
}

/// Compares the vectors. Ordinary tests replay the corpora of `fuzz/`.
fn vectors_check() -> Result<(), Failure> {
    vectors::run(true)
}
