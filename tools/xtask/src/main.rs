//! Project tasks: what a person, CI and a reviewer run.
//!
//! Each task is a module of its own. `test` runs them all with a time budget per step; `prove` runs the command
//! behind every claim the project makes. Nothing here is linked into the product.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program prints its results")]

mod bench;
mod check;
mod deny;
mod glob;
mod prove;
mod repo;
mod step;
mod tidy;
mod toolbox;
mod vectors;
mod verify;
mod walkthrough;
mod wasm;

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// A failure whose text tells what to do next.
type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project tasks", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// How a task prints its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table or lines for a person.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Checks the rules that compilers do not: crate arrows, file sizes, pure crates, links, invariants
    Tidy {
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Runs every check and test, with a time budget per step
    Test {
        /// Runs only the steps with these names (see the table a run ends with)
        steps: Vec<String>,
    },
    /// Runs `test` and then checks that the run changed no file of the repository
    Ci,
    /// Regenerates `spec/vectors/*.json`
    Vectors {
        /// Fails, and writes nothing, when a vector would change
        #[arg(long)]
        check: bool,
    },
    /// Runs the independent verifier of spec/verify: the vectors, and a live node
    Verify(verify::Args),
    /// Builds the pure crates for wasm32-unknown-unknown and drives them in Node.js, installing what that needs
    Wasm,
    /// Lists the project's claims and runs the command behind each
    Prove(prove::Args),
    /// Runs the benchmarks; arguments go to criterion
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Tidy { output } => tidy::run(output),
        Task::Test { steps } => check::test(&steps),
        Task::Ci => check::ci(),
        Task::Vectors { check } => vectors::run(check),
        Task::Verify(args) => verify::run(&args),
        Task::Wasm => wasm::run(),
        Task::Prove(args) => prove::run(&args),
        Task::Bench { args } => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
