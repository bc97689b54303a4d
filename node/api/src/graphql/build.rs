//! Builds the GraphQL schema of a partition.

use async_graphql::Value;
use async_graphql::dynamic::{
    Field, FieldFuture, FieldValue, InputObject, InputValue, Object, Schema, Subscription, TypeRef,
};
use cosmicsync_node::service::CollectionSchema;
use std::sync::Arc;

use super::model::{Kind, Member, Model, VIRTUAL, models};
use super::read::{answered, by_pk, document_types, page, page_type, shown};
use super::types::{INT64, JSON, JSON_FILTER, ORDER, condition, shared};
use super::{aggregate, live, write};
use crate::problem::{Code, Problem};

/// The type that describes a collection.
const INFO: &str = "CollectionInfo";

/// Builds the schema of a partition with these collections.
pub(super) fn schema(collections: &[CollectionSchema]) -> Result<Schema, Problem> {
    let models: Vec<Arc<Model>> = models(collections).into_iter().map(Arc::new).collect();
    let any = !models.is_empty();
    let mut query = Object::new("Query").field(infos(models.clone()));
    let (mut mutation, mut subscription) = (Object::new("Mutation"), Subscription::new("Subscription"));
    // The schema has no limits of its own, because `limits` checks requests before.
    let schema = Schema::build("Query", any.then_some("Mutation"), any.then_some("Subscription"));
    let mut schema = shared(schema.disable_suggestions().limit_recursive_depth(64)).register(info_type());
    for ty in aggregate::types() {
        schema = schema.register(ty);
    }
    for model in &models {
        query = queries(query, model);
        mutation = write::mutations(mutation, model);
        subscription = subscription
            .field(
                with_query(live::query(Arc::clone(model)), model)
                    .description("The whole answer, again with each change."),
            )
            .field(
                live::feed(Arc::clone(model)).description("What changes, oldest first.").argument(
                    InputValue::new("since", TypeRef::named(TypeRef::STRING))
                        .description("A cursor, behind which to begin; none means from now on."),
                ),
            );
        for ty in document_types(model).into_iter().chain(live::types(model)) {
            schema = schema.register(ty);
        }
        schema = schema.register(page_type(model)).register(write::written_type(model));
        if !model.members.is_empty() {
            let inputs = write::input_types(&model.type_name, &model.members);
            for ty in inputs.into_iter().chain(asking_types(&model.type_name, &model.members, true)) {
                schema = schema.register(ty);
            }
        }
    }
    let mut schema = schema.register(query);
    if any {
        schema = schema.register(mutation).register(subscription);
    }
    schema.finish().map_err(|error| Problem::new(Code::Internal, format!("no GraphQL schema: {error}")))
}

/// Adds the queries of a collection.
fn queries(root: Object, model: &Arc<Model>) -> Object {
    let Model { field, collection, type_name, .. } = &**model;
    let of = Arc::clone(model);
    let pages = Field::new(field, TypeRef::named(format!("{type_name}Page")), move |ctx| {
        let model = Arc::clone(&of);
        FieldFuture::new(async move {
            let result = page(&ctx, &model).await;
            answered(&ctx, result)
        })
    });
    let of = Arc::clone(model);
    let one = Field::new(format!("{field}_by_pk"), TypeRef::named(type_name), move |ctx| {
        let model = Arc::clone(&of);
        FieldFuture::new(async move {
            let result = by_pk(&ctx, &model).await;
            answered(&ctx, result)
        })
    });
    let key = InputValue::new("key", TypeRef::named_nn(TypeRef::STRING)).description("Its key, or ~ and its id.");
    let [condition, order, limit] = arguments(model);
    let pages = pages
        .argument(condition)
        .argument(order)
        .argument(limit)
        .argument(
            InputValue::new("bookmark", TypeRef::named(TypeRef::STRING)).description("Where a former page ended."),
        )
        .description(format!("A page of {collection}."));
    let [condition, ..] = arguments(model);
    root.field(pages)
        .field(
            one.argument(key).description(format!("The document of {collection} with a key; null if there is none.")),
        )
        .field(aggregate::field(format!("{field}_aggregate"), Arc::clone(model), condition))
}

/// Adds the arguments of a query to a subscription.
fn with_query(
    mut field: async_graphql::dynamic::SubscriptionField,
    model: &Model,
) -> async_graphql::dynamic::SubscriptionField {
    for argument in arguments(model) {
        field = field.argument(argument);
    }
    field
}

/// Returns the arguments of a query: condition, order, limit.
fn arguments(model: &Model) -> [InputValue; 3] {
    let (condition, order) = if model.members.is_empty() {
        (
            InputValue::new("where", TypeRef::named(JSON)).description("A selector."),
            InputValue::new("order_by", TypeRef::named(JSON)).description("A sort: [\"state\", {\"pop\": \"desc\"}]"),
        )
    } else {
        let name = &model.type_name;
        (
            InputValue::new("where", TypeRef::named(format!("{name}Where"))).description("All of these must hold."),
            InputValue::new("order_by", TypeRef::named_nn_list(format!("{name}OrderBy")))
                .description("Each has one field; the first counts most."),
        )
    };
    let limit = InputValue::new("limit", TypeRef::named(TypeRef::INT))
        .description("Largest number of documents: 100, up to 1000.");
    [condition, order, limit]
}

/// Returns the types of conditions and sorts, for a collection with a schema or an object in it.
fn asking_types(owner: &str, members: &[Member], is_document: bool) -> Vec<InputObject> {
    let mut types = Vec::new();
    let (mut tests, mut order) =
        (InputObject::new(format!("{owner}Where")), InputObject::new(format!("{owner}OrderBy")));
    if is_document {
        let own = format!("{owner}Where");
        let selector = InputValue::new("_selector", TypeRef::named(JSON));
        tests = tests
            .field(InputValue::new("_and", TypeRef::named_nn_list(&own)))
            .field(InputValue::new("_or", TypeRef::named_nn_list(&own)))
            .field(InputValue::new("_not", TypeRef::named(&own)))
            .field(selector.description("A selector, for what has no field here."));
        for (name, _) in VIRTUAL {
            tests = tests.field(InputValue::new(name, TypeRef::named(JSON_FILTER)));
            order = order.field(InputValue::new(name, TypeRef::named(ORDER)));
        }
    }
    for member in members {
        if let Kind::Object(name, inner) = &member.kind {
            types.extend(asking_types(name, inner, false));
        }
        tests = tests.field(InputValue::new(&member.name, condition(&member.kind)));
        let direction = match &member.kind {
            Kind::Object(name, _) => format!("{name}OrderBy"),
            Kind::Scalar(_) | Kind::List(_) | Kind::Json => ORDER.to_owned(),
        };
        order = order.field(InputValue::new(&member.name, TypeRef::named(direction)));
    }
    types.push(tests);
    types.push(order);
    types
}

/// Returns the field that lists the collections with their GraphQL names.
fn infos(models: Vec<Arc<Model>>) -> Field {
    let infos = Field::new("_collections", TypeRef::named_nn_list_nn(INFO), move |_| {
        FieldFuture::Value(Some(FieldValue::list(models.iter().map(|model| FieldValue::owned_any(Arc::clone(model))))))
    });
    infos.description("The collections, and what they are called here.")
}

fn info_type() -> Object {
    let string = || TypeRef::named_nn(TypeRef::STRING);
    Object::new(INFO)
        .field(shown::<Arc<Model>>("collection", string(), |model| Some(model.collection.clone().into())))
        .field(shown::<Arc<Model>>("field", string(), |model| Some(model.field.clone().into())))
        .field(shown::<Arc<Model>>("type", string(), |model| Some(model.type_name.clone().into())))
        .field(
            shown::<Arc<Model>>("members", TypeRef::named_nn(INT64), |model| Some(Value::from(model.members.len())))
                .description("Members that its schema declares; 0 where it has none."),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value as Json, json};

    /// Names that become equal in GraphQL, or are in use by something else.
    const NAMES: [&str; 24] = [
        "a",
        "A",
        "a-b",
        "a_b",
        "aB",
        "a.b",
        "a_2",
        "a_by_pk",
        "a_page",
        "APage",
        "a_where",
        "AWhereInput",
        "insert_a_one",
        "Query",
        "String",
        "_id",
        "_and",
        "__type",
        "_",
        "1",
        "日本",
        "$x",
        "a\\b",
        "json",
    ];

    fn schemas() -> impl Strategy<Value = Json> {
        let leaf = select(&["string", "integer", "number", "boolean", "null"][..]).prop_map(|ty| json!({ "type": ty }));
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
                btree_map(select(&NAMES[..]), inner, 0..5)
                    .prop_map(|properties| json!({ "type": ["object", "null"], "properties": properties })),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_collections_are_called_they_have_a_schema(
            names in btree_set(select(&NAMES[..]), 0..8),
            members in btree_map(select(&NAMES[..]), schemas(), 0..8),
        ) {
            let text = json!({ "properties": members }).to_string();
            let described = |name: &&str| CollectionSchema { collection: (*name).to_owned(), schema: Some(text.clone()) };
            let collections: Vec<CollectionSchema> = names.iter().map(described).collect();
            let made = schema(&collections);
            prop_assert!(made.is_ok(), "{:?}", made.err());
        }
    }
}
