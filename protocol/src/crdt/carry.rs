//! Carries the effect of updates over to another document, as operations of another peer.
//!
//! Changes below a map are carried container by container, to the same places, because both documents name
//! these containers alike. A container that is an item of a list gets a new identity with the list item, and
//! the names of its entries derive from it. A new item is therefore copied by its content.

use super::slot::{Children, Kind, Look, Node, Slot, keys};
use super::{DEPTH_MAX, ROOT_DOC, ROOT_META, gone};
use loro::event::{Diff, DiffBatch, ListDiffItem};
use loro::{
    Container, ContainerTrait, Frontiers, LoroDoc, LoroList, LoroMap, LoroResult, LoroText, LoroValue, ValueOrContainer,
};
use std::collections::BTreeMap;

/// Repeats in `to` the changes that `from` made since `base`, which both share.
pub(super) fn carry(from: &LoroDoc, base: &Frontiers, to: &LoroDoc) -> LoroResult<()> {
    let batch: DiffBatch = from.diff(base, &from.oplog_frontiers())?;
    let diffs = batch.iter().map(|(id, diff)| (id.to_string(), diff.clone())).collect();
    let mut carrier = Carrier { from, to, diffs };
    for root in [ROOT_META, ROOT_DOC] {
        carrier.map(&from.get_map(root), &to.get_map(root), 0)?;
    }
    if gone::is_gone(from) {
        to.commit();
        gone::write(to, to.peer_id(), true)?;
    }
    Ok(())
}

struct Carrier<'a> {
    from: &'a LoroDoc,
    to: &'a LoroDoc,
    /// Changes of each container that are not carried yet, by the container's id.
    diffs: BTreeMap<String, Diff<'a>>,
}

impl Carrier<'_> {
    fn map(&mut self, from: &LoroMap, to: &LoroMap, depth: usize) -> LoroResult<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        if let Some(Diff::Map(changed)) = self.diffs.remove(&from.id().to_string()) {
            let mut changed: Vec<_> = changed.updated.iter().collect();
            changed.sort_unstable_by_key(|(key, _)| key.to_string());
            for (key, entry) in changed {
                // No honest writer deletes a key of a map, or puts a container there.
                if let Some(ValueOrContainer::Value(value)) = entry {
                    to.insert(key, value.clone())?;
                }
            }
        }
        for key in keys(from) {
            if matches!(Slot::of(from, &key), Slot::Absent) {
                continue;
            }
            let (old, new) = (Children::of(from, &key), Children::of(to, &key));
            for (old, new) in old.nodes(self.from).iter().zip(&new.nodes(self.to)) {
                self.node(old, new, depth + 1)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, from: &Node, to: &Node, depth: usize) -> LoroResult<()> {
        match (from, to) {
            (Node::Map(from), Node::Map(to)) => self.map(from, to, depth),
            (Node::Counter(from), Node::Counter(to)) => {
                if self.diffs.remove(&from.0.id().to_string()).is_some() {
                    to.add(self.to.peer_id(), from.value().saturating_sub(to.value()))?;
                }
                Ok(())
            }
            (Node::Text(from), Node::Text(to)) => match self.diffs.remove(&from.id().to_string()) {
                Some(Diff::Text(delta)) => to.apply_delta(&delta),
                _ => Ok(()),
            },
            (Node::List(from), Node::List(to)) => self.list(from, to, depth),
            _ => Ok(()),
        }
    }

    fn list(&mut self, from: &LoroList, to: &LoroList, depth: usize) -> LoroResult<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let mut at = 0;
        if let Some(Diff::List(delta)) = self.diffs.remove(&from.id().to_string()) {
            for step in delta {
                match step {
                    ListDiffItem::Retain { retain } => at += retain,
                    ListDiffItem::Delete { delete } => to.delete(at, delete)?,
                    ListDiffItem::Insert { insert, .. } => {
                        for item in insert {
                            self.copy_item(&item, to, at, depth)?;
                            at += 1;
                        }
                    }
                }
            }
        }
        // Items that both have are the same containers.
        let mut kept = Vec::new();
        from.for_each(|item| kept.extend(item.into_container().ok()));
        for item in kept {
            if let (node, Some(other)) = (item.clone(), self.to.get_container(item.id())) {
                let (old, new) = (item_node(node), item_node(other));
                self.node(&old, &new, depth + 1)?;
            }
        }
        Ok(())
    }

    fn copy_item(&self, item: &ValueOrContainer, to: &LoroList, at: usize, depth: usize) -> LoroResult<()> {
        match Node::item(item.clone()) {
            Node::Map(map) => self.copy_map(&map, &to.insert_container(at, LoroMap::new())?, depth + 1),
            Node::List(list) => self.copy_list(&list, &to.insert_container(at, LoroList::new())?, depth + 1),
            Node::Text(text) => to.insert_container(at, LoroText::new())?.insert(0, &text.to_string()),
            Node::Plain(value) => to.insert(at, value),
            Node::Counter(_) => to.insert(at, LoroValue::Null),
        }
    }

    fn copy_list(&self, from: &LoroList, to: &LoroList, depth: usize) -> LoroResult<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        (0..from.len()).try_for_each(|at| match from.get(at) {
            Some(item) => self.copy_item(&item, to, at, depth),
            None => Ok(()),
        })
    }

    fn copy_map(&self, from: &LoroMap, to: &LoroMap, depth: usize) -> LoroResult<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        for key in keys(from) {
            let Some(node) = Look::new(self.from).entry(from, &key, depth) else { continue };
            let new = Children::of(to, &key);
            let kind = match &node {
                Node::Plain(value) => {
                    to.insert(&key, value.clone())?;
                    continue;
                }
                Node::Map(map) => self.copy_map(map, &new.map(self.to), depth + 1).map(|()| Kind::Map),
                Node::List(list) => self.copy_list(list, &new.list(self.to), depth + 1).map(|()| Kind::List),
                Node::Text(text) => new.text(self.to).insert(0, &text.to_string()).map(|()| Kind::Text),
                Node::Counter(counter) => {
                    new.counter(self.to).add(self.to.peer_id(), counter.value()).map(|()| Kind::Counter)
                }
            };
            to.insert(&key, kind?.marker())?;
        }
        Ok(())
    }
}

fn item_node(item: Container) -> Node {
    Node::item(ValueOrContainer::Container(item))
}
