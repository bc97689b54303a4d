//! JSON Patch (RFC 6902): turns operations into changes, and two values into operations.

use crate::patch;
use cosmicsync_protocol::crdt::{Change, Step, TextPaths, Value};
use std::collections::BTreeMap;

/// Largest number of operations in a patch.
pub const OPERATIONS_MAX: usize = 10_000;

/// One operation of a patch.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Sets a member, or inserts an item.
    Add(Pointer, Value),
    /// Removes a member or an item.
    Remove(Pointer),
    /// Replaces an existing value.
    Replace(Pointer, Value),
    /// Removes a value and adds it at another place.
    Move(Pointer, Pointer),
    /// Adds a copy of another value.
    Copy(Pointer, Pointer),
    /// Fails unless the place holds this value.
    Test(Pointer, Value),
}

/// A JSON pointer (RFC 6901), as its unescaped names.
pub type Pointer = Vec<String>;

/// Reasons to refuse a patch. A refused patch changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    /// The patch is not a list of operations.
    #[error("a JSON patch is an array of at most {OPERATIONS_MAX} operations")]
    NotOperations,
    /// Operation number `.0` is not an operation of RFC 6902.
    #[error("operation {0}: not one of RFC 6902: it needs op, path, and value or from")]
    Malformed(usize),
    /// Operation number `at` refers to a place that does not exist.
    #[error("operation {at}: there is nothing at '{pointer}'")]
    NoSuchPlace {
        /// Number of the operation.
        at: usize,
        /// The place.
        pointer: String,
    },
    /// A test failed.
    #[error("operation {at}: the test of '{pointer}' fails")]
    TestFailed {
        /// Number of the operation.
        at: usize,
        /// The place.
        pointer: String,
    },
}

/// Parses a patch.
pub fn parse(patch: &Value) -> Result<Vec<Operation>, JsonPatchError> {
    let items = patch.as_list().filter(|items| items.len() <= OPERATIONS_MAX).ok_or(JsonPatchError::NotOperations)?;
    items.iter().enumerate().map(|(at, item)| operation(item).ok_or(JsonPatchError::Malformed(at))).collect()
}

fn operation(item: &Value) -> Option<Operation> {
    let place = |member| pointer(item.entry(member)?.as_text()?);
    let value = || item.entry("value").cloned();
    let path = place("path")?;
    Some(match item.entry("op")?.as_text()? {
        "add" => Operation::Add(path, value()?),
        "remove" => Operation::Remove(path),
        "replace" => Operation::Replace(path, value()?),
        "move" => Operation::Move(place("from")?, path),
        "copy" => Operation::Copy(place("from")?, path),
        "test" => Operation::Test(path, value()?),
        _ => return None,
    })
}

/// Parses a JSON pointer; `None` if it is invalid.
pub fn pointer(text: &str) -> Option<Pointer> {
    let mut names = text.split('/');
    if names.next() != Some("") {
        return None;
    }
    Some(names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
}

/// Writes a JSON pointer.
pub fn show(pointer: &[String]) -> String {
    pointer.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Returns the changes that a patch makes to a value, in order.
pub fn changes(value: &Value, operations: &[Operation]) -> Result<Vec<Change>, JsonPatchError> {
    let mut work = Work { value: value.clone(), changes: Vec::new() };
    for (at, operation) in operations.iter().enumerate() {
        work.run(at, operation)?;
    }
    Ok(work.changes)
}

/// Returns the value that each operation replaces or removes, if it does.
pub fn replaced(before: &Value, operations: &[Operation]) -> Result<Vec<Option<Value>>, JsonPatchError> {
    let mut work = Work { value: before.clone(), changes: Vec::new() };
    let mut stood = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter().enumerate() {
        stood.push(match operation {
            Operation::Remove(path) | Operation::Replace(path, _) => work.find(path).cloned(),
            Operation::Add(..) | Operation::Move(..) | Operation::Copy(..) | Operation::Test(..) => None,
        });
        work.run(at, operation)?;
    }
    Ok(stood)
}

struct Work {
    value: Value,
    changes: Vec<Change>,
}

impl Work {
    fn run(&mut self, at: usize, operation: &Operation) -> Result<(), JsonPatchError> {
        let nothing = |pointer: &[String]| JsonPatchError::NoSuchPlace { at, pointer: show(pointer) };
        match operation {
            Operation::Add(to, value) => self.add(to, value.clone()).ok_or_else(|| nothing(to)),
            Operation::Remove(from) => self.remove(from).map(drop).ok_or_else(|| nothing(from)),
            Operation::Replace(to, value) => self.replace(to, value.clone()).ok_or_else(|| nothing(to)),
            Operation::Move(from, to) => {
                if to.len() > from.len() && to.starts_with(from) {
                    return Err(nothing(to));
                }
                if from == to {
                    return self.find(from).map(drop).ok_or_else(|| nothing(from));
                }
                let value = self.remove(from).ok_or_else(|| nothing(from))?;
                self.add(to, value).ok_or_else(|| nothing(to))
            }
            Operation::Copy(from, to) => {
                let value = self.find(from).cloned().ok_or_else(|| nothing(from))?;
                self.add(to, value).ok_or_else(|| nothing(to))
            }
            Operation::Test(place, value) => match self.find(place) {
                Some(found) if is_equal(found, value) => Ok(()),
                Some(_) => Err(JsonPatchError::TestFailed { at, pointer: show(place) }),
                None => Err(nothing(place)),
            },
        }
    }

    fn find(&self, pointer: &[String]) -> Option<&Value> {
        pointer.iter().try_fold(&self.value, |here, name| {
            here.entry(name).or_else(|| here.as_list().and_then(|items| items.get(index(name)?)))
        })
    }

    /// Finds the container of a place; returns it with its path and the last name of the pointer.
    fn parent<'a>(&mut self, pointer: &'a [String]) -> Option<(&mut Value, Vec<Step>, &'a String)> {
        let (last, above) = pointer.split_last()?;
        let mut path = Vec::with_capacity(above.len());
        let mut here = &mut self.value;
        for name in above {
            here = match here {
                Value::Map(entries) => {
                    path.push(Step::Key(name.clone()));
                    entries.get_mut(name)?
                }
                Value::List(items) => {
                    let index = index(name)?;
                    path.push(Step::Index(index));
                    items.get_mut(index)?
                }
                Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                    return None;
                }
            };
        }
        Some((here, path, last))
    }

    fn add(&mut self, to: &[String], value: Value) -> Option<()> {
        if to.is_empty() {
            return self.whole(value);
        }
        let (parent, mut path, last) = self.parent(to)?;
        match parent {
            Value::Map(entries) => {
                entries.insert(last.clone(), value.clone());
                path.push(Step::Key(last.clone()));
                self.changes.push(Change::Set { path, value });
            }
            Value::List(items) => {
                let index = if last == "-" { items.len() } else { index(last).filter(|at| *at <= items.len())? };
                items.insert(index, value.clone());
                self.changes.push(Change::Insert { path, index, values: vec![value] });
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                return None;
            }
        }
        Some(())
    }

    fn remove(&mut self, from: &[String]) -> Option<Value> {
        let (parent, mut path, last) = self.parent(from)?;
        let (removed, step) = match parent {
            Value::Map(entries) => (entries.remove(last)?, Step::Key(last.clone())),
            Value::List(items) => {
                let index = index(last).filter(|at| *at < items.len())?;
                (items.remove(index), Step::Index(index))
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                return None;
            }
        };
        path.push(step);
        self.changes.push(Change::Remove { path });
        Some(removed)
    }

    fn replace(&mut self, to: &[String], value: Value) -> Option<()> {
        if to.is_empty() {
            return self.whole(value);
        }
        let (parent, mut path, last) = self.parent(to)?;
        let (stands, step) = match parent {
            Value::Map(entries) => (entries.get_mut(last)?, Step::Key(last.clone())),
            Value::List(items) => {
                let index = index(last)?;
                (items.get_mut(index)?, Step::Index(index))
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                return None;
            }
        };
        *stands = value.clone();
        path.push(step);
        self.changes.push(Change::Set { path, value });
        Some(())
    }

    /// Replaces the whole document by the smallest change.
    fn whole(&mut self, value: Value) -> Option<()> {
        self.changes.extend(patch::put(&self.value, &value, &TextPaths::none()).ok()?);
        self.value = value;
        Some(())
    }
}

/// Parses the index of an item: digits without a leading zero.
fn index(name: &str) -> Option<usize> {
    let is_canonical = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| is_canonical)
}

/// Returns whether values are equal by RFC 6902: numbers are equal if their numeric values are.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b && *b as i64 == *a,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && is_equal(a, b))
        }
        _ => a == b,
    }
}

/// Returns the operations that turn one value into another: [`changes`], applied to `before`, leads to `after`.
pub fn diff(before: &Value, after: &Value) -> Vec<Operation> {
    let changes = patch::put(before, after, &TextPaths::none()).unwrap_or_default();
    let mut operations = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Change::Set { path, value } => {
                let stands = path.iter().try_fold(before, |here, step| match (here, step) {
                    (Value::Map(entries), Step::Key(key)) => entries.get(key),
                    (Value::List(items), Step::Index(index)) => items.get(*index),
                    _ => None,
                });
                let place = names(&path);
                let is_item = matches!(path.last(), Some(Step::Index(_)));
                operations.push(match stands {
                    None if !is_item => Operation::Add(place, value),
                    _ => Operation::Replace(place, value),
                });
            }
            Change::Remove { path } => operations.push(Operation::Remove(names(&path))),
            Change::Insert { path, index, values } => {
                for (at, value) in (index..).zip(values) {
                    operations.push(Operation::Add(item(&path, at), value));
                }
            }
            Change::Delete { path, index, len } => {
                operations.extend((0..len).map(|_| Operation::Remove(item(&path, index))));
            }
            // Comparing two values produces neither of these.
            Change::Splice { .. } | Change::Add { .. } => {}
        }
    }
    operations
}

fn names(path: &[Step]) -> Pointer {
    path.iter().map(ToString::to_string).collect()
}

fn item(path: &[Step], index: usize) -> Pointer {
    let mut pointer = names(path);
    pointer.push(index.to_string());
    pointer
}

/// Returns an operation in the form of RFC 6902.
pub fn to_value(operation: &Operation) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let (op, path, rest) = match operation {
        Operation::Add(path, value) => ("add", path, Some(("value", value.clone()))),
        Operation::Remove(path) => ("remove", path, None),
        Operation::Replace(path, value) => ("replace", path, Some(("value", value.clone()))),
        Operation::Move(from, path) => ("move", path, Some(("from", text(&show(from))))),
        Operation::Copy(from, path) => ("copy", path, Some(("from", text(&show(from))))),
        Operation::Test(path, value) => ("test", path, Some(("value", value.clone()))),
    };
    let mut members = BTreeMap::from([("op".to_owned(), text(op)), ("path".to_owned(), text(&show(path)))]);
    members.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    Value::Map(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{parse as json, tests::any_json};
    use cosmicsync_protocol::crdt::{Meta, Replica};
    use proptest::prelude::*;

    fn value(text: &str) -> Value {
        json(text.as_bytes()).unwrap()
    }

    fn applied(before: &Value, operations: &[Operation]) -> Value {
        let changes = changes(before, operations).unwrap();
        let mut replica = Replica::create(1, &Meta::default(), before, &TextPaths::none()).unwrap();
        replica.apply(&changes, &TextPaths::none()).unwrap();
        replica.value().unwrap()
    }

    #[test]
    fn every_operation_does_what_the_rfc_says() {
        let before = value(r#"{"a":[1,2,3],"b":{"c":1},"m/n~":0}"#);
        for (patch, after) in [
            (r#"[{"op":"add","path":"/a/1","value":9}]"#, r#"{"a":[1,9,2,3],"b":{"c":1},"m/n~":0}"#),
            (r#"[{"op":"add","path":"/a/-","value":9}]"#, r#"{"a":[1,2,3,9],"b":{"c":1},"m/n~":0}"#),
            (r#"[{"op":"remove","path":"/b/c"}]"#, r#"{"a":[1,2,3],"b":{},"m/n~":0}"#),
            (r#"[{"op":"replace","path":"/m~1n~0","value":5}]"#, r#"{"a":[1,2,3],"b":{"c":1},"m/n~":5}"#),
            (r#"[{"op":"move","from":"/a/0","path":"/b/d"}]"#, r#"{"a":[2,3],"b":{"c":1,"d":1},"m/n~":0}"#),
            (r#"[{"op":"copy","from":"/b","path":"/a/0"}]"#, r#"{"a":[{"c":1},1,2,3],"b":{"c":1},"m/n~":0}"#),
            (r#"[{"op":"test","path":"/b/c","value":1.0},{"op":"remove","path":"/a"}]"#, r#"{"b":{"c":1},"m/n~":0}"#),
            (r#"[{"op":"replace","path":"","value":{"x":1}}]"#, r#"{"x":1}"#),
        ] {
            let operations = parse(&value(patch)).unwrap();
            assert_eq!(applied(&before, &operations), value(after), "{patch}");
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let before = value(r#"{"a":[1]}"#);
        for patch in [
            r#"[{"op":"remove","path":"/b"}]"#,
            r#"[{"op":"add","path":"/a/2","value":1}]"#,
            r#"[{"op":"add","path":"/a/01","value":1}]"#,
            r#"[{"op":"replace","path":"/b","value":1}]"#,
            r#"[{"op":"test","path":"/a","value":[2]}]"#,
            r#"[{"op":"move","from":"/a","path":"/a/0"}]"#,
        ] {
            assert!(changes(&before, &parse(&value(patch)).unwrap()).is_err(), "{patch}");
        }
        for patch in [
            r#"{}"#,
            r#"[{"op":"add","path":"/a"}]"#,
            r#"[{"op":"grow","path":"/a"}]"#,
            r#"[{"op":"remove","path":"a"}]"#,
        ] {
            assert!(parse(&value(patch)).is_err(), "{patch}");
        }
    }

    proptest! {
        #[test]
        fn a_diff_applied_gives_the_later_value(
            before in proptest::collection::btree_map("[a-c]", any_json(), 0..4),
            after in proptest::collection::btree_map("[a-c]", any_json(), 0..4),
        ) {
            let (before, after) = (Value::Map(before), Value::Map(after));
            let operations = diff(&before, &after);
            prop_assert_eq!(applied(&before, &operations), after);
            let shown = Value::List(operations.iter().map(to_value).collect());
            prop_assert_eq!(parse(&shown).unwrap(), operations);
        }
    }
}
