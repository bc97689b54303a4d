use super::*;
use crate::json::{parse, to_json};
use cosmicsync_protocol::crdt::{Change, Step};
use cosmicsync_protocol::documents::Edit;
use proptest::prelude::*;

fn value(json: &str) -> Value {
    parse(json.as_bytes()).unwrap()
}

fn schema(json: &str) -> Schema {
    Schema::new(&value(json)).unwrap()
}

fn problem(json: &str) -> (String, SchemaProblem) {
    let error = Schema::new(&value(json)).unwrap_err();
    (error.pointer, error.problem)
}

fn told(schema: &Schema, json: &str) -> Vec<String> {
    schema.violations(&value(json), None).iter().map(ToString::to_string).collect()
}

#[test]
fn violations_name_place_and_reason() {
    let schema = schema(
        r#"{"type":"object","required":["name"],"additionalProperties":false,"properties":{
            "name":{"type":"string","maxLength":3},
            "tags":{"type":"array","items":{"enum":["a","b"]},"uniqueItems":true,"maxItems":2},
            "age":{"type":["integer","null"],"minimum":0},
            "mail":{"format":"email"}}}"#,
    );
    assert!(told(&schema, r#"{"name":"abc","tags":["a","b"],"age":null,"mail":"a@b.c"}"#).is_empty());
    assert_eq!(
        told(&schema, r#"{"name":"abcd","tags":["a","c","a"],"age":-1.5,"mail":"x","a/b":1}"#),
        [
            "/a~1b: the schema has no such member",
            "/age: -1.5 is below 0",
            "/age: -1.5 is not of type integer or null",
            "/mail: \"x\" is not in the format email",
            "/name: has 4 characters, and may have at most 3",
            "/tags/1: \"c\" is not one of \"a\", \"b\"",
            "/tags: has 3 items, and may have at most 2",
            "/tags: two items are equal",
        ]
    );
    assert_eq!(told(&schema, "{}"), ["the document: the member \"name\" is missing"]);
}

#[test]
fn recursive_schemas_end_with_the_value() {
    let tree =
        schema(r##"{"properties":{"next":{"$ref":"#"},"n":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"integer"}}}"##);
    assert!(tree.is_valid(&value(r#"{"next":{"next":{"n":1}}}"#), None));
    assert_eq!(told(&tree, r#"{"next":{"next":{"n":"x"}}}"#), ["/next/next/n: \"x\" is not of type integer"]);
    for endless in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}}"##] {
        assert!(matches!(problem(endless).1, SchemaProblem::Endless(_)), "{endless}");
    }
}

#[test]
fn a_schema_takes_bounded_steps() {
    // Each level evaluates the next one twice: 2 to the power of 31 evaluations.
    let levels: Vec<String> = (0..31)
        .map(|at| format!(r##""l{at}":{{"allOf":[{{"$ref":"#/$defs/l{0}"}},{{"$ref":"#/$defs/l{0}"}}]}}"##, at + 1))
        .collect();
    let nested = |count: usize| {
        let levels = levels[31 - count..].join(",");
        format!(r##"{{"$ref":"#/$defs/l{}","$defs":{{{levels},"l31":{{"type":"integer"}}}}}}"##, 31 - count)
    };
    assert!(matches!(problem(&nested(31)).1, SchemaProblem::Endless(_) | SchemaProblem::TooMany));
    let wide = nested(8);
    assert!(schema(&wide).is_valid(&Value::Int(1), None));
    // The same through lists of lists: the value multiplies the effect of the schema.
    let items = schema(r##"{"items":{"anyOf":[{"not":{"$ref":"#"}},{"$ref":"#"},{"$ref":"#"}]}}"##);
    let mut deep = Value::Int(1);
    for _ in 0..40 {
        deep = Value::List(vec![deep.clone()]);
    }
    assert!(!items.is_valid(&deep, None));
    assert!(told(&items, &json::to_string(&deep))[0].contains("steps"));
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    let at = |json: &str| problem(json).0;
    assert_eq!(problem(r#"{"properties":{"a":{"requird":["b"]}}}"#).1, SchemaProblem::UnknownKeyword("requird".into()));
    assert_eq!(at(r#"{"properties":{"a/b":{"type":"strin"}}}"#), "/properties/a~1b");
    assert_eq!(problem(r#"{"unevaluatedProperties":false}"#).1, SchemaProblem::Unsupported("unevaluatedProperties"));
    assert!(matches!(problem(r#"{"$ref":"http://example.org/a"}"#).1, SchemaProblem::RefOutside(_)));
    assert!(matches!(problem(r##"{"$ref":"#/$defs/a"}"##).1, SchemaProblem::RefNowhere(_)));
    assert!(matches!(problem(r#"{"pattern":"(?=a)"}"#).1, SchemaProblem::Pattern(_)));
    assert!(matches!(problem(r#"{"format":"hostname"}"#).1, SchemaProblem::Format(_)));
    assert!(matches!(problem(r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#).1, SchemaProblem::Draft(_)));
    assert!(matches!(problem(r#"{"multipleOf":0}"#).1, SchemaProblem::Form { keyword: "multipleOf", .. }));
    assert!(matches!(problem(r#"{"allOf":[]}"#).1, SchemaProblem::Form { keyword: "allOf", .. }));
    assert_eq!(problem("7").1, SchemaProblem::NotSchema);
    assert_eq!(problem(&format!(r#"{{"const":"{}"}}"#, "x".repeat(SCHEMA_BYTES_MAX))).0, "");
    let deep = format!("{}{}", r#"{"not":"#.repeat(40), "true".to_owned() + &"}".repeat(40));
    assert_eq!(problem(&deep).1, SchemaProblem::TooDeep);
    let many: Vec<String> = (0..NODES_MAX).map(|at| format!("\"{at}\":{{}}")).collect();
    assert_eq!(problem(&format!(r#"{{"properties":{{{}}}}}"#, many.join(","))).1, SchemaProblem::TooMany);
}

#[test]
fn containers_are_where_x_crdt_says() {
    let schema = schema(
        r##"{"properties":{
            "body":{"type":"string","x-crdt":"text"},
            "parts":{"type":"array","items":{"properties":{"text":{"type":"string","x-crdt":"text"}}}},
            "likes":{"type":"integer","x-crdt":"counter"},
            "at":{"$ref":"#/$defs/time"}},
            "$defs":{"time":{"type":"integer","x-crdt":"timestamp"}}}"##,
    );
    let containers = schema.containers();
    assert_eq!(containers.texts.dotted().collect::<Vec<_>>(), ["body", "parts.*.text"]);
    assert!(containers.counters.contains(&["likes".into()]) && containers.timestamps.contains(&["at".into()]));
    let refused = |json: &str| problem(json).1;
    assert!(matches!(refused(r#"{"properties":{"a":{"x-crdt":"tree"}}}"#), SchemaProblem::Container(_)));
    assert!(matches!(refused(r#"{"properties":{"a":{"x-crdt":"text"}}}"#), SchemaProblem::ContainerType { .. }));
    assert!(matches!(refused(r#"{"items":{"type":"integer","x-crdt":"counter"}}"#), SchemaProblem::ContainerPlace(_)));
    // Two ways lead from each level to the next: 2 to the power of 20 paths.
    let levels: Vec<String> = (0..20)
        .map(|at| {
            format!(
                r##""l{at}":{{"properties":{{"a":{{"$ref":"#/$defs/l{0}"}},"b":{{"$ref":"#/$defs/l{0}"}}}}}}"##,
                at + 1
            )
        })
        .collect();
    let wide = format!(r##"{{"$ref":"#/$defs/l0","$defs":{{{},"l20":{{}}}}}}"##, levels.join(","));
    assert_eq!(refused(&wide), SchemaProblem::TooMany);
}

#[test]
fn defaults_times_and_counters_are_filled_in() {
    let schema = schema(
        r##"{"properties":{
            "state":{"default":"new"},
            "author":{"default":{},"properties":{"name":{"default":"?"}}},
            "child":{"$ref":"#"},
            "likes":{"type":"integer","x-crdt":"counter"},
            "at":{"type":"integer","x-crdt":"timestamp"}}}"##,
    );
    let mut document = value(r#"{"author":{},"child":{"state":"old"}}"#);
    schema.complete(&mut document);
    assert_eq!(document, value(r#"{"author":{"name":"?"},"child":{"author":{},"state":"old"},"state":"new"}"#));
    let set = |path: &str, value: Value| Change::Set { path: vec![Step::from(path)], value };
    let mut edits = [Edit::Apply(vec![set("at", "$now".into()), set("likes", 3.into())])];
    schema.finish(&mut edits, None, 99);
    assert_eq!(edits, [Edit::Apply(vec![set("at", 99.into()), set("likes", 3.into())])]);
    schema.finish(&mut edits, Some(&value(r#"{"likes":5,"at":1}"#)), 99);
    let add = Change::Add { path: vec!["likes".into()], by: -2 };
    assert_eq!(edits, [Edit::Apply(vec![set("at", 99.into()), add])]);
}

#[test]
fn a_key_is_made_of_members() {
    let one = schema(r#"{"x-key":"zip"}"#);
    assert_eq!(one.key_of(&value(r#"{"zip":"00501"}"#)).as_deref(), Some("00501"));
    assert_eq!(one.key_of(&value(r#"{"zip":501}"#)).as_deref(), Some("501"));
    assert_eq!(one.key_of(&value(r#"{"zip":null}"#)), None);
    assert_eq!(one.key_of(&value(r#"{"zip":""}"#)), None);
    assert!(one.is_valid(&value(r#"{"zip":"1"}"#), Some("1")) && !one.is_valid(&value(r#"{"zip":"1"}"#), Some("2")));
    let two = schema(r#"{"x-key":["a","b"]}"#);
    assert_eq!(two.key_of(&value(r#"{"a":"x,\"","b":2}"#)).as_deref(), Some(r#"["x,\"",2]"#));
    assert_eq!(two.violations(&value("{}"), Some("k"))[0].keyword, "x-key");
    for wrong in [r#"{"x-key":[]}"#, r#"{"x-key":["a","a"]}"#, r#"{"x-key":7}"#] {
        assert!(matches!(problem(wrong).1, SchemaProblem::Form { keyword: "x-key", .. }));
    }
}

/// Returns values of few shapes, so that schemas match them.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3_i64..4).prop_map(Value::Int),
        (-6_i32..7).prop_map(|half| Value::Float(f64::from(half) / 2.0)),
        "[ab]{0,3}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            proptest::collection::btree_map("[ab]", inner, 0..3).prop_map(Value::Map),
        ]
    })
}

/// Returns schemas over the same few shapes.
fn any_schema() -> impl Strategy<Value = Value> {
    let name = || proptest::sample::select(vec!["a", "b"]);
    let keyword = |name: &'static str, value: Value| Value::from_iter([(name, value)]);
    let numeric = proptest::sample::select(vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]);
    let counted = proptest::sample::select(vec![
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    ]);
    let types = vec!["null", "boolean", "integer", "number", "string", "array", "object"];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        proptest::sample::select(types).prop_map(move |of| keyword("type", of.into())),
        any_value().prop_map(move |of| keyword("const", of)),
        proptest::collection::vec(any_value(), 1..3).prop_map(move |of| keyword("enum", Value::List(of))),
        (numeric, -2_i64..3).prop_map(move |(name, of)| keyword(name, of.into())),
        (counted, 0_i64..3).prop_map(move |(name, of)| keyword(name, of.into())),
        (1_i32..4).prop_map(move |half| keyword("multipleOf", Value::Float(f64::from(half) / 2.0))),
        "[ab^$*+]{0,3}"
            .prop_filter("a pattern", |of| crate::query::Pattern::new(of, "").is_ok())
            .prop_map(move |of| keyword("pattern", of.into())),
        any::<bool>().prop_map(move |of| keyword("uniqueItems", Value::Bool(of))),
        name().prop_map(move |of| keyword("required", Value::List(vec![of.into()]))),
        (name(), name()).prop_map(move |(a, b)| {
            keyword("dependentRequired", Value::from_iter([(a, Value::List(vec![b.into()]))]))
        }),
        Just(keyword("$ref", "#/$defs/a".into())),
    ];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..3).prop_map(Value::List);
        let named = proptest::collection::btree_map("[ab]", inner.clone(), 1..3).prop_map(Value::Map);
        let one = proptest::sample::select(vec!["not", "items", "additionalProperties", "propertyNames"]);
        let several = proptest::sample::select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]);
        prop_oneof![
            (one, inner.clone()).prop_map(move |(name, of)| keyword(name, of)),
            (several, list).prop_map(move |(name, of)| keyword(name, of)),
            (proptest::sample::select(vec!["properties", "dependentSchemas", "patternProperties"]), named)
                .prop_map(move |(name, of)| keyword(name, of)),
            (inner.clone(), 0_i64..2, 1_i64..3).prop_map(|(of, min, max)| Value::from_iter([
                ("contains", of),
                ("minContains", min.into()),
                ("maxContains", max.into())
            ])),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(test, then, otherwise)| Value::from_iter([
                ("if", test),
                ("then", then),
                ("else", otherwise)
            ])),
            // Two keywords side by side.
            (inner.clone(), inner).prop_map(|(a, b)| match (a, b) {
                (Value::Map(mut a), Value::Map(b)) => {
                    a.extend(b);
                    Value::Map(a)
                }
                (a, _) => a,
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_those_of_another_implementation(of in any_schema(), defined in any_schema(), values in proptest::collection::vec(any_value(), 4)) {
        let mut of = of;
        if let Value::Map(members) = &mut of {
            members.insert("$defs".to_owned(), Value::from_iter([("a", defined)]));
        }
        let Ok(ours) = Schema::new(&of) else { return Ok(()) };
        // Some patterns are valid in Rust's dialect only.
        let Ok(theirs) = jsonschema::draft202012::new(&to_json(&of)) else { return Ok(()) };
        for value in values {
            let expected = theirs.is_valid(&to_json(&value));
            prop_assert_eq!(ours.is_valid(&value, None), expected, "{} on {}", ours.text(), json::to_string(&value));
            prop_assert_eq!(ours.violations(&value, None).is_empty(), expected, "{}", ours.text());
        }
    }

    #[test]
    fn no_input_makes_a_schema_panic(of in crate::json::tests::any_json(), on in any_value()) {
        if let Ok(schema) = Schema::new(&of) {
            let mut completed = on.clone();
            schema.complete(&mut completed);
            prop_assert_eq!(schema.violations(&on, None).is_empty(), schema.is_valid(&on, None));
            prop_assert_eq!(Schema::from_text(schema.text()), Some(schema));
        }
    }
}
