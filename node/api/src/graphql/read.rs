//! Resolvers of documents and pages.

use async_graphql::dynamic::{Field, FieldFuture, FieldValue, Object, ResolverContext, TypeRef};
use async_graphql::{Error, Value};
use cosmicsync_node::service::{Command, DocId, DocRef, DocView, Item, Query, Reply, Text};
use std::sync::Arc;
use tokio::sync::mpsc;

use super::answer::{Asker, bytes_of, error};
use super::filter::{plain, selector, selector_in_json, sort};
use super::model::{ID, KEY, Kind, Member, Model, Scalar, VALUE, VERSION};
use super::types::{INT64, JSON, output};
use crate::call::{Caller, expect_reply};
use crate::problem::{Code, Problem};
use crate::routes::{Named, find, page_limit};

/// Number of items that wait before a command waits.
const ITEMS_QUEUED: usize = 16;

/// A document.
#[derive(Debug)]
pub(super) struct Doc {
    pub(super) id: Text<DocId>,
    pub(super) key: Option<String>,
    pub(super) version: Option<String>,
    pub(super) value: Value,
    /// Approximate size of the document's value, in bytes.
    pub(super) bytes: usize,
}

impl From<DocView> for Doc {
    fn from(view: DocView) -> Self {
        let value = Value::from_json(view.value.unwrap_or_default()).unwrap_or_default();
        let bytes = bytes_of(&value);
        Self { id: view.doc, key: view.key, version: view.version.map(|version| version.to_string()), value, bytes }
    }
}

/// A page of documents.
struct Page {
    docs: Vec<Arc<Doc>>,
    bookmark: Option<String>,
    warning: Option<String>,
    query: Query,
}

/// Returns the sender of the request.
pub(super) fn asker<'a>(ctx: &ResolverContext<'a>) -> Result<&'a Asker, Problem> {
    ctx.ctx.data_opt().ok_or_else(|| Problem::new(Code::Internal, "nobody asks"))
}

/// Returns an argument; a null argument is absent.
pub(super) fn argument(ctx: &ResolverContext<'_>, name: &str) -> Option<Value> {
    ctx.args.get(name).map(|value| value.as_value().clone()).filter(|value| *value != Value::Null)
}

/// Returns a text argument.
pub(super) fn text(ctx: &ResolverContext<'_>, name: &str) -> Option<String> {
    if let Some(Value::String(text)) = argument(ctx, name) { Some(text) } else { None }
}

/// Returns the result of a resolver. A failure is reported with its place, and the field becomes null.
pub(super) fn answered<'a>(
    ctx: &ResolverContext<'a>,
    result: Result<Option<FieldValue<'a>>, Problem>,
) -> Result<Option<FieldValue<'a>>, Error> {
    result.or_else(|problem| {
        let failed = error(&problem).into_server_error(ctx.ctx.item.pos);
        ctx.ctx.add_error(ctx.ctx.set_error_path(failed));
        Ok(None)
    })
}

/// Returns a value if it fits into the remaining size of the answer.
pub(super) fn leaf<'a>(ctx: &ResolverContext<'a>, value: Option<Value>) -> FieldFuture<'a> {
    let value = value.filter(|value| asker(ctx).is_ok_and(|asker| asker.room.take(bytes_of(value))));
    FieldFuture::from_value(value)
}

/// Returns a field that shows a part of the value above it.
pub(super) fn shown<T: Send + Sync + 'static>(name: &str, ty: TypeRef, show: fn(&T) -> Option<Value>) -> Field {
    Field::new(name, ty, move |ctx| {
        let value = ctx.parent_value.downcast_ref::<T>().and_then(show);
        leaf(&ctx, value)
    })
}

/// Returns the types of a collection's documents and of the objects in them.
pub(super) fn document_types(model: &Model) -> Vec<Object> {
    let mut types = Vec::new();
    let object = Object::new(&model.type_name)
        .description(format!("A document of {}.", model.collection))
        .field(
            shown::<Arc<Doc>>(ID, TypeRef::named_nn(TypeRef::ID), |doc| Some(doc.id.to_string().into()))
                .description("Its id."),
        )
        .field(
            shown::<Arc<Doc>>(KEY, TypeRef::named(TypeRef::STRING), |doc| doc.key.clone().map(Value::from))
                .description("Its key, if it has one."),
        )
        .field(
            shown::<Arc<Doc>>(VERSION, TypeRef::named(TypeRef::STRING), |doc| doc.version.clone().map(Value::from))
                .description("Its version."),
        )
        .field(shown::<Arc<Doc>>(VALUE, TypeRef::named(JSON), |doc| Some(doc.value.clone())).description("All of it."));
    let object = with_members(object, &model.members, &mut types);
    types.push(object);
    types
}

fn with_members(mut object: Object, members: &[Member], types: &mut Vec<Object>) -> Object {
    for member in members {
        if let Kind::Object(name, inner) = &member.kind {
            let inner = with_members(Object::new(name), inner, types);
            types.push(inner);
        }
        object = object.field(member_field(member));
    }
    object
}

/// Returns the field of a member. A value of another type becomes null; `_value` shows it.
fn member_field(member: &Member) -> Field {
    let key = member.key.clone();
    let part = match &member.kind {
        Kind::Scalar(scalar) => Part::Scalar(*scalar),
        Kind::List(scalar) => Part::List(*scalar),
        Kind::Object(..) => Part::Object,
        Kind::Json => Part::Any,
    };
    let field = Field::new(&member.name, output(&member.kind), move |ctx| {
        let above = ctx.parent_value.downcast_ref::<Arc<Doc>>().map(|doc| &doc.value);
        let above = above.or_else(|| ctx.parent_value.downcast_ref::<Value>());
        let found = if let Some(Value::Object(members)) = above { members.get(key.as_str()) } else { None };
        match (part, found) {
            (Part::Object, Some(inner @ Value::Object(_))) => FieldFuture::Value(Some(FieldValue::borrowed_any(inner))),
            (Part::Scalar(scalar), Some(value)) if is_of(value, scalar) => leaf(&ctx, Some(value.clone())),
            (Part::List(scalar), Some(Value::List(items))) => {
                let of_type = |item: &Value| if is_of(item, scalar) { item.clone() } else { Value::Null };
                leaf(&ctx, Some(Value::List(items.iter().map(of_type).collect())))
            }
            (Part::Any, Some(value)) => leaf(&ctx, Some(value.clone())),
            (Part::Object | Part::Scalar(_) | Part::List(_) | Part::Any, _) => FieldFuture::Value(None),
        }
    });
    match &member.about {
        Some(about) => field.description(about),
        None => field,
    }
}

/// The type of a member, without its content.
#[derive(Clone, Copy)]
enum Part {
    Scalar(Scalar),
    List(Scalar),
    Object,
    Any,
}

fn is_of(value: &Value, scalar: Scalar) -> bool {
    match (scalar, value) {
        (Scalar::Text, Value::String(_)) | (Scalar::Boolean, Value::Boolean(_)) | (Scalar::Float, Value::Number(_)) => {
            true
        }
        (Scalar::Int64, Value::Number(number)) => number.is_i64(),
        (Scalar::Text | Scalar::Int64 | Scalar::Float | Scalar::Boolean, _) => false,
    }
}

/// Returns the type of a collection's pages.
pub(super) fn page_type(model: &Model) -> Object {
    let docs = Field::new("docs", TypeRef::named_nn_list_nn(&model.type_name), |ctx| {
        let page = ctx.parent_value.downcast_ref::<Page>();
        let docs = page.map(|page| page.docs.iter().map(|doc| FieldValue::owned_any(Arc::clone(doc))));
        FieldFuture::Value(docs.map(FieldValue::list))
    });
    let behind = Field::new("behind", TypeRef::named(INT64), |ctx| {
        FieldFuture::new(async move {
            let result = behind(&ctx).await;
            answered(&ctx, result)
        })
    });
    Object::new(format!("{}Page", model.type_name))
        .field(docs.description("The documents."))
        .field(
            shown::<Page>("bookmark", TypeRef::named(TypeRef::STRING), |page| page.bookmark.clone().map(Value::from))
                .description("Where the next page goes on; null at the end."),
        )
        .field(
            shown::<Page>("warning", TypeRef::named(TypeRef::STRING), |page| page.warning.clone().map(Value::from))
                .description("no_index, where every document of the collection had to be looked at."),
        )
        .field(behind.description("Documents that indexes are behind for: they are read one by one."))
}

async fn behind<'a>(ctx: &ResolverContext<'a>) -> Result<Option<FieldValue<'a>>, Problem> {
    let Some(page) = ctx.parent_value.downcast_ref::<Page>() else { return Ok(None) };
    let reply = asker(ctx)?.caller.request(Command::QueryPlan(page.query.clone())).await?;
    expect_reply!(reply, Reply::Plan(plan) => Some(FieldValue::value(plan.behind)))
}

/// Returns the query of a field's arguments.
pub(super) fn query_of(ctx: &ResolverContext<'_>, model: &Model) -> Result<Query, Problem> {
    let limit = match argument(ctx, "limit") {
        Some(Value::Number(number)) => Some(number.as_u64().unwrap_or(0)),
        Some(_) | None => None,
    };
    Ok(Query {
        sort: argument(ctx, "order_by")
            .map(|orders| if model.members.is_empty() { plain(&orders) } else { sort(&orders, &model.members) })
            .transpose()?,
        limit: Some(page_limit(limit)?),
        bookmark: text(ctx, "bookmark"),
        ..condition_of(ctx, model)?
    })
}

/// Returns the query for the documents that match `where`.
pub(super) fn condition_of(ctx: &ResolverContext<'_>, model: &Model) -> Result<Query, Problem> {
    let selector =
        argument(ctx, "where")
            .map(|condition| {
                if model.members.is_empty() {
                    selector_in_json(&condition)
                } else {
                    selector(&condition, &model.members)
                }
            })
            .transpose()?;
    let (space, collection) = (asker(ctx)?.space.clone(), model.collection.clone());
    Ok(Query { space, collection, selector, ..Query::default() })
}

/// Resolves a page of documents.
pub(super) async fn page<'a>(ctx: &ResolverContext<'a>, model: &Model) -> Result<Option<FieldValue<'a>>, Problem> {
    let (query, asker) = (query_of(ctx, model)?, asker(ctx)?);
    let mut docs = Vec::new();
    let each = |item| {
        if let Item::Document(view) = item {
            let doc = Doc::from(view);
            asker.room.take(doc.bytes);
            asker.room.check()?;
            docs.push(Arc::new(doc));
        }
        Ok(())
    };
    let reply = gathered(&asker.caller, Command::Query(query.clone()), each).await?;
    let queried = expect_reply!(reply, Reply::Queried(queried) => queried)?;
    let page = Page { docs, bookmark: queried.bookmark, warning: queried.warning, query };
    Ok(Some(FieldValue::owned_any(page)))
}

/// Resolves the document with a key; null if it does not exist.
pub(super) async fn by_pk<'a>(ctx: &ResolverContext<'a>, model: &Model) -> Result<Option<FieldValue<'a>>, Problem> {
    let asker = asker(ctx)?;
    let key = text(ctx, "key").unwrap_or_default();
    let named = Named::new(asker.space.clone(), model.collection.clone(), key)?;
    match find(&asker.caller, &named).await {
        Ok(view) => Ok(Some(FieldValue::owned_any(Arc::new(Doc::from(view))))),
        Err(problem) if problem.code() == Code::NotFound || problem.is_missing_document() => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Resolves the document with an id.
pub(super) async fn by_id<'a>(ctx: &ResolverContext<'a>, id: DocId) -> Result<Option<FieldValue<'a>>, Problem> {
    let asker = asker(ctx)?;
    let reply = asker.caller.request(Command::DocGet { space: asker.space.clone(), doc: DocRef::Id(id) }).await?;
    expect_reply!(reply, Reply::Document(view) => Some(FieldValue::owned_any(Arc::new(Doc::from(view)))))
}

/// Carries out a command and collects its items.
async fn gathered(
    caller: &Caller,
    command: Command,
    mut each: impl FnMut(Item) -> Result<(), Problem>,
) -> Result<Reply, Problem> {
    let backend = caller.backend();
    let (sender, mut items) = mpsc::channel(ITEMS_QUEUED);
    let mut call = backend.call(command, sender);
    let reply = loop {
        tokio::select! {
            biased;
            Some(item) = items.recv() => each(item)?,
            reply = &mut call => break reply?,
        }
    };
    while let Ok(item) = items.try_recv() {
        each(item)?;
    }
    Ok(reply)
}
