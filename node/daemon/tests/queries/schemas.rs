//! Schemas: setting, enforcing and checking them.

use super::World;

const TOWN: &str = r#"{"required":["name"],"properties":{"pop":{"type":"integer","maximum":300},
    "likes":{"type":"integer","x-crdt":"counter","default":0}}}"#;

#[test]
fn a_schema_is_refused_forced_and_shown() {
    let world = World::with_towns();
    let _running = world.up("a");
    let file = world.file("town.json", TOWN);
    let (code, message, next) = world.refused("a", &["schema", "set", "towns", &file]);
    let expected = "1 of 6 documents violate the schema (the first is \"t4\": /pop: 311 is above 300): correct them, or \
                    set it with force";
    assert_eq!((code, message.as_str()), (4, expected));
    assert_eq!(next, world.command("a", "schema set towns FILE --force"));
    assert_eq!(world.json("a", &["schema", "set", "towns", &file, "--dry-run"])[0]["invalid"], 1);
    let (code, _, next) = world.refused("a", &["schema", "show", "towns"]);
    assert_eq!((code, next), (3, world.command("a", "schema set towns FILE")));

    let report = &world.json("a", &["schema", "set", "towns", &file, "--force"])[0];
    assert_eq!((&report["number"], &report["documents"], &report["invalid"]), (&1.into(), &6.into(), &1.into()));
    assert_eq!(report["examples"][0]["violations"][0]["pointer"], "/pop");
    let shown = &world.json("a", &["schema", "show", "towns"])[0];
    assert_eq!(shown["schema"], serde_json::from_str::<serde_json::Value>(TOWN).expect("JSON"));
    assert_eq!(world.done("a", &["query", "towns", r#"{"$valid":false}"#, "--fields", "$valid,pop"]), "t4\tfalse\t311");
    let output = world.run("a", &["schema", "check", "towns"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("t4\t/pop\t311 is above 300"));

    world.done("a", &["doc", "patch", "towns/t4", r#"{"pop":300}"#]);
    world.done("a", &["schema", "check", "towns"]);
    world.done("a", &["schema", "drop", "towns"]);
    assert_eq!(world.refused("a", &["schema", "check", "towns"]).0, 3);
}

#[test]
fn a_write_against_the_schema_says_all_that_is_wrong() {
    let world = World::new();
    world.done("a", &["schema", "set", "towns", TOWN]);
    let (code, message, _) = world.refused("a", &["doc", "put", "towns/x", r#"{"pop":1.5}"#]);
    let expected = "the document violates its schema: the document: the member \"name\" is missing; and 1 more";
    assert_eq!((code, message.as_str()), (4, expected));
    let output = world.run("a", &["doc", "put", "towns/x", r#"{"pop":1.5}"#, "-o", "json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], "invalid");
    let violations = error["error"]["violations"].as_array().expect("a list");
    assert_eq!(
        violations.iter().map(|one| one["keyword"].as_str()).collect::<Vec<_>>(),
        [Some("required"), Some("type")]
    );
    let rows = world.file("rows.ndjson", "{\"name\":\"a\"}\n{\"name\":\"b\",\"pop\":301}\n");
    let (code, message, _) = world.refused("a", &["import", &rows, "-c", "towns"]);
    assert!(code == 4 && message.contains("line 2") && message.contains("301 is above 300"), "{code} {message}");
    assert_eq!(world.done("a", &["count", "towns"]), "0");

    // A valid document has the defaults.
    world.done("a", &["doc", "put", "towns/x", r#"{"name":"X"}"#]);
    assert_eq!(world.json("a", &["doc", "get", "towns/x"])[0]["value"]["likes"], 0);
    for (schema, wrong) in [
        (
            r#"{"properties":{"a":{"typ":1}}}"#,
            "there is no keyword \"typ\"; begin your own with x- (at /properties/a of the schema)",
        ),
        (r#"{"$ref":"https://example.org/s"}"#, "$ref leads only within the schema"),
        (r##"{"$ref":"#"}"##, "the schema refers to itself"),
    ] {
        let (code, message, next) = world.refused("a", &["schema", "set", "towns", schema]);
        assert!(code == 2 && message.starts_with(wrong), "{code} {message}");
        assert_eq!(next, world.command("a", "schema set --help"));
    }
}

#[test]
fn what_describes_collections_is_changed_by_commands_of_its_own() {
    let world = World::with_towns();
    let _running = world.up("a");
    let file = world.file("row.ndjson", "{}\n");
    for command in [
        &["doc", "put", "_collections/towns", "{}"][..],
        &["doc", "put", "_mine", "{}"],
        &["doc", "patch", "_collections/towns", r#"{"schema":"x"}"#],
        &["doc", "delete", "_collections/towns"],
        &["import", &file, "-c", "_mine"],
        &["index", "create", "_collections", "by_name", "name"],
    ] {
        let (code, message, _) = world.refused("a", command);
        assert!(code == 4 && message.contains("is reserved"), "{command:?}: {code} {message}");
    }
    assert_eq!(world.done("a", &["count", "towns"]), "6");
}
