//! The HTTP API of the program, with a client that only uses TCP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command as Process, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device with a space.
struct World {
    root: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { root: TempDir::new().expect("a directory") };
        world.done(&["init", "--name", "a"]);
        world.done(&["space", "create", "home"]);
        world
    }

    fn process(&self, arguments: &[&str]) -> Process {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.arg("--dir").arg(self.root.path().join("a")).args(arguments).stdin(Stdio::null());
        process
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.process(arguments).output().expect("it runs")
    }

    /// Returns the output of a command that must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    fn up(&self) -> Running {
        let arguments = ["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "-o", "json", "-q"];
        let mut child = self.process(&arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let status: Value = serde_json::from_str(&line).expect("JSON");
        let url = status["http"].as_str().expect("a URL");
        let address = url.strip_prefix("http://").expect("HTTP").to_owned();
        Running { child, address }
    }
}

/// A node that runs until it is dropped.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait().map(drop));
    }
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status.
    #[track_caller]
    fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream
    }

    /// Sends the head of a request and its body.
    fn send(&self, token: &str, line: &str, kind: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it is taken");
        stream
    }

    fn call(&self, token: &str, line: &str, kind: &str, body: &[u8]) -> Answer {
        let mut bytes = Vec::new();
        self.send(token, line, kind, body).read_to_end(&mut bytes).expect("an answer");
        read(&bytes)
    }
}

/// Parses an answer.
fn read(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut rest = &bytes[end..];
    if !head.contains("transfer-encoding: chunked") {
        return Answer { status, head, body: rest.to_vec() };
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a length");
        let length = core::str::from_utf8(&rest[..line]).expect("digits");
        let length = usize::from_str_radix(length, 16).expect("digits");
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
        if length == 0 {
            return Answer { status, head, body };
        }
    }
}

const JSON: &str = "application/json";

#[test]
fn a_program_writes_finds_imports_and_exports() {
    let world = World::new();
    // Tokens can be created with a running node and without.
    let before = world.done(&["token", "create", "before"]);
    let node = world.up();
    let token = world.done(&["token", "create", "during", "--read-only", "--expires", "1h"]);
    let docs = "/v1/spaces/-/collections/towns";
    node.call(&before, &format!("PUT {docs}/docs/dover"), JSON, br#"{"name":"Dover","pop":39}"#).ok(201);
    let read = node.call(&token, &format!("GET {docs}/docs/dover"), JSON, b"").ok(200);
    assert_eq!(read.json(), json!({ "name": "Dover", "pop": 39 }));
    assert!(read.head.contains("etag: \""), "{}", read.head);
    node.call(&token, &format!("PUT {docs}/docs/dover"), JSON, b"{}").ok(403);
    let rows: String = (0..3000).map(|at| format!("k{at},{}\n", "x".repeat(at % 300))).collect();
    let file = format!("key,text\n{rows}");
    let path = "POST /v1/spaces/-/collections/rows/import?id=key";
    assert_eq!(node.call(&before, path, "text/csv", file.as_bytes()).ok(200).json()["documents"], 3000);
    let found = node.call(&token, "POST /v1/spaces/-/collections/rows/find", JSON, br#"{"selector":{"key":"k7"}}"#);
    assert_eq!(found.ok(200).json()["docs"][0]["value"]["text"], "x".repeat(7));
    let exported = node.call(&token, "GET /v1/spaces/-/collections/rows/export?format=csv", JSON, b"").ok(200);
    assert!(exported.head.contains("transfer-encoding: chunked"), "{}", exported.head);
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&String::from_utf8(exported.body).expect("text")), sorted(&file));
    // The command line and the HTTP API use the same node.
    assert_eq!(world.done(&["count", "rows"]), "3000");
    assert!(world.done(&["status", "-o", "json"]).contains(&format!("\"http\":\"http://{}\"", node.address)));
    assert_eq!(world.done(&["token", "list"]).lines().count(), 2);
    world.done(&["token", "revoke", "during"]);
    let refused = node.call(&token, "GET /v1/status", JSON, b"").ok(401);
    assert_eq!(refused.json()["code"], "unauthenticated");
    node.call("", "GET /healthz", JSON, b"").ok(200);
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let world = World::new();
    let token = world.done(&["token", "create", "ci"]);
    let node = world.up();
    let path = "/v1/spaces/-/collections/towns/docs/dover";
    let version = node.call(&token, &format!("PUT {path}"), JSON, br#"{"n":1}"#).ok(201).json()["version"].clone();
    drop(node);
    let node = world.up();
    let read = node.call(&token, &format!("GET {path}"), JSON, b"").ok(200);
    assert!(read.head.contains(version.as_str().expect("text")), "{}", read.head);
}

#[test]
fn a_backup_has_no_tokens() {
    let world = World::new();
    world.done(&["token", "create", "ci"]);
    let path = |name: &str| world.root.path().join(name).display().to_string();
    std::fs::write(path("passphrase"), "a long passphrase").expect("written");
    let (file, passphrase) = (path("backup"), path("passphrase"));
    world.done(&["backup", "create", &file, "--passphrase-file", &passphrase]);
    let restored = path("restored");
    let at = ["--dir", &restored];
    let command = |arguments: &[&str]| {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        let output = process.args(at).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    command(&["backup", "restore", &file, "--passphrase-file", &passphrase]);
    assert_eq!(command(&["space", "list"]).lines().count(), 1);
    assert_eq!(command(&["token", "list"]), "");
    assert_eq!(world.done(&["token", "list"]).lines().count(), 1);
}

#[test]
fn events_end_with_the_node() {
    let world = World::new();
    let token = world.done(&["token", "create", "ci"]);
    let mut node = world.up();
    let mut events = node.send(&token, "GET /v1/spaces/-/changes?feed=eventsource", JSON, b"");
    let mut told = Vec::new();
    let mut read_to = |told: &mut Vec<u8>, end: &str| {
        while !String::from_utf8_lossy(told).contains(end) {
            let mut piece = [0; 1024];
            let count = events.read(&mut piece).expect("events");
            assert_ne!(count, 0, "it ended: {}", String::from_utf8_lossy(told));
            told.extend_from_slice(&piece[..count]);
        }
    };
    read_to(&mut told, "event: ready\ndata: ");
    node.call(&token, "PUT /v1/spaces/-/collections/towns/docs/dover", JSON, b"{}").ok(201);
    read_to(&mut told, "event: change\ndata: ");
    world.done(&["down"]);
    events.read_to_end(&mut told).expect("it ends");
    let answer = read(&told);
    assert!(answer.head.contains("content-type: text/event-stream"), "{answer:?}");
    assert!(node.child.wait().expect("it ended").success());
}

#[test]
fn what_is_no_request_is_refused_and_the_node_goes_on() {
    let world = World::new();
    let token = world.done(&["token", "create", "ci"]);
    let node = world.up();
    let large = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(500));
    for (request, status) in [
        (&b"\x00\x01\x02\r\n\r\n"[..], "400"),
        (b"GET / HTTP/9.9\r\n\r\n", "400"),
        (large.as_bytes(), "431"),
        (many.as_bytes(), "431"),
        (b"PUT /v1/status HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n", "400"),
    ] {
        let mut stream = node.connect();
        // The node may close before it has received everything.
        drop(stream.write_all(request));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(line.is_empty() || line.starts_with(&format!("HTTP/1.1 {status}")), "{line}");
    }
    // Bodies that end too early, and clients that disconnect without reading.
    let mut short = node.connect();
    let head = format!(
        "PUT /v1/spaces/-/collections/t/docs/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    short.write_all(head.as_bytes()).expect("it is taken");
    drop(short);
    drop(node.send(&token, "GET /v1/status", JSON, b""));
    node.call(&token, "GET /v1/spaces/-/collections/t/docs/a", JSON, b"").ok(404);
    node.call(&token, "GET /v1/status", JSON, b"").ok(200);
}

#[test]
fn the_description_is_printed_without_a_node() {
    let process = Process::new(env!("CARGO_BIN_EXE_cosmicsync")).arg("openapi").output().expect("it runs");
    let published = include_str!("../../api/openapi.json");
    assert_eq!(String::from_utf8(process.stdout).expect("text"), published);
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (http, code, part) in [(address.as_str(), 6, address.as_str()), ("nowhere", 2, "nowhere"), (":x", 2, ":x")] {
        let output = world.run(&["up", "--listen", "127.0.0.1:0", "--http", http]);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part) && said.contains(" next: "), "{said}");
    }
}

#[test]
fn a_remote_command_line_needs_an_address_and_a_token() {
    let world = World::new();
    let running = world.up();
    let token = world.done(&["token", "create", "laptop"]);
    let elsewhere = |token: &str, arguments: &[&str]| {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.arg("--url").arg(format!("http://{}", running.address)).args(arguments).stdin(Stdio::null());
        process.env("COSMICSYNC_TOKEN", token).env("COSMICSYNC_PASSPHRASE", "long enough");
        process.output().expect("it runs")
    };
    let file = world.root.path().join("towns.csv");
    std::fs::write(&file, "id,name\nu,Ulm\na,Aalen\n").expect("a file");
    let file = file.to_str().expect("text");
    let backup = world.root.path().join("backup");
    for arguments in [
        &["status"][..],
        &["doc", "put", "notes/n1", r#"{"text":"from afar"}"#],
        &["import", file, "--collection", "towns", "--id-column", "id"],
        &["query", "towns", r#"{"name":"Ulm"}"#],
        &["doctor"],
        &["backup", "create", backup.to_str().expect("text")],
    ] {
        let output = elsewhere(&token, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(world.done(&["count", "towns", "{}"]), "2");
    let refused = |output: Output, code: i32, told: &str| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(told), "{text}");
    };
    // Stopping the node and its local matters are refused to other machines.
    refused(elsewhere(&token, &["down"]), 4, "does not allow this");
    refused(elsewhere(&token, &["init", "--name", "b"]), 2, "--url does not belong here");
    refused(elsewhere("", &["status"]), 2, "COSMICSYNC_TOKEN");
    refused(elsewhere("cs_pat_0", &["status"]), 4, "on that machine: cosmicsync token create");
    let reader = world.done(&["token", "create", "reader", "--read-only"]);
    refused(elsewhere(&reader, &["doc", "put", "notes/n2", "{}"]), 4, "reading only");
}
