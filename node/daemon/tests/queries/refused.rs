//! Refused queries, and the next steps that they name.

use super::World;

#[test]
fn a_wrong_operator_is_pointed_at_with_the_right_one() {
    let world = World::with_towns();
    for command in ["query", "count"] {
        let (code, message, next) =
            world.refused("a", &[command, "towns", r#"{"$or":[{"pop":1},{"pop":{"$gtt":1}}]}"#]);
        assert_eq!(code, 2);
        assert_eq!(message, "the selector at /$or/1/pop/$gtt: there is no operator `$gtt`; is `$gt` meant?");
        assert_eq!(next, world.command("a", &format!("{command} --help")));
    }
    let (code, message, next) = world.refused("a", &["query", "towns", r#"{"pop":"#]);
    assert!(code == 2 && message.starts_with("not JSON: "), "{message}");
    assert!(next.starts_with(&world.command("a", "query towns '{")), "{next}");
}

#[test]
fn a_large_sort_names_the_index_that_serves_it() {
    let world = World::new();
    let _running = world.up("a");
    let row = |row: u32| serde_json::json!({ "id": row.to_string(), "my value": row * 7_919 % 10_007, "day": row % 7 });
    let file = world.file("rows.ndjson", &(0..10_001).map(|at| format!("{}\n", row(at))).collect::<String>());
    world.done("a", &["import", &file, "-c", "rows", "--id-column", "id"]);
    let query = ["query", "rows", "--sort", "day,my value", "--fields", "id"];
    let (code, message, next) = world.refused("a", &query);
    assert!(code == 4 && message.starts_with("more than 10000 documents match"), "{code} {message}");
    assert_eq!(next, world.command("a", "index create rows NAME day 'my value'"));
    // No index serves both directions in one sort, so no index is suggested.
    let mixed = ["query", "rows", "--sort", "day,-my value", "--fields", "id"];
    let (code, message, next) = world.refused("a", &mixed);
    assert!(code == 4 && !message.contains("make an index"), "{message}");
    assert!(next.contains("--limit 10000"), "{next}");
    assert_eq!(world.done("a", &[&mixed[..], &["--limit", "10000"]].concat()).lines().count(), 10_000);

    // The step, split like a shell does.
    let step = next_with(&world.refused("a", &query).2);
    let arguments: Vec<&str> = step.iter().map(String::as_str).collect();
    world.done("a", &arguments);
    let sorted = world.done("a", &query);
    assert_eq!(sorted.lines().count(), 10_001);
    let first: u32 = sorted.lines().next().and_then(|line| line.split('\t').next()?.parse().ok()).expect("a key");
    let of_day_0 = (0..10_001_u32).filter(|row| row % 7 == 0);
    assert_eq!(Some(first), of_day_0.min_by_key(|row| row * 7_919 % 10_007));
}

/// Returns the arguments of a printed step after `--dir DIR`, with a name in place of the placeholder.
fn next_with(step: &str) -> Vec<String> {
    let script = format!("set -- {step}; shift 3; printf '%s\\n' \"$@\"");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let words = String::from_utf8(output.stdout).expect("text");
    words.lines().map(|word| if word == "NAME" { "served" } else { word }.to_owned()).collect()
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::with_towns();
    let _running = world.up("a");
    let list = world.command("a", "index list towns");
    let none = (3, "the collection has no index \"nope\"".to_owned(), list);
    for arguments in [
        &["query", "towns", "--index", "nope"][..],
        &["index", "check", "towns", "nope"],
        &["index", "rebuild", "towns", "nope"],
        &["index", "drop", "towns", "nope"],
    ] {
        assert_eq!(world.refused("a", arguments), none, "{arguments:?}");
    }
    let (code, message, _) = world.refused("a", &["query", "towns", "--bookmark", "nonsense"]);
    assert_eq!((code, message.as_str()), (2, "the bookmark belongs to another query: begin without one"));
    let of_another = world.json("a", &["query", "towns", "--sort", "pop", "--limit", "1"]);
    let of_another = of_another[1]["bookmark"].as_str().expect("a bookmark");
    let (code, ..) = world.refused("a", &["query", "towns", "--sort", "-name", "--bookmark", of_another]);
    assert_eq!(code, 2);
    let (code, message, next) = world.refused("a", &["live", "towns", "--since", "nonsense"]);
    assert_eq!((code, next), (2, world.command("a", "live towns -o json")));
    assert!(message.contains("'nonsense' is not a cursor"), "{message}");
}

#[test]
fn a_forgotten_dollar_is_noticed_where_nothing_matches() {
    let world = World::with_towns();
    let said = |arguments: &[&str]| {
        let output = world.run("a", &[&["query", "towns"][..], arguments].concat());
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let forgotten = r#"{"name":{"lt":"B"}}"#;
    assert!(said(&[forgotten]).contains("is `$lt` meant?"));
    for arguments in [&[forgotten, "--limit", "0"][..], &[forgotten, "-q"], &[r#"{"name":{"$lt":"A"}}"#], &["{}"]] {
        assert!(!said(arguments).contains("meant?"), "{arguments:?}");
    }
}

#[test]
fn a_mistyped_collection_is_no_empty_answer() {
    let world = World::with_towns();
    let exported = world.refused("a", &["export", "twons", "-"]);
    assert_eq!((exported.0, exported.1.as_str()), (3, "there is no collection 'twons'"));
    let commands = [&["query", "twons"][..], &["query", "twons", r#"{"a":1}"#, "--sort", "a"], &["count", "twons"]];
    for arguments in [&commands[..], &[&["count", "twons", "--by", "a"], &["query", "twons", "-o", "json"]]].concat() {
        let (code, message, next) = world.refused("a", arguments);
        let plain = arguments.last() != Some(&"json");
        assert_eq!(code, 3, "{arguments:?}");
        assert!(!plain || message.starts_with("there is no collection "), "{arguments:?}: {message}");
        assert!(!plain || next == world.command("a", "collection list"), "{arguments:?}: {next}");
    }
    // A collection with a description, or with an index and no documents yet, exists.
    world.done("a", &["index", "create", "waits", "by_a", "a"]);
    assert_eq!(world.done("a", &["query", "waits"]), "");
    assert_eq!(world.done("a", &["count", "waits"]), "0");
    world.done("a", &["doc", "put", "plain/x", "{}"]);
    assert_eq!(world.done("a", &["query", "plain", r#"{"a":1}"#]), "");
}
