//! Parses selectors; an error names the place and the problem (`spec/query.md`, section 3).

use super::ast::{Choice, Each, Elem, Field, FieldError, Operand, Relation, Selector, Test, Type, shown};
use super::path::{Path, PathError};
use super::pattern::{Pattern, PatternError};
use super::{OPERANDS_MAX, SELECTOR_BYTES_MAX, SELECTOR_DEPTH_MAX, SELECTOR_NODES_MAX};
use crate::json::{self, JsonError};
use core::fmt;
use cosmicsync_protocol::crdt::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Largest nesting of an operand's value.
pub const OPERAND_DEPTH_MAX: usize = 16;
/// Largest number of regular expressions in one selector.
pub const PATTERNS_MAX: usize = 16;

/// An error in a selector, with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", Place(.pointer))]
pub struct SelectorError {
    /// The place in the selector, as a JSON pointer (RFC 6901), such as `/age/$gt`; empty for the whole selector.
    pub pointer: String,
    /// The problem at that place, and a correct form.
    pub problem: Problem,
}

struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the selector") } else { write!(f, "the selector at {}", self.0) }
    }
}

/// A problem at a place of a selector.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The selector has more than [`SELECTOR_BYTES_MAX`] bytes of JSON.
    #[error("it has {bytes} bytes, and at most {SELECTOR_BYTES_MAX} are allowed")]
    TooLong {
        /// Length in bytes.
        bytes: usize,
    },
    /// The text is not JSON, or JSON that cannot be kept exactly.
    #[error(transparent)]
    Json(JsonError),
    /// Selectors and tests nest deeper than [`SELECTOR_DEPTH_MAX`], or an operand's value deeper than
    /// [`OPERAND_DEPTH_MAX`].
    #[error("it nests too deep: selectors at most {SELECTOR_DEPTH_MAX} levels, operands {OPERAND_DEPTH_MAX}")]
    TooDeep,
    /// There are more than [`SELECTOR_NODES_MAX`] selectors and tests.
    #[error("it has more than {SELECTOR_NODES_MAX} conditions; ask for less at a time")]
    TooManyNodes,
    /// There are more than [`OPERANDS_MAX`] operands.
    #[error("{count} operands, and at most {OPERANDS_MAX} are allowed; ask for less at a time")]
    TooManyOperands {
        /// Number of operands.
        count: usize,
    },
    /// There are more than [`PATTERNS_MAX`] regular expressions.
    #[error("it has more than {PATTERNS_MAX} regular expressions")]
    TooManyPatterns,
    /// A selector is not an object.
    #[error("a selector is an object such as {{\"name\": \"Ada\"}}, not {found}")]
    NoObject {
        /// The type of the value at that place.
        found: &'static str,
    },
    /// The operator does not exist.
    #[error("there is no operator `{name}`{}", Known(.near))]
    NoOperator {
        /// The unknown name.
        name: String,
        /// A known operator with a similar name.
        near: Option<&'static str>,
    },
    /// The operator exists in other databases and is not supported.
    #[error("`{0}` is not supported")]
    NotSupported(&'static str),
    /// A test is in the place of a field.
    #[error("`{0}` tests a field, so it stands below one: {{\"name\": {{\"{0}\": ...}}}}")]
    Misplaced(&'static str),
    /// A field name is among operators.
    #[error("`{0}` stands among operators; compare with an object that has such names as {{\"$eq\": {{...}}}}")]
    Mixed(String),
    /// `$options` is without `$regex`.
    #[error("`$options` belongs to a `$regex` beside it")]
    OptionsAlone,
    /// A virtual field is inside `$elemMatch`.
    #[error("an item of a list has no `{0}`: virtual fields belong to the document")]
    VirtualInElement(&'static str),
    /// A field name is invalid.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A path is invalid.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An operand has the wrong type.
    #[error("`{operator}` takes {wanted}, not {found}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// The kind of operand that it takes.
        wanted: &'static str,
        /// The type of the given operand.
        found: &'static str,
    },
    /// `$type` has an unknown type name.
    #[error("there is no type `{0}`; there are null, boolean, number, int, string, bytes, array and object")]
    NoType(String),
    /// The digits of a `$bytes` are not hexadecimal.
    #[error("`$bytes` takes an even number of hex digits")]
    NoHex,
    /// A regular expression is invalid.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

struct Known<'a>(&'a Option<&'static str>);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(near) => write!(f, "; is `{near}` meant?"),
            None => write!(f, "; there are {} and {}", LOGIC.join(", "), TESTS.join(", ")),
        }
    }
}

/// Logical operators, which are in the place of a field.
pub const LOGIC: [&str; 4] = ["$and", "$or", "$nor", "$not"];
/// Operators that test a field. `$not`, which fits both places, is not among them.
pub const TESTS: [&str; 16] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$type",
    "$mod",
    "$size",
    "$all",
    "$elemMatch",
    "$regex",
    "$options",
];
const NOT_SUPPORTED: [&str; 6] = ["$text", "$where", "$expr", "$jsonSchema", "$near", "$geoWithin"];

/// Parses a selector from JSON.
///
/// All limits are checked before anything beyond them is allocated. Memory use is within a constant times the text's
/// length, plus 4 MiB for regular expressions.
pub fn parse(text: &[u8]) -> Result<Selector, SelectorError> {
    let whole = |problem| SelectorError { pointer: String::new(), problem };
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(whole(Problem::TooLong { bytes: text.len() }));
    }
    let value = json::parse(text).map_err(|error| {
        let too_deep = matches!(error, JsonError::TooDeep);
        whole(if too_deep { Problem::TooDeep } else { Problem::Json(error) })
    })?;
    read(&value)
}

/// Parses a selector from a value that is part of a larger message or of a document. The limits are those of [`parse`].
pub fn from_value(value: &Value) -> Result<Selector, SelectorError> {
    let whole = |problem| SelectorError { pointer: String::new(), problem };
    if value.depth() > cosmicsync_protocol::crdt::DEPTH_MAX {
        return Err(whole(Problem::TooDeep));
    }
    let bytes = json::to_string(value).len();
    if bytes > SELECTOR_BYTES_MAX {
        return Err(whole(Problem::TooLong { bytes }));
    }
    read(value)
}

fn read(value: &Value) -> Result<Selector, SelectorError> {
    let mut reader = Reader { pointer: Vec::new(), nodes: 0, patterns: 0 };
    let selector = reader.selector(value, Around::Document)?;
    let (nodes, depth) = selector.extent();
    let problem = if depth > SELECTOR_DEPTH_MAX {
        Problem::TooDeep
    } else if nodes > SELECTOR_NODES_MAX {
        Problem::TooManyNodes
    } else {
        return Ok(selector);
    };
    Err(SelectorError { pointer: String::new(), problem })
}

/// The subject of a selector: a document, or an item of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Document,
    Element,
}

/// Parses a selector. Recursion is limited by the JSON reader, which allows 64 levels.
struct Reader<'a> {
    pointer: Vec<Cow<'a, str>>,
    /// Number of selectors and tests so far.
    nodes: usize,
    patterns: usize,
}

type Read<T> = Result<T, SelectorError>;

impl<'a> Reader<'a> {
    fn error<T>(&self, problem: impl Into<Problem>) -> Read<T> {
        let pointer = self.pointer.iter().fold(String::new(), |mut pointer, step| {
            pointer.push('/');
            pointer.push_str(&shown(step).replace('~', "~0").replace('/', "~1"));
            pointer
        });
        Err(SelectorError { pointer, problem: problem.into() })
    }

    /// Runs `inside` one step further in the pointer of errors.
    fn at<T>(&mut self, step: impl Into<Cow<'a, str>>, inside: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.pointer.push(step.into());
        let done = inside(self)?;
        self.pointer.pop();
        Ok(done)
    }

    fn node(&mut self) -> Read<()> {
        self.nodes += 1;
        if self.nodes > SELECTOR_NODES_MAX { self.error(Problem::TooManyNodes) } else { Ok(()) }
    }

    fn selector(&mut self, value: &'a Value, around: Around) -> Read<Selector> {
        let Value::Map(entries) = value else {
            return self.error(Problem::NoObject { found: type_of(value) });
        };
        let mut parts = Vec::new();
        for (name, inner) in entries {
            parts.push(self.at(name, |reader| reader.member(name, inner, around))?);
        }
        Ok(Selector::all(parts))
    }

    fn member(&mut self, name: &'a str, inner: &'a Value, around: Around) -> Read<Selector> {
        match name {
            "$and" => Ok(Selector::all(self.selectors("$and", inner, around)?)),
            "$or" => Ok(Selector::any(self.selectors("$or", inner, around)?)),
            "$nor" => {
                let parts = self.selectors("$nor", inner, around)?;
                Ok(Selector::all(parts.into_iter().map(|part| Selector::Not(Box::new(part)))))
            }
            "$not" => Ok(Selector::Not(Box::new(self.selector(inner, around)?))),
            _ => self.field(name, inner, around),
        }
    }

    fn selectors(&mut self, operator: &'static str, value: &'a Value, around: Around) -> Read<Vec<Selector>> {
        let items = self.list(operator, "a list of selectors", value)?;
        let numbered = items.iter().enumerate();
        numbered.map(|(at, item)| self.at(at.to_string(), |reader| reader.selector(item, around))).collect()
    }

    fn field(&mut self, name: &'a str, inner: &'a Value, around: Around) -> Read<Selector> {
        let field = match Field::parse(name) {
            Ok(Field::Virtual(field)) if around == Around::Element => {
                return self.error(Problem::VirtualInElement(field.name()));
            }
            Ok(field) => field,
            Err(FieldError::NoVirtual(_)) => return self.no_field(name),
            Err(error) => return self.error(error),
        };
        let tests = self.tests(inner)?;
        Ok(Selector::all(tests.into_iter().map(|test| Selector::Field(field.clone(), test))))
    }

    /// Returns the error for a name with a `$` that is not a virtual field.
    fn no_field<T>(&self, name: &str) -> Read<T> {
        if let Some(test) = TESTS.iter().find(|test| **test == name) {
            return self.error(Problem::Misplaced(test));
        }
        match self.no_operator::<T>(name) {
            Err(SelectorError { problem: Problem::NoOperator { near: None, name }, .. }) => {
                self.error(FieldError::NoVirtual(name))
            }
            other => other,
        }
    }

    fn no_operator<T>(&self, name: &str) -> Read<T> {
        if let Some(known) = NOT_SUPPORTED.iter().find(|known| **known == name) {
            return self.error(Problem::NotSupported(known));
        }
        self.error(Problem::NoOperator { name: shown(name), near: nearest(name) })
    }

    /// Parses the tests of a field: its operators, or equality with a plain value.
    fn tests(&mut self, value: &'a Value) -> Read<Vec<Test>> {
        if let Some(entries) = operators_of(value) {
            return self.operators(entries);
        }
        self.node()?;
        Ok(vec![Test::Eq(self.operand(value)?)])
    }

    fn operators(&mut self, entries: &'a BTreeMap<String, Value>) -> Read<Vec<Test>> {
        let mut tests = Vec::new();
        for (name, operand) in entries {
            let test = self.at(name, |reader| match name.as_str() {
                "$options" if entries.contains_key("$regex") => Ok(None),
                "$options" => reader.error(Problem::OptionsAlone),
                "$regex" => reader.regex(operand, entries.get("$options")).map(Some),
                operator if operator.starts_with('$') => reader.operator(operator, operand).map(Some),
                other => reader.error(Problem::Mixed(shown(other))),
            })?;
            tests.extend(test);
        }
        Ok(tests)
    }

    fn operator(&mut self, name: &str, operand: &'a Value) -> Read<Test> {
        self.node()?;
        Ok(match name {
            "$eq" => Test::Eq(self.operand(operand)?),
            "$ne" => Test::Ne(self.operand(operand)?),
            "$gt" => self.order(Relation::Above, operand)?,
            "$gte" => self.order(Relation::AtLeast, operand)?,
            "$lt" => self.order(Relation::Below, operand)?,
            "$lte" => self.order(Relation::AtMost, operand)?,
            "$in" => Test::In(self.choice("$in", operand)?),
            "$nin" => Test::Nin(self.choice("$nin", operand)?),
            "$exists" => {
                let Value::Bool(flag) = operand else { return self.wrong("$exists", "true or false", operand) };
                Test::Exists(*flag)
            }
            "$type" => Test::Type(self.types(operand)?),
            "$mod" => self.modulo(operand)?,
            "$size" => match operand.as_int().map(u64::try_from) {
                Some(Ok(length)) => Test::Size(length),
                _ => return self.wrong("$size", "a whole number from 0", operand),
            },
            "$all" => Test::Every(self.every(operand)?),
            "$elemMatch" => Test::Elem(self.elem(operand)?),
            "$not" => match operators_of(operand) {
                Some(entries) => Test::Not(self.operators(entries)?),
                None => return self.wrong("$not", "an object of operators such as {\"$gt\": 5}", operand),
            },
            _ => return self.no_operator(name),
        })
    }

    fn wrong<T>(&self, operator: &'static str, wanted: &'static str, found: &Value) -> Read<T> {
        self.error(Problem::Operand { operator, wanted, found: type_of(found) })
    }

    fn list(&self, operator: &'static str, wanted: &'static str, value: &'a Value) -> Read<&'a [Value]> {
        if let Value::List(items) = value { Ok(items) } else { self.wrong(operator, wanted, value) }
    }

    fn operands(&self, operator: &'static str, value: &'a Value) -> Read<&'a [Value]> {
        let items = self.list(operator, "a list of values", value)?;
        let count = items.len();
        if count > OPERANDS_MAX { self.error(Problem::TooManyOperands { count }) } else { Ok(items) }
    }

    fn order(&mut self, relation: Relation, operand: &'a Value) -> Read<Test> {
        let operand = self.operand(operand)?;
        if let Operand::Value(value) = &operand
            && value.is_container()
        {
            return self.wrong(relation.name(), "a number, a text, true, false, null or bytes", value);
        }
        Ok(Test::Order(relation, operand))
    }

    fn choice(&mut self, operator: &'static str, value: &'a Value) -> Read<Choice> {
        let items = self.operands(operator, value)?.iter().enumerate();
        let operands = items.map(|(at, item)| self.at(at.to_string(), |reader| reader.operand(item)));
        Ok(Choice::new(operands.collect::<Read<Vec<_>>>()?))
    }

    fn types(&mut self, operand: &'a Value) -> Read<Vec<Type>> {
        let list = operand.as_list().filter(|names| (1..=Type::NAMES.len()).contains(&names.len()));
        let names = list.map_or(core::slice::from_ref(operand), Vec::as_slice);
        let mut types = Vec::new();
        for name in names {
            let Value::Text(name) = name else {
                return self.wrong("$type", "a type's name such as \"string\", or a list of such", name);
            };
            match Type::NAMES.iter().find(|(known, _)| known == name) {
                Some((_, kind)) => types.push(*kind),
                None => return self.error(Problem::NoType(shown(name))),
            }
        }
        types.sort_unstable();
        types.dedup();
        Ok(types)
    }

    fn modulo(&self, operand: &Value) -> Read<Test> {
        match operand.as_list().map(Vec::as_slice) {
            Some([Value::Int(divisor), Value::Int(remainder)]) if *divisor != 0 => {
                Ok(Test::Mod { divisor: *divisor, remainder: *remainder })
            }
            _ => self.wrong("$mod", "a list of two whole numbers, a divisor other than 0 and a remainder", operand),
        }
    }

    fn every(&mut self, operand: &'a Value) -> Read<Vec<Each>> {
        let items = self.operands("$all", operand)?.iter().enumerate();
        items.map(|(at, item)| self.at(at.to_string(), |reader| reader.each(item))).collect()
    }

    fn each(&mut self, item: &'a Value) -> Read<Each> {
        match only_member(item, "$elemMatch") {
            Some(elem) => self.at("$elemMatch", |reader| {
                reader.node()?;
                reader.elem(elem).map(Each::Elem)
            }),
            None => self.operand(item).map(Each::Equal),
        }
    }

    /// Parses the condition on one item: operators, or a selector if there is a field name or a logical operator.
    fn elem(&mut self, operand: &'a Value) -> Read<Elem> {
        let Value::Map(entries) = operand else {
            return self.wrong("$elemMatch", "an object of operators, or a selector", operand);
        };
        let is_test = |name: &String| name.starts_with('$') && !matches!(name.as_str(), "$and" | "$or" | "$nor");
        if !entries.is_empty() && entries.keys().all(is_test) {
            return self.operators(entries).map(Elem::Tests);
        }
        self.selector(operand, Around::Element).map(|selector| Elem::Fields(Box::new(selector)))
    }

    fn regex(&mut self, operand: &'a Value, options: Option<&'a Value>) -> Read<Test> {
        self.node()?;
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return self.error(Problem::TooManyPatterns);
        }
        let Value::Text(source) = operand else {
            return self.wrong("$regex", "a text", operand);
        };
        let options = match options {
            None => "",
            Some(Value::Text(options)) => options,
            Some(other) => return self.wrong("$options", "a text of the letters i, m and s", other),
        };
        Pattern::new(source, options).map(Test::Regex).or_else(|error| self.error(error))
    }

    fn operand(&mut self, value: &'a Value) -> Read<Operand> {
        if let Some(name) = only_member(value, "$var") {
            let Value::Text(name) = name else {
                return self.wrong("$var", "the path of a variable such as \"auth.id\"", name);
            };
            return Path::parse(name).map(Operand::Var).or_else(|error| self.error(error));
        }
        if value.depth() > OPERAND_DEPTH_MAX {
            return self.error(Problem::TooDeep);
        }
        self.value(value).map(Operand::Value)
    }

    /// Reads a value, with `$bytes` unwrapped. Recursion is at most [`OPERAND_DEPTH_MAX`] deep.
    fn value(&self, value: &Value) -> Read<Value> {
        if let Some(hex) = only_member(value, "$bytes") {
            return hex.as_text().and_then(bytes).map(Value::Bytes).map_or_else(|| self.error(Problem::NoHex), Ok);
        }
        Ok(match value {
            Value::List(items) => Value::List(items.iter().map(|item| self.value(item)).collect::<Read<_>>()?),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), self.value(value)?)));
                Value::Map(entries.collect::<Read<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                value.clone()
            }
        })
    }
}

/// Returns the operators of an object that is not a plain value: a name in it begins with `$`, and it wraps no operand.
fn operators_of(value: &Value) -> Option<&BTreeMap<String, Value>> {
    let wraps = only_member(value, "$var").or_else(|| only_member(value, "$bytes")).is_some();
    value.as_map().filter(|entries| !wraps && entries.keys().any(|name| name.starts_with('$')))
}

/// Returns the value of an object's only member, if the member has this name.
fn only_member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_map().filter(|entries| entries.len() == 1)?.get(name)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
    }
}

/// Returns the most similar operator: it differs in case, or by at most two letters added, left out or changed.
fn nearest(name: &str) -> Option<&'static str> {
    /// Longest name to compare; a longer one is similar to no operator.
    const LEN_MAX: usize = 16;
    if name.len() > LEN_MAX {
        return None;
    }
    let distances = LOGIC.iter().chain(&TESTS).map(|known| (distance(name, known), *known));
    // Short names are all similar to each other, so they may differ by one letter only.
    let near = distances.filter(|(distance, known)| *distance <= if known.len() > 4 { 2 } else { 1 });
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Returns the number of letters to add, leave out or change to turn one name into the other.
fn distance(name: &str, known: &str) -> usize {
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (at, letter) in name.bytes().enumerate() {
        let mut corner = at;
        let mut left = at + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(known.bytes()) {
            let changed = corner + usize::from(!letter.eq_ignore_ascii_case(&other));
            corner = *cell;
            left = changed.min(left + 1).min(corner + 1);
            *cell = left;
        }
    }
    // Against an empty name, all letters must be added.
    if known.is_empty() { name.len() } else { row.last().copied().unwrap_or_default() }
}

impl Selector {
    /// Returns the number of selectors and tests, and their largest nesting.
    fn extent(&self) -> (usize, usize) {
        match self {
            Self::All(parts) | Self::Any(parts) => around(parts.iter().map(Self::extent)),
            Self::Not(inner) => around([inner.extent()]),
            Self::Field(_, test) => test.extent(),
        }
    }
}

impl Test {
    fn extent(&self) -> (usize, usize) {
        match self {
            Self::Not(tests) => around(tests.iter().map(Self::extent)),
            Self::Elem(elem) => around([elem.extent()]),
            Self::Every(parts) => around(parts.iter().filter_map(|each| match each {
                Each::Equal(_) => None,
                Each::Elem(elem) => Some(around([elem.extent()])),
            })),
            Self::Eq(_) | Self::Ne(_) | Self::Order(..) | Self::In(_) | Self::Nin(_) | Self::Exists(_) => (1, 1),
            Self::Type(_) | Self::Mod { .. } | Self::Size(_) | Self::Regex(_) => (1, 1),
        }
    }
}

impl Elem {
    fn extent(&self) -> (usize, usize) {
        match self {
            Self::Tests(tests) => around(tests.iter().map(Test::extent)),
            Self::Fields(selector) => selector.extent(),
        }
    }
}

fn around(inner: impl IntoIterator<Item = (usize, usize)>) -> (usize, usize) {
    inner.into_iter().fold((1, 1), |(nodes, depth), (more, deep)| (nodes + more, depth.max(deep + 1)))
}

#[cfg(test)]
mod tests;
