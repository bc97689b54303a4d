//! Updates that no honest replica writes, in Loro's own encoding. For tests alone.

use super::ROOT_DOC;
use super::encode::fresh;
use super::envelope;
use loro::{ExportMode, IdSpan, LoroDoc, LoroList, LoroMap, LoroText};

/// The updates that [`forge`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// Nested maps, of this depth.
    NestedMaps(usize),
    /// Nested lists, of this depth.
    NestedLists(usize),
    /// A list of this many items.
    LongList(usize),
    /// A text of this many characters.
    LongText(usize),
    /// A map of this many keys.
    ManyKeys(usize),
    /// A number of empty containers beside each other.
    ManyContainers(usize),
    /// Operations of the log's peer and of another.
    TwoPeers(u64),
    /// Operations of another peer alone.
    OtherPeer(u64),
    /// Operations of the log's peer, but not from its first one on.
    LateStart,
    /// Operations in the middle are missing.
    Gap,
    /// A snapshot instead of updates.
    Snapshot,
    /// Operations that build on missing operations of another peer.
    UnknownDependency(u64),
}

/// Makes an update of `peer`.
pub fn forge(peer: u64, what: Forgery) -> Vec<u8> {
    let doc = fresh(peer);
    let root = doc.get_map(ROOT_DOC);
    match what {
        Forgery::NestedMaps(depth) => drop(nest_maps(root, depth)),
        Forgery::NestedLists(depth) => {
            let list = root.insert_container("deep", LoroList::new());
            let nest = |list: LoroList, _| list.insert_container(0, LoroList::new());
            drop(list.and_then(|list| (0..depth).try_fold(list, nest)));
        }
        Forgery::LongList(items) => {
            let list = root.insert_container("list", LoroList::new());
            drop(list.and_then(|list| (0..items).try_for_each(|at| list.insert(at, true))));
        }
        Forgery::LongText(chars) => {
            let text = root.insert_container("body", LoroText::new());
            drop(text.and_then(|text| text.insert(0, &"a".repeat(chars))));
        }
        Forgery::ManyKeys(keys) => drop((0..keys).try_for_each(|at| root.insert(&at.to_string(), true))),
        Forgery::ManyContainers(count) => {
            drop((0..count).try_for_each(|at| root.insert_container(&at.to_string(), LoroMap::new()).map(drop)));
        }
        Forgery::TwoPeers(other) => {
            drop(root.insert("mine", 1));
            doc.commit();
            mix(&doc, other);
        }
        Forgery::OtherPeer(other) => return simple(other),
        Forgery::LateStart => {
            drop((0..8).try_for_each(|at| root.insert(&at.to_string(), at)));
            doc.commit();
            return export(&doc, &[IdSpan::new(peer, 5, 8)]);
        }
        Forgery::Gap => {
            let text = root.insert_container("body", LoroText::new());
            drop(text.and_then(|text| text.insert(0, "abcdef")));
            doc.commit();
            return export(&doc, &[IdSpan::new(peer, 0, 2), IdSpan::new(peer, 4, 7)]);
        }
        Forgery::Snapshot => {
            drop(root.insert("mine", 1));
            doc.commit();
            // In an envelope of updates, since there is no other.
            return doc.export(ExportMode::Snapshot).unwrap_or_default().split_off(22);
        }
        Forgery::UnknownDependency(other) => {
            mix(&doc, other);
            drop(root.insert("mine", 1));
            doc.commit();
            return export(&doc, &[IdSpan::new(peer, 0, 1)]);
        }
    }
    doc.commit();
    whole(&doc)
}

/// Makes a chain of nested maps, cut into updates of `step` levels each, to be sent one after the other.
pub fn nested_chain(peer: u64, step: usize, updates: usize) -> Vec<Vec<u8>> {
    let doc = fresh(peer);
    let mut map = doc.get_map(ROOT_DOC);
    let mut made = Vec::with_capacity(updates);
    for at in 0..updates {
        let Some(deeper) = nest_maps(map, step) else { break };
        map = deeper;
        doc.commit();
        let (from, to) = ((at * step) as i32, ((at + 1) * step) as i32);
        made.push(export(&doc, &[IdSpan::new(peer, from, to)]));
    }
    // Other tests cover dropping so deep a document; here the drop would end the test.
    core::mem::forget(doc);
    made
}

fn nest_maps(root: LoroMap, depth: usize) -> Option<LoroMap> {
    (0..depth).try_fold(root, |map, _| map.insert_container("k", LoroMap::new()).ok())
}

/// Imports another peer's operations.
#[expect(clippy::disallowed_methods, reason = "a forger does not check what it imports")]
fn mix(doc: &LoroDoc, other: u64) {
    drop(doc.import(&envelope::within(&simple(other))));
}

fn simple(peer: u64) -> Vec<u8> {
    let doc = fresh(peer);
    drop(doc.get_map(ROOT_DOC).insert("theirs", 1));
    doc.commit();
    whole(&doc)
}

fn export(doc: &LoroDoc, spans: &[IdSpan]) -> Vec<u8> {
    let export = doc.export(ExportMode::updates_in_range(spans.to_vec())).unwrap_or_default();
    envelope::without(&export).unwrap_or_default()
}

fn whole(doc: &LoroDoc) -> Vec<u8> {
    envelope::without(&doc.export(ExportMode::all_updates()).unwrap_or_default()).unwrap_or_default()
}
