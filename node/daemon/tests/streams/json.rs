//! All interfaces parse JSON alike.

use super::*;

#[test]
fn json_is_refused_alike_at_every_door() {
    let world = World::new();
    world.done(&["doc", "put", "c/there", r#"{"n":0}"#]);
    for (json, why) in [
        (r#"{"n":123456789012345678901234567890}"#, "does not fit in 64 bits"),
        (r#"{"n":-9223372036854775809}"#, "does not fit in 64 bits"),
        (r#"{"n":9223372036854775808}"#, "does not fit in 64 bits"),
        (r#"{"n":1e999}"#, "beyond what a double can hold"),
        (r#"{"n":1e-999}"#, "beyond what a double can hold"),
        (r#"{"n":1,"n":2}"#, "appears twice"),
        (r#"{"a":{"n":1,"n":2}}"#, "appears twice"),
        (r#"{"n":"\ud800"}"#, "hex escape"),
        (r#"{"n":NaN}"#, "expected"),
        (r#"{"n":Infinity}"#, "expected"),
    ] {
        let file = world.file("in.ndjson", format!("{json}\n"));
        let array = world.file("in.json", format!("[{json}]"));
        for arguments in [
            &["doc", "put", "c/x", json][..],
            &["doc", "patch", "c/there", json],
            &["import", &file, "-c", "i"],
            &["import", &array, "-c", "i"],
        ] {
            let (code, said) = world.refused(arguments);
            assert!(code == 2 && said.contains(why), "{arguments:?}: {code} {said}");
        }
        let piped = world.fed(&["doc", "put", "c/x", "-"], json.as_bytes());
        assert_eq!(piped.status.code(), Some(2), "{json}");
    }
    assert_eq!(world.values("c"), [serde_json::json!({ "n": 0 })]);
    world.done(&["doc", "put", "c/x", r#"{"n":9223372036854775807,"m":-9223372036854775808,"f":1e300}"#]);
}
