//! Compares queries that use an index with scans, over random histories.

use super::super::node::{Node, Wire, keyed, value};
use super::query;
use crate::database::ask::{IndexChange, Query};
use crate::database::request::Request;
use crate::index::define::Fields;
use crate::query::{Selector, Sort, Subject};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Put(u8, String),
    Delete(u8),
    Create(u8),
    Drop(u8),
    Restart(usize),
    Ask(String, &'static str),
}

pub(super) const INDEXES: [(&str, &[&str]); 4] =
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

pub(super) fn selector() -> impl Strategy<Value = String> {
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

pub(super) fn step() -> impl Strategy<Value = Step> {
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

/// Returns the answer of a scan: keys, in the order of the sort and then of the ids.
pub(super) fn expected(node: &mut Node, selector: &Selector, sort: &Sort) -> Vec<(String, Value)> {
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
    // A write in progress may become durable at any moment; waiting for it keeps the expectation stable.
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
    let sorted_by = |value: &Value| asked.sort.key(&Subject::new(value, Default::default())).values;
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
    /// Begins a write and takes this number of steps.
    Begin(u8, String, usize),
    /// Holds or releases a document.
    Hold(u8, bool),
    /// Delivers the writes of each device to the other.
    Carry,
    /// Crashes; this number of commits that were not durable remain.
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
