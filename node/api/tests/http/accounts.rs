//! Accounts, sessions, roles and rules: permissions through the HTTP API.

use super::*;
use cosmicsync_node::service::{AccountCreate, Role, Secret};

/// Returns every role, with a token for an account of that role.
pub(super) async fn roles(world: &World) -> Vec<(&'static str, String)> {
    let mut tokens = Vec::new();
    for role in Role::ALL {
        let name = role.name().to_owned();
        let create = AccountCreate { name: name.clone(), role, password: None };
        request(&*world.node, Command::AccountCreate(create)).await.expect("an account");
        let create = TokenCreate { account: Some(name.clone()), ..TokenCreate::new(name, Scope::Write) };
        let Ok(Reply::TokenMade(made)) = request(&*world.node, Command::TokenCreate(create)).await else {
            panic!("no token")
        };
        tokens.push((role.name(), made.token.0));
    }
    tokens
}

pub(super) fn rules() -> Value {
    let own = json!({ "by": { "$var": "auth.account" } });
    json!({ "list": own, "view": { "$or": [own, { "open": true }] }, "create": own, "update": own, "delete": own })
}

#[tokio::test]
async fn a_password_begins_a_session() {
    let world = World::new().await;
    let new = json!({ "name": "ada", "role": "viewer", "password": "difference" });
    let made = world.call("POST", "/v1/accounts", new.clone()).await.ok(201);
    assert_eq!((&made["name"], &made["role"], &made["password"]), (&json!("ada"), &json!("viewer"), &json!(true)));
    world.call("POST", "/v1/accounts", new).await.failed("conflict");
    let login = |password: &str| json!({ "account": "ada", "password": password });
    world.send("", "POST", "/v1/auth/login", &[], login("engine")).await.failed("login_failed");
    let nobody = json!({ "account": "bob", "password": "difference" });
    world.send("", "POST", "/v1/auth/login", &[], nobody).await.failed("login_failed");
    let session = world.send("", "POST", "/v1/auth/login", &[], login("difference")).await.ok(200);
    let token = session["token"].as_str().expect("a token");
    assert!(token.starts_with("cs_ses_"), "{token}");
    let me = world.send(token, "GET", "/v1/auth/me", &[], ()).await.ok(200);
    assert_eq!((&me["account"], &me["role"]), (&json!("ada"), &json!("viewer")));
    assert!(me["token"]["expiresAt"].as_u64().is_some());
    world.send(token, "POST", "/v1/auth/logout", &[], ()).await.ok(204);
    world.send(token, "GET", "/v1/auth/me", &[], ()).await.failed("unauthenticated");
    // A new password ends the sessions of the old one.
    let session = world.send("", "POST", "/v1/auth/login", &[], login("difference")).await.ok(200);
    world.call("PATCH", "/v1/accounts/ada", json!({ "password": "analytical" })).await.ok(200);
    world.send(session["token"].as_str().expect("it"), "GET", "/v1/auth/me", &[], ()).await.failed("unauthenticated");
    world.send("", "POST", "/v1/auth/login", &[], login("difference")).await.failed("login_failed");
    let audit = world.call("GET", "/v1/audit", ()).await.ok(200);
    let rows = audit["rows"].as_array().expect("rows");
    let failed = rows.iter().filter(|row| row["what"] == "login" && row["done"] == false).count();
    assert_eq!(failed, 3, "{audit}");
    assert!(!audit.to_string().contains("difference"), "a password is in the audit log");
}

#[tokio::test]
async fn passwords_are_not_guessed() {
    let world = World::new().await;
    let new = json!({ "name": "ada", "role": "owner", "password": "difference" });
    world.call("POST", "/v1/accounts", new).await.ok(201);
    let login = |password: &str| json!({ "account": "ada", "password": password });
    for _ in 0..5 {
        world.send("", "POST", "/v1/auth/login", &[], login("wrong")).await.failed("login_failed");
    }
    world.send("", "POST", "/v1/auth/login", &[], login("difference")).await.failed("too_often");
    // Invalid names share one counter, and are not stored.
    let long = json!({ "account": "x".repeat(100_000), "password": "difference" });
    for _ in 0..5 {
        world.send("", "POST", "/v1/auth/login", &[], long.clone()).await.failed("login_failed");
    }
    world.send("", "POST", "/v1/auth/login", &[], long).await.failed("too_often");
    for (wrong, code) in [
        (json!({ "name": "a b", "role": "viewer" }), "bad_name"),
        (json!({ "name": "operator", "role": "viewer" }), "bad_name"),
        (json!({ "name": "bob", "role": "king" }), "bad_json"),
        (json!({ "name": "bob", "role": "viewer", "password": "short" }), "bad_request"),
    ] {
        world.call("POST", "/v1/accounts", wrong).await.failed(code);
    }
}

#[tokio::test]
async fn a_link_lets_an_owner_in_once() {
    let world = World::new().await;
    world.node.serves_http("http://127.0.0.1:1".to_owned());
    let Ok(Reply::Link(link)) = request(&*world.node, Command::LinkMake {}).await else { panic!("no link") };
    let secret = link.link.0.strip_prefix("http://127.0.0.1:1/#/login?link=").expect("a link").to_owned();
    let session = world.send("", "POST", "/v1/auth/login", &[], json!({ "link": secret })).await.ok(200);
    assert_eq!(session["role"], "owner");
    let token = session["token"].as_str().expect("a token");
    world.send(token, "GET", "/v1/status", &[], ()).await.ok(200);
    world.send("", "POST", "/v1/auth/login", &[], json!({ "link": secret })).await.failed("login_failed");
    world.send("", "POST", "/v1/auth/login", &[], json!({})).await.failed("bad_json");
}

#[tokio::test]
async fn an_account_takes_its_tokens_along() {
    let world = World::new().await;
    let tokens = roles(&world).await;
    let (_, viewer) = &tokens[3];
    world.send(viewer, "GET", "/v1/auth/me", &[], ()).await.ok(200);
    // A new role is effective at once.
    world.send(viewer, "GET", "/v1/status", &[], ()).await.failed("forbidden");
    world.call("PATCH", "/v1/accounts/viewer", json!({ "role": "admin" })).await.ok(200);
    world.send(viewer, "GET", "/v1/status", &[], ()).await.ok(200);
    world.call("DELETE", "/v1/accounts/viewer", ()).await.ok(204);
    world.send(viewer, "GET", "/v1/auth/me", &[], ()).await.failed("unauthenticated");
    world.call("DELETE", "/v1/accounts/viewer", ()).await.failed("not_found");
}

#[tokio::test]
async fn an_admin_makes_no_owner() {
    let world = World::new().await;
    let tokens = roles(&world).await;
    let (_, admin) = &tokens[1];
    let owner = json!({ "name": "eve", "role": "owner" });
    world.send(admin, "POST", "/v1/accounts", &[], owner).await.failed("forbidden");
    world.send(admin, "PATCH", "/v1/accounts/owner", &[], json!({ "role": "viewer" })).await.failed("forbidden");
    world.send(admin, "PATCH", "/v1/accounts/viewer", &[], json!({ "role": "owner" })).await.failed("forbidden");
    world.send(admin, "DELETE", "/v1/accounts/owner", &[], ()).await.failed("forbidden");
    // It does not end an owner's token either.
    let owners = world.call("GET", "/v1/tokens", ()).await.ok(200);
    for token in owners["tokens"].as_array().expect("tokens") {
        if token["account"].as_str().is_none_or(|account| account == "owner") {
            let path = format!("/v1/tokens/{}", token["name"].as_str().expect("a name").replace(' ', "%20"));
            world.send(admin, "DELETE", &path, &[], ()).await.failed("forbidden");
        }
    }
    world.send(admin, "POST", "/v1/tokens", &[], json!({ "name": "a" })).await.failed("forbidden");
    world.send(admin, "POST", "/v1/tokens", &[], json!({ "name": "a", "account": "owner" })).await.failed("forbidden");
    world.send(admin, "POST", "/v1/tokens", &[], json!({ "name": "a", "account": "editor" })).await.ok(201);
    world.send(admin, "POST", "/v1/accounts", &[], json!({ "name": "bob", "role": "editor" })).await.ok(201);
}

#[tokio::test]
async fn every_route_asks_for_a_role() {
    let world = World::new().await;
    world.call("PUT", "collections/towns/docs/t0", json!({ "name": "Dover" })).await.ok(201);
    for (role, token) in roles(&world).await {
        for operation in access::operations() {
            let (method, path, _) = &operation;
            if path.starts_with("/v1/auth/") {
                continue;
            }
            let looked_at = [
                "/v1/status",
                "/v1/peers",
                "/v1/spaces",
                "/v1/accounts",
                "/v1/tokens",
                "/v1/audit",
                "/v1/log",
                "/v1/spaces/-/devices",
            ];
            let is_look = method == "GET" && looked_at.contains(&path.as_str());
            let allowed = match role {
                "owner" | "admin" => true,
                "auditor" => is_look,
                // The collection has no rules, so it is locked, except for listing the collections.
                _ => method == "GET" && path.ends_with("/collections"),
            };
            // A thing that an admin deleted is missing for the next request.
            if allowed && (method == "DELETE" || path == "/v1/spaces" && method == "POST") {
                continue;
            }
            let answer = access::answered(&world, &token, &operation).await;
            let status = answer.status.as_u16();
            if allowed {
                let of_owners = role == "admin" && ["/v1/tokens", "/v1/backup"].contains(&path.as_str());
                assert!(of_owners || ![401, 403].contains(&status), "{role} {operation:?}: {}", answer.text());
            } else {
                // A document that may not be listed appears to be missing.
                let is_hidden = status == 404
                    || status == 200 && ["/changes", "/transactions"].iter().any(|end| path.ends_with(end));
                assert!(status == 403 || is_hidden, "{role} {operation:?}: {status} {}", answer.text());
                assert!(!answer.text().contains("Dover"), "{role} {operation:?}: {}", answer.text());
            }
        }
    }
}

#[tokio::test]
async fn rules_let_an_editor_at_their_own() {
    let world = World::new().await;
    let tokens = roles(&world).await;
    let (editor, viewer) = (tokens[2].1.as_str(), tokens[3].1.as_str());
    let docs = "collections/notes/docs";
    world.send(editor, "PUT", &format!("{docs}/a"), &[], json!({ "by": "editor" })).await.failed("forbidden");
    world.call("PUT", "collections/notes/rules", rules()).await.ok(200);
    assert_eq!(world.call("GET", "collections/notes/rules", ()).await.ok(200)["rules"], rules());
    world.call("PUT", &format!("{docs}/theirs"), json!({ "by": "owner", "n": 1 })).await.ok(201);
    world.call("PUT", &format!("{docs}/shown"), json!({ "by": "owner", "open": true })).await.ok(201);

    world.send(editor, "PUT", &format!("{docs}/a"), &[], json!({ "by": "owner" })).await.failed("forbidden");
    world.send(editor, "PUT", &format!("{docs}/a"), &[], json!({ "by": "editor" })).await.ok(201);
    world.send(editor, "POST", docs, &[], json!({ "by": "editor", "n": 2 })).await.ok(201);
    world.send(viewer, "POST", docs, &[], json!({ "by": "viewer" })).await.failed("forbidden");
    // Neither giving a document away nor changing another account's is allowed.
    let merge = [("content-type", "application/merge-patch+json")];
    let give = json!({ "by": "owner" });
    world.send(editor, "PATCH", &format!("{docs}/a"), &merge, give.clone()).await.failed("forbidden");
    for (name, code) in [("theirs", "not_found"), ("shown", "forbidden"), ("none", "not_found")] {
        let path = format!("{docs}/{name}");
        world.send(editor, "PATCH", &path, &merge, json!({ "by": "editor" })).await.failed(code);
        world.send(editor, "DELETE", &path, &[], ()).await.failed(code);
    }
    world.send(editor, "PUT", &format!("{docs}/theirs"), &[], json!({ "by": "editor" })).await.failed("forbidden");
    // A hidden document and a missing one get the same answer.
    let told = async |name: &str| {
        let problem = world.send(editor, "GET", &format!("{docs}/{name}"), &[], ()).await.failed("not_found");
        (problem["detail"].to_string().replace(name, "?"), problem["next"].clone())
    };
    assert_eq!(told("theirs").await, told("none").await);
    for name in ["gone", "mine"] {
        let by = if name == "gone" { "owner" } else { "editor" };
        world.call("PUT", &format!("{docs}/{name}"), json!({ "by": by })).await.ok(201);
        world.call("DELETE", &format!("{docs}/{name}"), ()).await.ok(204);
    }
    let back = |name: &str, op: Value| {
        let mut write = op;
        write["doc"] = format!("notes/{name}").into();
        world.send(editor, "POST", "transactions", &[], json!({ "writes": [write] }))
    };
    for op in [json!({ "op": "undelete" }), json!({ "op": "revert", "version": "00" })] {
        let absent = back("none", op.clone()).await.failed("not_found")["detail"].to_string();
        for name in ["theirs", "gone"] {
            let hidden = back(name, op.clone()).await.failed("not_found")["detail"].to_string();
            assert_eq!(hidden.replace(name, "none"), absent, "{op}");
        }
    }
    back("mine", json!({ "op": "undelete" })).await.ok(200);
    world.send(editor, "DELETE", &format!("{docs}/mine"), &[], ()).await.ok(204);
    let writes = json!({ "writes": [
        { "op": "put", "doc": "notes/b", "value": { "by": "editor" } },
        { "op": "patch", "doc": "notes/a", "patch": give },
    ] });
    world.send(editor, "POST", "transactions", &[], writes).await.failed("forbidden");
    world.call("GET", &format!("{docs}/b"), ()).await.failed("not_found");

    // Reads by name, with versions.
    for path in ["", "/history", "/conflicts"] {
        world.send(editor, "GET", &format!("{docs}/theirs{path}"), &[], ()).await.failed("not_found");
        world.send(editor, "GET", &format!("{docs}/shown{path}"), &[], ()).await.ok(200);
        world.send(editor, "GET", &format!("{docs}/a{path}"), &[], ()).await.ok(200);
    }
    // Lists.
    let all = world.send(editor, "GET", docs, &[], ()).await.ok(200);
    assert_eq!(all["docs"].as_array().expect("docs").len(), 2, "{all}");
    let count = |body: Value| world.send(editor, "POST", "collections/notes/count", &[], body);
    assert_eq!(count(json!({})).await.ok(200)["count"], 2);
    assert_eq!(count(json!({ "selector": { "n": { "$gt": 0 } } })).await.ok(200)["count"], 1);
    let groups = count(json!({ "by": "by" })).await.ok(200);
    assert_eq!(groups["groups"].as_array().expect("groups").len(), 1, "{groups}");
    let either = json!({ "selector": { "$or": [{ "by": "owner" }, { "n": 1 }] } });
    assert_eq!(world.send(editor, "POST", "collections/notes/find", &[], either).await.ok(200)["docs"], json!([]));
    let all = world.send(viewer, "GET", docs, &[], ()).await.ok(200);
    assert_eq!(all["docs"], json!([]), "the viewer wrote none");
    let collections = world.send(editor, "GET", "collections", &[], ()).await.ok(200);
    assert_eq!(collections["collections"][0]["documents"], 2, "{collections}");
    world.send(editor, "GET", "collections/notes/export", &[], ()).await.failed("forbidden");

    // An invalid rule is not set.
    world.call("PUT", "collections/notes/rules", json!({ "list": { "a": { "$no": 1 } } })).await.failed("bad_rules");
    world.call("PUT", "collections/notes/rules", json!({ "lists": {} })).await.failed("bad_rules");
    world.call("PUT", "collections/notes/rules", json!(null)).await.ok(200);
    world.send(editor, "GET", docs, &[], ()).await.failed("forbidden");
}

#[tokio::test]
async fn feeds_and_live_answers_tell_what_rules_allow() {
    let world = World::new().await;
    let tokens = roles(&world).await;
    let editor = tokens[2].1.as_str();
    world.call("PUT", "collections/notes/rules", rules()).await.ok(200);
    let docs = "collections/notes/docs";
    world.call("PUT", &format!("{docs}/mine"), json!({ "by": "editor", "n": 1 })).await.ok(201);
    world.call("PUT", &format!("{docs}/theirs"), json!({ "by": "owner", "n": 2 })).await.ok(201);
    let cursor = world.send(editor, "GET", "changes", &[], ()).await.ok(200)["cursor"].clone();
    let cursor = cursor.as_str().expect("a cursor").to_owned();
    let answer = world.open(editor, "GET", "collections/notes/live", &[], ()).await;
    assert_eq!(answer.status(), 200);
    let mut live = answer.into_body();
    let first = String::from_utf8(next(&mut live).await.expect("events")).expect("text");
    assert!(first.contains("mine") && !first.contains("theirs"), "{first}");

    world.call("PUT", &format!("{docs}/theirs"), json!({ "by": "owner", "n": 3 })).await.ok(200);
    world.call("DELETE", &format!("{docs}/theirs"), ()).await.ok(204);
    world.call("PUT", &format!("{docs}/mine"), json!({ "by": "editor", "n": 4 })).await.ok(200);
    let changed = String::from_utf8(next(&mut live).await.expect("events")).expect("text");
    assert!(changed.contains("\"n\":4") && !changed.contains("theirs"), "{changed}");
    let feed = world.send(editor, "GET", &format!("changes?since={cursor}"), &[], ()).await.ok(200);
    let told: Vec<_> = feed["changes"].as_array().expect("changes").iter().map(|one| one["key"].clone()).collect();
    assert_eq!(told, ["mine"], "{feed}");

    // A document that is given away leaves the answer, and all documents leave once the rules lock them.
    world.call("PUT", &format!("{docs}/mine"), json!({ "by": "owner" })).await.ok(200);
    let left = String::from_utf8(next(&mut live).await.expect("events")).expect("text");
    assert!(left.contains("removed") && !left.contains("owner"), "{left}");
    world.call("PUT", "collections/notes/rules", json!({ "list": { "by": "owner" } })).await.ok(200);
    let opened = String::from_utf8(next(&mut live).await.expect("events")).expect("text");
    assert!(opened.contains("added") && opened.contains("owner"), "{opened}");
    world.call("PUT", "collections/notes/rules", json!({})).await.ok(200);
    let last = String::from_utf8(next(&mut live).await.expect("events")).expect("text");
    assert!(last.contains("event: problem") && last.contains("forbidden"), "{last}");
}

#[tokio::test]
async fn a_token_reaches_what_it_is_for() {
    let world = World::new().await;
    world.call("PUT", "collections/notes/docs/a", json!({ "n": 1 })).await.ok(201);
    world.call("PUT", "collections/towns/docs/a", json!({ "n": 1 })).await.ok(201);
    world.call("POST", "/v1/spaces", json!({ "name": "work" })).await.ok(201);
    let only =
        json!([{ "space": "home", "collection": "notes", "readOnly": true }, { "space": "home", "collection": "log" }]);
    let made = world.call("POST", "/v1/tokens", json!({ "name": "app", "only": only })).await.ok(201);
    let token = made["secret"].as_str().expect("a token").to_owned();
    let call = |method: &'static str, path: &'static str, body: Value| {
        let (world, token) = (&world, &token);
        async move { world.send(token, method, path, &[], body).await }
    };
    call("GET", "/v1/spaces/home/collections/notes/docs/a", json!({})).await.ok(200);
    call("POST", "/v1/spaces/home/collections/notes/find", json!({})).await.ok(200);
    call("PUT", "/v1/spaces/home/collections/notes/docs/a", json!({})).await.failed("forbidden");
    call("PUT", "/v1/spaces/home/collections/log/docs/a", json!({})).await.ok(201);
    call("GET", "/v1/spaces/home/collections/towns/docs/a", json!({})).await.failed("forbidden");
    call("POST", "/v1/spaces/home/collections/towns/count", json!({})).await.failed("forbidden");
    // A space outside of the token's scope gets the same answer as a missing one.
    for space in ["work", "none", "work:main"] {
        for path in ["changes", "collections", "collections/notes/docs/a"] {
            let path = format!("/v1/spaces/{space}/{path}");
            let problem = world.send(&token, "GET", &path, &[], ()).await.failed("not_found");
            assert_eq!(problem["detail"], format!("there is no space '{space}'"));
        }
    }
    call("GET", "/v1/status", json!({})).await.failed("forbidden");
    call("GET", "/v1/spaces", json!({})).await.failed("forbidden");
    call("PUT", "/v1/spaces/home/collections/log/schema", json!({})).await.failed("forbidden");
    let all = call("GET", "/v1/spaces/home/collections", json!({})).await.ok(200);
    let names: Vec<_> = all["collections"].as_array().expect("all").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["log", "notes"]);
}

#[tokio::test]
async fn rules_are_tried_before_they_are_set() {
    let world = World::new().await;
    roles(&world).await;
    let test = |body: Value| world.call("POST", "collections/notes/rules/test", body);
    let verdicts = |answer: Value| -> Vec<(bool, String)> {
        let all = answer["verdicts"].as_array().expect("verdicts").clone();
        all.iter().map(|one| (one["allowed"] == true, one["why"].as_str().expect("why").to_owned())).collect()
    };
    let own = json!({ "by": "editor" });
    let tried = verdicts(test(json!({ "account": "editor", "value": own, "rules": rules() })).await.ok(200));
    assert!(tried.iter().all(|(allowed, why)| *allowed && why == "rule"), "{tried:?}");
    let tried = verdicts(test(json!({ "account": "editor", "value": own })).await.ok(200));
    assert!(tried.iter().all(|(allowed, why)| !*allowed && why == "locked"), "{tried:?}");
    let tried =
        verdicts(test(json!({ "account": "viewer", "value": { "open": true }, "rules": rules() })).await.ok(200));
    assert_eq!(tried[0], (false, "rule".to_owned()));
    assert_eq!(tried[1], (true, "rule".to_owned()));
    assert_eq!(tried[2], (false, "role".to_owned()));
    let tried = verdicts(test(json!({ "account": "admin", "value": {} })).await.ok(200));
    assert!(tried.iter().all(|(allowed, why)| *allowed && why == "free"), "{tried:?}");
    test(json!({ "account": "nobody", "value": {} })).await.failed("not_found");
    // Without a document and a value, the test uses a document without members.
    let tried = verdicts(test(json!({ "account": "admin" })).await.ok(200));
    assert!(tried.iter().all(|(allowed, why)| *allowed && why == "free"), "{tried:?}");
    test(json!({ "account": "editor", "key": "none" })).await.failed("not_found");
}

#[tokio::test]
async fn accounts_outlive_the_process() {
    let world = World::new().await;
    let create =
        AccountCreate { name: "ada".to_owned(), role: Role::Editor, password: Some(Secret("difference".to_owned())) };
    request(&*world.node, Command::AccountCreate(create)).await.expect("an account");
    let World { router: _, node, dir, .. } = world;
    request(&*node, Command::Shutdown {}).await.expect("it stops");
    drop(node);
    let node = open(&dir).await;
    let Ok(Reply::Accounts(accounts)) = request(&*node, Command::AccountList {}).await else { panic!("no accounts") };
    assert_eq!(accounts.iter().map(|one| (one.name.as_str(), one.role)).collect::<Vec<_>>(), [("ada", Role::Editor)]);
    let login = cosmicsync_node::service::Login {
        account: Some("ada".to_owned()),
        password: Some(Secret("difference".to_owned())),
        link: None,
    };
    request(&*node, Command::Login(login)).await.expect("a session");
    let Ok(Reply::Audit(rows)) = request(&*node, Command::AuditList { before: None, limit: 10 }).await else {
        panic!("no log")
    };
    assert_eq!(rows.iter().map(|row| row.what.as_str()).collect::<Vec<_>>()[..2], ["login", "account_create"]);
    assert_eq!(rows[0].number, 4);
}
