//! Generators of values and selectors, and properties that hold for all of them.

use super::*;
use crate::json;
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::DocId;
use proptest::prelude::*;

/// Returns any value of a few dozen nodes, often equal to another one.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2..4i64).prop_map(Value::Int),
        any::<i64>().prop_map(Value::Int),
        prop_oneof![Just(-0.0), Just(1.0), Just(1.5), Just(2.0), Just(1e300)].prop_map(Value::Float),
        "[abé😀]{0,3}".prop_map(Value::Text),
        proptest::collection::vec(0..3u8, 0..3).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::btree_map("[abc]", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

/// Returns one of few values, so that it often equals another.
fn few_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        4 => (0..3i64).prop_map(Value::Int),
        1 => Just(Value::Float(1.0)),
        2 => "[ab]{0,2}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            proptest::collection::btree_map("[ab0]", inner, 0..3).prop_map(Value::Map),
        ]
    })
}

/// Returns any document of members that selectors name, often with lists of numbers or of maps.
fn any_document() -> impl Strategy<Value = Value> {
    let maps = proptest::collection::btree_map("[ab0]", few_values(), 0..3).prop_map(Value::Map);
    let lists = prop_oneof![
        proptest::collection::vec((0..3i64).prop_map(Value::Int), 1..4).prop_map(Value::List),
        proptest::collection::vec(maps, 1..3).prop_map(Value::List),
        proptest::collection::vec(few_values(), 0..3).prop_map(Value::List),
    ];
    let member = prop_oneof![few_values(), lists].boxed();
    (member.clone(), member).prop_map(|(a, b)| Value::from_iter([("a", a), ("b", b)]))
}

/// Returns any selector, as JSON.
fn any_selector() -> impl Strategy<Value = Value> {
    let field = prop_oneof![4 => "[ab]", 3 => "[ab]\\.[ab0]", 1 => "a\\.[0b]\\.[ab]", 1 => Just("$id".to_owned())];
    let leaf = (field, any_tests()).prop_map(|(field, tests)| Value::from_iter([(field, tests)]));
    let leaf = leaf.boxed();
    let nested = leaf.clone().prop_recursive(2, 6, 3, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::List);
        let name = prop_oneof![Just("$and"), Just("$or"), Just("$nor")];
        prop_oneof![
            (name, parts).prop_map(|(name, parts)| Value::from_iter([(name, parts)])),
            inner.prop_map(|inner| Value::from_iter([("$not", inner)])),
        ]
    });
    let both =
        proptest::collection::vec(leaf.clone(), 2).prop_map(|parts| Value::from_iter([("$and", Value::List(parts))]));
    prop_oneof![3 => leaf, 2 => both, 1 => nested]
}

/// Returns one or two operators with their operands.
fn any_tests() -> impl Strategy<Value = Value> {
    let one = |name: &'static str, operand: BoxedStrategy<Value>| operand.prop_map(move |value| (name, value)).boxed();
    let value = few_values().boxed();
    let scalar = few_values().prop_filter("a scalar", |value| !value.is_container()).boxed();
    let list = proptest::collection::vec(few_values(), 0..4).prop_map(Value::List).boxed();
    let kind = proptest::sample::select(vec!["string", "int", "array", "null", "object"]).prop_map(Value::from).boxed();
    let regex = proptest::sample::select(vec!["^a", "b$", "^a?b", "^ab"]).prop_map(Value::from).boxed();
    let flag = any::<bool>().prop_map(Value::Bool).boxed();
    let modulo = (1..4i64, 0..3i64).prop_map(|(a, b)| Value::List(vec![Value::Int(a), Value::Int(b)])).boxed();
    let mut tests: Vec<_> = ["$eq", "$eq", "$ne"].map(|name| one(name, value.clone())).into();
    tests.extend(["$gt", "$gte", "$lt", "$lte"].map(|name| one(name, scalar.clone())));
    tests.extend(["$gt", "$gte", "$lt", "$lte"].map(|name| one(name, (0..3i64).prop_map(Value::Int).boxed())));
    tests.extend(["$in", "$nin", "$all"].map(|name| one(name, list.clone())));
    tests.extend([("$type", kind), ("$regex", regex), ("$exists", flag), ("$mod", modulo)].map(|(n, s)| one(n, s)));
    tests.push(one("$size", (0..3i64).prop_map(Value::Int).boxed()));
    let member = proptest::strategy::Union::new(tests);
    let operators = proptest::collection::vec(member, 1..3).prop_map(Value::from_iter).boxed();
    let nested = operators.clone().prop_recursive(2, 6, 2, |inner| {
        let fields = ("[ab0]", inner.clone()).prop_map(|(field, tests)| Value::from_iter([(field, tests)]));
        prop_oneof![
            1 => inner.clone().prop_map(|inner| Value::from_iter([("$not", inner)])),
            2 => inner.clone().prop_map(|inner| Value::from_iter([("$elemMatch", inner)])),
            2 => fields.prop_map(|fields| Value::from_iter([("$elemMatch", fields)])),
        ]
    });
    prop_oneof![operators, nested]
}

/// Returns whether the bounds of a field admit a document that matches.
fn admits(bounds: &Bounds, reached: &Reached<'_>) -> bool {
    let keys = reached.keys();
    let is_point = |point: &Option<Value>| keys.iter().any(|key| order::compare(*key, point.as_ref()).is_eq());
    let points = bounds.points().is_none_or(|points| points.iter().any(is_point));
    let in_range = |range: Range| keys.iter().any(|key| range.contains(*key));
    points
        && bounds.range(true).is_none_or(in_range)
        && (reached.is_multikey() || bounds.range(false).is_none_or(in_range))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_selector_is_written_and_read_again_as_the_same(json in any_selector()) {
        let selector = parse::from_value(&json).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let written = selector.to_string();
        prop_assert_eq!(&parse::parse(written.as_bytes()).unwrap(), &selector);
        prop_assert_eq!(parse::parse(json::to_string(&json).as_bytes()).unwrap(), selector);
    }

    #[test]
    fn a_negation_turns_every_answer_round(json in any_selector(), document in any_document()) {
        let selector = parse::from_value(&json).unwrap();
        let subject = Subject::new(&document, DocId([0; 16]));
        let negated = Selector::Not(Box::new(selector.clone()));
        prop_assert_ne!(selector.matches(&subject), negated.matches(&subject));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    #[test]
    fn bounds_are_never_narrower_than_the_selector(json in any_selector(), document in any_document()) {
        let selector = parse::from_value(&json).unwrap();
        let subject = Subject::new(&document, DocId([0; 16]));
        if selector.matches(&subject) {
            for name in ["a", "b", "a.a", "a.b", "b.a", "a.0", "a.0.b", "a.b.a", "$id"] {
                let field = Field::parse(name).unwrap();
                let bounds = Bounds::of(&selector, &field);
                let admitted = subject.with(&field, |reached| admits(&bounds, &reached));
                prop_assert!(admitted, "{name}: {bounds:?}");
            }
        }
    }
}
