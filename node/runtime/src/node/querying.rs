//! Commands about queries and indexes.

use super::docs::{partition, view};
use super::handle::unexpected;
use super::watching::{cursor, number_of};
use super::{Acting, blame};
use crate::driver::Core;
use crate::service::{
    ErrorCode, Group, Index, IndexCheck, IndexName, Item, LiveBatch, LiveEvent, Measure, MeasureKind, Plan, PlanIndex,
    PlanRejected, Progress, Queried, Query, Reason, Reply, ServiceError, SpaceRef, Text, quoted,
};
use cosmicsync_data::database::ask::{self, Explained, IndexChange, IndexInfo, IndexState, QueryError, Want};
use cosmicsync_data::database::request::{Answer, Found, Request, RequestError};
use cosmicsync_data::index::define::Fields as IndexFields;
use cosmicsync_data::json;
use cosmicsync_data::query::plan::{Access, IndexPart, Order};
use cosmicsync_data::query::{Field, Fields, Selector, Sort, Virtual, parse};
use cosmicsync_protocol::ids::PartNo;
use tokio::sync::mpsc;
use tokio::time::Duration;

/// Interval between reports of a build's progress.
const LOOK: Duration = Duration::from_millis(50);

/// A parsed query, with the fields to show.
struct Read {
    /// The space of the query. The core finds the partition in the turn of the query, so one turn is enough.
    space: SpaceRef,
    query: ask::Query,
    fields: Option<Fields>,
}

impl Acting<'_> {
    pub(super) async fn query(&self, query: Query, items: &mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let mut left = query.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let Read { space, mut query, fields } = read(query)?;
        let mut end = Queried { count: 0, bookmark: None, keys_examined: 0, docs_examined: 0, warning: None };
        loop {
            query.limit = left;
            let answer = self.matching(space.clone(), query.clone(), Want::Docs).await;
            let answer = answer.map_err(|error| if end.count > 0 { changed_meanwhile(error) } else { error })?;
            let Answer::Matches(matches) = answer else { return Err(unexpected()) };
            end.keys_examined += matches.cost.keys;
            end.docs_examined += matches.cost.docs;
            if matches.cost.no_index {
                end.warning = Some("no_index".to_owned());
            }
            let count = matches.docs.len();
            for mut found in matches.docs {
                if let (Some(fields), Some(value)) = (&fields, &found.value) {
                    found.value = Some(fields.apply(value));
                }
                // Items without a receiver are dropped; the query continues for its reply.
                drop(items.send(Item::Document(view(found))).await);
            }
            end.count += count as u64;
            end.bookmark = matches.bookmark;
            left = left.map(|left| left.saturating_sub(count));
            if end.bookmark.is_none() || left == Some(0) || items.is_closed() {
                return Ok(Reply::Queried(end));
            }
            query.bookmark.clone_from(&end.bookmark);
        }
    }

    pub(super) async fn live(
        &self,
        query: Query,
        since: Option<String>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let collection = query.collection.clone();
        let Read { space, mut query, fields } = read(query)?;
        let handle = self.handle()?;
        let found = handle.with(move |core| Ok((partition(core, &space)?, core.db.endpoint().next_change())));
        let (partition, (life, next)) = found.await??;
        query.partition = partition;
        let since = since.map(|cursor| number_of(&cursor, life, next)).transpose().map_err(|error| {
            let whole = format!("cosmicsync live {} -o json", quoted(&collection));
            ServiceError { message: error.message.replace("a watch printed", "a live query printed"), ..error }
                .next(whole)
        })?;
        let mut request = Request::Live { query: Box::new(query), since };
        loop {
            let answer = tokio::select! {
                biased;
                answer = handle.answer(move |_| Ok(request)) => answer?,
                () = items.closed() => return Ok(Reply::Done {}),
            };
            let batch = match answer {
                Answer::Live(batch) => batch,
                Answer::Failed(error) => return Err(blame::query_error(&error, &collection)),
                _ => return Err(unexpected()),
            };
            let id = batch.id;
            let cursor = cursor(life, batch.cursor);
            let events = batch.events.into_iter().map(|event| event_of(event, fields.as_ref())).collect();
            let batch = LiveBatch { cursor, reset: batch.reset, events };
            if items.send(Item::Live(batch)).await.is_err() {
                drop(handle.ask(move |_| Ok(Request::LiveEnd { id })).await);
                return Ok(Reply::Done {});
            }
            request = Request::LiveNext { id };
        }
    }

    pub(super) async fn query_plan(&self, query: Query) -> Result<Reply, ServiceError> {
        let Read { space, query, .. } = read(query)?;
        match self.matching(space, query, Want::Plan).await? {
            Answer::Plan(explained) => Ok(Reply::Plan(plan_of(*explained))),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn count(
        &self,
        query: Query,
        by: Option<String>,
        measures: Vec<Measure>,
    ) -> Result<Reply, ServiceError> {
        let Read { space, query, .. } = read(query)?;
        if by.is_none() && measures.is_empty() {
            // Without a selector, the documents need not be examined.
            let counted = if query.selector.conjuncts().is_empty() && !self.is_limited() {
                let request = move |core: &mut Core| {
                    let (partition, collection) = (partition(core, &space)?, Some(query.collection));
                    Ok(Request::Count { partition, collection, after: None })
                };
                self.handle()?.ask(request).await?
            } else {
                self.matching(space, query, Want::Count).await?
            };
            return match counted {
                Answer::Count(count) => Ok(Reply::Counted { count }),
                _ => Err(unexpected()),
            };
        }
        let by = by.as_deref().map(field).transpose()?;
        let measure = |Measure { kind, field: name }: Measure| {
            let kind = match kind {
                MeasureKind::Sum => ask::MeasureKind::Sum,
                MeasureKind::Min => ask::MeasureKind::Min,
                MeasureKind::Max => ask::MeasureKind::Max,
                MeasureKind::Average => ask::MeasureKind::Average,
            };
            Ok(ask::Measure { kind, field: field(&name)? })
        };
        let measures = measures.into_iter().map(measure).collect::<Result<_, ServiceError>>()?;
        let Answer::Groups(groups) = self.matching(space, query, Want::Groups { by, measures }).await? else {
            return Err(unexpected());
        };
        let group = |ask::Group { value, count, measures }| Group {
            value: value.as_ref().map(json::to_json),
            count,
            measures: measures.iter().map(|value| value.as_ref().map(json::to_json)).collect(),
        };
        Ok(Reply::Groups(groups.into_iter().map(group).collect()))
    }

    pub(super) async fn index_create(
        &self,
        index: IndexName,
        fields: Vec<String>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let defined = IndexFields::parse(fields.iter().map(String::as_str))
            .map_err(|error| ServiceError::new(ErrorCode::Usage, error.to_string()).because(Reason::BadSelector))?;
        self.check_room()?;
        let IndexName { space, collection, index: name } = index;
        let partition = self.partition_of(space).await?;
        let change = IndexChange::Create { name: name.clone(), fields: defined };
        self.change_index(partition, collection.clone(), change).await?;
        self.built(partition, collection, name, items).await
    }

    pub(super) async fn index_rebuild(
        &self,
        index: IndexName,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let IndexName { space, collection, index: name } = index;
        let partition = self.partition_of(space).await?;
        self.change_index(partition, collection.clone(), IndexChange::Rebuild { name: name.clone() }).await?;
        self.built(partition, collection, name, items).await
    }

    pub(super) async fn index_drop(&self, index: IndexName) -> Result<Reply, ServiceError> {
        let partition = self.partition_of(index.space).await?;
        self.change_index(partition, index.collection, IndexChange::Drop { name: index.index }).await?;
        Ok(Reply::Done {})
    }

    pub(super) async fn index_list(&self, space: SpaceRef, collection: String) -> Result<Reply, ServiceError> {
        let partition = self.partition_of(space).await?;
        Ok(Reply::Indexes(self.indexes(partition, collection).await?.into_iter().map(index_of).collect()))
    }

    pub(super) async fn index_check(&self, index: IndexName) -> Result<Reply, ServiceError> {
        let partition = self.partition_of(index.space).await?;
        let (collection, name) = (index.collection, index.index);
        let named = collection.clone();
        let request = Request::IndexCheck { partition, collection, name };
        match self.handle()?.answer(move |_| Ok(request)).await? {
            Answer::Checked(ask::IndexCheck { docs, rows, missing, extra }) => {
                Ok(Reply::IndexCheck(IndexCheck { documents: docs, rows, missing, extra }))
            }
            Answer::Failed(error) => Err(blame::query_error(&error, &named)),
            _ => Err(unexpected()),
        }
    }

    /// Waits until an index is built, and reports its progress.
    async fn built(
        &self,
        partition: PartNo,
        collection: String,
        name: String,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let documents = self.handle()?;
        let only = Some(collection.clone());
        let total =
            match documents.ask(move |_| Ok(Request::Count { partition, collection: only, after: None })).await? {
                Answer::Count(count) => count,
                _ => return Err(unexpected()),
            };
        loop {
            let indexes = self.indexes(partition, collection.clone()).await?;
            let Some(index) = indexes.into_iter().find(|index| index.name == name) else {
                let message = format!("the index {} was dropped while it was built", quoted(&name));
                return Err(ServiceError::new(ErrorCode::Conflict, message));
            };
            let IndexState::Building { done } = index.state else { return Ok(Reply::Index(index_of(index))) };
            let note = format!("building {name}");
            let progress = Progress { done, total: Some(total), unit: "documents".to_owned(), note };
            if items.send(Item::Progress(progress)).await.is_err() {
                // The index is built whether or not anyone waits for it.
                return Ok(Reply::Index(index_of(index)));
            }
            crate::tasks::sleep(LOOK).await;
        }
    }

    async fn change_index(
        &self,
        partition: PartNo,
        collection: String,
        change: IndexChange,
    ) -> Result<(), ServiceError> {
        let named = collection.clone();
        let request = Request::IndexChange { partition, collection, change };
        match self.handle()?.answer(move |_| Ok(request)).await? {
            Answer::Failed(error) => Err(blame::query_error(&error, &named)),
            _ => Ok(()),
        }
    }

    async fn indexes(&self, partition: PartNo, collection: String) -> Result<Vec<IndexInfo>, ServiceError> {
        match self.handle()?.ask(move |_| Ok(Request::IndexList { partition, collection })).await? {
            Answer::Indexes(indexes) => Ok(indexes),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn partition_of(&self, space: SpaceRef) -> Result<PartNo, ServiceError> {
        self.handle()?.with(move |core| partition(core, &space)).await?
    }

    async fn matching(&self, space: SpaceRef, mut query: ask::Query, want: Want) -> Result<Answer, ServiceError> {
        let (collection, is_mixed) = (query.collection.clone(), is_mixed(&query.sort));
        let request = move |core: &mut Core| {
            query.partition = partition(core, &space)?;
            Ok(Request::Find { query: Box::new(query), want })
        };
        match self.handle()?.answer(request).await? {
            Answer::Failed(RequestError::Query(QueryError::SortNeedsIndex(_))) if is_mixed => Err(both_ways()),
            Answer::Failed(error) => Err(blame::query_error(&error, &collection)),
            answer => Ok(answer),
        }
    }
}

fn read(query: Query) -> Result<Read, ServiceError> {
    let Query { space, collection, selector, sort, fields, limit, bookmark, use_index } = query;
    // The partition is set when the query is submitted.
    let partition = PartNo(0);
    let selector = match selector {
        None => Selector::All(Vec::new()),
        Some(json) => {
            let value = super::docs::value_of(&json)?;
            parse::from_value(&value).map_err(|error| refused(&error))?
        }
    };
    let sort = match sort {
        None => Sort::default(),
        Some(json) => Sort::from_value(&super::docs::value_of(&json)?).map_err(|error| refused(&error))?,
    };
    let fields = match fields {
        None => None,
        Some(json) => Some(Fields::from_value(&super::docs::value_of(&json)?).map_err(|error| refused(&error))?),
    };
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let validity = fields.as_ref().is_some_and(|fields: &Fields| fields.virtuals().contains(&Virtual::Valid));
    let query = ask::Query { partition, collection, selector, sort, limit, bookmark, use_index, validity };
    Ok(Read { space, query, fields })
}

/// Returns whether some fields sort ascending and others descending, which no index supports.
fn is_mixed(sort: &Sort) -> bool {
    let mut directions = sort.fields().iter().map(|(_, direction)| direction);
    directions.next().is_some_and(|first| directions.any(|other| other != first))
}

fn both_ways() -> ServiceError {
    let message = "more than 10000 documents match, and no index sorts some fields up and others down: ask for fewer";
    ServiceError::new(ErrorCode::Refused, message)
        .because(Reason::SortNeedsIndex)
        .next("the same query with --limit 10000 or a narrower selector, or with all fields in one direction")
}

/// Returns the error for a page that does not continue the page before: the index that orders the answer was dropped,
/// or holds lists now.
fn changed_meanwhile(error: ServiceError) -> ServiceError {
    if error.message != QueryError::Bookmark.to_string() {
        return error;
    }
    ServiceError::new(ErrorCode::Conflict, "an index changed while the answer was read: ask again")
}

fn refused(error: &dyn core::fmt::Display) -> ServiceError {
    ServiceError::new(ErrorCode::Usage, error.to_string()).because(Reason::BadSelector)
}

fn field(name: &str) -> Result<Field, ServiceError> {
    Field::parse(name).map_err(|error| refused(&error))
}

fn event_of(event: ask::LiveEvent, fields: Option<&Fields>) -> LiveEvent {
    let told = |mut found: Found| {
        if let (Some(fields), Some(value)) = (fields, &found.value) {
            found.value = Some(fields.apply(value));
        }
        view(found)
    };
    match event {
        ask::LiveEvent::Added { found, after } => LiveEvent::Added { document: told(found), after: after.map(Text) },
        ask::LiveEvent::Changed { found } => LiveEvent::Changed { document: told(found) },
        ask::LiveEvent::Moved { found, after } => LiveEvent::Moved { document: told(found), after: after.map(Text) },
        ask::LiveEvent::Removed { doc, key } => LiveEvent::Removed { doc: Text(doc), key },
    }
}

fn index_of(index: IndexInfo) -> Index {
    let (state, documents) = match index.state {
        IndexState::Building { done } => ("building", Some(done)),
        IndexState::Ready => ("ready", None),
    };
    Index { index: index.name, fields: index.fields, state: state.to_owned(), documents, lists: index.lists }
}

fn plan_of(explained: Explained) -> Plan {
    let Explained { plan, behind } = explained;
    let (name, parts) = match plan.access {
        Access::Named(_) => ("get", Vec::new()),
        Access::Index(part) => ("index", vec![part]),
        Access::Union(parts) => ("union", parts),
        Access::Scan => ("scan", Vec::new()),
    };
    let sort = match (plan.order, name) {
        (Order::Memory, _) => "memory",
        (Order::AsTheyCome, "index") => "index",
        (Order::AsTheyCome, _) => "none",
    };
    let part = |part: IndexPart| PlanIndex {
        index: part.name,
        fields: part.fields.paths().iter().map(ToString::to_string).collect(),
        equal: part.equal as u64,
        bounded: part.bounded,
        ranges: part.ranges.len() as u64,
        direction: if part.reverse { "descending" } else { "ascending" }.to_owned(),
    };
    Plan {
        plan: name.to_owned(),
        indexes: parts.into_iter().map(part).collect(),
        sort: sort.to_owned(),
        rejected: plan
            .rejected
            .into_iter()
            .map(|(index, why)| PlanRejected { index, why: why.name().to_owned() })
            .collect(),
        behind: behind as u64,
    }
}
