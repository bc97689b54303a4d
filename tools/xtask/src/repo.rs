//! The repository: its root, its files, and the dependencies of its packages.

use crate::Failure;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root directory: two levels above this package.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("xtask lies in tools/xtask").to_path_buf()
}

/// Returns cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns a command that runs in the root directory, with the project's own tools on the search path.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", crate::toolbox::search_path());
    command
}

/// Returns a cargo command that runs in the root directory, without the environment variables of the cargo that runs
/// this program. Some build scripts depend on these, and would build again what `cargo build` has built already.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = command("cargo");
    let ours = ["CARGO_PKG_", "CARGO_MANIFEST_"];
    for (name, _) in std::env::vars_os() {
        if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// Runs a command with little output, and returns the output.
pub(crate) fn output(mut command: Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot start {name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Lists the files of the repository relative to its root: tracked ones, and new ones that git does not ignore.
pub(crate) fn files() -> Result<Vec<PathBuf>, Failure> {
    let mut git = command("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut files: Vec<_> = output(git)?.split_terminator('\0').map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// The part of `cargo metadata` that tasks read.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

/// One workspace package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One entry of a package's dependency tables.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
}

/// One library, program, example, test or benchmark.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// Reads the workspace's packages.
pub(crate) fn metadata() -> Result<Metadata, Failure> {
    let json = output(cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    Ok(serde_json::from_str(&json)?)
}
