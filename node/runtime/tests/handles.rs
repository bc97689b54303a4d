//! Handles of nodes in this process, and of a client.

use core::time::Duration;
use cosmicsync_node::handles::Space;
use cosmicsync_node::service::{Backend, Client, DocOp, ErrorCode, Patch, RevisionKind, Server};
use cosmicsync_node::{Node, Options, init};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;

const WAIT: Duration = Duration::from_secs(30);

async fn open(dir: &Path) -> Node {
    let listen = Some("127.0.0.1:0".parse().expect("an address"));
    Node::open(dir, Options { listen, ..Options::default() }).await.expect("a node")
}

/// Opens a node with a user, in a directory of its own.
async fn laptop() -> (TempDir, Node) {
    let dir = tempfile::tempdir().expect("a directory");
    init(dir.path(), "laptop").await.expect("a user");
    let node = open(dir.path()).await;
    (dir, node)
}

#[tokio::test]
async fn two_nodes_share_a_space() {
    let (_dir, laptop) = laptop().await;
    let dir = tempfile::tempdir().expect("a directory");
    let phone = open(dir.path()).await;
    let home = laptop.create_space("home").await.expect("a space");
    let notes = home.collection("notes");
    notes.doc("a").put_with_texts(json!({ "body": "ac" }), &["body"]).await.expect("written");
    let invite = home.invite(WAIT).await.expect("an invite").invite;

    let there = phone.join_space(&invite).await.expect("joined");
    home.wait_sync(WAIT).await.expect("in sync");
    let copy = there.collection("notes").doc("a");
    copy.splice("body", vec![Patch(1, 0, "b".to_owned())]).await.expect("written");
    there.wait_sync(WAIT).await.expect("in sync");
    let found = notes.doc("a").get().await.expect("read").expect("it exists");
    assert_eq!(found.value, Some(json!({ "body": "abc" })));

    let kinds = notes.doc("a").history(10).await.expect("read").into_iter().map(|revision| revision.kind);
    assert_eq!(kinds.collect::<Vec<_>>(), [RevisionKind::Edited, RevisionKind::Created]);
    phone.shut_down().await.expect("stopped");
    laptop.shut_down().await.expect("stopped");
}

#[tokio::test]
async fn errors_say_which_name_is_wrong() {
    let (_dir, node) = laptop().await;
    let home = node.create_space("home").await.expect("a space");
    let notes = home.collection("notes");
    let written = notes.insert(json!({ "n": 1 })).await.expect("written");
    let by_id = home.doc(written.doc.to_string().parse().expect("an id"));
    by_id.put(json!({ "n": 2 })).await.expect("written");
    assert_eq!(by_id.get().await.expect("read").and_then(|found| found.value), Some(json!({ "n": 2 })));
    by_id.delete().await.expect("deleted");
    assert_eq!(by_id.get().await, Ok(None));

    // A document that is not there is none; a space that is not there is an error.
    assert_eq!(notes.doc("none").get().await, Ok(None));
    let error = node.space("work").collection("notes").doc("none").get().await.expect_err("no such space");
    assert_eq!(error.code, ErrorCode::NotFound);
    let error = notes.find(json!({ "n": { "$near": 1 } })).live().next().await.expect_err("no such operator");
    assert_eq!(error.code, ErrorCode::Usage);

    let ops = ["a", "b"].map(|key| DocOp::Put {
        doc: format!("notes/{key}"),
        value: json!({ "n": 3 }),
        text: Vec::new(),
        condition: Some("absent".to_owned()),
    });
    home.write(ops.to_vec()).await.expect("both are new");
    let error = home.write(ops.to_vec()).await.expect_err("both exist");
    assert_eq!(error.code, ErrorCode::Conflict);
    assert_eq!(notes.find(json!({ "n": 3 })).limit(1).fetch().await.expect("found").len(), 1);
    assert_eq!(notes.find(json!({ "n": 3 })).limit(1).count().await, Ok(2));
    node.shut_down().await.expect("stopped");
}

#[tokio::test]
async fn a_client_of_a_running_node_has_the_same_handles() {
    let (dir, node) = laptop().await;
    let node = Arc::new(node);
    node.create_space("home").await.expect("a space");
    let server = Server::bind(dir.path()).expect("a socket");
    let (stop, stopped) = oneshot::channel::<()>();
    let backend = Arc::clone(&node) as Arc<dyn Backend>;
    let serving = tokio::spawn(server.run(backend, async { drop(stopped.await) }));

    let client = Client::connect(dir.path()).await.expect("connected");
    let notes = Space::of(&client, None).collection("notes");
    let mut live = notes.all().live();
    assert_eq!(live.next().await.expect("the answer").events, []);
    notes.doc("a").put(json!({ "n": 1 })).await.expect("written");
    assert_eq!(live.next().await.expect("a change").events.len(), 1);
    assert_eq!(node.space("home").collection("notes").all().count().await, Ok(1));
    drop(live);
    drop(stop);
    serving.await.expect("served");
    node.shut_down().await.expect("stopped");
}

#[tokio::test]
async fn a_live_query_ends_with_its_node() {
    let (_dir, node) = laptop().await;
    let home = node.create_space("home").await.expect("a space");
    let mut live = home.collection("notes").all().live();
    live.next().await.expect("the answer");
    let (ended, stopped) = tokio::join!(live.next(), node.shut_down());
    stopped.expect("stopped");
    assert_eq!(ended.expect_err("no more changes").code, ErrorCode::Unavailable);
    assert_eq!(live.next().await.expect_err("it has ended").code, ErrorCode::Unavailable);
}
