mod model;
mod node;
mod queries;
mod rules;
mod schemas;
mod writes;

use super::request::{Answer, Cut, ImportId, Name, Request, RequestError, Row, RowPlace};
use crate::collection::{COLLECTIONS, CollectionMeta};
use crate::export::Writer;
use crate::import::{Format, Reader};
use crate::trace::{Causality, Patch, TraceReader, Txn};
use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::crdt::{Change, TextPaths, Value};
use cosmicsync_protocol::sync::Bodies;
use cosmicsync_protocol::testkit::peer::Peer;
use node::{Node, Wire, keyed, value};

const ZIPCODES: &[u8] = include_bytes!("../../fixtures/zipcodes-200.csv");
const EARTHQUAKES: &[u8] = include_bytes!("../../fixtures/earthquakes-20.json");
const FRIENDS: &[u8] = include_bytes!("../../fixtures/friendsforever-300.json");

#[test]
fn documents_are_put_read_patched_and_deleted() {
    let mut node = Node::new();
    let partition = node.main();
    let (doc, created, cut) = node.put("a", r#"{"x":1,"y":[1,2]}"#);
    assert!(created && cut.len() == 1);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"x":1,"y":[1,2]}"#)));
    assert_eq!(node.put("a", r#"{"x":1,"y":[1,2]}"#), (doc, false, cut.clone()), "nothing to write");
    assert_ne!(node.put("a", r#"{"x":2}"#).2, cut);
    let patch = Request::Patch { partition, name: Name::Id(doc), patch: value(r#"{"z":{"n":1},"x":null}"#) };
    assert!(matches!(node.ask(patch), Answer::Written { created: false, .. }));
    assert_eq!(node.get(Name::Id(doc)), Some(value(r#"{"z":{"n":1}}"#)));
    let delete = Request::Delete { partition, name: keyed("a") };
    assert!(matches!(node.ask(delete.clone()), Answer::Written { .. }));
    assert_eq!(node.get(keyed("a")), None);
    assert_eq!(node.ask(delete), Answer::Failed(RequestError::NotFound));
    let (_, created, _) = node.put("a", r#"{"back":true}"#);
    assert!(created);
    let mut node = node.restart(0);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"back":true}"#)));
    assert_eq!(node.get(keyed("b")), None);
    assert_eq!(node.db.poll_changed(), None);
    node.put("b", "{}");
    let changed: Vec<_> = core::iter::from_fn(|| node.db.poll_changed()).collect();
    assert!(changed.iter().all(|changed| changed.here) && !changed.is_empty());
}

#[test]
fn what_cannot_be_is_refused() {
    let mut node = Node::new();
    let partition = node.main();
    let put = |collection: &str, key: &str, value: Value| Request::Put {
        partition,
        collection: collection.to_owned(),
        key: Some(key.to_owned()),
        value,
        texts: TextPaths::none(),
    };
    let name = || Name::Key { collection: "c".to_owned(), key: "k".to_owned() };
    let failed = Answer::Failed;
    assert_eq!(node.ask(put("c", "k", Value::Int(1))), failed(RequestError::NotObject));
    assert!(matches!(node.ask(put("", "k", value("{}"))), Answer::Failed(RequestError::BadName(_))));
    assert!(matches!(node.ask(put("c", &"k".repeat(256), value("{}"))), Answer::Failed(RequestError::BadName(_))));
    let nowhere = cosmicsync_protocol::ids::PartNo(99);
    for partition in [partition, nowhere] {
        let patch = Request::Patch { partition, name: name(), patch: value("{}") };
        assert_eq!(node.ask(patch), failed(RequestError::NotFound));
        assert_eq!(node.ask(Request::Delete { partition, name: name() }), failed(RequestError::NotFound));
        let history = Request::History { partition, name: name(), limit: 9 };
        assert_eq!(node.ask(history), failed(RequestError::NotFound));
    }
    for request in [
        Request::Get { partition: nowhere, name: Name::Id(Default::default()) },
        Request::Digest { partition: nowhere },
        Request::Collections { partition: nowhere },
        Request::Page { partition: nowhere, collection: None, after: None, limit: 1, values: false },
        Request::Explain { partition: nowhere, name: name() },
        Request::Hold { partition: nowhere, name: name(), hold: true },
    ] {
        assert_eq!(node.ask(request), failed(RequestError::NotFound));
    }
    let rows = Request::ImportRows { import: ImportId(3), rows: Vec::new(), checkpoint: Vec::new() };
    assert_eq!(node.ask(rows), failed(RequestError::NoImport));
    let close = Request::ImportClose { import: ImportId(3), checkpoint: Vec::new(), meta: CollectionMeta::new("c") };
    assert_eq!(node.ask(close), failed(RequestError::NoImport));
    let explain = Request::Explain { partition, name: name() };
    assert_eq!(
        node.ask(explain),
        Answer::Explained { exists: false, deleted: false, missing: Vec::new(), unread: Vec::new() }
    );
}

#[test]
fn many_requests_at_once_and_one_that_is_given_up() {
    let mut node = Node::new();
    let partition = node.main();
    let put = |at: usize| Request::Put {
        partition,
        collection: "notes".to_owned(),
        key: Some(format!("{:04}", at % 1500)),
        value: value(&format!("{{\"n\":{at}}}")),
        texts: TextPaths::none(),
    };
    let tickets: Vec<_> = (0..3000).map(|at| node.start(put(at))).collect();
    let given_up = [tickets[7], tickets[2999]];
    given_up.iter().for_each(|ticket| node.db.cancel(*ticket));
    node.settle();
    assert!(given_up.iter().all(|ticket| !node.answers.contains_key(ticket)));
    assert_eq!(node.answers.len(), 2998);
    assert!(node.answers.values().all(|answer| matches!(answer, Answer::Written { .. })));
    let all = node.all(Some("notes"), 700);
    assert_eq!(all.len(), 1500);
    assert!(all.is_sorted_by_key(|found| found.doc));
    assert_eq!(node.get(keyed("0003")), Some(value(r#"{"n":1503}"#)));
    node.db.cancel(tickets[0]);
}

#[test]
fn pages_skip_deleted_and_reserved_documents() {
    let mut node = Node::new();
    let partition = node.main();
    for at in 0..20 {
        node.put(&format!("{at}"), &format!("{{\"n\":{at}}}"));
    }
    node.ask(Request::Delete { partition, name: keyed("3") });
    let mut node = node.restart(0);
    let all = node.all(None, 7);
    assert_eq!(all.len(), 19);
    assert!(all.iter().all(|found| found.collection.as_deref() == Some("notes") && found.key.is_some()));
    assert_eq!(node.all(Some("notes"), 100), all);
    assert_eq!(node.all(Some("others"), 100), []);
    assert_eq!(node.all(Some(COLLECTIONS), 100).len(), 1);
    let page = Request::Page { partition, collection: None, after: None, limit: 3, values: false };
    let Answer::Page { docs, next: Some(_) } = node.ask(page) else { panic!("a page") };
    assert!(docs.iter().all(|found| found.value.is_none()));
    assert_eq!(node.ask(Request::Collections { partition }), Answer::Collections(vec![CollectionMeta::new("notes")]));
    assert_eq!(node.ask(Request::Schemas { partition }), Answer::Schemas(vec![("notes".to_owned(), None)]));
}

#[test]
fn history_is_newest_first() {
    let mut node = Node::new();
    let partition = node.main();
    for at in 0..30 {
        node.put("a", &format!("{{\"n\":{at}}}"));
        node.now = node.now.after_us(1_000_000);
    }
    let history = |limit| Request::History { partition, name: keyed("a"), limit };
    let Answer::History { revisions: all, more: 0 } = node.ask(history(100)) else { panic!("a history") };
    assert_eq!(all.len(), 30);
    assert!(all.iter().all(|revision| revision.mine && revision.wall_ms > 0));
    assert!(all.is_sorted_by(|a, b| a.wall_ms > b.wall_ms && a.seq > b.seq));
    assert_eq!(node.ask(history(4)), Answer::History { revisions: all[..4].to_vec(), more: all.len() - 4 });
}

#[test]
fn declared_texts_stay_texts() {
    let ([mut a, mut b], wire) = {
        let (nodes, wire) = Node::pair();
        (nodes, wire)
    };
    let partition = a.main();
    let put = |text: &str| Request::Put {
        partition,
        collection: "notes".to_owned(),
        key: Some("a".to_owned()),
        value: [("body", text)].into_iter().collect(),
        texts: ["body"].into_iter().collect(),
    };
    a.ask(put("middle"));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    [a, b] = nodes;
    a.put("a", r#"{"body":"left middle"}"#);
    b.put("a", r#"{"body":"middle right"}"#);
    // The document is written without the paths: the collection's description keeps them.
    a.put("b", r#"{"body":"x"}"#);
    let name = keyed("b");
    let splice = Change::Splice { path: vec!["body".into()], at: 1, delete: 0, insert: "y".to_owned() };
    let change = Request::Change { partition, name, changes: vec![splice], seen: None, durable: false };
    assert!(matches!(a.ask(change), Answer::Written { .. }));
    let mut nodes = [a, b];
    wire.carry(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.get(keyed("a")), Some(value(r#"{"body":"left middle right"}"#)));
        assert_eq!(node.get(keyed("b")), Some(value(r#"{"body":"xy"}"#)));
    }
}

#[test]
fn a_string_becomes_a_text_by_putting_it_again() {
    let mut node = Node::new();
    let partition = node.main();
    node.put("a", r#"{"s":"same"}"#);
    let (collection, texts) = ("notes".to_owned(), ["s"].into_iter().collect());
    let again = value(r#"{"s":"same"}"#);
    node.ask(Request::Put { partition, collection, key: Some("a".to_owned()), value: again, texts });
    let splice = Change::Splice { path: vec!["s".into()], at: 4, delete: 0, insert: "!".to_owned() };
    let change = Request::Change { partition, name: keyed("a"), changes: vec![splice], seen: None, durable: true };
    assert!(matches!(node.ask(change), Answer::Written { .. }));
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"s":"same!"}"#)));
}

/// Imports a file, with every row's key in `key`, or without keys.
fn import(node: &mut Node, name: &str, format: Format, bytes: &[u8], key: Option<&str>, batch: usize) {
    let mut reader = Reader::new(format, None);
    reader.feed(bytes);
    reader.finish();
    let (import, _, _) = node.import("file", name, false);
    let mut rows = Vec::new();
    let mut done = 0;
    loop {
        let record = reader.next_record().unwrap();
        let more = record.is_some();
        rows.extend(record.map(|record| {
            let key = key.map(|key| record.value.entry(key).and_then(Value::as_text).unwrap().to_owned());
            Row { key, value: record.value, at: RowPlace::default() }
        }));
        if rows.len() == batch || !more {
            done += rows.len() as u64;
            let answer = node.rows(import, core::mem::take(&mut rows), b"here");
            assert!(matches!(answer, Answer::Imported { rows, .. } if rows == done));
        }
        if !more {
            break;
        }
    }
    let meta = CollectionMeta {
        format: Some(format),
        columns: reader.columns().to_vec(),
        envelope: reader.envelope(),
        ..CollectionMeta::new(name)
    };
    assert_eq!(node.ask(Request::ImportClose { import, checkpoint: Vec::new(), meta }), Answer::Done);
}

fn export(node: &mut Node, name: &str) -> Vec<u8> {
    let partition = node.main();
    let Answer::Collections(metas) = node.ask(Request::Collections { partition }) else { panic!("collections") };
    let meta = metas.into_iter().find(|meta| meta.name == name).unwrap();
    let mut out = Vec::new();
    let mut writer = Writer::new(meta.format.unwrap(), &meta);
    for found in node.all(Some(name), 64) {
        writer.write_record(&found.value.unwrap(), &mut out).unwrap();
    }
    writer.finish(&mut out);
    out
}

#[test]
fn imported_files_come_out_again_here_and_there() {
    let (mut nodes, wire) = Node::pair();
    import(&mut nodes[0], "zipcodes", Format::Csv, ZIPCODES, None, 70);
    import(&mut nodes[0], "quakes", Format::Json, EARTHQUAKES, None, 100);
    wire.carry(&mut nodes);
    for node in &mut nodes {
        let zipcodes = export(node, "zipcodes");
        assert_eq!(String::from_utf8(zipcodes).unwrap(), core::str::from_utf8(ZIPCODES).unwrap());
        let quakes = export(node, "quakes");
        assert_eq!(crate::json::parse(&quakes).unwrap(), crate::json::parse(EARTHQUAKES).unwrap());
    }
    let [mut a, b] = nodes;
    let Answer::Digest(digests) = a.digest() else { panic!("digests") };
    let counts: Vec<_> = digests.iter().map(|one| (one.collection.as_str(), one.count)).collect();
    assert_eq!(counts, [(COLLECTIONS, 2), ("quakes", 20), ("zipcodes", 200)]);
    // The stored values that reading left behind agree with the history.
    let digest = a.digest();
    assert_eq!(a.restart(0).digest(), digest);
    assert_eq!(b.restart(0).digest(), digest);
}

#[test]
fn an_import_again_updates_what_changed() {
    let mut node = Node::new();
    let file = b"id,n\na,1\nb,2\na,3\n";
    import(&mut node, "notes", Format::Csv, file, Some("id"), 10);
    assert_eq!(node.all(None, 10).len(), 2);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"id":"a","n":"3"}"#)));
    let partition = node.main();
    node.ask(Request::Delete { partition, name: keyed("b") });
    // The key is read before the document exists: the document is then in memory, and empty.
    assert_eq!(node.get(keyed("c")), None);
    import(&mut node, "notes", Format::Csv, b"id,n\na,3\nb,5\nc,6\nd,7\n", Some("id"), 1);
    assert_eq!(node.get(keyed("c")), Some(value(r#"{"id":"c","n":"6"}"#)));
    assert_eq!(node.get(keyed("b")), Some(value(r#"{"id":"b","n":"5"}"#)));
    assert_eq!(node.all(None, 10).len(), 4);
    let mut node = node.restart(0);
    assert_eq!(node.all(None, 10).len(), 4);
    let history = Request::History { partition, name: keyed("a"), limit: 10 };
    let Answer::History { revisions: history, .. } = node.ask(history) else { panic!("a history") };
    assert_eq!(history.len(), 1, "nothing changed in it");
}

#[test]
fn a_look_answers_with_what_a_crash_keeps() {
    let mut told_new = 0;
    for completions in 0..12 {
        let mut node = Node::new();
        node.put("a", r#"{"n":1}"#);
        let (partition, collection) = (node.main(), "notes".to_owned());
        let (key, texts) = (Some("a".to_owned()), TextPaths::none());
        node.start(Request::Put { partition, collection, key, value: value(r#"{"n":2}"#), texts });
        node.settle_at_most(completions);
        let look = node.start(Request::Look { partition, name: keyed("a") });
        // The store crashes right after it has answered, and completes nothing more.
        loop {
            node.answers.extend(core::iter::from_fn(|| node.db.poll_answer()));
            if node.answers.contains_key(&look) {
                break;
            }
            assert!(!node.settle_at_most(1), "it is answered");
        }
        let Some(Answer::Snapshot(Some(told))) = node.answers.remove(&look) else { panic!("a snapshot") };
        told_new += usize::from(told.value == value(r#"{"n":2}"#));
        assert_eq!(node.restart(0).get(keyed("a")), Some(told.value), "after {completions} completions");
    }
    assert!(told_new > 0, "the write is told as well");
}

#[test]
fn a_key_box_is_read_from_another_entry() {
    let mut node = Node::new();
    let partition = node.main();
    import(&mut node, "notes", Format::Csv, b"id\na\nb\n", Some("id"), 9);
    node.ask(Request::Delete { partition, name: keyed("a") });
    import(&mut node, "notes", Format::Csv, b"id,n\na,\nb,1\n", Some("id"), 9);
    let mut node = node.restart(0);
    node.ask(Request::Patch { partition, name: keyed("b"), patch: value("{}") });
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"id":"a","n":""}"#)));
}

#[test]
fn what_was_not_fetched_is_explained() {
    let (mut nodes, wire) = Node::pair();
    let partition = nodes[0].main();
    let now = nodes[1].now;
    nodes[1]
        .db
        .endpoint_mut()
        .set_bodies(now, cosmicsync_protocol::sync::SpaceNo(0), Bodies::HeadOnly)
        .expect("a space");
    wire.carry(&mut nodes);
    let wire = Wire::connect(&mut nodes);
    nodes[0].put("a", r#"{"n":1}"#);
    wire.carry(&mut nodes);
    assert_eq!(nodes[1].get(keyed("a")), None);
    let explain = Request::Explain { partition, name: keyed("a") };
    let Answer::Explained { exists: false, unread, .. } = nodes[1].ask(explain) else { panic!("explained") };
    assert_eq!(unread.len(), 1);
}

#[test]
fn an_interrupted_import_goes_on_where_its_store_stands() {
    let row = |n: usize| Row { key: None, value: value(&format!("{{\"n\":{n}}}")), at: place(n) };
    for keep in 0..8 {
        let mut node = Node::new();
        let (import, checkpoint, rows) = node.import("f", "notes", true);
        assert_eq!((checkpoint, rows), (None, 0));
        assert!(
            matches!(node.rows(import, (0..50).map(row).collect(), &[50]), Answer::Imported { rows, .. } if rows == 50)
        );
        // Two more batches are being written when the crash comes.
        for batch in [50..80, 80..120] {
            let checkpoint = vec![batch.end as u8];
            node.start(Request::ImportRows { import, rows: batch.map(row).collect(), checkpoint });
        }
        while let Some(request) = node.db.poll_store() {
            node.store.submit(request);
        }
        let mut node = node.restart(keep);
        let (import, checkpoint, rows) = node.import("f", "notes", true);
        assert_eq!(checkpoint, Some(vec![rows as u8]));
        assert_eq!(rows, [50, 80, 120][keep.min(2)]);
        let rest = node.rows(import, (rows as usize..150).map(row).collect(), &[150]);
        assert!(matches!(rest, Answer::Imported { rows, .. } if rows == 150));
        let meta = CollectionMeta::new("notes");
        assert_eq!(node.ask(Request::ImportClose { import, checkpoint: Vec::new(), meta }), Answer::Done);
        let all = node.all(None, 40);
        assert_eq!(all.len(), 150);
        let order = |found: &crate::database::request::Found| found.value.as_ref()?.entry("n")?.as_int();
        assert!(all.iter().map(order).eq((0..150).map(Some)), "the order of the file");
        assert_eq!(node.import("f", "notes", true).1, None, "a finished import is forgotten");
    }
}

const fn place(n: usize) -> RowPlace {
    RowPlace { line: n as u64 + 2, row: n as u64 + 1 }
}

#[test]
fn nothing_is_taken_behind_a_row_that_was_refused() {
    let row = |key: &str, n: usize| Row { key: Some(key.to_owned()), value: value("{}"), at: place(n) };
    let long = "x".repeat(300_000);
    let refused = [
        (row(&"k".repeat(256), 7), "line 9 (row 8): the key must have 1 to 255 bytes"),
        (row("nul\0", 7), "line 9 (row 8): the key must not contain a NUL character"),
        (Row { value: value(&format!("{{\"t\":{long:?}}}")), ..row("k", 7) }, "line 9 (row 8): "),
        (Row { value: value(&format!("{{\"t\":{long:?}}}")), ..row("0", 7) }, "line 9 (row 8): "),
    ];
    for (refused, why) in refused {
        let mut node = Node::new();
        let (import, ..) = node.import("f", "notes", false);
        assert!(matches!(node.rows(import, vec![row("0", 0)], &[1]), Answer::Imported { rows: 1, .. }));
        let batches = [vec![row("1", 1)], vec![row("2", 2), refused], vec![row("3", 3)], vec![row("4", 4)]];
        let tickets: Vec<_> = batches
            .into_iter()
            .zip([2, 3, 4, 5])
            .map(|(rows, at)| node.start(Request::ImportRows { import, rows, checkpoint: vec![at] }))
            .collect();
        node.settle();
        let answers: Vec<Answer> =
            tickets.iter().map(|ticket| node.answers.remove(ticket).expect("all are answered")).collect();
        assert!(matches!(answers[0], Answer::Imported { rows: 2, .. }), "{answers:?}");
        let Answer::Failed(error) = &answers[1] else { panic!("{answers:?}") };
        assert!(error.to_string().starts_with(why), "{error}");
        assert_eq!(answers[2..], [const { Answer::Failed(RequestError::NoImport) }; 2]);
        assert_eq!(node.import("f", "notes", true).1, Some(vec![2]), "where it stands is what is stored");
    }
}

#[test]
fn an_import_that_ended_is_remembered_with_its_last_checkpoint() {
    let mut node = Node::new();
    let (import, ..) = node.import("f", "notes", false);
    let rows = vec![Row { key: None, value: value("{}"), at: place(0) }];
    node.rows(import, rows, b"x");
    let meta = CollectionMeta::new("notes");
    let close = Request::ImportClose { import, checkpoint: b"end".to_vec(), meta };
    assert_eq!(node.ask(close), Answer::Done);
    let (_, checkpoint, rows) = node.import("f", "notes", true);
    assert_eq!((checkpoint, rows), (Some(b"end".to_vec()), 1));
}

#[test]
fn no_door_takes_a_collection_that_others_cannot_name() {
    let mut node = Node::new();
    let partition = node.main();
    let put = |collection: &str, key: Option<&str>| Request::Put {
        partition,
        collection: collection.to_owned(),
        key: key.map(str::to_owned),
        value: value("{}"),
        texts: TextPaths::none(),
    };
    let meta = CollectionMeta::new("a/b");
    let open = Request::ImportOpen { partition, source: "f".to_owned(), meta, resume: false };
    for request in [put("a/b", Some("k")), put("a/b", None), put("a\0", None), put("", Some("k")), open] {
        let Answer::Failed(error) = node.ask(request.clone()) else { panic!("{request:?} was taken") };
        assert!(error.to_string().starts_with("the collection's name "), "{error}");
    }
    assert!(matches!(node.ask(put("a", Some("b/c"))), Answer::Written { .. }));
}

#[test]
fn a_restart_starts_a_new_log_for_the_rest() {
    let mut node = Node::new();
    let row = |n: usize| Row { key: Some(format!("{n}")), value: value(&format!("{{\"n\":{n}}}")), at: place(n) };
    let (import, ..) = node.import("f", "notes", false);
    node.rows(import, (0..10).map(row).collect(), b"x");
    let store = node.store.crash(0);
    let peer = cosmicsync_protocol::testkit::peer::Peer::recover(store, 5);
    let mut node = Node::of(peer);
    let (import, checkpoint, rows) = node.import("f", "notes", true);
    assert_eq!((checkpoint.as_deref(), rows), (Some(&b"x"[..]), 10));
    assert!(matches!(node.rows(import, (5..20).map(row).collect(), b"y"), Answer::Imported { rows, .. } if rows == 25));
    assert_eq!(node.all(None, 100).len(), 20);
    // Opening the import again takes it from its former owner.
    node.import("f", "notes", false);
    assert_eq!(node.rows(import, Vec::new(), b""), Answer::Failed(RequestError::NoImport));
}

#[test]
fn excluded_entries_are_listed_and_published_by_hand() {
    let ([mut a, mut b], _) = Node::pair();
    let partition = a.main();
    a.put("a", r#"{"first":1}"#);
    // A process is resumed twice from one image, and its twin ends before anyone receives its entry.
    let (store, image) = (a.store.crash(0), a.db.endpoint().image());
    let mut twin = Node::of(Peer::resume(store, image, 40, Config::default()));
    twin.put("a", r#"{"first":1,"twin":2}"#);
    let twin = twin.restart(0);
    a.put("a", r#"{"first":1,"here":3}"#);
    let mut nodes = [a, b];
    Wire::connect(&mut nodes);
    [a, b] = nodes;
    // Another device builds on one of the branches, so that this branch is kept.
    b.put("a", r#"{"first":1,"here":3,"on-top":4}"#);
    let mut nodes = [twin, b];
    Wire::connect(&mut nodes);
    [_, b] = nodes;
    let excluded = |publish| Request::Excluded { partition, name: keyed("a"), publish };
    assert_eq!(b.get(keyed("a")), Some(value(r#"{"first":1,"here":3,"on-top":4}"#)));
    let Answer::Excluded(found) = b.ask(excluded(false)) else { panic!("a list") };
    assert_eq!(found.len(), 1);
    assert_eq!(b.ask(excluded(true)), Answer::Excluded(found));
    let whole = value(r#"{"first":1,"here":3,"on-top":4,"twin":2}"#);
    assert_eq!(b.get(keyed("a")), Some(whole.clone()));
    assert_eq!(b.restart(0).get(keyed("a")), Some(whole), "what was published is durable");
    drop(a);
}

#[test]
fn a_failing_store_fails_what_is_under_way_and_what_comes() {
    let mut node = Node::new();
    node.put("a", "{}");
    let full = cosmicsync_protocol::storage::StoreError::Full;
    node.store.fail_commit(0, full.clone());
    let partition = node.main();
    let put = Request::Put {
        partition,
        collection: "notes".to_owned(),
        key: Some("b".to_owned()),
        value: value("{}"),
        texts: TextPaths::none(),
    };
    assert!(matches!(node.ask(put.clone()), Answer::Failed(RequestError::Lost | RequestError::Store(_))));
    assert_eq!(node.ask(put), Answer::Failed(RequestError::Store(full)));
    assert!(node.events.iter().any(|event| matches!(event, super::Event::StoreFailed { .. })));
}

fn typed(txn: &Txn) -> Vec<Change> {
    let splice = |patch: &Patch| Change::Splice {
        path: vec!["body".into()],
        at: patch.at,
        delete: patch.delete,
        insert: patch.insert.clone(),
    };
    txn.patches.iter().map(splice).collect()
}

#[test]
fn two_people_typing_at_once_are_replayed_on_two_databases() {
    let mut reader = TraceReader::new();
    reader.feed(FRIENDS);
    reader.finish();
    let txns: Vec<Txn> = core::iter::from_fn(|| reader.next_txn().unwrap()).collect();
    let summary = reader.summary().unwrap();
    let (mut nodes, wire) = Node::pair();
    let partition = nodes[0].main();
    let put = Request::Put {
        partition,
        collection: "notes".to_owned(),
        key: Some("a".to_owned()),
        value: [("body", summary.start_content.as_str())].into_iter().collect(),
        texts: ["body"].into_iter().collect(),
    };
    let Answer::Written { cut: origin, .. } = nodes[0].ask(put) else { panic!("written") };
    wire.carry(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.ask(Request::Hold { partition, name: keyed("a"), hold: true }), Answer::Done);
    }
    let mut causality = Causality::new();
    // The positions that each author has seen, and the ends of each author's transactions.
    let mut seen: [Cut; 2] = [origin.clone(), origin];
    let mut ends: [Vec<Cut>; 2] = [Vec::new(), Vec::new()];
    for txn in &txns {
        for receive in causality.follow(txn).unwrap() {
            for cut in &ends[receive.agent][receive.txns] {
                cut.iter().for_each(|(log, seq)| {
                    let known = seen[txn.agent].entry(*log).or_insert(*seq);
                    *known = (*known).max(*seq);
                });
            }
        }
        let cut = Some(seen[txn.agent].clone());
        let changes = typed(txn);
        let request = Request::Change { partition, name: keyed("a"), changes, seen: cut, durable: true };
        let ticket = nodes[txn.agent].start(request);
        wire.carry(&mut nodes);
        let Some(Answer::Written { cut, .. }) = nodes[txn.agent].answers.remove(&ticket) else { panic!("written") };
        seen[txn.agent] = cut.clone();
        ends[txn.agent].push(cut);
    }
    for node in &mut nodes {
        assert_eq!(node.ask(Request::Hold { partition, name: keyed("a"), hold: false }), Answer::Done);
    }
    wire.carry(&mut nodes);
    let expected = Some([("body", summary.end_content.as_str())].into_iter().collect());
    for node in &mut nodes {
        assert_eq!(node.get(keyed("a")), expected);
    }
    let [mut a, b] = nodes;
    assert_eq!(a.digest(), b.restart(0).digest());
}

#[test]
fn a_held_change_waits_for_what_it_builds_on() {
    let (mut nodes, wire) = Node::pair();
    let partition = nodes[0].main();
    assert_eq!(nodes[1].ask(Request::Hold { partition, name: keyed("a"), hold: true }), Answer::Done);
    let (_, _, first) = nodes[0].put("a", r#"{"n":1}"#);
    nodes[0].put("a", r#"{"n":2}"#);
    let set = Change::Set { path: vec!["m".into()], value: Value::Int(1) };
    let change = Request::Change { partition, name: keyed("a"), changes: vec![set], seen: Some(first), durable: true };
    let ticket = nodes[1].start(change);
    nodes[1].settle();
    assert!(nodes[1].answers.is_empty(), "its log is not even known");
    wire.carry(&mut nodes);
    assert!(matches!(nodes[1].answers.remove(&ticket), Some(Answer::Written { .. })));
    assert_eq!(nodes[1].get(keyed("a")), Some(value(r#"{"n":1,"m":1}"#)));
    assert_eq!(nodes[1].ask(Request::Hold { partition, name: keyed("a"), hold: false }), Answer::Done);
    assert_eq!(nodes[1].get(keyed("a")), Some(value(r#"{"n":2,"m":1}"#)));
    Wire::connect(&mut nodes).carry(&mut nodes);
    assert_eq!(nodes[0].get(keyed("a")), Some(value(r#"{"n":2,"m":1}"#)));
}
