//! Mistakes in a scenario, with their places.

use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Error for a scenario that cannot be used: all mistakes found, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The mistakes; at least one.
    pub problems: Vec<Problem>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The text of the line.
    pub source_line: String,
    /// Description of the mistake.
    pub message: String,
    /// Description of the allowed input, if it is more than a single word.
    pub help: Option<String>,
}

impl ScenarioError {
    /// Makes an error of these mistakes, if there are any.
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
    /// Makes a mistake at a byte of the text.
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

    /// Adds a description of the allowed input.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Offset of each key of a file, by its path, such as `topology.peers` or `fault.2.for`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Places(BTreeMap<String, usize>);

impl Places {
    /// Records the offsets of all keys.
    pub(super) fn of(root: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.note_table("", root);
        places
    }

    /// Returns the offset of a key; `None` if it does not exist.
    pub(super) fn get(&self, path: &str) -> Option<usize> {
        self.0.get(path).copied()
    }

    /// Returns the offset of a key, or else that of its parent; the beginning if that does not exist either.
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
