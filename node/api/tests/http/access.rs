//! Tokens in front of every route.

use super::*;

/// Returns a request for each operation in the description: its method, its path, and a valid body.
pub(super) fn operations() -> Vec<(String, String, Value)> {
    let api: Value = serde_json::from_str(&cosmicsync_api::openapi()).expect("JSON");
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let path = path
                .replace("{space}", "-")
                .replace("{collection}", "towns")
                .replace("{key}", "t0")
                .replace("{version}", "abcd")
                .replace("{name}", "by_name")
                .replace("{address}", "127.0.0.1:1");
            let id = operation["operationId"].as_str().expect("an id");
            let path = if id == "diffVersions" { format!("{path}?from=abcd") } else { path };
            let body = match id {
                "createSpace" => json!({ "name": "work" }),
                "putIndex" => json!({ "fields": ["name"] }),
                "transact" => json!({ "writes": [] }),
                "revertDocument" => json!({ "version": "abcd" }),
                "joinSpace" => json!({ "invite": "nothing" }),
                "addPeer" => json!({ "address": "127.0.0.1:1" }),
                "createAccount" => json!({ "name": "bob", "role": "viewer" }),
                "createToken" => json!({ "name": "ci" }),
                "createBackup" => json!({ "passphrase": "a long enough passphrase" }),
                "testRules" => json!({ "account": "viewer", "value": {} }),
                _ => json!({}),
            };
            found.push((method.to_uppercase(), path, body));
        }
    }
    assert!(found.len() > 25, "{}", found.len());
    found
}

/// Returns the answer to one of these requests.
pub(super) async fn answered(world: &World, token: &str, (method, path, body): &(String, String, Value)) -> Answer {
    let patch = [("content-type", "application/merge-patch+json")];
    let headers = if method == "PATCH" && path.contains("/docs/") { &patch[..] } else { &[] };
    let answer = world.open(token, method, path, headers, body.clone()).await;
    let (parts, mut body) = answer.into_parts();
    // Live answers do not end.
    let bytes = if parts.status.is_success() { next(&mut body).await } else { None };
    let mut all = bytes.unwrap_or_default();
    while !parts.status.is_success()
        && let Some(piece) = next(&mut body).await
    {
        all.extend(piece);
    }
    Answer { status: parts.status, headers: parts.headers, bytes: all }
}

#[tokio::test]
async fn every_route_takes_a_token() {
    let world = World::new().await;
    let expired = token(&*world.node, Scope::Write, Some(0)).await;
    let mut forged = world.write.clone();
    forged.replace_range(10..11, if &forged[10..11] == "0" { "1" } else { "0" });
    for operation in operations() {
        if operation.1 == "/v1/auth/login" {
            continue;
        }
        for (token, code) in [
            ("", "unauthenticated"),
            ("cs_pat_", "unauthenticated"),
            (&forged, "unauthenticated"),
            (&expired, "token_expired"),
        ] {
            let answer = answered(&world, token, &operation).await;
            answer.failed(code);
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{operation:?}");
        }
    }
    for other in ["Basic abc", "Bearer", "bearer  ", "Token x"] {
        world.send("", "GET", "/v1/status", &[("authorization", other)], ()).await.failed("unauthenticated");
    }
    let lower = format!("bearer {}", world.write);
    world.send("", "GET", "/v1/status", &[("authorization", &lower)], ()).await.ok(200);
}

#[tokio::test]
async fn a_token_that_allows_reading_changes_nothing() {
    let world = World::new().await;
    world.call("PUT", "collections/towns/docs/t0", json!({ "name": "Dover" })).await.ok(201);
    let version = world.call("GET", "collections/towns/docs/t0", ()).await.header("etag").to_owned();
    for operation in operations() {
        let (method, path, _) = &operation;
        if path.starts_with("/v1/auth/") {
            continue;
        }
        let reads = method == "GET"
            || ["/find", "/count", "/explain", "/check", "/rules/test"].iter().any(|end| path.ends_with(end));
        let answer = answered(&world, &world.read, &operation).await;
        if reads {
            assert!(![401, 403].contains(&answer.status.as_u16()), "{operation:?}: {}", answer.status);
        } else {
            answer.failed("forbidden");
        }
    }
    let csv = Body::from("name\nAlbany\n");
    world.send(&world.read, "POST", "collections/towns/import?format=csv", &[], csv).await.failed("forbidden");
    let csv = Body::from("name\nAlbany\n");
    world.send(&world.read, "POST", "collections/towns/import?format=csv&dryRun=true", &[], csv).await.ok(200);
    assert_eq!(world.call("GET", "collections/towns/docs/t0", ()).await.header("etag"), version);
    assert_eq!(world.call("POST", "collections/towns/count", json!({})).await.ok(200)["count"], 1);
}

#[tokio::test]
async fn health_the_page_of_errors_and_the_description_take_no_token() {
    let world = World::new().await;
    assert_eq!(world.send("", "GET", "/healthz", &[], ()).await.text(), "ok\n");
    let page = world.send("", "GET", "/docs/errors", &[], ()).await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    for code in Code::ALL {
        assert!(page.text().contains(&format!("id=\"{}\"", code.name())), "{}", code.name());
    }
    assert!(!page.text().contains("://"), "the page loads something");
    world.send("", "GET", "/v1/openapi.json", &[], ()).await.ok(200);
}

#[tokio::test]
async fn tokens_outlive_the_process_until_they_are_revoked() {
    let world = World::new().await;
    let World { router: _, node, write, dir, .. } = world;
    request(&*node, Command::Shutdown {}).await.expect("it stops");
    drop(node);
    let check = |node: Arc<Node>, token: String| async move {
        let found = request(&*node, Command::TokenCheck { token: cosmicsync_node::service::Secret(token) }).await;
        found.map(|_| ()).map_err(|error| error.reason)
    };
    let node = open(&dir).await;
    assert_eq!(check(Arc::clone(&node), write.clone()).await, Ok(()));
    let Ok(Reply::Tokens(tokens)) = request(&*node, Command::TokenList {}).await else { panic!("no tokens") };
    assert_eq!(tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["Read None", "Write None"]);
    request(&*node, Command::TokenRevoke { name: "Write None".to_owned() }).await.expect("it ends");
    let unknown = Err(Some(cosmicsync_node::service::Reason::TokenUnknown));
    assert_eq!(check(Arc::clone(&node), write.clone()).await, unknown);
    request(&*node, Command::Shutdown {}).await.expect("it stops");
    drop(node);
    let node = open(&dir).await;
    assert_eq!(check(Arc::clone(&node), write.clone()).await, unknown);
    // The store contains only the hash of a token.
    let data = std::fs::read(dir.path().join("data.mdb")).expect("a store");
    assert!(!data.windows(32).any(|bytes| write.as_bytes().windows(32).any(|part| part == bytes)));
    assert!(!data.windows(9).any(|bytes| bytes == b"Read None"), "the name of a token is sealed");
}

#[tokio::test]
async fn a_name_of_a_token_is_given_once() {
    let world = World::new().await;
    let create = |name: &str| Command::TokenCreate(TokenCreate::new(name, Scope::Read));
    request(&*world.node, create("ci")).await.expect("a token");
    let again = request(&*world.node, create("ci")).await.expect_err("there already");
    assert_eq!(again.next.as_deref(), Some("cosmicsync token revoke ci"));
    for wrong in ["", "a\nb", &"x".repeat(65)] {
        request(&*world.node, create(wrong)).await.expect_err(wrong);
    }
    request(&*world.node, Command::TokenRevoke { name: "none".to_owned() }).await.expect_err("not there");
}

#[tokio::test]
async fn a_request_has_a_name_in_its_answer() {
    let world = World::new().await;
    let chosen = world.with("GET", "/v1/status", &[("x-request-id", "abc-1")], ()).await;
    assert_eq!(chosen.header("x-request-id"), "abc-1");
    let (one, other) = (world.call("GET", "/v1/status", ()).await, world.call("GET", "/v1/status", ()).await);
    assert!(!one.header("x-request-id").is_empty());
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    for wrong in ["", "a b", "<script>", &"x".repeat(65)] {
        let answer = world.with("GET", "/v1/status", &[("x-request-id", wrong)], ()).await;
        assert_ne!(answer.header("x-request-id"), wrong);
    }
}
