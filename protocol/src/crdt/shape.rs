//! The dry run: checks whether changes would apply, one after the other.
//!
//! [`Shape`] is an overlay over the live containers. It opens the containers on a path and remembers the
//! effects of earlier changes of the batch, so that a batch is refused before Loro is touched. Text contents
//! are never copied.

use super::change::{Splice, admissible, splice_between};
use super::slot::{Children, Look, NAME_LEN, Node, Slot, keys};
use super::{Change, ChangeError, DEPTH_MAX, Step, TextPaths, UPDATE_BYTES_MAX, UPDATE_OPS_MAX, Value};
use loro::{LoroDoc, LoroList, LoroMap, LoroText, LoroValue};
use std::collections::BTreeMap;

/// An upper bound of the addition of changes to an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) bytes: usize,
    pub(super) ops: usize,
}

/// Most bytes of an update beside its operations: header, dependencies, peer table.
const UPDATE_OVERHEAD: usize = 4096;

impl Cost {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), ops: self.ops.saturating_add(other.ops) }
    }

    pub(super) const fn fits(self) -> bool {
        self.bytes <= UPDATE_BYTES_MAX - UPDATE_OVERHEAD && self.ops <= UPDATE_OPS_MAX as usize
    }

    /// Returns the cost of one operation over a stretch of `ops` that carries `payload` bytes.
    const fn run(ops: usize, payload: usize) -> Self {
        Self { bytes: 40 + payload, ops }
    }

    /// Returns the cost as an item of a list: consecutive plain items share one operation's head.
    const fn in_list(self) -> Self {
        Self { bytes: if self.bytes == 40 { 12 } else { self.bytes }, ops: self.ops }
    }

    /// Returns the cost of a text edit. The deleted stretch may be in pieces: concurrent writers interleave.
    const fn text(delete: usize, inserted: usize, insert: &str) -> Self {
        Self { bytes: 80 + insert.len() + delete.saturating_mul(8), ops: delete.saturating_add(inserted) }
    }
}

enum Shape {
    Map {
        live: Option<LoroMap>,
        over: BTreeMap<String, Option<Shape>>,
    },
    List {
        live: Option<LoroList>,
        items: Vec<Shape>,
    },
    Text {
        len: usize,
        live: Option<LoroText>,
    },
    Counter,
    /// A plain value; `is_int` for a whole number.
    Leaf {
        is_int: bool,
    },
}

/// Checks changes against a document and returns their cost.
pub(super) fn dry_run(doc: &LoroDoc, changes: &[Change], texts: &TextPaths) -> Result<Cost, ChangeError> {
    let mut root = Shape::Map { live: Some(doc.get_map(super::ROOT_DOC)), over: BTreeMap::new() };
    let mut dry = Dry { doc, texts, cost: Cost::default() };
    for (number, change) in changes.iter().enumerate() {
        let added = dry.change(&mut root, change).map_err(|misfit| misfit.at(number))?;
        dry.cost = dry.cost.plus(added);
    }
    Ok(dry.cost)
}

/// State of a dry run.
struct Dry<'a> {
    doc: &'a LoroDoc,
    texts: &'a TextPaths,
    cost: Cost,
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
    /// Returns the shape of a node of the document.
    fn live(node: Node) -> Self {
        match node {
            Node::Map(map) => Self::Map { live: Some(map), over: BTreeMap::new() },
            Node::List(list) => Self::List { live: Some(list), items: Vec::new() },
            Node::Text(text) => Self::Text { len: text.len_unicode(), live: Some(text) },
            Node::Counter(_) => Self::Counter,
            Node::Plain(value) => Self::Leaf { is_int: matches!(value, LoroValue::I64(_)) },
        }
    }

    /// Returns the items of a list, opened on first use.
    fn items(&mut self) -> Option<&mut Vec<Self>> {
        let Self::List { live, items } = self else { return None };
        if let Some(list) = live.take() {
            list.for_each(|item| items.push(Self::live(Node::item(item))));
        }
        Some(items)
    }

    /// Returns the cost of clearing the content that this batch put here.
    fn clearing(&self) -> Cost {
        match self {
            Self::Map { over, .. } => over.iter().fold(Cost::default(), |cost, (key, shape)| {
                let below = shape.as_ref().map_or_else(Cost::default, Self::clearing);
                cost.plus(below).plus(Cost::run(1, NAME_LEN + key.len()))
            }),
            Self::List { items, .. } => Cost { bytes: 80 + items.len().saturating_mul(8), ops: items.len() },
            Self::Text { len, .. } => Cost::text(*len, 0, ""),
            Self::Counter => Cost::run(2, 2 * NAME_LEN),
            Self::Leaf { .. } => Cost::default(),
        }
    }
}

/// Returns the cost of clearing a container of the document, with all content below.
fn clearing(doc: &LoroDoc, node: &Node, depth: usize) -> Cost {
    match node {
        Node::Map(map) if depth <= DEPTH_MAX => keys(map).iter().fold(Cost::default(), |cost, key| {
            cost.plus(clearing_below(doc, map, key, depth)).plus(Cost::run(1, NAME_LEN + key.len()))
        }),
        Node::List(list) if !list.is_empty() => Cost { bytes: 80 + list.len().saturating_mul(8), ops: list.len() },
        Node::Text(text) if !text.is_empty() => Cost::text(text.len_unicode(), 0, ""),
        Node::Counter(counter) => {
            let entries = counter.len();
            Cost { bytes: entries.saturating_mul(60 + NAME_LEN), ops: entries }
        }
        Node::Map(_) | Node::List(_) | Node::Text(_) | Node::Plain(_) => Cost::default(),
    }
}

/// Returns the cost of clearing all content under a key, visible or hidden.
fn clearing_below(doc: &LoroDoc, map: &LoroMap, key: &str, depth: usize) -> Cost {
    if Slot::of(map, key) == Slot::Absent {
        return Cost::default();
    }
    let nodes = Children::of(map, key).nodes(doc);
    nodes.iter().fold(Cost::default(), |cost, node| cost.plus(clearing(doc, node, depth + 1)))
}

impl Dry<'_> {
    /// Returns the shape of a new value at `path`, and its cost.
    fn new_shape(&self, value: &Value, path: &mut Vec<Step>) -> (Shape, Cost) {
        let mut cost = Cost::run(1, 0);
        let mut child = |step: Step, value: &Value| {
            path.push(step);
            let new = self.new_shape(value, path);
            path.pop();
            new
        };
        let shape = match value {
            Value::Map(entries) => {
                let mut over = BTreeMap::new();
                for (key, value) in entries {
                    let (shape, added) = child(Step::Key(key.clone()), value);
                    cost = cost.plus(added).plus(Cost { bytes: NAME_LEN + key.len(), ops: 1 });
                    over.insert(key.clone(), Some(shape));
                }
                Shape::Map { live: None, over }
            }
            Value::List(values) => {
                let mut items = Vec::with_capacity(values.len());
                for (index, value) in values.iter().enumerate() {
                    let (shape, added) = child(Step::Index(index), value);
                    cost = cost.plus(added.in_list());
                    items.push(shape);
                }
                Shape::List { live: None, items }
            }
            Value::Text(text) if self.texts.contains(path) => {
                let len = text.chars().count();
                cost = cost.plus(Cost::text(0, len, text));
                Shape::Text { len, live: None }
            }
            Value::Text(text) => {
                cost = Cost::run(1, text.len());
                Shape::Leaf { is_int: false }
            }
            Value::Bytes(bytes) => {
                cost = Cost::run(1, bytes.len());
                Shape::Leaf { is_int: false }
            }
            Value::Int(_) => Shape::Leaf { is_int: true },
            Value::Null | Value::Bool(_) | Value::Float(_) => Shape::Leaf { is_int: false },
        };
        (shape, cost)
    }

    fn step<'s>(&mut self, shape: &'s mut Shape, step: &Step, depth: usize) -> Result<&'s mut Shape, Misfit> {
        match (shape, step) {
            (Shape::Map { live, over }, Step::Key(key)) => {
                let entry = over.entry(key.clone()).or_insert_with(|| {
                    let map = live.as_ref()?;
                    let node = Look::new(self.doc).entry(map, key, depth)?;
                    if Slot::of(map, key) == Slot::Tombstone {
                        // An entry that is changed below gets its marker again.
                        self.cost = self.cost.plus(Cost::run(1, NAME_LEN + key.len()));
                    }
                    Some(Shape::live(node))
                });
                entry.as_mut().ok_or(Misfit::NoSuchPath)
            }
            (list @ Shape::List { .. }, Step::Index(index)) => {
                list.items().and_then(|items| items.get_mut(*index)).ok_or(Misfit::NoSuchPath)
            }
            _ => Err(Misfit::WrongKind),
        }
    }

    fn find<'s>(&mut self, root: &'s mut Shape, path: &[Step]) -> Result<&'s mut Shape, Misfit> {
        path.iter().enumerate().try_fold(root, |here, (depth, step)| self.step(here, step, depth))
    }

    fn change(&mut self, root: &mut Shape, change: &Change) -> Result<Cost, Misfit> {
        match change {
            Change::Set { path, value } => self.set(root, path, value),
            Change::Remove { path } => {
                let (last, above) = path.split_last().ok_or(Misfit::Refused(ChangeError::Root))?;
                let parent = self.find(root, above)?;
                self.step(parent, last, above.len())?;
                let mut cost = Cost::run(1, NAME_LEN + last.to_string().len());
                match (parent, last) {
                    (Shape::Map { live, over }, Step::Key(key)) => {
                        cost = cost.plus(self.clearing(live.as_ref(), over, key, above.len()));
                        over.insert(key.clone(), None);
                    }
                    (Shape::List { items, .. }, Step::Index(index)) => drop(items.remove(*index)),
                    _ => return Err(Misfit::WrongKind),
                }
                Ok(cost)
            }
            Change::Insert { path, index, values } => {
                let items = self.find(root, path)?.items().ok_or(Misfit::WrongKind)?;
                if *index > items.len() {
                    return Err(Misfit::PastEnd);
                }
                let mut at = path.clone();
                let mut cost = Cost::run(0, 0);
                let mut shapes = Vec::with_capacity(values.len());
                for (offset, value) in values.iter().enumerate() {
                    admissible(value, path.len() + 1).map_err(Misfit::Refused)?;
                    at.push(Step::Index(index + offset));
                    let (shape, added) = self.new_shape(value, &mut at);
                    at.pop();
                    shapes.push(shape);
                    cost = cost.plus(added.in_list());
                }
                items.splice(index..index, shapes);
                Ok(cost)
            }
            Change::Delete { path, index, len } => {
                let items = self.find(root, path)?.items().ok_or(Misfit::WrongKind)?;
                let end = index.checked_add(*len).filter(|end| *end <= items.len()).ok_or(Misfit::PastEnd)?;
                items.drain(index..&end);
                Ok(Cost { bytes: len.saturating_mul(40), ops: *len })
            }
            Change::Splice { path, at, delete, insert } => {
                let Shape::Text { len, live } = self.find(root, path)? else { return Err(Misfit::WrongKind) };
                let left = at.checked_add(*delete).and_then(|end| len.checked_sub(end)).ok_or(Misfit::PastEnd)?;
                *live = None;
                let inserted = insert.chars().count();
                *len = at + inserted + left;
                Ok(Cost::text(*delete, inserted, insert))
            }
            Change::Add { path, .. } => {
                let (last, above) = path.split_last().ok_or(Misfit::Refused(ChangeError::Root))?;
                let parent = self.find(root, above)?;
                match self.step(parent, last, above.len()) {
                    Ok(Shape::Counter | Shape::Leaf { is_int: true }) | Err(Misfit::NoSuchPath) => {}
                    _ => return Err(Misfit::WrongKind),
                }
                let (Shape::Map { live, over }, Step::Key(key)) = (parent, last) else { return Err(Misfit::WrongKind) };
                let cost = self.clearing(live.as_ref(), over, key, above.len());
                over.insert(key.clone(), Some(Shape::Counter));
                Ok(cost.plus(Cost { bytes: 3 * (40 + NAME_LEN) + key.len(), ops: 3 }))
            }
        }
    }

    /// Returns the cost of clearing all content under a key of a map: that of the document and that of this
    /// batch.
    fn clearing(
        &self,
        live: Option<&LoroMap>,
        over: &BTreeMap<String, Option<Shape>>,
        key: &str,
        depth: usize,
    ) -> Cost {
        let new = over.get(key).and_then(Option::as_ref).map_or_else(Cost::default, Shape::clearing);
        new.plus(live.map_or_else(Cost::default, |map| clearing_below(self.doc, map, key, depth)))
    }

    fn set(&mut self, root: &mut Shape, path: &[Step], value: &Value) -> Result<Cost, Misfit> {
        let (last, above) = path.split_last().ok_or(Misfit::Refused(ChangeError::Root))?;
        admissible(value, path.len()).map_err(Misfit::Refused)?;
        let parent = self.find(root, above)?;
        let mut cost = Cost::run(1, NAME_LEN + last.to_string().len());
        let stands = self.step(parent, last, above.len());
        if let (Ok(Shape::Text { len, live }), Value::Text(new)) = (stands, value) {
            let old_len = core::mem::replace(len, new.chars().count());
            let text = match live.take() {
                Some(text) => {
                    let old = text.to_string();
                    let Splice { delete, insert, .. } = splice_between(&old, new);
                    Cost::text(delete, insert.chars().count(), insert)
                }
                None => Cost::text(old_len, *len, new),
            };
            return Ok(cost.plus(text));
        }
        let (shape, added) = self.new_shape(value, &mut path.to_vec());
        cost = cost.plus(added);
        match (parent, last) {
            (Shape::Map { live, over }, Step::Key(key)) => {
                cost = cost.plus(self.clearing(live.as_ref(), over, key, above.len()));
                over.insert(key.clone(), Some(shape));
            }
            (list @ Shape::List { .. }, Step::Index(index)) => {
                *list.items().and_then(|items| items.get_mut(*index)).ok_or(Misfit::PastEnd)? = shape;
            }
            _ => return Err(Misfit::WrongKind),
        }
        Ok(cost)
    }
}
