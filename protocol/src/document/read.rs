//! From Loro containers to values.
//!
//! Recursion is bounded by [`DEPTH_MAX`]: what lies deeper reads as null, as does what values can't say (trees,
//! counters, movable lists, numbers that are not finite). So the reading is a function of the merged state alone.

use super::{DEPTH_MAX, Step, Value};
use loro::{Container, LoroList, LoroMap, LoroValue, ValueOrContainer};
use std::collections::BTreeMap;

/// Reads a map container that stands `depth` levels below the document.
pub(super) fn map(map: &LoroMap, depth: usize) -> Value {
    let mut entries = BTreeMap::new();
    map.for_each(|key, child| {
        entries.insert(key.to_owned(), any(child, depth + 1));
    });
    Value::Map(entries)
}

fn list(list: &LoroList, depth: usize) -> Value {
    let mut items = Vec::with_capacity(list.len());
    list.for_each(|child| items.push(any(child, depth + 1)));
    Value::List(items)
}

/// Reads what a container holds.
pub(super) fn any(child: ValueOrContainer, depth: usize) -> Value {
    match child {
        ValueOrContainer::Value(value) => plain(&value, depth),
        ValueOrContainer::Container(Container::Text(text)) => Value::Text(text.to_string()),
        ValueOrContainer::Container(_) if depth >= DEPTH_MAX => Value::Null,
        ValueOrContainer::Container(Container::Map(child)) => map(&child, depth),
        ValueOrContainer::Container(Container::List(child)) => list(&child, depth),
        ValueOrContainer::Container(
            Container::Tree(_) | Container::MovableList(_) | Container::Counter(_) | Container::Unknown(_),
        ) => Value::Null,
    }
}

fn plain(value: &LoroValue, depth: usize) -> Value {
    match value {
        LoroValue::Bool(flag) => Value::Bool(*flag),
        LoroValue::I64(number) => Value::Int(*number),
        LoroValue::Double(number) if number.is_finite() => Value::Float(*number),
        LoroValue::Binary(bytes) => Value::Bytes(bytes.to_vec()),
        LoroValue::String(text) => Value::Text(text.to_string()),
        LoroValue::List(items) if depth < DEPTH_MAX => {
            Value::List(items.iter().map(|item| plain(item, depth + 1)).collect())
        }
        LoroValue::Map(entries) if depth < DEPTH_MAX => {
            Value::Map(entries.iter().map(|(key, item)| (key.clone(), plain(item, depth + 1))).collect())
        }
        LoroValue::Null | LoroValue::Double(_) | LoroValue::List(_) | LoroValue::Map(_) | LoroValue::Container(_) => {
            Value::Null
        }
    }
}

/// Goes down `path` from `root`. `None` when a step leads nowhere; a step into a plain value does.
pub(super) fn find(root: &LoroMap, path: &[Step]) -> Option<ValueOrContainer> {
    let mut here = ValueOrContainer::Container(Container::Map(root.clone()));
    for step in path {
        here = match (here, step) {
            (ValueOrContainer::Container(Container::Map(map)), Step::Key(key)) => map.get(key)?,
            (ValueOrContainer::Container(Container::List(list)), Step::Index(index)) => list.get(*index)?,
            _ => return None,
        };
    }
    Some(here)
}
