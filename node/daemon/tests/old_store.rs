//! A store that the first version wrote is opened by this one, whole; being a copy, it goes on under new logs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use serde_json::{Value, json};

fn run(dir: &Path, arguments: &[&str]) -> Value {
    let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
    let output = process
        .arg("--dir")
        .arg(dir)
        .args(["-o", "json"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

#[test]
fn a_store_of_the_first_version_is_read_and_written() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("old");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v0");
    fs::create_dir(&dir).expect("a directory");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("a mode");
    for (from, to) in [("data.bin", "data.mdb"), ("keys.bin", "keys")] {
        fs::copy(fixture.join(from), dir.join(to)).expect("a copy");
        fs::set_permissions(dir.join(to), fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let trip = json!({ "body": "Pack: tent, stove", "n": 1, "nested": { "list": [1, 2.5, null, true] } });
    assert_eq!(run(&dir, &["doc", "get", "notes/trip"])["value"], trip);
    assert_eq!(run(&dir, &["doc", "get", "cities/00501"])["value"], json!({ "zip": "00501", "city": "Holtsville" }));
    run(&dir, &["doc", "type", "notes/trip", "body", "!", "--at", "17"]);
    assert_eq!(run(&dir, &["doc", "get", "notes/trip"])["value"]["body"], "Pack: tent, stove!");
}
