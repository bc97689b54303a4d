//! Log lines on stderr, without colours: they are read in files and journals.

use tracing_subscriber::EnvFilter;

use crate::cli::Global;
use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging. Call it once; later calls change nothing.
pub(crate) fn start(log: &Log, global: &Global) {
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
        LogFormat::Text => lines.with_ansi(false).with_target(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
}
