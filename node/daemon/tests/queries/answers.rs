//! Results of queries, counts and indexes.

use serde_json::{Value, json};

use super::World;

/// Returns the keys of documents printed as JSON.
fn keys(printed: &[Value]) -> Vec<&str> {
    printed.iter().filter_map(|line| line["key"].as_str()).collect()
}

#[test]
fn a_query_selects_sorts_and_shows_fields() {
    let world = World::with_towns();
    let big = r#"{"state":"NY","pop":{"$gt":100}}"#;
    assert_eq!(
        world.done("a", &["query", "towns", big, "--sort", "pop", "--fields", "name,pop"]),
        "t5\tYonkers\t211\nt2\tBuffalo\t278"
    );
    let sorted = world.json("a", &["query", "towns", "--sort", "name,-pop", "--fields", "name"]);
    assert_eq!(keys(&sorted), ["t0", "t1", "t2", "t3", "t4", "t5"]);
    assert!(sorted.iter().all(|line| line["value"].as_object().is_some_and(|value| value.len() == 1)), "{sorted:?}");
    assert_eq!(sorted[3]["value"], json!({ "name": "Dover" }));
    let whole = world.done("a", &["query", "towns", r#"{"name":"Dover"}"#]);
    assert_eq!(whole, r#"t3	{"id":"t3","name":"Dover","pop":39,"state":"DE"}"#);
    assert_eq!(world.done("a", &["query", "towns", r#"{"name":"Rome"}"#]), "", "the collection is there");
}

#[test]
fn bookmarks_lead_through_a_whole_answer() {
    let world = World::with_towns();
    for index in [false, true] {
        if index {
            world.done("a", &["index", "create", "towns", "by_pop", "pop"]);
        }
        let (mut seen, mut bookmark) = (Vec::new(), None::<String>);
        loop {
            let mut arguments = vec!["query", "towns", "--sort", "-pop", "--limit", "4"];
            arguments.extend(bookmark.as_deref().into_iter().flat_map(|bookmark| ["--bookmark", bookmark]));
            let printed = world.json("a", &arguments);
            seen.extend(keys(&printed).into_iter().map(str::to_owned));
            bookmark = printed.last().and_then(|line| line["bookmark"].as_str()).map(str::to_owned);
            if bookmark.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["t4", "t2", "t5", "t0", "t1", "t3"], "index: {index}");
    }
}

#[test]
fn counts_group_and_measure() {
    let world = World::with_towns();
    assert_eq!(world.done("a", &["count", "towns"]), "6");
    assert_eq!(world.json("a", &["count", "towns", r#"{"state":"NY"}"#]), [json!({ "count": 3 })]);
    let measures = ["--sum", "pop", "--min", "pop", "--max", "name", "--average", "pop"];
    let by = [&["count", "towns", r#"{"state":{"$in":["NY","GA"]}}"#, "--by", "state"], &measures[..]].concat();
    assert_eq!(world.done("a", &by), "GA\t1\t69\t69\tAlbany\t69.0\nNY\t3\t588\t99\tYonkers\t196.0");
    let ny = json!({ "sum_pop": 588, "min_pop": 99, "max_name": "Yonkers", "average_pop": 196.0 });
    assert_eq!(world.json("a", &by)[1], json!({ "value": "NY", "count": 3, "measures": ny }));
    // Without groups there is one line.
    assert_eq!(world.done("a", &["count", "towns", "--sum", "pop"]), "6\t1007");
}

#[test]
fn an_index_is_made_used_checked_built_anew_and_dropped() {
    let world = World::with_towns();
    let _running = world.up("a");
    let query = ["query", "towns", r#"{"state":"NY"}"#, "--sort", "pop"];
    let explain = [&query[..], &["--explain"]].concat();
    assert_eq!(world.done("a", &explain).lines().next(), Some("plan\tscan"));
    let scanned = world.done("a", &query);

    assert_eq!(
        world.done("a", &["index", "create", "towns", "by_state", "state", "pop"]),
        "by_state\tstate,pop\tready\tno"
    );
    assert_eq!(
        world.done("a", &["index", "create", "towns", "by_state", "state", "pop"]),
        "by_state\tstate,pop\tready\tno"
    );
    let listed = json!({ "index": "by_state", "fields": ["state", "pop"], "state": "ready", "lists": false });
    assert_eq!(world.json("a", &["index", "list", "towns"]), [listed]);
    let plan = &world.json("a", &explain)[0];
    let named = (&plan["plan"], &plan["indexes"][0]["index"], &plan["sort"]);
    assert_eq!(named, (&json!("index"), &json!("by_state"), &json!("index")));
    assert!(world.done("a", &explain).starts_with("plan\tindex\nindex\tby_state on state,pop: "));
    assert_eq!(world.done("a", &query), scanned);

    world.done("a", &["doc", "put", "towns/t6", r#"{"name":"Troy","state":"NY","pop":51}"#]);
    world.done("a", &["doc", "delete", "towns/t2"]);
    let whole = json!({ "documents": 6, "rows": 6, "missing": 0, "extra": 0 });
    for verb in ["check", "rebuild", "check"] {
        let printed = world.json("a", &["index", verb, "towns", "by_state"]);
        assert!(verb == "rebuild" || printed == [whole.clone()], "{printed:?}");
    }
    assert_eq!(keys(&world.json("a", &query)), ["t6", "t0", "t5"]);

    world.done("a", &["index", "drop", "towns", "by_state"]);
    assert_eq!(world.done("a", &["index", "list", "towns"]), "");
    assert_eq!(world.done("a", &explain).lines().next(), Some("plan\tscan"));
    assert_eq!(keys(&world.json("a", &query)), ["t6", "t0", "t5"]);
}

#[test]
fn an_index_of_one_device_is_used_on_another() {
    let world = World::with_towns();
    let _running = [world.up("a"), world.up("b")];
    let invite = world.done("a", &["space", "invite"]);
    world.done("b", &["space", "join", &invite]);
    world.done("a", &["index", "create", "towns", "by_pop", "pop"]);
    world.done("a", &["space", "wait"]);
    world.done("b", &["space", "wait"]);
    // Device `b` builds the index in the background; a check waits for it.
    world.done("b", &["index", "check", "towns", "by_pop"]);
    let query = ["query", "towns", r#"{"pop":{"$gte":211}}"#, "--index", "by_pop"];
    assert_eq!(world.json("b", &[&query[..], &["--explain"]].concat())[0]["indexes"][0]["index"], "by_pop");
    assert_eq!(keys(&world.json("b", &query)), ["t5", "t2", "t4"]);
    // An index dropped on `b` is dropped on `a`.
    world.done("b", &["index", "drop", "towns", "by_pop"]);
    world.done("b", &["space", "wait"]);
    assert_eq!(world.done("a", &["index", "list", "towns"]), "");
}

#[test]
fn an_answer_is_whole_while_its_index_is_built_anew() {
    let world = World::new();
    let _running = world.up("a");
    let row = |row: u32| format!("{}\n", json!({ "id": row.to_string(), "day": row % 7 }));
    let file = world.file("rows.ndjson", &(0..4_000).map(row).collect::<String>());
    world.done("a", &["import", &file, "-c", "rows", "--id-column", "id"]);
    world.done("a", &["index", "create", "rows", "by_day", "day"]);
    std::thread::scope(|scope| {
        let building =
            scope.spawn(|| (0..12).for_each(|_| drop(world.done("a", &["index", "rebuild", "rows", "by_day"]))));
        while !building.is_finished() {
            assert_eq!(world.done("a", &["count", "rows", r#"{"day":{"$gte":0}}"#]), "4000");
        }
    });
}
