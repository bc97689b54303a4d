//! Nodes over real TCP on loopback. Nothing sleeps: everything waits for what it wants to see.

use super::{Node, Options, init};
use crate::service::{Backend as _, Digest};
use crate::service::{
    Command, DocPut, DocRef, DocSplice, ErrorCode, Format, Import, Item, Patch, Reply, Secret, ServiceError, request,
};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tokio::sync::mpsc;

const WAIT_MS: u64 = 30_000;

async fn open(dir: &Path) -> Node {
    let listen = Some("127.0.0.1:0".parse().unwrap());
    Node::open(dir, Options { listen, ..Options::default() }).await.unwrap()
}

async fn ask(node: &Node, command: Command) -> Reply {
    request(node, command).await.unwrap()
}

async fn put(node: &Node, key: &str, value: Value) -> Result<Reply, ServiceError> {
    let (collection, key) = ("c".to_owned(), Some(key.to_owned()));
    request(node, Command::DocPut(DocPut { space: None, collection, key, value, text: vec!["body".to_owned()] })).await
}

fn doc(key: &str) -> DocRef {
    DocRef::Key { collection: "c".to_owned(), key: key.to_owned() }
}

async fn get(node: &Node, key: &str) -> Result<Value, ErrorCode> {
    match request(node, Command::DocGet { space: None, doc: doc(key) }).await {
        Ok(Reply::Document(found)) => Ok(found.value.unwrap()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

async fn digest(node: &Node) -> Digest {
    let Reply::Digest(digest) = ask(node, Command::Digest { space: None }).await else { panic!("no digest") };
    digest
}

async fn synced(node: &Node) {
    ask(node, Command::WaitSync { space: None, timeout_ms: WAIT_MS }).await;
}

async fn agree(one: &Node, other: &Node) -> Digest {
    synced(one).await;
    synced(other).await;
    let found = digest(one).await;
    assert_eq!(found, digest(other).await);
    found
}

async fn stop(node: Node) {
    assert_eq!(ask(&node, Command::Shutdown {}).await, Reply::Done {});
    assert_eq!(ask(&node, Command::Shutdown {}).await, Reply::Done {}, "a second time too");
}

/// Two nodes with one space, connected.
async fn pair(root: &Path) -> (Node, Node) {
    let (first, second) = (root.join("a"), root.join("b"));
    let status = init(&first, "a").await.unwrap();
    assert_eq!(status.recovery_key.map(|key| key.len()), Some(71));
    let one = open(&first).await;
    ask(&one, Command::SpaceCreate { name: "home".to_owned() }).await;
    let other = open(&second).await;
    let Reply::Invite(invite) = ask(&one, Command::SpaceInvite { space: None, expires_ms: 60_000 }).await else {
        panic!("no invite")
    };
    let joined = ask(&other, Command::SpaceJoin { invite: Secret(invite.invite.clone()) }).await;
    assert!(matches!(joined, Reply::Space(space) if space.name == "home" && space.devices == 2));
    (one, other)
}

fn splice(at: u64, insert: &str) -> Command {
    let patches = vec![Patch(at, 0, insert.to_owned())];
    Command::DocSplice(DocSplice { space: None, doc: doc("text"), path: "body".to_owned(), patches, seen: None })
}

#[tokio::test]
async fn what_one_writes_the_other_reads_after_a_wait() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = pair(root.path()).await;
    put(&one, "k", json!({ "n": 1 })).await.unwrap();
    synced(&one).await;
    assert_eq!(get(&other, "k").await, Ok(json!({ "n": 1 })));
    assert_eq!(get(&other, "absent").await, Err(ErrorCode::NotFound));
    stop(one).await;
    let alone = request(&other, Command::WaitSync { space: None, timeout_ms: 1 }).await.unwrap_err();
    assert_eq!(alone.code, ErrorCode::TimedOut);
    stop(other).await;
}

#[tokio::test]
async fn edits_made_apart_converge_after_a_resume() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = pair(root.path()).await;
    put(&one, "text", json!({ "body": "middle" })).await.unwrap();
    agree(&one, &other).await;
    ask(&other, Command::PeerPause {}).await;
    ask(&one, splice(0, "start ")).await;
    ask(&other, splice(6, " end")).await;
    put(&one, "here", json!({})).await.unwrap();
    put(&other, "there", json!({})).await.unwrap();
    assert_ne!(digest(&one).await, digest(&other).await);
    ask(&other, Command::PeerResume {}).await;
    assert_eq!(agree(&one, &other).await.documents, 3);
    assert_eq!(get(&one, "text").await, Ok(json!({ "body": "start middle end" })));
}

#[tokio::test]
async fn a_file_comes_out_as_it_went_in() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = pair(root.path()).await;
    let mut text = "zip,city\n".to_owned();
    (0..3_000).for_each(|row| text.push_str(&format!("{row:05},\"city, {row}\"\n")));
    let path = root.path().join("in.csv");
    fs::write(&path, &text).unwrap();
    let import = Import {
        space: None,
        collection: "zips".to_owned(),
        path: path.to_str().unwrap().to_owned(),
        format: None,
        id_column: None,
        rows: None,
        text: Vec::new(),
        erasable_together: false,
        resume: false,
    };
    let Reply::Imported(imported) = ask(&one, Command::Import(import)).await else { panic!("not imported") };
    assert_eq!((imported.documents, imported.skipped), (3_000, 0));
    agree(&one, &other).await;
    let (sender, mut items) = mpsc::channel(8);
    let export = Command::Export { space: None, collection: "zips".to_owned(), format: Format::Csv };
    let collect = async {
        let mut out = String::new();
        while let Some(item) = items.recv().await {
            if let Item::Chunk(chunk) = item {
                out.push_str(&chunk);
            }
        }
        out
    };
    let (reply, out) = tokio::join!(other.call(export, sender), collect);
    assert!(matches!(reply, Ok(Reply::Exported(exported)) if exported.documents == 3_000));
    assert_eq!(out.replace("\r\n", "\n"), text);
}

#[tokio::test]
async fn a_node_that_is_opened_again_writes_another_log() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a");
    init(&dir, "a").await.unwrap();
    let mut logs = Vec::new();
    for round in 0..4 {
        let node = open(&dir).await;
        if round == 0 {
            ask(&node, Command::SpaceCreate { name: "home".to_owned() }).await;
        }
        let Reply::Written(written) = put(&node, &format!("{round}"), json!({})).await.unwrap() else { panic!() };
        logs.extend(written.cut.0.iter().map(|at| at.log));
        if round % 2 == 0 {
            stop(node).await;
        } else {
            drop(node);
        }
    }
    logs.sort();
    logs.dedup();
    assert_eq!(logs.len(), 4, "one log for each process");
}

#[tokio::test]
async fn a_shutdown_among_writes_loses_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a");
    init(&dir, "a").await.unwrap();
    let node = std::sync::Arc::new(open(&dir).await);
    ask(&node, Command::SpaceCreate { name: "home".to_owned() }).await;
    let writers: Vec<_> = (0..50)
        .map(|number| {
            let node = std::sync::Arc::clone(&node);
            tokio::spawn(async move { (number, put(&node, &number.to_string(), json!({ "n": number })).await.is_ok()) })
        })
        .collect();
    ask(&node, Command::Shutdown {}).await;
    let mut acknowledged = Vec::new();
    for writer in writers {
        let (number, is_safe) = writer.await.unwrap();
        acknowledged.extend(is_safe.then_some(number));
    }
    drop(node);
    let node = open(&dir).await;
    for number in acknowledged {
        assert_eq!(get(&node, &number.to_string()).await, Ok(json!({ "n": number })));
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let root = tempfile::tempdir().unwrap();
    let absent = Node::open(&root.path().join("none"), Options::default()).await.unwrap_err();
    assert_eq!((absent.code, absent.next.as_deref()), (ErrorCode::NotFound, Some("cosmicsync init")));
    let dir = root.path().join("a");
    init(&dir, "a").await.unwrap();
    assert_eq!(init(&dir, "a").await.unwrap_err().code, ErrorCode::Conflict);
    let node = open(&dir).await;
    assert_eq!(Node::open(&dir, Options::default()).await.unwrap_err().code, ErrorCode::StoreLocked);
    let bad = request(&node, Command::SpaceJoin { invite: Secret("nonsense".to_owned()) }).await.unwrap_err();
    assert_eq!(bad.code, ErrorCode::Usage);
}

#[tokio::test]
async fn a_document_is_reached_in_the_partition_it_is_in() {
    let root = tempfile::tempdir().unwrap();
    init(root.path(), "a").await.unwrap();
    let node = open(root.path()).await;
    ask(&node, Command::SpaceCreate { name: "odd:name".to_owned() }).await;
    ask(&node, Command::PartitionCreate { space: None, name: "work".to_owned() }).await;
    for (space, value) in [(None, "main"), (Some(":work"), "work")] {
        let (space, collection, key) = (space.map(str::to_owned), "c".to_owned(), Some("k".to_owned()));
        let value = json!({ "where": value });
        ask(&node, Command::DocPut(DocPut { space, collection, key, value, text: Vec::new() })).await;
    }
    let places = [
        (None, Ok("main")),
        (Some("odd:name"), Ok("main")),
        (Some("odd:name:main"), Ok("main")),
        (Some(":work"), Ok("work")),
        (Some("odd:name:work"), Ok("work")),
        (Some(":play"), Err(ErrorCode::NotFound)),
        (Some("even:work"), Err(ErrorCode::NotFound)),
    ];
    for (space, expected) in places {
        let space = space.map(str::to_owned);
        let found = match request(&node, Command::DocGet { space: space.clone(), doc: doc("k") }).await {
            Ok(Reply::Document(found)) => Ok(found.value.unwrap()["where"].as_str().unwrap().to_owned()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.code),
        };
        assert_eq!(found, expected.map(str::to_owned), "{space:?}");
    }
    stop(node).await;
}
