//! Finds the changes that turn a document into another.
//!
//! Changes are small, because an unchanged part cannot conflict: maps are compared entry by entry, lists by their
//! common beginning and end. A string is set as a whole; where the document has a text, setting it edits only the part
//! that differs. Specified in `spec/documents.md`, section 5.
//!
//! ```
//! use cosmicsync_data::{Change, TextPaths, json, patch};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let current = json::parse(br#"{"name": "Ada", "tags": ["a", "c"], "old": true}"#)?;
//! let wanted = json::parse(br#"{"name": "Ada", "tags": ["a", "b", "c"]}"#)?;
//! let changes = patch::put(&current, &wanted, &TextPaths::none())?;
//! let insert = Change::Insert { path: vec!["tags".into()], index: 1, values: vec!["b".into()] };
//! assert_eq!(changes.len(), 2);
//! assert!(changes.contains(&insert) && changes.contains(&Change::Remove { path: vec!["old".into()] }));
//!
//! // A merge patch names only the entries that change.
//! let merged = patch::merge_patch(&current, &json::parse(br#"{"old": null, "tags": ["a", "b", "c"]}"#)?)?;
//! assert_eq!(merged, changes);
//! # Ok(())
//! # }
//! ```

use cosmicsync_protocol::crdt::{Change, Step, TextPaths, Value};
use std::collections::BTreeMap;

/// The wanted value is not a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The value is not an object.
    #[error("a document must be an object")]
    NotObject,
}

/// Finds the changes that make `current` equal to `wanted`, with texts at the paths in `texts`.
///
/// A string at such a path is set even if it is equal, because the value does not show whether it is a text yet.
/// Setting a text to its own content changes nothing. A `current` that is not a map is treated as an empty map: the
/// value of a document that does not exist is null.
pub fn put(current: &Value, wanted: &Value, texts: &TextPaths) -> Result<Vec<Change>, PatchError> {
    let wanted = wanted.as_map().ok_or(PatchError::NotObject)?;
    let none = BTreeMap::new();
    let mut diff = Diff { texts, path: Vec::new(), changes: Vec::new() };
    diff.maps(current.as_map().unwrap_or(&none), wanted);
    Ok(diff.changes)
}

/// Finds the changes of a JSON merge patch (RFC 7396): null removes an entry, objects merge, and anything else
/// replaces.
pub fn merge_patch(current: &Value, patch: &Value) -> Result<Vec<Change>, PatchError> {
    put(current, &merged(current, patch), &TextPaths::none())
}

/// Returns the result of a merge patch.
fn merged(current: &Value, patch: &Value) -> Value {
    let Value::Map(patch) = patch else { return patch.clone() };
    let mut entries = current.as_map().cloned().unwrap_or_default();
    for (key, value) in patch {
        if *value == Value::Null {
            entries.remove(key);
        } else {
            let value = merged(entries.get(key).unwrap_or(&Value::Null), value);
            entries.insert(key.clone(), value);
        }
    }
    Value::Map(entries)
}

/// Changes so far, and the present place in the document.
struct Diff<'a> {
    texts: &'a TextPaths,
    path: Vec<Step>,
    changes: Vec<Change>,
}

impl Diff<'_> {
    fn maps(&mut self, current: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>) {
        for key in current.keys().filter(|key| !wanted.contains_key(*key)) {
            let path = self.at(Step::Key(key.clone()));
            self.changes.push(Change::Remove { path });
        }
        for (key, wanted) in wanted {
            self.child(Step::Key(key.clone()), current.get(key), wanted);
        }
    }

    fn lists(&mut self, current: &[Value], wanted: &[Value]) {
        let prefix = current.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        let (old, new) = (&current[prefix..], &wanted[prefix..]);
        let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
        if old.len() == new.len() {
            for (index, (old, new)) in (prefix..).zip(old.iter().zip(new)) {
                self.child(Step::Index(index), Some(old), new);
            }
        } else {
            if !old.is_empty() {
                self.changes.push(Change::Delete { path: self.path.clone(), index: prefix, len: old.len() });
            }
            if !new.is_empty() {
                self.changes.push(Change::Insert { path: self.path.clone(), index: prefix, values: new.to_vec() });
            }
        }
        for (index, same) in wanted.iter().enumerate() {
            if !(prefix..wanted.len() - suffix).contains(&index) {
                self.child(Step::Index(index), Some(same), same);
            }
        }
    }

    fn child(&mut self, step: Step, current: Option<&Value>, wanted: &Value) {
        let same = current == Some(wanted);
        if same && self.texts.is_empty() {
            return;
        }
        self.path.push(step);
        match (current, wanted) {
            (Some(Value::Map(current)), Value::Map(wanted)) => self.maps(current, wanted),
            (Some(Value::List(current)), Value::List(wanted)) => self.lists(current, wanted),
            _ if same && !(wanted.as_text().is_some() && self.texts.contains(&self.path)) => {}
            _ => self.changes.push(Change::Set { path: self.path.clone(), value: wanted.clone() }),
        }
        self.path.pop();
    }

    fn at(&self, step: Step) -> Vec<Step> {
        let mut path = self.path.clone();
        path.push(step);
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{parse, tests::any_json};
    use cosmicsync_protocol::crdt::{Meta, Replica, TextPaths, check};
    use proptest::prelude::*;

    fn any_document() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-d]", any_json(), 0..4).prop_map(Value::Map)
    }

    fn value(json: &str) -> Value {
        parse(json.as_bytes()).unwrap()
    }

    fn send(from: &mut Replica, to: &mut Replica) {
        if let Some(update) = from.take_update().unwrap() {
            to.import(vec![check(&update.bytes, from.peer(), update.start).unwrap()]).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_put_makes_the_document_what_was_wanted(a in any_document(), b in any_document(), text: bool) {
            let texts: TextPaths = if text { ["a", "b.*"].into_iter().collect() } else { TextPaths::none() };
            let mut replica = Replica::create(1, &Meta::default(), &a, &TextPaths::none()).unwrap();
            prop_assert_eq!(replica.value().unwrap(), a.clone());
            replica.apply(&put(&a, &b, &texts).unwrap(), &texts).unwrap();
            prop_assert_eq!(replica.value().unwrap(), b.clone());
            prop_assert_eq!(put(&b, &b, &TextPaths::none()).unwrap(), []);
            let text = b.entry("a").and_then(Value::as_text).filter(|_| text);
            prop_assert_eq!(replica.text_at(&["a".into()]).unwrap(), text.map(str::to_owned));
        }

        #[test]
        fn concurrent_puts_converge(base in any_document(), x in any_document(), y in any_document()) {
            let texts: TextPaths = ["a"].into_iter().collect();
            let mut a = Replica::create(1, &Meta::default(), &base, &texts).unwrap();
            let mut b = Replica::new(2);
            send(&mut a, &mut b);
            a.apply(&put(&base, &x, &texts).unwrap(), &texts).unwrap();
            b.apply(&put(&base, &y, &texts).unwrap(), &texts).unwrap();
            let (from_a, from_b) = (a.take_update().unwrap(), b.take_update().unwrap());
            for (update, peer, to) in [(from_a, 1, &mut b), (from_b, 2, &mut a)] {
                if let Some(update) = update {
                    to.import(vec![check(&update.bytes, peer, update.start).unwrap()]).unwrap();
                }
            }
            prop_assert_eq!(a.value().unwrap(), b.value().unwrap());
        }

        #[test]
        fn a_merge_patch_is_its_own_definition(a in any_document(), patch in any_document()) {
            let mut replica = Replica::create(1, &Meta::default(), &a, &TextPaths::none()).unwrap();
            replica.apply(&merge_patch(&a, &patch).unwrap(), &TextPaths::none()).unwrap();
            prop_assert_eq!(replica.value().unwrap(), merged(&a, &patch));
        }
    }

    #[test]
    fn a_zero_takes_the_place_of_one_with_another_sign() {
        let (negative, positive) = (value(r#"{"a":-0.0}"#), value(r#"{"a":0.0}"#));
        for (from, to) in [(&negative, &positive), (&positive, &negative)] {
            let mut replica = Replica::create(1, &Meta::default(), from, &TextPaths::none()).unwrap();
            replica.apply(&put(from, to, &TextPaths::none()).unwrap(), &TextPaths::none()).unwrap();
            assert_eq!(replica.value().unwrap(), *to);
        }
    }

    #[test]
    fn only_what_differs_is_touched() {
        let current = value(r#"{"a":{"x":1,"y":2},"l":[1,2,{"n":1},4],"gone":true}"#);
        let wanted = value(r#"{"a":{"x":1,"y":3},"l":[1,2,{"n":2},4]}"#);
        let changes = put(&current, &wanted, &TextPaths::none()).unwrap();
        assert_eq!(
            changes,
            [
                Change::Remove { path: vec!["gone".into()] },
                Change::Set { path: vec!["a".into(), "y".into()], value: Value::Int(3) },
                Change::Set { path: vec!["l".into(), 2.into(), "n".into()], value: Value::Int(2) },
            ]
        );
        let longer = value(r#"{"a":{"x":1,"y":2},"l":[1,2,7,8,{"n":1},4],"gone":true}"#);
        let insert = Change::Insert { path: vec!["l".into()], index: 2, values: vec![7.into(), 8.into()] };
        assert_eq!(put(&current, &longer, &TextPaths::none()).unwrap(), [insert]);
    }

    #[test]
    fn an_equal_string_becomes_a_text_where_one_is_asked_for() {
        let texts: TextPaths = ["s", "l.*.s"].into_iter().collect();
        let current = value(r#"{"s":"a","t":"b","l":[{"s":"c"},{"s":"d"},{"s":"e"}]}"#);
        let shorter = value(r#"{"s":"a","t":"b","l":[{"s":"c"},{"s":"e"}]}"#);
        for wanted in [&current, &shorter] {
            let mut replica = Replica::create(1, &Meta::default(), &current, &TextPaths::none()).unwrap();
            replica.apply(&put(&current, wanted, &texts).unwrap(), &texts).unwrap();
            assert_eq!(replica.value().unwrap(), *wanted);
            assert_eq!(replica.text_at(&["s".into()]).unwrap().as_deref(), Some("a"));
            assert_eq!(replica.text_at(&["t".into()]).unwrap(), None);
            for index in 0..wanted.entry("l").and_then(Value::as_list).unwrap().len() {
                assert!(replica.text_at(&["l".into(), index.into(), "s".into()]).unwrap().is_some(), "item {index}");
            }
            replica.take_update().unwrap();
            replica.apply(&put(wanted, wanted, &texts).unwrap(), &texts).unwrap();
            assert_eq!(replica.take_update().unwrap(), None, "texts are set to what they are for nothing");
        }
    }

    #[test]
    fn the_examples_of_rfc_7396() {
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(&value(original), &value(patch)), value(result), "{original} {patch}");
        }
        assert_eq!(merge_patch(&value("{}"), &value("[]")), Err(PatchError::NotObject));
    }
}
