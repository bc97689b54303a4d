//! The grammar of the command line. It only parses: no terminal, no files.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cosmicsync_sim::scenario::{Lane, Span};

use crate::report::shell_word;

/// Meaning of the exit code of every command.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0   everything that was asked for ran, and held
  1   a violation was found, or a seed did not run, or two traces differ, or nobody read on
  2   the command line, a scenario or a bundle was not understood
  3   not found
  4   refused: the lane cannot do what the scenario asks, or a bundle does not fail as it says
  6   a file could not be read or written
  70  a bug in this program";

/// The variable that names the scenarios directory.
const SCENARIOS: &str = "COSMICSYNC_SCENARIOS";

/// Breaks CosmicSync on purpose, and shows how.
#[derive(Debug, Parser)]
#[command(name = "cosmicsync-chaos", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print results for people, or one JSON object per line
    #[arg(short, long, global = true, value_enum, default_value_t = OutputFormat::Text, value_name = "text|json")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: OutputFormat,
    /// Print no progress and no notes
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Directory of scenarios that are found by name [default: scenarios/ here or above]
    #[arg(long, global = true, value_name = "DIR", env = SCENARIOS)]
    pub(crate) scenarios: Option<PathBuf>,
}

impl Global {
    /// Adds the scenarios directory to a suggested command, unless it is that of the environment.
    pub(crate) fn about_same(&self, next: &str) -> String {
        let ours = |dir: &&PathBuf| std::env::var_os(SCENARIOS).is_none_or(|variable| variable != dir.as_os_str());
        match self.scenarios.as_ref().filter(ours) {
            Some(dir) if !next.contains("--scenarios") => {
                let command = format!("cosmicsync-chaos --scenarios {} ", shell_word(&dir.display().to_string()));
                next.replacen("cosmicsync-chaos ", &command, 1)
            }
            _ => next.to_owned(),
        }
    }
}

/// Format of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Tables on a terminal, tab-separated lines in a pipe
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a scenario
    Run(Run),
    /// Run many random fault plans
    Campaign(Campaign),
    /// Run real processes under random faults for a long time
    Soak(Soak),
    /// Run a failure again
    Replay(Replay),
    /// Find the smallest plan that fails in the same way
    Shrink(Shrink),
    /// Draw a run as a diagram, and state in plain English why it failed
    Explain(Explain),
    /// Compare two runs: results, plans, and the first difference
    Diff {
        /// A bundle, a plan, the name of a kept one, or SCENARIO@SEED
        a: PathBuf,
        /// Another one
        b: PathBuf,
    },
    /// Write one HTML page about runs, with a diagram of each failure
    Report(PageOf),
    /// Count the events, marks, faults and states that are met, by scenario
    Coverage(Coverage),
    /// List the scenarios
    List,
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Run a plan from stdin and print its report
    #[command(hide = true)]
    ExecPlan {
        /// Print the trace too
        #[arg(long)]
        trace: bool,
    },
}

impl Verb {
    /// Returns whether the command's exit code reports that something holds. It then must not be 0 before all was
    /// checked.
    pub(crate) const fn judges(&self) -> bool {
        match self {
            Self::Run(_)
            | Self::Campaign(_)
            | Self::Soak(_)
            | Self::Replay(_)
            | Self::Shrink(_)
            | Self::Diff { .. }
            | Self::Report(_)
            | Self::Coverage(_) => true,
            Self::Explain(_) | Self::List | Self::Schema | Self::Completions { .. } | Self::ExecPlan { .. } => false,
        }
    }
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A file, or the name of one in the scenarios directory
    pub(crate) scenario: String,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Number of seeds, counted from the first
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Print the trace of each run
    #[arg(long)]
    pub(crate) trace: bool,
    /// Lane in which to run it
    #[arg(long, default_value = "core")]
    pub(crate) lane: Lane,
    #[command(flatten)]
    pub(crate) programs: Programs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Programs of the lane of processes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Programs {
    /// Program of peers in the lane `process` [default: `cosmicsync` beside this program]
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Another program for one peer, such as an older build: 1=FILE; may be repeated
    #[arg(long, value_name = "PEER=FILE", value_parser = other)]
    pub(crate) other: Vec<(usize, PathBuf)>,
}

fn other(text: &str) -> Result<(usize, PathBuf), String> {
    let parsed = text.split_once('=').and_then(|(peer, file)| Some((peer.parse().ok()?, PathBuf::from(file))));
    parsed.ok_or_else(|| "write a peer's number and a file, such as 1=old/cosmicsync".to_owned())
}

/// Options of `soak`.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Number of peers
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) peers: usize,
    /// Duration of work and faults
    #[arg(long = "for", value_name = "TIME", default_value = "10min")]
    pub(crate) lasts: Span,
    /// The seed of the timetable
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Directory for bundles
    #[arg(long, value_name = "DIR", default_value = "chaos-bundles")]
    pub(crate) bundles: PathBuf,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

/// Options of `campaign`.
#[derive(Debug, Args)]
pub(crate) struct Campaign {
    /// Number of seeds
    #[arg(long, value_name = "N")]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) from: u64,
    /// Choice of faults: some kinds often, or all of them evenly
    #[arg(long, value_enum, default_value_t = Profile::Swarm)]
    pub(crate) profile: Profile,
    /// Begin no seed after this long; seeds left are reported as cancelled
    #[arg(long, value_name = "TIME")]
    pub(crate) time_limit: Option<Span>,
    /// Stop at the first violation; seeds left are reported as cancelled
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Continue a process two to five times: copied, restored, or resumed with its memory
    #[arg(long)]
    pub(crate) copies: bool,
    /// Have all peers make the same few documents, apart from each other
    #[arg(long)]
    pub(crate) apart: bool,
    /// Demand the impossible, so that seeds must fail
    #[arg(long)]
    pub(crate) canary: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of commands that run plans.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Directory for bundles
    #[arg(long, value_name = "DIR", default_value = "chaos-bundles")]
    pub(crate) bundles: PathBuf,
    /// Number of runs at one time [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Write bundles of runs that hold, too
    #[arg(long)]
    pub(crate) keep: bool,
    /// Write one HTML page about all runs
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Run each plan in a process of its own
    #[arg(long)]
    pub(crate) fresh_process: bool,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A bundle, a plan, the name of a kept one (a file in the scenarios directory's `regressions`), or SCENARIO@SEED
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Print the trace
    #[arg(long)]
    pub(crate) trace: bool,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

/// Options of `shrink`.
#[derive(Debug, Args)]
pub(crate) struct Shrink {
    /// A bundle, a plan, the name of a kept one, or SCENARIO@SEED
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Path of the small bundle [default: beside the bundle, as *.shrunk.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Limit on the number of runs
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) runs_max: u64,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A bundle, a plan, the name of a kept one, or SCENARIO@SEED
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Path of the diagram [default: beside the bundle, as *.svg]
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Begin at this virtual time [default: shortly before the last faults]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Span>,
    /// End at this virtual time [default: shortly after the violation]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Span>,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct PageOf {
    /// Bundles, plans, names of kept ones, or SCENARIO@SEED
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Path of the page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,
}

/// Options of `coverage`.
#[derive(Debug, Args)]
pub(crate) struct Coverage {
    /// Files or names of scenarios [default: all, or none with --campaign]
    #[arg(value_name = "SCENARIO")]
    pub(crate) names: Vec<String>,
    /// Number of seeds for each scenario
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Number of random fault plans
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) campaign: u64,
    /// Choice of their faults
    #[arg(long, value_enum, default_value_t = Profile::Swarm)]
    pub(crate) profile: Profile,
    /// Let one process of each random plan continue two to five times
    #[arg(long)]
    pub(crate) copies: bool,
    /// Let all peers of random plans make the same few documents
    #[arg(long)]
    pub(crate) apart: bool,
    /// Runs at a time [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

/// Choice of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Each seed turns on some kinds of fault and not others
    Swarm,
    /// Each seed draws from all kinds of fault
    Uniform,
}
