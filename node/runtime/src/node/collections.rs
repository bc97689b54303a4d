//! Commands about collections.

use super::docs::partition;
use super::handle::unexpected;
use super::{Acting, blame};
use crate::service::{Collection, ErrorCode, Item, Progress, Reply, ServiceError, SpaceRef, quoted};
use cosmicsync_data::collection::{COLLECTIONS, CollectionMeta};
use cosmicsync_data::database::ask::{Query, Want};
use cosmicsync_data::database::request::{
    Action, Answer, Condition, Intent, Name, Place, Request, RequestError, Target,
};
use cosmicsync_protocol::documents::Erasable;
use cosmicsync_protocol::ids::{DocId, PartNo};
use tokio::sync::mpsc;

/// Number of documents that one transaction deletes.
const TOGETHER: usize = 256;

impl Acting<'_> {
    pub(super) async fn collection_list(&self, space: SpaceRef) -> Result<Reply, ServiceError> {
        let partition = self.handle()?.with(move |core| partition(core, &space)).await??;
        let Answer::Collections(metas) = self.handle()?.ask(move |_| Ok(Request::Collections { partition })).await?
        else {
            return Err(unexpected());
        };
        let mut collections = Vec::with_capacity(metas.len());
        for meta in metas {
            let documents = self.count_of(partition, &meta.name).await?;
            collections.push(described(meta, documents));
        }
        Ok(Reply::Collections(collections))
    }

    pub(super) async fn collection_show(&self, space: SpaceRef, collection: String) -> Result<Reply, ServiceError> {
        let Reply::Collections(all) = self.collection_list(space).await? else { return Err(unexpected()) };
        match all.into_iter().find(|one| one.collection == collection) {
            Some(one) => Ok(Reply::Collection(one)),
            None => Err(no_collection(&collection)),
        }
    }

    /// Deletes all documents of a collection, then its description.
    pub(super) async fn collection_drop(
        &self,
        space: SpaceRef,
        collection: String,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        if collection == COLLECTIONS {
            let message = format!("'{COLLECTIONS}' describes the other collections: drop those instead");
            return Err(ServiceError::new(ErrorCode::Refused, message).next("cosmicsync collection list"));
        }
        let partition = self.handle()?.with(move |core| partition(core, &space)).await??;
        let (mut done, mut after) = (0, None);
        loop {
            let (docs, next) = self.page(partition, &collection, after, TOGETHER).await?;
            if docs.is_empty() {
                break;
            }
            let count = docs.len() as u64;
            self.delete_all(partition, docs.into_iter().map(Name::Id)).await?;
            done += count;
            let note = format!("dropping {collection}");
            let progress = Progress { done, total: None, unit: "documents".to_owned(), note };
            drop(items.send(Item::Progress(progress)).await);
            after = next;
            if after.is_none() {
                break;
            }
        }
        let description = Name::Key { collection: COLLECTIONS.to_owned(), key: collection.clone() };
        match self.delete_all(partition, [description]).await {
            Err(error) if error.code == ErrorCode::NotFound && done == 0 => Err(no_collection(&collection)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(Reply::Done {}),
            dropped => dropped.map(|()| Reply::Done {}),
        }
    }

    async fn delete_all(&self, partition: PartNo, names: impl IntoIterator<Item = Name>) -> Result<(), ServiceError> {
        let delete = |name| Intent { target: Target::Named(name), action: Action::Delete, condition: Condition::None };
        let intents: Vec<Intent> = names.into_iter().map(delete).collect();
        match self.handle()?.answer(move |_| Ok(Request::Write { partition, intents, once: None })).await? {
            Answer::Wrote { .. } => Ok(()),
            Answer::Failed(RequestError::At(_, error)) => Err(blame::request_error(&error)),
            Answer::Failed(error) => Err(blame::request_error(&error)),
            _ => Err(unexpected()),
        }
    }

    async fn count_of(&self, partition: PartNo, collection: &str) -> Result<u64, ServiceError> {
        if self.is_limited() {
            return self.listed_count(partition, collection).await;
        }
        let collection = Some(collection.to_owned());
        match self.handle()?.ask(move |_| Ok(Request::Count { partition, collection, after: None })).await? {
            Answer::Count(count) => Ok(count),
            _ => Err(unexpected()),
        }
    }

    /// Returns the description of a collection, if it has one.
    pub(super) async fn description_of(
        &self,
        partition: PartNo,
        collection: &str,
    ) -> Result<Option<CollectionMeta>, ServiceError> {
        match self.handle()?.ask(move |_| Ok(Request::Collections { partition })).await? {
            Answer::Collections(metas) => Ok(metas.into_iter().find(|meta| meta.name == collection)),
            _ => Err(unexpected()),
        }
    }

    /// Returns the number of documents of a collection that the actor may list.
    async fn listed_count(&self, partition: PartNo, collection: &str) -> Result<u64, ServiceError> {
        let query = Box::new(Query::all(partition, collection.to_owned()));
        match self.handle()?.answer(move |_| Ok(Request::Find { query, want: Want::Count })).await? {
            Answer::Count(count) => Ok(count),
            // The actor may still read single documents.
            Answer::Failed(RequestError::Forbidden { .. } | RequestError::OutOfReach { .. }) => Ok(0),
            Answer::Failed(error) => Err(blame::request_error(&error)),
            _ => Err(unexpected()),
        }
    }

    async fn page(
        &self,
        partition: PartNo,
        collection: &str,
        after: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<DocId>, Option<Place>), ServiceError> {
        let collection = Some(collection.to_owned());
        let page =
            self.handle()?.ask(move |_| Ok(Request::Page { partition, collection, after, limit, values: false }));
        match page.await? {
            Answer::Page { docs, next } => Ok((docs.into_iter().map(|found| found.doc).collect(), next)),
            _ => Err(unexpected()),
        }
    }
}

fn no_collection(name: &str) -> ServiceError {
    let message = format!("there is no collection {}", quoted(name));
    ServiceError::new(ErrorCode::NotFound, message).next("cosmicsync collection list")
}

fn described(meta: CollectionMeta, documents: u64) -> Collection {
    Collection {
        collection: meta.name,
        documents,
        format: meta.format.map(|format| format.name().to_owned()),
        id_column: meta.id_column,
        text: meta.text_paths.dotted().collect(),
        erasable_together: meta.erasable == Erasable::Together,
    }
}
