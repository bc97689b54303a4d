//! Changes and live queries over HTTP.

use super::*;

/// Server-sent events, read one by one.
struct Events {
    body: Body,
    text: String,
}

/// One server-sent event.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Events {
    async fn open(world: &World, path: &str, last: Option<&str>) -> Self {
        let headers: Vec<_> = last.map(|id| ("last-event-id", id)).into_iter().collect();
        let answer = world.open(&world.read, "GET", path, &headers, ()).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                let found = (!event.starts_with(':')).then(|| Event {
                    id: field("id"),
                    name: field("event"),
                    data: serde_json::from_str(&field("data")).expect("JSON"),
                });
                self.text = rest.to_owned();
                if let Some(event) = found {
                    return event;
                }
                continue;
            }
            let piece = next(&mut self.body).await.expect("it goes on");
            self.text += core::str::from_utf8(&piece).expect("text");
        }
    }
}

async fn put(world: &World, doc: &str, value: Value) {
    let (collection, key) = doc.split_once('/').expect("a key");
    let answer = world.call("PUT", &format!("collections/{collection}/docs/{key}"), value).await;
    assert!(answer.status.is_success(), "{}", answer.text());
}

fn keys(page: &Value) -> Vec<&str> {
    page["changes"].as_array().expect("changes").iter().map(|change| change["key"].as_str().expect("a key")).collect()
}

#[tokio::test]
async fn changes_are_read_in_pages_behind_a_cursor() {
    let world = World::new().await;
    let begin = world.call("GET", "changes", ()).await.ok(200);
    assert_eq!((&begin["changes"], &begin["more"]), (&json!([]), &json!(false)));
    for at in 0..5 {
        put(&world, &format!("towns/t{at}"), json!({ "n": at })).await;
    }
    put(&world, "cities/c", json!({})).await;
    world.call("DELETE", "collections/towns/docs/t4", ()).await.ok(204);
    let (mut cursor, mut seen) = (begin["cursor"].as_str().expect("text").to_owned(), Vec::new());
    loop {
        let page = world.call("GET", &format!("changes?since={cursor}&limit=2&collection=towns"), ()).await.ok(200);
        assert!(keys(&page).len() <= 2);
        seen.extend(page["changes"].as_array().expect("changes").clone());
        cursor = page["cursor"].as_str().expect("text").to_owned();
        if page["more"] == false {
            break;
        }
    }
    let told: std::collections::BTreeSet<_> = seen.iter().map(|change| change["key"].to_string()).collect();
    assert_eq!(told.len(), 5, "{seen:?}");
    assert!(seen.iter().all(|change| change["collection"] == "towns"));
    let last = seen.last().expect("a change");
    assert_eq!((&last["key"], &last["deleted"], last.get("value")), (&json!("t4"), &json!(true), None));
    assert_eq!(seen[0]["value"], json!({ "n": 0 }));
    assert_eq!(world.call("GET", &format!("changes?since={cursor}"), ()).await.ok(200)["changes"], json!([]));
}

#[tokio::test]
async fn a_long_poll_waits_for_a_change() {
    let world = World::new().await;
    let cursor = world.call("GET", "changes", ()).await.ok(200)["cursor"].as_str().expect("text").to_owned();
    let path = format!("changes?since={cursor}&feed=longpoll&collection=towns");
    let polled = world.call("GET", &path, ());
    let written = async {
        put(&world, "cities/c", json!({})).await;
        put(&world, "towns/t0", json!({ "n": 1 })).await;
    };
    let (answer, ()) = tokio::join!(polled, written);
    assert_eq!(keys(&answer.ok(200)), ["t0"]);
    let answer = world.call("GET", "changes?feed=longpoll&timeout=1", ()).await.ok(200);
    assert_eq!(answer["changes"], json!([]));
}

#[tokio::test]
async fn events_go_on_behind_the_last_one_that_came() {
    let world = World::new().await;
    let mut events = Events::open(&world, "changes?feed=eventsource&collection=towns", None).await;
    let ready = events.next().await;
    assert_eq!((ready.name.as_str(), &ready.data["cursor"]), ("ready", &json!(ready.id)));
    put(&world, "towns/t0", json!({ "n": 0 })).await;
    let first = events.next().await;
    assert_eq!(
        (first.name.as_str(), &first.data["key"], &first.data["cursor"]),
        ("change", &json!("t0"), &json!(first.id))
    );
    drop(events);
    // Nobody is listening, and no change is lost.
    for at in 1..4 {
        put(&world, &format!("towns/t{at}"), json!({ "n": at })).await;
    }
    let mut events = Events::open(&world, "changes?feed=eventsource&collection=towns", Some(&first.id)).await;
    assert_eq!(events.next().await.name, "ready");
    for at in 1..4 {
        assert_eq!(events.next().await.data["value"]["n"], at);
    }
    put(&world, "cities/c", json!({})).await;
    put(&world, "towns/t4", json!({ "n": 4 })).await;
    assert_eq!(events.next().await.data["value"]["n"], 4);
}

#[tokio::test]
async fn changes_that_are_not_kept_are_a_gap() {
    let world = World::new().await;
    put(&world, "towns/t0", json!({})).await;
    let foreign = "0123456789abcdef.7";
    world.call("GET", &format!("changes?since={foreign}"), ()).await.failed("gone");
    world.call("GET", &format!("changes?since={foreign}&feed=longpoll"), ()).await.failed("gone");
    let mut events = Events::open(&world, "changes?feed=eventsource", Some(foreign)).await;
    let gap = events.next().await;
    assert_eq!(gap.name, "gap");
    assert_ne!(gap.id, foreign);
    put(&world, "towns/t1", json!({})).await;
    assert_eq!(events.next().await.data["key"], "t1");
}

#[tokio::test]
async fn a_live_query_is_told_what_changes_in_its_answer() {
    let world = World::new().await;
    put(&world, "towns/a", json!({ "pop": 1 })).await;
    let path = "collections/towns/live?where=%7B%22pop%22:%7B%22$gt%22:0%7D%7D&sort=-pop&fields=pop";
    let mut events = Events::open(&world, path, None).await;
    let ready = events.next().await;
    assert_eq!((ready.name.as_str(), &ready.data["events"][0]["event"]), ("ready", &json!("added")));
    assert_eq!(ready.data["events"][0]["doc"]["value"], json!({ "pop": 1 }));
    put(&world, "towns/b", json!({ "pop": 2, "name": "b" })).await;
    let batch = events.next().await;
    assert_eq!(batch.name, "batch");
    assert_eq!(
        (&batch.data["events"][0]["doc"]["key"], &batch.data["events"][0]["after"]),
        (&json!("b"), &Value::Null)
    );
    drop(events);
    put(&world, "towns/a", json!({ "pop": 0 })).await;
    let mut events = Events::open(&world, path, Some(&batch.id)).await;
    let resumed = events.next().await;
    assert_eq!((resumed.name.as_str(), &resumed.data["events"][0]["event"]), ("batch", &json!("removed")));
    // With a cursor of another store, the feed begins anew.
    let mut events = Events::open(&world, path, Some("0123456789abcdef.7")).await;
    assert_eq!(events.next().await.name, "ready");
    world.call("GET", "collections/towns/live?where=%7B%22$jump%22:1%7D", ()).await.failed("bad_selector");
}

#[tokio::test]
async fn events_end_when_the_server_stops_and_have_a_limit() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(&world, "changes?feed=eventsource", None).await);
    }
    world.call("GET", "changes?feed=eventsource", ()).await.failed("unavailable");
    drop(open.pop());
    open.push(Events::open(&world, "changes?feed=eventsource", None).await);
    world.stop.send_replace(true);
    for mut events in open {
        // The last event says why.
        let last = loop {
            let event = events.next().await;
            if event.name == "problem" {
                break event;
            }
        };
        assert_eq!(last.data["detail"], "the node stops");
        while next(&mut events.body).await.is_some() {}
    }
}

#[tokio::test]
async fn each_version_is_told_once_however_fast_a_document_changes() {
    let world = World::new().await;
    let mut events = Events::open(&world, "changes?feed=eventsource", None).await;
    assert_eq!(events.next().await.name, "ready");
    let writing = async {
        for n in 0..100 {
            put(&world, &format!("towns/{}", n % 2), json!({ "n": n })).await;
        }
    };
    let reading = async {
        let (mut told, mut last) = (std::collections::BTreeSet::new(), 0);
        while last < 2 {
            let change = events.next().await.data;
            last += usize::from(change["value"]["n"].as_i64() >= Some(98));
            let version = (change["key"].to_string(), change["version"].to_string());
            assert!(told.insert(version), "told again: {change}");
        }
    };
    tokio::join!(writing, reading);
}
