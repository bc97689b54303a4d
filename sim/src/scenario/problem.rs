//! What is wrong with a scenario, and where it stands.

use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why a scenario cannot be used: all that was found wrong with it, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// There is at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The line as it stands.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed there, if that is more than a word.
    pub help: Option<String>,
}

impl ScenarioError {
    /// An error of what was found, which may be nothing.
    pub(super) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl From<Problem> for ScenarioError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if at > 0 { "\n\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string();
        let pad = " ".repeat(gutter.len());
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        writeln!(f, "{pad} |\n{gutter} | {}", self.source_line)?;
        write!(f, "{pad} | {}^", " ".repeat(self.column.saturating_sub(1)))?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n{pad} = {help}"))
    }
}

impl Problem {
    /// A problem at a byte of the text.
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            source_line: text[start..].lines().next().unwrap_or_default().to_owned(),
            message: message.into(),
            help: None,
        }
    }

    /// Says what is allowed.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Where each key of a file stands, by its path, such as `topology.peers` or `fault.2.for`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Places(BTreeMap<String, usize>);

impl Places {
    /// Notes where everything is.
    pub(super) fn of(root: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.note_table("", root);
        places
    }

    /// Where something stands; none if it is not there.
    pub(super) fn get(&self, path: &str) -> Option<usize> {
        self.0.get(path).copied()
    }

    /// Where something stands, or else what it is in; the beginning if that is not there either.
    pub(super) fn find(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(offset) = self.get(path) {
                return offset;
            }
            let Some((parent, _)) = path.rsplit_once('.') else { return 0 };
            path = parent;
        }
    }

    fn note_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.0.insert(path.clone(), key.span().start);
            self.note_value(&path, value);
        }
    }

    fn note_value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        if let Some(table) = value.get_ref().as_table() {
            self.note_table(path, table);
        } else if let Some(array) = value.get_ref().as_array() {
            for (at, item) in array.iter().enumerate() {
                let path = format!("{path}.{at}");
                self.0.insert(path.clone(), item.span().start);
                self.note_value(&path, item);
            }
        }
    }
}
