//! Index keys: bytes that sort like `query::order` (`spec/query.md`, section 6).
//!
//! Each field is its rank, then its content, in the encoding of FoundationDB's tuple layer. A number is the greatest
//! double that does not exceed it, and the difference. Thus an integer and a float have different keys exactly if they
//! differ in value.

use crate::query::order::Rank;
use cosmicsync_protocol::crdt::Value;
use foundationdb_tuple::{Element, pack};
use std::borrow::Cow;

/// Longest tuple that is kept whole, in bytes. A longer one is truncated, and a hash of all of it is appended.
pub const TUPLE_BYTES_MAX: usize = 400;
/// Size of the beginning that is kept of a longer tuple, in bytes.
const CUT_BYTES: usize = 384;

/// Appends a field of a tuple; `None` is a missing field.
pub fn push_field(value: Option<&Value>, out: &mut Vec<u8>) {
    let mut elements = Vec::with_capacity(3);
    push_elements(value, &mut elements);
    out.extend(pack(&Element::Tuple(elements)));
}

/// Appends the beginning of every field of this rank.
pub fn push_rank(rank: Rank, out: &mut Vec<u8>) {
    out.extend(pack(&number_of(rank)));
}

/// Returns the least bytes above all bytes with this prefix; empty if no bytes are.
pub fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            break;
        }
    }
    prefix
}

/// Returns a tuple in the form of a key, and true if it was truncated. Equal tuples stay equal and different ones stay
/// different. Truncated tuples keep their order as far as their beginnings differ.
pub fn cut(mut tuple: Vec<u8>) -> (Vec<u8>, bool) {
    if tuple.len() <= TUPLE_BYTES_MAX {
        return (tuple, false);
    }
    let hash = blake3::derive_key("cosmicsync index tuple 1", &tuple);
    tuple.truncate(CUT_BYTES);
    tuple.extend(&hash[..16]);
    (tuple, true)
}

/// Returns a range's end in the form of a key, and true if it was truncated. A truncated end makes the range wider,
/// never narrower.
pub fn bound(mut tuple: Vec<u8>) -> (Vec<u8>, bool) {
    let is_cut = tuple.len() > CUT_BYTES;
    tuple.truncate(CUT_BYTES);
    (tuple, is_cut)
}

const fn number_of(rank: Rank) -> i64 {
    match rank {
        Rank::Missing => 0,
        Rank::Null => 1,
        Rank::Bool => 2,
        Rank::Number => 3,
        Rank::Text => 4,
        Rank::Bytes => 5,
        Rank::List => 6,
        Rank::Map => 7,
    }
}

/// Appends the elements of a value. Recursion is as deep as the value nests, which the readers of values limit.
fn push_elements<'a>(value: Option<&'a Value>, out: &mut Vec<Element<'a>>) {
    out.push(Element::Int(number_of(Rank::of(value))));
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Bool(flag)) => out.push(Element::Bool(*flag)),
        Some(Value::Int(number)) => {
            let (floor, more) = floor_of(*number);
            out.extend([Element::Double(floor), Element::Int(more)]);
        }
        // Both zeros are the same number.
        Some(Value::Float(number)) => out.extend([Element::Double(number + 0.0), Element::Int(0)]),
        Some(Value::Text(text)) => out.push(Element::String(Cow::Borrowed(text))),
        Some(Value::Bytes(bytes)) => out.push(Element::Bytes(bytes.as_slice().into())),
        Some(Value::List(items)) => {
            let mut inside = Vec::with_capacity(items.len());
            items.iter().for_each(|item| push_elements(Some(item), &mut inside));
            out.push(Element::Tuple(inside));
        }
        Some(Value::Map(entries)) => {
            let mut inside = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                inside.push(Element::String(Cow::Borrowed(key)));
                push_elements(Some(value), &mut inside);
            }
            out.push(Element::Tuple(inside));
        }
    }
}

/// Returns the greatest double that does not exceed an integer, and the difference.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "what is rounded is corrected")]
fn floor_of(number: i64) -> (f64, i64) {
    let nearest = number as f64;
    // The only double above all 64-bit integers is 2^63, to which the greatest integers round up.
    let more = i128::from(number) - nearest as i128;
    let floor = if more < 0 { nearest.next_down() } else { nearest };
    let more = i128::from(number) - floor as i128;
    (floor, i64::try_from(more).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::order::compare;
    use crate::query::tests::any_value;
    use proptest::prelude::*;

    fn field(value: Option<&Value>) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_field(value, &mut bytes);
        bytes
    }

    fn near(number: i64) -> impl Strategy<Value = Value> {
        let around = (-3i64..=3).prop_map(move |by| number.saturating_add(by));
        (around, 0..3u8).prop_map(|(number, kind)| match kind {
            0 => Value::Int(number),
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            1 => Value::Float(number as f64),
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            _ => Value::Float((number as f64).next_up()),
        })
    }

    fn numbers() -> impl Strategy<Value = Value> {
        prop_oneof![
            near(0),
            near(1 << 53),
            near(-(1 << 53)),
            near((1 << 62) + 512),
            near(i64::MAX),
            near(i64::MIN),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("a document holds no others", |float| float.is_finite()).prop_map(Value::Float),
        ]
    }

    proptest! {
        #[test]
        fn bytes_sort_as_values_do(a in any_value(), b in any_value()) {
            let order = compare(Some(&a), Some(&b));
            prop_assert_eq!(field(Some(&a)).cmp(&field(Some(&b))), order);
            prop_assert!(field(None) < field(Some(&a)));
        }

        #[test]
        fn bytes_sort_as_numbers_do(a in numbers(), b in numbers()) {
            prop_assert_eq!(field(Some(&a)).cmp(&field(Some(&b))), compare(Some(&a), Some(&b)), "{:?} {:?}", a, b);
        }

        #[test]
        fn no_field_is_the_beginning_of_another(a in any_value(), b in any_value(), rest in any::<[u8; 4]>()) {
            let (a, b) = (field(Some(&a)), field(Some(&b)));
            if a != b {
                let after = after_prefix(a.clone());
                let b = [b, rest.to_vec()].concat();
                prop_assert!(!b.starts_with(&a));
                prop_assert_eq!(b < a, b < after);
            }
        }
    }

    #[test]
    fn a_long_tuple_is_cut_and_stays_what_it_is() {
        let long = |last: &str| field(Some(&Value::from("x".repeat(1000) + last)));
        let (one, other) = (cut(long("a")), cut(long("b")));
        assert!(one.1 && other.1 && one.0 != other.0 && one.0.len() == TUPLE_BYTES_MAX);
        assert_eq!(cut(long("a")), one);
        assert_eq!(cut(vec![1; TUPLE_BYTES_MAX]), (vec![1; TUPLE_BYTES_MAX], false));
        assert_eq!(after_prefix(vec![1, 255, 255]), [2]);
        assert_eq!(after_prefix(vec![255]), [0u8; 0]);
    }
}
