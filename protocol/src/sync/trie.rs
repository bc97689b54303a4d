//! A hash trie over the logs of a partition. Equal roots mean equal sets; a walk finds differences in steps of four
//! bits.
//!
//! The shape follows from the set alone, never from the order of updates. An author who chooses log ids can deepen
//! one path only by grinding hashes, four bits a level (`spec/sync.md`).

use crate::codec::Write;
use crate::ids::LogId;
use core::mem;

/// Most items of a leaf.
pub const LEAF_MAX: usize = 16;
/// Root of the empty trie.
pub const EMPTY_ROOT: NodeHash = [0; 16];
/// Most nibbles of a prefix.
pub const PREFIX_MAX: usize = LogId::LEN * 2;

/// Hash of a subtree: BLAKE3 of its node's canonical form, cut to 16 bytes.
pub type NodeHash = [u8; 16];
/// Hash of one log's state, see [`item`].
pub type ItemHash = [u8; 32];

/// Returns the item of a log whose highest known signed head is (`seq`, `h`).
pub fn item(log: &LogId, seq: u64, h: &[u8; 32]) -> ItemHash {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync item 1");
    hasher.update(log.as_bytes());
    hasher.update(&seq.to_le_bytes());
    hasher.update(h);
    *hasher.finalize().as_bytes()
}

/// Returns the item of a log that has several histories, from the heads (`seq`, `h`) at their ends, ascending.
pub fn forked_item(log: &LogId, leaves: &[(u64, [u8; 32])]) -> ItemHash {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync forked item 1");
    hasher.update(log.as_bytes());
    for (seq, h) in leaves {
        hasher.update(&seq.to_le_bytes());
        hasher.update(h);
    }
    *hasher.finalize().as_bytes()
}

/// Content of a trie under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeView {
    /// At most [`LEAF_MAX`] items, ascending. Empty if no item has the prefix.
    Leaf(Vec<(LogId, ItemHash)>),
    /// The hash of the subtree below each nibble.
    Inner(Box<[Option<NodeHash>; 16]>),
}

/// A map from log ids to item hashes with a root hash, updated in O(depth).
#[derive(Debug, Clone)]
pub struct Trie {
    root: Node,
    leaf_max: usize,
}

impl Default for Trie {
    fn default() -> Self {
        Self::new()
    }
}

impl Trie {
    /// Makes the empty trie.
    pub const fn new() -> Self {
        Self::with_leaf_max(LEAF_MAX)
    }

    /// Makes the empty trie whose leaves hold at most `leaf_max` items, up to [`LEAF_MAX`]. Its roots compare with
    /// those of such tries alone.
    pub const fn with_leaf_max(leaf_max: usize) -> Self {
        Self { root: Node::EMPTY, leaf_max }
    }

    /// Sets all items of an empty trie, each id once. Hashes each node once.
    pub fn fill(&mut self, mut items: Vec<(LogId, ItemHash)>) {
        items.sort_unstable_by_key(|(log, _)| *log);
        self.root = Node::of(&items, 0, self.leaf_max);
    }

    /// Returns the hash of all items in the trie.
    pub const fn root(&self) -> NodeHash {
        self.root.hash
    }

    /// Returns the number of logs.
    pub const fn len(&self) -> usize {
        self.root.len
    }

    /// Returns whether the trie has no log.
    pub const fn is_empty(&self) -> bool {
        self.root.len == 0
    }

    /// Returns the item of a log.
    pub fn item_of(&self, log: &LogId) -> Option<&ItemHash> {
        let mut node = &self.root;
        let mut depth = 0;
        loop {
            match &node.kind {
                Kind::Leaf(items) => {
                    return items.binary_search_by_key(log, |(id, _)| *id).ok().map(|at| &items[at].1);
                }
                Kind::Inner(children) => node = children[nibble(log, depth)].as_deref()?,
            }
            depth += 1;
        }
    }

    /// Sets the item of a log. Returns whether that changed anything.
    pub fn set(&mut self, log: LogId, item: ItemHash) -> bool {
        if planted!("trie.stale-item") && item[0].is_multiple_of(4) {
            return false;
        }
        self.root.set(log, item, 0, self.leaf_max)
    }

    /// Removes a log. Returns whether it was in the trie.
    pub fn remove(&mut self, log: &LogId) -> bool {
        self.root.remove(log, 0, self.leaf_max)
    }

    /// Returns the content under a prefix, given as nibbles. A prefix that no log has, or that is invalid, has no
    /// content.
    pub fn node(&self, prefix: &[u8]) -> NodeView {
        let mut node = &self.root;
        for (depth, &step) in prefix.iter().enumerate() {
            match &node.kind {
                Kind::Leaf(items) => {
                    let under = |log: &LogId| {
                        prefix.len() <= PREFIX_MAX
                            && (depth..prefix.len()).all(|at| nibble(log, at) == usize::from(prefix[at]))
                    };
                    return NodeView::Leaf(items.iter().filter(|(log, _)| under(log)).copied().collect());
                }
                Kind::Inner(children) => match children.get(usize::from(step)) {
                    Some(Some(child)) => node = child,
                    Some(None) | None => return NodeView::Leaf(Vec::new()),
                },
            }
        }
        match &node.kind {
            Kind::Leaf(items) => NodeView::Leaf(items.clone()),
            Kind::Inner(children) => {
                NodeView::Inner(Box::new(core::array::from_fn(|at| children[at].as_ref().map(|child| child.hash))))
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Node {
    hash: NodeHash,
    len: usize,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// At most [`LEAF_MAX`] items, ascending.
    Leaf(Vec<(LogId, ItemHash)>),
    /// More than [`LEAF_MAX`] items, by the nibble at this node's depth.
    Inner(Box<[Option<Box<Node>>; 16]>),
}

impl Default for Node {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Node {
    const EMPTY: Self = Self { hash: EMPTY_ROOT, len: 0, kind: Kind::Leaf(Vec::new()) };

    /// Makes the node at `depth` that holds these items, ascending.
    fn of(items: &[(LogId, ItemHash)], depth: usize, leaf_max: usize) -> Self {
        let kind = if items.len() <= leaf_max { Kind::Leaf(items.to_vec()) } else { split(items, depth, leaf_max) };
        let mut node = Self { kind, ..Self::EMPTY };
        node.refresh();
        node
    }

    fn set(&mut self, log: LogId, item: ItemHash, depth: usize, leaf_max: usize) -> bool {
        match &mut self.kind {
            Kind::Leaf(items) => match items.binary_search_by_key(&log, |(id, _)| *id) {
                Ok(at) if items[at].1 == item => return false,
                Ok(at) => items[at].1 = item,
                Err(at) => {
                    items.insert(at, (log, item));
                    if reached!(LeafItems, items.len() > leaf_max) {
                        self.kind = split(&mem::take(items), depth, leaf_max);
                    }
                }
            },
            Kind::Inner(children) => {
                if !children[nibble(&log, depth)].get_or_insert_default().set(log, item, depth + 1, leaf_max) {
                    return false;
                }
            }
        }
        self.refresh();
        true
    }

    fn remove(&mut self, log: &LogId, depth: usize, leaf_max: usize) -> bool {
        match &mut self.kind {
            Kind::Leaf(items) => match items.binary_search_by_key(log, |(id, _)| *id) {
                Ok(at) => {
                    items.remove(at);
                }
                Err(_) => return false,
            },
            Kind::Inner(children) => {
                let slot = &mut children[nibble(log, depth)];
                let Some(child) = slot else { return false };
                if !child.remove(log, depth + 1, leaf_max) {
                    return false;
                }
                if child.len == 0 {
                    *slot = None;
                }
                if self.len - 1 <= leaf_max {
                    let mut items = Vec::with_capacity(leaf_max);
                    self.collect(&mut items);
                    self.kind = Kind::Leaf(items);
                }
            }
        }
        self.refresh();
        true
    }

    /// Computes count and hash anew from the node's own content and its children's hashes.
    fn refresh(&mut self) {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync trie 1");
        match &self.kind {
            Kind::Leaf(items) => {
                self.len = items.len();
                hasher.byte(0);
                hasher.byte(items.len() as u8);
                for (log, item) in items {
                    hasher.update(log.as_bytes());
                    hasher.update(item);
                }
            }
            Kind::Inner(children) => {
                self.len = children.iter().flatten().map(|child| child.len).sum();
                let present = (0..16).filter(|&at| children[at].is_some()).fold(0u16, |map, at| map | 1 << at);
                hasher.byte(1);
                hasher.update(&present.to_le_bytes());
                for child in children.iter().flatten() {
                    hasher.update(&child.hash);
                }
            }
        }
        self.hash = EMPTY_ROOT;
        if self.len > 0 {
            hasher.finalize_xof().fill(&mut self.hash);
        }
    }

    /// Appends all items, ascending.
    fn collect(&self, into: &mut Vec<(LogId, ItemHash)>) {
        match &self.kind {
            Kind::Leaf(items) => into.extend_from_slice(items),
            Kind::Inner(children) => children.iter().flatten().for_each(|child| child.collect(into)),
        }
    }
}

/// Makes the content of a node at `depth` with more than `leaf_max` `items`, ascending.
fn split(items: &[(LogId, ItemHash)], depth: usize, leaf_max: usize) -> Kind {
    let mut children: Box<[Option<Box<Node>>; 16]> = Box::default();
    for below in items.chunk_by(|(a, _), (b, _)| nibble(a, depth) == nibble(b, depth)) {
        children[nibble(&below[0].0, depth)] = Some(Box::new(Node::of(below, depth + 1, leaf_max)));
    }
    Kind::Inner(children)
}

/// Returns the nibble of an id that chooses among the children of a node at `depth`.
fn nibble(log: &LogId, depth: usize) -> usize {
    let byte = log.0[depth / 2];
    usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Ids of few distinct bytes, so that they share long prefixes and leaves split deep.
    fn log() -> impl Strategy<Value = LogId> {
        (prop::collection::vec(0u8..3, 4), 0u8..40).prop_map(|(head, tail)| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&head);
            id[31] = tail;
            LogId(id)
        })
    }

    fn build<'a>(items: impl IntoIterator<Item = (&'a LogId, &'a ItemHash)>) -> Trie {
        let mut trie = Trie::new();
        for (log, item) in items {
            trie.set(*log, *item);
        }
        trie
    }

    /// Returns all items of the trie, found by walking views alone, and checks each view against the model.
    fn walk(trie: &Trie, prefix: &mut Vec<u8>, found: &mut BTreeMap<LogId, ItemHash>) {
        match trie.node(prefix) {
            NodeView::Leaf(items) => {
                assert!(items.len() <= LEAF_MAX);
                found.extend(items);
            }
            NodeView::Inner(children) => {
                assert!(children.iter().any(Option::is_some));
                for (at, child) in (0u8..).zip(children.iter()) {
                    prefix.push(at);
                    if child.is_some() {
                        walk(trie, prefix, found);
                    } else {
                        assert_eq!(trie.node(prefix), NodeView::Leaf(Vec::new()));
                    }
                    prefix.pop();
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_follows_from_the_set_alone(steps in prop::collection::vec((log(), prop::option::weighted(0.7, 0u8..3)), 0..300)) {
            let mut trie = Trie::new();
            let mut model = BTreeMap::new();
            for (log, value) in steps {
                match value {
                    Some(value) => {
                        let changed = model.insert(log, [value; 32]) != Some([value; 32]);
                        prop_assert_eq!(trie.set(log, [value; 32]), changed);
                    }
                    None => prop_assert_eq!(trie.remove(&log), model.remove(&log).is_some()),
                }
            }
            prop_assert_eq!(trie.root(), build(&model).root());
            prop_assert_eq!(trie.root(), build(model.iter().rev()).root());
            let mut at_once = Trie::new();
            at_once.fill(model.iter().rev().map(|(log, item)| (*log, *item)).collect());
            prop_assert_eq!(trie.root(), at_once.root());
            prop_assert_eq!(trie.len(), at_once.len());
            prop_assert_eq!(trie.len(), model.len());
            let mut found = BTreeMap::new();
            walk(&trie, &mut Vec::new(), &mut found);
            prop_assert_eq!(&found, &model);
            prop_assert!(model.iter().all(|(log, item)| trie.item_of(log) == Some(item)));
            let root = trie.root();
            if let Some((log, _)) = model.first_key_value() {
                trie.set(*log, [9; 32]);
                prop_assert_ne!(trie.root(), root);
            }
            model.keys().for_each(|log| assert!(trie.remove(log)));
            prop_assert_eq!(trie.root(), EMPTY_ROOT);
        }
    }

    #[test]
    fn a_prefix_below_a_leaf_shows_what_it_has_there() {
        let mut trie = Trie::new();
        trie.set(LogId([0x12; 32]), [1; 32]);
        trie.set(LogId([0x13; 32]), [2; 32]);
        assert_eq!(trie.node(&[1, 3]), NodeView::Leaf(vec![(LogId([0x13; 32]), [2; 32])]));
        assert_eq!(trie.node(&[2]), NodeView::Leaf(vec![]));
        assert_eq!(trie.node(&[1, 200]), NodeView::Leaf(vec![]));
        assert_eq!(trie.node(&[1; 65]), NodeView::Leaf(vec![]));
    }

    /// Pins the format: it changes only with a new version.
    #[test]
    fn the_root_is_that_of_version_0() {
        let mut trie = Trie::new();
        for at in 0u8..40 {
            let log = LogId(*blake3::hash(&[at]).as_bytes());
            trie.set(log, item(&log, u64::from(at), &[at; 32]));
        }
        let root: String = trie.root().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(root, "350575108b48cec4d84bea45015ac072");
    }

    #[test]
    fn an_item_names_log_seq_and_hash() {
        let base = item(&LogId([1; 32]), 2, &[3; 32]);
        assert_ne!(base, item(&LogId([2; 32]), 2, &[3; 32]));
        assert_ne!(base, item(&LogId([1; 32]), 3, &[3; 32]));
        assert_ne!(base, item(&LogId([1; 32]), 2, &[4; 32]));
    }
}
