//! JSON text and values, exactly (`spec/documents.md`, section 2).
//!
//! This is the only reader of JSON: of files, of the command line and of the control socket. An integer stays an
//! integer, and `2.0` stays a float. Values that cannot be kept exactly are refused rather than rounded: integers
//! beyond 64 bits, numbers beyond a double, duplicate keys, and nesting deeper than a document allows.
//!
//! ```
//! use cosmicsync_data::json::{self, JsonError};
//!
//! # fn main() -> Result<(), JsonError> {
//! let value = json::parse(br#"{"zip": "00501", "n": 9007199254740993, "x": 2.0}"#)?;
//! assert_eq!(json::to_string(&value), r#"{"n":9007199254740993,"x":2.0,"zip":"00501"}"#);
//!
//! let rounded = json::parse(b"[18446744073709551616]");
//! assert!(matches!(rounded, Err(JsonError::BigInteger { offset: 1 })));
//! assert!(json::parse(br#"{"a": 1, "a": 2}"#).is_err(), "a duplicate key");
//! # Ok(())
//! # }
//! ```

use cosmicsync_protocol::crdt::{DEPTH_MAX, TextPaths, TextStep, Value};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Reasons for a text not to be the JSON of a value.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, or an object has a duplicate key.
    #[error("not valid JSON: {}", place(.0))]
    Syntax(#[from] serde_json::Error),
    /// An integer does not fit in 64 bits.
    #[error("the whole number at byte {offset} does not fit in 64 bits; write it as a string to keep its digits")]
    BigInteger {
        /// Offset of the number, in bytes.
        offset: usize,
    },
    /// A number does not fit in a double: it is too large, or so small that it would become zero.
    #[error("the number at byte {offset} is beyond what a double can hold; write it as a string to keep its digits")]
    BeyondDouble {
        /// Offset of the number, in bytes.
        offset: usize,
    },
    /// Lists and objects nest deeper than [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} levels; flatten it")]
    TooDeep,
}

/// Returns the error with its place in this text, which may be one record of a file with other line numbers.
fn place(error: &serde_json::Error) -> String {
    let (text, line, column) = (error.to_string(), error.line(), error.column());
    match (text.strip_suffix(&format!(" at line {line} column {column}")), line) {
        (Some(what), 0..=1) => format!("{what} at byte {column}"),
        (Some(what), _) => format!("{what} at byte {column} of its line {line}"),
        (None, _) => text,
    }
}

/// The only key of the object that marks a string as a text: `{"$text": "…"}`.
const TEXT_WRAPPER: &str = "$text";

/// Parses one JSON text.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    scan(text, DEPTH_MAX)?;
    Ok(serde_json::from_slice::<Parsed>(text)?.0)
}

/// Checks a JSON text by the rules of [`parse`], but allows `around` more levels of nesting: for a message that
/// contains documents.
pub fn check(text: &[u8], around: usize) -> Result<(), JsonError> {
    scan(text, DEPTH_MAX + around)?;
    serde_json::from_slice::<Parsed>(text)?;
    Ok(())
}

/// Appends a value as JSON on one line. Bytes, which JSON lacks, become `{"$bytes": "<hex>"}`.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, &Written(value));
    assert!(written.is_ok(), "a value has string keys and a vector takes every byte");
}

/// Returns a value as JSON on one line.
pub fn to_string(value: &Value) -> String {
    let mut text = Vec::new();
    write(value, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Converts parsed JSON to a value.
///
/// The parser of a [`serde_json::Value`] has already rounded integers beyond 64 bits; only unsigned ones are refused
/// here. Prefer [`parse`].
pub fn from_json(json: &serde_json::Value) -> Result<Value, JsonError> {
    let value = Parsed::deserialize(json)?.0;
    if value.depth() > DEPTH_MAX { Err(JsonError::TooDeep) } else { Ok(value) }
}

/// Converts a value to JSON.
pub fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => serde_json::json!({ BYTES_WRAPPER: Hex(bytes).to_string() }),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
    }
}

/// Replaces each `{"$text": "…"}` in a value by its string, and returns the paths of these strings as texts.
///
/// A wrapper inside a list declares the strings at that place in all items of the list. This is for values that a
/// person writes; an import never unwraps, so `$text` objects of a file are kept.
pub fn unwrap_texts(value: Value) -> (Value, TextPaths) {
    let mut texts = TextPaths::none();
    let value = unwrap(value, &mut Vec::new(), &mut texts);
    (value, texts)
}

fn unwrap(value: Value, path: &mut Vec<TextStep>, texts: &mut TextPaths) -> Value {
    match value {
        Value::Map(mut entries) => {
            if let (1, Some(Value::Text(text))) = (entries.len(), entries.get_mut(TEXT_WRAPPER)) {
                texts.insert(path.clone());
                return Value::Text(core::mem::take(text));
            }
            let mut inside = |(key, value): (String, Value)| {
                path.push(TextStep::Key(key.clone()));
                let value = unwrap(value, path, texts);
                path.pop();
                (key, value)
            };
            Value::Map(entries.into_iter().map(&mut inside).collect())
        }
        Value::List(items) => {
            path.push(TextStep::Each);
            let items = items.into_iter().map(|item| unwrap(item, path, texts)).collect();
            path.pop();
            Value::List(items)
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_)) => {
            plain
        }
    }
}

/// Finds numbers and nesting that a JSON parser would silently round or recurse into, in one pass over the bytes.
fn scan(text: &[u8], depth_max: usize) -> Result<(), JsonError> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err(JsonError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let rest = &text[at..];
                let len = rest.iter().position(|b| !matches!(b, b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E'));
                let number = &rest[..len.unwrap_or(rest.len())];
                if number.len() > 18 && is_whole(number) && !fits(number) {
                    return Err(JsonError::BigInteger { offset: at });
                }
                if !is_whole(number) && beyond_double(number) {
                    return Err(JsonError::BeyondDouble { offset: at });
                }
                at += number.len();
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Returns the index of the quote that closes the string opened at `at`, or of the last byte.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    loop {
        at += 1;
        match text.get(at) {
            Some(b'\\') => at += 1,
            Some(b'"') | None => return at,
            Some(_) => {}
        }
    }
}

fn is_whole(number: &[u8]) -> bool {
    !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Returns whether a number becomes infinite, or becomes zero without being zero. Malformed numbers are left to the
/// parser.
fn beyond_double(number: &[u8]) -> bool {
    let Some(double) = core::str::from_utf8(number).ok().and_then(|digits| digits.parse::<f64>().ok()) else {
        return false;
    };
    let mantissa = number.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    double.is_infinite() || (double == 0.0 && mantissa.into_iter().any(|byte| matches!(byte, b'1'..=b'9')))
}

fn fits(number: &[u8]) -> bool {
    core::str::from_utf8(number).is_ok_and(|digits| digits.parse::<i64>().is_ok())
}

/// A value being parsed.
struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit).map(Self)
    }
}

struct Visit;

impl<'de> Visitor<'de> for Visit {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Int).map_err(|_| {
            E::custom(format_args!(
                "the whole number {number} does not fit in 64 bits with a sign; write it as a string"
            ))
        })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Parsed(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let Parsed(value) = map.next_value()?;
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} appears twice")));
            }
            entries.insert(key, value);
        }
        Ok(Value::Map(entries))
    }
}

/// A value being written.
struct Written<'a>(&'a Value);

const BYTES_WRAPPER: &str = "$bytes";

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BYTES_WRAPPER, &format_args!("{}", Hex(bytes)))?;
                map.end()
            }
            Value::List(items) => serializer.collect_seq(items.iter().map(Written)),
            Value::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, Written(value)))),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns any value that JSON can express, of a few dozen nodes.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Float),
            "[a-cé😀\"\\\\\n]{0,8}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                proptest::collection::btree_map("[a-e\"]{1,2}", inner, 0..5).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_survive_json(value in any_json()) {
            prop_assert_eq!(parse(to_string(&value).as_bytes()).unwrap(), value.clone());
            prop_assert_eq!(from_json(&to_json(&value)).unwrap(), value);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "[\\[\\]{}\",:0-9e.\\- a\\\\]{0,32}") {
            let _ = (parse(&bytes), parse(text.as_bytes()));
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        let text = r#"[2,2.0,-0.0,1e3,9223372036854775807,-9223372036854775808,0.1]"#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value.as_list().unwrap()[..2], [Value::Int(2), Value::Float(2.0)]);
        assert_eq!(to_string(&value), text.replace("1e3", "1000.0"));
    }

    #[test]
    fn what_would_be_rounded_is_refused() {
        for text in [
            "9223372036854775808",
            "[ -9223372036854775809]",
            "18446744073709551616",
            "[1,123456789012345678901234567890]",
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, JsonError::BigInteger { .. }), "{text}: {error}");
            assert!(error.to_string().contains("as a string"));
        }
        assert!(parse(br#"{"n":"18446744073709551616"}"#).is_ok());
        assert!(parse(br#"{"a":1,"a":2}"#).unwrap_err().to_string().contains("twice"));
        assert!(parse("[".repeat(65).as_bytes()).is_err_and(|error| matches!(error, JsonError::TooDeep)));
        assert!(parse(&[b"[".repeat(64), b"]".repeat(64)].concat()).is_ok());
        for text in ["1e999", "[-1e999]", "1e-999", "[0.0001e-400]"] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, JsonError::BeyondDouble { .. }), "{text}: {error}");
        }
        assert_eq!(parse(b"[0e999,0.0,5e-324]").unwrap().as_list().unwrap().len(), 3);
        assert!(parse(b"NaN").is_err() && parse(b"[Infinity]").is_err());
        assert!(parse(br#""\ud800""#).is_err() && parse(br#"{"\udc00":1}"#).is_err());
        assert!(from_json(&serde_json::json!(u64::MAX)).is_err());
    }

    #[test]
    fn a_message_that_carries_values_is_checked_alike() {
        assert!(check(br#"{"a":{"b":1,"b":2}}"#, 1).unwrap_err().to_string().contains("twice"));
        assert!(check(br#"{"a":18446744073709551616}"#, 1).is_err());
        let nested = [b"{\"a\":".as_slice(), &b"[".repeat(64), &b"]".repeat(64), b"}"].concat();
        assert!(check(&nested, 1).is_ok() && check(&nested, 0).is_err());
    }

    #[test]
    fn a_wrapper_declares_a_text() {
        let value = parse(br#"{"a":{"$text":"x"},"l":[{"b":{"$text":"y"}}],"c":{"$text":1}}"#).unwrap();
        let (value, texts) = unwrap_texts(value);
        assert_eq!(to_string(&value), r#"{"a":"x","c":{"$text":1},"l":[{"b":"y"}]}"#);
        assert_eq!(texts.dotted().collect::<Vec<_>>(), ["a", "l.*.b"]);
    }
}
