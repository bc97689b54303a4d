use super::*;
use crate::crdt::value::tests::any_value;
use crate::crdt::{DEPTH_MAX, ROOT_DOC, UPDATE_BYTES_MAX, UpdateError, check, encode_new};
use loro::LoroText;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn texts() -> TextPaths {
    ["body", "notes.*"].into_iter().collect()
}

fn doc(peer: u64, entries: &[(&str, Value)]) -> Replica {
    let value = entries.iter().map(|(key, value)| (*key, value.clone())).collect();
    Replica::create(peer, &Meta::default(), &value, &texts()).unwrap()
}

fn take(from: &mut Replica) -> Option<CheckedUpdate> {
    let update = from.take_update().unwrap()?;
    assert!(update.bytes.len() <= UPDATE_BYTES_MAX);
    let checked = check(&update.bytes, from.peer(), update.start).unwrap();
    assert_eq!(checked.end(), update.end);
    Some(checked)
}

fn send(from: &mut Replica, to: &mut Replica) {
    to.import(take(from).into_iter().collect()).unwrap();
}

fn splice(at: usize, delete: usize, insert: &str) -> Change {
    Change::Splice { path: vec!["body".into()], at, delete, insert: insert.to_owned() }
}

fn set(path: &[Step], value: impl Into<Value>) -> Change {
    Change::Set { path: path.to_vec(), value: value.into() }
}

#[test]
fn two_replicas_edit_one_text_and_agree() {
    let mut a = doc(1, &[("body", "hello".into()), ("n", 1.into())]);
    let mut b = Replica::new(2);
    send(&mut a, &mut b);
    a.apply(&[splice(0, 0, "¡😀")], &texts()).unwrap();
    b.apply(&[splice(5, 0, " world")], &texts()).unwrap();
    let (from_a, from_b) = (take(&mut a).unwrap(), take(&mut b).unwrap());
    a.import(vec![from_b]).unwrap();
    b.import(vec![from_a]).unwrap();
    assert_eq!(a.text_at(&["body".into()]).unwrap().unwrap(), "¡😀hello world");
    assert_eq!((a.value(), a.version()), (b.value(), b.version()));
    assert_eq!(a.value().unwrap().digest(), b.value().unwrap().digest());
    assert_eq!(a.version(), &Version::from([(1, 9), (2, 6)]));
}

#[test]
fn a_string_put_on_a_text_merges_and_a_plain_string_does_not() {
    let mut a = doc(1, &[("body", "one two three".into()), ("title", "one".into())]);
    let mut b = Replica::new(2);
    send(&mut a, &mut b);
    a.apply(&[set(&["body".into()], "ONE two three"), set(&["title".into()], "a")], &texts()).unwrap();
    b.apply(&[set(&["body".into()], "one two THREE"), set(&["title".into()], "b")], &TextPaths::none()).unwrap();
    let (from_a, from_b) = (take(&mut a).unwrap(), take(&mut b).unwrap());
    a.import(vec![from_b]).unwrap();
    b.import(vec![from_a]).unwrap();
    assert_eq!(a.value(), b.value());
    let value = a.value().unwrap();
    assert_eq!(value.entry("body"), Some(&"ONE two THREE".into()));
    assert!(["a", "b"].contains(&value.entry("title").unwrap().as_text().unwrap()));
    assert_eq!(a.text_at(&["title".into()]), Ok(None));
}

#[test]
fn changes_apply_all_or_not_at_all() {
    let mut a = doc(1, &[("body", "hello".into()), ("list", Value::List(vec![1.into(), 2.into()]))]);
    let before = (a.value().unwrap(), a.version().clone());
    let list = || vec![Step::from("list")];
    let refused = [
        (set(&[], 1), ChangeError::Root),
        (set(&["no".into(), "where".into()], 1), ChangeError::NoSuchPath(1)),
        (set(&["list".into(), "where".into()], 1), ChangeError::WrongKind(1)),
        (set(&["list".into(), 3.into()], 1), ChangeError::PastEnd(1)),
        (Change::Remove { path: vec!["no".into()] }, ChangeError::NoSuchPath(1)),
        (Change::Insert { path: list(), index: 4, values: vec![] }, ChangeError::PastEnd(1)),
        (Change::Delete { path: list(), index: 2, len: usize::MAX }, ChangeError::PastEnd(1)),
        (splice(3, usize::MAX, ""), ChangeError::PastEnd(1)),
        (splice(6, 0, ""), ChangeError::PastEnd(1)),
        (Change::Splice { path: list(), at: 0, delete: 0, insert: String::new() }, ChangeError::WrongKind(1)),
        (set(&["x".into()], Value::Float(f64::NAN)), ChangeError::NotFinite),
        (set(&["x".into()], "x".repeat(UPDATE_BYTES_MAX)), ChangeError::TooLarge),
        (splice(0, 0, &"x".repeat(50_001)), ChangeError::TooLarge),
    ];
    for (change, error) in refused {
        let first = Change::Insert { path: list(), index: 2, values: vec![3.into()] };
        assert_eq!(a.apply(&[first, change], &texts()), Err(error));
        assert_eq!((a.value().unwrap(), a.version().clone()), before);
    }
}

#[test]
fn later_changes_of_a_batch_see_the_earlier_ones() {
    let mut a = doc(1, &[("gone", 1.into())]);
    let nested = [("list", Value::List(vec![])), ("body", "x".into())].into_iter().collect::<Value>();
    let changes = [
        Change::Remove { path: vec!["gone".into()] },
        set(&["map".into()], nested),
        Change::Insert { path: vec!["map".into(), "list".into()], index: 0, values: vec!["a".into(), "b".into()] },
        set(&["map".into(), "list".into(), 1.into()], Value::Map(BTreeMap::new())),
        set(&["map".into(), "list".into(), 1.into(), "k".into()], true),
        Change::Remove { path: vec!["map".into(), "list".into(), 0.into()] },
        set(&["body".into()], "héllo"),
        splice(1, 1, "e"),
        set(&["body".into()], "hello!"),
    ];
    a.apply(&changes, &texts()).unwrap();
    let item: Value = [("k", true)].into_iter().collect();
    let value = a.value().unwrap();
    assert_eq!(value.entry("map").unwrap().entry("list"), Some(&Value::List(vec![item])));
    assert_eq!(value.entry("body"), Some(&"hello!".into()));
    assert_eq!(value.entry("gone"), None);
    assert_eq!(a.apply(&[Change::Remove { path: vec!["gone".into()] }], &texts()), Err(ChangeError::NoSuchPath(0)));
}

#[test]
fn an_update_that_is_full_is_taken_first() {
    let mut a = Replica::new(1);
    let large = "x".repeat(UPDATE_BYTES_MAX / 2);
    a.apply(&[set(&["a".into()], large.as_str())], &texts()).unwrap();
    let change = [set(&["b".into()], large.as_str())];
    assert_eq!(a.apply(&change, &texts()), Err(ChangeError::Full));
    assert!(take(&mut a).is_some());
    a.apply(&change, &texts()).unwrap();
    assert!(take(&mut a).is_some());
    assert_eq!(take(&mut a), None);
}

#[test]
fn nothing_depends_on_the_random_peer_id() {
    let run = || {
        let value: Value = [("body", "x"), ("b", "y")].into_iter().collect();
        let meta = Meta { collection: Some("c".to_owned()), key: Some("k".to_owned()), deleted: false };
        let mut a = Replica::create(5, &meta, &value, &texts()).unwrap();
        a.apply(&[splice(1, 0, "z")], &texts()).unwrap();
        let update = a.take_update().unwrap().unwrap();
        let mut b = Replica::new(6);
        b.import(vec![check(&update.bytes, 5, 0).unwrap()]).unwrap();
        b.apply(&[splice(0, 1, "")], &texts()).unwrap();
        let then = Version::from([(5, 3)]);
        (update, b.take_update(), b.value(), b.value_at(&then), b.history(), encode_new(5, &meta, &value, &texts()))
    };
    assert_eq!(run(), run());
}

#[test]
fn a_bulk_update_is_the_update_of_a_replica() {
    let value: Value =
        [("body", Value::from("text")), ("l", Value::List(vec![1.into(), Value::Null]))].into_iter().collect();
    let meta = Meta { collection: Some("c".to_owned()), key: None, deleted: false };
    let mut replica = Replica::create(9, &meta, &value, &texts()).unwrap();
    let update = encode_new(9, &meta, &value, &texts()).unwrap();
    assert_eq!(replica.take_update().unwrap().unwrap(), update);
    let mut other = Replica::new(1);
    other.import(vec![check(&update.bytes, 9, 0).unwrap()]).unwrap();
    assert_eq!((other.value().unwrap(), other.meta().unwrap()), (value, meta.clone()));
    assert_eq!(encode_new(9, &meta, &Value::Null, &texts()), Err(ChangeError::RootNotMap));
    let large: Value = [("x", "x".repeat(UPDATE_BYTES_MAX))].into_iter().collect();
    assert_eq!(encode_new(9, &meta, &large, &texts()), Err(ChangeError::TooLarge));
}

#[test]
fn a_reloaded_replica_continues_its_counters() {
    let mut a = doc(1, &[("body", "hello".into())]);
    let first = take(&mut a).unwrap();
    a.apply(&[splice(5, 0, "!")], &texts()).unwrap();
    let second = take(&mut a).unwrap();
    let mut again = Replica::new(1);
    again.import(vec![first, second.clone()]).unwrap();
    assert_eq!(again.take_update(), Ok(None));
    again.apply(&[splice(6, 0, "?")], &texts()).unwrap();
    let third = take(&mut again).unwrap();
    assert_eq!(third.start(), second.end());
    a.set_peer(3).unwrap();
    a.import(vec![third]).unwrap();
    assert_eq!(a.value(), again.value());
    a.apply(&[splice(0, 1, "H")], &texts()).unwrap();
    assert_eq!(take(&mut a).unwrap().peer(), 3);
}

#[test]
fn history_is_listed_and_earlier_values_are_readable() {
    let mut a = doc(1, &[("body", "one".into())]);
    let mut b = Replica::new(2);
    send(&mut a, &mut b);
    let then = b.version().clone();
    b.apply(&[splice(3, 0, " two")], &texts()).unwrap();
    send(&mut b, &mut a);
    let history = a.history().unwrap();
    assert_eq!(
        history.iter().map(|record| (record.peer, record.start, record.len)).collect::<Vec<_>>(),
        [(1, 0, 4), (2, 0, 4)]
    );
    assert_eq!(history[1].deps, [(1, 3)]);
    let value = a.value_at(&then).unwrap().unwrap();
    assert_eq!(value.entry("body"), Some(&"one".into()));
    assert_eq!(a.value().unwrap().entry("body"), Some(&"one two".into()));
    assert_eq!(a.value_at(&Version::from([(1, 99)])), Ok(None));
    a.apply(&[splice(0, 0, "!")], &texts()).unwrap();
}

#[test]
fn updates_out_of_order_are_refused_before_anything_happens() {
    let mut a = doc(1, &[("body", "one".into())]);
    let first = take(&mut a).unwrap();
    let mut b = Replica::new(2);
    b.import(vec![first.clone()]).unwrap();
    b.apply(&[splice(0, 0, "x")], &texts()).unwrap();
    let second = take(&mut b).unwrap();
    assert_eq!(second.deps(), [(1, first.end() - 1)]);
    let mut c = Replica::new(3);
    assert_eq!(c.import(vec![second.clone()]), Err(ImportError::MissingDependency { index: 0 }));
    assert_eq!(c.import(vec![first.clone(), first.clone()]), Err(ImportError::OutOfOrder { index: 1 }));
    assert!(c.version().is_empty());
    c.import(vec![first, second]).unwrap();
    assert_eq!(c.value(), b.value());
}

#[test]
fn forged_updates_are_refused() {
    let mut a = doc(1, &[("body", "one".into())]);
    let update = a.take_update().unwrap().unwrap();
    let check = |bytes: &[u8], peer, start| check(bytes, peer, start).unwrap_err();
    assert_eq!(check(&update.bytes, 2, 0), UpdateError::WrongPeer { found: 1 });
    assert_eq!(check(&update.bytes, 1, 1), UpdateError::WrongStart { expected: 1, found: 0 });
    assert_eq!(check(&[], 1, 0), UpdateError::Peers(0));
    assert_eq!(check(b"noise", 1, 0), UpdateError::Undecodable);
    assert_eq!(check(&vec![0; UPDATE_BYTES_MAX + 1], 1, 0), UpdateError::TooLong);
    let engine = fresh(1);
    assert_eq!(check(&behind(&engine, ExportMode::all_updates()), 1, 0), UpdateError::Peers(0));
    engine.get_text("tttttttttttttttt").insert(0, &"x".repeat(50_001)).unwrap();
    assert_eq!(check(&behind(&engine, ExportMode::all_updates()), 1, 0), UpdateError::TooManyOps);
    assert_eq!(check(&behind(&engine, ExportMode::Snapshot), 1, 0), UpdateError::Undecodable);
    engine.set_peer_id(2).unwrap();
    engine.get_text("tttttttttttttttt").insert(0, "y").unwrap();
    assert_eq!(check(&behind(&engine, ExportMode::all_updates()), 1, 0), UpdateError::Peers(2));
}

/// Returns the content of an export without its envelope.
fn behind(engine: &LoroDoc, mode: ExportMode<'_>) -> Vec<u8> {
    engine.export(mode).unwrap().split_off(22)
}

/// Makes an update whose operations 2..4 are missing.
pub(super) fn gap(peer: u64) -> CheckedUpdate {
    let engine = fresh(peer);
    let text = engine.get_map(ROOT_DOC).insert_container("body", LoroText::new()).unwrap();
    text.insert(0, "abcdef").unwrap();
    engine.commit();
    let spans = vec![loro::IdSpan::new(peer, 0, 2), loro::IdSpan::new(peer, 4, 7)];
    check(&behind(&engine, ExportMode::updates_in_range(spans)), peer, 0).unwrap()
}

#[test]
fn a_rebuild_drops_broken_updates_and_their_dependants() {
    let mut a = doc(1, &[("body", "one".into())]);
    let first = take(&mut a).unwrap();
    let mut b = Replica::new(2);
    assert_eq!(b.import(vec![gap(7)]), Err(ImportError::Gap));
    assert!(b.is_broken());
    assert_eq!((b.value(), b.take_update()), (Err(Broken), Ok(None)));
    assert_eq!(b.apply(&[], &texts()), Err(ChangeError::Broken(Broken)));
    let after_gap = CheckedUpdate { start: 7, end: 8, ..gap(7) };
    let (mut b, excluded) = Replica::rebuild(2, &[first.clone(), gap(7), after_gap]);
    assert_eq!(excluded, [1, 2]);
    assert_eq!(b.value(), a.value());
    b.apply(&[splice(0, 0, "x")], &texts()).unwrap();
    let (rebuilt, excluded) = Replica::rebuild(2, &[first, take(&mut b).unwrap()]);
    assert!(excluded.is_empty());
    assert_eq!(rebuilt.version(), b.version());
}

#[test]
fn hostile_nesting_reads_as_null_and_is_never_written() {
    let worker = std::thread::Builder::new().stack_size(64 << 20);
    let work = || {
        let engine = fresh(1);
        let root = engine.get_map(ROOT_DOC);
        root.insert("k", Kind::List.marker()).unwrap();
        let mut list = Children::of(&root, "k").list(&engine);
        let mut updates = Vec::new();
        let mut start = 0;
        for _ in 0..6 {
            for _ in 0..500 {
                list = list.insert_container(0, LoroList::new()).unwrap();
            }
            engine.commit();
            let end = ops_of(&engine, 1);
            updates.push(check(&export(&engine, 1, start, end).unwrap(), 1, start).unwrap());
            start = end;
        }
        let mut replica = Replica::new(2);
        replica.import(updates).unwrap();
        let value = replica.value().unwrap();
        assert_eq!(value.depth(), DEPTH_MAX);
        assert_eq!(Value::decode(&value.encode()), Ok(value));
    };
    worker.spawn(work).unwrap().join().unwrap();
    let nested = (0..DEPTH_MAX).fold(Value::Null, |value, _| [("k", value)].into_iter().collect());
    let mut replica = Replica::create(1, &Meta::default(), &nested, &texts()).unwrap();
    assert_eq!(replica.value().unwrap(), nested);
    let path = vec![Step::from("k"); DEPTH_MAX];
    assert_eq!(replica.apply(&[set(&path, Value::List(vec![]))], &texts()), Err(ChangeError::TooDeep));
    replica.apply(&[set(&path, 1)], &texts()).unwrap();
}

#[test]
fn what_a_value_cannot_say_reads_as_null() {
    let engine = fresh(1);
    let map = engine.get_map(ROOT_DOC);
    map.insert("nan", f64::NAN).unwrap();
    map.insert_container("tree", loro::LoroTree::new()).unwrap();
    map.insert_container("map", loro::LoroMap::new()).unwrap();
    map.insert("list", LoroValue::List(vec![LoroValue::I64(9)].into())).unwrap();
    engine.commit();
    let mut replica = Replica::new(2);
    let bytes = export(&engine, 1, 0, ops_of(&engine, 1)).unwrap();
    replica.import(vec![check(&bytes, 1, 0).unwrap()]).unwrap();
    let nulls = ["list", "map", "nan", "tree"].into_iter().map(|key| (key, Value::Null)).collect();
    assert_eq!(replica.value(), Ok(nulls));
}

/// Makes an edit anywhere in the document, chosen by numbers.
fn edit_at(value: &Value, pick: usize, insert: &Value) -> Change {
    let keys = ["body", "list", "map", "notes"];
    let key = Step::from(keys[pick % 4]);
    let pick = pick / 4;
    match value.entry(keys[pick % 4]).filter(|_| key == Step::from(keys[pick % 4])) {
        Some(Value::List(items)) if pick.is_multiple_of(3) => {
            Change::Insert { path: vec![key], index: pick % (items.len() + 1), values: vec![insert.clone()] }
        }
        Some(Value::List(items)) if !items.is_empty() && pick % 3 == 1 => {
            Change::Delete { path: vec![key], index: pick % items.len(), len: 1 }
        }
        Some(Value::List(items)) if !items.is_empty() => set(&[key, (pick % items.len()).into()], insert.clone()),
        Some(Value::Map(_)) => set(&[key, Step::from(keys[pick % 3])], insert.clone()),
        Some(_) if pick.is_multiple_of(3) => Change::Remove { path: vec![key] },
        _ => set(&[key], insert.clone()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn replicas_that_saw_the_same_updates_agree(
        steps in proptest::collection::vec((0usize..3, 0usize..3, any::<usize>(), any_value()), 1..24)
    ) {
        let mut replicas = [Replica::new(1), Replica::new(2), Replica::new(3)];
        // All updates in the order of their making, which is causal.
        let mut log: Vec<CheckedUpdate> = Vec::new();
        for (who, action, pick, value) in steps {
            let replica = &mut replicas[who];
            if action == 0 {
                let version = replica.version().clone();
                let news = log.iter().filter(|update| version.get(&update.peer()).copied().unwrap_or(0) <= update.start());
                let news = news.take(pick % 5).cloned().collect();
                // A prefix in order of making is causally complete.
                replica.import(news).unwrap();
            } else {
                let change = edit_at(&replica.value().unwrap(), pick, &value);
                replica.apply(&[change], &texts()).unwrap();
                log.extend(take(replica));
            }
        }
        for replica in &mut replicas {
            let version = replica.version().clone();
            let news = log.iter().filter(|update| version.get(&update.peer()).copied().unwrap_or(0) <= update.start());
            replica.import(news.cloned().collect()).unwrap();
        }
        let (rebuilt, excluded) = Replica::rebuild(4, &log);
        prop_assert!(excluded.is_empty());
        let [mut a, mut b, mut c] = replicas;
        let mut d = rebuilt;
        prop_assert_eq!(a.value().unwrap(), b.value().unwrap());
        prop_assert_eq!(b.value().unwrap(), c.value().unwrap());
        prop_assert_eq!(c.value().unwrap(), d.value().unwrap());
        prop_assert_eq!(a.version(), d.version());
    }

    #[test]
    fn values_survive_a_document(value in proptest::collection::btree_map("[a-c]|body|notes", any_value(), 0..5)) {
        let value = Value::Map(value);
        let update = encode_new(1, &Meta::default(), &value, &texts()).unwrap();
        let mut replica = Replica::new(2);
        if update.end > 0 {
            replica.import(vec![check(&update.bytes, 1, 0).unwrap()]).unwrap();
        }
        prop_assert_eq!(replica.value().unwrap(), value);
    }
}

/// Changes some bytes.
fn mutate(bytes: &mut [u8], edits: &[(usize, u8)]) {
    for (at, byte) in edits {
        bytes[at % bytes.len()] = *byte;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_updates_never_panic_out(
        value in proptest::collection::btree_map("[a-c]|body", any_value(), 1..5),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut honest = doc(1, &[("body", "hello".into())]);
        let base = take(&mut honest).unwrap();
        let mut author = Replica::new(2);
        author.import(vec![base.clone()]).unwrap();
        for (key, value) in value {
            author.apply(&[set(&[Step::Key(key)], value)], &texts()).unwrap();
        }
        let Some(mut update) = author.take_update().unwrap() else { return Ok(()) };
        mutate(&mut update.bytes, &edits);
        let Ok(update) = check(&update.bytes, 2, 0) else { return Ok(()) };
        let mut victim = Replica::new(3);
        victim.import(vec![base.clone()]).unwrap();
        let _ = victim.import(vec![update.clone()]);
        let _ = (victim.value(), victim.history(), victim.apply(&[splice(0, 0, "x")], &texts()), victim.take_update());
        let (mut rebuilt, excluded) = Replica::rebuild(3, &[base, update]);
        prop_assert!(!excluded.contains(&0));
        prop_assert!(rebuilt.value().is_ok());
    }
}

/// Excluded operations are restated under another peer, at their old positions, and merge with later updates.
#[test]
fn excluded_updates_are_restated_on_their_base() {
    let texts: TextPaths = ["body"].into_iter().collect();
    let value = Value::Map(BTreeMap::from([("body".to_owned(), Value::from("ab"))]));
    let mut counts = Replica::create(1, &Meta::default(), &value, &texts).unwrap();
    let base = take(&mut counts).unwrap();
    let replica = |peer| {
        let mut replica = Replica::new(peer);
        replica.import(vec![base.clone()]).unwrap();
        replica
    };
    let splice =
        |at, insert: &str| Change::Splice { path: vec!["body".into()], at, delete: 0, insert: insert.to_owned() };
    let (mut other, mut own) = (replica(2), replica(3));
    other.apply(&[splice(0, "theirs ")], &texts).unwrap();
    counts.import(vec![take(&mut other).unwrap()]).unwrap();
    own.apply(&[splice(1, "-")], &texts).unwrap();
    let first = take(&mut own).unwrap();
    own.apply(&[splice(2, "+")], &texts).unwrap();
    let second = take(&mut own).unwrap();
    for update in Replica::republish(vec![base.clone()], vec![first, second], 9).unwrap() {
        counts.import(vec![check(&update.bytes, 9, update.start).unwrap()]).unwrap();
    }
    assert_eq!(counts.value().unwrap().entry("body"), Some(&Value::from("theirs a-+b")));
}
