//! Attacks: `volume`, the shipped core in memory, as often as it takes; `siege`, a running node over sockets.
//!
//! Both print one JSON object with what was done and how links ended; `cargo xtask prove hostile` judges it.

mod crowd;
mod siege;
mod volume;
mod wire;

use clap::Parser;
use std::io::Write as _;
use std::process::ExitCode;

/// Why an attack could not be carried out.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, clap::Parser)]
enum Command {
    /// Has a hostile member lie to the core in memory
    Volume(volume::Args),
    /// Joins a space by its invite, and turns on the inviter
    Siege(siege::Args),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Volume(args) => volume::run(&args),
        Command::Siege(args) => siege::run(&args),
    };
    match done.and_then(|report| Ok(writeln!(std::io::stdout(), "{report}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}
