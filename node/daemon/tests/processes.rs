//! Real processes: a daemon that is killed keeps what it acknowledged, and the demo holds what it says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command as Process, Output, Stdio};

use serde_json::Value;

fn cosmicsync(dir: &Path) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
    process.arg("--dir").arg(dir).args(["--output", "json"]).stdin(Stdio::null());
    process
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    cosmicsync(dir).args(arguments).output().expect("it runs")
}

fn value(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

/// Starts `up` and waits until it says that it serves.
fn up(dir: &Path) -> Child {
    let mut child =
        cosmicsync(dir).args(["up", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
    let status: Value = serde_json::from_str(&line).expect("a status");
    assert_eq!(status["daemon"], true);
    child
}

#[test]
fn a_killed_daemon_keeps_what_it_acknowledged() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("n");
    let status = value(&run(&dir, &["init", "--name", "n"]));
    assert!(status["recovery_key"].is_string());
    let mut daemon = up(&dir);
    value(&run(&dir, &["space", "create", "home"]));
    value(&run(&dir, &["doc", "put", "c/k", r#"{"n":1}"#]));
    assert_eq!(value(&run(&dir, &["doc", "get", "c/k"]))["value"]["n"], 1);
    daemon.kill().and_then(|()| daemon.wait()).expect("it dies");

    let mut daemon = up(&dir);
    assert_eq!(value(&run(&dir, &["doc", "get", "c/k"]))["value"]["n"], 1);
    assert_eq!(value(&run(&dir, &["status"]))["recovery_key"], Value::Null);
    value(&run(&dir, &["down"]));
    assert!(daemon.wait().expect("it ends").success());
    assert_eq!(value(&run(&dir, &["doc", "get", "c/k"]))["value"]["n"], 1, "without a daemon too");
}

/// Imports rows into a collection and returns for how many bytes of entries.
fn import(dir: &Path, rows: std::ops::Range<usize>, collection: &str, flags: &[&str]) -> u64 {
    let bytes = || {
        let written = &value(&run(dir, &["status"]))["store"]["written"];
        let parts = written.as_object().expect("an object").iter();
        parts
            .filter(|(part, _)| !["entries", "items"].contains(&part.as_str()))
            .map(|(_, of)| of.as_u64().unwrap())
            .sum()
    };
    let row = |at: usize| format!("{{\"name\":\"row {at}\",\"mixed\":\"{:x}\"}}\n", at.wrapping_mul(0x9e37_79b9_7f4a));
    let file = dir.with_extension("ndjson");
    std::fs::write(&file, rows.map(row).collect::<String>()).expect("a file");
    let before: u64 = bytes();
    let file = file.display().to_string();
    value(&run(dir, &[&["import", &file, "--collection", collection], flags].concat()));
    bytes() - before
}

#[test]
fn documents_that_are_erasable_together_take_fewer_bytes_and_read_the_same() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("n");
    value(&run(&dir, &["init", "--name", "n"]));
    let mut daemon = up(&dir);
    value(&run(&dir, &["space", "create", "home"]));
    let alone = import(&dir, 0..300, "alone", &[]);
    let declared = import(&dir, 0..300, "together", &["--erasable-together"]);
    let later = import(&dir, 300..600, "together", &[]);
    assert!(declared * 3 < alone * 2 && later * 3 < alone * 2, "{alone} {declared} {later}");
    value(&run(&dir, &["down"]));
    assert!(daemon.wait().expect("it ends").success());
    let export = |collection: &str| {
        let output = run(&dir, &["export", collection, "-", "--format", "ndjson"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(export("together").starts_with(&export("alone")));
    assert_eq!(export("together").lines().count(), 600);
}

#[test]
fn the_demo_holds_what_it_says() {
    let root = tempfile::tempdir().expect("a directory");
    let mut demo = cosmicsync(&root.path().join("unused"));
    let output = demo.arg("demo").env("TMPDIR", root.path()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let summary = steps.last().expect("some steps");
    assert_eq!(summary["step"], "summary");
    assert!(steps.iter().any(|step| step["step"] == "recover" && step["lost"] == 0));
}
