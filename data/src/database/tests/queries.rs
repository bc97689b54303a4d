//! Queries: an index returns the same documents as a scan, whatever happened before.

mod live;
mod model;

use super::node::{Node, Wire, keyed, value};
use crate::database::ask::{
    Group, IndexChange, IndexCheck, IndexState, Matches, Measure, MeasureKind, Query, QueryError, Want,
};
use crate::database::request::{Answer, Request, RequestError, Row, RowPlace};
use crate::index::define::Fields;
use crate::query::plan::Access;
use crate::query::{Field, Sort, parse};
use cosmicsync_protocol::crdt::{TextPaths, Value};

fn query(node: &Node, selector: &str, sort: &str) -> Query {
    Query {
        partition: node.main(),
        collection: "notes".to_owned(),
        selector: parse::parse(selector.as_bytes()).unwrap(),
        sort: if sort.is_empty() { Sort::default() } else { Sort::from_text(sort).unwrap() },
        limit: None,
        bookmark: None,
        use_index: None,
        validity: false,
    }
}

impl Node {
    fn find(&mut self, query: Query) -> Matches {
        let answer = self.ask(Request::Find { query: Box::new(query), want: Want::Docs });
        let Answer::Matches(matches) = answer else { panic!("{answer:?}") };
        matches
    }

    fn keys(&mut self, selector: &str, sort: &str) -> Vec<String> {
        let query = query(self, selector, sort);
        keys_of(&self.find(query))
    }

    fn refused(&mut self, query: Query) -> RequestError {
        let answer = self.ask(Request::Find { query: Box::new(query), want: Want::Docs });
        let Answer::Failed(error) = answer else { panic!("{answer:?}") };
        error
    }

    fn access(&mut self, selector: &str, sort: &str) -> Access {
        let query = Box::new(query(self, selector, sort));
        let answer = self.ask(Request::Find { query, want: Want::Plan });
        let Answer::Plan(explained) = answer else { panic!("{answer:?}") };
        explained.plan.access
    }

    fn index(&mut self, change: IndexChange) -> Answer {
        let (partition, collection) = (self.main(), "notes".to_owned());
        self.ask(Request::IndexChange { partition, collection, change })
    }

    fn create(&mut self, name: &str, fields: &[&str]) {
        let fields = Fields::parse(fields.iter().copied()).unwrap();
        assert_eq!(self.index(IndexChange::Create { name: name.to_owned(), fields }), Answer::Done);
    }

    fn check(&mut self, name: &str) -> IndexCheck {
        let (partition, collection, name) = (self.main(), "notes".to_owned(), name.to_owned());
        let answer = self.ask(Request::IndexCheck { partition, collection, name });
        let Answer::Checked(check) = answer else { panic!("{answer:?}") };
        check
    }

    fn names(&mut self) -> Vec<(String, IndexState)> {
        let (partition, collection) = (self.main(), "notes".to_owned());
        let answer = self.ask(Request::IndexList { partition, collection });
        let Answer::Indexes(indexes) = answer else { panic!("{answer:?}") };
        indexes.into_iter().map(|index| (index.name, index.state)).collect()
    }
}

fn keys_of(matches: &Matches) -> Vec<String> {
    matches.docs.iter().filter_map(|found| found.key.clone()).collect()
}

#[test]
fn a_query_reads_an_index_and_says_so() {
    let mut node = Node::new();
    for (key, json) in [("a", r#"{"n":3,"tag":["x","y"]}"#), ("b", r#"{"n":1}"#), ("c", r#"{"n":2,"tag":"x"}"#)] {
        node.put(key, json);
    }
    assert_eq!(node.keys(r#"{"n":{"$gt":1}}"#, "n"), ["c", "a"]);
    assert_eq!(node.access(r#"{"n":{"$gt":1}}"#, "n"), Access::Scan);
    node.create("by_n", &["n"]);
    node.create("by_tag", &["tag"]);
    assert_eq!(node.names(), [("by_n".to_owned(), IndexState::Ready), ("by_tag".to_owned(), IndexState::Ready)]);
    assert!(matches!(node.access(r#"{"n":{"$gt":1}}"#, "n"), Access::Index(part) if part.name == "by_n"));
    assert_eq!(node.keys(r#"{"n":{"$gt":1}}"#, "n"), ["c", "a"]);
    assert_eq!(node.keys(r#"{"n":{"$gt":1}}"#, "-n"), ["a", "c"]);
    assert_eq!(node.keys(r#"{"tag":"x"}"#, "n"), ["c", "a"]);
    assert!(matches!(node.access(r#"{"tag":"x"}"#, ""), Access::Index(part) if part.name == "by_tag"));
    assert!(matches!(node.access(r#"{"$key":"a"}"#, ""), Access::Named(_)));
    assert_eq!(node.keys(r#"{"$key":{"$in":["a","b","z"]}}"#, "n"), ["b", "a"]);
    assert!(matches!(node.access(r#"{"$or":[{"n":1},{"tag":"y"}]}"#, ""), Access::Union(parts) if parts.len() == 2));
    assert_eq!(node.keys(r#"{"$or":[{"n":1},{"tag":"y"},{"n":3}]}"#, "n"), ["b", "a"]);

    // The index includes a document that was just written, and no longer one that was just deleted.
    node.put("d", r#"{"n":7}"#);
    let partition = node.main();
    node.ask(Request::Delete { partition, name: keyed("a") });
    node.put("b", r#"{"n":5}"#);
    assert_eq!(node.keys(r#"{"n":{"$gt":1}}"#, "n"), ["c", "b", "d"]);
    assert_eq!(node.check("by_n"), IndexCheck { docs: 3, rows: 3, missing: 0, extra: 0 });

    assert_eq!(node.index(IndexChange::Rebuild { name: "by_n".to_owned() }), Answer::Done);
    assert_eq!(node.check("by_n"), IndexCheck { docs: 3, rows: 3, missing: 0, extra: 0 });
    assert_eq!(node.index(IndexChange::Drop { name: "by_n".to_owned() }), Answer::Done);
    assert_eq!(node.names().len(), 1);
    assert_eq!(node.access(r#"{"n":{"$gt":1}}"#, ""), Access::Scan);
    let gone = QueryError::NoIndex("by_n".to_owned()).into();
    assert_eq!(node.refused(Query { use_index: Some("by_n".to_owned()), ..query(&node, "{}", "") }), gone);
}

#[test]
fn definitions_travel_and_each_device_builds_its_own() {
    let ([mut a, b], _) = Node::pair();
    a.put("k", r#"{"n":1}"#);
    a.create("by_n", &["n"]);
    let mut nodes = [a, b];
    Wire::connect(&mut nodes).carry(&mut nodes);
    let [_, mut b] = nodes;
    assert_eq!(b.keys(r#"{"n":1}"#, ""), ["k"]);
    assert_eq!(b.check("by_n"), IndexCheck { docs: 1, rows: 1, missing: 0, extra: 0 });
    assert!(matches!(b.access(r#"{"n":1}"#, ""), Access::Index(_)));
}

#[test]
fn what_was_held_back_is_indexed_after_a_crash() {
    let ([mut a, b], _) = Node::pair();
    a.put("k", r#"{"n":1}"#);
    a.create("by_n", &["n"]);
    let mut nodes = [a, b];
    let wire = Wire::connect(&mut nodes);
    wire.carry(&mut nodes);
    assert_eq!(nodes[1].keys(r#"{"n":1}"#, ""), ["k"]);
    let partition = nodes[1].main();
    nodes[1].ask(Request::Hold { partition, name: keyed("k"), hold: true });
    nodes[0].put("k", r#"{"n":2}"#);
    wire.carry(&mut nodes);
    assert_eq!(nodes[1].keys(r#"{"n":1}"#, ""), ["k"], "it shows as it is held");
    let [_, b] = nodes;
    let mut b = b.restart(0);
    assert_eq!(b.keys(r#"{"n":2}"#, ""), ["k"]);
    assert_eq!(b.check("by_n"), IndexCheck { docs: 1, rows: 1, missing: 0, extra: 0 });
}

#[test]
fn nothing_waits_for_a_document_that_no_index_wants_any_more() {
    let mut node = Node::new();
    let partition = node.main();
    node.put("k", r#"{"n":1}"#);
    node.create("by_n", &["n"]);
    // Another collection keeps an index, so that the worker continues.
    let (collection, fields) = ("others".to_owned(), Fields::parse(["m"]).unwrap());
    let change = IndexChange::Create { name: "by_m".to_owned(), fields };
    assert_eq!(node.ask(Request::IndexChange { partition, collection, change }), Answer::Done);
    node.ask(Request::Hold { partition, name: keyed("k"), hold: true });
    node.put("k", r#"{"n":2}"#);
    assert_eq!(node.index(IndexChange::Drop { name: "by_n".to_owned() }), Answer::Done);
    node.ask(Request::Hold { partition, name: keyed("k"), hold: false });
    assert_eq!(node.keys(r#"{"n":2}"#, ""), ["k"]);
}

#[test]
fn what_was_held_back_is_indexed_when_it_is_let_go() {
    let mut node = Node::new();
    node.put("k", r#"{"n":1}"#);
    node.create("by_n", &["n"]);
    let partition = node.main();
    node.ask(Request::Hold { partition, name: keyed("k"), hold: true });
    node.put("k", r#"{"n":2}"#);
    node.ask(Request::Hold { partition, name: keyed("k"), hold: false });
    assert_eq!(node.check("by_n"), IndexCheck { docs: 1, rows: 1, missing: 0, extra: 0 });
    assert_eq!(node.keys(r#"{"n":2}"#, ""), ["k"]);
    // The same holds if the index is dropped meanwhile.
    node.ask(Request::Hold { partition, name: keyed("k"), hold: true });
    node.put("k", r#"{"n":3}"#);
    assert_eq!(node.index(IndexChange::Drop { name: "by_n".to_owned() }), Answer::Done);
    node.ask(Request::Hold { partition, name: keyed("k"), hold: false });
    assert_eq!(node.keys(r#"{"n":3}"#, ""), ["k"]);
}

#[test]
fn pages_go_on_behind_a_document_that_is_gone() {
    let mut node = Node::new();
    for number in 0..25 {
        node.put(&format!("{number:02}"), &format!(r#"{{"n":{number},"flag":true}}"#));
    }
    for index in [false, true] {
        if index {
            node.create("by_flag_n", &["flag", "n"]);
        }
        let ask = |node: &Node| Query { limit: Some(10), ..query(node, r#"{"flag":true}"#, "n") };
        let first = ask(&node);
        let first = node.find(first);
        assert_eq!(keys_of(&first).last().map(String::as_str), Some("09"));
        node.put("09", r#"{"n":9,"flag":false}"#);
        let next = Query { bookmark: first.bookmark, ..ask(&node) };
        let second = node.find(next);
        assert_eq!(keys_of(&second), (10..20).map(|number| number.to_string()).collect::<Vec<_>>());
        let rest = Query { bookmark: second.bookmark.clone(), ..ask(&node) };
        let rest = node.find(rest);
        assert_eq!((rest.docs.len(), &rest.bookmark), (5, &None));
        let other = Query { bookmark: second.bookmark, ..query(&node, r#"{"flag":false}"#, "n") };
        assert_eq!(node.refused(other), QueryError::Bookmark.into());
        node.put("09", r#"{"n":9,"flag":true}"#);
    }
}

#[test]
fn a_scan_that_ends_early_goes_on_though_nothing_matched() {
    let mut node = Node::new();
    for number in 0..30 {
        node.put(&number.to_string(), &format!(r#"{{"n":{number}}}"#));
    }
    node.db.desk.scanned_max = 4;
    let asked = query(&node, r#"{"n":{"$gte":28}}"#, "");
    let (mut all, mut bookmark, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = node.find(Query { bookmark, ..asked.clone() });
        all.extend(keys_of(&page));
        (bookmark, pages) = (page.bookmark, pages + 1);
        if bookmark.is_none() {
            break;
        }
    }
    all.sort();
    assert_eq!((all, pages), (vec!["28".to_owned(), "29".to_owned()], 8));
    let sorted = query(&node, r#"{"n":{"$gte":28}}"#, "n");
    assert_eq!(node.refused(sorted), QueryError::ScanLimit.into());
}

#[test]
fn what_is_put_together_has_limits() {
    let mut node = Node::new();
    node.put("a", r#"{"n":1}"#);
    let measure = Measure { kind: MeasureKind::Max, field: Field::parse("n").unwrap() };
    let want = Want::Groups { by: None, measures: vec![measure; 17] };
    let query = Box::new(query(&node, "{}", ""));
    assert_eq!(node.ask(Request::Find { query, want }), Answer::Failed(QueryError::TooManyMeasures(17).into()));
}

#[test]
fn documents_are_counted_and_grouped() {
    let mut node = Node::new();
    for (key, json) in
        [("a", r#"{"s":"x","n":3}"#), ("b", r#"{"s":"y","n":1.5}"#), ("c", r#"{"s":"x","n":4}"#), ("d", "{}")]
    {
        node.put(key, json);
    }
    let query = query(&node, "{}", "");
    assert_eq!(node.ask(Request::Find { query: Box::new(query.clone()), want: Want::Count }), Answer::Count(4));
    let measure = |kind| Measure { kind, field: Field::parse("n").unwrap() };
    let measures = [MeasureKind::Sum, MeasureKind::Min, MeasureKind::Max, MeasureKind::Average].map(measure).to_vec();
    let want = Want::Groups { by: Some(Field::parse("s").unwrap()), measures };
    let group = |value: Option<&str>, count, measures: [Option<Value>; 4]| Group {
        value: value.map(Value::from),
        count,
        measures: measures.to_vec(),
    };
    let (int, float) = (|number| Some(Value::Int(number)), |number| Some(Value::Float(number)));
    assert_eq!(
        node.ask(Request::Find { query: Box::new(query), want }),
        Answer::Groups(vec![
            group(None, 1, [int(0), None, None, None]),
            group(Some("x"), 2, [int(7), int(3), int(4), float(3.5)]),
            group(Some("y"), 1, [float(1.5), float(1.5), float(1.5), float(1.5)]),
        ])
    );
}

#[test]
fn an_import_stands_in_the_index_that_was_there_before() {
    let mut node = Node::new();
    node.put("first", r#"{"n":-1}"#);
    node.create("by_n", &["n"]);
    let (import, ..) = node.import("file", "notes", false);
    let rows = (0..3_000).map(|number| Row {
        key: Some(format!("{number}")),
        value: value(&format!(r#"{{"n":{}}}"#, number % 100)),
        at: RowPlace::default(),
    });
    let rows: Vec<Row> = rows.collect();
    for rows in rows.chunks(1000) {
        assert!(matches!(node.rows(import, rows.to_vec(), b""), Answer::Imported { .. }));
    }
    assert_eq!(node.keys(r#"{"n":7}"#, "").len(), 30);
    assert_eq!(node.check("by_n"), IndexCheck { docs: 3_001, rows: 3_001, missing: 0, extra: 0 });
    let mut node = node.restart(0);
    assert_eq!(node.keys(r#"{"n":7}"#, "").len(), 30);
}

#[test]
fn an_answer_is_whole_at_every_moment_of_a_build_and_of_a_drop() {
    let mut node = Node::new();
    for number in 0..40 {
        node.put(&number.to_string(), &format!(r#"{{"n":{number}}}"#));
    }
    let asked = query(&node, r#"{"n":{"$gte":0}}"#, "");
    let (partition, collection) = (node.main(), "notes".to_owned());
    let fields = Fields::parse(["n"]).unwrap();
    for completions in 0..40 {
        let name = "by_n".to_owned();
        let change = match completions % 2 {
            0 => IndexChange::Create { name, fields: fields.clone() },
            _ => IndexChange::Drop { name },
        };
        node.start(Request::IndexChange { partition, collection: collection.clone(), change });
        node.settle_at_most(completions);
        let find = node.start(Request::Find { query: Box::new(asked.clone()), want: Want::Count });
        // The query and the change progress side by side.
        node.settle_at_most(3);
        let count = node.start(Request::Find { query: Box::new(asked.clone()), want: Want::Count });
        node.settle();
        for ticket in [find, count] {
            assert_eq!(node.answers.remove(&ticket), Some(Answer::Count(40)), "after {completions} completions");
        }
    }
}

#[test]
fn an_answer_has_all_that_was_acknowledged() {
    let mut node = Node::new();
    node.put("first", r#"{"n":0}"#);
    node.create("by_n", &["n"]);
    let asked = query(&node, r#"{"n":{"$gte":0}}"#, "");
    for number in 1..20 {
        let (partition, collection) = (node.main(), "notes".to_owned());
        let (key, value) = (Some(number.to_string()), value(&format!(r#"{{"n":{number}}}"#)));
        let written = node.start(Request::Put { partition, collection, key, value, texts: TextPaths::none() });
        while !node.answers.contains_key(&written) {
            assert!(!node.settle_at_most(1), "it is acknowledged");
        }
        let count = node.start(Request::Find { query: Box::new(asked.clone()), want: Want::Count });
        node.settle_at_most(12);
        node.settle();
        assert_eq!(node.answers.remove(&count), Some(Answer::Count(number + 1)));
    }
}

/// A document that is being opened when one of its entries arrives is reported as opened, not as changed.
#[test]
fn an_index_takes_in_what_arrives_while_the_document_is_opened() {
    let ([mut a, b], _) = Node::pair();
    a.put("0", r#"{"n":0}"#);
    a.create("by_n", &["n"]);
    let mut nodes = [a, b];
    Wire::connect(&mut nodes).carry(&mut nodes);
    nodes[1].names();
    let [a, b] = nodes;
    let mut nodes = [a, b.restart(0)];
    let wire = Wire::connect(&mut nodes);
    nodes[1].names();
    nodes[0].put("0", r#"{"n":1}"#);
    let partition = nodes[1].main();
    nodes[1].start(Request::Explain { partition, name: keyed("0") });
    assert!(wire.deliver(&mut nodes, 0));
    wire.carry(&mut nodes);
    let check = nodes[1].check("by_n");
    assert_eq!((check.rows, check.missing, check.extra), (1, 0, 0));
    assert_eq!(nodes[1].get(keyed("0")), Some(value(r#"{"n":1}"#)));
}
