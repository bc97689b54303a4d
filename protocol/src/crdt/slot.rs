//! Slots: entries of a map that hold containers which merge when several devices make them.
//!
//! A container below a map is a root container whose name is a hash of the map and the key, so that all its
//! makers make the same one. The entry of the map, its *slot*, holds a plain value, a marker of the
//! container's kind, or a tombstone (`spec/documents.md`, section 3).

use super::DEPTH_MAX;
use super::Value;
use super::counter::Counter;
use super::read::plain;
use loro::{
    Container, ContainerID, ContainerTrait, LoroDoc, LoroList, LoroMap, LoroResult, LoroText, LoroValue,
    ValueOrContainer,
};
use std::collections::BTreeSet;

/// Length of a derived root name, in characters.
pub(super) const NAME_LEN: usize = 16;

/// The kinds of containers below a map, in the order in which a tombstone looks for content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    List,
    Text,
    Counter,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Map, Self::List, Self::Text, Self::Counter];

    /// Returns the content of a slot that marks this kind.
    pub(super) fn marker(self) -> LoroValue {
        LoroValue::List(vec![LoroValue::I64(self as i64)].into())
    }
}

/// Returns the content of the slot of a deleted entry.
pub(super) fn tombstone() -> LoroValue {
    LoroValue::List(Vec::new().into())
}

/// Content of an entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Slot {
    /// Never written.
    Absent,
    /// A plain value.
    Plain(LoroValue),
    /// Marker: the entry is the container of this kind.
    Marker(Kind),
    /// Deleted; concurrent writes are still visible.
    Tombstone,
    /// Content that no honest writer writes.
    Foreign,
}

impl Slot {
    pub(super) fn of(map: &LoroMap, key: &str) -> Self {
        map.get(key).map_or(Self::Absent, Self::from)
    }
}

impl From<ValueOrContainer> for Slot {
    fn from(entry: ValueOrContainer) -> Self {
        let ValueOrContainer::Value(value) = entry else { return Self::Foreign };
        match &value {
            LoroValue::List(items) => match items.as_slice() {
                [] => Self::Tombstone,
                [LoroValue::I64(kind)] => {
                    Kind::ALL.into_iter().find(|known| *known as i64 == *kind).map_or(Self::Foreign, Self::Marker)
                }
                _ => Self::Foreign,
            },
            LoroValue::Map(_) | LoroValue::Container(_) => Self::Foreign,
            LoroValue::Null
            | LoroValue::Bool(_)
            | LoroValue::Double(_)
            | LoroValue::I64(_)
            | LoroValue::Binary(_)
            | LoroValue::String(_) => Self::Plain(value),
        }
    }
}

/// The containers that may belong to one key of one map.
pub(super) struct Children {
    name: String,
    counter_name: String,
}

impl Children {
    pub(super) fn of(map: &LoroMap, key: &str) -> Self {
        let parent = map.id();
        Self { name: name_of(&parent, key, b""), counter_name: name_of(&parent, key, b"counter") }
    }

    pub(super) fn map(&self, doc: &LoroDoc) -> LoroMap {
        doc.get_map(self.name.as_str())
    }

    pub(super) fn list(&self, doc: &LoroDoc) -> LoroList {
        doc.get_list(self.name.as_str())
    }

    pub(super) fn text(&self, doc: &LoroDoc) -> LoroText {
        doc.get_text(self.name.as_str())
    }

    /// Returns the counter: a map with a name of its own.
    pub(super) fn counter(&self, doc: &LoroDoc) -> Counter {
        Counter(doc.get_map(self.counter_name.as_str()))
    }

    /// Returns the container of each kind.
    pub(super) fn nodes(&self, doc: &LoroDoc) -> [Node; 4] {
        Kind::ALL.map(|kind| Node::child(doc, self, kind))
    }
}

/// Returns the root name of a container under a key: `base64url(H(parent, key)[..12])`.
fn name_of(parent: &ContainerID, key: &str, kind: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync child 1");
    match parent {
        _ if planted!("name.without-parent") => {}
        ContainerID::Root { name, .. } => {
            hasher.update(&[0, name.len() as u8]).update(name.as_bytes());
        }
        ContainerID::Normal { peer, counter, .. } => {
            hasher.update(&[1]).update(&peer.to_le_bytes()).update(&counter.to_le_bytes());
        }
    }
    hasher.update(&[kind.len() as u8]).update(kind).update(key.as_bytes());
    let mut hash = [0; NAME_LEN / 4 * 3];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..NAME_LEN / 4 * 3]);
    base64url(&hash)
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len() / 3 * 4);
    for three in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[(bits >> shift) as usize % 64]));
        }
    }
    text
}

/// A node of a document.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Map(LoroMap),
    List(LoroList),
    Text(LoroText),
    Counter(Counter),
    Plain(LoroValue),
}

impl Node {
    /// Returns the node of a list's item. Its containers are ordinary ones.
    pub(super) fn item(item: ValueOrContainer) -> Self {
        match item {
            ValueOrContainer::Value(LoroValue::List(_) | LoroValue::Map(_) | LoroValue::Container(_)) => {
                Self::Plain(LoroValue::Null)
            }
            ValueOrContainer::Value(value) => Self::Plain(value),
            ValueOrContainer::Container(Container::Map(map)) => Self::Map(map),
            ValueOrContainer::Container(Container::List(list)) => Self::List(list),
            ValueOrContainer::Container(Container::Text(text)) => Self::Text(text),
            ValueOrContainer::Container(_) => Self::Plain(LoroValue::Null),
        }
    }

    fn child(doc: &LoroDoc, children: &Children, kind: Kind) -> Self {
        match kind {
            Kind::Map => Self::Map(children.map(doc)),
            Kind::List => Self::List(children.list(doc)),
            Kind::Text => Self::Text(children.text(doc)),
            Kind::Counter => Self::Counter(children.counter(doc)),
        }
    }

    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Map(_) => Some(Kind::Map),
            Self::List(_) => Some(Kind::List),
            Self::Text(_) => Some(Kind::Text),
            Self::Counter(_) => Some(Kind::Counter),
            Self::Plain(_) => None,
        }
    }
}

/// Looks into a document, and visits no root container twice: a writer who finds colliding names could
/// otherwise build paths that double at each step.
pub(super) struct Look<'a> {
    pub(super) doc: &'a LoroDoc,
    seen: BTreeSet<String>,
}

impl<'a> Look<'a> {
    pub(super) const fn new(doc: &'a LoroDoc) -> Self {
        Self { doc, seen: BTreeSet::new() }
    }

    /// Returns whether a container is visited for the first time. Items of lists have one parent and need no mark.
    pub(super) fn enter(&mut self, container: &impl ContainerTrait) -> bool {
        let id = container.id();
        !id.is_root() || self.seen.insert(id.to_string())
    }

    /// Returns the node under a key of a map that is `depth` levels below the document. `None` if there is no
    /// node.
    pub(super) fn entry(&mut self, map: &LoroMap, key: &str, depth: usize) -> Option<Node> {
        match Slot::of(map, key) {
            Slot::Absent => None,
            slot @ (Slot::Plain(_) | Slot::Marker(_) | Slot::Tombstone | Slot::Foreign) => {
                self.slot(map, key, slot, depth)
            }
        }
    }

    pub(super) fn slot(&mut self, map: &LoroMap, key: &str, slot: Slot, depth: usize) -> Option<Node> {
        match slot {
            Slot::Absent => None,
            Slot::Plain(value) => Some(Node::Plain(value)),
            Slot::Foreign => Some(Node::Plain(LoroValue::Null)),
            Slot::Marker(kind) => Some(Node::child(self.doc, &Children::of(map, key), kind)),
            Slot::Tombstone => {
                let children = Children::of(map, key);
                Kind::ALL
                    .into_iter()
                    .map(|kind| Node::child(self.doc, &children, kind))
                    .find(|node| Look::new(self.doc).has_content(node, depth + 1))
            }
        }
    }

    /// Returns whether a container `depth` levels below the document has content that must not be lost.
    pub(super) fn has_content(&mut self, node: &Node, depth: usize) -> bool {
        match node {
            Node::Map(map) => {
                depth < DEPTH_MAX
                    && self.enter(map)
                    && keys(map).iter().any(|key| match Slot::of(map, key) {
                        Slot::Tombstone => {
                            let children = Children::of(map, key);
                            let mut kinds = Kind::ALL.into_iter().map(|kind| Node::child(self.doc, &children, kind));
                            kinds.any(|node| self.has_content(&node, depth + 1))
                        }
                        Slot::Absent => false,
                        Slot::Plain(_) | Slot::Marker(_) | Slot::Foreign => true,
                    })
            }
            Node::List(list) => !list.is_empty(),
            Node::Text(text) => !text.is_empty(),
            Node::Counter(counter) => counter.has_content(),
            Node::Plain(_) => true,
        }
    }

    /// Returns the containers under a key that have content and are not shown.
    pub(super) fn hidden(&mut self, map: &LoroMap, key: &str, shown: Option<Kind>, depth: usize) -> Vec<Node> {
        let children = Children::of(map, key);
        let others = Kind::ALL.into_iter().filter(|kind| Some(*kind) != shown);
        let nodes = others.map(|kind| Node::child(self.doc, &children, kind));
        nodes.filter(|node| Look::new(self.doc).has_content(node, depth + 1)).collect()
    }
}

/// Returns the keys of a map in ascending order: the engine's own order differs between processes.
pub(super) fn keys(map: &LoroMap) -> Vec<String> {
    let mut keys: Vec<String> = map.keys().map(|key| key.to_string()).collect();
    keys.sort_unstable();
    keys
}

/// Returns the value that a slot shows by itself; `None` for a marker, a tombstone, or foreign content.
pub(super) fn plain_value(slot: &LoroValue) -> Option<Value> {
    match Slot::from(ValueOrContainer::Value(slot.clone())) {
        Slot::Plain(value) => Some(plain(&value)),
        Slot::Absent | Slot::Marker(_) | Slot::Tombstone | Slot::Foreign => None,
    }
}

/// Marks a slot with the kind of its container, unless it has that marker.
pub(super) fn mark(map: &LoroMap, key: &str, kind: Kind) -> LoroResult<()> {
    if Slot::of(map, key) == Slot::Marker(kind) { Ok(()) } else { map.insert(key, kind.marker()) }
}
