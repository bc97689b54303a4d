//! The value of a document: JSON, plus bytes.
//!
//! A value is plain data, independent of merging. Its canonical bytes (`spec/documents.md`, section 2) serve
//! the value cache and the digest by which two replicas show that they agree.

use super::DEPTH_MAX;
use crate::codec::{CodecError, Reader, Write};
use std::collections::BTreeMap;

/// JSON-like data. Maps are sorted by their keys' bytes.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number with a fraction, an exponent, or a `.0`.
    Float(f64),
    /// A text, whichever way it merges.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An ordered list.
    List(Vec<Self>),
    /// Named values.
    Map(BTreeMap<String, Self>),
}

/// Reason why bytes are not the canonical encoding of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The encoding breaks the common rules.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Lists and maps nest deeper than [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A map's keys repeat or are out of order.
    #[error("the keys of a map are not in order")]
    KeyOrder,
    /// A float is infinite or not a number.
    #[error("a number is not finite")]
    NotFinite,
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;

impl Value {
    /// Encodes the value canonically: one value, one byte string.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Reads an encoding of [`Value::encode`], and nothing else.
    ///
    /// Allocates no more than a constant times the input's length. Fails on any other encoding of the same value, on
    /// nesting deeper than [`DEPTH_MAX`] and on numbers that are not finite.
    pub fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader, 0)?;
        reader.finish()?;
        Ok(value)
    }

    /// Hashes the canonical encoding. Replicas with equal values have equal digests.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync value 1");
        self.write(&mut hasher);
        *hasher.finalize().as_bytes()
    }

    /// Returns the depth of nesting: 0 for a scalar, 1 for an empty list or map. The search ends above
    /// [`DEPTH_MAX`].
    pub fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut rest = vec![(self, 0)];
        while let Some((value, depth)) = rest.pop() {
            deepest = deepest.max(depth + usize::from(value.is_container()));
            if deepest > DEPTH_MAX {
                break;
            }
            match value {
                Self::List(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
                Self::Map(entries) => rest.extend(entries.values().map(|item| (item, depth + 1))),
                Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) | Self::Bytes(_) => {}
            }
        }
        deepest
    }

    /// Returns whether this is a list or a map.
    pub const fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }

    /// Returns the entries, if this is a map.
    pub const fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// Returns the items, if this is a list.
    pub const fn as_list(&self) -> Option<&Vec<Self>> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// Returns the text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the number, if this is a whole one.
    pub const fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// Returns the entry of a map. `None` if this is not a map or has no such key.
    pub fn entry(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    fn write(&self, out: &mut impl Write) {
        match self {
            Self::Null => out.byte(NULL),
            Self::Bool(flag) => out.byte(if *flag { TRUE } else { FALSE }),
            Self::Int(number) => {
                out.byte(INT);
                out.varint(((number << 1) ^ (number >> 63)).cast_unsigned());
            }
            Self::Float(number) => {
                out.byte(FLOAT);
                out.raw(&number.to_bits().to_le_bytes());
            }
            Self::Text(text) => {
                out.byte(TEXT);
                out.prefixed(text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.byte(BYTES);
                out.prefixed(bytes);
            }
            Self::List(items) => {
                out.byte(LIST);
                out.varint(items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                out.byte(MAP);
                out.varint(entries.len() as u64);
                for (key, value) in entries {
                    out.prefixed(key.as_bytes());
                    value.write(out);
                }
            }
        }
    }

    /// Reads one value. Recursion ends at [`DEPTH_MAX`].
    fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, ValueError> {
        let tag = reader.u8()?;
        if matches!(tag, LIST | MAP) && depth == DEPTH_MAX {
            return Err(ValueError::TooDeep);
        }
        let left = reader.remaining();
        Ok(match tag {
            NULL => Self::Null,
            FALSE => Self::Bool(false),
            TRUE => Self::Bool(true),
            INT => {
                let folded = reader.varint()?;
                Self::Int((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
            }
            FLOAT => {
                let number = f64::from_bits(u64::from_le_bytes(reader.array()?));
                if !number.is_finite() {
                    return Err(ValueError::NotFinite);
                }
                Self::Float(number)
            }
            TEXT => Self::Text(reader.text(left, "the length of a text")?.to_owned()),
            BYTES => Self::Bytes(reader.bytes(left, "the length of bytes")?.to_vec()),
            LIST => {
                let count = reader.count(left, "the length of a list")?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(Self::read(reader, depth + 1)?);
                }
                Self::List(items)
            }
            MAP => Self::read_map(reader, left, depth)?,
            _ => return Err(CodecError::OutOfRange("the type of a value").into()),
        })
    }

    fn read_map(reader: &mut Reader<'_>, left: usize, depth: usize) -> Result<Self, ValueError> {
        let count = reader.count(left, "the length of a map")?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text(left, "the length of a key")?;
            if entries.last_key_value().is_some_and(|(last, _): (&String, _)| last.as_str() >= key) {
                return Err(ValueError::KeyOrder);
            }
            entries.insert(key.to_owned(), Self::read(reader, depth + 1)?);
        }
        Ok(Self::Map(entries))
    }
}

/// Equal when the canonical encodings are: `0.0` and `-0.0` differ, `2` and `2.0` differ.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl<K: Into<String>, V: Into<Self>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns any value of a few dozen nodes.
    pub(in crate::crdt) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9f64).prop_map(Value::Float),
            "[a-zé😀\"\\\\]{0,8}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                proptest::collection::btree_map("[a-e]{1,2}", inner, 0..5).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_round_trip(value in any_value()) {
            let bytes = value.encode();
            prop_assert_eq!(Value::decode(&bytes), Ok(value.clone()));
            prop_assert!(Value::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn what_decodes_is_its_only_encoding(bytes: Vec<u8>) {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }

    #[test]
    fn hostile_encodings_are_refused() {
        let mut deep = [LIST, 1].repeat(DEPTH_MAX + 1);
        deep.push(NULL);
        assert_eq!(Value::decode(&deep), Err(ValueError::TooDeep));
        assert_eq!(Value::decode(&[&[LIST, 1].repeat(DEPTH_MAX - 1)[..], &[LIST, 0]].concat()).unwrap().depth(), 64);
        assert!(Value::decode(&[LIST, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
        assert_eq!(Value::decode(&[MAP, 2, 1, b'b', NULL, 1, b'a', NULL]), Err(ValueError::KeyOrder));
        assert_eq!(Value::decode(&[MAP, 2, 1, b'a', NULL, 1, b'a', NULL]), Err(ValueError::KeyOrder));
        let nan = [&[FLOAT][..], &f64::NAN.to_le_bytes()].concat();
        assert_eq!(Value::decode(&nan), Err(ValueError::NotFinite));
    }

    #[test]
    fn the_number_2_is_not_the_number_2_0() {
        assert_ne!(Value::Int(2), Value::Float(2.0));
        assert_ne!(Value::Int(2).digest(), Value::Float(2.0).digest());
        assert_eq!(Value::Int(i64::MIN), Value::decode(&Value::Int(i64::MIN).encode()).unwrap());
    }
}
