//! From values to Loro containers, and the one place that makes a Loro document.
//!
//! The rule (`spec/documents.md`, section 3): an object becomes a map container, an array a list container, a string at
//! a declared text path a text container, anything else a plain value.

use super::change::ChangeError;
use super::envelope;
use super::replica::Update;
use super::{DEPTH_MAX, ROOT_DOC, ROOT_META, Step, TextPaths, UPDATE_BYTES_MAX, UPDATE_OPS_MAX, Value};
use loro::{ExportMode, IdSpan, LoroDoc, LoroList, LoroMap, LoroResult, LoroText, LoroValue};

/// What a document is called. It travels inside the document, in a root map of its own, and is no part of the value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Name of the collection.
    pub collection: Option<String>,
    /// The key from which the document's id was derived, if it was.
    pub key: Option<String>,
    /// Deleted documents keep their history and can come back.
    pub deleted: bool,
}

pub(super) const META_DELETED: &str = "deleted";
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
        let deleted = map.get(META_DELETED).and_then(|value| value.into_value().ok()?.into_bool().ok());
        Self { collection: text(META_COLLECTION), key: text(META_KEY), deleted: deleted.unwrap_or(false) }
    }

    pub(super) fn write_deleted(doc: &LoroDoc, deleted: bool) -> LoroResult<()> {
        doc.get_map(ROOT_META).insert(META_DELETED, deleted)?;
        doc.commit();
        Ok(())
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
    let Value::Map(entries) = value else { return Err(ChangeError::RootNotMap) };
    if value.depth() > DEPTH_MAX {
        return Err(ChangeError::TooDeep);
    }
    let doc = fresh(peer);
    let written = meta.write(&doc).and_then(|()| {
        let mut writer = Writer { texts, path: Vec::new() };
        let root = doc.get_map(ROOT_DOC);
        entries.iter().try_for_each(|(key, value)| writer.entry(&root, key, value))
    });
    written.map_err(|_| ChangeError::Refused)?;
    doc.commit();
    let end = ops_of(&doc, peer);
    let bytes = export(&doc, peer, 0, end).ok_or(ChangeError::Refused)?;
    if bytes.len() > UPDATE_BYTES_MAX || end > UPDATE_OPS_MAX {
        return Err(ChangeError::TooLarge);
    }
    Ok(Update { bytes, start: 0, end })
}

/// Where the committed operations of `peer` end.
pub(super) fn ops_of(doc: &LoroDoc, peer: u64) -> u32 {
    doc.oplog_vv().get(&peer).and_then(|end| u32::try_from(*end).ok()).unwrap_or(0)
}

/// Exports one peer's operations from `start` to `end`, as an update.
pub(super) fn export(doc: &LoroDoc, peer: u64, start: u32, end: u32) -> Option<Vec<u8>> {
    let span = IdSpan::new(peer, i32::try_from(start).ok()?, i32::try_from(end).ok()?);
    envelope::without(&doc.export(ExportMode::updates_in_range(vec![span])).ok()?)
}

/// Writes values into containers. `path` is where the writer stands, kept for the text paths.
pub(super) struct Writer<'a> {
    pub(super) texts: &'a TextPaths,
    pub(super) path: Vec<Step>,
}

impl Writer<'_> {
    /// Writes one entry of a map.
    pub(super) fn entry(&mut self, map: &LoroMap, key: &str, value: &Value) -> LoroResult<()> {
        if let Some(plain) = self.plain(value, || Step::Key(key.to_owned())) {
            return map.insert(key, plain);
        }
        self.path.push(Step::Key(key.to_owned()));
        match value {
            Value::Map(entries) => self.fill_map(&map.insert_container(key, LoroMap::new())?, entries)?,
            Value::List(items) => self.fill_list(&map.insert_container(key, LoroList::new())?, 0, items)?,
            Value::Text(text) => map.insert_container(key, LoroText::new())?.insert(0, text)?,
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => {}
        }
        self.path.pop();
        Ok(())
    }

    /// Inserts items into a list, the first at `index`.
    pub(super) fn fill_list(&mut self, list: &LoroList, index: usize, items: &[Value]) -> LoroResult<()> {
        for (at, value) in (index..).zip(items) {
            if let Some(plain) = self.plain(value, || Step::Index(at)) {
                list.insert(at, plain)?;
                continue;
            }
            self.path.push(Step::Index(at));
            match value {
                Value::Map(entries) => self.fill_map(&list.insert_container(at, LoroMap::new())?, entries)?,
                Value::List(items) => self.fill_list(&list.insert_container(at, LoroList::new())?, 0, items)?,
                Value::Text(text) => list.insert_container(at, LoroText::new())?.insert(0, text)?,
                Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    fn fill_map(&mut self, map: &LoroMap, entries: &std::collections::BTreeMap<String, Value>) -> LoroResult<()> {
        entries.iter().try_for_each(|(key, value)| self.entry(map, key, value))
    }

    /// The plain Loro value, or `None` for what becomes a container.
    fn plain(&mut self, value: &Value, step: impl FnOnce() -> Step) -> Option<LoroValue> {
        Some(match value {
            Value::Null => LoroValue::Null,
            Value::Bool(flag) => LoroValue::Bool(*flag),
            Value::Int(number) => LoroValue::I64(*number),
            Value::Float(number) => LoroValue::Double(*number),
            Value::Bytes(bytes) => LoroValue::Binary(bytes.clone().into()),
            Value::Text(text) => {
                if !self.texts.is_empty() {
                    self.path.push(step());
                    let declared = self.texts.contains(&self.path);
                    self.path.pop();
                    if declared {
                        return None;
                    }
                }
                LoroValue::String(text.as_str().into())
            }
            Value::List(_) | Value::Map(_) => return None,
        })
    }
}
