//! Splits edits that exceed one update into several that follow each other.
//!
//! Maps are written member by member, lists in groups of items, texts in parts. A single string, number or byte string
//! that is not a text cannot be split.

use cosmicsync_protocol::crdt::{Change, Step, TextPaths, UPDATE_BYTES_MAX, UPDATE_OPS_MAX, Value};
use cosmicsync_protocol::documents::Edit;
use cosmicsync_protocol::ids::DocRef;
use std::collections::BTreeMap;

/// Approximate size of a piece, in bytes; well below the limit, because each operation has a header.
const PIECE_BYTES: usize = UPDATE_BYTES_MAX / 4;
/// Approximate number of operations in a piece.
const PIECE_OPS: usize = UPDATE_OPS_MAX as usize / 2;
/// Largest size of an operation's header, in bytes.
const HEAD: usize = 80;

/// Returns the pieces of one document's edits, in order; `None` if something cannot be split.
pub fn pieces(edits: &[(DocRef, Edit)], texts: &TextPaths) -> Option<Vec<Vec<(DocRef, Edit)>>> {
    let mut pieces = Vec::new();
    for (doc, edit) in edits {
        let changes = match edit {
            Edit::Create { collection, meta, value } => {
                let empty = Value::Map(BTreeMap::new());
                let create = Edit::Create { collection: *collection, meta: meta.clone(), value: empty };
                pieces.push(vec![(*doc, create)]);
                value.as_map()?.iter().map(|(key, value)| set(vec![Step::Key(key.clone())], value.clone())).collect()
            }
            Edit::Apply(changes) => changes.clone(),
            other @ (Edit::SetDeleted(_) | Edit::Undo { .. }) => {
                pieces.push(vec![(*doc, other.clone())]);
                continue;
            }
        };
        let mut cutter = Cutter { texts, done: Vec::new(), piece: Vec::new(), bytes: 0, ops: 0 };
        for change in changes {
            cutter.change(change)?;
        }
        cutter.end_piece();
        pieces.extend(cutter.done.into_iter().map(|changes| vec![(*doc, Edit::Apply(changes))]));
    }
    Some(pieces)
}

const fn set(path: Vec<Step>, value: Value) -> Change {
    Change::Set { path, value }
}

struct Cutter<'a> {
    texts: &'a TextPaths,
    done: Vec<Vec<Change>>,
    piece: Vec<Change>,
    bytes: usize,
    ops: usize,
}

impl Cutter<'_> {
    fn change(&mut self, change: Change) -> Option<()> {
        match change {
            Change::Set { path, value } if !fits(size(&value)) => self.set(path, value),
            Change::Insert { path, index, values } => {
                for (offset, value) in values.into_iter().enumerate() {
                    self.item(path.clone(), index + offset, value)?;
                }
                Some(())
            }
            Change::Splice { path, at, delete, insert } => {
                self.delete(&path, at, delete, |path, at, delete| Change::Splice {
                    path,
                    at,
                    delete,
                    insert: String::new(),
                });
                self.text(path, at, &insert);
                Some(())
            }
            Change::Delete { path, index, len } => {
                self.delete(&path, index, len, |path, index, len| Change::Delete { path, index, len });
                Some(())
            }
            Change::Set { path, value } => {
                let size = size(&value);
                self.push(set(path, value), size);
                Some(())
            }
            change @ (Change::Remove { .. } | Change::Add { .. }) => {
                self.push(change, (HEAD, 1));
                Some(())
            }
        }
    }

    fn delete(&mut self, path: &[Step], at: usize, len: usize, make: impl Fn(Vec<Step>, usize, usize) -> Change) {
        let mut left = len;
        while left > 0 {
            let now = left.min(PIECE_OPS / 8);
            self.push(make(path.to_vec(), at, now), (now.saturating_mul(40), now));
            left -= now;
        }
    }

    fn set(&mut self, path: Vec<Step>, value: Value) -> Option<()> {
        match value {
            Value::Map(entries) => {
                self.push(set(path.clone(), Value::Map(BTreeMap::new())), (HEAD, 1));
                for (key, value) in entries {
                    let mut path = path.clone();
                    path.push(Step::Key(key));
                    self.change(set(path, value))?;
                }
                Some(())
            }
            Value::List(items) => {
                self.push(set(path.clone(), Value::List(Vec::new())), (HEAD, 1));
                for (index, item) in items.into_iter().enumerate() {
                    self.item(path.clone(), index, item)?;
                }
                Some(())
            }
            Value::Text(text) if self.texts.contains(&path) => {
                self.push(set(path.clone(), Value::Text(String::new())), (HEAD, 1));
                self.text(path, 0, &text);
                Some(())
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => None,
        }
    }

    /// Inserts one item, in the same operation as earlier items of the same list and piece.
    fn item(&mut self, path: Vec<Step>, index: usize, value: Value) -> Option<()> {
        let size = size(&value);
        if fits(size) {
            let values = vec![value];
            self.push(Change::Insert { path, index, values }, size);
            return Some(());
        }
        let empty = match &value {
            Value::Map(_) => Value::Map(BTreeMap::new()),
            Value::List(_) => Value::List(Vec::new()),
            Value::Text(_) => Value::Text(String::new()),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => return None,
        };
        let mut at = path.clone();
        at.push(Step::Index(index));
        self.push(Change::Insert { path, index, values: vec![empty] }, (HEAD, 1));
        match value {
            Value::Map(entries) => entries.into_iter().try_for_each(|(key, value)| {
                let mut path = at.clone();
                path.push(Step::Key(key));
                self.change(set(path, value))
            }),
            Value::List(items) => {
                items.into_iter().enumerate().try_for_each(|(index, item)| self.item(at.clone(), index, item))
            }
            Value::Text(text) if self.texts.contains(&at) => {
                self.text(at, 0, &text);
                Some(())
            }
            Value::Text(_) | Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => None,
        }
    }

    fn text(&mut self, path: Vec<Step>, at: usize, text: &str) {
        let (mut rest, mut at) = (text, at);
        while !rest.is_empty() {
            let by_ops = rest.char_indices().nth(PIECE_OPS).map_or(rest.len(), |(byte, _)| byte);
            let mut end = by_ops.min(PIECE_BYTES);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (now, later) = rest.split_at(end);
            let chars = now.chars().count();
            let splice = Change::Splice { path: path.clone(), at, delete: 0, insert: now.to_owned() };
            self.push(splice, (HEAD + now.len(), chars));
            (rest, at) = (later, at + chars);
        }
    }

    fn push(&mut self, change: Change, (bytes, ops): (usize, usize)) {
        if !self.piece.is_empty() && (self.bytes + bytes > PIECE_BYTES || self.ops + ops > PIECE_OPS) {
            self.end_piece();
        }
        self.bytes += bytes;
        self.ops += ops;
        self.piece.push(change);
    }

    fn end_piece(&mut self) {
        if !self.piece.is_empty() {
            self.done.push(core::mem::take(&mut self.piece));
        }
        (self.bytes, self.ops) = (0, 0);
    }
}

/// Returns whether a value may exceed one update.
pub fn may_be_large(value: &Value) -> bool {
    !fits(size(value))
}

fn fits((bytes, ops): (usize, usize)) -> bool {
    bytes <= PIECE_BYTES && ops <= PIECE_OPS
}

/// Returns the largest number of bytes and operations that a new value takes.
fn size(value: &Value) -> (usize, usize) {
    let sum = |(bytes, ops): (usize, usize), (more, others): (usize, usize)| {
        (bytes.saturating_add(more), ops.saturating_add(others))
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => (HEAD, 1),
        Value::Text(text) => (HEAD + text.len(), text.chars().count() + 1),
        Value::Bytes(bytes) => (HEAD + bytes.len(), 1),
        Value::List(items) => items.iter().map(size).fold((HEAD, 1), sum),
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| sum((HEAD + key.len(), 1), size(value))).fold((HEAD, 1), sum)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmicsync_protocol::crdt::{Meta, Replica};
    use cosmicsync_protocol::ids::{CollectionId, DocId, PartNo};

    fn made_of(pieces: &[Vec<(DocRef, Edit)>], texts: &TextPaths) -> Value {
        let mut replica = Replica::new(1);
        for (_, edit) in pieces.iter().flatten() {
            match edit {
                Edit::Create { meta, value, .. } => replica = Replica::create(1, meta, value, texts).unwrap(),
                Edit::Apply(changes) => replica.apply(changes, texts).unwrap(),
                other @ (Edit::SetDeleted(_) | Edit::Undo { .. }) => panic!("{other:?}"),
            }
            replica.take_update().unwrap();
        }
        replica.value().unwrap()
    }

    #[test]
    fn a_value_of_a_megabyte_is_written_in_pieces() {
        let texts: TextPaths = ["body", "parts.*.text"].into_iter().collect();
        let long = "añ😀 ".repeat(60_000);
        let value: Value = [
            ("body", Value::from(long.as_str())),
            ("list", Value::List((0..70_000).map(Value::Int).collect())),
            ("map", Value::Map((0..20_000).map(|at| (at.to_string(), Value::Int(at))).collect())),
            ("parts", Value::List(vec![[("text", Value::from(long.as_str()))].into_iter().collect()])),
        ]
        .into_iter()
        .collect();
        let doc = DocRef { partition: PartNo(0), doc: DocId::default() };
        let create = Edit::Create { collection: CollectionId([0; 16]), meta: Meta::default(), value: value.clone() };
        let pieces = pieces(&[(doc, create)], &texts).unwrap();
        assert!(pieces.len() > 5);
        assert_eq!(made_of(&pieces, &texts), value);
    }

    #[test]
    fn a_plain_string_cannot_be_cut() {
        let doc = DocRef { partition: PartNo(0), doc: DocId::default() };
        let change = set(vec!["s".into()], Value::from("x".repeat(UPDATE_BYTES_MAX).as_str()));
        assert_eq!(pieces(&[(doc, Edit::Apply(vec![change]))], &TextPaths::none()), None);
    }
}
