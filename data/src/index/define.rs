//! Definitions of indexes, as stored in a collection's description (`spec/query.md`, section 6).

use crate::json;
use crate::query::path::{Path, PathError};
use cosmicsync_protocol::crdt::Value;
use std::collections::BTreeMap;

/// Largest number of indexes of a collection.
pub const INDEXES_MAX: usize = 16;
/// Largest number of fields of an index.
pub const FIELDS_MAX: usize = 8;
/// Longest name of an index, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The fields of an index, most significant first: 1 to [`FIELDS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fields(Vec<Path>);

/// The indexes of a collection, by name.
pub type Indexes = BTreeMap<String, Fields>;

/// Reasons for a definition to be invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The name is empty, too long, or has other characters than letters, digits, `_` and `-`.
    #[error("{0:?} cannot name an index: use 1 to {NAME_BYTES_MAX} letters, digits, `_` or `-`")]
    Name(String),
    /// There are no fields, or too many.
    #[error("an index has 1 to {FIELDS_MAX} fields, not {0}")]
    FieldCount(usize),
    /// A field appears twice.
    #[error("the field {0} stands in the index twice")]
    Repeated(String),
    /// A field is a virtual field.
    #[error(
        "{0} is not a member of documents, and an index is on members; write one whose name begins with $ as `\\$name`"
    )]
    Virtual(String),
    /// A field is not a path.
    #[error("the field {field:?}: {error}")]
    Path {
        /// The field.
        field: String,
        /// The error.
        error: PathError,
    },
    /// The definition is not a list of texts.
    #[error("the fields of an index are a list of paths")]
    Form,
    /// The collection has [`INDEXES_MAX`] indexes already.
    #[error("the collection has {INDEXES_MAX} indexes, which is as many as there may be: drop one first")]
    TooMany,
}

impl Fields {
    /// Parses the fields of an index.
    pub fn parse<'a>(fields: impl IntoIterator<Item = &'a str>) -> Result<Self, IndexError> {
        let mut paths = Vec::new();
        for field in fields {
            if paths.len() >= FIELDS_MAX {
                return Err(IndexError::FieldCount(paths.len() + 1));
            }
            if field.starts_with('$') {
                return Err(IndexError::Virtual(field.to_owned()));
            }
            let path = Path::parse(field).map_err(|error| IndexError::Path { field: field.to_owned(), error })?;
            if paths.contains(&path) {
                return Err(IndexError::Repeated(path.to_string()));
            }
            paths.push(path);
        }
        if paths.is_empty() { Err(IndexError::FieldCount(0)) } else { Ok(Self(paths)) }
    }

    /// Returns the paths, most significant first.
    pub fn paths(&self) -> &[Path] {
        &self.0
    }

    /// Writes the fields as one text. The text is a single value of the description, so if two devices define an index
    /// differently, one definition wins as a whole.
    pub fn to_text(&self) -> String {
        json::to_string(&Value::List(self.0.iter().map(|path| Value::from(path.to_string())).collect()))
    }

    /// Parses the text of [`Self::to_text`].
    pub fn from_text(text: &str) -> Result<Self, IndexError> {
        let value = json::parse(text.as_bytes()).map_err(|_| IndexError::Form)?;
        let fields = value.as_list().ok_or(IndexError::Form)?;
        let fields: Option<Vec<&str>> = fields.iter().map(Value::as_text).collect();
        Self::parse(fields.ok_or(IndexError::Form)?)
    }
}

/// Checks the name of an index.
pub fn check_name(name: &str) -> Result<(), IndexError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if fits && plain { Ok(()) } else { Err(IndexError::Name(name.to_owned())) }
}

/// Returns the indexes of a collection as a member of its description.
pub fn to_value(indexes: &Indexes) -> Value {
    indexes.iter().map(|(name, fields)| (name.as_str(), Value::from(fields.to_text()))).collect()
}

/// Reads the indexes of a description. An invalid definition is skipped: a later version wrote it, or a merge of two
/// devices exceeded the limits.
pub fn from_value(value: &Value) -> Indexes {
    let entries = value.as_map().into_iter().flatten();
    let read = |(name, fields): (&String, &Value)| {
        check_name(name).ok()?;
        Some((name.clone(), Fields::from_text(fields.as_text()?).ok()?))
    };
    entries.filter_map(read).take(INDEXES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_survive_being_values() {
        let fields = Fields::parse(["city", r"a\.b.c"]).unwrap();
        let indexes = Indexes::from([("by_city".to_owned(), fields)]);
        assert_eq!(from_value(&to_value(&indexes)), indexes);
        let foreign: Value = [("ok", r#"["a"]"#), ("no way", r#"["a"]"#), ("later", "{}")].into_iter().collect();
        assert_eq!(from_value(&foreign).len(), 1);
        assert_eq!(from_value(&Value::Null), Indexes::new());
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let error = |fields: &[&str]| Fields::parse(fields.iter().copied()).unwrap_err();
        assert_eq!(error(&[]), IndexError::FieldCount(0));
        assert_eq!(error(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]), IndexError::FieldCount(9));
        assert_eq!(error(&["a", "a"]), IndexError::Repeated("a".to_owned()));
        assert!(matches!(error(&["a..b"]), IndexError::Path { .. }));
        assert_eq!(error(&["$id"]), IndexError::Virtual("$id".to_owned()));
        assert!(check_name("by-city_2").is_ok() && check_name("by city").is_err() && check_name("").is_err());
    }
}
