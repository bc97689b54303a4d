//! `data-selectors`: selectors match like those of mingo, and values sort like those of pouchdb-collate, except for the
//! exceptions in `spec/query.md` (`data/examples/selectors`, `benches/peers/selectors`).

use super::{Report, Setting};
use crate::{Failure, repo};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::Command;

/// Number of pairs of each kind.
const PAIRS: u64 = 1_000_000;
/// Least number of pairs with each operator.
const EACH: u64 = 1_000;
/// Seed of the pairs.
const SEED: u64 = 1;
/// Number of differences that are shown.
const SHOWN: u64 = 10;
/// Directory of the peers.
const PEERS: &str = "benches/peers/selectors";
/// This project's answer about a pair.
#[derive(Debug, Deserialize)]
struct Pair {
    ours: String,
    /// The exceptions that the pair touches.
    may: Vec<String>,
    #[serde(default)]
    operators: Vec<String>,
}

/// Result of the pairs of one kind.
#[derive(Debug, Default)]
struct Outcome {
    pairs: u64,
    matching: u64,
    /// Number of pairs that touch no exception.
    plain: u64,
    unexplained: u64,
    /// Number of differences, by the exceptions that the pair touches. A pair with several is counted for each.
    explained: BTreeMap<String, u64>,
    operators: BTreeMap<String, u64>,
}

/// Proves the claim.
pub(super) fn prove(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    install()?;
    // Built without optimisation, so that overflows are detected; dependencies are optimised.
    let package = ["--package", "cosmicsync-data", "--features", "testkit", "--example", "selectors"];
    repo::output(repo::cargo(&[&["build", "--quiet"], &package[..]].concat()))?;
    let directory = tempfile::tempdir()?;
    let matched = compare(directory.path(), "match", "match.mjs")?;
    let ordered = compare(directory.path(), "order", "collate.mjs")?;
    let mut named = ours()?;
    named.arg("operators");
    let operators = repo::output(named)?;
    let rare = operators.lines().filter(|name| matched.operators.get(*name) < Some(&EACH)).count();
    report.figure("selectors: pairs", matched.pairs as f64, matched.pairs);
    report.figure("selectors: pairs that match", matched.matching as f64, matched.pairs);
    report.figure("selectors: pairs that touch no exception", matched.plain as f64, matched.pairs);
    report.figure("selectors: operators in fewer than 1000 pairs", rare as f64, matched.pairs);
    report.figure("selectors: differences without an exception", matched.unexplained as f64, matched.pairs);
    for (name, count) in &matched.explained {
        report.figure(&format!("selectors: differences by \"{name}\""), *count as f64, matched.pairs);
    }
    report.figure("order: pairs", ordered.pairs as f64, ordered.pairs);
    report.figure("order: pairs that touch no exception", ordered.plain as f64, ordered.pairs);
    report.figure("order: differences without an exception", ordered.unexplained as f64, ordered.pairs);
    for (name, count) in &ordered.explained {
        report.figure(&format!("order: differences by \"{name}\""), *count as f64, ordered.pairs);
    }
    Ok(())
}

/// Installs the peers in the versions of their lockfile.
fn install() -> Result<(), Failure> {
    for program in ["node", "npm"] {
        let mut command = repo::command(program);
        command.arg("--version");
        repo::output(command)
            .map_err(|error| format!("{error}; install Node.js 20 or later with npm for the peers"))?;
    }
    let mut npm = repo::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", PEERS]);
    repo::output(npm).map(drop)
}

/// Compares a peer's answers with this project's.
fn compare(directory: &Path, kind: &str, script: &str) -> Result<Outcome, Failure> {
    let (pairs, answers) = (directory.join(kind), directory.join(script));
    let mut ours = ours()?;
    ours.args([kind, &SEED.to_string(), &PAIRS.to_string()]).stdout(File::create(&pairs)?);
    succeed(ours)?;
    let mut peer = repo::command("node");
    peer.arg(format!("{PEERS}/{script}")).stdin(File::open(&pairs)?).stdout(File::create(&answers)?);
    succeed(peer)?;
    let mut outcome = Outcome::default();
    let mut theirs = lines(&answers)?;
    for line in lines(&pairs)? {
        let line = line?;
        let theirs = theirs.next().ok_or("the peer answered too few lines")??;
        outcome.add(serde_json::from_str(&line)?, &theirs, &line);
    }
    if theirs.next().is_some() { Err("the peer answered too many lines".into()) } else { Ok(outcome) }
}

/// Returns the command for this project's answers (`data/examples/selectors`).
fn ours() -> Result<Command, Failure> {
    let program = repo::target().join("debug/examples/selectors");
    Ok(repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?))
}

fn lines(path: &Path) -> Result<Lines<BufReader<File>>, Failure> {
    Ok(BufReader::new(File::open(path)?).lines())
}

fn succeed(mut command: Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{:?} failed: {status}", command.get_program()).into()) }
}

impl Outcome {
    fn add(&mut self, pair: Pair, theirs: &str, line: &str) {
        self.pairs += 1;
        self.matching += u64::from(pair.ours == "true");
        self.plain += u64::from(pair.may.is_empty());
        for operator in pair.operators {
            *self.operators.entry(operator).or_default() += 1;
        }
        if pair.ours == theirs {
            return;
        }
        if pair.may.is_empty() {
            self.unexplained += 1;
            if self.unexplained <= SHOWN {
                eprintln!("data-selectors: the peer says {theirs} of {line}");
            }
        }
        for name in pair.may {
            *self.explained.entry(name).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_unless_an_exception_explains_it() {
        let mut outcome = Outcome::default();
        let mut add = |ours: &str, may: &[&str], theirs: &str| {
            let may = may.iter().map(|name| (*name).to_owned()).collect();
            outcome.add(Pair { ours: ours.into(), may, operators: vec!["$eq".into()] }, theirs, "");
        };
        add("true", &[], "true");
        add("true", &["a"], "false");
        add("false", &["a"], "false");
        add("false", &[], "error");
        assert_eq!((outcome.pairs, outcome.matching, outcome.plain, outcome.unexplained), (4, 2, 2, 1));
        assert_eq!(outcome.explained, BTreeMap::from([("a".into(), 1)]));
        assert_eq!(outcome.operators, BTreeMap::from([("$eq".into(), 4)]));
    }
}
