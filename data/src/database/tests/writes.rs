//! Writes with conditions, versions, and documents that two devices create.

use super::super::idempotency::Once;
use super::super::request::Row;
use super::super::request::{Action, Answer, Condition, Intent, Request, RequestError, Target, Version};
use super::node::{Node, keyed, value};
use crate::collection::CollectionMeta;
use crate::json_patch;
use cosmicsync_protocol::crdt::{Change, TextPaths, Value, VersionId};
use cosmicsync_protocol::documents::EditError;

fn intent(key: &str, action: Action) -> Intent {
    Intent { target: Target::Named(keyed(key)), action, condition: Condition::None }
}

fn put(key: &str, json: &str) -> Intent {
    intent(key, Action::Put { value: value(json), texts: ["body"].into_iter().collect() })
}

impl Node {
    fn one(&mut self, intent: Intent) -> Answer {
        let partition = self.main();
        self.ask(Request::WriteOne { partition, intent, once: None })
    }

    fn version(&mut self, intent: Intent) -> VersionId {
        let answer = self.one(intent);
        let Answer::Written { version: Some(version), .. } = answer else { panic!("{answer:?}") };
        version
    }

    fn at(&mut self, key: &str, version: &VersionId) -> Value {
        let (partition, version) = (self.main(), version.to_string());
        let answer = self.ask(Request::At { partition, name: keyed(key), version });
        let Answer::Version(Version { value, .. }) = answer else { panic!("{answer:?}") };
        value
    }
}

#[test]
fn a_transaction_is_made_whole_or_not_at_all() {
    let mut node = Node::new();
    let partition = node.main();
    node.put("a", r#"{"n":1}"#);
    let write = |intents| Request::Write { partition, intents, once: None };
    let add = |by| Action::Change(vec![Change::Add { path: vec!["n".into()], by }]);
    let answer = node.ask(write(vec![intent("a", add(2)), put("b", r#"{"x":1}"#), intent("c", Action::Delete)]));
    assert_eq!(answer, Answer::Failed(RequestError::At(2, Box::new(RequestError::NotFound))));
    assert_eq!((node.get(keyed("a")), node.get(keyed("b"))), (Some(value(r#"{"n":1}"#)), None));
    let answer = node.ask(write(vec![intent("a", add(2)), put("b", r#"{"x":1}"#)]));
    let Answer::Wrote { docs, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(docs.iter().map(|one| one.created).collect::<Vec<_>>(), [false, true]);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":3}"#)));
    let twice = node.ask(write(vec![put("a", "{}"), intent("a", Action::Delete)]));
    assert_eq!(twice, Answer::Failed(RequestError::At(1, Box::new(EditError::Repeated.into()))));
    let mut node = node.restart(0);
    assert_eq!(node.get(keyed("b")), Some(value(r#"{"x":1}"#)));
}

#[test]
fn a_condition_keeps_a_write_from_hiding_another() {
    let mut node = Node::new();
    let with = |intent: Intent, condition| Intent { condition, ..intent };
    let first = node.version(with(put("a", r#"{"n":1}"#), Condition::Absent));
    assert_eq!(node.one(with(put("a", r#"{"n":2}"#), Condition::Absent)), Answer::Failed(RequestError::Exists));
    assert_eq!(node.one(with(put("b", r#"{"n":2}"#), Condition::Exists)), Answer::Failed(RequestError::NotFound));
    let second = node.version(with(put("a", r#"{"n":2}"#), Condition::Version(first.to_string())));
    let stale = node.one(with(put("a", r#"{"n":3}"#), Condition::Version(first.to_string())));
    assert_eq!(stale, Answer::Failed(RequestError::VersionMismatch { now: second }));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
    let mut node = node.restart(0);
    node.version(with(intent("a", Action::Delete), Condition::Version(second.to_string()[..8].to_owned())));
    assert_eq!(node.get(keyed("a")), None);
    node.version(with(put("a", r#"{"n":4}"#), Condition::Absent));
}

#[test]
fn a_request_is_carried_out_once_under_its_key() {
    let mut node = Node::new();
    let partition = node.main();
    let add = || intent("a", Action::Change(vec![Change::Add { path: vec!["n".into()], by: 1 }]));
    let ask = |node: &mut Node, intents: Vec<Intent>, request: &[u8]| {
        let once = Some(Once::new(b"cli", "key-1", request));
        node.ask(Request::Write { partition, intents, once })
    };
    node.put("a", r#"{"n":1}"#);
    let first = ask(&mut node, vec![add()], b"add");
    let mut node = node.restart(0);
    assert_eq!(ask(&mut node, vec![add()], b"add"), first);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
    assert_eq!(ask(&mut node, vec![put("a", "{}")], b"put"), Answer::Failed(RequestError::OnceMismatch));
    node.now.wall_ms += 26 * 3_600_000;
    assert!(matches!(ask(&mut node, vec![add()], b"add"), Answer::Wrote { .. }));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":3}"#)));
}

#[test]
fn two_requests_under_one_key_are_not_both_carried_out() {
    let mut node = Node::new();
    let partition = node.main();
    node.put("a", r#"{"n":1}"#);
    let add = || Request::Write {
        partition,
        intents: vec![intent("a", Action::Change(vec![Change::Add { path: vec!["n".into()], by: 1 }]))],
        once: Some(Once::new(b"cli", "key", b"add")),
    };
    let (first, second) = (node.start(add()), node.start(add()));
    node.settle();
    assert!(matches!(node.answers.remove(&first), Some(Answer::Wrote { .. })));
    assert_eq!(node.answers.remove(&second), Some(Answer::Failed(RequestError::OnceBusy)));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
    // A request without effect has no effect when it is repeated.
    let same = || Request::Write {
        partition,
        intents: vec![put("a", r#"{"n":2}"#)],
        once: Some(Once::new(b"cli", "same", b"put")),
    };
    node.ask(same());
    node.put("a", r#"{"n":7}"#);
    node.ask(same());
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":7}"#)));
}

#[test]
fn earlier_versions_are_read_compared_and_gone_back_to() {
    let mut node = Node::new();
    let partition = node.main();
    let one = node.version(put("a", r#"{"body":"one","n":1}"#));
    let two = node.version(put("a", r#"{"body":"one two","n":2,"l":[1]}"#));
    let mut node = node.restart(0);
    assert_eq!(node.at("a", &one), value(r#"{"body":"one","n":1}"#));
    let diff = Request::Diff { partition, name: keyed("a"), from: one.to_string()[..6].to_owned(), to: None };
    let Answer::Diff { from, to } = node.ask(diff) else { panic!("a diff") };
    assert_eq!((from.id, to.id), (one, two));
    let changes = json_patch::changes(&from.value, &json_patch::diff(&from.value, &to.value)).unwrap();
    assert_eq!(changes.len(), 3);
    node.version(intent("a", Action::Revert(one.to_string())));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"body":"one","n":1}"#)));
    node.version(intent("a", Action::Revert(two.to_string())));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"body":"one two","n":2,"l":[1]}"#)));
    // The restored text is the original one, so it still merges.
    node.version(intent("a", Action::Delete));
    node.version(intent("a", Action::Revert(one.to_string())));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"body":"one","n":1}"#)));
    let none = Request::At { partition, name: keyed("a"), version: "ffffffff".to_owned() };
    assert_eq!(node.ask(none), Answer::Failed(RequestError::NoVersion));
    let Answer::History { revisions, .. } = node.ask(Request::History { partition, name: keyed("a"), limit: 99 })
    else {
        panic!("a history")
    };
    let versions: Vec<Option<VersionId>> = revisions.iter().map(|revision| revision.version).collect();
    assert_eq!((versions.len(), versions[4], versions[5]), (6, Some(two), Some(one)));
}

#[test]
fn undo_takes_back_the_own_change_and_keeps_those_of_others() {
    let ([mut a, mut b], wire) = Node::pair();
    a.version(put("a", r#"{"body":"hello world","n":1}"#));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    [a, b] = nodes;
    a.version(put("a", r#"{"body":"hello brave world","n":2}"#));
    b.version(put("a", r#"{"body":"hello world!","m":5,"n":1}"#));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    [a, b] = nodes;
    assert_eq!(a.get(keyed("a")), Some(value(r#"{"body":"hello brave world!","m":5,"n":2}"#)));
    a.version(intent("a", Action::Undo));
    assert_eq!(a.get(keyed("a")), Some(value(r#"{"body":"hello world!","m":5,"n":1}"#)));
    b.version(intent("a", Action::Delete));
    b.version(intent("a", Action::Undo));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.get(keyed("a")), Some(value(r#"{"body":"hello world!","m":5,"n":1}"#)));
    }
    let nothing = nodes[1].one(intent("b", Action::Undo));
    assert_eq!(nothing, Answer::Failed(RequestError::NotFound));
}

#[test]
fn undo_of_a_creation_keeps_what_others_made_apart() {
    let ([mut a, mut b], wire) = Node::pair();
    a.version(put("a", r#"{"n":1}"#));
    b.version(put("a", r#"{"m":2}"#));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    nodes[0].version(intent("a", Action::Undo));
    assert_eq!(nodes[0].get(keyed("a")), Some(value(r#"{"m":2}"#)));
}

#[test]
fn undo_of_a_creation_deletes_and_undo_of_that_restores() {
    let mut node = Node::new();
    node.version(put("a", r#"{"n":1}"#));
    node.version(intent("a", Action::Undo));
    assert_eq!(node.get(keyed("a")), None);
    node.version(intent("a", Action::Undo));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":1}"#)));
}

#[test]
fn documents_made_apart_merge_and_list_conflicts() {
    let ([mut a, mut b], wire) = Node::pair();
    let partition = a.main();
    a.version(put("a", r#"{"body":"from a","tags":[1],"info":{"x":1},"k":"plain","s":1}"#));
    b.version(put("a", r#"{"body":"from b","tags":[2],"info":{"y":2},"k":{"m":true},"s":2}"#));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    let [ours, theirs] = [nodes[0].get(keyed("a")).unwrap(), nodes[1].get(keyed("a")).unwrap()];
    assert_eq!(ours, theirs);
    let body = ours.entry("body").and_then(Value::as_text).unwrap();
    assert!(body.contains("from a") && body.contains("from b"), "{body}");
    assert_eq!(ours.entry("info"), Some(&value(r#"{"x":1,"y":2}"#)));
    assert_eq!(ours.entry("tags").and_then(Value::as_list).map(Vec::len), Some(2));
    let conflicts = |node: &mut Node| {
        let Answer::Conflicts(found) = node.ask(Request::Conflicts { partition, name: keyed("a") }) else {
            panic!("conflicts")
        };
        found
    };
    let found = conflicts(&mut nodes[0]);
    assert_eq!(found, conflicts(&mut nodes[1]));
    let places: Vec<String> = found.iter().map(|(_, conflict)| conflict.path[0].to_string()).collect();
    assert_eq!(places, ["k", "s"]);
    assert!(found[1].0.is_some());
    // A write that has seen both settles the conflict.
    nodes[0].version(put("a", r#"{"body":"both","tags":[1,2],"info":{},"k":"settled","s":3}"#));
    wire.carry(&mut nodes);
    assert_eq!(conflicts(&mut nodes[1]), []);
    assert_eq!(nodes[1].get(keyed("a")).unwrap().entry("k"), Some(&value(r#""settled""#)));
}

#[test]
fn typing_that_a_delete_has_not_seen_brings_a_document_back() {
    let ([mut a, mut b], wire) = Node::pair();
    a.version(put("a", r#"{"body":"two hours of work","n":1}"#));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    [a, b] = nodes;
    a.version(intent("a", Action::Delete));
    let typed = Change::Splice { path: vec!["body".into()], at: 0, delete: 0, insert: "more than ".to_owned() };
    b.version(intent("a", Action::Change(vec![typed])));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.get(keyed("a")), Some(value(r#"{"body":"more than two hours of work","n":1}"#)));
    }
    nodes[1].version(intent("a", Action::Delete));
    wire.carry(&mut nodes);
    assert_eq!(nodes[0].get(keyed("a")), None);
    nodes[0].version(intent("a", Action::Undelete));
    wire.carry(&mut nodes);
    assert_eq!(nodes[1].get(keyed("a")), Some(value(r#"{"body":"more than two hours of work","n":1}"#)));
}

#[test]
fn a_value_larger_than_an_update_is_written_in_pieces() {
    let ([a, b], wire) = Node::pair();
    let long = "x".repeat(400_000);
    let json = format!(r#"{{"body":"{long}","n":1}}"#);
    let mut nodes = [a, b];
    nodes[0].version(put("a", &json));
    wire.carry(&mut nodes);
    assert_eq!(nodes[1].get(keyed("a")), Some(value(&json)));
    nodes[1].version(intent("a", Action::Change(vec![Change::Remove { path: vec!["n".into()] }])));
    let plain = value(&json.replace("body", "plain"));
    let refused = nodes[0].one(intent("b", Action::Put { value: plain, texts: TextPaths::none() }));
    assert!(matches!(refused, Answer::Failed(RequestError::Edit(EditError::Change(_)))), "{refused:?}");
}

#[test]
fn an_import_takes_rows_larger_than_an_update() {
    let mut node = Node::new();
    let partition = node.main();
    let meta = CollectionMeta { text_paths: ["body"].into_iter().collect(), ..CollectionMeta::new("notes") };
    let open = Request::ImportOpen { partition, source: "file".to_owned(), meta: meta.clone(), resume: false };
    let Answer::ImportOpened { import, .. } = node.ask(open) else { panic!("an import") };
    let json = |at: usize, len: usize| format!(r#"{{"body":"{}","n":{at}}}"#, "z".repeat(len));
    let row = |at: usize, len: usize, key: Option<&str>| Row {
        key: key.map(str::to_owned),
        value: value(&json(at, len)),
        at: Default::default(),
    };
    let rows = vec![row(1, 10, Some("a")), row(2, 300_000, Some("b")), row(3, 5, None), row(4, 60_000, None)];
    assert!(matches!(node.rows(import, rows, b"there"), Answer::Imported { .. }));
    node.ask(Request::ImportClose { import, meta, checkpoint: Vec::new() });
    let mut node = node.restart(0);
    assert_eq!(node.get(keyed("b")), Some(value(&json(2, 300_000))));
    let mut found: Vec<i64> =
        node.all(Some("notes"), 10).iter().filter_map(|found| found.value.as_ref()?.entry("n")?.as_int()).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4]);
}

#[test]
fn rows_of_one_key_in_two_requests_are_one_document() {
    let mut node = Node::new();
    let (import, ..) = node.import("file", "notes", false);
    let rows =
        |n: u32| vec![Row { key: Some("a".into()), value: value(&format!(r#"{{"n":{n}}}"#)), at: Default::default() }];
    // The second request looks its key up while the commit of the first is under way.
    let tickets = [1, 2].map(|n| node.start(Request::ImportRows { import, rows: rows(n), checkpoint: Vec::new() }));
    node.settle();
    let counts = tickets.map(|ticket| match node.answers.remove(&ticket) {
        Some(Answer::Imported { counts, .. }) => (counts.stored, counts.replaced),
        other => panic!("{other:?}"),
    });
    assert_eq!(counts, [(1, 0), (0, 1)]);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
    let mut node = node.without_values();
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
}
