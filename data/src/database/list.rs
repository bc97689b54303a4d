//! Requests about many documents: pages, descriptions, digests.

use super::context::{Context, Task, Wake};
use super::read::found;
use super::request::{Answer, CollectionDigest, Found, Place, RequestError};
use super::walk::{Walk, Walked};
use crate::collection::{COLLECTIONS, CollectionMeta, Declared};
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::PartNo;

/// Size limit for a page's values without its last document, in bytes.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Largest number of documents in a page.
const PAGE_DOCS_MAX: usize = 16_384;

/// Reads a page of documents.
#[derive(Debug)]
pub(super) struct Page {
    partition: PartNo,
    collection: Option<String>,
    after: Option<Place>,
    limit: usize,
    values: bool,
    walk: Option<Walk>,
    docs: Vec<Found>,
    bytes: usize,
}

impl Page {
    pub(super) fn new(
        partition: PartNo,
        collection: Option<String>,
        after: Option<Place>,
        limit: usize,
        values: bool,
    ) -> Self {
        let limit = limit.clamp(1, PAGE_DOCS_MAX);
        Self { partition, collection, after, limit, values, walk: None, docs: Vec::new(), bytes: 0 }
    }

    fn start(&self, cx: &Context<'_>) -> Result<Walk, RequestError> {
        let only = self.collection.as_ref().map(|name| cx.collection_id(self.partition, name)).transpose()?;
        let skip = only.is_none().then(|| cx.collection_id(self.partition, COLLECTIONS)).transpose()?;
        Ok(Walk::new(self.partition, only, skip, self.after.as_ref(), self.limit))
    }
}

impl Task for Page {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        if self.walk.is_none() {
            self.walk = Some(self.start(cx)?);
        }
        let Some(walk) = &mut self.walk else { return Ok(None) };
        walk.wake(cx, wake)?;
        let next = loop {
            match walk.next(cx) {
                Walked::Wait => return Ok(None),
                Walked::End => break None,
                Walked::Doc(place, snapshot) => {
                    if self.values {
                        self.bytes += snapshot.value.encode().len();
                    }
                    self.docs.extend(found(place.doc, snapshot, self.values));
                    if self.docs.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX {
                        break Some(place);
                    }
                }
            }
        };
        Ok(Some(Answer::Page { docs: core::mem::take(&mut self.docs), next }))
    }
}

/// Reads the descriptions of the collections, or a part of each.
#[derive(Debug)]
pub(super) struct Described<T> {
    partition: PartNo,
    walk: Option<Walk>,
    read: fn(&Value) -> Option<T>,
    answer: fn(Vec<T>) -> Answer,
    found: Vec<T>,
}

impl Described<CollectionMeta> {
    pub(super) const fn collections(partition: PartNo) -> Self {
        let answer = |mut metas: Vec<CollectionMeta>| {
            metas.sort_by(|a, b| a.name.cmp(&b.name));
            Answer::Collections(metas)
        };
        // A description in the format of a later version is skipped.
        Self { partition, walk: None, read: |value| CollectionMeta::from_value(value).ok(), answer, found: Vec::new() }
    }
}

impl Described<(String, Option<String>)> {
    /// Reads the texts of the schemas without parsing them, which is fast for any number of schemas.
    pub(super) const fn schemas(partition: PartNo) -> Self {
        let read = |value: &Value| {
            let name = value.entry("name")?.as_text()?;
            Some((name.to_owned(), Declared::text_of(value).map(str::to_owned)))
        };
        let answer = |mut texts: Vec<_>| {
            texts.sort();
            Answer::Schemas(texts)
        };
        Self { partition, walk: None, read, answer, found: Vec::new() }
    }
}

impl<T: core::fmt::Debug + Send> Task for Described<T> {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        if self.walk.is_none() {
            let only = cx.collection_id(self.partition, COLLECTIONS)?;
            self.walk = Some(Walk::new(self.partition, Some(only), None, None, usize::MAX));
        }
        let Some(walk) = &mut self.walk else { return Ok(None) };
        walk.wake(cx, wake)?;
        loop {
            match walk.next(cx) {
                Walked::Wait => return Ok(None),
                Walked::Doc(_, snapshot) => self.found.extend((self.read)(&snapshot.value)),
                Walked::End => break,
            }
        }
        Ok(Some((self.answer)(core::mem::take(&mut self.found))))
    }
}

/// Running count and digest of one collection.
#[derive(Debug)]
struct Counting {
    id: [u8; 16],
    name: Option<String>,
    count: u64,
    hasher: blake3::Hasher,
}

impl Counting {
    fn new(id: [u8; 16]) -> Self {
        Self { id, name: None, count: 0, hasher: blake3::Hasher::new_derive_key("cosmicsync collection digest 1") }
    }

    fn done(self) -> CollectionDigest {
        let hex = || self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = *self.hasher.finalize().as_bytes();
        CollectionDigest { collection: self.name.unwrap_or_else(hex), count: self.count, digest }
    }
}

/// Computes the count and digest of each collection of a partition.
#[derive(Debug)]
pub(super) struct Digest {
    partition: PartNo,
    walk: Option<Walk>,
    counting: Option<Counting>,
    done: Vec<CollectionDigest>,
}

impl Digest {
    pub(super) const fn new(partition: PartNo) -> Self {
        Self { partition, walk: None, counting: None, done: Vec::new() }
    }
}

impl Task for Digest {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        if self.walk.is_none() {
            cx.space(self.partition)?;
            self.walk = Some(Walk::new(self.partition, None, None, None, usize::MAX));
        }
        let Some(walk) = &mut self.walk else { return Ok(None) };
        walk.wake(cx, wake)?;
        loop {
            match walk.next(cx) {
                Walked::Wait => return Ok(None),
                Walked::End => break,
                Walked::Doc(place, snapshot) => {
                    if self.counting.as_ref().is_none_or(|counting| counting.id != place.collection) {
                        let before = self.counting.replace(Counting::new(place.collection));
                        self.done.extend(before.map(Counting::done));
                    }
                    let Some(counting) = &mut self.counting else { continue };
                    counting.count += 1;
                    counting.hasher.update(place.doc.as_ref());
                    counting.hasher.update(&snapshot.value.digest());
                    counting.name = counting.name.take().or(snapshot.meta.collection);
                }
            }
        }
        self.done.extend(self.counting.take().map(Counting::done));
        self.done.sort_by(|a, b| a.collection.cmp(&b.collection));
        Ok(Some(Answer::Digest(core::mem::take(&mut self.done))))
    }
}
