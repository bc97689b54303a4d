//! `prove`: lists the claims of the project and runs the command behind each.
//!
//! A proof drives the released program as real processes and reports figures. Each figure must have a row in the table,
//! each row of the selected claims must get a figure from at least one case, and every limit must hold. Anything else
//! fails, so that the project makes no claim that nobody can check.

mod api_console;
mod api_doors;
mod claims;
mod client;
mod clone;
mod cold;
mod cost;
mod crash;
mod damaged;
mod data_crash;
mod data_fast;
mod data_input;
mod data_sim;
mod doc_fast;
mod documents;
mod figures;
mod hostile;
mod import;
mod input;
mod node;
mod records;
mod report;
mod selectors;
mod sessions;
mod sim_core;
mod sim_lanes;
mod sim_madsim;
mod sim_process;
mod sim_tool;
mod sim_turmoil;
mod spec;
mod traces;
mod xml;

use crate::{Failure, Output, glob, repo, step};
use claims::Claims;
pub(crate) use report::Report;
use std::path::{Path, PathBuf};

/// The code behind a claim: measures, and reports figures.
type Proof = fn(&Setting, &mut Report<'_>) -> Result<(), Failure>;

/// The proofs, by the id of their claim.
const PROOFS: &[(&str, Proof)] = &[
    ("import", import::prove),
    ("traces", traces::prove),
    ("cost", cost::prove),
    ("crash", crash::prove),
    ("doc-merge", documents::merge),
    ("doc-versions", documents::versions),
    ("doc-fast", doc_fast::prove),
    ("data-selectors", selectors::prove),
    ("data-crash", data_crash::prove),
    ("data-fast", data_fast::prove),
    ("data-input", data_input::prove),
    ("data-sim", data_sim::prove),
    ("clone", clone::prove),
    ("sessions", sessions::prove),
    ("sim-core", sim_core::prove),
    ("sim-turmoil", sim_turmoil::prove),
    ("sim-madsim", sim_madsim::prove),
    ("sim-process", sim_process::prove),
    ("sim-tool", sim_tool::prove),
    ("sim-lanes", sim_lanes::prove),
    ("spec", spec::prove),
    ("hostile", hostile::prove),
    ("doc-damaged", damaged::prove),
    ("api-console", api_console::prove),
    ("api-contract", api_doors::contract),
    ("api-locked", api_doors::locked),
    ("api-hostile", api_doors::hostile),
    ("api-fast", api_doors::fast),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Claims to prove, with `*` for any text, then files to prove them on; without any, proves all on the project's
    /// samples
    #[arg(value_name = "CLAIM|FILE")]
    arguments: Vec<String>,
    /// Lists the claims without proving them
    #[arg(long)]
    list: bool,
    /// Uses the existing release build, without building it
    #[arg(long)]
    no_build: bool,
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// The setting of a proof.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The release build of `cosmicsync`.
    pub(crate) binary: PathBuf,
    /// The caller's files; empty means the project's samples.
    pub(crate) files: Vec<PathBuf>,
}

impl Setting {
    /// Returns the caller's files, or the samples `names`, which are outside of the repository: in `$COSMICSYNC_DATA`,
    /// else in `../shared/data`.
    pub(crate) fn files_or(&self, names: &[&str]) -> Result<Vec<PathBuf>, Failure> {
        if !self.files.is_empty() {
            return Ok(self.files.clone());
        }
        let folder = std::env::var_os("COSMICSYNC_DATA").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| repo::root().join("../shared/data"));
        eprintln!("samples: {} (COSMICSYNC_DATA chooses another directory)", folder.display());
        let samples: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
        match samples.iter().find(|sample| !sample.exists()) {
            None => Ok(samples),
            Some(missing) => Err(format!(
                "{} is not there: set COSMICSYNC_DATA, or give files (`prove CLAIM FILE...`)",
                missing.display()
            )
            .into()),
        }
    }
}

/// Proves the selected claims.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let claims = Claims::parse(&std::fs::read_to_string(repo::root().join("tools/claims.toml"))?)?;
    let (patterns, files) = split(&args.arguments, &claims)?;
    let selected = select(&claims, &patterns);
    if args.list || (args.arguments.is_empty() && args.output == Output::Text) {
        list(&claims, &selected, args.output)?;
    }
    if args.list {
        return Ok(());
    }
    let mut report = Report::new(&claims, !files.is_empty(), args.output);
    if !args.no_build && PROOFS.iter().any(|(id, _)| selected.contains(id)) {
        let packages = ["--package", "cosmicsync", "--package", "crash-images", "--package", "floor"];
        step::shown(repo::cargo(&[&["build", "--release", "--quiet"], &packages[..]].concat()))?;
    }
    if !args.no_build && selected.contains(&"hostile") {
        // Built separately, so that the attacked program is not built with features for tests.
        step::shown(repo::cargo(&["build", "--release", "--quiet", "--package", "hostile"]))?;
    }
    let setting = Setting { binary: built("cosmicsync")?, files };
    prove(&selected, PROOFS, &setting, &mut report)?;
    report.finish(&selected)
}

/// Returns the path of a program's release build.
fn built(name: &str) -> Result<PathBuf, Failure> {
    let target = repo::target();
    Ok(std::path::absolute(target)?.join("release").join(name))
}

/// Runs each selected claim's proof. A failing proof must not prevent the next from running.
fn prove(
    selected: &[&str],
    proofs: &[(&str, Proof)],
    setting: &Setting,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    for id in selected {
        report.start(id);
        match proofs.iter().find(|(name, _)| name == id) {
            None => report.fail(format!("{id}: no proof")),
            Some((_, proof)) => {
                if let Err(failure) = proof(setting, report) {
                    report.fail(format!("{id}: {failure}"));
                }
            }
        }
        report.flush()?;
    }
    Ok(())
}

/// Splits the arguments into patterns of claims and existing files. The name of a claim takes precedence over a file.
fn split(arguments: &[String], claims: &Claims) -> Result<(Vec<String>, Vec<PathBuf>), Failure> {
    let (mut patterns, mut files) = (Vec::new(), Vec::new());
    for argument in arguments {
        if claims.ids().iter().any(|id| glob::matches(argument, "*", id)) {
            patterns.push(argument.clone());
        } else if Path::new(argument).exists() {
            files.push(std::path::absolute(argument)?);
        } else {
            let known = claims.ids().join(", ");
            return Err(format!("{argument} is neither a claim nor a file; the claims are {known}").into());
        }
    }
    if patterns.is_empty() && !files.is_empty() {
        return Err("name the claim to prove on these files: `cargo xtask prove CLAIM FILE...`".into());
    }
    Ok((patterns, files))
}

fn select<'a>(claims: &'a Claims, patterns: &[String]) -> Vec<&'a str> {
    let mut ids = claims.ids();
    ids.retain(|id| patterns.is_empty() || patterns.iter().any(|pattern| glob::matches(pattern, "*", id)));
    ids
}

fn list(claims: &Claims, selected: &[&str], output: Output) -> Result<(), Failure> {
    for row in claims.rows.iter().filter(|row| selected.contains(&row.id.as_str())) {
        match output {
            Output::Text => println!("{:<8} {:<72} {row} {}", row.id, row.workload, row.unit),
            Output::Json => {
                let (id, workload, unit, issue) = (&row.id, &row.workload, &row.unit, row.issue);
                let line = serde_json::json!({
                    "claim": id, "workload": workload, "unit": unit, "comparison": row.comparison,
                    "limit": row.limit.map(report::number), "issue": issue,
                });
                println!("{}", serde_json::to_string(&line)?);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
