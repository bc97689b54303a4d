//! The order of an answer (`spec/query.md`, section 4).

use super::SORT_FIELDS_MAX;
use super::ast::{Field, FieldError};
use super::matching::Subject;
use super::order::compare;
use super::path::Reached;
use crate::json::{self, JsonError};
use core::cmp::Ordering;
use core::fmt;
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::DocId;

/// Sort direction of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Least value first.
    #[default]
    Ascending,
    /// Greatest value first.
    Descending,
}

impl Direction {
    /// Reverses an order in descending direction.
    pub const fn apply(self, order: Ordering) -> Ordering {
        match self {
            Self::Ascending => order,
            Self::Descending => order.reverse(),
        }
    }
}

/// The order of an answer: by each field in turn, then by document id in the direction of the first field.
///
/// The order is total: a missing field is the least value. A list sorts as a whole, and the values that a path reaches
/// behind lists sort as one list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sort(Vec<(Field, Direction)>);

/// The sort key of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// The value of each field; `None` if it is missing.
    pub values: Vec<Option<Value>>,
    /// The document's id.
    pub id: DocId,
}

/// Reasons for a text not to be a sort.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// The text is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The value is not a list of fields.
    #[error("a sort is a list of fields and directions such as [\"name\", {{\"age\": \"desc\"}}]")]
    Shape,
    /// There are more than [`SORT_FIELDS_MAX`] fields.
    #[error("a sort has at most {SORT_FIELDS_MAX} fields, not {0}")]
    TooMany(usize),
    /// A field appears twice.
    #[error("the sort names `{0}` twice")]
    Twice(String),
    /// An item is not a field.
    #[error("the sort's field {number}: {error}")]
    Field {
        /// Number of the item, counted from 1.
        number: usize,
        /// The error.
        error: FieldError,
    },
}

impl Sort {
    /// Returns the sort by document id alone.
    pub const fn by_id() -> Self {
        Self(Vec::new())
    }

    /// Builds a sort from fields and directions.
    pub fn new(fields: Vec<(Field, Direction)>) -> Result<Self, SortError> {
        if fields.len() > SORT_FIELDS_MAX {
            return Err(SortError::TooMany(fields.len()));
        }
        let mut names: Vec<_> = fields.iter().map(|(field, _)| field).collect();
        names.sort();
        match names.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => Err(SortError::Twice(pair.first().map(ToString::to_string).unwrap_or_default())),
            None => Ok(Self(fields)),
        }
    }

    /// Parses a sort from JSON: `["name", {"age": "desc"}]`.
    pub fn parse(text: &[u8]) -> Result<Self, SortError> {
        Self::from_value(&json::parse(text)?)
    }

    /// Reads a sort from a value that is part of a larger message.
    pub fn from_value(value: &Value) -> Result<Self, SortError> {
        let Value::List(items) = value else { return Err(SortError::Shape) };
        if items.len() > SORT_FIELDS_MAX {
            return Err(SortError::TooMany(items.len()));
        }
        let fields = items.iter().zip(1..).map(|(item, number)| {
            let (name, direction) = named(item).ok_or(SortError::Shape)?;
            Self::field(number, name, direction)
        });
        Self::new(fields.collect::<Result<_, _>>()?)
    }

    /// Parses a sort from a command line: `-age,name` sorts by descending age, then by name.
    pub fn from_text(text: &str) -> Result<Self, SortError> {
        let fields = text.split(',').zip(1..).take(SORT_FIELDS_MAX + 1).map(|(name, number)| {
            match name.trim().strip_prefix('-') {
                Some(name) => Self::field(number, name, Direction::Descending),
                None => Self::field(number, name.trim(), Direction::Ascending),
            }
        });
        Self::new(fields.collect::<Result<_, _>>()?)
    }

    fn field(number: usize, name: &str, direction: Direction) -> Result<(Field, Direction), SortError> {
        match Field::parse(name) {
            Ok(field) => Ok((field, direction)),
            Err(error) => Err(SortError::Field { number, error }),
        }
    }

    /// Returns the fields, most significant first. Without fields, the order is by document id.
    pub fn fields(&self) -> &[(Field, Direction)] {
        &self.0
    }

    /// Returns the direction of the ids among documents that are otherwise equal.
    pub fn direction(&self) -> Direction {
        self.0.first().map(|(_, direction)| *direction).unwrap_or_default()
    }

    /// Returns the sort key of a document.
    pub fn key(&self, subject: &Subject<'_>) -> SortKey {
        let value = |(field, _): &(Field, Direction)| subject.with(field, |reached| sorted_by(&reached));
        SortKey { values: self.0.iter().map(value).collect(), id: subject.id }
    }

    /// Compares two sort keys.
    pub fn compare_keys(&self, a: &SortKey, b: &SortKey) -> Ordering {
        let values = a.values.iter().zip(&b.values);
        let mut orders =
            self.0.iter().zip(values).map(|((_, direction), (a, b))| direction.apply(compare(a.as_ref(), b.as_ref())));
        orders.find(|order| order.is_ne()).unwrap_or_else(|| self.direction().apply(a.id.cmp(&b.id)))
    }

    /// Compares two documents. For many documents, compare their keys instead.
    pub fn compare(&self, a: &Subject<'_>, b: &Subject<'_>) -> Ordering {
        self.compare_keys(&self.key(a), &self.key(b))
    }

    /// Returns the sort as a value that [`Sort::from_value`] reads as the same sort.
    pub fn to_value(&self) -> Value {
        let item = |(field, direction): &(Field, Direction)| match (direction, field.to_string()) {
            (Direction::Ascending, name) if !name.starts_with('-') => Value::Text(name),
            (Direction::Ascending, name) => Value::from_iter([(name, "asc")]),
            (Direction::Descending, name) => Value::from_iter([(name, "desc")]),
        };
        Value::List(self.0.iter().map(item).collect())
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::to_string(&self.to_value()))
    }
}

/// Returns the one value by which a field sorts.
fn sorted_by(reached: &Reached<'_>) -> Option<Value> {
    match reached {
        Reached::Plain(value) => value.cloned(),
        Reached::Crossed(values) if values.is_empty() => None,
        Reached::Crossed(values) => Some(Value::List(values.iter().map(|value| (*value).clone()).collect())),
    }
}

/// Returns a field's name and direction. A text is read as on a command line: `-age` is descending.
fn named(item: &Value) -> Option<(&str, Direction)> {
    if let Value::Text(name) = item {
        return Some(match name.strip_prefix('-') {
            Some(name) => (name, Direction::Descending),
            None => (name, Direction::Ascending),
        });
    }
    let (name, direction) = item.as_map().filter(|entries| entries.len() == 1)?.first_key_value()?;
    match direction.as_text()? {
        "asc" => Some((name, Direction::Ascending)),
        "desc" => Some((name, Direction::Descending)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the ids in the order of an answer.
    fn sorted(sort: &Sort, documents: &[&str]) -> Vec<usize> {
        let values: Vec<_> = documents.iter().map(|json| json::parse(json.as_bytes()).unwrap()).collect();
        let mut ids: Vec<usize> = (0..values.len()).collect();
        let subject = |at: &usize| Subject::new(&values[*at], DocId([u8::try_from(*at).unwrap(); 16]));
        ids.sort_by(|a, b| sort.compare(&subject(a), &subject(b)));
        ids
    }

    #[test]
    fn a_missing_field_hides_no_document() {
        let sort = Sort::parse(br#"["t"]"#).unwrap();
        assert_eq!(sorted(&sort, &[r#"{"n":"x","t":5}"#, r#"{"n":"x"}"#, r#"{"n":"x","t":null}"#]), [1, 2, 0]);
    }

    #[test]
    fn ties_follow_the_first_direction() {
        let documents = [r#"{"a":1,"n":1}"#, r#"{"a":1,"n":2}"#, r#"{"a":2}"#, r#"{"a":1,"n":2}"#];
        let sorted = |text: &str| sorted(&Sort::from_text(text).unwrap(), &documents);
        assert_eq!(sorted("a"), [0, 1, 3, 2]);
        assert_eq!(sorted("-a"), [2, 3, 1, 0]);
        assert_eq!(sorted("-a,n"), [2, 0, 3, 1]);
        assert_eq!(sorted("a, -n"), [1, 3, 0, 2]);
        assert_eq!(sorted("-$id"), [3, 2, 1, 0]);
    }

    #[test]
    fn a_list_sorts_as_a_whole() {
        let sort = Sort::from_text("a").unwrap();
        assert_eq!(sorted(&sort, &[r#"{"a":[1,9]}"#, r#"{"a":[1,2]}"#, r#"{"a":5}"#, r#"{"a":[]}"#]), [2, 3, 1, 0]);
        let sort = Sort::from_text("a.b").unwrap();
        let documents = [r#"{"a":[{"b":2}]}"#, r#"{"a":[{"b":1},{"b":3}]}"#, r#"{"a":[{"c":1}]}"#, r#"{"a":{"b":7}}"#];
        assert_eq!(sorted(&sort, &documents), [2, 3, 1, 0]);
    }

    #[test]
    fn what_is_written_is_read_again_and_mistakes_are_told() {
        let sort = Sort::parse(br#"["name",{"age":"desc"},{"$valid":"asc"}]"#).unwrap();
        assert_eq!(sort.to_string(), r#"["name",{"age":"desc"},"$valid"]"#);
        assert_eq!(Sort::from_value(&sort.to_value()).unwrap(), sort);
        assert_eq!(Sort::from_text("name,-age,$valid").unwrap(), sort);
        assert_eq!(Sort::parse(br#"["name","-age","$valid"]"#).unwrap(), sort);
        let dash = Sort::parse(br#"[{"-age":"asc"}]"#).unwrap();
        assert_eq!(
            (dash.to_string(), Sort::from_value(&dash.to_value()).unwrap()),
            (r#"[{"-age":"asc"}]"#.to_owned(), dash)
        );
        let error = |json: &str| Sort::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"a":1}"#).contains("[\"name\""));
        assert!(error(r#"[{"a":1}]"#).contains("list of fields"));
        assert!(error(r#"["a",{"b":"desc","c":"asc"}]"#).contains("list of fields"));
        assert!(error(r#"["a",{"b..c":"desc"}]"#).contains("field 2"));
        assert!(error(r#"["a",{"a":"desc"}]"#).contains("`a` twice"));
        assert!(error(r#"["a","b","c","d","e","f","g","h","i"]"#).contains("at most 8"));
        assert!(Sort::from_text("").is_err() && Sort::from_text("a,,b").is_err());
        assert!(matches!(Sort::from_text(&"a,".repeat(100)), Err(SortError::TooMany(_) | SortError::Twice(_))));
    }
}
