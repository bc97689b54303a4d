//! Reads a scenario from TOML. All mistakes are gathered, each with its line and key.
//!
//! Every `[[workload]]` and `[[fault]]` has a `kind`, which determines its other keys. Serde's tagged enums lose
//! the place of a key, so the tag is moved to the front here, and each table is read as its own kind. Serde stops
//! at the first mistake: that one is recorded and left out, and the rest of the table is read again.

use super::fault::After;
use super::keys::{Keys, listed, nearest};
use super::problem::{Places, Problem, ScenarioError};
use super::{CoreSettings, Fault, Head, LinkEntry, LinkQuality, Oracle, PeerEntry, Scenario, Span, Topology, Workload};
use crate::coverage;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Size of the largest scenario file, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// Time of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// A virtual time.
    At(Span),
    /// A logical point.
    After(After),
    /// Once after each event of the run, each in a run of its own.
    EveryEvent,
}

/// An item of a list, and its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    /// The item.
    pub what: T,
    /// Time of a fault; other items contain their time.
    pub when: When,
    /// Path of the item in the file, such as `fault.2`.
    pub(super) path: String,
}

/// Reads a scenario. References to peers and links are checked when it is expanded; after a mistake in the text,
/// they are checked at once, as far as possible.
///
/// # Errors
/// Fails if the text is not TOML, or has an unknown or missing key. The error lists all mistakes with their places
/// and the allowed input.
pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    if text.len() > BYTES_MAX {
        return Err(Problem::at(text, 0, format!("a scenario has at most {BYTES_MAX} bytes")).into());
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    // After a syntax error, further mistakes would be guesses.
    ScenarioError::check(errors.iter().map(|error| syntax(text, error)).collect())?;
    let places = Places::of(root.get_ref());
    let mut reader = Reader { text, problems: Vec::new() };
    let read = reader.scenario(root, places);
    let mut problems = reader.problems;
    if let Some(scenario) = &read
        && !problems.is_empty()
    {
        problems.extend(scenario.misfits());
    }
    ScenarioError::check(problems)?;
    read.ok_or_else(|| Problem::at(text, 0, "this is not a scenario").into())
}

fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    Problem::at(text, error.span().map_or(0, |span| span.start), error.message())
}

/// A table that is being read: its place and its keys.
struct Shape {
    span: Range<usize>,
    keys: Keys,
    help: String,
}

impl Shape {
    fn new(name: &str, span: Range<usize>, keys: Keys) -> Self {
        Self { span, help: keys.help(name), keys }
    }
}

/// Reads tables and gathers their mistakes.
struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    /// Reads all of it; `None` if the head cannot be read. List items that cannot be read are left out.
    fn scenario(&mut self, root: Spanned<DeTable<'t>>, places: Places) -> Option<Scenario> {
        let (mut root, span) = parts(root);
        let workloads = self.list(&mut root, "workload", |reader, table, span, path| {
            let what: Workload = reader.kind("Workload", table, span)?;
            Some(Placed { what, when: When::At(Span::default()), path })
        });
        let faults = self.list(&mut root, "fault", |reader, table, span, path| {
            let when = reader.when(table, &span);
            let what: Option<Fault> = reader.kind("Fault", table, span);
            Some(Placed { what: what?, when: when?, path })
        });
        let links = self.list(&mut root, "link", |reader, table, span, path| {
            let what: LinkEntry = reader.defined("LinkEntry", "[[link]]", table, span)?;
            Some(Placed { what, when: When::At(Span::default()), path })
        });
        let peers = self.list(&mut root, "peer", |reader, table, span, path| {
            let what: PeerEntry = reader.defined("PeerEntry", "[[peer]]", table, span)?;
            Some(Placed { what, when: When::At(Span::default()), path })
        });
        let mut shape = Shape::new("the top", span, Keys::head());
        // An unreadable topology is removed from the text, but must not be reported as missing.
        if root.get("topology").is_some() {
            shape.keys.needed.remove("topology");
            shape.keys.optional.insert("topology".to_owned());
        }
        if let Some(DeValue::Table(topology)) = root.get_mut("topology").map(Spanned::get_mut) {
            self.section::<LinkQuality>(topology, "link", "LinkQuality");
        }
        self.section::<Topology>(&mut root, "topology", "Topology");
        self.section::<CoreSettings>(&mut root, "core", "CoreSettings");
        self.section::<Oracle>(&mut root, "oracle", "Oracle");
        self.keys(&mut root, &shape);
        // The rest is checked without these two keys.
        for key in ["name", "about"].into_iter().filter(|key| places.get(key).is_none()) {
            let value = DeValue::String(Cow::Borrowed("nameless"));
            root.insert(Spanned::new(0..0, Cow::Borrowed(key)), Spanned::new(0..0, value));
        }
        let head: Head = self.values(&mut root, &shape, from_table)?;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if head.name.is_empty() || head.name.len() > 64 || !head.name.chars().all(allowed) {
            self.note(places.find("name"), "a name has 1 to 64 small letters, digits and hyphens");
        }
        Some(Scenario { head, links, peers, workloads, faults, text: self.text.to_owned(), places })
    }

    fn note(&mut self, offset: usize, message: impl Into<String>) {
        self.problems.push(Problem::at(self.text, offset, message));
    }

    /// Reads the tables of a list one by one.
    fn list<T>(
        &mut self,
        root: &mut DeTable<'t>,
        key: &str,
        read: impl Fn(&mut Self, &mut DeTable<'t>, Range<usize>, String) -> Option<T>,
    ) -> Vec<T> {
        let Some((value, span)) = root.remove(key).map(parts) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            self.note(span.start, format!("write [[{key}]], once for each"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let (item, span) = parts(item);
            if let DeValue::Table(mut table) = item {
                found.extend(read(self, &mut table, span, format!("{key}.{at}")));
            } else {
                self.note(span.start, format!("write [[{key}]], once for each"));
            }
        }
        found
    }

    /// Checks a table that occurs once at the top, and removes it if it cannot be read.
    fn section<T: for<'de> Deserialize<'de>>(&mut self, root: &mut DeTable<'t>, key: &str, defined: &str) {
        let Some(value) = root.get_mut(key) else { return };
        let span = value.span();
        let readable = if let DeValue::Table(table) = value.get_mut() {
            self.defined::<T>(defined, &format!("[{key}]"), table, span).is_some()
        } else {
            self.note(span.start, format!("write a table: [{key}]"));
            false
        };
        if !readable {
            root.remove(key);
        }
    }

    fn defined<T: for<'de> Deserialize<'de>>(
        &mut self,
        defined: &str,
        name: &str,
        table: &mut DeTable<'t>,
        span: Range<usize>,
    ) -> Option<T> {
        let shape = Shape::new(name, span, Keys::defined(defined));
        self.keys(table, &shape);
        self.values(table, &shape, from_table)
    }

    /// Reads a table whose `kind` determines its other keys.
    fn kind<T: for<'de> Deserialize<'de>>(
        &mut self,
        of: &str,
        table: &mut DeTable<'t>,
        span: Range<usize>,
    ) -> Option<T> {
        let kinds = Keys::kinds(of);
        let Some((kind, kind_span)) = table.remove("kind").map(parts) else {
            let help = format!("it is one of {}", listed(kinds));
            self.problems.push(Problem::at(self.text, span.start, "missing key `kind`").help(help));
            return None;
        };
        let DeValue::String(kind) = kind else {
            self.note(kind_span.start, "`kind` is a string");
            return None;
        };
        let Some(keys) = Keys::of_kind(of, &kind) else {
            let meant = meant(nearest(&kind, kinds.iter().copied()));
            let help = format!("it is one of {}", listed(kinds));
            let problem = Problem::at(self.text, kind_span.start, format!("unknown kind `{kind}`{meant}"));
            self.problems.push(problem.help(help));
            return None;
        };
        let shape = Shape::new(&format!("`{kind}`"), span, keys);
        self.keys(table, &shape);
        self.values(table, &shape, |table, span| {
            let mut outer = DeTable::new();
            let value = Spanned::new(span.clone(), DeValue::Table(table));
            outer.insert(Spanned::new(kind_span.clone(), Cow::Owned(kind.clone().into_owned())), value);
            from_table(outer, span)
        })
    }

    /// Records the unknown keys of a table, which are removed from it, and the missing ones.
    fn keys(&mut self, table: &mut DeTable<'t>, shape: &Shape) {
        let mut missing = shape.keys.needed.clone();
        let unknown: Vec<_> = table.keys().filter(|key| !shape.keys.has(key.get_ref())).cloned().collect();
        for key in unknown {
            let near = shape.keys.nearest(key.get_ref()).filter(|near| table.get(*near).is_none());
            // A misspelt required key is not reported as missing.
            near.map(|near| missing.remove(near));
            let message = format!("unknown key `{}`{}", key.get_ref(), meant(near));
            self.problems.push(Problem::at(self.text, key.span().start, message).help(&shape.help));
            table.remove(key.get_ref().as_ref());
        }
        missing.retain(|key| table.get(key.as_str()).is_none());
        if !missing.is_empty() {
            let message = format!("missing {}", listed(missing.iter().map(String::as_str)));
            self.problems.push(Problem::at(self.text, shape.span.start, message).help(&shape.help));
        }
    }

    /// Reads the values of a table. Values that cannot be read are removed from it.
    fn values<T>(
        &mut self,
        table: &mut DeTable<'t>,
        shape: &Shape,
        deserialize: impl Fn(DeTable<'t>, Range<usize>) -> Result<T, toml::de::Error>,
    ) -> Option<T> {
        loop {
            let error = match deserialize(table.clone(), shape.span.clone()) {
                Ok(found) => return Some(found),
                Err(error) => error,
            };
            let span = error.span().unwrap_or_else(|| shape.span.clone());
            let holds = |key: &Range<usize>, value: &Range<usize>| key.start <= span.start && span.end <= value.end;
            let found = table.iter().find(|(key, value)| holds(&key.span(), &value.span()));
            let found = found.map(|(key, _)| key.get_ref().to_string());
            // A missing field has been recorded.
            if found.is_some() || !error.message().starts_with("missing field") {
                self.value_problem(span.start, error.message());
            }
            table.remove(found?.as_str());
        }
    }

    /// Records a message of serde or the parser about a value, in the terms of the documentation.
    fn value_problem(&mut self, offset: usize, message: &str) {
        let words = [
            ("unknown variant", "unknown word"),
            ("unknown field", "unknown key"),
            ("missing field", "missing key"),
            ("a sequence", "a list"),
            ("an array of length", "a list of"),
            ("f64", "a number"),
            ("usize", "a whole number"),
            ("i64", "a whole number"),
            ("u64", "a whole number"),
            ("u32", "a whole number"),
            ("u16", "a whole number"),
            ("u8", "a whole number"),
        ];
        let plain = words.iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to));
        let unknown = plain.strip_prefix("unknown ").and_then(|rest| rest.split_once(", expected "));
        let Some((what, expected)) = unknown else { return self.note(offset, plain) };
        let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let known = quoted(expected);
        let near =
            quoted(what).first().and_then(|word| nearest(word, known.iter().map(String::as_str)).map(str::to_owned));
        let problem = Problem::at(self.text, offset, format!("unknown {what}{}", meant(near.as_deref())));
        self.problems.push(problem.help(format!("expected {expected}")));
    }

    /// Takes the keys for the time out of a fault.
    fn when(&mut self, table: &mut DeTable<'t>, span: &Range<usize>) -> Option<When> {
        let at = table.remove_entry("at");
        let after = table.remove_entry("after");
        let every = table.remove_entry("at_every_event");
        match (at, after, every) {
            (Some((_, at)), None, None) => {
                let start = at.span().start;
                let at = Span::deserialize(at.into_deserializer());
                at.map(When::At).map_err(|error| self.value_problem(start, error.message())).ok()
            }
            (None, Some((_, after)), None) => self.after(after),
            (None, None, Some((_, every))) if matches!(every.get_ref(), DeValue::Boolean(true)) => {
                Some(When::EveryEvent)
            }
            (None, None, Some((key, _))) => {
                self.note(key.span().start, "`at_every_event` is true or left out");
                None
            }
            _ => {
                let problem = Problem::at(self.text, span.start, "say when, in one way");
                let ways = "at = \"5s\", after = { event = \"handshake.done\", peer = 1 }, or at_every_event = true";
                self.problems.push(problem.help(ways));
                None
            }
        }
    }

    fn after(&mut self, after: Spanned<DeValue<'t>>) -> Option<When> {
        let (value, span) = parts(after);
        let DeValue::Table(mut table) = value else {
            self.note(span.start, "write a table, such as { event = \"handshake.done\", peer = 1 }");
            return None;
        };
        let event_at = table.get("event").map_or(span.start, |event| event.span().start);
        let after: After = self.defined("After", "`after`", &mut table, span)?;
        if !coverage::is_point(&after.event) {
            let meant = meant(nearest(&after.event, coverage::POINTS.iter().copied()));
            let problem = Problem::at(self.text, event_at, format!("unknown event `{}`{meant}", after.event));
            self.problems.push(problem.help(format!("it is one of {}", listed(coverage::POINTS.iter().copied()))));
            return None;
        }
        Some(When::After(after))
    }
}

fn from_table<T: for<'de> Deserialize<'de>>(table: DeTable<'_>, span: Range<usize>) -> Result<T, toml::de::Error> {
    T::deserialize(Spanned::new(span, DeValue::Table(table)).into_deserializer())
}

fn parts<T>(spanned: Spanned<T>) -> (T, Range<usize>) {
    let span = spanned.span();
    (spanned.into_inner(), span)
}

/// Returns the end of a message about a wrong name.
pub(super) fn meant(near: Option<&str>) -> String {
    near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default()
}
