//! Types that all collections share.

use async_graphql::Value;
use async_graphql::dynamic::{Enum, InputObject, InputValue, Scalar as ScalarType, SchemaBuilder, TypeRef};

use super::model::{Kind, Scalar};

/// The scalar for any JSON.
pub(super) const JSON: &str = "Json";
/// The scalar for integers of 64 bits.
pub(super) const INT64: &str = "Int64";
/// The enum of sort directions.
pub(super) const ORDER: &str = "Order";
/// The tests of a field with any value.
pub(super) const JSON_FILTER: &str = "JsonFilter";

/// Adds the shared types to a schema.
pub(super) fn shared(schema: SchemaBuilder) -> SchemaBuilder {
    let whole = |value: &Value| match value {
        Value::Null => true,
        Value::Number(number) => number.is_i64(),
        Value::String(_)
        | Value::Boolean(_)
        | Value::Binary(_)
        | Value::Enum(_)
        | Value::List(_)
        | Value::Object(_) => false,
    };
    let int64 = ScalarType::new(INT64).validator(whole).description("A whole number of 64 bits.");
    let json = ScalarType::new(JSON).description("Any JSON.");
    let order = Enum::new(ORDER).items(["asc", "desc"]).description("The directions of a sort.");
    let mut schema = schema.register(int64).register(json).register(order).register(json_filter());
    for scalar in Scalar::ALL {
        schema = schema.register(filter(scalar)).register(list_filter(scalar));
    }
    schema
}

/// Returns the type of a member in answers.
pub(super) fn output(kind: &Kind) -> TypeRef {
    match kind {
        Kind::Scalar(scalar) => TypeRef::named(scalar.type_name()),
        Kind::List(scalar) => TypeRef::named_list(scalar.type_name()),
        Kind::Object(name, _) => TypeRef::named(name),
        Kind::Json => TypeRef::named(JSON),
    }
}

/// Returns the type of a member in writes.
pub(super) fn input(kind: &Kind) -> TypeRef {
    match kind {
        Kind::Scalar(scalar) => TypeRef::named(scalar.type_name()),
        Kind::List(scalar) => TypeRef::named_list(scalar.type_name()),
        Kind::Object(name, _) => TypeRef::named(format!("{name}Input")),
        Kind::Json => TypeRef::named(JSON),
    }
}

/// Returns the type of conditions on a member.
pub(super) fn condition(kind: &Kind) -> TypeRef {
    TypeRef::named(match kind {
        Kind::Scalar(scalar) => format!("{}Filter", scalar.type_name()),
        Kind::List(scalar) => format!("{}ListFilter", scalar.type_name()),
        Kind::Object(name, _) => format!("{name}Where"),
        Kind::Json => JSON_FILTER.to_owned(),
    })
}

fn filter(scalar: Scalar) -> InputObject {
    let name = scalar.type_name();
    let mut filter = InputObject::new(format!("{name}Filter")).description("All of these must pass.");
    for test in ["_eq", "_neq", "_gt", "_gte", "_lt", "_lte"] {
        filter = filter.field(InputValue::new(test, TypeRef::named(name)));
    }
    for test in ["_in", "_nin"] {
        filter = filter.field(InputValue::new(test, TypeRef::named_nn_list(name)));
    }
    if scalar == Scalar::Text {
        filter = filter.field(InputValue::new("_regex", TypeRef::named(TypeRef::STRING)));
    }
    filter.field(is_null())
}

fn list_filter(scalar: Scalar) -> InputObject {
    let name = scalar.type_name();
    let list = || TypeRef::named_nn_list(name);
    InputObject::new(format!("{name}ListFilter"))
        .description("All of these must pass.")
        .field(InputValue::new("_eq", list()))
        .field(InputValue::new("_neq", list()))
        .field(InputValue::new("_contains", list()).description("Each of these is an item."))
        .field(InputValue::new("_elem", TypeRef::named(format!("{name}Filter"))).description("One item passes all."))
        .field(is_null())
}

fn json_filter() -> InputObject {
    let mut filter = InputObject::new(JSON_FILTER).description("All of these must pass.");
    for test in ["_eq", "_neq", "_gt", "_gte", "_lt", "_lte"] {
        filter = filter.field(InputValue::new(test, TypeRef::named(JSON)));
    }
    for test in ["_in", "_nin", "_contains"] {
        filter = filter.field(InputValue::new(test, TypeRef::named_nn_list(JSON)));
    }
    let elem = InputValue::new("_elem", TypeRef::named(JSON));
    filter
        .field(InputValue::new("_regex", TypeRef::named(TypeRef::STRING)))
        .field(elem.description("The operand of $elemMatch in a selector."))
        .field(is_null())
}

fn is_null() -> InputValue {
    InputValue::new("_is_null", TypeRef::named(TypeRef::BOOLEAN)).description("Null, or missing.")
}
