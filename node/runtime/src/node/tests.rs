//! Nodes over real TCP on loopback. Nothing sleeps; each test waits for the state that it expects.

use super::{Node, Options, init};
use crate::service::{Backend as _, Digest};
use crate::service::{
    Command, DocPut, DocRef, DocSplice, ErrorCode, Export, Format, Import, Imported, Input, Item, Patch, Reply, Secret,
    ServiceError, request,
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

/// Returns two connected nodes with one space.
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
    // The node may learn a moment later that the link is gone.
    let alone = loop {
        if let Err(error) = request(&other, Command::WaitSync { space: None, timeout_ms: 1 }).await {
            break error;
        }
    };
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

/// Imports a text as a file.
async fn import_of(node: &Node, import: Import, text: &str) -> Result<Imported, ServiceError> {
    let (input, _) = Input::of(std::io::Cursor::new(text.to_owned().into_bytes())).unwrap();
    let (items, _) = mpsc::channel(1);
    match node.call_reading(Command::Import(import), input, items).await? {
        Reply::Imported(imported) => Ok(imported),
        reply => panic!("{reply:?}"),
    }
}

#[tokio::test]
async fn an_import_goes_on_only_with_the_file_that_it_began_with() {
    let root = tempfile::tempdir().unwrap();
    init(&root.path().join("a"), "a").await.unwrap();
    let node = open(&root.path().join("a")).await;
    ask(&node, Command::SpaceCreate { name: "home".to_owned() }).await;
    let rows = |range: core::ops::Range<u32>| range.map(|row| format!("{row},{}\n", row * 7)).collect::<String>();
    let import = |collection: &str, resume| Import {
        collection: collection.to_owned(),
        path: "/f.csv".to_owned(),
        resume,
        ..Import::default()
    };
    let good = format!("n,v\n{}", rows(0..3_000));
    for (name, changed, fits) in [
        ("same", good.clone(), true),
        ("longer", format!("{good}{}", rows(3_000..3_500)), true),
        ("other row stored", good.replacen("5,35", "5,36", 1), false),
        ("other column", good.replacen("n,v", "n,w", 1), false),
        ("shorter", good[..2_000].to_owned(), false),
        ("nothing", String::new(), false),
    ] {
        let broken = good.replacen("2500,17500\n", "2500\n", 1);
        let error = import_of(&node, import(name, false), &broken).await.unwrap_err();
        assert!(error.message.starts_with("line 2502 (row 2501): 1 cells"), "{error}");
        assert!(error.message.ends_with("? 2500 rows before it are stored"), "{error}");
        assert!(error.next.unwrap().ends_with(" --resume"));
        let resumed = import_of(&node, import(name, true), &changed).await;
        if fits {
            let imported = resumed.unwrap();
            assert_eq!(imported.skipped, 2_500, "{name}");
            assert_eq!(imported.documents + 2_500, changed.lines().count() as u64 - 1, "{name}");
        } else {
            let error = resumed.unwrap_err();
            assert!(matches!(error.code, ErrorCode::Conflict | ErrorCode::Usage), "{name}: {error}");
        }
        // After any attempt, the original file resumes at its stored progress, or is known to be imported.
        let again = import_of(&node, import(name, true), if fits { &changed } else { &good }).await.unwrap();
        assert_eq!(again.documents, if fits { 0 } else { 500 }, "{name}");
        let is_done = again.note.as_ref().is_some_and(|note| note.starts_with("nothing to go on with"));
        assert_eq!(is_done, fits, "{name}: {:?}", again.note);
    }
    // A file that grew after its import is a different file.
    let error = import_of(&node, import("same", true), &format!("{good}3000,0\n")).await.unwrap_err();
    assert!(error.message.contains("has grown"), "{error}");
    let other = Import { id_column: Some("n".to_owned()), ..import("same", true) };
    let error = import_of(&node, other, &good).await.unwrap_err();
    assert!(error.message.contains("other options"), "{error}");
    let other = Import { format: Some(Format::Tsv), ..import("same", true) };
    assert!(import_of(&node, other, &good).await.unwrap_err().message.contains("was begun as csv"));
}

#[tokio::test]
async fn a_dry_run_tells_what_is_in_a_file_and_stores_nothing() {
    let root = tempfile::tempdir().unwrap();
    init(&root.path().join("a"), "a").await.unwrap();
    let node = open(&root.path().join("a")).await;
    ask(&node, Command::SpaceCreate { name: "home".to_owned() }).await;
    let dry = Import {
        collection: "c".to_owned(),
        path: "-".to_owned(),
        id_column: Some("id".to_owned()),
        dry_run: true,
        ..Import::default()
    };
    let told = import_of(&node, dry.clone(), "id;x\n1;a\n2;b\n1;c\n").await.unwrap();
    assert_eq!((told.documents, told.replaced, told.delimiter), (2, 1, Some(';')));
    assert_eq!((told.columns, told.dry_run), (vec!["id".to_owned(), "x".to_owned()], true));
    let error = import_of(&node, dry, "id;x\n1;a\n2\n").await.unwrap_err();
    assert!(error.message.starts_with("line 3 (row 2)") && !error.message.contains("stored"), "{error}");
    assert_eq!(digest(&node).await.documents, 0);
}

#[tokio::test]
async fn a_file_comes_out_as_it_went_in() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = pair(root.path()).await;
    let mut text = "zip,city\n".to_owned();
    (0..3_000).for_each(|row| text.push_str(&format!("{row:05},\"city, {row}\"\n")));
    let path = root.path().join("in.csv");
    fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let import = Import { collection: "zips".to_owned(), path: path.clone(), ..Import::default() };
    let imported = import_of(&one, import, &text).await.unwrap();
    assert_eq!((imported.documents, imported.skipped), (3_000, 0));
    agree(&one, &other).await;
    let (sender, mut items) = mpsc::channel(8);
    let export =
        Command::Export(Export { space: None, collection: "zips".to_owned(), format: Format::Csv, delimiter: None });
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
