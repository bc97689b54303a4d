//! From TOML to a scenario, with errors that point at the line and the key.
//!
//! Every `[[workload]]` and `[[fault]]` has a `kind` that says which other keys it takes. Serde's tagged enums lose track
//! of where a key stood, so the tag is moved to the front here, and each table is read as its own kind.

use super::fault::After;
use super::{Head, Scenario, Span};
use crate::coverage;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest scenario file, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// Why a scenario cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The line as it stands.
    pub source_line: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string();
        let pad = " ".repeat(gutter.len());
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        writeln!(f, "{pad} |\n{gutter} | {}", self.source_line)?;
        write!(f, "{pad} | {}^", " ".repeat(self.column.saturating_sub(1)))
    }
}

impl std::error::Error for ScenarioError {}

impl ScenarioError {
    /// An error at a byte of the text.
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            source_line: text[start..].lines().next().unwrap_or_default().to_owned(),
            message: message.into(),
        }
    }

    fn of(text: &str, error: &toml::de::Error) -> Self {
        Self::at(text, error.span().map_or(0, |span| span.start), error.message())
    }
}

/// When a fault happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At a time.
    At(Span),
    /// At a logical point.
    After(After),
    /// In one run after another, once after each event of the run.
    EveryEvent,
}

/// A workload or a fault, and where in the file it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    /// What it is.
    pub what: T,
    /// When a fault happens; a workload says so itself.
    pub when: When,
    offset: usize,
    keys: BTreeMap<String, usize>,
}

impl<T> Placed<T> {
    /// Where a key stands, or else the whole.
    pub(super) fn offset_of(&self, key: &str) -> usize {
        self.keys.get(key).copied().unwrap_or(self.offset)
    }
}

/// Reads a scenario. What it asks of peers and links is checked when it is expanded.
///
/// # Errors
/// When the text is no TOML, names something unknown, or lacks something; the error says where and what is allowed.
pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    if text.len() > BYTES_MAX {
        return Err(ScenarioError::at(text, 0, format!("a scenario has at most {BYTES_MAX} bytes")));
    }
    let wrong = |error: toml::de::Error| ScenarioError::of(text, &error);
    let (mut root, span) = parts(DeTable::parse(text).map_err(wrong)?);
    let workloads = tables(text, &mut root, "workload")?;
    let faults = tables(text, &mut root, "fault")?;
    let name_at = root.get("name").map_or(0, |name| name.span().start);
    let head = Head::deserialize(Spanned::new(span, DeValue::Table(root)).into_deserializer()).map_err(|error| {
        let mut found = wrong(error);
        found.message = plainly(&found.message);
        if found.message.contains("expected one of `name`") {
            found.message.push_str(", `workload`, `fault`");
        }
        found
    })?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if head.name.is_empty() || head.name.len() > 64 || !head.name.chars().all(allowed) {
        let message = "a name has 1 to 64 small letters, digits and hyphens";
        return Err(ScenarioError::at(text, name_at, message));
    }
    Ok(Scenario {
        head,
        workloads: workloads.into_iter().map(|table| placed(text, table, false)).collect::<Result<_, _>>()?,
        faults: faults.into_iter().map(|table| placed(text, table, true)).collect::<Result<_, _>>()?,
        text: text.to_owned(),
    })
}

fn parts<T>(spanned: Spanned<T>) -> (T, core::ops::Range<usize>) {
    let span = spanned.span();
    (spanned.into_inner(), span)
}

/// Takes the tables of an array out of the root.
fn tables<'t>(text: &str, root: &mut DeTable<'t>, key: &str) -> Result<Vec<Spanned<DeValue<'t>>>, ScenarioError> {
    match root.remove(key).map(parts) {
        None => Ok(Vec::new()),
        Some((DeValue::Array(tables), _)) => Ok(tables.into_iter().collect()),
        Some((_, span)) => Err(ScenarioError::at(text, span.start, format!("write [[{key}]], once for each"))),
    }
}

fn placed<T: for<'de> Deserialize<'de>>(
    text: &str,
    table: Spanned<DeValue<'_>>,
    timed: bool,
) -> Result<Placed<T>, ScenarioError> {
    let (value, span) = parts(table);
    let DeValue::Table(mut table) = value else {
        return Err(ScenarioError::at(text, span.start, "write a table with a `kind`"));
    };
    let keys = table.iter().map(|(key, _)| (key.get_ref().to_string(), key.span().start)).collect();
    let when = if timed { when(text, &mut table, span.start)? } else { When::At(Span::default()) };
    let Some((kind, kind_span)) = table.remove("kind").map(parts) else {
        return Err(ScenarioError::at(text, span.start, "missing key `kind`"));
    };
    let DeValue::String(kind) = kind else {
        return Err(ScenarioError::at(text, kind_span.start, "`kind` is a string"));
    };
    let mut outer = DeTable::new();
    outer.insert(
        Spanned::new(kind_span, Cow::Owned(kind.into_owned())),
        Spanned::new(span.clone(), DeValue::Table(table)),
    );
    let what = T::deserialize(Spanned::new(span.clone(), DeValue::Table(outer)).into_deserializer());
    let what = what.map_err(|error| {
        let mut found = ScenarioError::of(text, &error);
        found.message = plainly(&found.message);
        if timed && found.message.starts_with("unknown key") {
            found.message.push_str("; and when: `at`, `after` or `at_every_event`");
        }
        found
    })?;
    Ok(Placed { what, when, offset: span.start, keys })
}

/// What serde and the parser say, in the words of the documentation.
fn plainly(message: &str) -> String {
    match message.strip_prefix("unexpected keys in table: ").and_then(|rest| rest.split_once(", available keys: ")) {
        Some((unknown, known)) => {
            let known: Vec<&str> = known.split(", ").collect();
            format!("unknown key `{unknown}`, expected one of {}", listed(&known))
        }
        None => message
            .replace("unknown variant", "unknown kind")
            .replace("unknown field", "unknown key")
            .replace("missing field", "missing key"),
    }
}

/// Takes the keys that say when out of a fault.
fn when(text: &str, table: &mut DeTable<'_>, offset: usize) -> Result<When, ScenarioError> {
    let at = table.remove_entry("at");
    let after = table.remove_entry("after");
    let every = table.remove_entry("at_every_event");
    let wrong = |error: toml::de::Error| ScenarioError::of(text, &error);
    match (at, after, every) {
        (Some((_, at)), None, None) => Span::deserialize(at.into_deserializer()).map(When::At).map_err(wrong),
        (None, Some((_, after)), None) => {
            let start = after.span().start;
            let after = After::deserialize(after.into_deserializer()).map_err(wrong)?;
            if !coverage::is_point(&after.event) {
                let message = format!("unknown event `{}`, expected one of {}", after.event, listed(coverage::POINTS));
                return Err(ScenarioError::at(text, start, message));
            }
            Ok(When::After(after))
        }
        (None, None, Some((_, every))) if matches!(every.get_ref(), DeValue::Boolean(true)) => Ok(When::EveryEvent),
        (None, None, Some((key, _))) => {
            Err(ScenarioError::at(text, key.span().start, "`at_every_event` is true or left out"))
        }
        _ => {
            let message = "say when, in one way: at = \"5s\", after = { event = \"handshake.done\", peer = 1 }, or at_every_event = true";
            Err(ScenarioError::at(text, offset, message))
        }
    }
}

/// Names as errors list them.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
