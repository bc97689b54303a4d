//! The `cosmicsync-chaos` binary: breaks CosmicSync on purpose, and shows how.
//!
//! `cli` is the grammar, `run` and `campaign` run plans through `pool`, `replay` and `shrink` work on bundles,
//! `process` runs them with real processes, `diff` compares runs, `explain` draws one, `page` writes pages, `coverage` counts, `output` prints. The simulator,
//! never this program, defines runs and their demands. Exit codes and output shapes: `docs/chaos.md`.

use std::io::{self, Read as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, OutputFormat, Verb};
use crate::error::{Code, Failure};
use crate::output::Output;

mod bundle;
mod campaign;
mod catalog;
mod cli;
mod coverage;
mod diff;
mod error;
mod explain;
mod output;
mod page;
mod pool;
mod process;
mod replay;
mod report;
mod run;
mod shrink;

/// Result of a command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Everything requested ran, and held.
    Held,
    /// A run violated something or did not end, or two traces differ.
    Red,
}

/// Output of commands.
type Stdout = Output<io::StdoutLock<'static>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.output == OutputFormat::Json;
    let judges = cli.verb.judges();
    let global = cli.global.clone();
    match execute(cli) {
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Red) => ExitCode::from(1),
        // Nothing is printed. A judging command has not come to its end, so it is never green.
        Err(Failure { code: Code::OutputClosed, .. }) => ExitCode::from(u8::from(judges)),
        Err(failure) => {
            let next = failure.next.as_ref().map(|next| global.about_same(next));
            let failure = Failure { next, ..failure };
            output::complain(&failure.text(json));
            ExitCode::from(failure.code.exit_code())
        }
    }
}

fn execute(cli: Cli) -> Result<Verdict, Failure> {
    let Cli { global, verb } = cli;
    let mut output = Output::stdout(global.output, global.quiet);
    match verb {
        Verb::Run(args) => run::run(&global, &args, &mut output),
        Verb::Campaign(args) => campaign::run(&args, &mut output),
        Verb::Soak(args) => process::soak(&args, &mut output),
        Verb::Replay(args) => replay::run(&args, &catalog::load(&global, &args.run)?, &mut output),
        Verb::Shrink(args) => shrink::run(&args, &catalog::load(&global, &args.run)?, &mut output),
        Verb::Explain(args) => explain::run(&args, &catalog::load(&global, &args.run)?, &mut output),
        Verb::Report(args) => page::run(&global, &args, &mut output),
        Verb::Coverage(args) => coverage::run(&global, &args, &mut output),
        Verb::Diff { a, b } => diff::run(&catalog::load(&global, &a)?, &catalog::load(&global, &b)?, &mut output),
        Verb::List => run::list(&global, &mut output),
        Verb::Schema => schema(&mut output),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cosmicsync-chaos", &mut script);
            output.raw(&String::from_utf8_lossy(&script))?;
            Ok(Verdict::Held)
        }
        Verb::ExecPlan { trace } => exec_plan(trace, &mut output),
    }
}

fn schema(output: &mut Stdout) -> Result<Verdict, Failure> {
    let text = serde_json::to_string_pretty(&cosmicsync_sim::scenario::schema())
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    output.raw(&text)?;
    output.raw("\n")?;
    Ok(Verdict::Held)
}

/// Runs a plan from stdin and prints its report, for a parent process that wants a fresh one.
fn exec_plan(trace: bool, output: &mut Stdout) -> Result<Verdict, Failure> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    let plan = serde_json::from_str(&text).map_err(|error| Failure::new(Code::Usage, format!("stdin: {error}")))?;
    let report = pool::execute(&plan, trace, false)?;
    let text = serde_json::to_string(&report).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    output.raw(&text)?;
    Ok(Verdict::Held)
}
