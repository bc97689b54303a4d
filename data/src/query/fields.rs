//! Projection: the fields of each document that an answer shows (`spec/query.md`, section 5).

use super::FIELDS_MAX;
use super::ast::{Field, FieldError, Virtual};
use super::path::{Path, Step};
use crate::json::{self, JsonError};
use cosmicsync_protocol::crdt::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The members to keep of each value, and the virtual fields to show beside it.
///
/// Maps keep the named members. Lists keep the maps that have a named member; the items' positions are not kept. Digits
/// at a list keep the item at that position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    members: Node,
    virtuals: BTreeSet<Virtual>,
}

/// The part of one value to keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    /// True to keep the whole value.
    whole: bool,
    inside: BTreeMap<Step, Self>,
}

/// Reasons for a text not to be a list of fields.
#[derive(Debug, thiserror::Error)]
pub enum FieldsError {
    /// The text is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The value is not a list of texts.
    #[error("fields are a list of paths such as [\"name\", \"address.city\"]")]
    Shape,
    /// There are more than [`FIELDS_MAX`] fields.
    #[error("at most {FIELDS_MAX} fields can be named, not {0}")]
    TooMany(usize),
    /// An item is not a field.
    #[error("field {number}: {error}")]
    Field {
        /// Number of the item, counted from 1.
        number: usize,
        /// The error.
        error: FieldError,
    },
}

impl Fields {
    /// Builds a projection from fields.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        let mut all = Self::default();
        for field in fields {
            match field {
                Field::Member(path) => all.members.add(&path),
                Field::Virtual(field) => {
                    all.virtuals.insert(field);
                }
            }
        }
        all
    }

    /// Parses fields from JSON: `["name", "address.city"]`.
    pub fn parse(text: &[u8]) -> Result<Self, FieldsError> {
        Self::from_value(&json::parse(text)?)
    }

    /// Reads fields from a value that is part of a larger message.
    pub fn from_value(value: &Value) -> Result<Self, FieldsError> {
        let Value::List(items) = value else { return Err(FieldsError::Shape) };
        let names: Option<Vec<_>> = items.iter().map(Value::as_text).collect();
        Self::from_names(&names.ok_or(FieldsError::Shape)?)
    }

    /// Parses fields from a command line: `name,address.city`.
    pub fn from_text(text: &str) -> Result<Self, FieldsError> {
        Self::from_names(&text.split(',').map(str::trim).collect::<Vec<_>>())
    }

    fn from_names(names: &[&str]) -> Result<Self, FieldsError> {
        if names.len() > FIELDS_MAX {
            return Err(FieldsError::TooMany(names.len()));
        }
        let fields = names
            .iter()
            .zip(1..)
            .map(|(name, number)| Field::parse(name).map_err(|error| FieldsError::Field { number, error }));
        Ok(Self::new(fields.collect::<Result<Vec<_>, _>>()?))
    }

    /// Returns the virtual fields to show.
    pub const fn virtuals(&self) -> &BTreeSet<Virtual> {
        &self.virtuals
    }

    /// Returns the projection of a document's value: always a map.
    pub fn apply(&self, value: &Value) -> Value {
        self.members.keep(value).unwrap_or_else(|| Value::Map(BTreeMap::new()))
    }
}

impl Node {
    fn add(&mut self, path: &Path) {
        let mut node = self;
        for step in path.steps() {
            node = node.inside.entry(step.clone()).or_default();
        }
        node.whole = true;
    }

    /// Returns the part of a value to keep; `None` if there is none. Recursion is as deep as the paths.
    fn keep(&self, value: &Value) -> Option<Value> {
        if self.whole {
            return Some(value.clone());
        }
        match value {
            Value::Map(entries) => Some(Value::Map(self.keep_entries(entries))),
            Value::List(items) => Some(Value::List(self.keep_items(items))),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => None,
        }
    }

    fn keep_entries(&self, entries: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        let kept = self.inside.iter().filter_map(|(step, node)| {
            let value = node.keep(entries.get(step.key())?)?;
            Some((step.key().to_owned(), value))
        });
        kept.collect()
    }

    fn keep_items(&self, items: &[Value]) -> Vec<Value> {
        let places = self.inside.iter().filter_map(|(step, node)| Some((step.place()?, node)));
        let places: BTreeMap<usize, &Self> = places.collect();
        let crosses = self.inside.keys().any(|step| matches!(step, Step::Key(_)));
        let kept = items.iter().enumerate().filter_map(|(place, item)| match places.get(&place) {
            Some(node) => node.keep(item),
            None if crosses && item.as_map().is_some() => self.keep(item),
            None => None,
        });
        kept.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(fields: &str, json: &str) -> String {
        let value = json::parse(json.as_bytes()).unwrap();
        json::to_string(&Fields::from_text(fields).unwrap().apply(&value))
    }

    #[test]
    fn only_what_is_named_is_kept() {
        let json = r#"{"a":1,"b":{"c":2,"d":3},"l":[{"x":1,"y":2},5,{"y":3}],"e.f":4,"n":null}"#;
        assert_eq!(kept("a", json), r#"{"a":1}"#);
        assert_eq!(kept("b.c,n", json), r#"{"b":{"c":2},"n":null}"#);
        assert_eq!(kept("b,b.c", json), r#"{"b":{"c":2,"d":3}}"#);
        assert_eq!(kept("l.x", json), r#"{"l":[{"x":1},{}]}"#);
        assert_eq!(kept("l.2", json), r#"{"l":[{"y":3}]}"#);
        assert_eq!(kept("l.0.y,l.x", json), r#"{"l":[{"y":2},{}]}"#);
        assert_eq!(kept(r"e\.f", json), r#"{"e.f":4}"#);
        assert_eq!(kept("a.b,z", json), "{}");
    }

    #[test]
    fn virtual_fields_are_shown_beside_the_value() {
        let fields = Fields::parse(br#"["$id","a"]"#).unwrap();
        assert_eq!(fields.virtuals().iter().collect::<Vec<_>>(), [&Virtual::Id]);
        assert_eq!(json::to_string(&fields.apply(&json::parse(br#"{"a":1,"$id":2}"#).unwrap())), r#"{"a":1}"#);
    }

    #[test]
    fn mistakes_are_told() {
        let error = |json: &str| Fields::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"a":1}"#).contains("list of paths"));
        assert!(error("[1]").contains("list of paths"));
        assert!(error(r#"["a","b.."]"#).contains("field 2"));
        assert!(Fields::from_text(&["a"; FIELDS_MAX + 1].join(",")).is_err());
    }
}
