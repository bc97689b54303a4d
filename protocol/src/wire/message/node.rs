//! The encoding of trie nodes (`spec/wire.md`, section 5).

use super::{LEAF_MAX, Node, read_seq};
use crate::codec::{CodecError, Reader, Write};
use crate::ids::LogId;
use crate::wire::terms::{LeafItem, NodeView, Scope};

pub(super) fn write_node(out: &mut Vec<u8>, node: &Node) {
    let (scope, view) = match (&node.scope, &node.view) {
        (Scope::Space, NodeView::Inner(_)) => (0, 0),
        (Scope::Space, NodeView::Leaf(_)) => (0, 2),
        (Scope::Partition(_), NodeView::Inner(_)) => (1, 0),
        (Scope::Partition(_), NodeView::Leaf(_)) => (1, 2),
    };
    out.byte(scope | view);
    if let Scope::Partition(token) = &node.scope {
        out.raw(token);
    }
    out.byte(node.prefix.len() as u8);
    for pair in node.prefix.chunks(2) {
        out.byte(pair[0] << 4 | pair.get(1).copied().unwrap_or(0));
    }
    match &node.view {
        NodeView::Inner(children) => {
            let bits = children.iter().enumerate().fold(0u16, |bits, (at, c)| bits | u16::from(c.is_some()) << at);
            out.raw(&bits.to_le_bytes());
            children.iter().flatten().for_each(|hash| out.raw(hash));
        }
        NodeView::Leaf(items) => {
            out.byte(items.len() as u8);
            for item in items {
                out.raw(item.key());
                match item {
                    LeafItem::Partition { root, .. } => out.raw(root),
                    LeafItem::Log { seq, h, .. } => {
                        out.varint(*seq);
                        out.raw(h);
                    }
                }
            }
        }
    }
}

pub(super) fn read_node(r: &mut Reader<'_>) -> Result<Node, CodecError> {
    let kind = r.u8()?;
    if kind > 3 {
        return Err(CodecError::OutOfRange("a node"));
    }
    let scope = if kind & 1 == 0 { Scope::Space } else { Scope::Partition(r.array()?) };
    let depth = usize::from(r.u8()?);
    let is_inner = kind & 2 == 0;
    if depth > scope.depth_max() || (is_inner && depth == scope.depth_max()) {
        return Err(CodecError::OutOfRange("a path"));
    }
    let packed = r.take(depth.div_ceil(2))?;
    let mut prefix: Vec<u8> = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
    if prefix.len() > depth && prefix.pop() != Some(0) {
        return Err(CodecError::OutOfRange("a path"));
    }
    let view = if is_inner { read_inner(r)? } else { read_leaf(r, scope, &prefix)? };
    Ok(Node { scope, prefix, view })
}

fn read_inner(r: &mut Reader<'_>) -> Result<NodeView, CodecError> {
    let bits = u16::from_le_bytes(r.array()?);
    if bits == 0 {
        return Err(CodecError::OutOfRange("a node"));
    }
    let mut children = [None; 16];
    for (at, child) in children.iter_mut().enumerate() {
        if bits >> at & 1 == 1 {
            *child = Some(r.array()?);
        }
    }
    Ok(NodeView::Inner(Box::new(children)))
}

fn read_leaf(r: &mut Reader<'_>, scope: Scope, prefix: &[u8]) -> Result<NodeView, CodecError> {
    let count = usize::from(r.u8()?);
    if count > LEAF_MAX {
        return Err(CodecError::OutOfRange("a leaf"));
    }
    let mut items: Vec<LeafItem> = Vec::with_capacity(count);
    for _ in 0..count {
        let item = match scope {
            Scope::Space => LeafItem::Partition { token: r.array()?, root: r.array()? },
            Scope::Partition(_) => LeafItem::Log { id: LogId(r.array()?), seq: read_seq(r)?, h: r.array()? },
        };
        let ascends = items.last().is_none_or(|last| last.key() < item.key());
        let nibble = |at: usize| item.key()[at / 2] >> (4 * (1 - at % 2)) & 15;
        if !ascends || prefix.iter().enumerate().any(|(at, expected)| nibble(at) != *expected) {
            return Err(CodecError::OutOfRange("a leaf"));
        }
        items.push(item);
    }
    Ok(NodeView::Leaf(items))
}
