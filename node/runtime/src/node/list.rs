//! Lists documents, and the history of one.
//!
//! Up to [`SORTED_MAX`] documents are listed by collection and key; those without a key follow, by id. The index is in
//! the order of ids, so the names of all these documents are read first, and values only of the listed ones. More
//! documents are listed in the order of the index, so that the first ones come without a delay.

use super::Acting;
use super::docs::{name, partition, view};
use super::handle::unexpected;
use crate::driver::stopping;
use crate::service::{
    DocList, DocRef, ErrorCode, Item, Listed, Reply, Revision, RevisionKind, ServiceError, SpaceRef, Text,
};
use cosmicsync_data::database::request::{self, Answer, Found, Name, Place, Request};
use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::ids::{DocId, PartNo};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::sync::mpsc;

/// Number of names per read.
const PAGE_DOCS: usize = 4096;
/// Largest number of documents that are sorted by collection and key.
const SORTED_MAX: u64 = 4096;
/// Number of documents per page, if pages are sent as they are read.
const SENT_DOCS: usize = 1024;
/// Number of values that are read ahead of the one being sent.
const AHEAD: usize = 16;

/// Place of a document in a list. Documents without a key come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    collection: String,
    unkeyed: bool,
    key: String,
    doc: DocId,
    version: VersionId,
}

impl Row {
    fn of(found: Found) -> Self {
        let Found { doc, collection, key, version, .. } = found;
        let (unkeyed, key) = (key.is_none(), key.unwrap_or_default());
        Self { collection: collection.unwrap_or_default(), unkeyed, key, doc, version }
    }

    fn found(self) -> Found {
        let key = (!self.unkeyed).then_some(self.key);
        Found {
            doc: self.doc,
            collection: Some(self.collection),
            key,
            value: None,
            version: self.version,
            validity: None,
        }
    }

    /// Returns the document's name for `after`.
    fn named(&self) -> String {
        named(Some(&self.collection), (!self.unkeyed).then_some(&self.key), self.doc)
    }
}

/// Returns a document's name for `after`.
fn named(collection: Option<&str>, key: Option<&str>, doc: DocId) -> String {
    match key {
        Some(key) => format!("{}/{key}", collection.unwrap_or_default()),
        None => doc.to_string(),
    }
}

impl Acting<'_> {
    pub(super) async fn doc_list(&self, list: DocList, items: &mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let DocList { space, collection, after, limit, values } = list;
        let partition = self.handle()?.with(move |core| partition(core, &space)).await??;
        let total = self.count_behind(partition, collection.clone(), None).await?;
        if total > SORTED_MAX {
            let list = DocList { space: SpaceRef::default(), collection, after, limit, values };
            return self.doc_list_by_id(partition, list, total, items).await;
        }
        let after = match after {
            None => None,
            Some(doc) => Some(self.place_of(partition, doc).await?),
        };
        let mut last = after.as_ref().map(Row::named);
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (rows, more) = self.first_rows(partition, collection, after, limit).await?;
        let mut count = 0;
        let mut ahead = VecDeque::new();
        let mut rows = rows.into_iter().fuse();
        loop {
            if let Some(row) = rows.next() {
                let asked = if values {
                    let request = Request::Get { partition, name: Name::Id(row.doc) };
                    Some(self.handle()?.start(request).await?)
                } else {
                    None
                };
                ahead.push_back((row, asked));
                if ahead.len() < AHEAD {
                    continue;
                }
            }
            let Some((row, asked)) = ahead.pop_front() else { break };
            last = Some(row.named());
            let found = match asked {
                None => row.found(),
                Some(answer) => match answer.await.map_err(|_| stopping())?? {
                    Answer::Document(Some(found)) => found,
                    // The document was deleted meanwhile.
                    Answer::Document(None) => continue,
                    Answer::Failed(error) => return Err(super::blame::request_error(&error)),
                    _ => return Err(unexpected()),
                },
            };
            count += 1;
            // Items without a receiver are dropped; the command continues for its reply.
            drop(items.send(Item::Document(view(found))).await);
        }
        Ok(Reply::Listed(Listed { count, more, next: last.filter(|_| more > 0) }))
    }

    /// Sends documents in the order of the index, page by page.
    async fn doc_list_by_id(
        &self,
        partition: PartNo,
        list: DocList,
        total: u64,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let DocList { collection, after, limit, values, .. } = list;
        let handle = self.handle()?;
        let mut left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (is_first, mut last) = (after.is_none(), None);
        let mut from = match after {
            None => None,
            Some(doc) => {
                let row = self.place_of(partition, doc.clone()).await?;
                last = Some(row.named());
                let place = handle.with(move |core| {
                    let endpoint = core.db.endpoint();
                    let space = endpoint.space_of(partition)?;
                    let collection = endpoint.collection_id(space, &row.collection)?;
                    let doc = match doc {
                        DocRef::Id(doc) => doc,
                        DocRef::Key { key, .. } => endpoint.doc_id_for_key(space, &collection, &key)?,
                    };
                    Some(Place { collection: collection.0, doc })
                });
                place.await?
            }
        };
        let mut count = 0;
        let more = loop {
            if left == 0 {
                break match from {
                    _ if is_first => total.saturating_sub(count),
                    Some(place) => self.count_behind(partition, collection.clone(), Some(place)).await?,
                    None => total,
                };
            }
            let (only, after, limit) = (collection.clone(), from.take(), left.min(SENT_DOCS));
            let request = Request::Page { partition, collection: only, after, limit, values };
            let Answer::Page { docs, next } = handle.ask(move |_| Ok(request)).await? else {
                return Err(unexpected());
            };
            for found in docs {
                (left, count) = (left - 1, count + 1);
                last = Some(named(found.collection.as_deref(), found.key.as_deref(), found.doc));
                // Items without a receiver are dropped; the command continues for its reply.
                drop(items.send(Item::Document(view(found))).await);
            }
            from = next;
            if from.is_none() {
                break 0;
            }
        };
        Ok(Reply::Listed(Listed { count, more, next: last.filter(|_| more > 0) }))
    }

    /// Returns the number of documents after a place.
    async fn count_behind(
        &self,
        partition: PartNo,
        collection: Option<String>,
        after: Option<Place>,
    ) -> Result<u64, ServiceError> {
        match self.handle()?.ask(move |_| Ok(Request::Count { partition, collection, after })).await? {
            Answer::Count(count) => Ok(count),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn doc_history(
        &self,
        space: SpaceRef,
        doc: DocRef,
        limit: Option<u64>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (revisions, more) = self.history(space, doc, limit).await?;
        let count = revisions.len() as u64;
        for revision in revisions {
            drop(items.send(Item::Revision(revision)).await);
        }
        Ok(Reply::Listed(Listed { count, more, next: None }))
    }

    /// Returns the history of a document, newest first, and the number of further entries.
    pub(super) async fn history(
        &self,
        space: SpaceRef,
        doc: DocRef,
        limit: usize,
    ) -> Result<(Vec<Revision>, u64), ServiceError> {
        let handle = self.handle()?;
        let answer = handle
            .ask(move |core| Ok(Request::History { partition: partition(core, &space)?, name: name(doc), limit }))
            .await?;
        let Answer::History { revisions, more } = answer else { return Err(unexpected()) };
        Ok((self.told(revisions).await?, more as u64))
    }

    pub(super) async fn doc_excluded(
        &self,
        space: SpaceRef,
        doc: DocRef,
        publish: bool,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let asked = self
            .handle()?
            .ask(move |core| Ok(Request::Excluded { partition: partition(core, &space)?, name: name(doc), publish }));
        let Answer::Excluded(revisions) = asked.await? else { return Err(unexpected()) };
        let count = revisions.len() as u64;
        for revision in self.told(revisions).await? {
            drop(items.send(Item::Revision(revision)).await);
        }
        Ok(Reply::Listed(Listed { count, more: 0, next: None }))
    }

    /// Converts entries for display, with the device that wrote each.
    async fn told(&self, revisions: Vec<request::Revision>) -> Result<Vec<Revision>, ServiceError> {
        let (devices, me, called): (BTreeMap<_, _>, _, _) = self
            .handle()?
            .with(|core| {
                let endpoint = core.db.endpoint();
                let devices = endpoint.logs().filter_map(|log| Some((log.id, log.device?))).collect();
                (devices, endpoint.device(), core.name.clone())
            })
            .await?;
        let told = revisions.into_iter().map(|found| {
            let device = devices.get(&found.log).copied();
            Revision {
                log: Text(found.log),
                seq: found.seq,
                device: device.map(Text),
                name: (device == Some(me)).then(|| called.clone()),
                kind: kind(found.kind),
                version: found.version.map(Text),
                at: found.wall_ms,
            }
        });
        Ok(told.collect())
    }

    /// Returns the first rows after a place, at most `limit`, and the number of further rows.
    async fn first_rows(
        &self,
        partition: PartNo,
        collection: Option<String>,
        after: Option<Row>,
        limit: usize,
    ) -> Result<(BTreeSet<Row>, u64), ServiceError> {
        let (mut rows, mut more, mut from) = (BTreeSet::new(), 0, None);
        loop {
            let (only, place) = (collection.clone(), from.take());
            let request = Request::Page { partition, collection: only, after: place, limit: PAGE_DOCS, values: false };
            let Answer::Page { docs, next } = self.handle()?.ask(move |_| Ok(request)).await? else {
                return Err(unexpected());
            };
            for row in docs.into_iter().map(Row::of) {
                if after.as_ref().is_some_and(|after| row <= *after) {
                    continue;
                }
                rows.insert(row);
                if rows.len() > limit {
                    rows.pop_last();
                    more += 1;
                }
            }
            from = next;
            if from.is_none() {
                return Ok((rows, more));
            }
        }
    }

    /// Returns a document's place in a list. A document named by its key need not exist.
    async fn place_of(&self, partition: PartNo, doc: DocRef) -> Result<Row, ServiceError> {
        let id = match doc {
            DocRef::Key { collection, key } => {
                let (doc, version) = (DocId([0xff; 16]), VersionId([0xff; 16]));
                return Ok(Row { collection, unkeyed: false, key, doc, version });
            }
            DocRef::Id(id) => id,
        };
        let handle = self.handle()?;
        match handle.ask(move |_| Ok(Request::Get { partition, name: name(DocRef::Id(id)) })).await? {
            Answer::Document(Some(found)) => Ok(Row::of(found)),
            _ => {
                let error =
                    ServiceError::new(ErrorCode::NotFound, format!("there is no document {id} to continue after"));
                Err(error.next("cosmicsync doc list"))
            }
        }
    }
}

const fn kind(of: request::RevisionKind) -> RevisionKind {
    match of {
        request::RevisionKind::Created => RevisionKind::Created,
        request::RevisionKind::Edited => RevisionKind::Edited,
        request::RevisionKind::Deleted => RevisionKind::Deleted,
        request::RevisionKind::Undeleted => RevisionKind::Undeleted,
        request::RevisionKind::Excluded => RevisionKind::Excluded,
        request::RevisionKind::Missing => RevisionKind::Missing,
    }
}
