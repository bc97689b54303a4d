//! The syntax tree of a selector. Specified in `spec/query.md`, section 3.

use super::path::{Path, PathError, Reached};
use super::pattern::Pattern;
use core::fmt;
use cosmicsync_protocol::crdt::Value;

/// A condition on documents.
///
/// [`super::parse`] builds it in normal form: no list of one part, and no list directly in a list of the same kind. The
/// normal form nests at most [`super::SELECTOR_DEPTH_MAX`] deep; other builders must keep to this limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Documents that match all of these; with no parts, every document.
    All(Vec<Self>),
    /// Documents that match at least one of these; with no parts, no document.
    Any(Vec<Self>),
    /// Documents that do not match this.
    Not(Box<Self>),
    /// Documents whose field passes the test.
    Field(Field, Test),
}

/// The object of a test or a sort key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// A path in the value.
    Member(Path),
    /// A property of the document outside of its value.
    Virtual(Virtual),
}

/// A property of a document outside of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Virtual {
    /// `$id`: the document's id, in hex.
    Id,
    /// `$key`: the key from which the id was derived.
    Key,
    /// `$version`: the document's version, in hex.
    Version,
    /// `$valid`: true if the value matches its schema; null if the schema is unknown.
    Valid,
}

impl Virtual {
    /// All virtual fields.
    pub const ALL: [Self; 4] = [Self::Id, Self::Key, Self::Version, Self::Valid];

    /// Returns the name, with its `$`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "$id",
            Self::Key => "$key",
            Self::Version => "$version",
            Self::Valid => "$valid",
        }
    }
}

/// Reasons for a text not to name a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The text is not a path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The text begins with `$` and is not a virtual field.
    #[error(
        "there is no virtual field `{0}`; there are $id, $key, $version and $valid, and a member whose name begins with $ is written as `\\$name`"
    )]
    NoVirtual(String),
}

/// Longest unknown name that an error repeats, in characters.
const SHOWN_MAX: usize = 64;

/// Truncates a name from outside for display in an error.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(SHOWN_MAX).collect()
}

impl Field {
    /// Parses a field: a virtual field by its name, anything else as a path.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if !text.starts_with('$') {
            return Ok(Self::Member(Path::parse(text)?));
        }
        let named = Virtual::ALL.into_iter().find(|field| field.name() == text);
        named.map(Self::Virtual).ok_or_else(|| FieldError::NoVirtual(shown(text)))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(path) => path.fmt(f),
            Self::Virtual(field) => f.write_str(field.name()),
        }
    }
}

/// A test of the values that a field reaches ([`Reached`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `$eq`: a candidate equals the operand. Null also equals a missing field.
    Eq(Operand),
    /// `$ne`: not [`Test::Eq`].
    Ne(Operand),
    /// `$gt`, `$gte`, `$lt`, `$lte`: a candidate of the operand's type has this relation to it. Never true of lists and
    /// maps.
    Order(Relation, Operand),
    /// `$in`: [`Test::Eq`] with at least one operand.
    In(Choice),
    /// `$nin`: not [`Test::In`].
    Nin(Choice),
    /// `$exists`: the path reaches a value (true), or none (false).
    Exists(bool),
    /// `$type`: a candidate has one of the types.
    Type(Vec<Type>),
    /// `$mod`: a candidate is an integer with this remainder.
    Mod {
        /// Divisor; not 0.
        divisor: i64,
        /// Remainder, with the sign of the number.
        remainder: i64,
    },
    /// `$size`: the path reaches a list of this length.
    Size(u64),
    /// `$all`: each of these is among the items of a list; without any, no document passes.
    Every(Vec<Each>),
    /// `$elemMatch`: one item of a list passes.
    Elem(Elem),
    /// `$regex`: a candidate is a text that contains a match of the pattern.
    Regex(Pattern),
    /// `$not`: not all of these pass; at least one.
    Not(Vec<Self>),
}

/// Order relation of a value to an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `$gt`.
    Above,
    /// `$gte`.
    AtLeast,
    /// `$lt`.
    Below,
    /// `$lte`.
    AtMost,
}

impl Relation {
    /// Returns the operator's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Above => "$gt",
            Self::AtLeast => "$gte",
            Self::Below => "$lt",
            Self::AtMost => "$lte",
        }
    }

    /// Returns whether equal values have this relation.
    pub const fn is_inclusive(self) -> bool {
        matches!(self, Self::AtLeast | Self::AtMost)
    }

    /// Returns whether the operand is a lower bound.
    pub const fn is_lower(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

/// The value that a test compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A value.
    Value(Value),
    /// A variable, such as `{"$var": "auth.id"}`, which [`Selector::bind`] replaces by a value. Nothing matches because
    /// of an unbound variable.
    Var(Path),
}

/// Alternatives of an `$in`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// Values, ascending and each once, by [`super::order`].
    pub values: Vec<Value>,
    /// Unbound variables.
    pub vars: Vec<Path>,
}

impl Choice {
    /// Collects alternatives, in any order.
    pub fn new(operands: impl IntoIterator<Item = Operand>) -> Self {
        let mut choice = Self::default();
        for operand in operands {
            match operand {
                Operand::Value(value) => choice.values.push(value),
                Operand::Var(path) => choice.vars.push(path),
            }
        }
        // Values such as 2 and 2.0 are equal in the order; the encoding decides which one stays.
        choice.values.sort_by(|a, b| compare(a, b).then_with(|| a.encode().cmp(&b.encode())));
        choice.values.dedup_by(|a, b| super::order::same(a, b));
        choice.vars.sort();
        choice.vars.dedup();
        choice
    }
}

fn compare(a: &Value, b: &Value) -> core::cmp::Ordering {
    super::order::compare(Some(a), Some(b))
}

/// A value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Null.
    Null,
    /// False or true.
    Bool,
    /// A number.
    Number,
    /// A number without a fraction, such as 2 or 2.0.
    Int,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// A list.
    List,
    /// A map.
    Map,
}

impl Type {
    /// Names of the types for `$type`; the first name of each type is the one in normal form.
    pub const NAMES: [(&str, Self); 9] = [
        ("null", Self::Null),
        ("boolean", Self::Bool),
        ("bool", Self::Bool),
        ("number", Self::Number),
        ("int", Self::Int),
        ("string", Self::Text),
        ("bytes", Self::Bytes),
        ("array", Self::List),
        ("object", Self::Map),
    ];
}

/// One part of `$all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Each {
    /// An item equals the operand.
    Equal(Operand),
    /// An item passes.
    Elem(Elem),
}

/// Condition on one item of a list. If the item is a list itself, its own items are not candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elem {
    /// The item passes each of these; at least one.
    Tests(Vec<Test>),
    /// The item is a map that this selector matches. Virtual fields are not allowed.
    Fields(Box<Selector>),
}

impl Selector {
    /// Returns the selector for documents that match all of these, in normal form.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            if let Self::All(inner) = part { flat.extend(inner) } else { flat.push(part) }
        }
        if flat.len() == 1 { flat.remove(0) } else { Self::All(flat) }
    }

    /// Returns the selector for documents that match at least one of these, in normal form.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            if let Self::Any(inner) = part { flat.extend(inner) } else { flat.push(part) }
        }
        if flat.len() == 1 { flat.remove(0) } else { Self::Any(flat) }
    }

    /// Returns the selectors that must all match: the parts of [`Selector::All`], otherwise this selector alone.
    pub fn conjuncts(&self) -> &[Self] {
        if let Self::All(parts) = self { parts } else { core::slice::from_ref(self) }
    }

    /// Returns whether this selector tests a virtual field.
    pub fn asks(&self, virtual_field: Virtual) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.asks(virtual_field)),
            Self::Not(inner) => inner.asks(virtual_field),
            Self::Field(field, _) => *field == Field::Virtual(virtual_field),
        }
    }

    /// Replaces variables by the values that their paths reach in `context`, without crossing a list. A variable that
    /// the context lacks stays unbound.
    pub fn bind(&self, context: &Value) -> Self {
        match self {
            Self::All(parts) => Self::All(parts.iter().map(|part| part.bind(context)).collect()),
            Self::Any(parts) => Self::Any(parts.iter().map(|part| part.bind(context)).collect()),
            Self::Not(inner) => Self::Not(Box::new(inner.bind(context))),
            Self::Field(field, test) => Self::Field(field.clone(), test.bind(context)),
        }
    }
}

impl Test {
    fn bind(&self, context: &Value) -> Self {
        match self {
            Self::Eq(operand) => Self::Eq(operand.bind(context)),
            Self::Ne(operand) => Self::Ne(operand.bind(context)),
            Self::Order(relation, operand) => Self::Order(*relation, operand.bind(context)),
            Self::In(choice) => Self::In(choice.bind(context)),
            Self::Nin(choice) => Self::Nin(choice.bind(context)),
            Self::Every(parts) => Self::Every(parts.iter().map(|each| each.bind(context)).collect()),
            Self::Elem(elem) => Self::Elem(elem.bind(context)),
            Self::Not(tests) => Self::Not(tests.iter().map(|test| test.bind(context)).collect()),
            Self::Exists(_) | Self::Type(_) | Self::Mod { .. } | Self::Size(_) | Self::Regex(_) => self.clone(),
        }
    }
}

impl Operand {
    fn bind(&self, context: &Value) -> Self {
        match self {
            Self::Var(path) => {
                let Reached::Plain(Some(value)) = path.reach(context) else { return self.clone() };
                Self::Value(value.clone())
            }
            Self::Value(_) => self.clone(),
        }
    }
}

impl Choice {
    fn bind(&self, context: &Value) -> Self {
        let values = self.values.iter().cloned().map(Operand::Value);
        Self::new(values.chain(self.vars.iter().map(|path| Operand::Var(path.clone()).bind(context))))
    }
}

impl Each {
    fn bind(&self, context: &Value) -> Self {
        match self {
            Self::Equal(operand) => Self::Equal(operand.bind(context)),
            Self::Elem(elem) => Self::Elem(elem.bind(context)),
        }
    }
}

impl Elem {
    fn bind(&self, context: &Value) -> Self {
        match self {
            Self::Tests(tests) => Self::Tests(tests.iter().map(|test| test.bind(context)).collect()),
            Self::Fields(selector) => Self::Fields(Box::new(selector.bind(context))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_path_or_virtual() {
        assert_eq!(Field::parse("$id"), Ok(Field::Virtual(Virtual::Id)));
        assert_eq!(Field::parse(r"\$id").map(|field| field.to_string()), Ok(r"\$id".to_owned()));
        assert!(matches!(Field::parse("$ID"), Err(FieldError::NoVirtual(_))));
        assert!(matches!(Field::parse("a..b"), Err(FieldError::Path(PathError::EmptyStep))));
        for field in Virtual::ALL {
            assert_eq!(Field::parse(field.name()), Ok(Field::Virtual(field)));
        }
    }

    #[test]
    fn alternatives_are_sorted_and_stand_once() {
        let numbers = [Value::Int(3), Value::Float(2.0), Value::Int(2), Value::Int(3), Value::Null];
        let choice = Choice::new(numbers.iter().cloned().map(Operand::Value));
        let again = Choice::new(numbers.iter().rev().cloned().map(Operand::Value));
        assert_eq!(choice.values, [Value::Null, Value::Int(2), Value::Int(3)]);
        assert_eq!(choice, again);
    }
}
