//! The binary on the command line: help, errors, exit codes and output, against a fake node behind a real socket.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command as Process, Output, Stdio};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread;

use cosmicsync_node::service::{
    Answer, Backend, Bodies, Command, DocView, ErrorCode, Export, Exported, Finding, Item, Level, Listed, Reply,
    Server, ServiceError, Space, Text,
};
use cosmicsync_node::service::{DocId, SpaceId};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug)]
struct Pretended;

impl Pretended {
    async fn answer(command: Command, items: mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let echo = serde_json::to_string(&command).unwrap_or_default();
        if let Command::SpaceList {} = command {
            return Ok(Reply::Spaces(vec![home()]));
        }
        if let Command::DocGet { doc, .. } = command {
            return if doc.to_string() == "zip/00501" {
                Ok(Reply::Document(document("00501", json!({ "city": "Holtsville" }))))
            } else {
                let error = ServiceError::new(ErrorCode::NotFound, format!("there is no document {doc}"));
                Err(error.next("cosmicsync doc list zip"))
            };
        }
        if let Command::DocList(list) = command {
            let (count, more) = (list.limit.unwrap_or(5), list.limit.map_or(0, |limit| 5_u64.saturating_sub(limit)));
            for index in 0..count {
                let _ = items.send(Item::Document(document(&index.to_string(), json!({ "n": index })))).await;
            }
            let next = (more > 0).then(|| "zip/2".to_owned());
            return Ok(Reply::Listed(Listed { count, more, next }));
        }
        if let Command::Export(Export { collection, .. }) = command {
            let _ = items.send(Item::Chunk("a,b\n".to_owned())).await;
            if collection == "broken" {
                return Err(ServiceError::new(ErrorCode::StoreDamaged, "a page is damaged"));
            }
            let _ = items.send(Item::Chunk("1,2\n".to_owned())).await;
            return Ok(Reply::Exported(Exported { collection, documents: 1, bytes: 8 }));
        }
        if let Command::Doctor { .. } = command {
            let (subject, message) = ("disk".to_owned(), "full".to_owned());
            return Ok(Reply::Doctor(vec![Finding { level: Level::Problem, subject, message, next: None }]));
        }
        Err(ServiceError::new(ErrorCode::Refused, echo))
    }
}

fn document(key: &str, value: serde_json::Value) -> DocView {
    let (collection, key) = ("zip".to_owned(), Some(key.to_owned()));
    DocView { doc: Text(DocId([0xab; 16])), collection, key, version: None, valid: None, value: Some(value) }
}

fn home() -> Space {
    Space {
        space: Text(SpaceId([7; 32])),
        name: "home".to_owned(),
        documents: 3,
        logs: 2,
        devices: 1,
        bodies: Bodies::Newest(5),
        missing: 0,
    }
}

impl Backend for Pretended {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(Self::answer(command, items))
    }
}

/// A data directory with a fake daemon.
struct World {
    dir: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = std_mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = Server::bind(&path).expect("a socket");
            ready.send(()).expect("someone waits");
            server.run(Arc::new(Pretended), async { drop(stopped.await) }).await;
        });
    });
    is_ready.recv().expect("it serves");
    World { dir, _stop: stop }
}

fn process(dir: &Path, arguments: &[&str]) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
    process.env_clear().arg("--dir").arg(dir).args(arguments).stdin(Stdio::null());
    process
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    process(dir, arguments).output().expect("it runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Compares a text with a file beside the tests; `UPDATE_SNAPSHOTS=1` writes the file.
fn assert_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, actual).expect("written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "{name} changed; UPDATE_SNAPSHOTS=1 accepts it. Now:\n{actual}");
}

#[test]
fn help_is_what_was_reviewed() {
    let nowhere = Path::new("/nonexistent");
    const NOUNS: [&str; 14] = [
        "", "up", "peer", "space", "query", "live", "count", "index", "token", "doc", "import", "export", "backup",
        "config",
    ];
    for noun in NOUNS {
        let arguments: Vec<&str> = if noun.is_empty() { vec!["--help"] } else { vec![noun, "--help"] };
        let output = run(nowhere, &arguments);
        assert_eq!(output.status.code(), Some(0));
        let name = if noun.is_empty() { "help.txt".to_owned() } else { format!("help-{noun}.txt") };
        assert_snapshot(&name, &stdout(&output));
    }
}

#[test]
fn errors_say_what_to_do_next() {
    let empty = tempfile::tempdir().expect("a directory");
    let output = run(empty.path(), &["peer", "pause"]);
    assert_eq!(output.status.code(), Some(5));
    let next = format!(" next: cosmicsync --dir {} up\n", empty.path().display());
    assert_eq!(stderr(&output), format!("error: no daemon runs for this data directory\n{next}"));

    let world = world();
    let output = run(world.dir.path(), &["-o", "json", "doc", "get", "zip/1"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""));
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).expect("one object");
    assert_eq!(error["error"]["code"], json!("not_found"));
}

#[test]
fn a_mistake_in_json_is_shown_where_it_stands_with_an_example() {
    let nowhere = Path::new("/nonexistent");
    let output = run(nowhere, &["doc", "put", "notes/a", r#"{"title": "x", count: 1}"#]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "error: not JSON: key must be a string at line 1 column 16\n       {\"title\": \"x\", count: 1}\n                      ^\n \
                    next: cosmicsync --dir /nonexistent doc put notes/a '{\"title\": \"a text\", \"count\": 1}'\n";
    assert_eq!(stderr(&output), expected);
    let output = run(nowhere, &["doc", "patch", "notes/a", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(
        "a patch is a JSON object, or an array of operations\n next: cosmicsync --dir /nonexistent doc patch notes/a '{"
    ));
}

#[test]
fn exit_codes_follow_the_table() {
    let world = world();
    let dir = world.dir.path();
    for (arguments, code) in [
        (&["space", "list"][..], 0),
        (&["doctor"], 1),
        (&["frobnicate"], 2),
        (&["doc", "get", "neither"], 2),
        (&["doc", "get", "zip/00501", "--version", "3"], 2),
        (&["doc", "put", "zip/1", "{"], 2),
        (&["doc", "get", "zip/none"], 3),
        (&["peer", "add", "a:1"], 4),
        (&["import", "/nonexistent.csv", "--collection", "c"], 3),
        (&["export", "broken", "-"], 6),
        (&["backup", "create", "file"], 2),
    ] {
        let output = run(dir, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_pipe_gets_tabs_and_json_gets_objects() {
    let world = world();
    let dir = world.dir.path();
    assert_eq!(stdout(&run(dir, &["space", "list"])), "home\t070707070707\t3\t1\t2\tnewest:5\t0\n");
    let object: serde_json::Value =
        serde_json::from_str(&stdout(&run(dir, &["space", "list", "-o", "json"]))).expect("one object");
    assert_eq!((&object["name"], &object["bodies"]), (&json!("home"), &json!({ "newest": 5 })));
    assert_eq!(stdout(&run(dir, &["doc", "get", "zip/00501"])), "{\n  \"city\": \"Holtsville\"\n}\n");
    // All documents are listed, unless a limit is given; then the last object has the number left out.
    assert_eq!(stdout(&run(dir, &["-o", "json", "doc", "list"])).lines().count(), 5);
    let limited = stdout(&run(dir, &["-o", "json", "doc", "list", "--limit", "3"]));
    let last: serde_json::Value = serde_json::from_str(limited.lines().last().expect("lines")).expect("one object");
    assert_eq!((limited.lines().count(), &last), (4, &json!({ "more": { "count": 2, "after": "zip/2" } })));
    let limited = run(dir, &["doc", "list", "zip", "--limit", "3", "-s", "home"]);
    assert_eq!(stdout(&limited).lines().count(), 3);
    let next =
        format!("2 more: cosmicsync --dir {} doc list --space home zip --limit 3 --after zip/2\n", dir.display());
    assert_eq!(stderr(&limited), next);
    assert_eq!(stderr(&run(dir, &["doc", "list", "--limit", "3", "-q"])), "");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let world = world();
    let mut list = process(world.dir.path(), &["doc", "list", "--limit", "100000"]);
    let mut child = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn commands_carry_what_was_typed() {
    let world = world();
    let sent = |arguments: &[&str]| -> serde_json::Value {
        let output = run(world.dir.path(), arguments);
        let line = stderr(&output).lines().next().and_then(|line| line.strip_prefix("error: ")).map(str::to_owned);
        serde_json::from_str(&line.expect("an error that echoes")).expect("a command")
    };
    assert_eq!(
        sent(&["doc", "put", "notes/a/b", r#"{"t":"x"}"#, "--text", "t", "-s", "home"]),
        json!({ "doc_write": {
            "space": "home",
            "writes": [{ "op": "put", "doc": "notes/a/b", "value": { "t": "x" }, "text": ["t"], "if": null }],
            "idempotency_key": null
        } })
    );
    assert_eq!(
        sent(&["doc", "type", "notes/a", "body", "hi", "--at", "3"])["doc_splice"]["patches"],
        json!([[3, 0, "hi"]])
    );
    assert_eq!(sent(&["space", "invite", "--expires", "2h"])["space_invite"]["expires_ms"], json!(7_200_000));
    let file = world.dir.path().join("rows.csv");
    fs::write(&file, "a\n1\n").expect("written");
    let import = sent(&["import", &file.display().to_string(), "--collection", "c", "--id-column", "a", "--resume"]);
    assert_eq!(import["import"]["path"], json!(file));
    assert_eq!(import["import"]["resume"], json!(true));
}

#[test]
fn documents_come_from_stdin_too() {
    let world = world();
    let mut put = process(world.dir.path(), &["doc", "put", "notes/a"]);
    let mut child = put.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("piped").write_all(b"{\"from\":\"stdin\"}").expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(stderr(&output).contains(r#""value":{"from":"stdin"}"#), "{}", stderr(&output));
}

#[test]
fn an_export_appears_complete_or_not_at_all() {
    let world = world();
    let file = world.dir.path().join("out.csv");
    let name = file.display().to_string();
    assert_eq!(run(world.dir.path(), &["export", "broken", &name]).status.code(), Some(6));
    assert!(!file.exists());
    assert_eq!(run(world.dir.path(), &["export", "rows", &name]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).expect("there"), "a,b\n1,2\n");
    assert_eq!(run(world.dir.path(), &["export", "rows", &name]).status.code(), Some(4));
    assert_eq!(run(world.dir.path(), &["export", "rows", &name, "--force"]).status.code(), Some(0));
    assert_eq!(stdout(&run(world.dir.path(), &["export", "rows", "-"])), "a,b\n1,2\n");
    let partial = fs::read_dir(world.dir.path())
        .expect("there")
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().ends_with(".partial"));
    assert!(partial.is_none());
}

#[test]
fn settings_name_their_origin() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("config.toml"), "[net]\nlinks_max = 7\n").expect("written");
    let mut show = process(dir.path(), &["config", "show", "--origin"]);
    let output = show.env("COSMICSYNC_LOG__LEVEL", "debug").output().expect("it runs");
    assert_snapshot("config-show-origin.txt", &stdout(&output));
    fs::write(dir.path().join("config.toml"), "[net]\nlinks = 7\n").expect("written");
    let output = run(dir.path(), &["config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("config.toml:2: unknown field `links`"), "{}", stderr(&output));
}

#[test]
fn completions_exist_for_the_usual_shells() {
    for shell in ["bash", "fish", "zsh"] {
        let output = run(Path::new("/nonexistent"), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("cosmicsync"));
    }
}

#[test]
fn a_path_too_long_for_a_socket_means_that_no_daemon_runs() {
    let empty = tempfile::tempdir().expect("a directory");
    let long = empty.path().join("d".repeat(120));
    let output = run(&long, &["down"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn a_daemon_of_another_version_is_named_and_never_passed_by() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).expect("a socket");
    let newer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(b"{\"cosmicsync\":\"9.9.9\",\"protocol\":9,\"pid\":42}\n").expect("sent");
    });
    // The store could be opened here without a daemon, and must not be opened beside one.
    let output = run(dir.path(), &["status"]);
    newer.join().expect("no panic");
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("9.9.9") && stderr(&output).ends_with(" next: kill 42\n"), "{}", stderr(&output));
}

#[test]
fn settings_have_a_schema_and_commands_have_pages() {
    let home = tempfile::TempDir::new().expect("a directory");
    let run = |arguments: &[&str]| {
        let output = Process::new(env!("CARGO_BIN_EXE_cosmicsync")).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let schema: serde_json::Value = serde_json::from_slice(&run(&["config", "schema"])).expect("JSON");
    let http = &schema["$defs"]["Http"];
    assert_eq!(http["properties"]["connections_max"]["default"], 512, "{schema}");
    assert_eq!(http["additionalProperties"], false);
    let dir = home.path().join("man");
    run(&["man", dir.to_str().expect("text")]);
    let page = std::fs::read_to_string(dir.join("cosmicsync-config-schema.1")).expect("a page");
    assert!(page.contains("JSON Schema of the settings"), "{page}");
}
