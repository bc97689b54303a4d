//! Writes with conditions, versions and conflicts on the command line, over real nodes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A device without peers.
struct Device(TempDir);

impl Device {
    fn new() -> Self {
        let device = Self(TempDir::new().expect("a directory"));
        device.done(&["init"]);
        device.done(&["space", "create", "home"]);
        device
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn run_with(&self, arguments: &[&str], input: Option<&str>) -> Output {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.arg("--dir").arg(self.dir().join("data")).args(arguments);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut stdin, input.unwrap_or_default().as_bytes()).expect("it reads");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, None);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run_with(arguments, None);
        let code = output.status.code().expect("it ends by itself");
        assert_ne!(code, 0, "{arguments:?}");
        (code, String::from_utf8(output.stderr).expect("text"))
    }

    fn value(&self, doc: &str) -> serde_json::Value {
        serde_json::from_str(&self.done(&["doc", "get", doc])).expect("JSON")
    }

    fn version(&self, doc: &str) -> String {
        let shown = self.done(&["-o", "json", "doc", "get", doc]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        shown["version"].as_str().expect("a version").to_owned()
    }
}

#[test]
fn a_document_is_changed_compared_and_gone_back_to() {
    let device = Device::new();
    device.done(&["doc", "put", "notes/a", r#"{"body":"one","n":1,"tags":["x","y"]}"#, "--text", "body"]);
    let first = device.version("notes/a");
    device.done(&["doc", "add", "notes/a", "n", "41"]);
    device.done(&["doc", "insert", "notes/a", "tags", r#""z""#, r#""w""#]);
    device.done(&["doc", "move", "notes/a", "tags", "3", "0"]);
    device.done(&["doc", "remove", "notes/a", "tags.1"]);
    device.done(&["doc", "patch", "notes/a", r#"[{"op":"add","path":"/m","value":{"k":true}}]"#]);
    let now = serde_json::json!({ "body": "one", "m": { "k": true }, "n": 42, "tags": ["w", "y", "z"] });
    assert_eq!(device.value("notes/a"), now);

    let then = device.done(&["doc", "at", "notes/a", &first[..8]]);
    assert_eq!(then, device.done(&["doc", "at", "notes/a", &first]));
    assert!(then.contains("\"n\": 1"), "{then}");
    let diff = device.done(&["doc", "diff", "notes/a", &first[..8]]);
    assert!(diff.contains("replace\t/n\t1\t42"), "{diff}");
    let history = device.done(&["doc", "history", "notes/a"]);
    assert_eq!(history.lines().count(), 6, "{history}");
    assert!(history.contains(&format!("\t{}\t", &first[..12])), "{history}");

    device.done(&["doc", "revert", "notes/a", &first[..8]]);
    assert_eq!(device.value("notes/a")["n"], 1);
    device.done(&["doc", "undo", "notes/a"]);
    assert_eq!(device.value("notes/a"), now);
    device.done(&["doc", "delete", "notes/a"]);
    let (code, told) = device.refused(&["doc", "get", "notes/a"]);
    assert!(code == 3 && told.contains("was deleted"), "{told}");
    device.done(&["doc", "undelete", "notes/a"]);
    assert_eq!(device.value("notes/a"), now);
    assert_eq!(device.done(&["doc", "conflicts", "notes/a"]), "");
    let (code, told) = device.refused(&["doc", "at", "notes/a", "ffffffff"]);
    assert!(code == 3 && told.contains("next: cosmicsync"), "{told}");
}

#[test]
fn a_write_is_made_if_what_it_asks_for_holds() {
    let device = Device::new();
    device.done(&["doc", "put", "notes/a", r#"{"n":1}"#, "--if", "absent"]);
    let (code, told) = device.refused(&["doc", "put", "notes/a", r#"{"n":2}"#, "--if", "absent"]);
    assert!(code == 4 && told.contains("exists already"), "{told}");
    let version = device.version("notes/a");
    device.done(&["doc", "patch", "notes/a", r#"{"n":2}"#, "--if", &version]);
    let (code, told) = device.refused(&["doc", "delete", "notes/a", "--if", &version]);
    assert!(code == 4 && told.contains("somebody changed it"), "{told}");
    for _ in 0..2 {
        device.done(&["doc", "add", "notes/a", "n", "--idempotency-key", "once"]);
    }
    assert_eq!(device.value("notes/a")["n"], 3);
    let (code, _) = device.refused(&["doc", "add", "notes/a", "n", "--if", "maybe"]);
    assert_eq!(code, 2);
}

#[test]
fn many_writes_come_as_lines() {
    let device = Device::new();
    let lines: String =
        (0..600).map(|at| format!("{{\"op\":\"put\",\"doc\":\"rows/{at}\",\"value\":{{\"n\":{at}}}}}\n")).collect();
    let output = device.run_with(&["doc", "apply"], Some(&lines));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 600);
    assert_eq!(device.value("rows/599")["n"], 599);

    let both =
        "{\"op\":\"add\",\"doc\":\"rows/1\",\"path\":\"n\",\"by\":1}\n{\"op\":\"delete\",\"doc\":\"rows/none\"}\n";
    let output = device.run_with(&["doc", "apply", "--atomic"], Some(both));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && told.contains("write 2 of 2"), "{told}");
    assert_eq!(device.value("rows/1")["n"], 1);

    let wrong = "{\"op\":\"add\",\"doc\":\"rows/1\",\"path\":\"n\",\"by\":1}\nno write\n";
    let output = device.run_with(&["doc", "apply"], Some(wrong));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("line 2") && told.contains("1 writes before"), "{told}");
    assert_eq!(device.value("rows/1")["n"], 2);
}

#[test]
fn a_text_takes_more_edits_than_an_update_holds() {
    let device = Device::new();
    device.done(&["doc", "put", "notes/a", r#"{"body":""}"#, "--text", "body"]);
    let patches: Vec<String> = (0..5_000).map(|at| format!("[{at},0,\"x\"]")).collect();
    let line = format!("[{}]\n", patches.join(","));
    let output = device.run_with(&["doc", "type", "notes/a", "body", "--patches", "-"], Some(&line));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let long = format!("{{\"body\":\"{}\"}}", "y".repeat(600_000));
    let output = device.run_with(&["doc", "put", "notes/a", "-"], Some(&long));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(device.value("notes/a")["body"].as_str().map(str::len), Some(600_000));
}

#[test]
fn collections_are_listed_shown_and_dropped() {
    let device = Device::new();
    device.done(&["doc", "put", "notes/a", r#"{"body":"x"}"#, "--text", "body"]);
    device.done(&["doc", "put", "notes/b", "{}"]);
    device.done(&["doc", "put", "other/a", "{}"]);
    assert_eq!(device.done(&["collection", "list"]), "notes\t2\t\t\tbody\nother\t1");
    assert!(device.done(&["collection", "show", "notes"]).contains("documents\t2"));
    device.done(&["collection", "drop", "notes"]);
    assert_eq!(device.done(&["collection", "list"]), "other\t1");
    assert_eq!(device.done(&["doc", "list", "notes"]), "");
    let (code, told) = device.refused(&["collection", "drop", "notes"]);
    assert!(code == 3 && told.contains("next: cosmicsync"), "{told}");
    device.done(&["doc", "undelete", "notes/a"]);
    assert_eq!(device.done(&["doc", "list", "notes"]).lines().count(), 1);
}

/// A running node, stopped when it is dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

impl Device {
    fn spawn(&self, arguments: &[&str]) -> std::process::Child {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.arg("--dir").arg(self.dir().join("data")).args(arguments);
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    fn up(&self) -> Running {
        let mut node = self.spawn(&["up", "--listen", "127.0.0.1:0"]);
        let mut line = String::new();
        let out = node.stdout.as_mut().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("it speaks");
        Running(node)
    }

    /// Returns the next changes after a cursor.
    fn changes(&self, since: Option<&str>, count: usize) -> Vec<serde_json::Value> {
        let mut arguments = vec!["doc", "watch", "-o", "json"];
        arguments.extend(since.iter().flat_map(|cursor| ["--since", cursor]));
        let mut watch = Running(self.spawn(&arguments));
        let out = std::io::BufReader::new(watch.0.stdout.take().expect("piped"));
        let lines = std::io::BufRead::lines(out).take(count);
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect()
    }
}

#[test]
fn a_watch_goes_on_behind_a_cursor_after_a_restart() {
    let device = Device::new();
    let node = device.up();
    let mut first = Running(device.spawn(&["doc", "watch", "-o", "json"]));
    // The watch began after all earlier writes.
    let out = std::io::BufReader::new(first.0.stdout.take().expect("piped"));
    let mut lines = std::io::BufRead::lines(out);
    let (seen, waits) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || drop(seen.send(lines.next())));
    let mut put = 0;
    let change = loop {
        device.done(&["doc", "put", "notes/first", &format!("{{\"n\":{put}}}")]);
        put += 1;
        if let Ok(line) = waits.try_recv() {
            break line.expect("a change").expect("text");
        }
    };
    reader.join().expect("it ends");
    drop(first);
    let change: serde_json::Value = serde_json::from_str(&change).expect("JSON");
    let cursor = change["cursor"].as_str().expect("a cursor").to_owned();
    device.done(&["doc", "put", "notes/b", "{}"]);
    device.done(&["doc", "delete", "notes/first"]);
    drop(node);
    device.done(&["doc", "put", "notes/c", "{}"]);
    let _node = device.up();
    let told = device.changes(Some(&cursor), 3);
    let keys: Vec<_> = told.iter().map(|change| (change["key"].as_str(), change["value"].is_null())).collect();
    let last = &keys[keys.len() - 3..];
    assert_eq!(last, [(Some("b"), false), (Some("first"), true), (Some("c"), false)], "{told:?}");
    let (code, said) = device.refused(&["doc", "watch", "--since", "0000000000000000.7"]);
    assert!(code == 3 && said.contains("another store"), "{said}");
    let (code, _) = device.refused(&["doc", "watch", "--since", "yesterday"]);
    assert_eq!(code, 2);
}

#[test]
fn events_of_the_core_are_logged_without_content() {
    let device = Device::new();
    let output = device.run_with(&["-vv", "doc", "put", "notes/secret", "-"], Some("{\"word\": \"sesame\"}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("event=Committed"), "{said}");
    assert!(!said.contains("sesame") && !said.contains("secret"), "{said}");
}
