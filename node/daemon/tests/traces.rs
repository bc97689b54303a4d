//! Traces of requests: what a collector is sent, and what a program without them says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A trace that a client began.
const TRACE: [u8; 16] =
    [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36];

fn process(root: &TempDir, arguments: &[&str]) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
    process.arg("--dir").arg(root.path().join("a")).args(arguments).stdin(Stdio::null());
    process
}

fn done(root: &TempDir, arguments: &[&str]) -> String {
    let output = process(root, arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// Starts a node that sends traces to a collector.
fn up(root: &TempDir, collector: &str) -> Process {
    let mut up = process(root, &["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "-q", "-o", "json"]);
    up.env("COSMICSYNC_OTLP__ENDPOINT", collector);
    up
}

#[test]
#[cfg_attr(not(feature = "otlp"), ignore = "the program was built without OpenTelemetry")]
fn a_request_is_a_span_of_the_trace_that_its_client_began() {
    let root = TempDir::new().expect("a directory");
    done(&root, &["init", "--name", "a"]);
    let token = done(&root, &["token", "create", "t"]);
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", collector.local_addr().expect("an address"));
    let sent = std::thread::spawn(move || received(&collector));
    let mut child = up(&root, &endpoint).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let status: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = status["http"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL").to_owned();

    let mut stream = TcpStream::connect(&address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let trace = TRACE.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let request = format!(
        "GET /v1/spaces/-/collections?secret=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "there is no space: {answer}");
    done(&root, &["down"]);
    assert!(child.wait().expect("it ends").success());

    let (head, body) = sent.join().expect("the collector");
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let has = |bytes: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&TRACE), "the span belongs to the client's trace");
    assert!(has(b"GET /v1/spaces/{space}/collections"), "{}", String::from_utf8_lossy(&body));
    assert!(has(b"http.response.status_code") && has(b"cosmicsync"));
    assert!(!has(b"secret") && !has(token.as_bytes()), "no query and no token");
}

/// Takes what a node sends, and answers that all is well.
fn received(collector: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = collector.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            let body = &bytes[end + 4..];
            if body.len() >= length.expect("a length") {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it is taken");
                return (head, body.to_vec());
            }
        }
        let read = stream.read(&mut piece).expect("bytes");
        assert!(read > 0, "the request broke off");
        bytes.extend_from_slice(&piece[..read]);
    }
}

#[test]
#[cfg_attr(feature = "otlp", ignore = "the program was built with OpenTelemetry")]
fn a_program_without_traces_says_how_to_build_one() {
    let root = TempDir::new().expect("a directory");
    done(&root, &["init", "--name", "a"]);
    let output = up(&root, "http://127.0.0.1:4318").output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("built without OpenTelemetry") && message.contains("--features otlp"), "{message}");
}

#[test]
fn a_collector_is_beside_the_node() {
    let root = TempDir::new().expect("a directory");
    done(&root, &["init", "--name", "a"]);
    let output = up(&root, "https://collector.example").output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("not http://HOST:PORT"), "{message}");
}
