//! Two devices of one user sync documents both ways, live and after a cut.

use cosmicsync_protocol::crdt::{Change, Step, Value};
use cosmicsync_protocol::documents::Edit;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::testkit::peer::Net;

fn note(text: &str) -> Value {
    [("title", Value::from("a note")), ("body", Value::from(text))].into_iter().collect()
}

fn insert(at: usize, text: &str) -> Edit {
    Edit::Apply(vec![Change::Splice { path: vec![Step::Key("body".into())], at, delete: 0, insert: text.into() }])
}

#[test]
fn a_joined_device_gets_what_is_there_and_what_comes() {
    let mut net = Net::joined();
    let doc = DocId([7; 16]);
    let open = net.peers[0].create(doc, note("hello"), &["body"]);
    net.run();
    assert_eq!(net.peers[1].value(doc), Some(note("hello")));
    net.peers[0].edit(open, insert(5, " world"), &["body"]).expect("an edit");
    net.run();
    assert_eq!(net.peers[1].value(doc), Some(note("hello world")));
}

#[test]
fn edits_of_both_sides_made_apart_merge() {
    let mut net = Net::joined();
    let doc = DocId([7; 16]);
    let here = net.peers[0].create(doc, note("middle"), &["body"]);
    net.run();
    let there = net.peers[1].open(doc);
    net.cut();
    net.peers[0].edit(here, insert(0, "left "), &["body"]).expect("an edit");
    net.peers[1].edit(there, insert(6, " right"), &["body"]).expect("an edit");
    net.dial(1, 0);
    net.run();
    let merged = Some(note("left middle right"));
    assert_eq!(net.peers[0].value(doc), merged);
    assert_eq!(net.peers[1].value(doc), merged);
    let roots: Vec<_> = net.peers.iter().map(|peer| peer.endpoint.spaces().next().map(|space| space.root)).collect();
    assert_eq!(roots[0], roots[1]);
}
