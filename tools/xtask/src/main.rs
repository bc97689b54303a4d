//! Project tasks for developers, CI and reviewers.
//!
//! Each task is a module of its own. `test` runs all checks with a time budget per step; `prove` runs the command
//! behind every claim of the project. Nothing here is linked into the product.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program prints its results")]

mod bench;
mod check;
mod deny;
mod glob;
mod mutants;
mod prove;
mod random;
mod repo;
mod sim;
mod step;
mod tidy;
mod toolbox;
mod vectors;
mod verify;
mod walkthrough;
mod wasm;

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// A failure whose text names the next step.
type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project tasks", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// Output format of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table or lines for a person.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Checks rules that compilers do not: dependencies of crates, file sizes, pure crates, links, invariants
    Tidy {
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Runs every check and test, with a time budget per step
    Test {
        /// Names of the steps to run (see the table at the end of a run)
        steps: Vec<String>,
    },
    /// Runs `test` and then checks that the run changed no file of the repository
    Ci,
    /// Regenerates `spec/vectors/*.json`
    Vectors {
        /// Fails if a vector would change, and writes nothing
        #[arg(long)]
        check: bool,
    },
    /// Runs the independent verifier of spec/verify: the vectors, and a live node
    Verify(verify::Args),
    /// Builds the pure crates for wasm32-unknown-unknown and runs them in Node.js, installing the tools for it
    Wasm,
    /// Lists the claims of the project and runs the command behind each
    Prove(prove::Args),
    /// Runs the driver under a scheduler that draws the order of its tasks: `cargo xtask sim madsim`
    Sim(sim::Args),
    /// Draws mistakes by machine, and tells which of them campaigns and tests find
    Mutants(mutants::Args),
    /// Runs the benchmarks; arguments are passed to criterion
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
        Task::Sim(args) => sim::run(&args),
        Task::Mutants(args) => mutants::run(&args),
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
