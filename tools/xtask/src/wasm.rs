//! Builds the pure crates for wasm32-unknown-unknown and runs them in Node.js.
//!
//! A toolchain with the target (`rustup target add wasm32-unknown-unknown`) is used as it is. If none can be fetched,
//! Debian's compiler builds the target's standard library from Debian's source package. This needs `rustc-web`,
//! `rust-web-src` and `lld-22`, which are installed here if the process may.

use crate::{Failure, repo, step};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "lld-22"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Builds `protocol`, `data` and the smoke module, reports the module's size and runs it under Node.js.
pub(crate) fn run() -> Result<(), Failure> {
    let mut cargo = compiler()?;
    // A separate target directory, because another compiler must not invalidate the native build.
    cargo.args(["--target", TARGET, "--target-dir", "target/wasm", "--profile", "wasm"]);
    for package in ["cosmicsync-protocol", "cosmicsync-data", "cosmicsync-wasm"] {
        cargo.args(["--package", package]);
    }
    step::shown(cargo)?;
    let module = repo::root().join("target/wasm").join(TARGET).join("wasm/cosmicsync_wasm.wasm");
    println!("wasm: cosmicsync_wasm.wasm is {} KiB", std::fs::metadata(&module)?.len().div_ceil(1024));
    smoke(&module)
}

fn smoke(module: &Path) -> Result<(), Failure> {
    if !runs("node", "--version") {
        return Err("node is missing: install Node.js 20 or later to drive the module".into());
    }
    let mut node = repo::command("node");
    node.arg("tools/wasm/smoke.mjs").arg(module);
    step::shown(node)
}

/// Returns the `cargo build` of a compiler with the target, installing one if there is none.
fn compiler() -> Result<Command, Failure> {
    if target_library(&repo::output(rustc("rustc", &["--print", "sysroot"]))?).exists() {
        return Ok(repo::cargo(&["build"]));
    }
    if !debian_is_ready() {
        install()?;
    }
    let mut cargo = repo::cargo(&["build", "-Z", "build-std=std,panic_abort"]);
    cargo
        .env("RUSTC", DEBIAN_RUSTC)
        // A stable compiler builds its own standard library only with this variable.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-22");
    Ok(cargo)
}

fn rustc(program: &str, args: &[&str]) -> Command {
    let mut command = repo::command(program);
    command.args(args);
    command
}

fn target_library(sysroot: &str) -> PathBuf {
    Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET)
}

fn debian_is_ready() -> bool {
    let source = Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock");
    source.exists() && runs(DEBIAN_RUSTC, "--version") && runs("wasm-ld-22", "--version")
}

fn runs(program: &str, arg: &str) -> bool {
    rustc(program, &[arg]).output().is_ok_and(|output| output.status.success())
}

fn install() -> Result<(), Failure> {
    let apt = |args: &[&str]| {
        let mut apt = repo::command("apt-get");
        apt.args(["-q", "-o", "Acquire::Retries=5"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
        step::shown(apt)
    };
    let install = [&["install", "-y", "--no-install-recommends"], PACKAGES.as_slice()].concat();
    let installed = apt(&["update"]).and_then(|()| apt(&install));
    let hint =
        format!("install the target with `rustup target add {TARGET}`, or Debian's {} as root", PACKAGES.join(", "));
    installed.map_err(|failure| format!("{failure}\n  {hint}").into())
}
