//! Values: each edit's effect by a model of its own, and the values that concurrent edits may leave (O22).
//!
//! The model knows plain data alone: maps, lists, texts as characters, numbers. It shares no code with documents, and
//! none with the engine that merges them.

use super::reader::Shown;
use crate::report::OracleId;
use crate::world::{DRAFT, World};
use cosmicsync_protocol::crdt::{Change, Step, Value, Version};
use cosmicsync_protocol::documents::Edit;
use std::collections::BTreeMap;

/// Content of a document on one peer at one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) value: Value,
    pub(crate) deleted: bool,
    pub(crate) version: Version,
    /// The writer, as operations name it.
    pub(crate) by: u64,
}

/// Edit that the model keeps: its writer, the end of its operations, and the version that its author saw.
#[derive(Debug)]
struct Write {
    by: u64,
    end: u32,
    saw: Version,
    /// The field that the edit sets, and its value; `None` if it removes the field.
    field: Option<(String, Option<Value>)>,
    /// Characters that the edit adds to the draft, and those that it removes.
    typed: Vec<char>,
    erased: Vec<char>,
}

impl Write {
    fn is_in(&self, version: &Version) -> bool {
        version.get(&self.by).is_some_and(|end| *end >= self.end)
    }
}

/// The model of one document.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Number of edits that made it.
    made: u32,
    /// The draft that the document was made with.
    draft: Vec<char>,
    writes: Vec<Write>,
    /// The state after the last edit, as long as each author had seen the edit before.
    line: Option<State>,
    is_branched: bool,
    /// For each version that a peer showed, the digest of its value.
    shown: BTreeMap<Version, [u8; 32]>,
}

/// Returns the value after changes; `None` if one of them does not apply.
pub(crate) fn after(value: &Value, changes: &[Change]) -> Option<Value> {
    let mut value = value.clone();
    changes.iter().try_for_each(|change| apply(&mut value, change))?;
    Some(value)
}

fn apply(value: &mut Value, change: &Change) -> Option<()> {
    match change {
        Change::Set { path, value: new } => match parent(value, path)? {
            (Value::Map(entries), Step::Key(key)) => drop(entries.insert(key.clone(), new.clone())),
            (Value::List(items), Step::Index(index)) => *items.get_mut(*index)? = new.clone(),
            _ => return None,
        },
        Change::Remove { path } => match parent(value, path)? {
            (Value::Map(entries), Step::Key(key)) => drop(entries.remove(key)?),
            (Value::List(items), Step::Index(index)) if *index < items.len() => drop(items.remove(*index)),
            _ => return None,
        },
        Change::Insert { path, index, values } => {
            let Value::List(items) = at(value, path)? else { return None };
            let later = items.split_off(items.len().min(*index));
            items.extend(values.iter().cloned().chain(later));
        }
        Change::Delete { path, index, len } => {
            let Value::List(items) = at(value, path)? else { return None };
            let later = items.split_off(items.len().min(index + len));
            items.truncate(*index);
            items.extend(later);
        }
        Change::Splice { path, at: from, delete, insert } => {
            let Value::Text(text) = at(value, path)? else { return None };
            let (head, tail) = (text.chars().take(*from), text.chars().skip(from + delete));
            *text = head.chain(insert.chars()).chain(tail).collect();
        }
        Change::Add { path, by } => {
            let (Value::Map(entries), Step::Key(key)) = parent(value, path)? else { return None };
            let Value::Int(sum) = entries.entry(key.clone()).or_insert(Value::Int(0)) else { return None };
            *sum = sum.wrapping_add(*by);
        }
    }
    Some(())
}

fn at<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match (value, step) {
        (Value::Map(entries), Step::Key(key)) => entries.get_mut(key),
        (Value::List(items), Step::Index(index)) => items.get_mut(*index),
        _ => None,
    })
}

fn parent<'v, 'p>(value: &'v mut Value, path: &'p [Step]) -> Option<(&'v mut Value, &'p Step)> {
    let (last, above) = path.split_last()?;
    Some((at(value, above)?, last))
}

fn draft(value: &Value) -> Vec<char> {
    value.entry(DRAFT).and_then(Value::as_text).map(|text| text.chars().collect()).unwrap_or_default()
}

/// Returns the characters that turn a text into another, and those that go, between the common ends of both.
fn strokes(before: &[char], after: &[char]) -> (Vec<char>, Vec<char>) {
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    (after[..after.len() - tail].to_vec(), before[..before.len() - tail].to_vec())
}

fn count(chars: &[char]) -> BTreeMap<char, usize> {
    chars.iter().fold(BTreeMap::new(), |mut counts, char| {
        *counts.entry(*char).or_default() += 1;
        counts
    })
}

impl Values {
    /// Notes an edit. Returns what is wrong with its effect.
    pub(crate) fn note(&mut self, edit: &Edit, before: Option<&State>, after: &State) -> Option<String> {
        let mut write = Write {
            by: after.by,
            end: after.version.get(&after.by).copied().unwrap_or(0),
            saw: before.map(|state| state.version.clone()).unwrap_or_default(),
            field: None,
            typed: Vec::new(),
            erased: Vec::new(),
        };
        let (expected, deleted) = match (edit, before) {
            (Edit::Create { value, .. }, None) => {
                self.made += 1;
                self.draft = draft(value);
                (value.clone(), Some(false))
            }
            (Edit::Apply(changes), Some(before)) => {
                let expected = self::after(&before.value, changes)?;
                (write.typed, write.erased) = strokes(&draft(&before.value), &draft(&expected));
                write.field = match &changes[..] {
                    [Change::Set { path, value }] => name(path).map(|field| (field, Some(value.clone()))),
                    [Change::Remove { path }] => name(path).map(|field| (field, None)),
                    _ => None,
                };
                (expected, None)
            }
            (Edit::SetDeleted(deleted), Some(before)) => (before.value.clone(), Some(*deleted)),
            _ => {
                self.is_branched = true;
                self.made += 1;
                return None;
            }
        };
        if before.is_some_and(|before| before.version == after.version) {
            // Nothing was to be done.
            return (after.value != expected).then(|| "an edit without an effect is refused".to_owned());
        }
        let follows = match (&self.line, before) {
            (Some(line), Some(before)) => line.version == before.version,
            (line, before) => line.is_none() && before.is_none(),
        };
        self.is_branched |= !follows;
        self.line = Some(State { value: expected.clone(), ..after.clone() });
        self.writes.push(write);
        if after.value != expected {
            return Some("an edit made something else of its document than it says".to_owned());
        }
        let is_deleted = deleted.is_some_and(|deleted| deleted != after.deleted);
        is_deleted.then(|| "an edit deleted a document that it brings back, or the reverse".to_owned())
    }

    /// Notes that a peer shows a version. Returns what is wrong with its value.
    pub(crate) fn shown(&mut self, version: &Version, value: &Value) -> Option<String> {
        let digest = value.digest();
        let known = *self.shown.entry(version.clone()).or_insert(digest);
        (known != digest).then(|| "one version was shown with two values".to_owned())
    }

    /// Returns what is wrong with the value at the end.
    fn judge(&self, value: &Value, deleted: bool, version: &Version) -> Option<String> {
        if let Some(line) = self.line.as_ref().filter(|line| !self.is_branched && line.version == *version)
            && (line.value != *value || line.deleted != deleted)
        {
            return Some("its edits followed one another and leave something else".to_owned());
        }
        if self.made != 1 {
            return None;
        }
        let writes: Vec<&Write> = self.writes.iter().filter(|write| write.is_in(version)).collect();
        let mut fields: BTreeMap<&str, Vec<(&Write, Option<&Value>)>> = BTreeMap::new();
        for write in &writes {
            if let Some((field, value)) = &write.field {
                fields.entry(field).or_default().push((write, value.as_ref()));
            }
        }
        for (field, writes) in fields {
            let is_last = |write: &Write| !writes.iter().any(|(other, _)| write.is_in(&other.saw));
            let allowed =
                |value: Option<&Value>| writes.iter().any(|(write, written)| *written == value && is_last(write));
            if !allowed(value.entry(field)) {
                return Some(format!("{field} has a value that none of the last writes gave it"));
            }
        }
        let mut typed = count(&self.draft);
        let mut erased: BTreeMap<char, usize> = BTreeMap::new();
        for write in writes {
            write.typed.iter().for_each(|char| *typed.entry(*char).or_default() += 1);
            write.erased.iter().for_each(|char| *erased.entry(*char).or_default() += 1);
        }
        let shown = count(&draft(value));
        let wrong = |char: &char| {
            let of = |counts: &BTreeMap<char, usize>| counts.get(char).copied().unwrap_or(0);
            of(&shown) > of(&typed) || of(&shown) + of(&erased) < of(&typed)
        };
        let wrong = typed.keys().chain(shown.keys()).any(wrong);
        wrong.then(|| "its draft has characters that nobody typed, or lacks some that nobody erased".to_owned())
    }
}

/// Returns the name of a plain field that a path leads to.
fn name(path: &[Step]) -> Option<String> {
    if let [Step::Key(key)] = path { key.starts_with("field-").then(|| key.clone()) } else { None }
}

impl World<'_> {
    /// O22: an edit does what it says.
    pub(crate) fn check_effect(
        &mut self,
        peer: usize,
        doc: u64,
        edit: &Edit,
        before: Option<&State>,
        after: Option<&State>,
    ) {
        let Some(after) = after else { return };
        self.stats.checks += 1;
        if let Some(wrong) = self.model.values.entry(doc).or_default().note(edit, before, after) {
            self.violation(OracleId::O22, Some(peer), format!("document {doc}: {wrong}"));
        }
    }

    /// O22: what is shown of one version is always the same.
    pub(crate) fn check_version(&mut self, peer: usize, doc: u64, version: &Version, value: &Value) {
        if let Some(wrong) = self.model.values.entry(doc).or_default().shown(version, value) {
            self.violation(OracleId::O22, Some(peer), format!("document {doc}: {wrong}"));
        }
    }

    /// O22: values at the end are those of the model, or allowed by it.
    pub(crate) fn check_values(&mut self, shown: &BTreeMap<u64, Shown>) {
        if self.model.forks {
            return;
        }
        for (doc, shown) in shown {
            let Some((values, snapshot)) = self.model.values.get(doc).zip(shown.snapshot.as_ref()) else { continue };
            self.stats.checks += 1;
            if let Some(wrong) = values.judge(&snapshot.value, snapshot.meta.deleted, &shown.version) {
                self.violation(OracleId::O22, None, format!("document {doc}: {wrong}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Vec<Step> {
        vec![Step::from(key)]
    }

    #[test]
    fn changes_apply_to_plain_data() {
        let list = Value::List(vec![Value::Int(1), Value::Int(2)]);
        let value: Value =
            [("t", Value::from("a😀e\u{301}z")), ("l", list), ("n", Value::Int(3))].into_iter().collect();
        let changes = [
            Change::Splice { path: key("t"), at: 1, delete: 2, insert: "ß".to_owned() },
            Change::Insert { path: key("l"), index: 1, values: vec![Value::Int(9)] },
            Change::Delete { path: key("l"), index: 0, len: 1 },
            Change::Add { path: key("n"), by: -5 },
            Change::Add { path: key("m"), by: 2 },
            Change::Remove { path: key("m") },
        ];
        let after = after(&value, &changes).unwrap();
        let list = Value::List(vec![Value::Int(9), Value::Int(2)]);
        let expected = [("t", Value::from("aß\u{301}z")), ("l", list), ("n", Value::Int(-2))].into_iter().collect();
        assert_eq!(after, expected);
        assert_eq!(super::after(&value, &[Change::Remove { path: key("m") }]), None);
    }

    #[test]
    fn the_last_writes_of_a_field_are_allowed_and_no_others() {
        let value = |number: i64| [("field-0", Value::Int(number))].into_iter().collect::<Value>();
        let state = |number, by, version: &[(u64, u32)]| State {
            value: value(number),
            deleted: false,
            version: version.iter().copied().collect(),
            by,
        };
        let set = |number| Edit::Apply(vec![Change::Set { path: key("field-0"), value: Value::Int(number) }]);
        let mut values = Values { made: 1, ..Values::default() };
        let first = state(0, 1, &[(1, 1)]);
        for (number, by, version) in [(1, 1, &[(1, 2)][..]), (2, 2, &[(1, 1), (2, 1)])] {
            assert_eq!(values.note(&set(number), Some(&first), &state(number, by, version)), None);
        }
        let all = BTreeMap::from([(1, 2), (2, 1)]);
        assert!([1, 2].iter().all(|number| values.judge(&value(*number), false, &all).is_none()));
        assert!(values.judge(&value(0), false, &all).is_some());
    }
}
