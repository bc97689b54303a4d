//! Real processes: a killed daemon keeps its acknowledged writes, devices join one space after another, and the demo
//! succeeds.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};
use std::time::{Duration, Instant};

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

/// Starts `up` and waits until it serves commands.
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

/// A device, with a user of its own or without one.
struct Device {
    dir: PathBuf,
    daemon: Child,
}

impl Device {
    fn new(root: &Path, name: &str) -> Self {
        let dir = root.join(name);
        let daemon = up(&dir);
        Self { dir, daemon }
    }

    fn run(&self, arguments: &[&str]) -> Value {
        value(&run(&self.dir, arguments))
    }

    fn found(&self, space: &str) {
        assert_eq!(self.run(&["space", "create", space])["devices"], 1);
        self.run(&["doc", "put", "c/k", &format!(r#"{{"of":"{space}"}}"#), "-s", space]);
    }

    /// Joins a space. The link is up once this returns, so the next device can join at once.
    fn join(&self, founder: &Self, space: &str) {
        let invite = founder.run(&["space", "invite", "-s", space]);
        let joined = self.run(&["space", "join", invite["invite"].as_str().expect("a line")]);
        assert_eq!((&joined["name"], &joined["devices"]), (&Value::from(space), &Value::from(2)));
        assert_eq!(self.run(&["doc", "get", "c/k", "-s", space])["value"]["of"], space);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The daemon may have ended with the test.
        let _ = self.daemon.kill().and_then(|()| self.daemon.wait().map(drop));
    }
}

#[test]
fn two_spaces_are_joined_in_any_order() {
    let root = tempfile::tempdir().expect("a directory");
    for (at, (before, after, order)) in [
        (&["one", "two"][..], &[][..], ["one", "two"]),
        (&["one", "two"], &[], ["two", "one"]),
        (&["one"], &["two"], ["one", "two"]),
    ]
    .into_iter()
    .enumerate()
    {
        value(&run(&root.path().join(format!("a{at}")), &["init", "--name", "a"]));
        let (a, c) = (Device::new(root.path(), &format!("a{at}")), Device::new(root.path(), &format!("c{at}")));
        before.iter().for_each(|space| a.found(space));
        c.join(&a, order[0]);
        after.iter().for_each(|space| a.found(space));
        c.join(&a, order[1]);
        for space in order {
            c.run(&["doc", "put", "c/back", r#"{"n":1}"#, "-s", space]);
            c.run(&["space", "wait", "-s", space]);
            assert_eq!(a.run(&["doc", "get", "c/back", "-s", space])["value"]["n"], 1);
            let digest = |device: &Device| device.run(&["space", "digest", "-s", space])["digest"].clone();
            assert_eq!(digest(&a), digest(&c));
        }
    }
}

#[test]
fn copies_of_a_device_that_only_catch_up_are_named() {
    let root = tempfile::tempdir().expect("a directory");
    let [a, b, copy] = ["a", "b", "copy"].map(|name| root.path().join(name));
    value(&run(&a, &["init", "--name", "a"]));
    let a = Device::new(root.path(), "a");
    a.found("home");
    let joiner = Device::new(root.path(), "b");
    joiner.join(&a, "home");
    joiner.run(&["down"]);
    drop(joiner);
    assert!(Process::new("cp").arg("-a").args([&b, &copy]).status().expect("it runs").success());
    for (dir, key) in [(&b, "c/b"), (&copy, "c/copy")] {
        value(&run(dir, &["doc", "put", key, r#"{"n":1}"#]));
    }
    // Each dials the founder when it starts, sends its entries, and writes nothing more.
    let _twins = ["b", "copy"].map(|name| Device::new(root.path(), name));
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = |subject: &str| {
        let output = run(&a.dir, &["doctor"]);
        String::from_utf8(output.stdout).expect("text").contains(&format!(r#""subject":"{subject}""#))
    };
    let has = |key: &str| run(&a.dir, &["doc", "get", key]).status.success();
    while !(has("c/b") && has("c/copy")) {
        assert!(Instant::now() < deadline, "b {} copy {}", has("c/b"), has("c/copy"));
    }
    // The deadline is before the first keep-alive.
    let deadline = Instant::now() + Duration::from_secs(8);
    while !found("copies") {
        assert!(Instant::now() < deadline, "nothing is said of copies");
    }
}

/// Imports rows into a collection and returns the number of bytes of entries.
fn import(dir: &Path, rows: std::ops::Range<usize>, collection: &str, flags: &[&str]) -> u64 {
    let bytes = || {
        let written = &value(&run(dir, &["status"]))["store"]["written"];
        let parts = written.as_object().expect("an object").iter();
        parts
            .filter(|(part, _)| !["entries", "items"].contains(&part.as_str()))
            .map(|(_, of)| of.as_u64().expect("a number"))
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
fn documents_erasable_together_take_fewer_bytes() {
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
