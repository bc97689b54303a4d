//! Schemas of collections.

use super::*;

#[tokio::test]
async fn a_schema_is_declared_kept_and_taken_away() {
    let world = World::new().await;
    let path = "collections/towns/schema";
    world.call("GET", path, ()).await.failed("not_found");
    world.call("PUT", "collections/towns/docs/a", json!({ "pop": "many" })).await.ok(201);
    let schema = json!({ "type": "object", "properties": { "pop": { "type": "integer" } }, "required": ["pop"] });
    let dry = world.call("PUT", &format!("{path}?dryRun=true"), schema.clone()).await.ok(200);
    assert_eq!((&dry["documents"], &dry["invalid"], &dry["examples"][0]["key"]), (&json!(1), &json!(1), &json!("a")));
    assert_eq!(dry["examples"][0]["violations"][0]["pointer"], "/pop");
    world.call("PUT", path, schema.clone()).await.failed("schema_violation");
    world.call("PUT", &format!("{path}?force=true"), schema.clone()).await.ok(200);
    assert_eq!(world.call("GET", path, ()).await.ok(200), json!({ "number": 1, "schema": schema }));
    assert_eq!(world.call("POST", &format!("{path}/check"), ()).await.ok(200)["invalid"], 1);
    let page = world.call("GET", "collections/towns/docs?fields=pop,$valid", ()).await.ok(200);
    assert!(page["docs"][0].get("valid").is_some() || page["docs"][0]["value"].get("$valid").is_some(), "{page}");
    let refused = world.call("PUT", "collections/towns/docs/b", json!({})).await.failed("schema_violation");
    assert_eq!((&refused["errors"][0]["keyword"], &refused["errors"][0]["pointer"]), (&json!("required"), &json!("")));
    let merge = [("content-type", "application/merge-patch+json")];
    world.with("PATCH", "collections/towns/docs/a", &merge, json!({ "pop": 1 })).await.ok(200);
    world.with("PATCH", "collections/towns/docs/a", &merge, json!({ "pop": null })).await.failed("schema_violation");
    world.call("PUT", path, json!({ "typ": "object" })).await.failed("bad_schema");
    world.call("PUT", &format!("{path}?farce=true"), json!({})).await.failed("bad_request");
    world.call("DELETE", path, ()).await.ok(204);
    world.call("PUT", "collections/towns/docs/b", json!({})).await.ok(201);
}

#[tokio::test]
async fn a_key_that_the_schema_makes_is_had_once() {
    let world = World::new().await;
    let schema = json!({ "type": "object", "x-key": ["zip"], "properties": { "zip": { "type": "string" } } });
    world.call("PUT", "collections/towns/schema", schema).await.ok(200);
    let made = world.call("POST", "collections/towns/docs", json!({ "zip": "01001", "n": 1 })).await.ok(201);
    assert_eq!(made["key"], "01001");
    world.call("POST", "collections/towns/docs", json!({ "zip": "01001", "n": 2 })).await.failed("conflict");
    assert_eq!(world.call("GET", "collections/towns/docs/01001", ()).await.ok(200)["n"], 1);
}
