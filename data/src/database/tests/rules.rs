//! Rules: a bound actor sees only documents that the rules match, and changes no others.

use super::node::{Node, keyed, value};
use crate::database::ask::{Query, Want};
use crate::database::request::{Action, Answer, Condition, Intent, Request, RequestError, Target};
use crate::query::parse;
use crate::rules::{Actor, Deed, Rules};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// The expected documents by their keys.
type Model = BTreeMap<String, (String, i64)>;

#[derive(Debug, Clone)]
enum Step {
    /// Sets the rules; each deed is locked, open, limited to the actor's own documents, or to those above a number.
    Rules([u8; 5]),
    Put(usize, bool, i64),
    Add(usize, i64),
    Delete(usize),
    Both(usize, usize),
    Look(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    prop_oneof![
        1 => prop::array::uniform5(0..4_u8).prop_map(Step::Rules),
        4 => (key(), any::<bool>(), 0..4_i64).prop_map(|(key, own, n)| Step::Put(key, own, n)),
        2 => (key(), -2..3_i64).prop_map(|(key, by)| Step::Add(key, by)),
        1 => key().prop_map(Step::Delete),
        1 => (key(), key()).prop_map(|(one, other)| Step::Both(one, other)),
        4 => (0..4_i64).prop_map(Step::Look),
    ]
}

fn rule(kind: u8) -> &'static str {
    match kind {
        0 => "null",
        1 => "{}",
        2 => r#"{"by":{"$var":"auth.account"}}"#,
        _ => r#"{"n":{"$gte":2}}"#,
    }
}

/// The same rule, implemented a second time. `None` if nothing is allowed.
fn allows(kind: u8, (by, n): &(String, i64)) -> bool {
    match kind {
        0 => false,
        1 => true,
        2 => by == "ada",
        _ => *n >= 2,
    }
}

/// A node and the documents that it should hold.
struct World {
    node: Node,
    model: Model,
    rules: [u8; 5],
}

impl World {
    fn new() -> Self {
        Self { node: Node::new(), model: Model::new(), rules: [0; 5] }
    }

    fn ask(&mut self, request: Request) -> Answer {
        let context = value(r#"{"auth":{"account":"ada"}}"#);
        self.node.ask_as(Arc::new(Actor { context, bound: true, reach: Vec::new() }), request)
    }

    fn may(&self, deed: Deed, doc: &(String, i64)) -> bool {
        let at = Deed::ALL.iter().position(|one| *one == deed).unwrap();
        allows(self.rules[at], doc)
    }

    fn intent(key: &str, action: Action) -> Intent {
        Intent { target: Target::Named(keyed(key)), action, condition: Condition::None }
    }

    fn write(&mut self, intents: Vec<Intent>) -> Answer {
        let partition = self.node.main();
        self.ask(Request::Write { partition, intents, once: None })
    }

    fn refused(answer: &Answer) -> bool {
        matches!(answer, Answer::Failed(RequestError::At(_, error))
            if matches!(**error, RequestError::Forbidden { .. } | RequestError::OutOfReach { .. } | RequestError::NotFound))
    }

    /// Writes a document, if the rules allow it.
    fn put(&mut self, key: &str, becomes: (String, i64)) {
        let allowed = match self.model.get(key) {
            None => self.may(Deed::Create, &becomes),
            Some(before) => self.may(Deed::Update, before) && self.may(Deed::Update, &becomes),
        };
        let answer = self.write(vec![Self::intent(key, put(&becomes))]);
        assert_eq!(Self::refused(&answer), !allowed, "{answer:?}");
        if allowed {
            self.model.insert(key.to_owned(), becomes);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Rules(kinds) => {
                let text: Vec<String> = Deed::ALL
                    .iter()
                    .zip(kinds)
                    .map(|(deed, kind)| format!("{:?}:{}", deed.name(), rule(kind)))
                    .collect();
                let rules = Rules::from_value(&value(&format!("{{{}}}", text.join(",")))).unwrap();
                let (partition, collection) = (self.node.main(), "notes".to_owned());
                let answer = self.node.ask(Request::Rules { partition, collection, rules: Some(rules) });
                assert_eq!(answer, Answer::Done);
                self.rules = kinds;
            }
            Step::Put(key, own, n) => self.put(KEYS[key], (if own { "ada" } else { "bob" }.to_owned(), n)),
            Step::Add(key, by) => {
                let Some((owner, n)) = self.model.get(KEYS[key]).cloned() else { return };
                let becomes = (owner, n + by);
                // A write without a change is not checked against the rule for its result.
                let allowed = self.may(Deed::Update, &self.model[KEYS[key]]) && self.may(Deed::Update, &becomes);
                let patch = value(&format!(r#"{{"n":{}}}"#, becomes.1));
                let answer = self.write(vec![Self::intent(KEYS[key], Action::Patch(patch))]);
                assert_eq!(Self::refused(&answer), !allowed, "{answer:?}");
                if allowed {
                    self.model.insert(KEYS[key].to_owned(), becomes);
                }
            }
            Step::Delete(key) => {
                let Some(doc) = self.model.get(KEYS[key]).cloned() else { return };
                let answer = self.write(vec![Self::intent(KEYS[key], Action::Delete)]);
                let allowed = self.may(Deed::Delete, &doc);
                assert_eq!(Self::refused(&answer), !allowed, "{answer:?}");
                if allowed {
                    self.model.remove(KEYS[key]);
                }
            }
            Step::Both(one, other) if one != other => {
                let becomes = ("ada".to_owned(), 1);
                let intents = [one, other].map(|key| Self::intent(KEYS[key], put(&becomes)));
                let allowed = [one, other].iter().all(|key| match self.model.get(KEYS[*key]) {
                    None => self.may(Deed::Create, &becomes),
                    Some(before) => self.may(Deed::Update, before) && self.may(Deed::Update, &becomes),
                });
                let answer = self.write(intents.into());
                assert_eq!(Self::refused(&answer), !allowed, "{answer:?}");
                if allowed {
                    for key in [one, other] {
                        self.model.insert(KEYS[key].to_owned(), becomes.clone());
                    }
                }
            }
            Step::Both(..) => {}
            Step::Look(least) => self.look(least),
        }
    }

    /// Compares everything that can be read with the expected documents.
    fn look(&mut self, least: i64) {
        let partition = self.node.main();
        let selector = parse::parse(format!(r#"{{"n":{{"$gte":{least}}}}}"#).as_bytes()).unwrap();
        let query = Query { selector, ..Query::all(partition, "notes".to_owned()) };
        let locked = self.rules[0] == 0;
        let listed: BTreeMap<&String, &(String, i64)> =
            self.model.iter().filter(|(_, doc)| doc.1 >= least && self.may(Deed::List, doc)).collect();
        let expected: Vec<String> = listed.keys().map(|key| (*key).clone()).collect();
        let answer = self.ask(Request::Find { query: Box::new(query.clone()), want: Want::Docs });
        if let Answer::Matches(found) = answer {
            let mut keys: Vec<String> = found.docs.into_iter().filter_map(|found| found.key).collect();
            keys.sort();
            assert!(!locked && keys == expected, "{keys:?} {expected:?}");
        } else {
            assert!(
                locked
                    && matches!(
                        answer,
                        Answer::Failed(RequestError::Forbidden { .. } | RequestError::OutOfReach { .. })
                    ),
                "{answer:?}"
            );
        }
        if !locked {
            let count = self.ask(Request::Find { query: Box::new(query), want: Want::Count });
            assert_eq!(count, Answer::Count(expected.len() as u64));
        }
        for key in KEYS {
            let answer = self.ask(Request::Get { partition, name: keyed(key) });
            let shown = self.model.get(key).filter(|doc| self.may(Deed::View, doc));
            match (answer, shown) {
                (Answer::Document(Some(found)), Some(doc)) => assert_eq!(found.value, Some(content(doc))),
                (
                    Answer::Failed(
                        RequestError::NotFound | RequestError::Forbidden { .. } | RequestError::OutOfReach { .. },
                    )
                    | Answer::Document(None),
                    None,
                ) => {}
                (answer, shown) => panic!("{answer:?} {shown:?}"),
            }
        }
    }
}

fn content((by, n): &(String, i64)) -> Value {
    value(&format!(r#"{{"by":{by:?},"n":{n}}}"#))
}

fn put(doc: &(String, i64)) -> Action {
    Action::Put { value: content(doc), texts: TextPaths::none() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn an_actor_has_what_rules_allow(steps in prop::collection::vec(any_step(), 1..30)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.look(0);
    }
}

#[test]
fn what_is_read_for_an_actor_comes_from_the_store() {
    let mut world = World::new();
    world.step(Step::Rules([2; 5]));
    world.step(Step::Put(0, true, 1));
    world.node.put("b", r#"{"by":"bob","n":1}"#);
    world.model.insert("b".to_owned(), ("bob".to_owned(), 1));
    let World { node, model, rules } = world;
    // Neither the documents nor the description are in memory.
    let mut world = World { node: node.restart(0), model, rules };
    let partition = world.node.main();
    for key in ["b", "a", "c"] {
        let answer = world.ask(Request::Look { partition, name: keyed(key) });
        assert_eq!(matches!(answer, Answer::Snapshot(Some(_))), key == "a", "{key}: {answer:?}");
    }
    world.look(0);
    // A hidden document is answered as absent.
    for action in [Action::Delete, Action::Patch(value(r#"{"n":2}"#))] {
        let hidden = world.write(vec![World::intent("b", action.clone())]);
        assert_eq!(hidden, world.write(vec![World::intent("d", action)]));
    }
    world.step(Step::Rules([0; 5]));
    let hidden = world.ask(Request::Get { partition, name: keyed("b") });
    assert_eq!(hidden, world.ask(Request::Get { partition, name: keyed("d") }));
}

#[test]
fn what_is_not_guarded_is_refused() {
    let mut world = World::new();
    world.step(Step::Rules([1; 5]));
    world.step(Step::Put(0, true, 1));
    let (partition, collection) = (world.node.main(), "notes".to_owned());
    let named = || keyed("a");
    for request in [
        Request::Page { partition, collection: None, after: None, limit: 10, values: true },
        Request::Count { partition, collection: None, after: None },
        Request::Digest { partition },
        Request::Excluded { partition, name: named(), publish: false },
        Request::Explain { partition, name: named() },
        Request::Hold { partition, name: named(), hold: true },
        Request::Rules { partition, collection: collection.clone(), rules: None },
        Request::IndexList { partition, collection },
    ] {
        assert_eq!(world.ask(request), Answer::Failed(RequestError::AdminOnly));
    }
    // The last change of this device may have been made by another actor.
    let answer = world.write(vec![World::intent("a", Action::Undo)]);
    let Answer::Failed(RequestError::At(0, error)) = answer else { panic!("{answer:?}") };
    assert_eq!(*error, RequestError::AdminOnly);
    // Descriptions are documents too; their collection has no rules.
    let description = world.node.main();
    let name = crate::database::request::Name::Key { collection: "_collections".to_owned(), key: "notes".to_owned() };
    let answer = world.ask(Request::Get { partition: description, name });
    assert!(
        matches!(answer, Answer::Failed(RequestError::Forbidden { .. } | RequestError::OutOfReach { .. })),
        "{answer:?}"
    );
}
