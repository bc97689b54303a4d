//! The total order of values, for sorts, index keys and comparisons (`spec/query.md`, section 4).
//!
//! missing < null < false < true < numbers < texts < bytes < lists < maps. Numbers compare exactly, integers with
//! floats as well; texts by their UTF-8 bytes; lists item by item; maps by their entries in the order of their keys.

use core::cmp::Ordering;
use cosmicsync_protocol::crdt::Value;

/// Position of a type in the order. Values of different ranks compare by rank alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A missing value.
    Missing,
    /// Null.
    Null,
    /// False and true.
    Bool,
    /// Integers and floats.
    Number,
    /// Texts.
    Text,
    /// Bytes.
    Bytes,
    /// Lists.
    List,
    /// Maps.
    Map,
}

impl Rank {
    /// Returns the rank of a value, or of a missing one.
    pub const fn of(value: Option<&Value>) -> Self {
        match value {
            None => Self::Missing,
            Some(Value::Null) => Self::Null,
            Some(Value::Bool(_)) => Self::Bool,
            Some(Value::Int(_) | Value::Float(_)) => Self::Number,
            Some(Value::Text(_)) => Self::Text,
            Some(Value::Bytes(_)) => Self::Bytes,
            Some(Value::List(_)) => Self::List,
            Some(Value::Map(_)) => Self::Map,
        }
    }
}

/// Compares two values, either of which may be missing. The order is total: a NaN, which no document holds, lies above
/// all other numbers.
///
/// Recursion is as deep as the values nest, which the readers of values limit.
pub fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_values(a, b),
        _ => Rank::of(a).cmp(&Rank::of(b)),
    }
}

/// Returns whether two values are equal in the order: `2` and `2.0` are, and so are `0.0` and `-0.0`.
pub fn same(a: &Value, b: &Value) -> bool {
    compare_values(a, b).is_eq()
}

fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Int(a), Value::Float(b)) => compare_mixed(*a, *b),
        (Value::Float(a), Value::Int(b)) => compare_mixed(*b, *a).reverse(),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => {
            let differing = a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|order| order.is_ne());
            differing.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Map(a), Value::Map(b)) => {
            let pairs = a.iter().zip(b);
            let mut orders = pairs.map(|(a, b)| a.0.cmp(b.0).then_with(|| compare_values(a.1, b.1)));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => Rank::of(Some(a)).cmp(&Rank::of(Some(b))),
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// 2 to the power of 63: the least float above every 64-bit integer.
const ABOVE: f64 = 9_223_372_036_854_775_808.0;

/// Compares an integer with a float, without rounding either.
fn compare_mixed(whole: i64, float: f64) -> Ordering {
    if float.is_nan() || float >= ABOVE {
        return Ordering::Less;
    }
    if float < -ABOVE {
        return Ordering::Greater;
    }
    // Within the range above, a float without its fraction is exactly a 64-bit integer.
    let floor = float.floor();
    whole.cmp(&(floor as i64)).then_with(|| if float > floor { Ordering::Less } else { Ordering::Equal })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::any_value;
    use proptest::prelude::*;

    fn number(value: &Value) -> String {
        format!("{value:?}")
    }

    #[test]
    fn types_stand_in_one_order() {
        let map = |key: &str, value: i64| Value::from_iter([(key, value)]);
        let ascending = [
            None,
            Some(Value::Null),
            Some(Value::Bool(false)),
            Some(Value::Bool(true)),
            Some(Value::Float(f64::MIN)),
            Some(Value::Int(-1)),
            Some(Value::Float(1.5)),
            Some(Value::Int(2)),
            Some(Value::from("")),
            Some(Value::from("B")),
            Some(Value::from("a")),
            Some(Value::from("a\0")),
            Some(Value::from("\u{ffff}")),
            Some(Value::from("\u{10000}")),
            Some(Value::Bytes(vec![])),
            Some(Value::Bytes(vec![0])),
            Some(Value::List(vec![])),
            Some(Value::List(vec![Value::Null])),
            Some(Value::List(vec![Value::Int(1), Value::Int(9)])),
            Some(Value::List(vec![Value::Int(2)])),
            Some(Value::Map(Default::default())),
            Some(map("a", 2)),
            Some(Value::from_iter([("a", 2), ("b", 0)])),
            Some(map("b", 1)),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a.as_ref(), b.as_ref()), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn numbers_compare_exactly_whether_whole_or_not() {
        let ascending = [
            Value::Float(f64::NEG_INFINITY),
            Value::Float(-ABOVE * 2.0),
            Value::Int(i64::MIN),
            Value::Int(i64::MIN + 1),
            Value::Float(-1.5),
            Value::Int(-1),
            Value::Float(-5e-324),
            Value::Int(0),
            Value::Float(5e-324),
            Value::Float(9_007_199_254_740_992.0),
            Value::Int(9_007_199_254_740_993),
            Value::Float(9_007_199_254_740_994.0),
            Value::Int(i64::MAX - 1),
            Value::Int(i64::MAX),
            Value::Float(ABOVE),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NAN),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare_values(a, b), i.cmp(&j), "{} and {}", number(a), number(b));
            }
        }
        let equal = [
            (Value::Int(2), Value::Float(2.0)),
            (Value::Float(0.0), Value::Float(-0.0)),
            (Value::Int(0), Value::Float(-0.0)),
            (Value::Int(i64::MIN), Value::Float(-ABOVE)),
        ];
        assert!(equal.iter().all(|(a, b)| same(a, b) && a != b));
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in any_value(), b in any_value(), c in any_value()) {
            let order = |a: &Value, b: &Value| compare(Some(a), Some(b));
            prop_assert_eq!(order(&a, &a), Ordering::Equal);
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            prop_assert!(a != b || same(&a, &b));
            let mut sorted = [&a, &b, &c];
            sorted.sort_by(|a, b| order(a, b));
            prop_assert!(order(sorted[0], sorted[2]).is_le());
            if order(sorted[0], sorted[2]).is_eq() {
                prop_assert!(same(sorted[0], sorted[1]) && same(sorted[1], sorted[2]));
            }
        }
    }
}
