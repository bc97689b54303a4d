//! Log lines: on stderr without colours, for files and journals; and the last ones in memory, for `log show`.

use core::fmt::{Debug, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use cosmicsync_node::service::LogTail;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, registry, reload};

use crate::cli::Global;
use crate::config::{Log, LogFormat, LogLevel};
use crate::traces::Traces;

/// The filter of log lines, once logging has been started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Changes the filter of log lines; the format stays. Returns whether that succeeded.
pub(crate) fn reload(log: &Log, global: &Global) -> bool {
    FILTER.get().is_some_and(|handle| handle.reload(filter(log, global)).is_ok())
}

/// Returns the filter of log lines.
fn filter(log: &Log, global: &Global) -> EnvFilter {
    let level = match (log.level, global.verbose, global.quiet) {
        (_, 0, true) => "error",
        (_, 2.., _) | (LogLevel::Trace, ..) => "trace",
        (_, 1, _) | (LogLevel::Debug, ..) => "debug",
        (LogLevel::Info, ..) => "info",
        (LogLevel::Warn, ..) => "warn",
        (LogLevel::Error, ..) => "error",
    };
    ours(level)
}

/// Returns a filter for the lines and spans of our own crates: the log lines of a dependency are for developers.
pub(crate) fn ours(level: &str) -> EnvFilter {
    let ours = ["cosmicsync", "cosmicsync_node", "cosmicsync_protocol", "cosmicsync_api"];
    EnvFilter::new(ours.iter().fold("warn".to_owned(), |all, name| format!("{all},{name}={level}")))
}

/// Starts logging. Returns the store of the last lines, to which new lines are added. Later calls have no effect.
pub(crate) fn start(log: &Log, global: &Global, traces: &Traces) -> Arc<LogTail> {
    let tail = Arc::new(LogTail::default());
    let (filter, handle) = reload::Layer::new(filter(log, global));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.with_ansi(false).with_target(false).boxed(),
    };
    let lines = lines.and_then(Kept(Arc::clone(&tail))).with_filter(filter);
    let started = registry().with(lines).with(traces.layer()).try_init();
    if started.is_ok() {
        drop(FILTER.set(handle));
    } else {
        tracing::debug!("logging had been started before");
    }
    tail
}

/// Keeps the last lines in memory.
struct Kept(Arc<LogTail>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut text = Text::default();
        event.record(&mut text);
        let meta = event.metadata();
        let level = meta.level().as_str().to_ascii_lowercase();
        self.0.push(u64::try_from(now).unwrap_or(u64::MAX), &level, meta.target(), text.message + &text.fields);
    }
}

/// The message of a line and its fields, as text.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "a string takes every text");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let written = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "a string takes every text");
    }
}
