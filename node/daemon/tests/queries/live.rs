//! Live queries on the command line.

use serde_json::{Value, json};

use super::World;

const BIG: &str = r#"{"pop":{"$gte":211}}"#;

/// Returns the kind of each event, and the document's key if the event has one.
fn told(batch: &Value) -> Vec<(String, String)> {
    let events = batch["events"].as_array().expect("events");
    let told = events.iter().map(|event| {
        let (what, of) = event.as_object().and_then(|event| event.iter().next()).expect("one member");
        (what.clone(), of["document"]["key"].as_str().unwrap_or_default().to_owned())
    });
    told.collect()
}

fn expected(events: &[(&str, &str)]) -> Vec<(String, String)> {
    events.iter().map(|(what, key)| ((*what).to_owned(), (*key).to_owned())).collect()
}

#[test]
fn a_live_query_answers_and_tells_what_changes() {
    let world = World::with_towns();
    let _running = world.up("a");
    let live = ["live", "towns", BIG, "--sort", "-pop", "--limit", "3"];
    let mut json = world.going("a", &[&live[..], &["-o", "json"]].concat());
    let mut text = world.going("a", &[&live[..], &["--fields", "pop"]].concat());
    let first = json.json();
    assert_eq!(first["reset"], json!(true));
    assert_eq!(told(&first), expected(&[("added", "t4"), ("added", "t2"), ("added", "t5")]));
    assert_eq!(first["events"][0]["added"]["after"], Value::Null);
    let printed: Vec<String> = (0..4).map(|_| text.text()).collect();
    let lines =
        ["answer\t3 documents\t", "added\tt4\t{\"pop\":311}", "added\tt2\t{\"pop\":278}", "added\tt5\t{\"pop\":211}"];
    assert_eq!(printed, lines);

    // Another document takes the place of the last one, moves to the front, and is deleted; the displaced one comes
    // back.
    world.done("a", &["doc", "put", "towns/t6", r#"{"name":"Troy","pop":250}"#]);
    let batch = json.json();
    assert_eq!(batch["reset"], json!(false));
    assert_eq!(told(&batch), expected(&[("removed", ""), ("added", "t6")]));
    assert_eq!(batch["events"][1]["added"]["after"], first["events"][1]["added"]["document"]["doc"]);
    assert_eq!((text.text().split('\t').next(), text.text().as_str()), (Some("removed"), "added\tt6\t{\"pop\":250}"));
    world.done("a", &["doc", "put", "towns/t6", r#"{"name":"Troy","pop":999}"#]);
    assert_eq!(told(&json.json()), expected(&[("moved", "t6")]));
    world.done("a", &["doc", "delete", "towns/t6"]);
    let batch = json.json();
    assert_eq!(told(&batch), expected(&[("removed", ""), ("added", "t5")]));

    // A document that does not match makes no event; the next batch is about the next change that does.
    world.done("a", &["doc", "put", "towns/t7", r#"{"name":"Rye","pop":1}"#]);
    world.done("a", &["doc", "put", "towns/t4", r#"{"name":"New Ark","pop":311}"#]);
    assert_eq!(told(&json.json()), expected(&[("changed", "t4")]));
}

#[test]
fn a_live_query_goes_on_behind_a_cursor() {
    let world = World::with_towns();
    let running = world.up("a");
    let live = |since: Option<&str>| {
        let mut arguments = vec!["live", "towns", BIG, "-o", "json"];
        arguments.extend(since.into_iter().flat_map(|since| ["--since", since]));
        world.going("a", &arguments).json()
    };
    let first = live(None);
    let cursor = first["cursor"].as_str().expect("a cursor");
    world.done("a", &["doc", "put", "towns/t6", r#"{"name":"Troy","pop":999}"#]);
    let since = live(Some(cursor));
    assert_eq!(since["reset"], json!(false));
    assert_eq!(told(&since), expected(&[("added", "t6")]));
    // The node restarts meanwhile.
    drop(running);
    let _running = world.up("a");
    world.done("a", &["doc", "delete", "towns/t2"]);
    let since = live(since["cursor"].as_str());
    assert_eq!(told(&since), expected(&[("removed", "")]));
    let t2 = first["events"].as_array().expect("events").iter().find(|event| event["added"]["document"]["key"] == "t2");
    assert_eq!(since["events"][0]["removed"]["doc"], t2.expect("it was there")["added"]["document"]["doc"]);
}
