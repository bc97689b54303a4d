//! Computes the value after changes without a replica, for checks before a write.

use cosmicsync_protocol::crdt::{Change, Step, Value};

/// Applies changes to a value. Returns `None` if a change does not fit; the partly changed value is discarded.
pub fn apply(mut value: Value, changes: &[Change]) -> Option<Value> {
    changes.iter().try_for_each(|change| apply_one(&mut value, change))?;
    Some(value)
}

fn apply_one(root: &mut Value, change: &Change) -> Option<()> {
    match change {
        Change::Set { path, value } => match at(root, path.split_last()?.1)? {
            Value::Map(entries) => drop(entries.insert(key(path)?, value.clone())),
            Value::List(items) => *items.get_mut(index(path)?)? = value.clone(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                return None;
            }
        },
        Change::Remove { path } => match at(root, path.split_last()?.1)? {
            Value::Map(entries) => drop(entries.remove(&key(path)?)),
            Value::List(items) => {
                let index = index(path).filter(|at| *at < items.len())?;
                items.remove(index);
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {
                return None;
            }
        },
        Change::Insert { path, index, values } => {
            let Value::List(items) = at(root, path)? else { return None };
            let index = Some(*index).filter(|at| *at <= items.len())?;
            items.splice(index..index, values.iter().cloned());
        }
        Change::Delete { path, index, len } => {
            let Value::List(items) = at(root, path)? else { return None };
            let end = index.checked_add(*len).filter(|end| *end <= items.len())?;
            items.drain(*index..end);
        }
        Change::Splice { path, at: from, delete, insert } => {
            let Value::Text(text) = at(root, path)? else { return None };
            let place = |count: usize| text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(count);
            let (from, to) = (place(*from)?, place(from.checked_add(*delete)?)?);
            text.replace_range(from..to, insert);
        }
        Change::Add { path, by } => {
            let Value::Map(entries) = at(root, path.split_last()?.1)? else { return None };
            let number = entries.entry(key(path)?).or_insert(Value::Int(0));
            let Value::Int(number) = number else { return None };
            *number = number.saturating_add(*by);
        }
    }
    Some(())
}

fn at<'a>(root: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(root, |here, step| match (here, step) {
        (Value::Map(entries), Step::Key(key)) => entries.get_mut(key),
        (Value::List(items), Step::Index(index)) => items.get_mut(*index),
        _ => None,
    })
}

fn key(path: &[Step]) -> Option<String> {
    match path.last()? {
        Step::Key(key) => Some(key.clone()),
        Step::Index(_) => None,
    }
}

fn index(path: &[Step]) -> Option<usize> {
    match path.last()? {
        Step::Index(index) => Some(*index),
        Step::Key(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmicsync_protocol::crdt::{Meta, Replica, TextPaths};
    use proptest::prelude::*;

    fn any_path() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof!["[ab]".prop_map(Step::Key), (0_usize..3).prop_map(Step::Index)];
        proptest::collection::vec(step, 1..3)
    }

    fn any_leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            (0_i64..9).prop_map(Value::Int),
            "[xyé]{0,3}".prop_map(Value::Text),
            Just(Value::List(vec![Value::Int(1), Value::Text("é1".to_owned())])),
            Just(Value::from_iter([("a", 1)])),
        ]
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (any_path(), any_leaf()).prop_map(|(path, value)| Change::Set { path, value }),
            any_path().prop_map(|path| Change::Remove { path }),
            (any_path(), 0_usize..3, proptest::collection::vec(any_leaf(), 0..3))
                .prop_map(|(path, index, values)| Change::Insert { path, index, values }),
            (any_path(), 0_usize..3, 0_usize..3).prop_map(|(path, index, len)| Change::Delete { path, index, len }),
            (any_path(), 0_usize..3, 0_usize..3, "[xé]{0,2}").prop_map(|(path, at, delete, insert)| Change::Splice {
                path,
                at,
                delete,
                insert
            }),
            (any_path(), -3_i64..4).prop_map(|(path, by)| Change::Add { path, by }),
        ]
    }

    proptest! {
        #[test]
        fn what_a_replica_takes_makes_the_previewed_value(
            a in any_leaf(), b in any_leaf(), text: bool, changes in proptest::collection::vec(any_change(), 1..5),
        ) {
            let texts: TextPaths = if text { ["a", "b"].into_iter().collect() } else { TextPaths::none() };
            let value = Value::from_iter([("a", a), ("b", b)]);
            let mut replica = Replica::create(1, &Meta::default(), &value, &texts).unwrap();
            if replica.apply(&changes, &texts).is_ok() {
                prop_assert_eq!(apply(value, &changes), Some(replica.value().unwrap()));
            }
        }
    }
}
