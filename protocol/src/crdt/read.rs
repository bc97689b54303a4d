//! Reads values from containers.
//!
//! Reading goes down from the root by keys and enumerates nothing else. Recursion is bounded by
//! [`DEPTH_MAX`]: a deeper list or map reads as null, as does content that is not a value (trees, movable
//! lists, numbers that are not finite). The result is a function of the merged state alone.

use super::slot::{Kind, Look, Node, Slot};
use super::{DEPTH_MAX, ROOT_DOC, Step, Value};
use loro::{ContainerTrait as _, LoroDoc, LoroList, LoroMap, LoroValue};
use std::collections::BTreeMap;

/// A container hidden by a concurrent write: another writer put another kind of value under its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// Place of the container.
    pub path: Vec<Step>,
    /// Content of the container.
    pub value: Value,
}

/// Reads a document, with further results on request.
pub(super) struct Reader<'a> {
    look: Look<'a>,
    path: Vec<Step>,
    /// Hidden containers, if requested.
    pub(super) hidden: Option<Vec<Hidden>>,
    /// Places of texts, if requested.
    pub(super) texts: Option<Vec<Vec<Step>>>,
    /// Places of maps, by the ids of their containers, if requested.
    pub(super) maps: Option<BTreeMap<String, Vec<Step>>>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(doc: &'a LoroDoc) -> Self {
        Self { look: Look::new(doc), path: Vec::new(), hidden: None, texts: None, maps: None }
    }

    /// Returns the value of the whole document.
    pub(super) fn document(&mut self) -> Value {
        let root = self.look.doc.get_map(ROOT_DOC);
        self.look.enter(&root);
        Value::Map(self.map(&root, 0))
    }

    /// Returns the value of a node that is `depth` levels below the document.
    pub(super) fn node(&mut self, node: &Node, depth: usize) -> Value {
        match node {
            Node::Plain(value) => plain(value),
            Node::Counter(counter) => Value::Int(counter.value()),
            Node::Text(text) => {
                if let Some(texts) = &mut self.texts {
                    texts.push(self.path.clone());
                }
                Value::Text(text.to_string())
            }
            Node::Map(_) | Node::List(_) if depth >= DEPTH_MAX => Value::Null,
            Node::Map(map) if self.look.enter(map) => Value::Map(self.map(map, depth)),
            Node::List(list) if self.look.enter(list) => Value::List(self.list(list, depth)),
            Node::Map(_) | Node::List(_) => Value::Null,
        }
    }

    fn map(&mut self, map: &LoroMap, depth: usize) -> BTreeMap<String, Value> {
        if let Some(maps) = &mut self.maps {
            maps.insert(map.id().to_string(), self.path.clone());
        }
        let mut slots: Vec<(String, Slot)> = Vec::with_capacity(map.len());
        map.for_each(|key, entry| slots.push((key.to_owned(), entry.into())));
        if slots.iter().any(|(_, slot)| !matches!(slot, Slot::Plain(_))) {
            slots.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        let mut entries = BTreeMap::new();
        for (key, slot) in slots {
            if self.hidden.is_some() {
                self.list_hidden(map, &key, depth);
            }
            let node = match slot {
                Slot::Plain(value) => Node::Plain(value),
                slot @ (Slot::Absent | Slot::Marker(_) | Slot::Tombstone | Slot::Foreign) => {
                    match self.look.slot(map, &key, slot, depth) {
                        Some(node) => node,
                        None => continue,
                    }
                }
            };
            self.path.push(Step::Key(key.clone()));
            let value = self.node(&node, depth + 1);
            self.path.pop();
            entries.insert(key, value);
        }
        entries
    }

    fn list(&mut self, list: &LoroList, depth: usize) -> Vec<Value> {
        let mut nodes = Vec::with_capacity(list.len());
        list.for_each(|item| nodes.push(Node::item(item)));
        let mut items = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            self.path.push(Step::Index(index));
            items.push(self.node(node, depth + 1));
            self.path.pop();
        }
        items
    }

    fn list_hidden(&mut self, map: &LoroMap, key: &str, depth: usize) {
        let shown = self.look.entry(map, key, depth).and_then(|node| node.kind());
        for node in self.look.hidden(map, key, shown, depth) {
            let mut path = self.path.clone();
            path.push(Step::Key(key.to_owned()));
            let fresh = Look::new(self.look.doc);
            let look = core::mem::replace(&mut self.look, fresh);
            let mut below = Reader { look, path: path.clone(), hidden: Some(Vec::new()), texts: None, maps: None };
            let value = below.node(&node, depth + 1);
            self.look = below.look;
            if let Some(hidden) = &mut self.hidden {
                hidden.push(Hidden { path, value });
                hidden.extend(below.hidden.unwrap_or_default());
            }
        }
    }
}

pub(super) fn plain(value: &LoroValue) -> Value {
    match value {
        LoroValue::Bool(flag) => Value::Bool(*flag),
        LoroValue::I64(number) => Value::Int(*number),
        LoroValue::Double(number) if number.is_finite() => Value::Float(*number),
        LoroValue::Binary(bytes) => Value::Bytes(bytes.to_vec()),
        LoroValue::String(text) => Value::Text(text.to_string()),
        LoroValue::Null | LoroValue::Double(_) | LoroValue::List(_) | LoroValue::Map(_) | LoroValue::Container(_) => {
            Value::Null
        }
    }
}

/// Follows `path` from the root. `None` if a step leads nowhere, as a step into a plain value does.
pub(super) fn find(doc: &LoroDoc, path: &[Step]) -> Option<Node> {
    descend(doc, path, |_, _, _| Some(()))
}

/// Follows `path` as [`find`] does, and calls `at` for each entry on the way: with the map, its key, and the
/// kind of its node.
pub(super) fn descend(
    doc: &LoroDoc,
    path: &[Step],
    mut at: impl FnMut(&LoroMap, &str, Kind) -> Option<()>,
) -> Option<Node> {
    let mut look = Look::new(doc);
    let mut here = Node::Map(doc.get_map(ROOT_DOC));
    for (depth, step) in path.iter().enumerate() {
        here = match (here, step) {
            (Node::Map(map), Step::Key(key)) => {
                let node = look.entry(&map, key, depth)?;
                if let Some(kind) = node.kind() {
                    at(&map, key, kind)?;
                }
                node
            }
            (Node::List(list), Step::Index(index)) => Node::item(list.get(*index)?),
            _ => return None,
        };
    }
    Some(here)
}
