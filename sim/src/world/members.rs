//! Members: maps, lists, texts and counters under few keys, which all peers make, change and remove.
//!
//! They contain pieces, each of which is written once: characters of a private range, numbers of the same range in
//! lists, and for counters the powers of two. The pieces that an edit adds are those that its author sees or has
//! listed after it and not before; the pieces that it removes, the reverse.

use super::World;
use crate::plan::{How, Key};
use crate::random::purpose;
use cosmicsync_protocol::crdt::{Change, Hidden, Step, Value};
use cosmicsync_protocol::ids::DocRef;
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting of members.
const DEPTH: usize = 3;
/// The first character that is a piece.
const FIRST: u32 = 0xf_0000;
/// Most increments of a counter that can be told apart.
const BITS: u8 = 62;

/// A small unit of content that is written once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Piece {
    /// A character, or an item of a list.
    Token(u32),
    /// An increment of the counter at a place.
    Bit(String, u8),
}

/// The pieces of a document.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// All pieces.
    pub(crate) all: BTreeSet<Piece>,
    /// Pieces that are only listed as hidden.
    pub(crate) hidden: BTreeSet<Piece>,
}

impl core::fmt::Display for Piece {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Token(token) => write!(f, "piece {}", token.saturating_sub(FIRST)),
            Self::Bit(place, bit) => write!(f, "increment {bit} of the counter at {place}"),
        }
    }
}

/// Source of the next pieces.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    next: u32,
    /// The next power of two for each document and place.
    bits: BTreeMap<(u64, String), u8>,
}

impl Key {
    const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        }
    }
}

/// Returns the paths of texts among members that merge.
pub(super) fn paths() -> Vec<String> {
    let mut level = vec![String::new()];
    let mut paths = Vec::new();
    for _ in 0..DEPTH {
        level = level.iter().flat_map(|above| Key::ALL.map(|key| format!("{above}.{}", key.name()))).collect();
        paths.extend(level.iter().map(|path| path.trim_start_matches('.').to_owned()));
    }
    paths
}

/// Returns the pieces of a document's value and of its hidden content.
pub(crate) fn pieces_of(value: &Value, hidden: &[Hidden]) -> Pieces {
    let mut found = BTreeSet::new();
    let is_member = |key: &str| Key::ALL.iter().any(|known| known.name() == key);
    for Hidden { path, value } in hidden {
        let keys: Vec<&str> =
            path.iter().filter_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None }).collect();
        if keys.first().is_some_and(|key| is_member(key)) {
            find(value, &keys.join("."), &mut found);
        }
    }
    let mut all = found.clone();
    for (key, value) in value.as_map().into_iter().flatten().filter(|(key, _)| is_member(key)) {
        find(value, key, &mut all);
    }
    Pieces { all, hidden: found }
}

fn find(value: &Value, at: &str, found: &mut BTreeSet<Piece>) {
    match value {
        Value::Text(text) => found.extend(text.chars().map(u32::from).filter(|c| *c >= FIRST).map(Piece::Token)),
        Value::List(items) => {
            let numbers =
                items.iter().filter_map(|item| if let Value::Int(number) = item { Some(*number) } else { None });
            found.extend(numbers.filter_map(|number| u32::try_from(number).ok()).map(Piece::Token));
        }
        Value::Int(sum) => {
            found.extend((0..64).filter(|bit| sum >> bit & 1 == 1).map(|bit| Piece::Bit(at.to_owned(), bit)));
        }
        Value::Map(entries) => entries.iter().for_each(|(key, value)| find(value, &format!("{at}.{key}"), found)),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::Bytes(_) => {}
    }
}

/// Draws of one action.
struct Draws<'w> {
    keyed: crate::random::Keyed,
    supply: &'w mut Supply,
    id: u64,
    count: u64,
}

impl Draws<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.count += 1;
        self.keyed.below(&[purpose::MEMBER, self.id, self.count], bound as u64) as usize
    }

    fn piece(&mut self) -> u32 {
        let piece = self.supply.next;
        self.supply.next += 1;
        FIRST + piece
    }

    fn word(&mut self) -> String {
        (0..=self.below(3)).filter_map(|_| char::from_u32(self.piece())).collect()
    }

    fn items(&mut self) -> Vec<Value> {
        (0..=self.below(3)).map(|_| Value::Int(self.piece().into())).collect()
    }

    fn members(&mut self, depth: usize) -> Vec<(&'static str, Value)> {
        let mut members: Vec<(&'static str, Value)> = Vec::new();
        for key in Key::ALL {
            if self.below(2) == 0 {
                let kinds = [How::Scalar, How::Text, How::Text, How::List, How::Map];
                let kind = kinds[self.below(kinds.len())];
                members.push((key.name(), self.value(kind, depth + 1)));
            }
        }
        members
    }

    /// Makes a value that is `depth` levels below the document.
    fn value(&mut self, how: How, depth: usize) -> Value {
        match how {
            How::Map if depth < DEPTH => self.members(depth).into_iter().collect(),
            How::List | How::Map => Value::List(self.items()),
            How::Scalar => Value::Bool(self.below(2) == 0),
            How::Text | How::Add | How::Edit | How::Remove => Value::Text(self.word()),
        }
    }

    fn change(&mut self, value: &Value, number: u64, keys: &[Key], how: How) -> Option<Change> {
        let (path, stands) = descend(value, keys)?;
        match (how, stands) {
            (How::Remove, Some(_)) => Some(Change::Remove { path }),
            (How::Remove, None) => None,
            (How::Add, None | Some(Value::Int(_))) | (How::Edit, Some(Value::Int(_))) => {
                Some(Change::Add { by: self.bit(number, &path)?, path })
            }
            (How::Add, Some(_)) => None,
            (How::Edit, Some(Value::Text(text))) => {
                let len = text.chars().count();
                let at = self.below(len + 1);
                let delete = self.below((len - at).min(2) + 1);
                Some(Change::Splice { path, at, delete, insert: self.word() })
            }
            (How::Edit, Some(Value::List(items))) => Some(if items.is_empty() || self.below(3) > 0 {
                Change::Insert { path, index: self.below(items.len() + 1), values: self.items() }
            } else {
                Change::Delete { path, index: self.below(items.len()), len: 1 }
            }),
            (how, _) => {
                let value = self.value(how, path.len());
                Some(Change::Set { path, value })
            }
        }
    }

    /// Returns the next power of two of a counter.
    fn bit(&mut self, number: u64, path: &[Step]) -> Option<i64> {
        let place = path.iter().map(|step| if let Step::Key(key) = step { key.as_str() } else { "" });
        let place = place.collect::<Vec<_>>().join(".");
        let next = self.supply.bits.entry((number, place)).or_default();
        let bit = *next;
        *next = (bit + 1).min(BITS);
        (bit < BITS).then(|| 1 << bit)
    }
}

/// Follows keys as far as there are maps. Returns the path to the end, and the value there.
fn descend<'v>(value: &'v Value, keys: &[Key]) -> Option<(Vec<Step>, Option<&'v Value>)> {
    let mut path = Vec::new();
    let mut here = Some(value);
    for key in keys.iter().take(DEPTH) {
        let Some(map @ Value::Map(_)) = here else { break };
        path.push(Step::from(key.name()));
        here = map.entry(key.name());
    }
    (!path.is_empty()).then_some((path, here))
}

impl World<'_> {
    fn draws(&mut self, id: u64) -> Draws<'_> {
        Draws { keyed: self.keyed, supply: &mut self.model.supply, id, count: 0 }
    }

    /// Makes the members of a new document.
    pub(super) fn new_members(&mut self, id: u64) -> Vec<(&'static str, Value)> {
        self.draws(id).members(0)
    }

    /// Makes a change of a member; `None` if there is nothing to change.
    pub(super) fn change_member(
        &mut self,
        id: u64,
        number: u64,
        value: &Value,
        keys: &[Key],
        how: How,
    ) -> Option<Change> {
        self.draws(id).change(value, number, keys, how)
    }

    /// Returns the pieces that a peer shows or lists of an open document.
    pub(super) fn pieces(&mut self, peer: usize, doc: DocRef) -> Pieces {
        let found = self.call(peer, |alive, _| {
            let replica = alive.endpoint.replica(doc)?;
            Some(pieces_of(&replica.value().ok()?, &replica.hidden().ok()?))
        });
        found.flatten().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_in_members_and_nowhere_else() {
        let text = |token| Value::from(char::from_u32(FIRST + token).unwrap().to_string());
        let inner: Value = [("c", text(1)), ("b", Value::Int(5))].into_iter().collect();
        let list = Value::List(vec![Value::Int((FIRST + 2).into())]);
        let value: Value =
            [("a", inner), ("b", list), ("field-1", Value::Int(3)), ("draft", text(9))].into_iter().collect();
        let hidden = [Hidden { path: vec![Step::from("a"), Step::from("c")], value: Value::Int(2) }];
        let expected = [
            Piece::Token(FIRST + 1),
            Piece::Token(FIRST + 2),
            Piece::Bit("a.b".to_owned(), 0),
            Piece::Bit("a.b".to_owned(), 2),
            Piece::Bit("a.c".to_owned(), 1),
        ];
        let pieces = pieces_of(&value, &hidden);
        assert_eq!(pieces.all.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(pieces.hidden.into_iter().collect::<Vec<_>>(), expected[4..]);
    }

    #[test]
    fn a_path_leads_as_far_as_there_are_maps() {
        let inner: Value = [("b", Value::Bool(true))].into_iter().collect();
        let value: Value = [("a", inner)].into_iter().collect();
        let ends = |keys: &[Key]| {
            let (path, stands) = descend(&value, keys).unwrap();
            (path.len(), stands.is_some())
        };
        assert_eq!(ends(&[Key::A, Key::B, Key::C]), (2, true));
        assert_eq!(ends(&[Key::A, Key::C, Key::C]), (2, false));
        assert_eq!(ends(&[Key::C, Key::C]), (1, false));
        assert_eq!(descend(&value, &[]), None);
    }
}
