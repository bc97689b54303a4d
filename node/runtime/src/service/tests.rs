//! The control socket between a client and a server, with a fake backend.

use core::time::Duration;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// A backend that answers a few commands and counts the running ones.
#[derive(Debug, Default)]
struct Fake {
    under_way: AtomicUsize,
    ended: watch::Sender<bool>,
}

impl Fake {
    async fn answer(&self, command: Command, items: mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let _guard = Guard::new(&self.under_way);
        if let Command::Export(Export { collection, .. }) = command {
            for index in 0..1_000 {
                let _ = items.send(Item::Chunk(format!("row {index}\n"))).await;
            }
            return Ok(Reply::Exported(Exported { collection, documents: 1_000, bytes: 0 }));
        }
        if matches!(command, Command::PeerPause {} | Command::Shutdown {}) {
            return Ok(Reply::Done {});
        }
        if let Command::PeerAdd { address } = command {
            return Err(ServiceError::new(ErrorCode::Conflict, address).next("cosmicsync peer list"));
        }
        if matches!(command, Command::PeerList {}) {
            return Ok(Reply::Peers(Vec::new()));
        }
        if matches!(command, Command::Digest { .. }) {
            let _ = items.send(Item::Chunk("waiting".to_owned())).await;
            let _ = self.ended.subscribe().wait_for(|ended| *ended).await.map(drop);
            return Err(ServiceError::new(ErrorCode::Io, "the disk failed"));
        }
        if let Command::DocWatch { .. } = command {
            let _ = items.send(Item::Chunk("watching".to_owned())).await;
            return core::future::pending().await;
        }
        if let Command::SpaceCreate { name } = command {
            return Err(ServiceError::new(ErrorCode::Internal, name + &"x".repeat(LINE_BYTES_MAX)));
        }
        Err(ServiceError::new(ErrorCode::Usage, "the fake does not know this"))
    }
}

impl Backend for Fake {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(self.answer(command, items))
    }

    /// Returns its input, up to a byte 0, at which it refuses the rest.
    fn call_reading(&self, _: Command, mut input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(async move {
            let _guard = Guard::new(&self.under_way);
            while let Some(piece) = input.next().await? {
                if piece.contains(&0) {
                    return Err(ServiceError::new(ErrorCode::Refused, "a zero"));
                }
                let _ = items.send(Item::Bytes(piece)).await;
            }
            Ok(Reply::Done {})
        })
    }
}

fn import() -> Command {
    Command::Import(Import { collection: "c".to_owned(), path: "-".to_owned(), ..Import::default() })
}

#[tokio::test]
async fn bytes_go_in_and_come_out_as_they_are() {
    let world = world();
    let client = Client::connect(world.dir.path()).await.expect("connects");
    // More than the socket and all queues hold, so that each side waits for the other.
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 255) as u8 + 1).collect();
    for bytes in [bytes, b"{\"input\":\"x\"}\n\n".to_vec(), Vec::new()] {
        let (input, failed) = Input::of(std::io::Cursor::new(bytes.clone())).expect("a thread");
        let (sender, mut items) = mpsc::channel(1);
        let collect = async {
            let mut back = Vec::new();
            while let Some(Item::Bytes(piece)) = items.recv().await {
                back.extend(piece);
            }
            back
        };
        let (result, back) = tokio::join!(client.call_reading(import(), input, sender), collect);
        assert_eq!(result, Ok(Reply::Done {}));
        assert!(back == bytes && failed.try_recv().is_err());
        // The connection is still usable.
        assert_eq!(request(&client, Command::PeerList {}).await, Ok(Reply::Peers(Vec::new())));
    }
}

#[tokio::test]
async fn a_broken_input_ends_its_command_alone() {
    struct Broken(usize);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| std::io::Error::other("broken"))?;
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let world = world();
    let client = Client::connect(world.dir.path()).await.expect("connects");
    let (items, _) = mpsc::channel(1);
    let zeros = std::io::Read::take(std::io::repeat(0), 8_000_000);
    let (input, _) = Input::of(zeros).expect("a thread");
    let refused = client.call_reading(import(), input, items.clone()).await.expect_err("refused");
    assert_eq!(refused.code, ErrorCode::Refused);
    assert_eq!(request(&client, Command::PeerList {}).await, Ok(Reply::Peers(Vec::new())));
    let (input, failed) = Input::of(Broken(5)).expect("a thread");
    let broken = client.call_reading(import(), input, items).await.expect_err("it broke off");
    assert_eq!((broken.code, failed.recv().expect("an error").to_string().as_str()), (ErrorCode::Io, "broken"));
    assert_eq!(request(&client, Command::PeerList {}).await, Ok(Reply::Peers(Vec::new())));
    while world.fake.under_way.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_is_read_by_the_rules_of_every_other_door() {
    let world = world();
    let mut stream = raw(world.dir.path()).await;
    let hello = json!({ "cosmicsync": "x", "protocol": PROTOCOL, "pid": 1 });
    stream.write_all(format!("{hello}\n").as_bytes()).await.expect("written");
    for (value, why) in [
        (r#"{"a":1,"a":2}"#, "appears twice"),
        (r#"{"n":123456789012345678901234567890}"#, "64 bits"),
        (r#"{"n":-9223372036854775809}"#, "64 bits"),
        (r#"{"n":1e999}"#, "double"),
    ] {
        let put = format!(r#"{{"doc_put":{{"collection":"c","key":"k","value":{value}}}}}"#);
        stream.write_all(format!("{put}\n").as_bytes()).await.expect("written");
        let answer = line(&mut stream).await;
        assert_eq!(answer["error"]["code"], "usage", "{answer}");
        assert!(answer["error"]["message"].as_str().expect("a text").contains(why), "{answer}");
    }
    stream.write_all(b"{\"peer_list\":{}}\n").await.expect("written");
    assert_eq!(line(&mut stream).await, json!({ "reply": { "peers": [] } }));
}

struct Guard<'a>(&'a AtomicUsize);

impl<'a> Guard<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct World {
    dir: TempDir,
    fake: Arc<Fake>,
    server: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::bind(dir.path()).expect("a socket");
    let fake = Arc::new(Fake::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let backend: Arc<dyn Backend> = Arc::clone(&fake) as _;
    let server = tokio::spawn(server.run(backend, async { drop(stopped.await) }));
    World { dir, fake, server, stop }
}

#[tokio::test]
async fn a_command_tells_why_the_server_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::bind(dir.path()).expect("a socket");
    let fake = Arc::new(Fake::default());
    let mut ended = fake.ended.subscribe();
    let backend: Arc<dyn Backend> = Arc::clone(&fake) as _;
    let server = tokio::spawn(server.run(backend, async move { drop(ended.wait_for(|ended| *ended).await.map(drop)) }));
    let client = Client::connect(dir.path()).await.expect("connects");
    let (sender, mut items) = mpsc::channel(1);
    let end = async {
        assert!(items.recv().await.is_some(), "the command is under way");
        fake.ended.send_replace(true);
    };
    let (result, ()) = tokio::join!(client.call(Command::Digest { space: None }, sender), end);
    assert_eq!(result.expect_err("the disk failed").code, ErrorCode::Io);
    server.await.expect("ends");
}

/// Connects without a client and reads the server's hello.
async fn raw(dir: &Path) -> BufReader<UnixStream> {
    let mut stream = BufReader::new(UnixStream::connect(dir.join(SOCKET_NAME)).await.expect("connects"));
    let hello = line(&mut stream).await;
    assert_eq!(hello["protocol"], json!(PROTOCOL));
    stream
}

async fn line(stream: &mut BufReader<UnixStream>) -> serde_json::Value {
    let mut text = String::new();
    timeout(Duration::from_secs(5), stream.read_line(&mut text)).await.expect("in time").expect("readable");
    serde_json::from_str(&text).expect("JSON")
}

async fn send(stream: &mut BufReader<UnixStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("writable");
}

async fn idle(fake: &Fake) {
    let wait = async {
        while fake.under_way.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), wait).await.expect("the command was cancelled");
}

const HELLO: &str = "{\"cosmicsync\":\"0\",\"protocol\":2,\"pid\":1}\n";

#[tokio::test]
async fn commands_errors_and_items_pass_through() {
    let world = world();
    let client = Client::connect(world.dir.path()).await.expect("connects");
    assert_eq!(request(&client, Command::PeerList {}).await, Ok(Reply::Peers(Vec::new())));
    let error = request(&client, Command::PeerAdd { address: "a:1".to_owned() }).await.expect_err("refused");
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::Conflict, "a:1"));
    assert_eq!(error.next.as_deref(), Some("cosmicsync peer list"));

    let (sender, mut items) = mpsc::channel(1);
    let export =
        Command::Export(Export { space: None, collection: "c".to_owned(), format: Format::Csv, delimiter: None });
    let count = async {
        let mut count = 0;
        while items.recv().await.is_some() {
            count += 1;
        }
        count
    };
    let (reply, count) = tokio::join!(client.call(export, sender), count);
    assert!(matches!(reply, Ok(Reply::Exported(_))));
    assert_eq!(count, 1_000);
}

#[tokio::test]
async fn many_clients_are_served_at_once_and_one_too_many_is_told() {
    let world = world();
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(Client::connect(world.dir.path()).await.expect("connects"));
    }
    for client in &clients {
        assert_eq!(request(client, Command::PeerPause {}).await, Ok(Reply::Done {}));
    }
    let late = Client::connect(world.dir.path()).await.expect("connects");
    let error = request(&late, Command::PeerPause {}).await.expect_err("too many");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("64 clients"), "{error}");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_command() {
    let world = world();
    let client = Client::connect(world.dir.path()).await.expect("connects");
    let (sender, mut items) = mpsc::channel(1);
    let watch = Command::DocWatch { space: None, collection: None, doc: None, since: None };
    let mut call = client.call(watch, sender);
    tokio::select! {
        _ = &mut call => panic!("a watch never ends"),
        item = items.recv() => assert_eq!(item, Some(Item::Chunk("watching".to_owned()))),
    }
    assert_eq!(world.fake.under_way.load(Ordering::SeqCst), 1);
    drop(call);
    idle(&world.fake).await;
    // The client continues with a new connection.
    assert_eq!(request(&client, Command::PeerPause {}).await, Ok(Reply::Done {}));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_stream_harms_nobody() {
    let world = world();
    let mut stream = raw(world.dir.path()).await;
    send(&mut stream, HELLO).await;
    send(&mut stream, "{\"export\":{\"collection\":\"c\",\"format\":\"csv\"}}\n").await;
    assert_eq!(line(&mut stream).await, json!({ "item": { "chunk": "row 0\n" } }));
    drop(stream);
    idle(&world.fake).await;
    let client = Client::connect(world.dir.path()).await.expect("connects");
    assert_eq!(request(&client, Command::PeerPause {}).await, Ok(Reply::Done {}));
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let world = world();
    let mut stream = raw(world.dir.path()).await;
    send(&mut stream, HELLO).await;
    send(&mut stream, "{\"peer_list\":{}}\n{\"peer_pause\":{}}\n{\"peer_list\":{}}\n").await;
    for expected in [json!({ "peers": [] }), json!({ "done": {} }), json!({ "peers": [] })] {
        assert_eq!(line(&mut stream).await, json!({ "reply": expected }));
    }
}

#[tokio::test]
async fn garbage_ends_the_connection_with_a_reason() {
    let world = world();
    for garbage in ["\n", "nonsense\n", "\u{0}\u{0}\n", "[[[[\n"] {
        let mut stream = raw(world.dir.path()).await;
        send(&mut stream, HELLO).await;
        send(&mut stream, garbage).await;
        assert_eq!(line(&mut stream).await["error"]["code"], json!("usage"), "{garbage:?}");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn an_unknown_command_is_refused_and_the_next_answered() {
    let world = world();
    let mut stream = raw(world.dir.path()).await;
    send(&mut stream, HELLO).await;
    for wrong in ["{\"format_disk\":{}}\n", "{\"peer_list\":{\"x\":1}}\n", "{\"doc_get\":{}}\n"] {
        send(&mut stream, wrong).await;
        assert_eq!(line(&mut stream).await["error"]["code"], json!("usage"), "{wrong}");
    }
    send(&mut stream, "{\"peer_list\":{}}\n").await;
    assert_eq!(line(&mut stream).await, json!({ "reply": { "peers": [] } }));
}

#[tokio::test]
async fn a_line_beyond_the_limit_is_refused_while_it_arrives() {
    let world = world();
    let mut stream = raw(world.dir.path()).await;
    send(&mut stream, HELLO).await;
    let (mut reader, mut writer) = stream.into_inner().into_split();
    let flood = tokio::spawn(async move {
        let chunk = vec![b'x'; 1 << 20];
        // Fails once the server closes; the server must never accept all of it.
        for _ in 0..64 {
            writer.write_all(&chunk).await?;
        }
        std::io::Result::Ok(())
    });
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), reader.read_to_end(&mut answer)).await.expect("it ends");
    assert!(String::from_utf8_lossy(&answer).contains("longer than"), "{}", String::from_utf8_lossy(&answer));
    assert!(flood.await.expect("no panic").is_err());
}

#[tokio::test]
async fn messages_beyond_the_limit_are_refused_before_sending() {
    let world = world();
    let client = Client::connect(world.dir.path()).await.expect("connects");
    let error = request(&client, Command::PeerAdd { address: "x".repeat(LINE_BYTES_MAX) }).await.expect_err("too long");
    assert_eq!(error.code, ErrorCode::Refused);
    let error = request(&client, Command::SpaceCreate { name: String::new() }).await.expect_err("too long");
    assert_eq!(error.code, ErrorCode::Refused);
}

#[tokio::test]
async fn another_version_gets_a_clear_error() {
    let world = world();
    let mut stream = raw(world.dir.path()).await;
    send(&mut stream, "{\"cosmicsync\":\"0.0.1\",\"protocol\":0,\"pid\":1}\n").await;
    let error = line(&mut stream).await;
    assert_eq!(error["error"]["code"], json!("unavailable"));
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains("0.0.1")), "{error}");

    // This client also recognises a newer daemon.
    let dir = tempfile::tempdir().expect("a directory");
    let listener = tokio::net::UnixListener::bind(dir.path().join(SOCKET_NAME)).expect("a socket");
    let newer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"{\"cosmicsync\":\"9.9.9\",\"protocol\":9,\"pid\":42,\"more\":true}\n").await
    });
    let error = Client::connect(dir.path()).await.expect_err("too new");
    assert!(error.message.contains("9.9.9"), "{error}");
    assert_eq!(error.next.as_deref(), Some("kill 42"));
    newer.await.expect("no panic").expect("sent");
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_server() {
    let world = world();
    let path = world.dir.path().join(SOCKET_NAME);
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    world.stop.send(()).expect("it runs");
    world.server.await.expect("no panic");
    assert!(!path.exists());
    let error = Client::connect(world.dir.path()).await.expect_err("gone");
    assert_eq!((error.code, error.next.as_deref()), (ErrorCode::Unavailable, Some("cosmicsync up")));
}

#[tokio::test]
async fn a_socket_left_by_a_dead_process_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET_NAME)).expect("a socket"));
    let error = Client::connect(dir.path()).await.expect_err("nobody listens");
    assert_eq!(error.code, ErrorCode::Unavailable);
    Server::bind(dir.path()).expect("replaces it");
}

#[tokio::test]
async fn shutdown_stops_the_server_and_commands_under_way() {
    let world = world();
    let watcher = Client::connect(world.dir.path()).await.expect("connects");
    let watching = tokio::spawn(async move {
        request(&watcher, Command::DocWatch { space: None, collection: None, doc: None, since: None }).await
    });
    let client = Client::connect(world.dir.path()).await.expect("connects");
    assert_eq!(request(&client, Command::Shutdown {}).await, Ok(Reply::Done {}));
    timeout(Duration::from_secs(5), world.server).await.expect("in time").expect("no panic");
    let ended = timeout(Duration::from_secs(5), watching).await.expect("in time").expect("no panic");
    assert_eq!(ended.map_err(|error| error.code), Err(ErrorCode::Unavailable));
}

#[test]
fn commands_keep_their_shape_on_the_wire() {
    let put = json!({ "doc_put": { "collection": "c", "value": { "a": 1 } } });
    let Ok(Command::DocPut(parsed)) = serde_json::from_value(put) else { panic!("does not parse") };
    assert_eq!((parsed.key, parsed.text.len()), (None, 0));
    let id = "0".repeat(32);
    let splice = json!({ "doc_splice": {
        "doc": id, "path": "body", "patches": [[0, 1, "x"]], "seen": [{ "log": "1".repeat(64), "seq": 4 }],
    } });
    let Ok(Command::DocSplice(parsed)) = serde_json::from_value(splice.clone()) else { panic!("does not parse") };
    assert_eq!(parsed.patches, [Patch(0, 1, "x".to_owned())]);
    assert_eq!(parsed.seen.as_ref().map(|cut| cut.0[0].seq), Some(4));
    let mut again = serde_json::to_value(Command::DocSplice(parsed)).expect("JSON");
    again["doc_splice"].as_object_mut().expect("an object").remove("space");
    assert_eq!(again, splice);
    let unknown = json!({ "doc_put": { "collection": "c", "value": {}, "colour": "red" } });
    assert!(serde_json::from_value::<Command>(unknown).is_err());
    assert!(!format!("{:?}", Command::SpaceJoin { invite: Secret("hush".to_owned()) }).contains("hush"));
}

#[test]
fn documents_are_named_by_key_or_id() {
    let key = DocRef::Key { collection: "a".to_owned(), key: "b/c".to_owned() };
    assert_eq!("a/b/c".parse(), Ok(key));
    let id = "ab".repeat(16);
    assert_eq!(id.parse::<DocRef>().expect("an id").to_string(), id);
    for wrong in ["", "a", "/b", "a/", "/"] {
        assert_eq!(wrong.parse::<DocRef>().map_err(|error| error.code), Err(ErrorCode::Usage), "{wrong}");
    }
}
