//! Mutations: each is a transaction of its own, with the conditions of REST.

use async_graphql::Value;
use async_graphql::dynamic::{
    Field, FieldFuture, FieldValue, InputObject, InputValue, Object, ResolverContext, TypeRef,
};
use cosmicsync_node::service::{DocOp, DocWrite, Written};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

use super::filter::plain;
use super::model::{Kind, Member, Model};
use super::read::{answered, argument, asker, by_id, shown, text};
use super::types::{JSON, input};
use crate::problem::{Code, Problem};
use crate::routes::{Conditions, Named, prepared, write_one};

/// The operation of a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Creates a document.
    Insert,
    /// Creates or replaces a document.
    Put,
    /// Changes members of a document.
    Update,
    /// Deletes a document.
    Delete,
}

/// Adds the mutations of a collection.
pub(super) fn mutations(mut root: Object, model: &Arc<Model>) -> Object {
    let Model { field, collection, .. } = &**model;
    let given = |name: &str| InputValue::new(name, TypeRef::named_nn(input_type(model)));
    let key = || {
        let key = InputValue::new("key", TypeRef::named_nn(TypeRef::STRING));
        key.description("The document's key, or ~ and its id.")
    };
    let version = || {
        let version = InputValue::new("if_version", TypeRef::named(TypeRef::STRING));
        version.description("Only if the document has this version.")
    };
    let insert = mutation(format!("insert_{field}_one"), model, Deed::Insert)
        .description(format!("Makes a document of {collection}, unless there is one with its key."))
        .argument(given("object"))
        .argument(
            InputValue::new("key", TypeRef::named(TypeRef::STRING))
                .description("Its key. Without one the schema makes it of the object, or it has none."),
        );
    let put = mutation(format!("put_{field}_by_pk"), model, Deed::Put)
        .description("Makes a document, or gives it another value.")
        .argument(key())
        .argument(given("object"))
        .argument(version());
    let update = mutation(format!("update_{field}_by_pk"), model, Deed::Update)
        .description("Changes members of a document: null removes one (RFC 7396).")
        .argument(key())
        .argument(given("patch"))
        .argument(version());
    let delete = mutation(format!("delete_{field}_by_pk"), model, Deed::Delete)
        .description("Deletes a document. Its history stays.")
        .argument(key())
        .argument(version());
    for field in [insert, put, update, delete] {
        root = root.field(field);
    }
    root
}

fn mutation(name: String, model: &Arc<Model>, deed: Deed) -> Field {
    let written = TypeRef::named(format!("{}Written", model.type_name));
    let model = Arc::clone(model);
    Field::new(name, written, move |ctx| {
        let model = Arc::clone(&model);
        FieldFuture::new(async move {
            let result = write(&ctx, &model, deed).await;
            answered(&ctx, result.map(|written| Some(FieldValue::owned_any(written))))
        })
    })
}

/// Writes one document.
async fn write(ctx: &ResolverContext<'_>, model: &Model, deed: Deed) -> Result<Written, Problem> {
    let (asker, collection) = (asker(ctx)?, model.collection.clone());
    let write = |op| DocWrite { space: asker.space.clone(), writes: vec![op], idempotency_key: None };
    let Some(key) = text(ctx, "key") else {
        let op =
            DocOp::Put { doc: collection, value: object(ctx, model, "object")?, text: Vec::new(), condition: None };
        return write_one(&asker.caller, write(op)).await;
    };
    let named = Named::new(asker.space.clone(), collection, key)?;
    let conditions = match (deed, text(ctx, "if_version")) {
        (Deed::Insert, _) => Conditions::Absent,
        (Deed::Put | Deed::Update | Deed::Delete, Some(version)) => Conditions::version(&version),
        (Deed::Put | Deed::Update | Deed::Delete, None) => Conditions::None,
    };
    let condition = prepared(&asker.caller, &named, &conditions).await?;
    let doc = named.doc;
    let op = match deed {
        Deed::Insert | Deed::Put => {
            DocOp::Put { doc: doc.to_string(), value: object(ctx, model, "object")?, text: Vec::new(), condition }
        }
        Deed::Update => {
            let patch = object(ctx, model, "patch")?;
            if !patch.is_object() {
                return Err(Problem::new(Code::BadPatch, "a merge patch is an object"));
            }
            DocOp::Patch { doc, patch, condition }
        }
        Deed::Delete => DocOp::Delete { doc, condition },
    };
    write_one(&asker.caller, write(op)).await.map_err(|problem| conditions.failed(problem))
}

/// Returns the written object as JSON.
fn object(ctx: &ResolverContext<'_>, model: &Model, name: &str) -> Result<Json, Problem> {
    let value = argument(ctx, name).unwrap_or_default();
    if model.members.is_empty() { plain(&value) } else { named_again(&value, &model.members) }
}

/// Restores the members' names in documents.
fn named_again(value: &Value, members: &[Member]) -> Result<Json, Problem> {
    let Value::Object(given) = value else { return plain(value) };
    let mut object = Map::new();
    for member in members {
        let Some(value) = given.get(member.name.as_str()) else { continue };
        let value = match &member.kind {
            Kind::Object(_, inner) => named_again(value, inner)?,
            Kind::List(_) if !matches!(value, Value::List(_) | Value::Null) => Json::Array(vec![plain(value)?]),
            Kind::List(_) | Kind::Scalar(_) | Kind::Json => plain(value)?,
        };
        object.insert(member.key.clone(), value);
    }
    Ok(Json::Object(object))
}

fn input_type(model: &Model) -> String {
    if model.members.is_empty() { JSON.to_owned() } else { format!("{}Input", model.type_name) }
}

/// Returns the input types of a collection with a schema.
pub(super) fn input_types(owner: &str, members: &[Member]) -> Vec<InputObject> {
    let mut types = Vec::new();
    let mut object = InputObject::new(format!("{owner}Input"));
    for member in members {
        if let Kind::Object(name, inner) = &member.kind {
            types.extend(input_types(name, inner));
        }
        object = object.field(InputValue::new(&member.name, input(&member.kind)));
    }
    types.push(object);
    types
}

/// Returns the type of a mutation's result.
pub(super) fn written_type(model: &Model) -> Object {
    let doc = Field::new("doc", TypeRef::named(&model.type_name), |ctx| {
        FieldFuture::new(async move {
            let result = match ctx.parent_value.downcast_ref::<Written>() {
                Some(written) => by_id(&ctx, written.doc.0).await,
                None => Ok(None),
            };
            let result = result.or_else(|problem| if problem.is_missing_document() { Ok(None) } else { Err(problem) });
            answered(&ctx, result)
        })
    });
    Object::new(format!("{}Written", model.type_name))
        .description("A durable write.")
        .field(shown::<Written>("id", TypeRef::named_nn(TypeRef::ID), |written| Some(written.doc.to_string().into())))
        .field(shown::<Written>("key", TypeRef::named(TypeRef::STRING), |written| written.key.clone().map(Value::from)))
        .field(
            shown::<Written>("version", TypeRef::named(TypeRef::STRING), |written| {
                written.version.map(|version| version.to_string().into())
            })
            .description("The document's version after the write."),
        )
        .field(
            shown::<Written>("created", TypeRef::named_nn(TypeRef::BOOLEAN), |written| Some(written.created.into()))
                .description("Whether the write made the document."),
        )
        .field(doc.description("The document as it is now; null where it is deleted."))
}
