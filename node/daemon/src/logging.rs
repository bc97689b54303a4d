//! Log lines on stderr.

use tracing_subscriber::EnvFilter;

use crate::cli::Global;
use crate::config::{Log, LogFormat, LogLevel};
use crate::terminal::Surroundings;

/// Starts logging. Call it once; later calls change nothing.
pub(crate) fn start(log: &Log, global: &Global, surroundings: &Surroundings) {
    let level = match (log.level, global.verbose, global.quiet) {
        (_, 0, true) => "error",
        (_, 2.., _) | (LogLevel::Trace, ..) => "trace",
        (_, 1, _) | (LogLevel::Debug, ..) => "debug",
        (LogLevel::Info, ..) => "info",
        (LogLevel::Warn, ..) => "warn",
        (LogLevel::Error, ..) => "error",
    };
    // Only our own crates: the level of a dependency is a developer's matter.
    let filter = EnvFilter::new(format!("warn,cosmicsync={level},cosmicsync_node={level},cosmicsync_protocol={level}"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => lines.json().try_init(),
        LogFormat::Text => {
            lines.with_ansi(surroundings.colors(surroundings.stderr_tty, global.no_color)).with_target(false).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
}
