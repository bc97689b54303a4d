//! The `cosmicsync` binary: a node and its command line.
//!
//! `cli` is the grammar, `run` carries out a command line, and `output` prints. Only `terminal` reads the environment
//! and the terminal. Exit codes and output formats: `docs/cli.md`.

use std::io::{self, BufWriter, LineWriter, Write};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use cosmicsync_node::service::{ErrorCode, ServiceError};

use crate::cli::{Cli, OutputFormat, Verb};
use crate::config::{Log, LogLevel};
use crate::output::{Format, Output, error_text};
use crate::run::{Failure, Run};
use crate::table::Style;
use crate::terminal::Surroundings;

mod access;
mod clean;
mod cli;
mod config;
mod demo;
mod fault;
mod intents;
mod logging;
mod node;
mod output;
mod progress;
mod queried;
mod read_only;
mod run;
mod table;
mod terminal;
mod text_path;
mod traces;
mod up;

/// Documents are many small allocations that live shortly (`docs/decisions/0034-writing-new-documents.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(planted)]
    cosmicsync_node::planted::choose_from_environment();
    let surroundings = Surroundings::read();
    let matches = Cli::command().get_matches();
    let help = help_of(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let json = cli.global.output == OutputFormat::Json;
    fault::handle(json);
    let color = surroundings.colors(surroundings.stderr_tty, cli.global.no_color);
    let (global, space) = (cli.global.clone(), cli.verb.space().map(str::to_owned));
    let fail = |mut error: ServiceError| {
        let help = (error.code == ErrorCode::Usage).then_some(help);
        error.next = error.next.or(help).map(|next| global.about_same(space.as_deref(), &next));
        terminal::note(&error_text(&error, json, color));
        ExitCode::from(error.code.exit_code())
    };
    match execute(cli, &surroundings) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed it.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => fail(ServiceError::io("cannot write the output", &error)),
        Err(Failure::Service(error)) => fail(error),
        Err(Failure::Check) => ExitCode::from(ErrorCode::CheckFailed.exit_code()),
    }
}

/// Returns the help command for the given command line.
fn help_of(matches: &ArgMatches) -> String {
    let mut command = "cosmicsync".to_owned();
    let mut verb = matches.subcommand();
    while let Some((name, inner)) = verb {
        command = format!("{command} {name}");
        verb = inner.subcommand();
    }
    format!("{command} --help")
}

fn execute(cli: Cli, surroundings: &Surroundings) -> Result<(), Failure> {
    let Cli { global, verb } = cli;
    let dir = match (&global.dir, &verb) {
        (Some(dir), _) => dir.clone(),
        (None, Verb::Demo | Verb::Completions { .. }) => surroundings.temporary.clone(),
        (None, _) => surroundings.default_dir()?,
    };
    if !matches!(verb, Verb::Up(_)) {
        logging::start(&Log { level: LogLevel::Warn, ..Log::default() }, &global, &traces::Traces::default());
    }
    let style = match (surroundings.stdout_tty, surroundings.colors(surroundings.stdout_tty, global.no_color)) {
        (false, _) => Style::Tabs,
        (true, false) => Style::Columns,
        (true, true) => Style::Colors,
    };
    let stdout = io::stdout().lock();
    // A terminal gets each line at once, a pipe gets blocks.
    let mut writer: Box<dyn Write> =
        if surroundings.stdout_tty { Box::new(LineWriter::new(stdout)) } else { Box::new(BufWriter::new(stdout)) };
    let format = Format { json: global.output == OutputFormat::Json, style };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServiceError::io("cannot start", &error))?;
    let mut run = Run { global, surroundings, output: Output::new(&mut writer, format), dir };
    let result = runtime.block_on(run.verb(verb));
    // A thread that still reads stdin or a child's output must not keep the process alive.
    runtime.shutdown_background();
    writer.flush()?;
    result
}
