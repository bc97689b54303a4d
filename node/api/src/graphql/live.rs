//! Subscriptions: live queries, each event of which is the whole answer, and the feed of changes.

use async_graphql::dynamic::{
    Field, FieldFuture, FieldValue, Object, ResolverContext, SubscriptionField, SubscriptionFieldFuture, TypeRef,
};
use async_graphql::futures_util::stream::{BoxStream, StreamExt as _, unfold};
use async_graphql::{Error, Value};
use core::future::Future;
use core::pin::Pin;
use cosmicsync_node::service::{Change, Changes, Command, Item, LiveBatch, LiveEvent, Reply, ServiceError};
use std::sync::Arc;
use tokio::sync::mpsc;

use super::answer::{Room, bytes_of, error};
use super::model::Model;
use super::read::{Doc, asker, query_of, shown, text};
use crate::call::{Caller, expect_reply};
use crate::problem::Problem;

/// Events of a subscription.
type Events<'a> = BoxStream<'a, Result<FieldValue<'a>, Error>>;

/// A command that streams items.
struct Following {
    call: Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send>>,
    items: mpsc::Receiver<Item>,
}

impl Following {
    fn start(caller: &Caller, command: Command) -> Self {
        let backend = caller.backend();
        // Nothing is read ahead, so changes are combined until the event before is taken.
        let (sender, items) = mpsc::channel(1);
        Self { call: Box::pin(async move { backend.call(command, sender).await }), items }
    }

    /// Waits for the next item; returns `None` at the end.
    async fn next(&mut self) -> Result<Option<Item>, Problem> {
        tokio::select! {
            biased;
            Some(item) = self.items.recv() => Ok(Some(item)),
            ended = &mut self.call => ended.map(|_| None).map_err(Problem::from),
        }
    }
}

/// Returns the field of a collection's live query.
pub(super) fn query(model: Arc<Model>) -> SubscriptionField {
    let ty = TypeRef::named_nn_list_nn(&model.type_name);
    SubscriptionField::new(model.field.clone(), ty, move |ctx| {
        let model = Arc::clone(&model);
        SubscriptionFieldFuture::new(async move { answers(&ctx, &model).map_err(|problem| error(&problem)) })
    })
}

fn answers<'a>(ctx: &ResolverContext<'a>, model: &Model) -> Result<Events<'a>, Problem> {
    let asker = asker(ctx)?;
    let following = Following::start(&asker.caller, Command::Live { query: query_of(ctx, model)?, since: None });
    let room = Arc::clone(&asker.room);
    let state = (following, Vec::new(), room, false);
    let events = unfold(state, |(mut following, mut docs, room, ended)| async move {
        if ended {
            return None;
        }
        let next = answer(&mut following, &mut docs, &room).await.transpose()?;
        let ended = next.is_err();
        Some((next.map_err(|problem| error(&problem)), (following, docs, room, ended)))
    });
    Ok(events.boxed())
}

/// Waits for the next answer; returns `None` at the end.
async fn answer<'a>(
    following: &mut Following,
    docs: &mut Vec<Arc<Doc>>,
    room: &Room,
) -> Result<Option<FieldValue<'a>>, Problem> {
    while let Some(item) = following.next().await? {
        if let Item::Live(batch) = item {
            apply(docs, batch);
            room.reset();
            room.take(docs.iter().map(|doc| doc.bytes).sum());
            room.check()?;
            return Ok(Some(FieldValue::list(docs.iter().map(|doc| FieldValue::owned_any(Arc::clone(doc))))));
        }
    }
    Ok(None)
}

/// Applies a batch to the previous answer.
fn apply(docs: &mut Vec<Arc<Doc>>, batch: LiveBatch) {
    if batch.reset {
        docs.clear();
    }
    for event in batch.events {
        match event {
            LiveEvent::Added { document, after } | LiveEvent::Moved { document, after } => {
                let doc = Doc::from(document);
                docs.retain(|one| one.id != doc.id);
                let behind = after.and_then(|after| docs.iter().position(|one| one.id == after));
                docs.insert(behind.map_or(0, |at| at + 1), Arc::new(doc));
            }
            LiveEvent::Changed { document } => {
                let doc = Doc::from(document);
                if let Some(one) = docs.iter_mut().find(|one| one.id == doc.id) {
                    *one = Arc::new(doc);
                }
            }
            LiveEvent::Removed { doc, .. } => docs.retain(|one| one.id != doc),
        }
    }
}

/// Some changes, and the cursor after them.
struct Feed {
    cursor: String,
    changes: Vec<Arc<Changed>>,
}

/// A change of a document.
struct Changed {
    id: String,
    key: Option<String>,
    version: String,
    local: bool,
    doc: Option<Arc<Doc>>,
}

/// Returns the field of the feed of a collection's changes.
pub(super) fn feed(model: Arc<Model>) -> SubscriptionField {
    let ty = TypeRef::named_nn(format!("{}Feed", model.type_name));
    SubscriptionField::new(format!("{}_stream", model.field), ty, move |ctx| {
        let model = Arc::clone(&model);
        SubscriptionFieldFuture::new(async move { changes(&ctx, &model).await.map_err(|problem| error(&problem)) })
    })
}

async fn changes<'a>(ctx: &ResolverContext<'a>, model: &Model) -> Result<Events<'a>, Problem> {
    let asker = asker(ctx)?;
    let (space, caller) = (asker.space.clone(), &asker.caller);
    let mut begin = None;
    let since = match text(ctx, "since") {
        Some(since) => since,
        None => {
            let now = Command::Changes(Changes { space: space.clone(), ..Changes::default() });
            let cursor = expect_reply!(caller.request(now).await?, Reply::Changes { cursor, .. } => cursor)?;
            begin = Some(Feed { cursor: cursor.clone(), changes: Vec::new() });
            cursor
        }
    };
    let collection = Some(model.collection.clone());
    let following = Following::start(caller, Command::DocWatch { space, collection, doc: None, since: Some(since) });
    let room = Arc::clone(&asker.room);
    let events = unfold((following, room, begin, false), |(mut following, room, begin, ended)| async move {
        if ended {
            return None;
        }
        room.reset();
        let next = match begin {
            Some(begin) => Ok(begin),
            None => change(&mut following).await.transpose()?,
        };
        let ended = next.is_err();
        let event = next.map(FieldValue::owned_any).map_err(|problem| error(&problem));
        Some((event, (following, room, None, ended)))
    });
    Ok(events.boxed())
}

/// Waits for the next change; returns `None` at the end.
async fn change(following: &mut Following) -> Result<Option<Feed>, Problem> {
    while let Some(item) = following.next().await? {
        if let Item::Change(change) = item {
            return Ok(Some(Feed::from(change)));
        }
    }
    Ok(None)
}

impl From<Change> for Feed {
    fn from(change: Change) -> Self {
        let Change { doc: id, key, value, local, version, cursor, .. } = change;
        let (version, known) = (version.to_string(), key.clone());
        let doc = value.map(|value| {
            let value = Value::from_json(value).unwrap_or_default();
            let bytes = bytes_of(&value);
            Arc::new(Doc { id, key: known, version: Some(version.clone()), value, bytes })
        });
        Self { cursor, changes: vec![Arc::new(Changed { id: id.to_string(), key, version, local, doc })] }
    }
}

/// Returns the types of the feed.
pub(super) fn types(model: &Model) -> [Object; 2] {
    let change_name = format!("{}Change", model.type_name);
    let changes = Field::new("changes", TypeRef::named_nn_list_nn(&change_name), |ctx| {
        let feed = ctx.parent_value.downcast_ref::<Feed>();
        let changes = feed.map(|feed| feed.changes.iter().map(|one| FieldValue::owned_any(Arc::clone(one))));
        FieldFuture::Value(changes.map(FieldValue::list))
    });
    let doc = Field::new("doc", TypeRef::named(&model.type_name), |ctx| {
        let change = ctx.parent_value.downcast_ref::<Arc<Changed>>();
        let doc = change.and_then(|change| change.doc.clone());
        FieldFuture::Value(doc.map(FieldValue::owned_any))
    });
    let string = || TypeRef::named_nn(TypeRef::STRING);
    let feed = Object::new(format!("{}Feed", model.type_name))
        .field(
            shown::<Feed>("cursor", string(), |feed| Some(feed.cursor.clone().into()))
                .description("Give it as since, and go on behind these changes."),
        )
        .field(changes.description("Oldest first; none in the first event where since is not given."));
    let change = Object::new(change_name)
        .field(shown::<Arc<Changed>>("id", TypeRef::named_nn(TypeRef::ID), |one| Some(one.id.clone().into())))
        .field(shown::<Arc<Changed>>("key", TypeRef::named(TypeRef::STRING), |one| one.key.clone().map(Value::from)))
        .field(shown::<Arc<Changed>>("version", string(), |one| Some(one.version.clone().into())))
        .field(
            shown::<Arc<Changed>>("deleted", TypeRef::named_nn(TypeRef::BOOLEAN), |one| Some(one.doc.is_none().into()))
                .description("Whether the document is deleted."),
        )
        .field(
            shown::<Arc<Changed>>("local", TypeRef::named_nn(TypeRef::BOOLEAN), |one| Some(one.local.into()))
                .description("Whether this node wrote it."),
        )
        .field(doc.description("The document as it is now; null where it is deleted."));
    [feed, change]
}
