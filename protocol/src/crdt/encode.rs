//! Writes values into Loro containers, and contains the only place that makes a Loro document.
//!
//! The rule (`spec/documents.md`, section 3): an object becomes a map container, an array a list container, a
//! string at a declared text path a text container, anything else a plain value. Below a map, every writer
//! makes the same container ([`super::slot`]).

use super::change::{ChangeError, Splice, splice_between};
use super::read::Reader;
use super::replica::Update;
use super::slot::{Children, Kind, Look, Node, Slot, keys, mark, tombstone};
use super::{DEPTH_MAX, ROOT_DOC, ROOT_META, Step, TextPaths, UPDATE_BYTES_MAX, UPDATE_OPS_MAX, Value, VersionId};
use super::{envelope, gone};
use loro::{ExportMode, IdSpan, LoroDoc, LoroList, LoroMap, LoroResult, LoroText, LoroValue};
use std::collections::BTreeMap;

/// Name and collection of a document. They travel inside the document, in a root map of their own, and are
/// not part of the value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Name of the collection.
    pub collection: Option<String>,
    /// The key from which the document's id was derived, if it was.
    pub key: Option<String>,
    /// Deleted documents keep their history; any edit that a deletion has not seen brings them back.
    pub deleted: bool,
}

const META_COLLECTION: &str = "collection";
const META_KEY: &str = "key";

impl Meta {
    pub(super) fn write(&self, doc: &LoroDoc) -> LoroResult<()> {
        let fields = [(META_COLLECTION, &self.collection), (META_KEY, &self.key)];
        for (name, text) in fields {
            if let Some(text) = text {
                doc.get_map(ROOT_META).insert(name, text.as_str())?;
            }
        }
        Ok(())
    }

    pub(super) fn read(doc: &LoroDoc) -> Self {
        let map = doc.get_map(ROOT_META);
        let text = |name| Some(map.get(name)?.into_value().ok()?.into_string().ok()?.to_string());
        Self { collection: text(META_COLLECTION), key: text(META_KEY), deleted: gone::is_gone(doc) }
    }

    pub(super) fn cost(&self) -> usize {
        [&self.collection, &self.key].into_iter().flatten().map(|text| 40 + text.len()).sum()
    }
}

/// Makes an empty Loro document of one peer: the only call of `LoroDoc::new`.
///
/// Loro draws a peer id from the operating system here; it is overwritten before the document can be used.
#[expect(clippy::disallowed_methods, reason = "the one guarded call site: the random peer id is overwritten at once")]
pub(super) fn fresh(peer: u64) -> LoroDoc {
    let doc = LoroDoc::new();
    assert!(doc.set_peer_id(peer).is_ok(), "a peer id is a hash; the reserved one never occurs");
    doc
}

/// Makes the first update of a new document without keeping a replica: the way of a bulk import.
///
/// Fails as [`super::Replica::create`] does; a value whose update would exceed the acceptance constants is
/// [`ChangeError::TooLarge`].
pub fn encode_new(peer: u64, meta: &Meta, value: &Value, texts: &TextPaths) -> Result<Update, ChangeError> {
    new_doc(peer, meta, value, texts).map(|(update, _)| update)
}

/// Encodes as [`encode_new`] does, and reads back the result of the update.
pub(crate) fn encode_and_read(
    peer: u64,
    meta: &Meta,
    value: &Value,
    texts: &TextPaths,
) -> Result<(Update, Meta, Value, VersionId), ChangeError> {
    let (update, doc) = new_doc(peer, meta, value, texts)?;
    Ok((update, Meta::read(&doc), Reader::new(&doc).document(), VersionId::of(&doc.oplog_frontiers())))
}

fn new_doc(peer: u64, meta: &Meta, value: &Value, texts: &TextPaths) -> Result<(Update, LoroDoc), ChangeError> {
    let Value::Map(entries) = value else { return Err(ChangeError::RootNotMap) };
    if value.depth() > DEPTH_MAX {
        return Err(ChangeError::TooDeep);
    }
    let doc = fresh(peer);
    let written = meta.write(&doc).and_then(|()| {
        let mut writer = Writer { is_new: true, ..Writer::new(&doc, texts, Vec::new()) };
        writer.fill_map(&doc.get_map(ROOT_DOC), entries)
    });
    written.map_err(|_| ChangeError::Refused)?;
    doc.commit();
    let end = ops_of(&doc, peer);
    let bytes = export(&doc, peer, 0, end).ok_or(ChangeError::Refused)?;
    if bytes.len() > UPDATE_BYTES_MAX || end > UPDATE_OPS_MAX {
        return Err(ChangeError::TooLarge);
    }
    Ok((Update { bytes, start: 0, end }, doc))
}

/// Returns the end of the committed operations of `peer`.
pub(super) fn ops_of(doc: &LoroDoc, peer: u64) -> u32 {
    doc.oplog_vv().get(&peer).and_then(|end| u32::try_from(*end).ok()).unwrap_or(0)
}

/// Exports one peer's operations from `start` to `end`, as an update.
pub(super) fn export(doc: &LoroDoc, peer: u64, start: u32, end: u32) -> Option<Vec<u8>> {
    let span = IdSpan::new(peer, i32::try_from(start).ok()?, i32::try_from(end).ok()?);
    envelope::without(&doc.export(ExportMode::updates_in_range(vec![span])).ok()?)
}

/// Writes values into containers. `path` is the writer's current place, kept for the text paths.
pub(super) struct Writer<'a> {
    doc: &'a LoroDoc,
    texts: &'a TextPaths,
    path: Vec<Step>,
    /// True if the place is new, so that nothing must be looked up.
    is_new: bool,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(doc: &'a LoroDoc, texts: &'a TextPaths, path: Vec<Step>) -> Self {
        Self { doc, texts, path, is_new: false }
    }

    /// Makes an entry of a map equal to a value. Existing content is changed, never replaced: a container
    /// keeps its identity, so that concurrent writes in it stay.
    pub(super) fn put(&mut self, map: &LoroMap, key: &str, value: &Value) -> LoroResult<()> {
        let slot = if self.is_new { Slot::Absent } else { Slot::of(map, key) };
        let stands = match slot {
            Slot::Absent => None,
            Slot::Plain(_) | Slot::Marker(_) | Slot::Tombstone | Slot::Foreign => {
                Look::new(self.doc).entry(map, key, self.path.len())
            }
        };
        self.path.push(Step::Key(key.to_owned()));
        let written = match (value, &stands) {
            (Value::Text(text), Some(Node::Text(stands))) => {
                self.clear(map, key, Some(Kind::Text), self.path.len())?;
                mark(map, key, Kind::Text)?;
                splice(stands, &splice_between(&stands.to_string(), text))
            }
            (Value::Int(number), Some(Node::Counter(counter))) => {
                self.clear(map, key, Some(Kind::Counter), self.path.len())?;
                mark(map, key, Kind::Counter)?;
                counter.add(self.doc.peer_id(), number.saturating_sub(counter.value()))
            }
            _ => self.write(map, key, value, &slot),
        };
        self.path.pop();
        written
    }

    fn write(&mut self, map: &LoroMap, key: &str, value: &Value, slot: &Slot) -> LoroResult<()> {
        let kind = match value {
            Value::Map(_) => Some(Kind::Map),
            Value::List(_) => Some(Kind::List),
            Value::Text(_) if self.texts.contains(&self.path) => Some(Kind::Text),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => None,
        };
        if *slot != Slot::Absent && !planted!("slot.not-cleared") {
            self.clear(map, key, kind, self.path.len())?;
        }
        let Some(kind) = kind else {
            let plain = plain(value);
            if is_same(slot, &plain) {
                return Ok(());
            }
            if matches!(slot, Slot::Plain(stands) if *stands == plain) {
                // Loro writes nothing in the place of an equal value: 0.0 would not replace -0.0.
                map.insert(key, tombstone())?;
            }
            return map.insert(key, plain);
        };
        if *slot != Slot::Marker(kind) {
            map.insert(key, kind.marker())?;
        }
        let children = Children::of(map, key);
        match value {
            Value::Map(entries) => self.fill_map(&children.map(self.doc), entries),
            Value::List(items) => self.fill_list(&children.list(self.doc), items),
            Value::Text(text) => {
                let stands = children.text(self.doc);
                splice(&stands, &splice_between(&stands.to_string(), text))
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => Ok(()),
        }
    }

    /// Deletes an entry of a map: clears the seen content and leaves a tombstone.
    pub(super) fn remove(&self, map: &LoroMap, key: &str, depth: usize) -> LoroResult<()> {
        if Slot::of(map, key) == Slot::Absent {
            return Ok(());
        }
        self.clear(map, key, None, depth)?;
        if planted!("slot.really-deleted") { map.delete(key) } else { map.insert(key, tombstone()) }
    }

    /// Clears the containers under a key, except the one of `kind`.
    pub(super) fn clear_but(&self, map: &LoroMap, key: &str, kind: Kind, depth: usize) -> LoroResult<()> {
        if Slot::of(map, key) == Slot::Absent { Ok(()) } else { self.clear(map, key, Some(kind), depth) }
    }

    fn clear(&self, map: &LoroMap, key: &str, but: Option<Kind>, depth: usize) -> LoroResult<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let children = Children::of(map, key);
        for kind in Kind::ALL.into_iter().filter(|kind| Some(*kind) != but) {
            match kind {
                Kind::Map => {
                    let child = children.map(self.doc);
                    for key in keys(&child) {
                        self.remove(&child, &key, depth + 1)?;
                    }
                }
                Kind::List => {
                    let child = children.list(self.doc);
                    child.delete(0, child.len())?;
                }
                Kind::Text => {
                    let child = children.text(self.doc);
                    child.delete(0, child.len_unicode())?;
                }
                Kind::Counter => children.counter(self.doc).clear(self.doc.peer_id())?,
            }
        }
        Ok(())
    }

    fn fill_map(&mut self, map: &LoroMap, entries: &BTreeMap<String, Value>) -> LoroResult<()> {
        if !self.is_new {
            for key in keys(map).iter().filter(|key| !entries.contains_key(*key)) {
                self.remove(map, key, self.path.len())?;
            }
        }
        entries.iter().try_for_each(|(key, value)| self.put(map, key, value))
    }

    /// Makes a list equal to items; the items shared at its beginning and end stay.
    fn fill_list(&mut self, list: &LoroList, items: &[Value]) -> LoroResult<()> {
        if list.is_empty() {
            return self.insert(list, 0, items);
        }
        let stands = Reader::new(self.doc).node(&Node::List(list.clone()), self.path.len());
        let stands = stands.as_list().cloned().unwrap_or_default();
        let prefix = stands.iter().zip(items).take_while(|(a, b)| a == b).count();
        let (old, new) = (&stands[prefix..], &items[prefix..]);
        let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        list.delete(prefix, old.len() - suffix)?;
        self.insert(list, prefix, &new[..new.len() - suffix])
    }

    /// Inserts items into a list, the first at `index`. Their containers are ordinary ones.
    pub(super) fn insert(&mut self, list: &LoroList, index: usize, items: &[Value]) -> LoroResult<()> {
        for (at, value) in (index..).zip(items) {
            self.path.push(Step::Index(at));
            let is_text = value.as_text().is_some() && self.texts.contains(&self.path);
            let inserted = match value {
                Value::Map(entries) => {
                    let map = list.insert_container(at, LoroMap::new())?;
                    let was_new = core::mem::replace(&mut self.is_new, true);
                    let filled = self.fill_map(&map, entries);
                    self.is_new = was_new;
                    filled
                }
                Value::List(items) => {
                    let list = list.insert_container(at, LoroList::new())?;
                    self.insert(&list, 0, items)
                }
                Value::Text(text) if is_text => list.insert_container(at, LoroText::new())?.insert(0, text),
                Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                    list.insert(at, plain(value))
                }
            };
            self.path.pop();
            inserted?;
        }
        Ok(())
    }
}

/// Replaces a stretch of a text.
pub(super) fn splice(text: &LoroText, edit: &Splice<'_>) -> LoroResult<()> {
    if edit.delete > 0 {
        text.delete(edit.at, edit.delete)?;
    }
    if edit.insert.is_empty() { Ok(()) } else { text.insert(edit.at, edit.insert) }
}

fn plain(value: &Value) -> LoroValue {
    match value {
        Value::Null | Value::List(_) | Value::Map(_) => LoroValue::Null,
        Value::Bool(flag) => LoroValue::Bool(*flag),
        Value::Int(number) => LoroValue::I64(*number),
        Value::Float(number) => LoroValue::Double(*number),
        Value::Bytes(bytes) => LoroValue::Binary(bytes.clone().into()),
        Value::Text(text) => LoroValue::String(text.as_str().into()),
    }
}

/// Returns whether a slot holds a plain value to the bit: `0.0` and `-0.0` differ.
fn is_same(slot: &Slot, value: &LoroValue) -> bool {
    match (slot, value) {
        (Slot::Plain(LoroValue::Double(a)), LoroValue::Double(b)) => a.to_bits() == b.to_bits(),
        (Slot::Plain(a), b) => a == b,
        _ => false,
    }
}
