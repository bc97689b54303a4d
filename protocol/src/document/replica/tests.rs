use super::*;
use crate::document::check;
use crate::document::value::tests::any_value;
use proptest::prelude::*;

fn texts() -> TextPaths {
    ["body"].into_iter().collect()
}

fn doc(peer: u64, entries: &[(&str, Value)]) -> Replica {
    let value = entries.iter().map(|(key, value)| (*key, value.clone())).collect();
    Replica::create(peer, &Meta::default(), &value, &texts()).unwrap()
}

fn send(from: &mut Replica, to: &mut Replica) {
    let Some(update) = from.take_update().unwrap() else { return };
    let checked = check(update.bytes, from.peer(), update.start).unwrap();
    assert_eq!(checked.end(), update.end);
    to.import(vec![checked]).unwrap();
}

#[test]
fn two_replicas_edit_one_text_and_agree() {
    let mut a = doc(1, &[("body", "hello".into()), ("n", 1.into())]);
    let mut b = Replica::new(2);
    send(&mut a, &mut b);
    let at = |at, insert: &str| Change::Splice { path: vec!["body".into()], at, delete: 0, insert: insert.to_owned() };
    a.apply(&[at(0, "¡😀")], &texts()).unwrap();
    b.apply(&[at(5, " world")], &texts()).unwrap();
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    assert_eq!(a.text_at(&["body".into()]).unwrap().unwrap(), "¡😀hello world");
    assert_eq!(a.value(), b.value());
    assert_eq!(a.version(), b.version());
    assert_eq!(a.value().unwrap().digest(), b.value().unwrap().digest());
}
