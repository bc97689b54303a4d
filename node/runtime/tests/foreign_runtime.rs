//! A node and the runtime of plain threads in `protocol/examples/foreign_runtime.rs` edit one document over TCP.
#![allow(unfulfilled_lint_expectations, reason = "the example expects the lints of its own package")]

#[path = "../../../protocol/examples/foreign_runtime.rs"]
#[expect(dead_code, reason = "the node is the other side here")]
mod foreign_runtime;

use cosmicsync_node::service::{Command, DocPut, DocRef, Reply, request};
use cosmicsync_node::{Node, Options, init};
use serde_json::json;

async fn ask(node: &Node, command: Command) -> Reply {
    request(node, command).await.expect("a reply")
}

#[tokio::test]
async fn it_joins_a_node_and_edits() {
    let dir = tempfile::tempdir().expect("a directory");
    init(dir.path(), "node").await.expect("a new node");
    let listen = Some("127.0.0.1:0".parse().expect("an address"));
    let node = Node::open(dir.path(), Options { listen, ..Options::default() }).await.expect("it opens");
    ask(&node, Command::SpaceCreate { name: "home".to_owned() }).await;
    let (collection, key, text) = ("notes".to_owned(), Some("guests".to_owned()), vec!["body".to_owned()]);
    let value = json!({ "body": "a node" });
    ask(&node, Command::DocPut(DocPut { space: None, collection, key, value, text })).await;
    let Reply::Invite(invite) = ask(&node, Command::SpaceInvite { space: None, expires_ms: 60_000 }).await else {
        panic!("no invite")
    };

    let joined = tokio::task::spawn_blocking(move || foreign_runtime::join(&invite.invite));
    let body = joined.await.expect("no panic").expect("it ends in good order");
    assert_eq!(body, "a thread, a node");
    let doc: DocRef = "notes/guests".parse().expect("a name");
    let Reply::Document(found) = ask(&node, Command::DocGet { space: None, doc }).await else { panic!("no document") };
    assert_eq!(found.value, Some(json!({ "body": body })));
    ask(&node, Command::Shutdown {}).await;
}
