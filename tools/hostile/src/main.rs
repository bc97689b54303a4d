//! Attacks on the product: `volume` attacks the core in memory, `siege` a running node over sockets.
//!
//! Both print one JSON object with the number of attacks and the ends of links; `cargo xtask prove hostile` judges it.

mod crowd;
mod siege;
mod volume;
mod wire;

use clap::Parser;
use std::io::Write as _;
use std::process::ExitCode;

/// An error that prevents an attack.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, clap::Parser)]
enum Command {
    /// Makes a hostile member lie to the core in memory
    Volume(volume::Args),
    /// Joins a space by its invite, and attacks the inviter
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
