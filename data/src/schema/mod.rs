//! Schemas: the shape of a collection's documents (`spec/schemas.md`).
//!
//! A [`Schema`] is a subset of JSON Schema 2020-12 without references to other schemas. A schema is compiled once and
//! evaluated on values directly, with a limited number of steps. `x-crdt` defines how a member merges; `x-key` names
//! the members that form the document's key.

mod check;
mod compile;
mod containers;
mod format;
mod number;

use crate::json;
use crate::query::pattern::PatternError;
use compile::{Node, NodeId};
use core::fmt;
use cosmicsync_protocol::crdt::{TextPaths, Value};

pub use check::{VIOLATIONS_MAX, Violation};

/// Longest schema, in bytes of its canonical text.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Largest nesting of a schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Largest number of subschemas in a schema.
pub const NODES_MAX: usize = 4096;
/// Largest number of members that form a key.
pub const KEY_FIELDS_MAX: usize = 8;

/// The shape of a collection's documents.
#[derive(Debug, Clone)]
pub struct Schema {
    source: Value,
    text: String,
    nodes: Vec<Node>,
    containers: Containers,
    key: Vec<String>,
}

/// The members that merge in a special way, or that the node fills in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Containers {
    /// Paths of strings that merge character by character.
    pub texts: TextPaths,
    /// Paths of counters: integers to which several devices may add concurrently.
    pub counters: TextPaths,
    /// Paths of times, where `"$now"` becomes the time of the write.
    pub timestamps: TextPaths,
}

/// An error in a schema, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", Place(.pointer))]
pub struct SchemaError {
    /// The place in the schema, as a JSON pointer.
    pub pointer: String,
    /// The problem there.
    pub problem: SchemaProblem,
}

/// Displays the place of a problem in a schema.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (at {} of the schema)", self.0) }
    }
}

/// A problem in a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaProblem {
    /// The schema is neither an object nor a boolean.
    #[error("a schema is an object, true or false")]
    NotSchema,
    /// The schema is of another version of JSON Schema.
    #[error("schemas are JSON Schema 2020-12, not {0:?}")]
    Draft(String),
    /// The keyword is unknown.
    #[error("there is no keyword {0:?}; begin your own with x-")]
    UnknownKeyword(String),
    /// The keyword is not supported.
    #[error("the keyword {0} is not supported")]
    Unsupported(&'static str),
    /// The keyword's value is invalid.
    #[error("{keyword} must be {wanted}")]
    Form {
        /// The keyword.
        keyword: &'static str,
        /// The values that it can have.
        wanted: &'static str,
    },
    /// The `format` is unknown.
    #[error("there is no format {0:?}; there are date, date-time, duration, email, ipv4, ipv6, time, uri and uuid")]
    Format(String),
    /// The pattern is invalid.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The `$ref` leads to another schema.
    #[error("$ref leads only within the schema, as in \"#/$defs/name\", not to {0:?}: nothing is fetched")]
    RefOutside(String),
    /// The `$ref` leads to a place that does not exist.
    #[error("$ref leads to {0:?}, where there is nothing")]
    RefNowhere(String),
    /// The subschema applies to a value before it applies to the same value, endlessly.
    #[error("the schema refers to itself without going into the value, or through more than {0} others")]
    Endless(usize),
    /// The schema has too many bytes.
    #[error("the schema has {0} bytes, and at most {SCHEMA_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// The schema nests too deep.
    #[error("the schema nests deeper than {SCHEMA_DEPTH_MAX} levels")]
    TooDeep,
    /// There are too many subschemas.
    #[error("the schema has more than {NODES_MAX} subschemas")]
    TooMany,
    /// The `x-crdt` is unknown.
    #[error("there is no x-crdt {0:?}; there are counter, list, map, register, text and timestamp")]
    Container(String),
    /// The `x-crdt` is on a member of another type.
    #[error("x-crdt {container} needs \"type\": \"{wanted}\"")]
    ContainerType {
        /// The container.
        container: &'static str,
        /// The type that it needs.
        wanted: &'static str,
    },
    /// The `x-crdt` is in a place that no path leads to.
    #[error("x-crdt {0} can stand only on members that `properties` names, and on items of lists")]
    ContainerPlace(&'static str),
}

impl Schema {
    /// Compiles a schema.
    pub fn new(value: &Value) -> Result<Self, SchemaError> {
        let at_root = |problem| SchemaError { pointer: String::new(), problem };
        if value.depth() > SCHEMA_DEPTH_MAX {
            return Err(at_root(SchemaProblem::TooDeep));
        }
        let text = json::to_string(value);
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(at_root(SchemaProblem::TooLarge(text.len())));
        }
        let nodes = compile::compile(value)?;
        let containers = containers::containers(value)?;
        let key = key_fields(value).map_err(at_root)?;
        Ok(Self { source: value.clone(), text, nodes, containers, key })
    }

    /// Compiles a schema from the text of [`Self::text`]; `None` if it is invalid.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::new(&json::parse(text.as_bytes()).ok()?).ok()
    }

    /// Returns the canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the members that merge in a special way.
    pub const fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Returns the members that form a document's key; empty if keys are free.
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// Returns the key of a value: the text or integer of one member, or the JSON list of several. Returns `None` if a
    /// member is missing or of another type.
    pub fn key_of(&self, value: &Value) -> Option<String> {
        let part = |name: &String| value.entry(name).filter(|part| matches!(part, Value::Text(_) | Value::Int(_)));
        match &self.key[..] {
            [one] => {
                let part = part(one)?;
                let key = part.as_text().map_or_else(|| json::to_string(part), str::to_owned);
                Some(key).filter(|key| !key.is_empty())
            }
            several => {
                let parts: Option<Vec<Value>> = several.iter().map(|name| part(name).cloned()).collect();
                parts.filter(|parts| !parts.is_empty()).map(|parts| json::to_string(&Value::List(parts)))
            }
        }
    }

    /// Returns a document's violations of the schema, at most [`VIOLATIONS_MAX`].
    pub fn violations(&self, value: &Value, key: Option<&str>) -> Vec<Violation> {
        let mut violations = check::violations(&self.nodes, ROOT, value);
        if !self.has_key(value, key) {
            violations.push(self.key_violation(value));
        }
        violations.truncate(VIOLATIONS_MAX);
        violations
    }

    /// Returns whether a document matches the schema.
    pub fn is_valid(&self, value: &Value, key: Option<&str>) -> bool {
        self.has_key(value, key) && check::is_valid(&self.nodes, ROOT, value)
    }

    fn has_key(&self, value: &Value, key: Option<&str>) -> bool {
        self.key.is_empty() || key.is_some() && self.key_of(value).as_deref() == key
    }

    fn key_violation(&self, value: &Value) -> Violation {
        let members = self.key.join(", ");
        let message = match self.key_of(value) {
            Some(key) => format!("its key must be {key:?}, which {members} makes"),
            None => format!("its key is made of {members}, which must be texts or whole numbers"),
        };
        Violation { pointer: String::new(), keyword: "x-key", message }
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schema {}

/// The subschema at the root.
const ROOT: NodeId = 0;

/// Returns the value at a place in a schema.
fn at<'a>(schema: &'a Value, place: &[String]) -> Option<&'a Value> {
    place.iter().try_fold(schema, |here, name| {
        here.entry(name).or_else(|| here.as_list().and_then(|items| items.get(name.parse::<usize>().ok()?)))
    })
}

/// Parses `x-key`: one name, or a list of names.
fn key_fields(schema: &Value) -> Result<Vec<String>, SchemaProblem> {
    let wrong = SchemaProblem::Form { keyword: "x-key", wanted: "the name of a member, or a list of 1 to 8 names" };
    let names = match schema.entry("x-key") {
        None => return Ok(Vec::new()),
        Some(Value::Text(name)) => vec![name.clone()],
        Some(names) => {
            let names = names.as_list().ok_or(wrong.clone())?.iter();
            let names: Option<Vec<String>> = names.map(|name| name.as_text().map(str::to_owned)).collect();
            names.ok_or(wrong.clone())?
        }
    };
    let is_unique = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    if (1..=KEY_FIELDS_MAX).contains(&names.len()) && is_unique { Ok(names) } else { Err(wrong) }
}

#[cfg(test)]
mod tests;
