//! The description of the API (OpenAPI 3.1), generated from the code of the routes.

use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, ContentBuilder, Info, Ref, RefOr, ResponseBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Details;
use crate::routes::described;

/// Returns the description as JSON.
pub fn openapi() -> String {
    let mut api = described().into_openapi();
    api.info = Info::new("CosmicSync", env!("CARGO_PKG_VERSION"));
    api.info.description = Some(
        "Documents on your devices, in sync and sealed. Every request needs a token: `cosmicsync token create NAME`."
            .to_owned(),
    );
    let components = api.components.get_or_insert_with(Components::new);
    components.schemas.insert(Details::name().into_owned(), Details::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("cs_pat_");
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    api.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    let problem = ResponseBuilder::new()
        .description("An error: match on `code`.")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build();
    components.schemas.values_mut().for_each(open_up);
    for name in TAGGED {
        components.schemas.get_mut(name).into_iter().for_each(close);
    }
    for item in api.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
            describe(operation);
            widen(operation);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content.values_mut().filter_map(schema_of).for_each(open_up);
            }
            operation.parameters.iter_mut().flatten().for_each(never_null);
        }
    }
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Describes responses that have only a body by the operation's summary.
fn describe(operation: &mut Operation) {
    let summary = operation.summary.clone().unwrap_or_default();
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description.clone_from(&summary);
        }
    }
}

/// Operations whose body may also be of this type, beside an object.
const WIDER: [(&str, Type); 2] = [("putRules", Type::Null), ("putSchema", Type::Boolean)];

/// Adds the other type to the body of such an operation.
fn widen(operation: &mut Operation) {
    let wider = WIDER.into_iter().find(|(id, _)| operation.operation_id.as_deref() == Some(id));
    let (Some((_, wider)), Some(RefOr::T(body))) = (wider, &mut operation.request_body) else { return };
    for content in body.content.values_mut() {
        if let Some(RefOr::T(Schema::Object(object))) = schema_of(content) {
            object.schema_type = SchemaType::Array(vec![Type::Object, wider.clone()]);
        }
    }
}

/// Returns the schema of a body.
fn schema_of(content: &mut RefOr<Content>) -> Option<&mut RefOr<Schema>> {
    match content {
        RefOr::T(content) => content.schema.as_mut(),
        RefOr::Ref(_) => None,
    }
}

/// Messages of several kinds, each of which allows only its own members.
const TAGGED: [&str; 2] = ["Change", "Write"];

/// Declares that each kind of a message allows no other members.
fn close(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(kinds)) = schema else { return };
    for kind in &mut kinds.items {
        if let RefOr::T(Schema::Object(object)) = kind {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Declares that objects without named members may have any.
fn open_up(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            let is_object = match &object.schema_type {
                SchemaType::Type(one) => *one == Type::Object,
                SchemaType::Array(types) => types.contains(&Type::Object),
                SchemaType::AnyValue => false,
            };
            if is_object && object.properties.is_empty() && object.additional_properties.is_none() {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
            }
            object.properties.values_mut().for_each(open_up);
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                open_up(items);
            }
        }
        Schema::OneOf(parts) => parts.items.iter_mut().for_each(open_up),
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(open_up),
        Schema::AnyOf(parts) => parts.items.iter_mut().for_each(open_up),
        _ => {}
    }
}

/// Removes null from a parameter's type: a parameter that is not given is absent, not null.
fn never_null(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let is_null = |schema: &RefOr<Schema>| matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null));
    if let Some(RefOr::T(Schema::OneOf(either))) = &mut parameter.schema {
        either.items.retain(|item| !is_null(item));
        if let [one] = &either.items[..] {
            parameter.schema = Some(one.clone());
        }
    }
    if let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
        && let SchemaType::Array(types) = &mut object.schema_type
    {
        types.retain(|one| *one != Type::Null);
        if let [one] = &types[..] {
            object.schema_type = SchemaType::Type(one.clone());
        }
    }
}
