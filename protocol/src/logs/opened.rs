//! Cache of parts of the last opened entries, for the next document in them.
//!
//! Many documents lie in one entry of an import. Its dictionary is opened, its citations are read, and its
//! key tree is descended once for all of them.

use crate::branch::{Part, Short};
use crate::ids::EntryRef;
use crate::log::Codec;
use crate::sealed::{KeyNode, Seed, SeedWalk, node_seed};
use crate::storage::rows::IndexRow;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most entries of which something is kept.
const ENTRIES_MAX: usize = 16;

/// An entry: its place and its chain hash, since another history may have a different entry there.
type Of = (EntryRef, Short);

/// A dictionary, by the section that it is in.
type Dictionary = ((Of, u32), Arc<[u8]>);

/// Decompressor of sections, with parts of those that were opened last.
#[derive(Debug, Default)]
pub(super) struct Opener {
    pub(super) codec: Codec,
    pub(super) kept: Opened,
}

#[derive(Debug, Default)]
pub(super) struct Opened {
    dictionaries: VecDeque<Dictionary>,
    parts: VecDeque<(Of, Part<EntryRef>)>,
    seeds: Option<SeedWalk>,
    /// The section with parts of several documents that was opened last: its row, without a part, and its plaintext.
    pub(super) shared: Option<(IndexRow, Vec<u8>)>,
}

impl Opened {
    pub(super) fn dictionary(&self, of: Of, section: u32) -> Option<Arc<[u8]>> {
        self.dictionaries.iter().find(|(key, _)| *key == (of, section)).map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn keep_dictionary(&mut self, of: Of, section: u32, bytes: Vec<u8>) -> Arc<[u8]> {
        let bytes: Arc<[u8]> = bytes.into();
        keep(&mut self.dictionaries, ((of, section), bytes.clone()));
        bytes
    }

    pub(super) fn part(&self, of: Of) -> Option<Part<EntryRef>> {
        self.parts.iter().find(|(key, _)| *key == of).map(|(_, part)| part.clone())
    }

    pub(super) fn keep_part(&mut self, of: Of, part: Part<EntryRef>) {
        keep(&mut self.parts, (of, part));
    }

    /// Returns the seed of a node of the tree under `root`.
    pub(super) fn seed(&mut self, root: &Seed, node: KeyNode) -> Seed {
        if node == KeyNode::ROOT {
            return node_seed(root, node);
        }
        if self.seeds.as_ref().is_none_or(|walk| !walk.is_under(root)) {
            self.seeds = Some(SeedWalk::new(*root));
        }
        self.seeds.as_mut().map_or_else(|| node_seed(root, node), |walk| walk.seed(node))
    }
}

fn keep<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() >= ENTRIES_MAX {
        all.pop_back();
    }
    all.push_front(one);
}
