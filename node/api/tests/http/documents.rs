//! Documents and their versions.

use super::*;

const DOC: &str = "collections/towns/docs/t0";

#[tokio::test]
async fn a_document_is_put_read_and_deleted() {
    let world = World::new().await;
    let made = world.call("PUT", DOC, json!({ "name": "Dover", "pop": 39 })).await;
    let written = made.ok(201);
    assert_eq!(
        (&written["created"], &written["key"], &written["collection"]),
        (&json!(true), &json!("t0"), &json!("towns"))
    );
    assert_eq!(made.header("etag"), format!("\"{}\"", written["version"].as_str().expect("text")));
    assert_eq!(made.header("cosmic-id"), written["id"]);
    let read = world.call("GET", DOC, ()).await;
    assert_eq!(read.ok(200), json!({ "name": "Dover", "pop": 39 }));
    assert_eq!((read.header("etag"), read.header("cosmic-id")), (made.header("etag"), made.header("cosmic-id")));
    let head = world.call("HEAD", DOC, ()).await;
    assert_eq!((head.status.as_u16(), head.bytes.len(), head.header("etag")), (200, 0, made.header("etag")));
    let by_id = format!("collections/towns/docs/~{}", made.header("cosmic-id"));
    assert_eq!(world.call("GET", &by_id, ()).await.ok(200)["name"], "Dover");
    assert_eq!(world.call("PUT", DOC, json!({ "name": "Dover", "pop": 40 })).await.ok(200)["created"], false);
    let deleted = world.call("DELETE", &by_id, ()).await;
    assert_eq!((deleted.status.as_u16(), deleted.bytes.len()), (204, 0));
    for path in [DOC, &by_id] {
        world.call("GET", path, ()).await.failed("gone");
    }
    assert_eq!(world.call("HEAD", DOC, ()).await.status.as_u16(), 410);
    let back = world.call("POST", &format!("{DOC}/undelete"), ()).await;
    back.ok(200);
    assert_eq!(world.call("GET", DOC, ()).await.ok(200)["pop"], 40);
}

#[tokio::test]
async fn a_document_without_a_key_is_found_where_the_answer_says() {
    let world = World::new().await;
    let made = world.call("POST", "collections/towns/docs", json!({ "name": "Dover" })).await;
    made.ok(201);
    let place = made.header("location").to_owned();
    assert!(place.starts_with("/v1/spaces/-/collections/towns/docs/~"), "{place}");
    assert_eq!(world.call("GET", &place, ()).await.ok(200), json!({ "name": "Dover" }));
    let renamed = place.replace("/towns/", "/cities/");
    for method in ["GET", "DELETE"] {
        world.call(method, &renamed, ()).await.failed("not_found");
    }
    world.call("PUT", &renamed, json!({})).await.failed("not_found");
    assert_eq!(world.call("GET", &place, ()).await.ok(200), json!({ "name": "Dover" }));
}

#[tokio::test]
async fn keys_may_have_any_character_and_collections_no_slash() {
    let world = World::new().await;
    for key in ["a%2Fb", "%C3%A9%20%3F%23", "%25", "~x", "%2E%2E"] {
        let path = format!("collections/t%C3%B6wns/docs/{key}");
        world.call("PUT", &path, json!({ "key": key })).await.ok(201);
        assert_eq!(world.call("GET", &path, ()).await.ok(200)["key"], key);
    }
    assert_eq!(world.call("GET", "collections", ()).await.ok(200)["collections"][0]["name"], "töwns");
    for collection in ["a%2Fb", "_collections", "_schemas"] {
        world.call("PUT", &format!("collections/{collection}/docs/k"), json!({})).await.failed("bad_name");
    }
    world.call("PUT", &format!("collections/towns/docs/{}", "k".repeat(256)), json!({})).await.failed("bad_name");
    world.call("GET", "collections/towns/docs/%FF", ()).await.failed("bad_request");
}

#[tokio::test]
async fn conditions_keep_what_somebody_else_wrote() {
    let world = World::new().await;
    let absent = [("if-none-match", "*")];
    let first = world.with("PUT", DOC, &absent, json!({ "n": 1 })).await;
    first.ok(201);
    let first = first.header("etag").to_owned();
    world.with("PUT", DOC, &absent, json!({ "n": 2 })).await.failed("exists");
    let second = world.with("PUT", DOC, &[("if-match", &first)], json!({ "n": 2 })).await;
    second.ok(200);
    let second = second.header("etag").to_owned();
    assert_ne!(first, second);
    let stale = [("if-match", first.as_str())];
    world.with("PUT", DOC, &stale, json!({ "n": 3 })).await.failed("version_mismatch");
    let merge = [stale[0], ("content-type", "application/merge-patch+json")];
    world.with("PATCH", DOC, &merge, json!({ "n": 3 })).await.failed("version_mismatch");
    world.with("DELETE", DOC, &stale, ()).await.failed("version_mismatch");
    let weak = format!("W/{second}");
    world.with("DELETE", DOC, &[("if-match", &weak)], ()).await.failed("version_mismatch");
    let several = format!("{first}, {second}");
    world.with("PUT", DOC, &[("if-match", &several)], json!({ "n": 4 })).await.ok(200);
    world.with("PUT", "collections/towns/docs/none", &[("if-match", "*")], json!({})).await.failed("version_mismatch");
    world.with("PUT", "collections/towns/docs/none", &stale, json!({})).await.failed("version_mismatch");
    let elsewhere = "/v1/spaces/nowhere/collections/towns/docs/t0";
    world.with("PUT", elsewhere, &[("if-match", "*")], json!({})).await.failed("not_found");
    world.with("PUT", DOC, &[("if-none-match", &first)], json!({})).await.failed("bad_request");
    assert_eq!(world.call("GET", DOC, ()).await.ok(200), json!({ "n": 4 }));
}

#[tokio::test]
async fn a_client_that_has_a_version_is_not_sent_it_again() {
    let world = World::new().await;
    let version = world.call("PUT", DOC, json!({ "n": 1 })).await.header("etag").to_owned();
    for tag in [version.clone(), format!("\"x\", W/{version}"), "*".to_owned()] {
        let answer = world.with("GET", DOC, &[("if-none-match", &tag)], ()).await;
        assert_eq!((answer.status.as_u16(), answer.bytes.len(), answer.header("etag")), (304, 0, version.as_str()));
    }
    world.call("PUT", DOC, json!({ "n": 2 })).await.ok(200);
    world.with("GET", DOC, &[("if-none-match", &version)], ()).await.ok(200);
}

#[tokio::test]
async fn patches_of_three_kinds() {
    let world = World::new().await;
    world
        .call("PUT", DOC, json!({ "name": "Dover", "pop": 39, "tags": ["a"], "body": { "$text": "sea" } }))
        .await
        .ok(201);
    let kinds =
        ["application/merge-patch+json", "application/json-patch+json", "application/vnd.cosmicsync.changes+json"];
    let [merge, json_patch, changes] = kinds.map(|kind| [("content-type", kind)]);
    world.with("PATCH", DOC, &merge, json!({ "pop": null, "state": "DE" })).await.ok(200);
    let patch =
        json!([{ "op": "test", "path": "/state", "value": "DE" }, { "op": "add", "path": "/tags/-", "value": "b" }]);
    world.with("PATCH", DOC, &json_patch, patch).await.ok(200);
    let list = json!([
        { "op": "splice", "path": "body", "at": 0, "insert": "by the " },
        { "op": "add", "path": "visits", "by": 2 },
        { "op": "insert", "path": "tags", "index": 0, "values": ["first"] },
        { "op": "set", "path": "name", "value": "Dover, DE" },
        { "op": "remove", "path": "state" },
    ]);
    world.with("PATCH", DOC, &changes, list).await.ok(200);
    let expected = json!({ "name": "Dover, DE", "tags": ["first", "a", "b"], "body": "by the sea", "visits": 2 });
    assert_eq!(world.call("GET", DOC, ()).await.ok(200), expected);
    for (kind, body, code) in [
        (&merge, json!([]), "bad_patch"),
        (&json_patch, json!({}), "bad_patch"),
        (&json_patch, json!([{ "op": "test", "path": "/name", "value": "x" }]), "bad_patch"),
        (&json_patch, json!([{ "op": "jump", "path": "/name" }]), "bad_patch"),
        (&changes, json!([{ "op": "splice", "path": "body", "at": 99, "insert": "x" }]), "bad_patch"),
        (
            &changes,
            json!([{ "op": "set", "path": "name", "value": 1 }, { "op": "add", "path": "tags", "by": 1 }]),
            "bad_patch",
        ),
        (&changes, json!([{ "op": "jump" }]), "bad_json"),
        (&changes, json!({ "op": "set" }), "bad_json"),
    ] {
        world.with("PATCH", DOC, kind, body).await.failed(code);
    }
    world.call("PATCH", DOC, json!({})).await.failed("unsupported_media_type");
    // The refused writes changed nothing.
    assert_eq!(world.call("GET", DOC, ()).await.ok(200), expected);
    world.with("PATCH", "collections/towns/docs/none", &merge, json!({})).await.failed("not_found");
}

#[tokio::test]
async fn versions_are_listed_read_compared_and_restored() {
    let world = World::new().await;
    let first = world.call("PUT", DOC, json!({ "n": 1 })).await.ok(201)["version"].as_str().expect("text").to_owned();
    let second = world.call("PUT", DOC, json!({ "n": 2 })).await.ok(200)["version"].as_str().expect("text").to_owned();
    let history = world.call("GET", &format!("{DOC}/history"), ()).await.ok(200);
    let seen: Vec<_> = history["entries"].as_array().expect("entries").iter().map(|entry| &entry["version"]).collect();
    assert_eq!(seen, [&json!(second), &json!(first)]);
    assert_eq!((&history["entries"][1]["kind"], &history["more"]), (&json!("created"), &json!(0)));
    assert_eq!(world.call("GET", &format!("{DOC}/history?limit=1"), ()).await.ok(200)["more"], 1);
    let at = world.call("GET", &format!("{DOC}/versions/{first}"), ()).await.ok(200);
    assert_eq!(at, json!({ "version": first, "value": { "n": 1 } }));
    let diff = world.call("GET", &format!("{DOC}/diff?from={first}&to={second}"), ()).await.ok(200);
    assert_eq!(diff["patch"], json!([{ "op": "replace", "path": "/n", "value": 2 }]));
    assert_eq!((&diff["before"], &diff["to"]), (&json!([1]), &json!(second)));
    // Any of several versions will do.
    let current = world.call("GET", DOC, ()).await.header("etag").to_owned();
    let several = format!("\"{}\", {current}", "a".repeat(32));
    let revert = json!({ "version": first });
    world.with("POST", &format!("{DOC}/revert"), &[("if-match", &several)], revert.clone()).await.ok(200);
    let reverted = world.call("GET", DOC, ()).await.header("etag").to_owned();
    let another = format!("\"{}\", \"{}\"", "a".repeat(32), "b".repeat(32));
    let refused = world.with("POST", &format!("{DOC}/revert"), &[("if-match", &another)], revert).await;
    refused.failed("version_mismatch");
    assert_eq!(world.call("GET", DOC, ()).await.header("etag"), reverted);
    assert_eq!(world.call("GET", DOC, ()).await.ok(200), json!({ "n": 1 }));
    assert_eq!(world.call("GET", &format!("{DOC}/conflicts"), ()).await.ok(200), json!({ "conflicts": [], "more": 0 }));
    for path in ["versions/ffffffff", "versions/x", "diff?from=ffffffff"] {
        world.call("GET", &format!("{DOC}/{path}"), ()).await.failed("not_found");
    }
    world.call("GET", &format!("{DOC}/diff"), ()).await.failed("bad_request");
    world.call("DELETE", DOC, ()).await.ok(204);
    assert_eq!(world.call("GET", &format!("{DOC}/history"), ()).await.ok(200)["entries"][0]["kind"], "deleted");
    let none = world.call("GET", "collections/towns/docs/none/history", ()).await;
    none.failed("not_found");
}

#[tokio::test]
async fn a_transaction_is_whole_or_not_at_all() {
    let world = World::new().await;
    let writes = json!({ "writes": [
        { "op": "put", "doc": "towns/a", "value": { "n": 1 }, "if": "absent" },
        { "op": "put", "doc": "towns", "value": { "n": 2 } },
        { "op": "put", "doc": "towns/c", "value": { "n": 3 } },
    ] });
    let done = world.call("POST", "transactions", writes.clone()).await.ok(200);
    assert_eq!(done["documents"].as_array().map(Vec::len), Some(3));
    assert!(done["documents"][1].get("key").is_none());
    // The first condition no longer holds.
    world.call("POST", "transactions", writes).await.failed("exists");
    let mixed = json!({ "writes": [
        { "op": "patch", "doc": "towns/a", "patch": { "n": 9 } },
        { "op": "change", "doc": "towns/c", "changes": [{ "op": "add", "path": "n", "by": 1 }], "if": "exists" },
        { "op": "delete", "doc": "towns/none" },
    ] });
    world.call("POST", "transactions", mixed).await.failed("not_found");
    assert_eq!(world.call("GET", "collections/towns/docs/a", ()).await.ok(200)["n"], 1);
    assert_eq!(world.call("POST", "collections/towns/count", json!({})).await.ok(200)["count"], 3);
    let version = world.call("GET", "collections/towns/docs/c", ()).await.header("etag").trim_matches('"').to_owned();
    let last = json!({ "writes": [
        { "op": "delete", "doc": "towns/a" },
        { "op": "revert", "doc": "towns/c", "version": version },
    ] });
    world.call("POST", "transactions", last).await.ok(200);
    world.call("POST", "transactions", json!({ "writes": [{ "op": "undelete", "doc": "towns/a" }] })).await.ok(200);
    for (writes, code) in [
        (json!([{ "op": "jump", "doc": "towns/a" }]), "bad_json"),
        (json!([{ "op": "delete", "doc": "towns/a", "why": 1 }]), "bad_json"),
        (json!([{ "op": "delete", "doc": "not an id" }]), "bad_json"),
        (json!([{ "op": "put", "doc": "_collections/towns", "value": {} }]), "bad_name"),
        (json!([{ "op": "put", "doc": "towns/a", "value": 7 }]), "bad_request"),
        (json!(vec![json!({ "op": "put", "doc": "towns", "value": {} }); 257]), "too_large"),
    ] {
        world.call("POST", "transactions", json!({ "writes": writes })).await.failed(code);
    }
}

#[tokio::test]
async fn a_request_under_a_key_is_carried_out_once() {
    let world = World::new().await;
    let key = [("idempotency-key", "order-1")];
    let first = world.with("POST", "collections/towns/docs", &key, json!({ "n": 1 })).await;
    let again = world.with("POST", "collections/towns/docs", &key, json!({ "n": 1 })).await;
    assert_eq!(first.ok(201)["id"], again.ok(201)["id"]);
    world.with("POST", "collections/towns/docs", &key, json!({ "n": 2 })).await.failed("idempotency_mismatch");
    // The same key on another route, or with another token, belongs to another request.
    world.with("POST", "collections/cities/docs", &key, json!({ "n": 2 })).await.ok(201);
    let other = token(&*world.node, Scope::Write, Some(60_000)).await;
    let theirs = world.send(&other, "POST", "collections/towns/docs", &key, json!({ "n": 1 })).await.ok(201);
    assert_ne!(theirs["id"], first.json()["id"]);
    let add = [key[0], ("content-type", "application/vnd.cosmicsync.changes+json")];
    world.call("PUT", DOC, json!({ "n": 0 })).await.ok(201);
    for _ in 0..3 {
        world.with("PATCH", DOC, &add, json!([{ "op": "add", "path": "n", "by": 1 }])).await.ok(200);
    }
    assert_eq!(world.call("GET", DOC, ()).await.ok(200)["n"], 1);
    let writes = json!({ "writes": [{ "op": "put", "doc": "towns", "value": {} }] });
    let one = world.with("POST", "transactions", &key, writes.clone()).await.ok(200);
    let two = world.with("POST", "transactions", &key, writes).await.ok(200);
    assert_eq!(one["documents"][0]["id"], two["documents"][0]["id"]);
    for wrong in ["", &"x".repeat(129)] {
        let key = [("idempotency-key", wrong)];
        world.with("POST", "collections/towns/docs", &key, json!({})).await.failed("bad_request");
    }
}

#[tokio::test]
async fn partitions_are_named_with_the_space() {
    let world = World::new().await;
    let make = Command::PartitionCreate { space: None, name: "work".to_owned() };
    request(&*world.node, make).await.expect("a partition");
    for space in ["-:work", "home:work"] {
        let path = format!("/v1/spaces/{space}/collections/towns/docs/{}", space.replace(':', "_"));
        world.call("PUT", &path, json!({ "n": 1 })).await.ok(201);
    }
    let count = |space: &str| format!("/v1/spaces/{space}/collections/towns/count");
    assert_eq!(world.call("POST", &count("home:work"), json!({})).await.ok(200)["count"], 2);
    assert_eq!(world.call("POST", &count("home"), json!({})).await.ok(200)["count"], 0);
    for unknown in ["nowhere", "-:nowhere", "home:nowhere"] {
        world.call("POST", &count(unknown), json!({})).await.failed("not_found");
    }
}
