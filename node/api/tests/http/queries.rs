//! Pages, queries, counts and indexes.

use super::*;

/// Returns a world with towns.
async fn towns() -> World {
    let world = World::new().await;
    let rows =
        "name,state,pop\nAlbany,NY,99\nAlbany,GA,69\nBuffalo,NY,278\nDover,DE,39\nNewark,NJ,311\nYonkers,NY,211\n";
    let numbered: String = rows
        .lines()
        .enumerate()
        .skip(1)
        .map(|(at, line)| {
            let [name, state, pop] = line.split(',').collect::<Vec<_>>()[..] else { panic!("three cells") };
            let pop: u32 = pop.parse().expect("a number");
            format!("{}\n", json!({ "id": format!("t{at}"), "name": name, "state": state, "pop": pop }))
        })
        .collect();
    let path = "collections/towns/import?id=id";
    world.with("POST", path, &[("content-type", "application/x-ndjson")], Body::from(numbered)).await.ok(200);
    world
}

fn names(page: &Value) -> Vec<&str> {
    page["docs"].as_array().expect("docs").iter().map(|doc| doc["value"]["name"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn pages_follow_a_bookmark_to_the_end() {
    let world = towns().await;
    let (mut seen, mut bookmark) = (Vec::new(), String::new());
    loop {
        let path = format!("collections/towns/docs?limit=2&sort=-pop&fields=name{bookmark}");
        let page = world.call("GET", &path, ()).await.ok(200);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page["bookmark"].as_str() {
            Some(next) => bookmark = format!("&bookmark={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["Newark", "Buffalo", "Yonkers", "Albany", "Albany", "Dover"]);
    let page = world.call("GET", "collections/towns/docs?where=%7B%22state%22:%22NY%22%7D&sort=state,-name", ()).await;
    assert_eq!(names(&page.ok(200)), ["Yonkers", "Buffalo", "Albany"]);
    let empty = world.call("GET", "collections/none/docs", ()).await.ok(200);
    assert_eq!((&empty["docs"], &empty["bookmark"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn a_query_answers_with_documents_or_lines() {
    let world = towns().await;
    let query = json!({ "selector": { "state": "NY" }, "sort": [{ "pop": "desc" }], "limit": 2 });
    let page = world.call("POST", "collections/towns/find", query.clone()).await.ok(200);
    assert_eq!((names(&page), &page["warning"]), (vec!["Buffalo", "Yonkers"], &json!("no_index")));
    let doc = &page["docs"][0];
    assert_eq!((&doc["key"], doc["version"].as_str().map(str::len)), (&json!("t3"), Some(32)));
    let headers = [("accept", "application/x-ndjson")];
    let lines = world.with("POST", "collections/towns/find", &headers, query).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0], &lines[2]["bookmark"]), (3, doc, &page["bookmark"]));
}

#[tokio::test]
async fn documents_are_counted_and_grouped() {
    let world = towns().await;
    let count = |body| world.call("POST", "collections/towns/count", body);
    assert_eq!(count(json!({})).await.ok(200), json!({ "count": 6 }));
    assert_eq!(count(json!({ "selector": { "pop": { "$gt": 200 } } })).await.ok(200), json!({ "count": 3 }));
    let body =
        json!({ "by": "name", "measures": [{ "kind": "sum", "field": "pop" }, { "kind": "average", "field": "pop" }] });
    let groups = count(body).await.ok(200);
    assert_eq!(groups["groups"][0], json!({ "value": "Albany", "count": 2, "measures": [168, 84.0] }));
}

#[tokio::test]
async fn an_index_is_made_used_checked_and_dropped() {
    let world = towns().await;
    let path = "collections/towns/indexes/by_state";
    let made = world.call("PUT", path, json!({ "fields": ["state", "pop"] })).await;
    assert!([200, 202].contains(&made.status.as_u16()), "{}", made.text());
    assert_eq!(made.json()["fields"], json!(["state", "pop"]));
    // The service command waits until the index is built; the next request finds it.
    let index = cosmicsync_node::service::IndexName {
        space: None,
        collection: "towns".to_owned(),
        index: "by_state".to_owned(),
    };
    let (sender, mut items) = tokio::sync::mpsc::channel(1);
    let create = Command::IndexCreate { index, fields: vec!["state".to_owned(), "pop".to_owned()] };
    let drain = async { while items.recv().await.is_some() {} };
    tokio::join!(async { world.node.call(create, sender).await.expect("it is built") }, drain);
    assert_eq!(world.call("PUT", path, json!({ "fields": ["state", "pop"] })).await.ok(200)["state"], "ready");
    world.call("PUT", path, json!({ "fields": ["name"] })).await.failed("conflict");
    let listed = world.call("GET", "collections/towns/indexes", ()).await.ok(200);
    assert_eq!(listed["indexes"][0]["name"], "by_state");
    let query = json!({ "selector": { "state": "NY" }, "sort": ["pop"] });
    let plan = world.call("POST", "collections/towns/explain", query.clone()).await.ok(200);
    assert_eq!((&plan["plan"], &plan["indexes"][0]["index"]), (&json!("index"), &json!("by_state")));
    let page = world.call("POST", "collections/towns/find", query).await.ok(200);
    assert_eq!((names(&page), page.get("warning")), (vec!["Albany", "Yonkers", "Buffalo"], None));
    let checked = world.call("POST", &format!("{path}/check"), ()).await.ok(200);
    assert_eq!(checked, json!({ "documents": 6, "rows": 6, "missing": 0, "extra": 0 }));
    let rebuilt = world.call("POST", &format!("{path}/rebuild"), ()).await;
    assert!([200, 202].contains(&rebuilt.status.as_u16()), "{}", rebuilt.text());
    world.call("DELETE", path, ()).await.ok(204);
    assert_eq!(world.call("GET", "collections/towns/indexes", ()).await.ok(200), json!({ "indexes": [] }));
}

#[tokio::test]
async fn spaces_collections_and_peers_are_listed() {
    let world = towns().await;
    let made = world.call("POST", "/v1/spaces", json!({ "name": "work" })).await.ok(201);
    assert_eq!((&made["name"], made["id"].as_str().map(str::len)), (&json!("work"), Some(64)));
    let spaces = world.call("GET", "/v1/spaces", ()).await.ok(200);
    let mut named: Vec<_> = spaces["spaces"].as_array().expect("spaces").iter().map(|space| &space["name"]).collect();
    named.sort_by_key(|name| name.to_string());
    assert_eq!(named, [&json!("home"), &json!("work")]);
    // There are two collections now.
    let several = world.call("GET", "collections", ()).await;
    assert!(several.status.is_client_error(), "{}", several.text());
    let home = "/v1/spaces/home";
    let collection = world.call("GET", &format!("{home}/collections/towns"), ()).await.ok(200);
    let expected = json!({ "name": "towns", "documents": 6, "format": "ndjson", "id": "id", "text": [] });
    assert_eq!(collection, expected);
    assert_eq!(world.call("GET", &format!("{home}/collections"), ()).await.ok(200)["collections"], json!([expected]));
    world.call("DELETE", &format!("{home}/collections/towns"), ()).await.ok(204);
    assert_eq!(world.call("GET", &format!("{home}/collections"), ()).await.ok(200), json!({ "collections": [] }));
    assert_eq!(world.call("GET", "/v1/peers", ()).await.ok(200), json!({ "peers": [] }));
    let status = world.call("GET", "/v1/status", ()).await.ok(200);
    assert_eq!((&status["name"], status["spaces"].as_array().map(Vec::len)), (&json!("test"), Some(2)));
    assert!(status["store"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
}
