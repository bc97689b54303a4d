//! Compares random requests with a model, a map, over restarts and a second device.

use super::super::request::{Answer, Request, Row, RowPlace};
use super::node::{Node, keyed, value};
use crate::collection::CollectionMeta;
use crate::json::tests::any_json;
use crate::patch;
use cosmicsync_protocol::crdt::{TextPaths, Value};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Value),
    Patch(usize, Value),
    Delete(usize),
    Get(usize),
    Import(Vec<(usize, Value)>),
    List,
    Restart,
}

fn any_document() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-c]", any_json(), 0..3).prop_map(Value::Map)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..6, any_document()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0usize..6, any_document()).prop_map(|(key, value)| Step::Patch(key, value)),
        2 => (0usize..6).prop_map(Step::Delete),
        2 => (0usize..6).prop_map(Step::Get),
        2 => proptest::collection::vec((0usize..6, any_document()), 0..12).prop_map(Step::Import),
        1 => Just(Step::List),
        1 => Just(Step::Restart),
    ]
}

fn key(n: usize) -> String {
    format!("k{n}")
}

/// Returns the result of a merge patch (RFC 7396), computed through changes that other tests cover.
fn patched(current: &Value, change: &Value) -> Value {
    let mut replica =
        cosmicsync_protocol::crdt::Replica::create(1, &Default::default(), current, &TextPaths::none()).unwrap();
    replica.apply(&patch::merge_patch(current, change).unwrap(), &TextPaths::none()).unwrap();
    replica.value().unwrap()
}

fn run(node: &mut Node, model: &mut BTreeMap<usize, Value>, step: &Step) {
    let partition = node.main();
    match step {
        Step::Put(at, value) => {
            let (collection, texts) = ("notes".to_owned(), TextPaths::none());
            let put = Request::Put { partition, collection, key: Some(key(*at)), value: value.clone(), texts };
            let answer = node.ask(put);
            let Answer::Written { created, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(created, model.insert(*at, value.clone()).is_none());
        }
        Step::Patch(at, change) => {
            let answer = node.ask(Request::Patch { partition, name: keyed(&key(*at)), patch: change.clone() });
            match model.get_mut(at) {
                Some(current) => {
                    assert!(matches!(answer, Answer::Written { .. }));
                    *current = patched(current, change);
                }
                None => assert!(matches!(answer, Answer::Failed(_))),
            }
        }
        Step::Delete(at) => {
            let answer = node.ask(Request::Delete { partition, name: keyed(&key(*at)) });
            assert_eq!(matches!(answer, Answer::Written { .. }), model.remove(at).is_some());
        }
        Step::Get(at) => assert_eq!(node.get(keyed(&key(*at))), model.get(at).cloned()),
        Step::Import(rows) => {
            let (import, ..) = node.import("f", "notes", false);
            let row = |(at, value): &(usize, Value)| Row {
                key: Some(key(*at)),
                value: value.clone(),
                at: RowPlace::default(),
            };
            let answer = node.rows(import, rows.iter().map(row).collect(), b"");
            let Answer::Imported { rows: taken, counts } = answer else { panic!("{answer:?}") };
            assert_eq!(taken, rows.len() as u64);
            assert_eq!(counts.stored + counts.replaced + counts.unchanged, taken, "each row is counted once");
            let new: BTreeSet<usize> = rows.iter().map(|(at, _)| *at).filter(|at| !model.contains_key(at)).collect();
            assert_eq!(counts.stored, new.len() as u64);
            model.extend(rows.iter().cloned());
            let meta = CollectionMeta::new("notes");
            assert_eq!(node.ask(Request::ImportClose { import, checkpoint: Vec::new(), meta }), Answer::Done);
        }
        Step::List => {
            let mut found: BTreeMap<String, Value> = BTreeMap::new();
            for one in node.all(None, 4) {
                found.insert(one.key.unwrap(), one.value.unwrap());
            }
            let expected = model.iter().map(|(at, value)| (key(*at), value.clone())).collect();
            assert_eq!(found, expected);
        }
        Step::Restart => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_database_is_a_map_that_survives_restarts(steps in proptest::collection::vec(any_step(), 1..24)) {
        let mut node = Node::new();
        let mut model = BTreeMap::new();
        for step in &steps {
            if matches!(step, Step::Restart) {
                node = node.restart(0);
            }
            run(&mut node, &mut model, step);
        }
        run(&mut node, &mut model, &Step::List);
    }

    #[test]
    fn two_databases_converge(
        turns in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), proptest::collection::vec(any_step(), 1..6)),
            1..6,
        ),
    ) {
        let (mut nodes, wire) = Node::pair();
        for (second, carry, steps) in &turns {
            let node = &mut nodes[usize::from(*second)];
            let known = |node: &mut Node| -> BTreeMap<usize, Value> {
                (0..6).filter_map(|at| Some((at, node.get(keyed(&key(at)))?))).collect()
            };
            let mut model = known(node);
            for step in steps {
                run(node, &mut model, step);
            }
            prop_assert_eq!(known(node), model);
            if *carry {
                wire.carry(&mut nodes);
            }
        }
        wire.carry(&mut nodes);
        let [mut a, mut b] = nodes;
        let digest = a.digest();
        prop_assert_eq!(&b.digest(), &digest);
        prop_assert_eq!(&a.restart(0).digest(), &digest);
        // The stored values agree with the history.
        prop_assert_eq!(&b.without_values().digest(), &digest);
    }
}

#[test]
fn the_model_patches() {
    assert_eq!(patched(&value(r#"{"a":1,"b":2}"#), &value(r#"{"a":null}"#)), value(r#"{"b":2}"#));
}
