//! Live queries: a client that applies the batches has the query's answer.

use super::super::node::{Node, Wire, keyed, value};
use super::model::{INDEXES, Step, expected, selector, step};
use super::query;
use crate::database::ask::{LiveBatch, LiveEvent, Query, QueryError};
use crate::database::request::{Answer, Request};
use crate::index::key::push_field;
use crate::query::Subject;
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::ids::DocId;
use proptest::prelude::*;

/// A client's copy of an answer, updated by batches.
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
    // A change outside of the window makes no event, a change inside it one, and a document that leaves it two.
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
    // More documents leave than the answer holds beyond its limit.
    for number in 10..38 {
        node.put(&format!("{number:02}"), r#"{"n":2}"#);
    }
    let Answer::Live(batch) = node.ask(Request::LiveNext { id }) else { panic!() };
    followed.take(batch);
    assert_eq!(numbers(&followed), [38, 39]);
    assert_eq!(node.ask(Request::LiveEnd { id }), Answer::Done);
    assert_eq!(node.ask(Request::LiveNext { id }), Answer::Failed(QueryError::NotLive.into()));
}

/// The indexes read the same documents at the same time; neither may take the other's reading for its own.
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
fn live_queries_that_wait_keep_nobody_from_writing() {
    let mut node = Node::new();
    node.put("0", r#"{"n":0}"#);
    let asked = query(&node, "{}", "n");
    let mut followed = Vec::new();
    for _ in 0..1_100 {
        let Answer::Live(first) = node.ask(Request::Live { query: Box::new(asked.clone()), since: None }) else {
            panic!()
        };
        followed.push(node.start(Request::LiveNext { id: first.id }));
    }
    node.put("1", r#"{"n":1}"#);
    for next in followed {
        let Some(Answer::Live(batch)) = node.answers.remove(&next) else { panic!("nothing is told") };
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
        // The first document is not in the answer, so it makes no event.
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
            // A slow reader gets several changes in one batch.
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
        let subject = |doc: DocId, value: &Value| asked.sort.key(&Subject::new(value, doc)).values;
        let all: Vec<_> = expected(&mut node, &asked.selector, &asked.sort);
        let shown: Vec<_> = followed.0.iter().map(|(doc, value)| subject(*doc, value)).collect();
        let wanted: Vec<_> = all.iter().take(limit.unwrap_or(usize::MAX)).map(|(_, value)| subject(DocId::default(), value)).collect();
        let encoded = |keys: &[Vec<Option<Value>>]| -> Vec<Vec<u8>> {
            keys.iter().map(|key| {
                let mut bytes = Vec::new();
                key.iter().for_each(|value| push_field(value.as_ref(), &mut bytes));
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

/// An entry that was held back when the query was opened arrives without a change number of its own.
#[test]
fn a_live_query_tells_of_what_was_held_back_when_it_was_opened() {
    let (mut nodes, wire) = Node::pair();
    nodes[0].put("0", r#"{"n":0}"#);
    wire.carry(&mut nodes);
    let partition = nodes[1].main();
    nodes[1].ask(Request::Hold { partition, name: keyed("0"), hold: true });
    nodes[0].put("0", r#"{"n":1}"#);
    wire.carry(&mut nodes);
    let asked = query(&nodes[1], r#"{"n":1}"#, "n");
    let Answer::Live(first) = nodes[1].ask(Request::Live { query: Box::new(asked), since: None }) else { panic!() };
    assert!(first.events.is_empty(), "{first:?}");
    let next = nodes[1].start(Request::LiveNext { id: first.id });
    nodes[1].settle();
    nodes[1].ask(Request::Hold { partition, name: keyed("0"), hold: false });
    let Some(Answer::Live(batch)) = nodes[1].answers.remove(&next) else { panic!("nothing is told") };
    assert!(matches!(&batch.events[..], [LiveEvent::Added { .. }]), "{batch:?}");
}

/// A held document lacks changes that are numbered. Nobody may resume behind these before they were told.
#[test]
fn a_live_query_resumes_before_what_was_held_back() {
    for is_held_first in [true, false] {
        let (mut nodes, wire) = Node::pair();
        nodes[0].put("0", r#"{"n":0}"#);
        wire.carry(&mut nodes);
        let partition = nodes[1].main();
        let asked = query(&nodes[1], r#"{"n":{"$gte":1}}"#, "n");
        let open = |since| Request::Live { query: Box::new(asked.clone()), since };
        let hold = Request::Hold { partition, name: keyed("0"), hold: true };
        let mut batches = Vec::new();
        if !is_held_first {
            batches.push(nodes[1].ask(open(None)));
        }
        nodes[1].ask(hold);
        nodes[0].put("0", r#"{"n":1}"#);
        nodes[0].put("1", r#"{"n":2}"#);
        wire.carry(&mut nodes);
        batches.push(match batches.last() {
            Some(Answer::Live(first)) => nodes[1].ask(Request::LiveNext { id: first.id }),
            _ => nodes[1].ask(open(None)),
        });
        let mut followed = Followed::default();
        let mut cursor = None;
        for batch in batches {
            let Answer::Live(batch) = batch else { panic!("{batch:?}") };
            cursor = Some(batch.cursor);
            followed.take(batch);
        }
        assert_eq!(followed.0.len(), 1, "the other document is told");
        let [_, node] = nodes;
        let mut node = node.restart(0);
        let Answer::Live(rest) = node.ask(open(cursor)) else { panic!() };
        let is_zero =
            |event: &LiveEvent| matches!(event, LiveEvent::Added { found, .. } if found.key.as_deref() == Some("0"));
        assert!(!rest.reset && rest.events.iter().any(is_zero), "{is_held_first}: {rest:?}");
    }
}
