//! The dry run: would these changes apply, one after the other?
//!
//! [`Shape`] is an overlay over the live containers. It opens what a path passes through and remembers what earlier
//! changes of the batch did there, so that a batch is refused before Loro is touched. Text contents are never copied.

use super::change::{Splice, admissible, splice_between};
use super::{Change, ChangeError, Step, TextPaths, UPDATE_BYTES_MAX, UPDATE_OPS_MAX, Value};
use loro::{Container, LoroDoc, LoroList, LoroMap, LoroText, ValueOrContainer};
use std::collections::BTreeMap;

/// An upper bound of what changes add to an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) bytes: usize,
    pub(super) ops: usize,
}

/// What an update needs beside its operations: header, dependencies, peer table.
const UPDATE_OVERHEAD: usize = 4096;

impl Cost {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), ops: self.ops.saturating_add(other.ops) }
    }

    pub(super) const fn fits(self) -> bool {
        self.bytes <= UPDATE_BYTES_MAX - UPDATE_OVERHEAD && self.ops <= UPDATE_OPS_MAX as usize
    }

    /// One operation of a stretch of `ops` that carries `payload` bytes.
    const fn run(ops: usize, payload: usize) -> Self {
        Self { bytes: 40 + payload, ops }
    }

    /// What an item of a list adds: plain items that follow each other share one operation's head.
    const fn in_list(self) -> Self {
        Self { bytes: if self.bytes == 40 { 12 } else { self.bytes }, ops: self.ops }
    }

    /// A text edit. What is deleted may be in pieces: concurrent writers interleave.
    const fn text(delete: usize, inserted: usize, insert: &str) -> Self {
        Self { bytes: 80 + insert.len() + delete.saturating_mul(8), ops: delete.saturating_add(inserted) }
    }
}

enum Shape {
    Map { live: Option<LoroMap>, over: BTreeMap<String, Option<Shape>> },
    List { live: Option<LoroList>, items: Vec<Shape> },
    Text { len: usize, live: Option<LoroText> },
    Leaf,
}

/// Checks changes against a document and returns what they cost.
pub(super) fn dry_run(doc: &LoroDoc, changes: &[Change], texts: &TextPaths) -> Result<Cost, ChangeError> {
    let mut root = Shape::Map { live: Some(doc.get_map(super::ROOT_DOC)), over: BTreeMap::new() };
    let mut cost = Cost::default();
    for (number, change) in changes.iter().enumerate() {
        let added = root.change(change, texts).map_err(|misfit| misfit.at(number))?;
        cost = cost.plus(added);
    }
    Ok(cost)
}

enum Misfit {
    NoSuchPath,
    WrongKind,
    PastEnd,
    Refused(ChangeError),
}

impl Misfit {
    const fn at(self, number: usize) -> ChangeError {
        match self {
            Self::NoSuchPath => ChangeError::NoSuchPath(number),
            Self::WrongKind => ChangeError::WrongKind(number),
            Self::PastEnd => ChangeError::PastEnd(number),
            Self::Refused(error) => error,
        }
    }
}

impl Shape {
    fn live(child: ValueOrContainer) -> Self {
        let ValueOrContainer::Container(container) = child else { return Self::Leaf };
        match container {
            Container::Map(map) => Self::Map { live: Some(map), over: BTreeMap::new() },
            Container::List(list) => Self::List { live: Some(list), items: Vec::new() },
            Container::Text(text) => Self::Text { len: text.len_unicode(), live: Some(text) },
            Container::Tree(_) | Container::MovableList(_) | Container::Counter(_) | Container::Unknown(_) => {
                Self::Leaf
            }
        }
    }

    /// What a new value at `path` becomes, and what it costs.
    fn new(value: &Value, texts: &TextPaths, path: &mut Vec<Step>) -> (Self, Cost) {
        let mut cost = Cost::run(1, 0);
        let mut child = |step: Step, value: &Value| {
            path.push(step);
            let new = Self::new(value, texts, path);
            path.pop();
            new
        };
        let shape = match value {
            Value::Map(entries) => {
                let mut over = BTreeMap::new();
                for (key, value) in entries {
                    let (shape, added) = child(Step::Key(key.clone()), value);
                    cost = cost.plus(added).plus(Cost { bytes: key.len(), ops: 0 });
                    over.insert(key.clone(), Some(shape));
                }
                Self::Map { live: None, over }
            }
            Value::List(values) => {
                let mut items = Vec::with_capacity(values.len());
                for (index, value) in values.iter().enumerate() {
                    let (shape, added) = child(Step::Index(index), value);
                    cost = cost.plus(added.in_list());
                    items.push(shape);
                }
                Self::List { live: None, items }
            }
            Value::Text(text) if texts.contains(path) => {
                let len = text.chars().count();
                cost = cost.plus(Cost::text(0, len, text));
                Self::Text { len, live: None }
            }
            Value::Text(text) => {
                cost = Cost::run(1, text.len());
                Self::Leaf
            }
            Value::Bytes(bytes) => {
                cost = Cost::run(1, bytes.len());
                Self::Leaf
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Self::Leaf,
        };
        (shape, cost)
    }

    /// The items of a list, opened on first use.
    fn items(&mut self) -> Option<&mut Vec<Self>> {
        let Self::List { live, items } = self else { return None };
        if let Some(list) = live.take() {
            list.for_each(|child| items.push(Self::live(child)));
        }
        Some(items)
    }

    fn step(&mut self, step: &Step) -> Result<&mut Self, Misfit> {
        match (self, step) {
            (Self::Map { live, over }, Step::Key(key)) => over
                .entry(key.clone())
                .or_insert_with(|| live.as_ref().and_then(|map| map.get(key)).map(Self::live))
                .as_mut()
                .ok_or(Misfit::NoSuchPath),
            (list @ Self::List { .. }, Step::Index(index)) => {
                list.items().and_then(|items| items.get_mut(*index)).ok_or(Misfit::NoSuchPath)
            }
            _ => Err(Misfit::WrongKind),
        }
    }

    fn find(&mut self, path: &[Step]) -> Result<&mut Self, Misfit> {
        path.iter().try_fold(self, |here, step| here.step(step))
    }

    fn change(&mut self, change: &Change, texts: &TextPaths) -> Result<Cost, Misfit> {
        match change {
            Change::Set { path, value } => self.set(path, value, texts),
            Change::Remove { path } => {
                let (last, parent) = path.split_last().ok_or(Misfit::Refused(ChangeError::Root))?;
                let parent = self.find(parent)?;
                parent.step(last)?;
                match (parent, last) {
                    (Self::Map { over, .. }, Step::Key(key)) => drop(over.insert(key.clone(), None)),
                    (Self::List { items, .. }, Step::Index(index)) => drop(items.remove(*index)),
                    _ => return Err(Misfit::WrongKind),
                }
                Ok(Cost::run(1, last.to_string().len()))
            }
            Change::Insert { path, index, values } => {
                let items = self.find(path)?.items().ok_or(Misfit::WrongKind)?;
                if *index > items.len() {
                    return Err(Misfit::PastEnd);
                }
                let mut at = path.clone();
                let mut cost = Cost::run(0, 0);
                let mut shapes = Vec::with_capacity(values.len());
                for (offset, value) in values.iter().enumerate() {
                    admissible(value, path.len() + 1).map_err(Misfit::Refused)?;
                    at.push(Step::Index(index + offset));
                    let (shape, added) = Self::new(value, texts, &mut at);
                    at.pop();
                    shapes.push(shape);
                    cost = cost.plus(added.in_list());
                }
                items.splice(index..index, shapes);
                Ok(cost)
            }
            Change::Delete { path, index, len } => {
                let items = self.find(path)?.items().ok_or(Misfit::WrongKind)?;
                let end = index.checked_add(*len).filter(|end| *end <= items.len()).ok_or(Misfit::PastEnd)?;
                items.drain(index..&end);
                Ok(Cost { bytes: len.saturating_mul(40), ops: *len })
            }
            Change::Splice { path, at, delete, insert } => {
                let Self::Text { len, live } = self.find(path)? else { return Err(Misfit::WrongKind) };
                let left = at.checked_add(*delete).and_then(|end| len.checked_sub(end)).ok_or(Misfit::PastEnd)?;
                *live = None;
                let inserted = insert.chars().count();
                *len = at + inserted + left;
                Ok(Cost::text(*delete, inserted, insert))
            }
        }
    }

    fn set(&mut self, path: &[Step], value: &Value, texts: &TextPaths) -> Result<Cost, Misfit> {
        let (last, parent) = path.split_last().ok_or(Misfit::Refused(ChangeError::Root))?;
        admissible(value, path.len()).map_err(Misfit::Refused)?;
        let parent = self.find(parent)?;
        if let (Ok(Self::Text { len, live }), Value::Text(new)) = (parent.step(last), value) {
            let old_len = core::mem::replace(len, new.chars().count());
            return Ok(match live.take() {
                Some(text) => {
                    let old = text.to_string();
                    let Splice { delete, insert, .. } = splice_between(&old, new);
                    Cost::text(delete, insert.chars().count(), insert)
                }
                None => Cost::text(old_len, *len, new),
            });
        }
        let (shape, cost) = Self::new(value, texts, &mut path.to_vec());
        match (parent, last) {
            (Self::Map { over, .. }, Step::Key(key)) => drop(over.insert(key.clone(), Some(shape))),
            (list @ Self::List { .. }, Step::Index(index)) => {
                *list.items().and_then(|items| items.get_mut(*index)).ok_or(Misfit::PastEnd)? = shape;
            }
            _ => return Err(Misfit::WrongKind),
        }
        Ok(cost.plus(Cost::run(1, last.to_string().len())))
    }
}
