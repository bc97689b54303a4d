//! The JSON Schema of scenario files accepts every scenario, and refuses the same files as the reader.

use cosmicsync_sim::scenario::{parse, schema};
use serde_json::Value;
use std::path::Path;

fn says_yes(text: &str) -> bool {
    let value: Value = toml::from_str(text).expect("TOML");
    jsonschema::is_valid(&schema(), &value)
}

const SMALL: &str = r#"
    name = "small"
    about = "x"
    [topology]
    peers = 2
    [[workload]]
    kind = "text-edits"
    peers = [0]
    rate_hz = 1.0
    until = "2s"
    [[fault]]
    kind = "crash"
    at = "1s"
    peer = 1
    disk = { keep = 2 }
    restart = "1s"
"#;

#[test]
fn every_scenario_fits() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let value: Value = toml::from_str(&text).unwrap();
            if let Err(error) = jsonschema::validate(&schema(), &value) {
                panic!("{}: {error} at {}", path.display(), error.instance_path());
            }
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn schema_and_reader_refuse_the_same() {
    assert!(says_yes(SMALL) && parse(SMALL).is_ok());
    for (from, to) in [
        ("rate_hz = 1.0", "rate = 1.0"),
        ("kind = \"crash\"", "kind = \"crush\""),
        ("peer = 1", "pier = 1"),
        ("at = \"1s\"", "at = \"soon\""),
        ("at = \"1s\"", ""),
        ("at = \"1s\"", "at = \"1s\"\nafter = { event = \"peer.started\", peer = 0 }"),
        ("peers = 2", "peers = 2\nshape = \"cube\""),
        ("about = \"x\"", "abuot = \"x\""),
        ("kind = \"text-edits\"", ""),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert!(parse(&text).is_err(), "the reader takes {to}");
        assert!(!says_yes(&text), "the schema takes {to}");
    }
}
