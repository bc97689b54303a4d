//! Paths into documents, such as `address.city` and `tags.0` (`spec/query.md`, section 2).

use super::{PATH_BYTES_MAX, PATH_STEPS_MAX};
use core::fmt;
use cosmicsync_protocol::crdt::Value;

/// One step from a container to a value in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The entry of a map with this key. At a list, the step continues in each map of the list.
    Key(String),
    /// Digits: the entry of a map with this key, or the item of a list at this index, counted from 0.
    Digits(String),
}

impl Step {
    /// Returns the step as the key of a map.
    pub fn key(&self) -> &str {
        match self {
            Self::Key(key) | Self::Digits(key) => key,
        }
    }

    /// Returns the step as the index of a list, if it fits in memory.
    pub fn place(&self) -> Option<usize> {
        match self {
            Self::Key(_) => None,
            Self::Digits(digits) => digits.parse().ok(),
        }
    }
}

impl From<String> for Step {
    fn from(key: String) -> Self {
        let digits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        if digits { Self::Digits(key) } else { Self::Key(key) }
    }
}

/// A path of 1 to [`PATH_STEPS_MAX`] steps from a value inwards.
///
/// Steps are separated by dots. A backslash makes the next dot, a `$` at the beginning or another backslash literal:
/// `a\.b` is the member `a.b`, and `\$id` is the member `$id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

/// Reasons for a text not to be a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text has more than [`PATH_BYTES_MAX`] bytes.
    #[error("the path has {bytes} bytes, and at most {PATH_BYTES_MAX} are allowed")]
    TooLong {
        /// Length in bytes.
        bytes: usize,
    },
    /// The path has more than [`PATH_STEPS_MAX`] steps.
    #[error("the path has more than {PATH_STEPS_MAX} steps")]
    TooManySteps,
    /// A step before, between or after the dots is empty.
    #[error("a step of the path is empty; write a dot that belongs to a name as `\\.`")]
    EmptyStep,
}

/// The values that a path reaches in a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Reached<'a> {
    /// The path crossed no list: one value or none.
    Plain(Option<&'a Value>),
    /// The path crossed a list: the values reached in each of its maps, in order.
    Crossed(Vec<&'a Value>),
}

impl<'a> Reached<'a> {
    /// Returns the reached values, in order; empty if the field is missing.
    pub fn values(&self) -> &[&'a Value] {
        match self {
            Self::Plain(value) => value.as_slice(),
            Self::Crossed(values) => values,
        }
    }

    /// Returns the candidates of tests: each reached value and, if it is a list, each of its items.
    pub fn candidates(&self) -> impl Iterator<Item = &'a Value> {
        self.values().iter().flat_map(|value| [*value].into_iter().chain(items(value)))
    }

    /// Returns the keys under which an index holds the document: the items of a list, any other value or an empty list
    /// itself, and `None` if nothing is reached. Never empty; may contain repetitions.
    pub fn keys(&self) -> Vec<Option<&'a Value>> {
        let mut keys = Vec::new();
        for value in self.values() {
            match items(value) {
                [] => keys.push(Some(*value)),
                items => keys.extend(items.iter().map(Some)),
            }
        }
        if keys.is_empty() { vec![None] } else { keys }
    }

    /// Returns whether the document may have several keys, because the path reached or crossed a list.
    pub fn is_multikey(&self) -> bool {
        match self {
            Self::Plain(value) => matches!(value, Some(Value::List(_))),
            Self::Crossed(_) => true,
        }
    }
}

/// Returns the items of a list; nothing for any other value.
pub(super) fn items(value: &Value) -> &[Value] {
    if let Value::List(items) = value { items } else { &[] }
}

impl Path {
    /// Parses a path. Fails on an empty step and beyond the limits.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong { bytes: text.len() });
        }
        let mut steps = Vec::new();
        let mut step = String::new();
        let mut chars = text.chars().peekable();
        loop {
            match (chars.next(), chars.peek()) {
                (Some('\\'), Some(&escaped @ ('.' | '\\' | '$'))) => {
                    chars.next();
                    step.push(escaped);
                }
                (Some('.') | None, _) if step.is_empty() => return Err(PathError::EmptyStep),
                (Some('.'), _) => steps.push(Step::from(core::mem::take(&mut step))),
                (Some(other), _) => step.push(other),
                (None, _) => break,
            }
        }
        steps.push(Step::from(step));
        if steps.len() > PATH_STEPS_MAX { Err(PathError::TooManySteps) } else { Ok(Self(steps)) }
    }

    /// Returns the steps, outermost first; at least one.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Returns this path followed by the steps of another; `None` beyond the limits.
    pub fn join(&self, inner: &Self) -> Option<Self> {
        let joined = Self(self.0.iter().chain(&inner.0).cloned().collect());
        (joined.0.len() <= PATH_STEPS_MAX && joined.to_string().len() <= PATH_BYTES_MAX).then_some(joined)
    }

    /// Follows the path from a value.
    pub fn reach<'a>(&self, value: &'a Value) -> Reached<'a> {
        let mut at = value;
        let mut rest = self.0.as_slice();
        while let Some((step, after)) = rest.split_first() {
            let next = match (at, step) {
                (Value::List(items), Step::Key(_)) => {
                    let mut reached = Vec::new();
                    items.iter().for_each(|item| collect(item, rest, &mut reached));
                    return Reached::Crossed(reached);
                }
                _ => enter(at, step),
            };
            let Some(next) = next else { return Reached::Plain(None) };
            (at, rest) = (next, after);
        }
        Reached::Plain(Some(at))
    }
}

/// Returns the value one step inside a container.
fn enter<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match value {
        Value::Map(entries) => entries.get(step.key()),
        Value::List(items) => items.get(step.place()?),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => None,
    }
}

/// Follows the steps from an item of a crossed list; an item that is not a map reaches nothing. Recursion is as deep as
/// the path.
fn collect<'a>(item: &'a Value, steps: &[Step], reached: &mut Vec<&'a Value>) {
    if !matches!(item, Value::Map(_)) {
        return;
    }
    let mut at = item;
    for (done, step) in steps.iter().enumerate() {
        if let (Value::List(items), Step::Key(_)) = (at, step) {
            let rest = steps.get(done..).unwrap_or_default();
            items.iter().for_each(|item| collect(item, rest, reached));
            return;
        }
        let Some(next) = enter(at, step) else { return };
        at = next;
    }
    reached.push(at);
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (place, step) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_char('.')?;
            } else if step.key().starts_with('$') {
                f.write_char('\\')?;
            }
            for char in step.key().chars() {
                if matches!(char, '.' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

impl core::str::FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use proptest::prelude::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn reached(text: &str, json: &str) -> (bool, String) {
        let value = json::parse(json.as_bytes()).unwrap();
        let reached = path(text).reach(&value);
        let values = Value::List(reached.values().iter().map(|value| (*value).clone()).collect());
        (matches!(reached, Reached::Crossed(_)), json::to_string(&values))
    }

    #[test]
    fn dots_separate_steps_and_backslashes_escape_them() {
        let keys = |text| path(text).steps().iter().map(|step| step.key().to_owned()).collect::<Vec<_>>();
        assert_eq!(keys("a.b.c"), ["a", "b", "c"]);
        assert_eq!(keys(r"a\.b.c"), ["a.b", "c"]);
        assert_eq!(keys(r"\$id"), ["$id"]);
        assert_eq!(keys(r"a\\.b"), [r"a\", "b"]);
        assert_eq!(keys(r"a\n"), [r"a\n"], "before anything else a backslash is itself");
        assert_eq!(path("a.01").steps()[1], Step::Digits("01".into()));
        assert_eq!(path("a.01").steps()[1].place(), Some(1));
        assert_eq!(path("a.99999999999999999999").steps()[1].place(), None);
    }

    #[test]
    fn limits_hold() {
        for text in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(Path::parse(text), Err(PathError::EmptyStep), "{text:?}");
        }
        assert!(Path::parse(&"a.".repeat(15)).is_err());
        assert_eq!(path(&["a"; 16].join(".")).steps().len(), PATH_STEPS_MAX);
        assert_eq!(Path::parse(&["a"; 17].join(".")), Err(PathError::TooManySteps));
        assert!(Path::parse(&"a".repeat(255)).is_ok());
        assert_eq!(Path::parse(&"a".repeat(256)), Err(PathError::TooLong { bytes: 256 }));
        assert_eq!(path(&["a"; 9].join(".")).join(&path(&["b"; 8].join("."))), None);
        assert_eq!(path("a").join(&path("b.c")), Some(path("a.b.c")));
    }

    #[test]
    fn paths_cross_lists_of_maps() {
        let plain = |values: &str| (false, values.to_owned());
        let crossed = |values: &str| (true, values.to_owned());
        assert_eq!(reached("a.b", r#"{"a":{"b":1}}"#), plain("[1]"));
        assert_eq!(reached("a.b", r#"{"a":1}"#), plain("[]"));
        assert_eq!(reached("a.b", r#"{"a":[{"b":1},{"c":2},3,{"b":[4]}]}"#), crossed("[1,[4]]"));
        assert_eq!(reached("a.b", r#"{"a":[[{"b":1}]]}"#), crossed("[]"), "one level of lists");
        assert_eq!(reached("a.b.c", r#"{"a":[{"b":[{"c":1},{"c":2}]},{"b":{"c":3}}]}"#), crossed("[1,2,3]"));
        assert_eq!(reached("a.1", r#"{"a":[5,6]}"#), plain("[6]"));
        assert_eq!(reached("a.2", r#"{"a":[5,6]}"#), plain("[]"));
        assert_eq!(reached("a.1", r#"{"a":{"1":7}}"#), plain("[7]"));
        assert_eq!(reached("a.1.b", r#"{"a":[0,{"b":8}]}"#), plain("[8]"));
        assert_eq!(reached("a.b.0", r#"{"a":[{"b":[1,2]},{"b":[3]}]}"#), crossed("[1,3]"));
    }

    #[test]
    fn an_index_holds_a_document_under_each_item() {
        let keys = |json: &str| {
            let value = json::parse(json.as_bytes()).unwrap();
            let reached = path("a").reach(&value);
            let keys = reached.keys().iter().map(|key| key.map(json::to_string)).collect::<Vec<_>>();
            (keys, reached.is_multikey())
        };
        let some = |keys: &[&str]| keys.iter().map(|key| Some((*key).to_owned())).collect::<Vec<_>>();
        assert_eq!(keys(r#"{"a":[1,[2]]}"#), (some(&["1", "[2]"]), true));
        assert_eq!(keys(r#"{"a":[]}"#), (some(&["[]"]), true));
        assert_eq!(keys(r#"{"a":null}"#), (some(&["null"]), false));
        assert_eq!(keys("{}"), (vec![None], false));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in r"[ab0$\\.]{0,12}") {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
