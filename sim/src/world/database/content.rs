//! Documents of databases: where they are, and values of which many are alike.

use crate::random::{Keyed, purpose};
use cosmicsync_protocol::crdt::{TextPaths, Value};

/// The collections of each partition.
const COLLECTIONS: [&str; 2] = ["cats", "dogs"];
/// The text that merges.
pub(super) const TEXT: &str = "t";
/// The indexes that come and go: their names and fields. `c.d` leads through lists, `a` and `b` lead to some.
const INDEXES: [(&str, &[&str]); 6] =
    [("a", &["a"]), ("ab", &["a", "b"]), ("ba", &["b", "a"]), ("deep", &["c.d", "a"]), ("b", &["b"]), ("t", &["t"])];

/// A collection of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The partition's number.
    pub(crate) partition: u32,
    pub(crate) collection: &'static str,
}

impl Place {
    /// The collection with a number.
    pub(crate) const fn of(partitions: u32, number: u32) -> Self {
        let at = (number / (partitions + 1)) as usize % COLLECTIONS.len();
        Self { partition: number % (partitions + 1), collection: COLLECTIONS[at] }
    }

    /// Returns the number of places.
    pub(crate) const fn count(partitions: u32) -> u32 {
        (partitions + 1) * COLLECTIONS.len() as u32
    }

    /// All collections.
    pub(crate) fn all(partitions: u32) -> impl Iterator<Item = Self> {
        (0..Self::count(partitions)).map(move |number| Self::of(partitions, number))
    }
}

/// The key of a document.
pub(super) fn key_of(number: u32) -> String {
    format!("k{number}")
}

/// The index with a number.
pub(super) const fn index(number: u32) -> (&'static str, &'static [&'static str]) {
    INDEXES[number as usize % INDEXES.len()]
}

/// A schema that comes and goes: its canonical text, and whether it holds.
type Schema = (&'static str, fn(&Value) -> bool);

/// The schemas. Whether one holds is written here a second time.
const SCHEMAS: [Schema; 3] = [
    (r#"{"properties":{"a":{"type":"integer"}}}"#, has_whole_a),
    (r#"{"required":["b"]}"#, |value| value.entry("b").is_some()),
    (r#"{"not":{"required":["c"]}}"#, |value| value.entry("c").is_none()),
];

fn has_whole_a(value: &Value) -> bool {
    match value.entry("a") {
        None => true,
        Some(Value::Float(number)) => number.fract() == 0.0,
        Some(value) => value.as_int().is_some(),
    }
}

/// The text of the schema with a number; none has the number 0.
pub(super) fn schema(number: u32) -> Option<&'static str> {
    let at = (number as usize % (SCHEMAS.len() + 1)).checked_sub(1)?;
    SCHEMAS.get(at).map(|(text, _)| *text)
}

/// Returns whether a document matches a schema, given as in a description: a number, a colon and the schema.
pub(super) fn is_valid(declared: &str, value: &Value) -> Option<bool> {
    let (_, text) = declared.split_once(':')?;
    SCHEMAS.iter().find(|(known, _)| *known == text).map(|(_, holds)| holds(value))
}

/// The texts that merge.
pub(super) fn texts() -> TextPaths {
    [TEXT].into_iter().collect()
}

/// Draws values, one after another.
pub(super) struct Values {
    keyed: Keyed,
    of: u64,
    count: u64,
}

impl Values {
    /// The values of an action, or of whatever else has a number of its own.
    pub(super) const fn of(keyed: Keyed, of: u64) -> Self {
        Self { keyed, of, count: 0 }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.count += 1;
        self.keyed.below(&[purpose::VALUE, self.of, self.count], bound)
    }

    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A value without parts. Texts are such as no wire and no unsealed row may show.
    pub(super) fn scalar(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => Value::Float(2.0),
            3 => Value::Float(2.5),
            4 => "SECRET-x".into(),
            5 => "SECRET-y".into(),
            number => Value::Int(number as i64 - 5),
        }
    }

    fn scalars(&mut self) -> Value {
        Value::List((0..self.below(4)).map(|_| self.scalar()).collect())
    }

    /// The value of a member: a scalar, or a list of some. In half of all plans there are no lists, so that indexes are in
    /// the order of sorts.
    pub(super) fn member(&mut self, list_in: u64) -> Value {
        if self.once_in(list_in) && self.keyed.once_in(&[purpose::VALUE], 2) { self.scalars() } else { self.scalar() }
    }

    /// The value of a document.
    pub(super) fn document(&mut self) -> Value {
        let mut members = Vec::new();
        if !self.once_in(6) {
            members.push(("a", self.member(8)));
        }
        if !self.once_in(6) {
            members.push(("b", self.member(20)));
        }
        if self.once_in(2) {
            let deep = |value: Value| [("d", value)].into_iter().collect::<Value>();
            let value = if self.once_in(3) {
                Value::List((0..self.below(3)).map(|_| deep(self.member(6))).collect())
            } else {
                deep(self.member(6))
            };
            members.push(("c", value));
        }
        if self.once_in(3) {
            let word = self.pick(&["SECRET-x", "SECRET-y", "SECRET-xy"]);
            members.push((TEXT, word.into()));
        }
        members.into_iter().collect()
    }

    /// A merge patch of one or two members.
    pub(super) fn patch(&mut self) -> Value {
        let count = 1 + self.below(2);
        (0..count).map(|_| (self.pick(&["a", "b", "c"]), self.member(10))).collect()
    }
}
