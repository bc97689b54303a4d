//! Log lines on stderr, without colours: they are read in files and journals.

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::cli::Global;
use crate::config::{Log, LogFormat, LogLevel};

/// Takes another filter, whatever formats the lines.
type Reload = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static RELOAD: OnceLock<Reload> = OnceLock::new();

/// Changes which lines are written; how they are written stays. Returns whether that worked.
pub(crate) fn reload(log: &Log, global: &Global) -> bool {
    RELOAD.get().is_some_and(|reload| reload(filter(log, global)))
}

/// Returns which lines are written.
fn filter(log: &Log, global: &Global) -> EnvFilter {
    let level = match (log.level, global.verbose, global.quiet) {
        (_, 0, true) => "error",
        (_, 2.., _) | (LogLevel::Trace, ..) => "trace",
        (_, 1, _) | (LogLevel::Debug, ..) => "debug",
        (LogLevel::Info, ..) => "info",
        (LogLevel::Warn, ..) => "warn",
        (LogLevel::Error, ..) => "error",
    };
    // Only our own crates: the level of a dependency is a developer's matter.
    let ours = ["cosmicsync", "cosmicsync_node", "cosmicsync_protocol", "cosmicsync_api"];
    EnvFilter::new(ours.iter().fold("warn".to_owned(), |all, name| format!("{all},{name}={level}")))
}

/// Starts logging. Call it once; later calls change nothing.
pub(crate) fn start(log: &Log, global: &Global) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(log, global)).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            drop(RELOAD.set(Box::new(move |filter| handle.reload(filter).is_ok())));
            lines.try_init()
        }
        LogFormat::Text => {
            let lines = lines.with_ansi(false).with_target(false).with_filter_reloading();
            let handle = lines.reload_handle();
            drop(RELOAD.set(Box::new(move |filter| handle.reload(filter).is_ok())));
            lines.try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
}
