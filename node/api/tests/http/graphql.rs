//! GraphQL queries and writes, and the reasons to refuse them. `graphql_live.rs` tests subscriptions.

use super::*;

/// The schema of towns.
pub(super) fn schema() -> Value {
    json!({ "type": "object", "required": ["name"], "properties": {
        "name": { "type": "string" },
        "state": { "type": "string" },
        "pop": { "type": "integer" },
        "area": { "type": "number" },
        "tags": { "type": "array", "items": { "type": ["string", "null"] } },
        "loc": { "type": "object", "properties": { "lat": { "type": "number" } } },
        "extra": {},
    } })
}

/// Returns a world with towns, which have a schema, and notes, which have none.
async fn towns() -> World {
    let world = World::new().await;
    world.call("PUT", "collections/towns/schema", schema()).await.ok(200);
    for (key, doc) in [
        ("a", json!({ "name": "Albany", "state": "NY", "pop": 99, "area": 21.9, "tags": ["old", null, "capital"] })),
        ("b", json!({ "name": "Buffalo", "state": "NY", "pop": 278, "loc": { "lat": 42.9 } })),
        ("d", json!({ "name": "Dover", "state": "DE", "pop": 39, "extra": { "deep": [1, { "x": null }] } })),
    ] {
        world.call("PUT", &format!("collections/towns/docs/{key}"), doc).await.ok(201);
    }
    world.call("PUT", "collections/notes/docs/n", json!({ "text": "hello", "n": 7 })).await.ok(201);
    world
}

impl World {
    /// Sends a request and returns the whole answer.
    pub(super) async fn graphql(&self, query: &str, variables: Value) -> Value {
        self.call("POST", "/graphql", json!({ "query": query, "variables": variables })).await.ok(200)
    }

    /// Sends a request that succeeds, and returns the data.
    async fn data(&self, query: &str) -> Value {
        let mut answer = self.graphql(query, json!({})).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].take()
    }

    /// Sends a request that fails, and returns the code of its only error.
    async fn refused(&self, query: &str) -> String {
        let answer = self.graphql(query, json!({})).await;
        let [error] = &answer["errors"].as_array().expect("errors")[..] else { panic!("{query}: {answer}") };
        error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{query}: {answer}")).to_owned()
    }
}

#[tokio::test]
async fn documents_are_read_by_page_and_by_key() {
    let world = towns().await;
    let query = "{ towns(where: { state: { _eq: \"NY\" } }, order_by: [{ pop: desc }]) { \
                 docs { _key name pop area tags loc { lat } extra } bookmark warning behind } }";
    assert_eq!(
        world.data(query).await["towns"],
        json!({ "docs": [
            { "_key": "b", "name": "Buffalo", "pop": 278, "area": null, "tags": null, "loc": { "lat": 42.9 }, "extra": null },
            { "_key": "a", "name": "Albany", "pop": 99, "area": 21.9, "tags": ["old", null, "capital"], "loc": null, "extra": null },
        ], "bookmark": null, "warning": "no_index", "behind": 0 })
    );
    let one = world
        .data("{ towns_by_pk(key: \"d\") { _id _version _value extra } none: towns_by_pk(key: \"x\") { _id } }")
        .await;
    let rest = world.call("GET", "collections/towns/docs/d", ()).await;
    assert_eq!((&one["towns_by_pk"]["_value"], &one["none"]), (&rest.json(), &Value::Null));
    assert_eq!(one["towns_by_pk"]["extra"], json!({ "deep": [1, { "x": null }] }));
    assert_eq!(one["towns_by_pk"]["_id"], rest.header("cosmic-id"));
    assert_eq!(format!("\"{}\"", one["towns_by_pk"]["_version"].as_str().expect("text")), rest.header("etag"));
    let id = format!(
        "{{ towns_by_pk(key: \"~{}\") {{ name }} notes_by_pk(key: \"~{}\") {{ _key }} }}",
        rest.header("cosmic-id"),
        rest.header("cosmic-id")
    );
    assert_eq!(world.data(&id).await, json!({ "towns_by_pk": { "name": "Dover" }, "notes_by_pk": null }));
    // A bookmark leads to the next page.
    let first = world.data("{ towns(limit: 2, order_by: { name: asc }) { docs { name } bookmark } }").await;
    assert_eq!(first["towns"]["docs"], json!([{ "name": "Albany" }, { "name": "Buffalo" }]));
    let query =
        "query($b: String) { towns(limit: 2, order_by: { name: asc }, bookmark: $b) { docs { name } bookmark } }";
    let second = world.graphql(query, json!({ "b": first["towns"]["bookmark"] })).await;
    assert_eq!(second["data"]["towns"], json!({ "docs": [{ "name": "Dover" }], "bookmark": null }));
}

#[tokio::test]
async fn a_collection_without_a_schema_takes_selectors() {
    let world = towns().await;
    let query = "query($s: Json) { notes(where: $s, order_by: [\"-n\"]) { docs { _key _value } } }";
    let answer = world.graphql(query, json!({ "s": { "n": { "$gt": 1 } } })).await;
    assert_eq!(answer["data"]["notes"]["docs"], json!([{ "_key": "n", "_value": { "text": "hello", "n": 7 } }]));
    let none = world.data("{ notes(where: { n: 8 }) { docs { _key } } }").await;
    assert_eq!(none["notes"]["docs"], json!([]));
    let made =
        world.data("mutation { insert_notes_one(object: { a: [1, null] }) { key created doc { _value } } }").await;
    assert_eq!(
        made["insert_notes_one"],
        json!({ "key": null, "created": true, "doc": { "_value": { "a": [1, null] } } })
    );
}

#[tokio::test]
async fn conditions_find_what_selectors_find() {
    let world = towns().await;
    for (condition, selector) in [
        ("{}", json!({})),
        ("{ pop: { _gte: 39, _lt: 99 } }", json!({ "pop": { "$gte": 39, "$lt": 99 } })),
        (
            "{ _or: [{ name: { _regex: \"^A\" } }, { _key: { _eq: \"d\" } }] }",
            json!({ "$or": [{ "name": { "$regex": "^A" } }, { "$key": "d" }] }),
        ),
        ("{ _not: { state: { _in: [\"NY\"] } } }", json!({ "$not": { "state": { "$in": ["NY"] } } })),
        ("{ loc: { lat: { _is_null: true } } }", json!({ "loc.lat": null })),
        ("{ tags: { _contains: [\"old\"] } }", json!({ "tags": { "$all": ["old"] } })),
        ("{ tags: { _elem: { _gt: \"o\" } } }", json!({ "tags": { "$elemMatch": { "$gt": "o" } } })),
        ("{ extra: { _neq: null } }", json!(null)),
        ("{ extra: { _is_null: false } }", json!({ "extra": { "$ne": null } })),
        ("{ _valid: { _eq: true } }", json!({ "$valid": true })),
        ("{ _selector: { pop: { _mod: 1 } } }", json!({ "pop": { "_mod": 1 } })),
    ] {
        let query = format!("{{ towns(where: {condition}) {{ docs {{ _key }} }} }}");
        if selector.is_null() {
            assert_eq!(world.refused(&query).await, "bad_selector", "{condition}");
            continue;
        }
        let found = world.data(&query).await;
        let keys = |docs: &Value, name: &str| {
            docs.as_array().expect("docs").iter().map(|doc| doc[name].clone()).collect::<Vec<_>>()
        };
        let rest = world.call("POST", "collections/towns/find", json!({ "selector": selector })).await.ok(200);
        assert_eq!(keys(&found["towns"]["docs"], "_key"), keys(&rest["docs"], "key"), "{condition}");
    }
}

#[tokio::test]
async fn documents_are_written_under_conditions() {
    let world = towns().await;
    let insert = "mutation { insert_towns_one(key: \"n\", object: { name: \"Newark\", pop: 311, loc: { lat: 40.7 } }) \
                  { id key version created doc { name loc { lat } } } }";
    let made = world.data(insert).await["insert_towns_one"].take();
    assert_eq!((&made["key"], &made["created"]), (&json!("n"), &json!(true)));
    assert_eq!(made["doc"], json!({ "name": "Newark", "loc": { "lat": 40.7 } }));
    assert_eq!(world.refused(insert).await, "exists");
    let update = |version: &Value| {
        format!(
            "mutation {{ update_towns_by_pk(key: \"n\", patch: {{ pop: 312, loc: null }}, if_version: {version}) {{ version created doc {{ _value }} }} }}"
        )
    };
    let updated = world.data(&update(&made["version"])).await["update_towns_by_pk"].take();
    assert_eq!(
        (&updated["doc"]["_value"], &updated["created"]),
        (&json!({ "name": "Newark", "pop": 312 }), &json!(false))
    );
    for version in [&made["version"], &json!("absent"), &json!("0123")] {
        assert_eq!(world.refused(&update(version)).await, "version_mismatch", "{version}");
    }
    let put =
        "mutation { put_towns_by_pk(key: \"n\", object: { name: \"N\", tags: [\"x\"] }) { created doc { _value } } }";
    assert_eq!(
        world.data(put).await["put_towns_by_pk"],
        json!({ "created": false, "doc": { "_value": { "name": "N", "tags": ["x"] } } })
    );
    let delete = "mutation { delete_towns_by_pk(key: \"n\") { key doc { _id } } }";
    assert_eq!(world.data(delete).await["delete_towns_by_pk"], json!({ "key": "n", "doc": null }));
    assert_eq!(world.refused("mutation { update_towns_by_pk(key: \"none\", patch: {}) { key } }").await, "not_found");
    // A schema may derive the key.
    let books = json!({ "x-key": ["isbn"], "properties": { "isbn": { "type": "string" } } });
    world.call("PUT", "collections/books/schema", books).await.ok(200);
    let book = "mutation { insert_books_one(object: { isbn: \"9\" }) { key created } }";
    assert_eq!(world.data(book).await["insert_books_one"], json!({ "key": "9", "created": true }));
    assert_eq!(world.refused(book).await, "exists");
    // A violation names the place and the reason, and the writes before it remain.
    let two = "mutation { a: update_towns_by_pk(key: \"a\", patch: { pop: 100 }) { key } b: insert_towns_one(object: {}) { key } }";
    let answer = world.graphql(two, json!({})).await;
    assert_eq!(answer["data"], json!({ "a": { "key": "a" }, "b": null }));
    let error = &answer["errors"][0];
    assert_eq!((&error["path"], &error["extensions"]["code"]), (&json!(["b"]), &json!("schema_violation")));
    assert_eq!(error["extensions"]["errors"][0]["keyword"], "required");
}

#[tokio::test]
async fn documents_are_counted_and_grouped() {
    let world = towns().await;
    let query = "{ towns_aggregate(group_by: \"state\") { count sum(field: \"pop\") least: min(field: \"name\") \
                 groups { value count average(field: \"pop\") } } \
                 some: towns_aggregate(where: { pop: { _gt: 50 } }) { count } \
                 notes_aggregate(where: { n: 7 }) { max(field: \"n\") } }";
    assert_eq!(
        world.data(query).await,
        json!({
            "towns_aggregate": { "count": 3, "sum": 416, "least": "Albany", "groups": [
                { "value": "DE", "count": 1, "average": 39.0 }, { "value": "NY", "count": 2, "average": 188.5 },
            ] },
            "some": { "count": 2 },
            "notes_aggregate": { "max": 7 },
        })
    );
    assert_eq!(world.refused("{ towns_aggregate { groups { count } } }").await, "bad_query");
}

#[tokio::test]
async fn the_schema_is_that_of_the_moment() {
    let world = towns().await;
    let read = "{ towns { docs { mayor } } }";
    assert_eq!(world.refused(read).await, "bad_query");
    let mut changed = schema();
    changed["properties"]["mayor"] = json!({ "type": "string" });
    world.call("PUT", "collections/towns/schema", changed).await.ok(200);
    assert_eq!(world.data(read).await["towns"]["docs"].as_array().map(Vec::len), Some(3));
    world.call("PUT", "collections/zip-codes/docs/1", json!({})).await.ok(201);
    assert_eq!(
        world.data("{ zip_codes { docs { _key } } }").await,
        json!({ "zip_codes": { "docs": [{ "_key": "1" }] } })
    );
    let listed = world.data("{ _collections { collection field type members } }").await;
    let names: Vec<&Value> =
        listed["_collections"].as_array().expect("a list").iter().map(|one| &one["type"]).collect();
    assert_eq!(names, ["Notes", "Towns", "ZipCodes"]);
    let sdl = world.call("GET", "/graphql/schema", ()).await;
    assert_eq!(sdl.header("content-type"), "application/graphql; charset=utf-8");
    for line in ["type Towns {", "input TownsWhere {", "scalar Int64", "): TownsPage"] {
        assert!(sdl.text().contains(line), "{line}:\n{}", sdl.text());
    }
    world.call("DELETE", "collections/towns/schema", ()).await.ok(204);
    assert_eq!(world.refused(read).await, "bad_query");
    // A value left by a merge or an older schema does not break an answer.
    world
        .call("PUT", "collections/towns/docs/odd", json!({ "name": 7, "tags": ["x", 1], "loc": "here", "pop": 1.5 }))
        .await
        .ok(201);
    world.call("PUT", "collections/towns/schema?force=true", schema()).await.ok(200);
    let odd = world.data("{ towns_by_pk(key: \"odd\") { name tags loc { lat } pop _value } towns(where: { _valid: { _eq: false } }) { docs { _key } } }").await;
    assert_eq!(odd["towns_by_pk"]["_value"]["name"], 7);
    assert_eq!((&odd["towns_by_pk"]["name"], &odd["towns_by_pk"]["tags"]), (&Value::Null, &json!(["x", null])));
    assert_eq!((&odd["towns_by_pk"]["loc"], &odd["towns_by_pk"]["pop"]), (&Value::Null, &Value::Null));
    assert_eq!(odd["towns"]["docs"], json!([{ "_key": "odd" }]));
}

#[tokio::test]
async fn spaces_and_tokens_are_those_of_rest() {
    let world = towns().await;
    let asked = || json!({ "query": "{ notes { docs { _key } } }" });
    let named = world.call("POST", "/v1/spaces/home/graphql", asked()).await.ok(200);
    assert_eq!(named, world.call("POST", "/v1/spaces/-/graphql", asked()).await.ok(200));
    world.call("POST", "/v1/spaces/nowhere/graphql", asked()).await.failed("not_found");
    world.send("", "POST", "/graphql", &[], asked()).await.failed("unauthenticated");
    world.send("", "GET", "/graphql/schema", &[], ()).await.failed("unauthenticated");
    world.send("", "GET", "/v1/spaces/-/collections/graphql", &[], ()).await.failed("unauthenticated");
    let write = json!({ "query": "mutation { delete_notes_by_pk(key: \"n\") { key } }" });
    let refused = world.send(&world.read, "POST", "/graphql", &[], write).await.ok(200);
    assert_eq!(
        (&refused["errors"][0]["extensions"]["code"], &refused["data"]["delete_notes_by_pk"]),
        (&json!("forbidden"), &Value::Null)
    );
    let large = world.graphql("{ notes(limit: 5000) { bookmark } }", json!({})).await;
    assert!(large["errors"][0]["extensions"]["next"].is_string(), "{large}");
    world.send(&world.read, "POST", "/graphql", &[], asked()).await.ok(200);
    // A space without collections has a schema, too.
    let empty = World::new().await;
    assert_eq!(
        empty.data("{ _collections { field } __typename }").await,
        json!({ "_collections": [], "__typename": "Query" })
    );
}

#[tokio::test]
async fn rules_hold_here_too() {
    let world = towns().await;
    let tokens = accounts::roles(&world).await;
    let (editor, viewer) = (tokens[2].1.as_str(), tokens[3].1.as_str());
    world.call("PUT", "collections/notes/rules", accounts::rules()).await.ok(200);
    let asked = async |token: &str, query: &str| {
        world.send(token, "POST", "/graphql", &[], json!({ "query": query })).await.ok(200)
    };
    let write = "mutation { insert_notes_one(key: \"e\", object: { by: \"editor\" }) { key doc { _value } } }";
    let made = asked(editor, write).await;
    assert_eq!(made["data"]["insert_notes_one"], json!({ "key": "e", "doc": { "_value": { "by": "editor" } } }));
    assert_eq!(asked(viewer, write).await["errors"][0]["extensions"]["code"], "forbidden");
    let read =
        "{ _collections { field } notes { docs { _key } } notes_by_pk(key: \"n\") { _key } notes_aggregate { count } }";
    let expected = json!({
        // The collection of towns has no rules, so it is locked and not part of the schema.
        "_collections": [{ "field": "notes" }], "notes": { "docs": [{ "_key": "e" }] }, "notes_by_pk": null, "notes_aggregate": { "count": 1 },
    });
    assert_eq!(asked(editor, read).await["data"], expected);
    assert_eq!(asked(editor, "{ towns { docs { _key } } }").await["errors"][0]["extensions"]["code"], "bad_query");
}

#[tokio::test]
async fn what_asks_too_much_is_refused() {
    let world = towns().await;
    for (query, code) in [
        ("{", "bad_query"),
        ("{ nothing }", "bad_query"),
        ("{ towns(where: { pop: { _eq: \"x\" } }) { bookmark } }", "bad_query"),
        ("{ towns(where: { pop: { _eq: 1.5 } }) { bookmark } }", "bad_query"),
        ("{ towns(where: { pop: { _like: 1 } }) { bookmark } }", "bad_query"),
        ("{ towns(order_by: [{ pop: sideways }]) { bookmark } }", "bad_query"),
        ("{ towns(order_by: [{ pop: asc, name: asc }]) { bookmark } }", "bad_selector"),
        ("{ towns(where: { _selector: { name: { _x: 1 }, b: 1 } }, limit: 0) { bookmark } }", "bad_request"),
        ("{ towns(limit: 1001) { bookmark } }", "bad_request"),
        ("{ towns(bookmark: \"x\") { bookmark } }", "bookmark_invalid"),
        ("{ notes(where: { n: { x: 1 }, m: [] }, order_by: 7) { bookmark } }", "bad_selector"),
        ("{ towns(where: { name: { _regex: \"(\" } }) { bookmark } }", "bad_selector"),
        ("query a { notes { bookmark } } query b { notes { bookmark } }", "bad_query"),
        ("subscription { notes { _key } }", "bad_query"),
    ] {
        assert_eq!(world.refused(query).await, code, "{query}");
    }
    let wide: String = (0..500).map(|at| format!("f{at}: _key ")).collect();
    assert_eq!(world.refused(&format!("{{ notes {{ docs {{ {wide} }} }} }}")).await, "too_complex");
    assert_eq!(world.refused(&"{ a".repeat(30_000)).await, "too_complex");
    assert_eq!(world.refused(&" ".repeat(200_000)).await, "too_large");
    let many: String = (0..1000).map(|at| format!("a{at}: 1 ")).collect();
    let answer = world.graphql(&format!("{{ notes({many}) {{ bookmark }} }}"), json!({})).await;
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(100));
    // One document of 200 kB, requested a hundred times.
    world.call("PUT", "collections/notes/docs/big", json!({ "text": "x".repeat(200_000) })).await.ok(201);
    let often: String = (0..100).map(|at| format!("f{at}: _value ")).collect();
    let answer = world.graphql(&format!("{{ notes {{ docs {{ {often} }} }} }}"), json!({})).await;
    assert_eq!((&answer["data"], &answer["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("too_large")));
    world.call("POST", "/graphql", json!([{ "query": "{ __typename }" }])).await.failed("bad_json");
    world.call("POST", "/graphql", "{\"query\":\"{ __typename }\",\"query\":\"\"}").await.failed("bad_json");
    let large = json!({ "query": "{ __typename }", "variables": { "a": "x".repeat(1 << 20) } });
    world.call("POST", "/graphql", large).await.failed("too_large");
    world.call("GET", "/graphql", ()).await.failed("upgrade_required");
    world.call("PUT", "/graphql", json!({})).await.failed("method_not_allowed");
}

/// The first request of GraphiQL (graphql-js 16).
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name } \
    types { ...FullType } directives { name description locations args { ...InputValue } } } } \
    fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description args { ...InputValue } \
    type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue } interfaces { ...TypeRef } \
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } } \
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";

#[tokio::test]
async fn graphiql_can_load_the_schema() {
    let world = towns().await;
    let schema = world.data(INTROSPECTION).await;
    let types = schema["__schema"]["types"].as_array().expect("types");
    let towns = types.iter().find(|one| one["name"] == "Towns").expect("it is there");
    let fields: Vec<&Value> = towns["fields"].as_array().expect("fields").iter().map(|field| &field["name"]).collect();
    assert_eq!(fields, ["_id", "_key", "_version", "_value", "area", "extra", "loc", "name", "pop", "state", "tags"]);
}
