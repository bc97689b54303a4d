//! `sim madsim`: builds and runs the lane of interleavings (`node/runtime/examples/interleave`).
//!
//! madsim needs `--cfg madsim` in every crate, so the lane has a target directory of its own, and the default build
//! contains none of it.

use crate::{Failure, repo, step};
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::Command;

/// Number of seeds of each workload, unless the caller names another.
const SEEDS: u64 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the lane
    lane: Lane,
    /// Number of seeds of each workload
    #[arg(default_value_t = SEEDS)]
    seeds: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lane {
    /// Orders of tasks, under madsim
    Madsim,
}

/// Runs seeds of every workload. A violation, or two traces of one seed, fail.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match args.lane {
        Lane::Madsim => {}
    }
    let mut program = Command::new(madsim(false)?);
    program.args(["0", &args.seeds.to_string()]);
    let output = repo::output(program)?;
    let bad: Vec<&str> = output.lines().filter(|line| line.starts_with("bad ")).collect();
    println!("{}", output.lines().last().unwrap_or_default());
    if bad.is_empty() { Ok(()) } else { Err(bad.join("\n").into()) }
}

/// Builds the program of the lane, with planted bugs or without; returns its path.
pub(crate) fn madsim(planted: bool) -> Result<PathBuf, Failure> {
    let target = repo::root().join("target/madsim");
    let mut build = repo::cargo(&["build", "--release", "--package", "cosmicsync-node", "--example", "interleave"]);
    // Madsim's own sources are checked with this setting too, so it is for all crates.
    build.args(["--target-dir".as_ref(), target.as_os_str()]).env("RUSTFLAGS", "--cfg madsim");
    if planted {
        build.env("RUSTC_WORKSPACE_WRAPPER", repo::root().join("tools/planted.sh"));
    }
    step::shown(build)?;
    Ok(target.join("release/examples/interleave"))
}
