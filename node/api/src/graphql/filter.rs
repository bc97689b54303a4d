//! Converts GraphQL conditions and sorts to selectors and sorts. Only selectors decide which documents match; see
//! `spec/query.md`.

use async_graphql::Value;
use serde_json::{Map, Value as Json, json};

use super::model::{Kind, Member, VIRTUAL};
use crate::problem::{Code, Problem};

/// Largest nesting of conditions, which is above that of selectors.
const DEPTH_MAX: usize = 32;
/// Tests of a field: the GraphQL name, and the operator of a selector.
const TESTS: [(&str, &str); 11] = [
    ("_eq", "$eq"),
    ("_neq", "$ne"),
    ("_gt", "$gt"),
    ("_gte", "$gte"),
    ("_lt", "$lt"),
    ("_lte", "$lte"),
    ("_in", "$in"),
    ("_nin", "$nin"),
    ("_regex", "$regex"),
    ("_contains", "$all"),
    ("_elem", "$elemMatch"),
];

/// Logical operators: the GraphQL name, and the operator of a selector.
const JUNCTIONS: [(&str, &str); 3] = [("_and", "$and"), ("_or", "$or"), ("_not", "$not")];

/// Converts a condition on documents to a selector.
///
/// # Errors
/// If the condition contains null, which would act as no condition, or anything else that the GraphQL types do not
/// refuse.
pub(super) fn selector(condition: &Value, members: &[Member]) -> Result<Json, Problem> {
    let mut tests = Vec::new();
    conditions(condition, members, DEPTH_MAX, &mut tests)?;
    Ok(all_of(tests))
}

/// Converts a list of orders to a sort.
///
/// # Errors
/// If an order has several fields, because their precedence would be undefined.
pub(super) fn sort(orders: &Value, members: &[Member]) -> Result<Json, Problem> {
    let mut sort = Vec::new();
    for order in listed(orders) {
        let (mut order, mut members, mut first) = (order, members, true);
        loop {
            let [(name, value)] = entries(order)?[..] else {
                return Err(bad("each object of order_by has one field: the list gives their order"));
            };
            let known = VIRTUAL.iter().find(|(known, _)| first && *known == name).map(|(_, field)| *field);
            let member = members.iter().find(|member| member.name == name);
            if let (Some(Member { kind: Kind::Object(_, inner), .. }), None) = (member, known) {
                (order, members, first) = (value, inner, false);
                continue;
            }
            let path = known.or_else(|| member.map(|member| member.path.as_str()));
            let path = path.ok_or_else(|| unknown(name))?;
            let direction = plain(value)?;
            sort.push(json!({ path: direction }));
            break;
        }
    }
    Ok(Json::Array(sort))
}

/// Returns a selector given as JSON. Refuses one with the operators of typed fields, which would match nothing.
pub(super) fn selector_in_json(value: &Value) -> Result<Json, Problem> {
    fn operator(json: &Json) -> Option<&'static (&'static str, &'static str)> {
        match json {
            Json::Object(members) => members.iter().find_map(|(name, value)| {
                TESTS.iter().chain(&JUNCTIONS).find(|(known, _)| known == name).or_else(|| operator(value))
            }),
            Json::Array(items) => items.iter().find_map(operator),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        }
    }
    let json = plain(value)?;
    match operator(&json) {
        None => Ok(json),
        Some((typed, plain)) => {
            let detail = format!("here a condition is a selector: write \"{plain}\" for {typed}, in a variable");
            Err(bad(detail).next("declare a schema, and the collection has typed conditions"))
        }
    }
}

/// Converts a GraphQL value to JSON.
pub(super) fn plain(value: &Value) -> Result<Json, Problem> {
    value.clone().into_json().map_err(|error| bad(error.to_string()))
}

/// Adds the selectors of a condition, all of which must match.
fn conditions(value: &Value, members: &[Member], depth: usize, tests: &mut Vec<Json>) -> Result<(), Problem> {
    let depth = depth.checked_sub(1).ok_or_else(|| bad("conditions nest too deep"))?;
    let inner = |value: &Value| {
        let mut tests = Vec::new();
        conditions(value, members, depth, &mut tests).map(|()| all_of(tests))
    };
    for (name, value) in entries(value)? {
        match name {
            "_and" => tests.push(json!({ "$and": listed(value).iter().map(inner).collect::<Result<Vec<_>, _>>()? })),
            "_or" => tests.push(json!({ "$or": listed(value).iter().map(inner).collect::<Result<Vec<_>, _>>()? })),
            "_not" => tests.push(json!({ "$not": inner(value)? })),
            "_selector" => tests.push(selector_in_json(value)?),
            other => match VIRTUAL.iter().find(|(known, _)| *known == other) {
                Some((_, field)) => field_tests(field, &Kind::Json, value, tests)?,
                None => member_tests(other, value, members, tests)?,
            },
        }
    }
    Ok(())
}

/// Adds the tests of a member. The paths of nested members begin at the document, so that selectors are not nested.
fn member_tests(name: &str, value: &Value, members: &[Member], tests: &mut Vec<Json>) -> Result<(), Problem> {
    let member = members.iter().find(|member| member.name == name).ok_or_else(|| unknown(name))?;
    match &member.kind {
        Kind::Object(_, inner) => {
            entries(value)?.into_iter().try_for_each(|(name, value)| member_tests(name, value, inner, tests))
        }
        kind @ (Kind::Scalar(_) | Kind::List(_) | Kind::Json) => field_tests(&member.path, kind, value, tests),
    }
}

/// Adds the tests of one field.
fn field_tests(path: &str, kind: &Kind, value: &Value, tests: &mut Vec<Json>) -> Result<(), Problem> {
    for (name, value) in entries(value)? {
        let (operator, operand) = test(name, kind, value)?;
        tests.push(json!({ path: { operator: operand } }));
    }
    Ok(())
}

/// Converts a test to an operator and its operand.
fn test(name: &str, kind: &Kind, value: &Value) -> Result<(&'static str, Json), Problem> {
    if name == "_is_null" {
        // A missing field equals null, too.
        return Ok((if plain(value)? == true { "$eq" } else { "$ne" }, Json::Null));
    }
    let (_, operator) = TESTS.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name))?;
    let operand = match (name, kind) {
        ("_in" | "_nin" | "_contains", _) => Json::Array(listed(value).iter().map(plain).collect::<Result<_, _>>()?),
        ("_eq" | "_neq", Kind::List(_)) => Json::Array(listed(value).iter().map(plain).collect::<Result<_, _>>()?),
        ("_elem", Kind::List(scalar)) => {
            let mut operators = Map::new();
            for (name, value) in entries(value)? {
                let (operator, operand) = test(name, &Kind::Scalar(*scalar), value)?;
                if operators.insert(operator.to_owned(), operand).is_some() {
                    return Err(bad(format!("{name} repeats another test of the same item")));
                }
            }
            Json::Object(operators)
        }
        _ => plain(value)?,
    };
    Ok((operator, operand))
}

/// Returns a selector for documents that match all tests.
fn all_of(mut tests: Vec<Json>) -> Json {
    match tests.pop() {
        None => json!({}),
        Some(only) if tests.is_empty() => only,
        Some(last) => {
            tests.push(last);
            json!({ "$and": tests })
        }
    }
}

/// Returns the members of an object. Refuses null, which would act as no condition.
fn entries(value: &Value) -> Result<Vec<(&str, &Value)>, Problem> {
    let Value::Object(members) = value else { return Err(bad("an object is required here")) };
    if let Some((name, _)) = members.iter().find(|(_, value)| **value == Value::Null) {
        return Err(bad(format!("{name} is null: leave it out, or use _is_null")));
    }
    Ok(members.iter().map(|(name, value)| (name.as_str(), value)).collect())
}

/// Returns the items of a list. A single value stands for a list of one.
fn listed(value: &Value) -> &[Value] {
    if let Value::List(items) = value { items } else { core::slice::from_ref(value) }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadSelector, detail)
}

fn unknown(name: &str) -> Problem {
    bad(format!("there is no {name} here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::model::models;
    use async_graphql::{Name, value};
    use cosmicsync_node::service::CollectionSchema;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn members() -> std::sync::Arc<[Member]> {
        let schema = json!({ "properties": {
            "city": { "type": "string" }, "pop": { "type": "integer" }, "a.b": {}, "tags": { "type": "array", "items": { "type": "string" } },
            "loc": { "type": "object", "properties": { "x": { "type": "number" } } },
        } });
        let described = CollectionSchema { collection: "towns".to_owned(), schema: Some(schema.to_string()) };
        std::sync::Arc::clone(&models(&[described])[0].members)
    }

    #[test]
    fn conditions_are_selectors() {
        let members = members();
        for (condition, expected) in [
            (value!({}), json!({})),
            (value!({ "city": {} }), json!({})),
            (value!({ "city": { "_eq": "Agawam" } }), json!({ "city": { "$eq": "Agawam" } })),
            (
                value!({ "pop": { "_gte": 1, "_lt": 5 }, "_key": { "_neq": "a" } }),
                json!({ "$and": [{ "pop": { "$gte": 1 } }, { "pop": { "$lt": 5 } }, { "$key": { "$ne": "a" } }] }),
            ),
            (
                value!({ "_or": [{ "city": { "_regex": "^A" } }, { "pop": { "_is_null": true } }] }),
                json!({ "$or": [{ "city": { "$regex": "^A" } }, { "pop": { "$eq": null } }] }),
            ),
            (value!({ "_or": [] }), json!({ "$or": [] })),
            (value!({ "_and": { "pop": { "_gt": 1 } } }), json!({ "$and": [{ "pop": { "$gt": 1 } }] })),
            (value!({ "_not": { "city": { "_is_null": false } } }), json!({ "$not": { "city": { "$ne": null } } })),
            (value!({ "loc": { "x": { "_gt": 1.5 } } }), json!({ "loc.x": { "$gt": 1.5 } })),
            (value!({ "a_b": { "_elem": { "c": 1 } } }), json!({ "a\\.b": { "$elemMatch": { "c": 1 } } })),
            (value!({ "pop": { "_in": 1 } }), json!({ "pop": { "$in": [1] } })),
            (
                value!({ "tags": { "_contains": ["x"], "_elem": { "_gt": "a", "_lt": "c" } } }),
                json!({ "$and": [{ "tags": { "$all": ["x"] } }, { "tags": { "$elemMatch": { "$gt": "a", "$lt": "c" } } }] }),
            ),
            (value!({ "_selector": { "x.y": 7 } }), json!({ "x.y": 7 })),
        ] {
            assert_eq!(selector(&condition, &members).expect("a selector"), expected, "{condition}");
        }
    }

    #[test]
    fn operators_of_typed_fields_are_none_of_a_selector() {
        for condition in [
            value!({ "kind": { "_eq": "tree" } }),
            value!({ "_or": [{ "kind": "tree" }] }),
            value!({ "a": [{ "b": { "_in": [1] } }] }),
        ] {
            let problem = selector_in_json(&condition).expect_err("refused");
            assert_eq!(problem.code(), Code::BadSelector, "{condition}");
        }
        let selector = value!({ "kind": "tree", "_id": 7 });
        assert_eq!(selector_in_json(&selector).expect("a selector"), json!({ "kind": "tree", "_id": 7 }));
    }

    #[test]
    fn a_null_is_no_condition_and_no_mistake_passes_for_one() {
        let members = members();
        for condition in [
            value!({ "city": null }),
            value!({ "city": { "_eq": null } }),
            value!({ "_and": [null] }),
            value!({ "_not": null }),
            value!({ "town": { "_eq": 1 } }),
            value!({ "city": { "_like": "x" } }),
            value!({ "tags": { "_elem": { "_eq": "a", "_is_null": true } } }),
            value!([]),
        ] {
            assert_eq!(
                selector(&condition, &members).expect_err("it is refused").code(),
                Code::BadSelector,
                "{condition}"
            );
        }
        let deep = (0..40).fold(value!({}), |inner, _| value!({ "_not": inner }));
        assert!(selector(&deep, &members).is_err());
    }

    #[test]
    fn orders_are_sorts() {
        let members = members();
        let orders = value!([{ "pop": "desc" }, { "loc": { "x": "asc" } }, { "_key": "asc" }]);
        let expected = json!([{ "pop": "desc" }, { "loc.x": "asc" }, { "$key": "asc" }]);
        assert_eq!(sort(&orders, &members).expect("a sort"), expected);
        assert_eq!(sort(&value!({ "pop": "asc" }), &members).expect("a sort"), json!([{ "pop": "asc" }]));
        for orders in [
            value!([{ "pop": "asc", "city": "asc" }]),
            value!([{}]),
            value!([{ "pop": null }]),
            value!([{ "x": "asc" }]),
        ] {
            assert!(sort(&orders, &members).is_err(), "{orders}");
        }
    }

    /// Returns any condition, with known and unknown names and values of every type.
    fn conditions() -> impl Strategy<Value = Value> {
        let name = select(
            &[
                "city",
                "pop",
                "loc",
                "x",
                "tags",
                "a_b",
                "_key",
                "_and",
                "_or",
                "_not",
                "_selector",
                "_eq",
                "_in",
                "_elem",
                "_contains",
                "_is_null",
                "_regex",
                "$gt",
                "",
            ][..],
        );
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(value!("x")),
            Just(value!(true)),
            any::<i64>().prop_map(Value::from),
            Just(value!(1.5))
        ];
        leaf.prop_recursive(6, 64, 4, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::List),
                vec((name.clone(), inner), 0..4).prop_map(|members| Value::Object(
                    members.into_iter().map(|(name, value)| (Name::new(name), value)).collect()
                )),
            ]
        })
    }

    proptest! {
        /// An invalid selector is refused by its parser, with a place; a condition never becomes anything else.
        #[test]
        fn whatever_condition_comes_is_an_object_or_refused(condition in conditions()) {
            if let Ok(selector) = selector(&condition, &members()) {
                prop_assert!(selector.is_object() || condition.to_string().contains("_selector"), "{selector}");
            }
            drop(sort(&condition, &members()));
        }
    }
}
