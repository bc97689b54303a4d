//! Schemas: writes here must match them, and documents that do not match are reported.

use super::node::{Node, keyed, value};
use crate::database::ask::{LiveEvent, Query, Want};
use crate::database::request::{Action, Answer, Condition, Intent, Name, Request, RequestError, Row, RowPlace, Target};
use crate::database::schema_ops::{SchemaChange, SchemaReport};
use crate::query::{Sort, parse};
use crate::schema::Schema;
use cosmicsync_protocol::crdt::{Change, TextPaths};
use std::sync::Arc;

impl Node {
    fn schema(&mut self, change: SchemaChange) -> Answer {
        let (partition, collection) = (self.main(), "notes".to_owned());
        self.ask(Request::Schema { partition, collection, change })
    }

    fn set(&mut self, json: &str, force: bool) -> Answer {
        let schema = Arc::new(Schema::new(&value(json)).unwrap());
        self.schema(SchemaChange::Set { schema, force, dry_run: false })
    }

    fn number(&mut self, json: &str) -> Option<u64> {
        let answer = self.set(json, false);
        let Answer::Schema(report) = answer else { panic!("{answer:?}") };
        report.number
    }

    fn report(&mut self) -> SchemaReport {
        let answer = self.schema(SchemaChange::Check);
        let Answer::Schema(report) = answer else { panic!("{answer:?}") };
        *report
    }

    fn write(&mut self, target: Target, action: Action) -> Answer {
        let (partition, condition) = (self.main(), Condition::None);
        self.ask(Request::WriteOne { partition, intent: Intent { target, action, condition }, once: None })
    }

    fn add(&mut self, json: &str) -> Answer {
        let target = Target::New { collection: "notes".to_owned() };
        self.write(target, Action::Put { value: value(json), texts: TextPaths::none() })
    }

    fn change(&mut self, key: &str, action: Action) -> Answer {
        self.write(Target::Named(keyed(key)), action)
    }

    fn valid(&mut self, selector: &str) -> Vec<String> {
        let answer = self.ask(Request::Find { query: Box::new(query(self, selector)), want: Want::Docs });
        let Answer::Matches(matches) = answer else { panic!("{answer:?}") };
        matches.docs.into_iter().filter_map(|found| found.key).collect()
    }
}

fn query(node: &Node, selector: &str) -> Query {
    let selector = parse::parse(selector.as_bytes()).unwrap();
    Query { selector, sort: Sort::from_text("$key").unwrap(), ..Query::all(node.main(), "notes".to_owned()) }
}

/// Returns the places that a refused write names.
fn places(answer: Answer) -> Vec<String> {
    let Answer::Failed(RequestError::Violates(violations)) = answer else { panic!("{answer:?}") };
    violations.into_iter().map(|one| one.pointer).collect()
}

#[test]
fn an_undo_that_violates_the_schema_is_refused() {
    let mut node = Node::new();
    let put = |json: &str| Action::Put { value: value(json), texts: TextPaths::none() };
    node.change("a", put(r#"{"n":"old"}"#));
    node.change("a", put(r#"{"n":2}"#));
    node.set(r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#, true);
    let refused = node.change("a", Action::Undo);
    assert!(matches!(refused, Answer::Failed(RequestError::Violates(_))), "{refused:?}");
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
    node.change("a", put(r#"{"n":3}"#));
    node.change("a", Action::Undo);
    assert_eq!(node.get(keyed("a")), Some(value(r#"{"n":2}"#)));
}

#[test]
fn a_write_that_violates_the_schema_changes_nothing() {
    let mut node = Node::new();
    assert_eq!(node.number(r#"{"required":["n"],"properties":{"n":{"type":"integer","maximum":9}}}"#), Some(1));
    node.put("a", r#"{"n":1,"l":[1]}"#);
    let before = node.digest();
    let partition = node.main();
    let put = |json: &str| Action::Put { value: value(json), texts: TextPaths::none() };
    assert_eq!(places(node.change("b", put(r#"{"n":"x"}"#))), ["/n"]);
    assert_eq!(places(node.change("b", put("{}"))), [""]);
    assert_eq!(places(node.change("a", Action::Patch(value(r#"{"n":10}"#)))), ["/n"]);
    let operations = crate::json_patch::parse(&value(r#"[{"op":"remove","path":"/n"}]"#)).unwrap();
    assert_eq!(places(node.change("a", Action::JsonPatch(operations))), [""]);
    let add = Change::Add { path: vec!["n".into()], by: 9 };
    assert_eq!(places(node.change("a", Action::Change(vec![add]))), ["/n"]);
    let intents = ["x", "y"].map(|key| Intent {
        target: Target::Named(keyed(key)),
        action: put(if key == "x" { r#"{"n":1}"# } else { r#"{"n":11}"# }),
        condition: Condition::None,
    });
    let answer = node.ask(Request::Write { partition, intents: intents.into(), once: None });
    assert!(
        matches!(answer, Answer::Failed(RequestError::At(1, error)) if matches!(*error, RequestError::Violates(_)))
    );
    assert_eq!(node.digest(), before);

    // Imports are checked as well, and the error names the line.
    let (import, ..) = node.import("file", "notes", false);
    let row = |json: &str, line| Row { key: None, value: value(json), at: RowPlace { line, row: line - 1 } };
    let answer = node.rows(import, vec![row(r#"{"n":3}"#, 2), row(r#"{"n":10}"#, 3)], b"");
    let Answer::Failed(RequestError::Row { at, error }) = answer else { panic!("{answer:?}") };
    assert!(at.line == 3 && matches!(*error, RequestError::Violates(_)));
    assert_eq!(node.digest(), before);
}

#[test]
fn a_schema_that_documents_violate_needs_force() {
    let mut node = Node::new();
    node.put("a", r#"{"n":1}"#);
    node.put("b", r#"{"n":"x"}"#);
    let schema = r#"{"properties":{"n":{"type":"integer"}}}"#;
    let answer = node.set(schema, false);
    let Answer::Failed(RequestError::DocumentsViolate(report)) = answer else { panic!("{answer:?}") };
    assert_eq!((report.docs, report.invalid, report.examples[0].key.as_deref()), (2, 1, Some("b")));
    assert_eq!(node.schema(SchemaChange::Check), Answer::Failed(RequestError::NoSchema));
    let parsed = Arc::new(Schema::new(&value(schema)).unwrap());
    let dry = node.schema(SchemaChange::Set { schema: parsed, force: false, dry_run: true });
    assert!(matches!(dry, Answer::Schema(report) if report.invalid == 1 && report.number.is_none()));
    assert!(matches!(node.set(schema, true), Answer::Schema(report) if report.number == Some(1)));
    assert_eq!(node.report().invalid, 1);
    assert_eq!(
        (node.valid(r#"{"$valid":false}"#), node.valid(r#"{"$valid":true}"#)),
        (vec!["b".into()], vec!["a".into()])
    );

    // A document that does not match stays visible, and can be read, deleted and corrected.
    let mut node = node.restart(0);
    assert_eq!(node.get(keyed("b")), Some(value(r#"{"n":"x"}"#)));
    assert!(matches!(node.change("b", Action::Patch(value(r#"{"n":2}"#))), Answer::Written { .. }));
    assert_eq!(node.report().invalid, 0);
    assert_eq!(node.number(r#"{"properties":{"n":{"type":"number"}}}"#), Some(2));
    assert_eq!(node.number(r#"{"properties":{"n":{"type":"number"}}}"#), Some(2), "the same again is no other");
    assert!(matches!(node.schema(SchemaChange::Drop), Answer::Schema(report) if report.number.is_none()));
    assert_eq!(node.valid(r#"{"$valid":{"$exists":false}}"#), ["a", "b"]);
}

#[test]
fn members_merge_and_are_filled_in_as_the_schema_says() {
    let mut node = Node::new();
    node.number(
        r#"{"properties":{"body":{"type":"string","x-crdt":"text"},"likes":{"type":"integer","x-crdt":"counter"},
            "at":{"type":"integer","x-crdt":"timestamp"},"state":{"default":"new"}}}"#,
    );
    node.put("a", r#"{"body":"hi","likes":3,"at":"$now"}"#);
    let wall = i64::try_from(node.now.wall_ms).unwrap();
    let expected =
        |likes: i64, body: &str| value(&format!(r#"{{"at":{wall},"body":"{body}","likes":{likes},"state":"new"}}"#));
    assert_eq!(node.get(keyed("a")), Some(expected(3, "hi")));
    let (mut nodes, wire) = Node::pair();
    nodes[0].number(
        r#"{"properties":{"body":{"type":"string","x-crdt":"text"},"likes":{"type":"integer","x-crdt":"counter"}}}"#,
    );
    nodes[0].put("b", r#"{"body":"ab","likes":3}"#);
    wire.carry(&mut nodes);
    // Both devices set whole values concurrently; texts and counters keep the changes of both.
    nodes[0].put("b", r#"{"body":"xab","likes":5}"#);
    nodes[1].put("b", r#"{"body":"aby","likes":4}"#);
    wire.carry(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.get(keyed("b")), Some(value(r#"{"body":"xaby","likes":6}"#)));
    }
    let answer = nodes[1].set(r#"{"properties":{"body":{"type":"string"}}}"#, true);
    assert_eq!(answer, Answer::Failed(RequestError::ContainerChange("body".to_owned())));
}

#[test]
fn the_key_is_made_of_members_and_stays() {
    let mut node = Node::new();
    node.number(r#"{"x-key":"zip","properties":{"n":{"type":"integer"}}}"#);
    assert!(matches!(node.add(r#"{"zip":"00501","n":1}"#), Answer::Written { created: true, .. }));
    assert_eq!(node.get(keyed("00501")), Some(value(r#"{"zip":"00501","n":1}"#)));
    assert_eq!(node.add(r#"{"zip":"00501","n":2}"#), Answer::Failed(RequestError::Exists));
    assert_eq!(places(node.add(r#"{"n":2}"#)), [""]);
    let other = Action::Put { value: value(r#"{"zip":"1"}"#), texts: TextPaths::none() };
    assert_eq!(places(node.change("2", other)), [""]);
    assert_eq!(places(node.change("00501", Action::Patch(value(r#"{"zip":"2"}"#)))), [""]);
    let (import, ..) = node.import("file", "notes", false);
    let row = |json: &str| Row { key: None, value: value(json), at: RowPlace::default() };
    let answer = node.rows(import, vec![row(r#"{"zip":"00501","n":7}"#), row(r#"{"zip":"00502"}"#)], b"");
    assert!(matches!(answer, Answer::Imported { rows: 2, .. }), "{answer:?}");
    assert_eq!(node.get(keyed("00501")), Some(value(r#"{"zip":"00501","n":7}"#)));
    assert_eq!(node.all(Some("notes"), 10).len(), 2);
}

#[test]
fn replicas_agree_on_what_a_merge_made_invalid() {
    let (mut nodes, wire) = Node::pair();
    nodes[0].number(r#"{"properties":{"l":{"maxItems":2},"n":{"type":"integer"}}}"#);
    nodes[0].put("a", r#"{"l":[],"n":1}"#);
    nodes[0].put("b", r#"{"l":[]}"#);
    wire.carry(&mut nodes);
    let live = |node: &mut Node| {
        let query = Box::new(query(node, r#"{"$valid":false}"#));
        let answer = node.ask(Request::Live { query, since: None });
        let Answer::Live(batch) = answer else { panic!("{answer:?}") };
        assert!(batch.events.is_empty());
        batch.id
    };
    let ids = [live(&mut nodes[0]), live(&mut nodes[1])];
    let waiting = [0, 1].map(|at| nodes[at].start(Request::LiveNext { id: ids[at] }));
    // Each device adds two items: valid alone, but four together are not.
    nodes[0].put("a", r#"{"l":[1,2],"n":1}"#);
    nodes[1].put("a", r#"{"l":[3,4],"n":1}"#);
    wire.carry(&mut nodes);
    for (node, ticket) in nodes.iter_mut().zip(waiting) {
        assert_eq!(node.get(keyed("a")).and_then(|a| a.entry("l")?.as_list().map(Vec::len)), Some(4));
        assert_eq!((node.valid(r#"{"$valid":false}"#), node.report().invalid), (vec!["a".to_owned()], 1));
        let told = node.answers.remove(&ticket);
        let Some(Answer::Live(batch)) = told else { panic!("{told:?}") };
        assert!(matches!(&batch.events[..], [LiveEvent::Added { found, .. }] if found.key.as_deref() == Some("a")));
    }
    // Another schema makes other documents invalid, even without a change of theirs.
    let waiting = [0, 1].map(|at| nodes[at].start(Request::LiveNext { id: ids[at] }));
    assert!(matches!(nodes[1].set(r#"{"required":["n"]}"#, true), Answer::Schema(_)));
    wire.carry(&mut nodes);
    for (node, ticket) in nodes.iter_mut().zip(waiting) {
        assert_eq!(node.valid(r#"{"$valid":false}"#), ["b"]);
        let told = node.answers.remove(&ticket);
        let Some(Answer::Live(batch)) = told else { panic!("{told:?}") };
        assert_eq!(batch.events.len(), 2, "{:?}", batch.events);
    }
}

#[test]
fn a_schema_that_nobody_here_can_read_hides_nothing() {
    let mut node = Node::new();
    node.put("a", r#"{"n":1}"#);
    let partition = node.main();
    // The description, in the form that a later version may write.
    let name = Name::Key { collection: crate::collection::COLLECTIONS.to_owned(), key: "notes".to_owned() };
    let patch = value(r#"{"schema":"3:{\"later\":1}"}"#);
    assert!(matches!(node.ask(Request::Patch { partition, name, patch }), Answer::Written { .. }));
    assert_eq!(node.valid(r#"{"$valid":null}"#), ["a"]);
    node.put("b", r#"{"n":"x"}"#);
    assert_eq!(node.schema(SchemaChange::Check), Answer::Failed(RequestError::NoSchema));
    assert_eq!(node.number(r#"{"properties":{"m":{"type":"integer"}}}"#), Some(4));
}
