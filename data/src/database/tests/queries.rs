//! Queries: an index brings what a look at every document would, whatever happened meanwhile.

use super::node::{Node, Wire, keyed, value};
use crate::database::ask::{
    Group, IndexChange, IndexCheck, IndexState, LiveBatch, LiveEvent, Matches, Measure, MeasureKind, Query, QueryError,
    Want,
};
use crate::database::request::{Answer, Request, RequestError, Row, RowPlace};
use crate::index::define::Fields;
use crate::query::plan::Access;
use crate::query::{Field, Selector, Sort, parse};
use cosmicsync_protocol::document::{TextPaths, Value};
use cosmicsync_protocol::ids::DocId;
use proptest::prelude::*;

fn query(node: &Node, selector: &str, sort: &str) -> Query {
    Query {
        partition: node.main(),
        collection: "notes".to_owned(),
        selector: parse::parse(selector.as_bytes()).unwrap(),
        sort: if sort.is_empty() { Sort::default() } else { Sort::from_text(sort).unwrap() },
        limit: None,
        bookmark: None,
        use_index: None,
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

    // What was written a moment ago is there, and what went is not.
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
    // Also if the index goes meanwhile.
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

/// An answer that follows what it is told, as a client's does.
#[derive(Debug, Default)]
struct Followed(Vec<(DocId, Value)>);

impl Followed {
    fn take(&mut self, batch: LiveBatch) {
        if batch.reset {
            self.0.clear();
        }
        for event in batch.events {
            match event {
                LiveEvent::Removed { doc, .. } => {
                    let before = self.0.len();
                    self.0.retain(|(known, _)| *known != doc);
                    assert_eq!(self.0.len() + 1, before, "what goes was there");
                }
                LiveEvent::Changed { found } => {
                    let known = self.0.iter_mut().find(|(doc, _)| *doc == found.doc);
                    known.expect("what changes was there").1 = found.value.unwrap();
                }
                LiveEvent::Added { found, after } | LiveEvent::Moved { found, after } => {
                    self.0.retain(|(doc, _)| *doc != found.doc);
                    let at = after.map_or(0, |after| {
                        1 + self
                            .0
                            .iter()
                            .position(|(doc, _)| *doc == after)
                            .expect("it stands behind one that is there")
                    });
                    self.0.insert(at, (found.doc, found.value.unwrap()));
                }
            }
        }
    }
}

#[test]
fn a_live_query_tells_what_changes_in_its_answer() {
    let mut node = Node::new();
    for number in 0..40 {
        node.put(&format!("{number:02}"), &format!(r#"{{"n":{number}}}"#));
    }
    node.create("by_n", &["n"]);
    let query = Query { limit: Some(5), ..query(&node, r#"{"n":{"$gte":10}}"#, "n") };
    let Answer::Live(first) = node.ask(Request::Live { query: Box::new(query), since: None }) else { panic!() };
    let id = first.id;
    assert!(first.reset && first.events.len() == 5);
    let mut followed = Followed::default();
    followed.take(first);
    let numbers = |followed: &Followed| -> Vec<i64> {
        followed.0.iter().map(|(_, value)| if let Some(Value::Int(n)) = value.entry("n") { *n } else { -1 }).collect()
    };
    assert_eq!(numbers(&followed), [10, 11, 12, 13, 14]);
    // Outside of the window nothing is told; a change in it is one event, one that leaves is two.
    let next = node.start(Request::LiveNext { id });
    node.put("30", r#"{"n":30,"more":1}"#);
    assert!(!node.answers.contains_key(&next));
    node.put("11", r#"{"n":11,"more":1}"#);
    let Some(Answer::Live(batch)) = node.answers.remove(&next) else { panic!() };
    assert!(matches!(&batch.events[..], [LiveEvent::Changed { .. }]), "{batch:?}");
    followed.take(batch);
    node.put("12", r#"{"n":1}"#);
    let Answer::Live(batch) = node.ask(Request::LiveNext { id }) else { panic!() };
    assert!(matches!(&batch.events[..], [LiveEvent::Removed { .. }, LiveEvent::Added { .. }]), "{batch:?}");
    followed.take(batch);
    assert_eq!(numbers(&followed), [10, 11, 13, 14, 15]);
    // More leave than it holds beyond its limit.
    for number in 10..38 {
        node.put(&format!("{number:02}"), r#"{"n":2}"#);
    }
    let Answer::Live(batch) = node.ask(Request::LiveNext { id }) else { panic!() };
    followed.take(batch);
    assert_eq!(numbers(&followed), [38, 39]);
    assert_eq!(node.ask(Request::LiveEnd { id }), Answer::Done);
    assert_eq!(node.ask(Request::LiveNext { id }), Answer::Failed(QueryError::NotLive.into()));
}

/// The indexes read the same documents at the same time: none of the two may take the other's reading for its own.
#[test]
fn a_live_query_tells_of_what_arrives_beside_an_index() {
    let ([mut a, b], _) = Node::pair();
    a.put("0", r#"{"n":0}"#);
    a.create("by_n", &["n"]);
    let mut nodes = [a, b];
    let wire = Wire::connect(&mut nodes);
    wire.carry(&mut nodes);
    let asked = query(&nodes[1], r#"{"n":{"$gte":0}}"#, "n");
    let Answer::Live(first) = nodes[1].ask(Request::Live { query: Box::new(asked), since: None }) else { panic!() };
    let id = first.id;
    for number in 1..600 {
        nodes[1].order = number;
        let next = nodes[1].start(Request::LiveNext { id });
        nodes[1].settle();
        nodes[0].put(&number.to_string(), &format!(r#"{{"n":{number}}}"#));
        wire.carry(&mut nodes);
        let Some(Answer::Live(batch)) = nodes[1].answers.remove(&next) else { panic!("{number} is not told") };
        assert!(matches!(&batch.events[..], [LiveEvent::Added { .. }]), "{batch:?}");
    }
}

#[test]
fn a_live_query_tells_of_what_changes_while_it_reads() {
    let mut node = Node::new();
    node.put("0", r#"{"n":0}"#);
    let asked = query(&node, "{}", "n");
    let Answer::Live(first) = node.ask(Request::Live { query: Box::new(asked), since: None }) else { panic!() };
    let (partition, id) = (node.main(), first.id);
    for round in 1..300u64 {
        node.order = round;
        let next = node.start(Request::LiveNext { id });
        node.settle();
        // The first is none of the answer, and nothing is told of it.
        for collection in ["others", "notes"] {
            let (collection, key) = (collection.to_owned(), Some(round.to_string()));
            let (value, texts) = (value(&format!(r#"{{"n":{round}}}"#)), TextPaths::none());
            node.start(Request::Put { partition, collection, key, value, texts });
            node.settle_at_most(usize::try_from(round % 9).unwrap());
        }
        node.settle();
        let Some(Answer::Live(batch)) = node.answers.remove(&next) else { panic!("nothing of {round} is told") };
        assert_eq!(batch.events.len(), 1, "{round}");
    }
}

#[test]
fn a_live_query_goes_on_behind_a_cursor() {
    let mut node = Node::new();
    for key in ["a", "b", "c"] {
        node.put(key, r#"{"n":1}"#);
    }
    let asked = query(&node, r#"{"n":1}"#, "");
    let open = |since| Request::Live { query: Box::new(asked.clone()), since };
    let Answer::Live(first) = node.ask(open(None)) else { panic!() };
    let cursor = first.cursor;
    let mut followed = Followed::default();
    followed.take(first);
    node.put("a", r#"{"n":2}"#);
    node.put("b", r#"{"n":1,"more":1}"#);
    node.put("d", r#"{"n":1}"#);
    let mut node = node.restart(0);
    let Answer::Live(rest) = node.ask(open(Some(cursor))) else { panic!() };
    assert!(!rest.reset && rest.events.len() == 3, "{rest:?}");
    assert!(
        matches!(&rest.events[0], LiveEvent::Removed { doc, .. } if followed.0.iter().any(|(known, _)| known == doc))
    );
    let Answer::Live(nothing) = node.ask(open(Some(rest.cursor))) else { panic!() };
    assert!(!nothing.reset && nothing.events.is_empty());
    let Answer::Live(all) = node.ask(open(Some(rest.cursor + 9))) else { panic!() };
    assert!(all.reset && all.events.len() == 3);
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
        // The answer and the change go on side by side.
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_live_query_is_the_query_run_again(
        steps in prop::collection::vec(step(), 1..40),
        selector in selector(),
        sort in prop_oneof![Just(""), Just("a"), Just("-a,-b"), Just("b,-a")],
        limit in prop::option::of(1..6usize),
        index in prop::option::of(0..4usize),
        order in any::<u64>(),
    ) {
        let mut node = Node::new();
        node.order = order;
        if let Some(at) = index {
            node.create(INDEXES[at].0, INDEXES[at].1);
        }
        let asked = Query { limit, ..query(&node, &selector, sort) };
        let open = Request::Live { query: Box::new(asked.clone()), since: None };
        let Answer::Live(first) = node.ask(open) else { panic!() };
        let id = first.id;
        let mut followed = Followed::default();
        followed.take(first);
        let mut next = node.start(Request::LiveNext { id });
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(key, json) => drop(node.put(&key.to_string(), &json)),
                Step::Delete(key) => {
                    let partition = node.main();
                    node.ask(Request::Delete { partition, name: keyed(&key.to_string()) });
                }
                Step::Create(_) | Step::Drop(_) | Step::Restart(_) | Step::Ask(..) => continue,
            }
            // A slow reader is told of several changes at once.
            if at % 3 == 0 && let Some(Answer::Live(batch)) = node.answers.remove(&next) {
                followed.take(batch);
                next = node.start(Request::LiveNext { id });
                node.settle();
            }
        }
        for _ in 0..3 {
            if let Some(Answer::Live(batch)) = node.answers.remove(&next) {
                followed.take(batch);
                next = node.start(Request::LiveNext { id });
                node.settle();
            }
        }
        let subject = |doc: DocId, value: &Value| asked.sort.key(&crate::query::Subject::new(value, doc)).values;
        let all: Vec<_> = expected(&mut node, &asked.selector, &asked.sort);
        let shown: Vec<_> = followed.0.iter().map(|(doc, value)| subject(*doc, value)).collect();
        let wanted: Vec<_> = all.iter().take(limit.unwrap_or(usize::MAX)).map(|(_, value)| subject(DocId::default(), value)).collect();
        let encoded = |keys: &[Vec<Option<Value>>]| -> Vec<Vec<u8>> {
            keys.iter().map(|key| {
                let mut bytes = Vec::new();
                key.iter().for_each(|value| crate::index::key::push_field(value.as_ref(), &mut bytes));
                bytes
            }).collect()
        };
        if sort.is_empty() {
            prop_assert_eq!(followed.0.len(), wanted.len());
        } else {
            prop_assert_eq!(encoded(&shown), encoded(&wanted), "{} {:?}", selector, followed);
        }
        let known: Vec<&Value> = all.iter().map(|(_, value)| value).collect();
        prop_assert!(followed.0.iter().all(|(_, value)| known.contains(&value)));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, String),
    Delete(u8),
    Create(u8),
    Drop(u8),
    Restart(usize),
    Ask(String, &'static str),
}

const INDEXES: [(&str, &[&str]); 4] =
    [("a", &["a"]), ("ab", &["a", "b"]), ("ba", &["b", "a"]), ("deep", &["c.d", "a"])];

fn scalar() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("1"),
        Just("2"),
        Just("2.0"),
        Just("3"),
        Just("null"),
        Just("true"),
        Just(r#""x""#),
        Just(r#""y""#)
    ]
}

fn content() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => scalar().prop_map(str::to_owned),
        1 => prop::collection::vec(scalar(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
    ];
    let member = |name: &'static str, item: BoxedStrategy<String>| {
        prop::option::weighted(0.8, item).prop_map(move |item| item.map(|item| format!("{name:?}:{item}")))
    };
    let item = item.boxed();
    let deep = prop_oneof![
        item.clone().prop_map(|item| format!(r#"{{"d":{item}}}"#)),
        prop::collection::vec(item.clone(), 0..3).prop_map(|items| {
            format!("[{}]", items.iter().map(|item| format!(r#"{{"d":{item}}}"#)).collect::<Vec<_>>().join(","))
        }),
    ];
    (member("a", item.clone()), member("b", item), member("c", deep.boxed())).prop_map(|(a, b, c)| {
        let members: Vec<String> = [a, b, c].into_iter().flatten().collect();
        format!("{{{}}}", members.join(","))
    })
}

fn selector() -> impl Strategy<Value = String> {
    let test = prop_oneof![
        3 => scalar().prop_map(str::to_owned),
        2 => (prop_oneof![Just("$gt"), Just("$gte"), Just("$lt"), Just("$lte")], scalar())
            .prop_map(|(name, operand)| format!(r#"{{"{name}":{operand}}}"#)),
        1 => Just(r#"{"$gt":1,"$lt":3}"#.to_owned()),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(|items| format!(r#"{{"$in":[{}]}}"#, items.join(","))),
        1 => any::<bool>().prop_map(|exists| format!(r#"{{"$exists":{exists}}}"#)),
        1 => scalar().prop_map(|operand| format!(r#"{{"$ne":{operand}}}"#)),
        1 => Just("[1,2]".to_owned()),
        1 => Just(r#"{"$regex":"^x"}"#.to_owned()),
    ];
    let field = prop_oneof![Just("a"), Just("b"), Just("c.d")];
    let one = (field, test).prop_map(|(field, test)| format!(r#"{{"{field}":{test}}}"#)).boxed();
    prop_oneof![
        3 => one.clone(),
        2 => (one.clone(), one.clone()).prop_map(|(x, y)| format!(r#"{{"$and":[{x},{y}]}}"#)),
        1 => (one.clone(), one).prop_map(|(x, y)| format!(r#"{{"$or":[{x},{y}]}}"#)),
        1 => Just("{}".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let sort = prop_oneof![Just(""), Just("a"), Just("-a"), Just("a,b"), Just("b"), Just("-b,-a")];
    prop_oneof![
        6 => (0..12u8, content()).prop_map(|(key, json)| Step::Put(key, json)),
        1 => (0..12u8).prop_map(Step::Delete),
        2 => (0..4u8).prop_map(Step::Create),
        1 => (0..4u8).prop_map(Step::Drop),
        1 => (0..4usize).prop_map(Step::Restart),
        6 => (selector(), sort).prop_map(|(selector, sort)| Step::Ask(selector, sort)),
    ]
}

/// What a look at every document says: their keys, in order of the sort and then of ids.
fn expected(node: &mut Node, selector: &Selector, sort: &Sort) -> Vec<(String, Value)> {
    use crate::query::Subject;
    let mut all = node.all(Some("notes"), 100);
    all.retain(|found| {
        let value = found.value.as_ref().unwrap();
        selector.matches(&Subject { key: found.key.as_deref(), ..Subject::new(value, found.doc) })
    });
    all.sort_by(|a, b| {
        sort.compare(&Subject::new(a.value.as_ref().unwrap(), a.doc), &Subject::new(b.value.as_ref().unwrap(), b.doc))
    });
    all.into_iter().map(|found| (found.key.unwrap(), found.value.unwrap())).collect()
}

fn ask(node: &mut Node, selector: &str, sort: &str, limit: Option<usize>) {
    // What is under way may be durable at any moment: what is expected must not change meanwhile.
    node.settle();
    let asked = Query { limit, ..query(node, selector, sort) };
    let expected = expected(node, &asked.selector, &asked.sort);
    let mut all = Vec::new();
    let mut bookmark = None;
    loop {
        let page = node.find(Query { bookmark, ..asked.clone() });
        assert!(limit.is_none_or(|limit| page.docs.len() <= limit));
        all.extend(page.docs);
        bookmark = page.bookmark;
        if bookmark.is_none() {
            break;
        }
    }
    let sorted_by = |value: &Value| {
        use crate::query::Subject;
        asked.sort.key(&Subject::new(value, Default::default())).values
    };
    let same = |a: &[Option<Value>], b: &[Option<Value>]| {
        a.iter().zip(b).all(|(a, b)| crate::query::order::compare(a.as_ref(), b.as_ref()).is_eq())
    };
    for (found, (_, expected)) in all.iter().zip(&expected) {
        let found = found.value.as_ref().unwrap();
        assert!(same(&sorted_by(found), &sorted_by(expected)), "{selector} {sort}: {all:?}");
    }
    let mut found: Vec<_> = all.into_iter().map(|found| found.key.unwrap()).collect();
    let mut wanted: Vec<_> = expected.into_iter().map(|(key, _)| key).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "{selector} {sort}: {:?}", node.access(selector, sort));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_index_brings_what_a_look_at_every_document_does(
        steps in prop::collection::vec(step(), 1..40),
        order in any::<u64>(),
    ) {
        let mut node = Node::new();
        node.order = order;
        for step in steps {
            match step {
                Step::Put(key, json) => drop(node.put(&key.to_string(), &json)),
                Step::Delete(key) => {
                    let partition = node.main();
                    node.ask(Request::Delete { partition, name: keyed(&key.to_string()) });
                }
                Step::Create(at) => {
                    let (name, fields) = INDEXES[usize::from(at)];
                    node.create(name, fields);
                }
                Step::Drop(at) => {
                    node.index(IndexChange::Drop { name: INDEXES[usize::from(at)].0.to_owned() });
                }
                Step::Restart(keep) => node = node.restart(keep),
                Step::Ask(selector, sort) => {
                    ask(&mut node, &selector, sort, None);
                    ask(&mut node, &selector, sort, Some(3));
                }
            }
        }
        for (name, _) in node.names() {
            let check = node.check(&name);
            prop_assert_eq!((check.missing, check.extra), (0, 0), "{} {:?}", name, check);
        }
    }
}

#[derive(Debug, Clone)]
enum Apart {
    Put(u8, String),
    Delete(u8),
    Create(u8),
    Drop(u8),
    Ask(String, &'static str),
    /// A write of which so many steps are taken.
    Begin(u8, String, usize),
    /// A document is held back, or let go.
    Hold(u8, bool),
    /// What the two wrote goes to the other.
    Carry,
    /// It crashes, and so many commits that were not durable stay.
    Crash(usize),
}

fn apart() -> impl Strategy<Value = Apart> {
    prop_oneof![
        6 => (0..6u8, content()).prop_map(|(key, json)| Apart::Put(key, json)),
        4 => (0..6u8, content(), 0..8usize).prop_map(|(key, json, steps)| Apart::Begin(key, json, steps)),
        1 => (0..6u8, any::<bool>()).prop_map(|(key, hold)| Apart::Hold(key, hold)),
        1 => (0..6u8).prop_map(Apart::Delete),
        2 => (0..4u8).prop_map(Apart::Create),
        1 => (0..4u8).prop_map(Apart::Drop),
        3 => selector().prop_map(|selector| Apart::Ask(selector, "a")),
        3 => Just(Apart::Carry),
        2 => (0..6usize).prop_map(Apart::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn on_two_devices_an_index_brings_what_is_there(
        steps in prop::collection::vec((any::<bool>(), apart()), 1..40),
        order in any::<u64>(),
    ) {
        let (mut nodes, mut wire) = Node::pair();
        nodes.iter_mut().for_each(|node| node.order = order);
        for (at, step) in steps {
            let node = &mut nodes[usize::from(at)];
            match step {
                Apart::Put(key, json) => drop(node.put(&key.to_string(), &json)),
                Apart::Begin(key, json, steps) => {
                    let (partition, collection, key) = (node.main(), "notes".to_owned(), Some(key.to_string()));
                    let (value, texts) = (value(&json), TextPaths::none());
                    node.start(Request::Put { partition, collection, key, value, texts });
                    node.settle_at_most(steps);
                }
                Apart::Hold(key, hold) => {
                    let partition = node.main();
                    node.ask(Request::Hold { partition, name: keyed(&key.to_string()), hold });
                }
                Apart::Delete(key) => {
                    let partition = node.main();
                    node.ask(Request::Delete { partition, name: keyed(&key.to_string()) });
                }
                Apart::Create(at) => {
                    let (name, fields) = INDEXES[usize::from(at)];
                    let fields = Fields::parse(fields.iter().copied()).unwrap();
                    node.index(IndexChange::Create { name: name.to_owned(), fields });
                }
                Apart::Drop(at) => {
                    node.index(IndexChange::Drop { name: INDEXES[usize::from(at)].0.to_owned() });
                }
                Apart::Ask(selector, sort) => ask(node, &selector, sort, Some(2)),
                Apart::Carry => wire.carry(&mut nodes),
                Apart::Crash(keep) => {
                    let [a, b] = nodes;
                    nodes = if at { [a, b.restart(keep)] } else { [a.restart(keep), b] };
                    wire = Wire::connect(&mut nodes);
                }
            }
        }
        for node in &mut nodes {
            for key in 0..6u8 {
                let partition = node.main();
                node.ask(Request::Hold { partition, name: keyed(&key.to_string()), hold: false });
            }
        }
        wire.carry(&mut nodes);
        for node in &mut nodes {
            ask(node, r#"{"a":{"$gt":0}}"#, "a", None);
            for (name, _) in node.names() {
                let check = node.check(&name);
                prop_assert_eq!((check.missing, check.extra), (0, 0), "{} {:?}", name, check);
            }
        }
        let names: Vec<_> = nodes.iter_mut().map(Node::names).collect();
        prop_assert_eq!(&names[0], &names[1]);
    }
}
