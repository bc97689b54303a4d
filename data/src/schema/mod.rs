//! Schemas: the shape that documents of a collection should have (`spec/schemas.md`).
//!
//! A [`Schema`] is JSON Schema 2020-12 without what reaches beyond it: compiled once, evaluated on values directly, within
//! a bound on steps. `x-crdt` says how a member merges, `x-key` which members make the document's key.

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

/// The longest schema, in bytes of its canonical text.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// How deep a schema may nest.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Subschemas of a schema, at most.
pub const NODES_MAX: usize = 4096;
/// Members that make a key, at most.
pub const KEY_FIELDS_MAX: usize = 8;

/// The shape that documents of a collection should have.
#[derive(Debug, Clone)]
pub struct Schema {
    source: Value,
    text: String,
    nodes: Vec<Node>,
    containers: Containers,
    key: Vec<String>,
}

/// How members merge, and which the node fills in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Containers {
    /// Strings that merge character by character.
    pub texts: TextPaths,
    /// Whole numbers to which several devices add at once.
    pub counters: TextPaths,
    /// Times: `"$now"` there becomes the time of the write.
    pub timestamps: TextPaths,
}

/// Why something is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", Place(.pointer))]
pub struct SchemaError {
    /// The place in the schema, as a JSON pointer.
    pub pointer: String,
    /// The problem there.
    pub problem: SchemaProblem,
}

/// Says where in a schema a problem is.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (at {} of the schema)", self.0) }
    }
}

/// A problem in a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaProblem {
    /// Neither an object nor true or false.
    #[error("a schema is an object, true or false")]
    NotSchema,
    /// Another version of JSON Schema.
    #[error("schemas are JSON Schema 2020-12, not {0:?}")]
    Draft(String),
    /// A keyword that nobody knows.
    #[error("there is no keyword {0:?}; begin your own with x-")]
    UnknownKeyword(String),
    /// A keyword that is not evaluated here.
    #[error("the keyword {0} is not supported")]
    Unsupported(&'static str),
    /// A keyword with a value that it cannot have.
    #[error("{keyword} must be {wanted}")]
    Form {
        /// The keyword.
        keyword: &'static str,
        /// The values that it can have.
        wanted: &'static str,
    },
    /// A `format` that is not known.
    #[error("there is no format {0:?}; there are date, date-time, duration, email, ipv4, ipv6, time, uri and uuid")]
    Format(String),
    /// A pattern that is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A `$ref` that leads out of the schema.
    #[error("$ref leads only within the schema, as in \"#/$defs/name\", not to {0:?}: nothing is fetched")]
    RefOutside(String),
    /// A `$ref` to something that is not there.
    #[error("$ref leads to {0:?}, where there is nothing")]
    RefNowhere(String),
    /// A subschema that is evaluated on a value before it is evaluated on that value.
    #[error("the schema refers to itself without going into the value, or through more than {0} others")]
    Endless(usize),
    /// Too many bytes.
    #[error("the schema has {0} bytes, and at most {SCHEMA_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// Too deep.
    #[error("the schema nests deeper than {SCHEMA_DEPTH_MAX} levels")]
    TooDeep,
    /// Too many subschemas.
    #[error("the schema has more than {NODES_MAX} subschemas")]
    TooMany,
    /// An `x-crdt` that is not known.
    #[error("there is no x-crdt {0:?}; there are counter, list, map, register, text and timestamp")]
    Container(String),
    /// An `x-crdt` on a member of another type.
    #[error("x-crdt {container} needs \"type\": \"{wanted}\"")]
    ContainerType {
        /// The container.
        container: &'static str,
        /// The type that it needs.
        wanted: &'static str,
    },
    /// An `x-crdt` where no path leads.
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

    /// Reads the text of a schema, as [`Self::text`] gives it.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::new(&json::parse(text.as_bytes()).ok()?).ok()
    }

    /// Returns the canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns how members merge.
    pub const fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Returns the members that make the key of a document; none if keys are free.
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// Returns the key that a value makes: the text or whole number of one member, the JSON list of several. `None` if a
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

    /// Returns in which ways a document violates the schema, at most [`VIOLATIONS_MAX`].
    pub fn violations(&self, value: &Value, key: Option<&str>) -> Vec<Violation> {
        let mut violations = check::violations(&self.nodes, ROOT, value);
        if !self.has_key(value, key) {
            violations.push(self.key_violation(value));
        }
        violations.truncate(VIOLATIONS_MAX);
        violations
    }

    /// Returns whether a document is as the schema says.
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

/// Finds what stands at a place in a schema.
fn at<'a>(schema: &'a Value, place: &[String]) -> Option<&'a Value> {
    place.iter().try_fold(schema, |here, name| {
        here.entry(name).or_else(|| here.as_list().and_then(|items| items.get(name.parse::<usize>().ok()?)))
    })
}

/// Reads `x-key`: one name, or a list of them.
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
