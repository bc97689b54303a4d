//! The bounds that a selector sets on one field, for an index on that field (`spec/query.md`, section 6).
//!
//! An index holds a document under each of the keys that [`Reached::keys`](super::path::Reached::keys) returns. The
//! bounds are never narrower than the selector: a document that matches has at least one key among the points, and at
//! least one in the range. The reader of an index still evaluates the whole selector on each document.

use super::ast::{Choice, Each, Elem, Field, Operand, Relation, Selector, Test, Type};
use super::order::{Rank, compare};
use super::path::{Path, Step};
use core::cmp::Ordering;
use core::ops::RangeInclusive;
use cosmicsync_protocol::crdt::Value;

/// The bounds that a selector sets on one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    points: Option<Vec<Option<Value>>>,
    ranges: Vec<Range>,
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The value at the end.
    pub value: Value,
    /// True if values equal to it belong to the range.
    pub inclusive: bool,
}

/// Consecutive keys of some ranks; a range with ends has one rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The ranks of the keys.
    pub ranks: RangeInclusive<Rank>,
    /// The least key; `None` means the beginning of the rank.
    pub lower: Option<End>,
    /// The greatest key; `None` means the end of the rank.
    pub upper: Option<End>,
}

impl Bounds {
    /// Returns the bounds of a field. Tests inside negations and alternatives are ignored.
    pub fn of(selector: &Selector, field: &Field) -> Self {
        let mut bounds = Self::default();
        bounds.gather(selector, None, field);
        bounds
    }

    /// Returns true if there are no bounds.
    pub const fn is_free(&self) -> bool {
        self.points.is_none() && self.ranges.is_empty()
    }

    /// Returns keys of which each matching document has at least one, ascending and unique; `None` in the list is a
    /// missing field. Returns `None` if no test asks for equality.
    pub fn points(&self) -> Option<&[Option<Value>]> {
        self.points.as_deref()
    }

    /// Returns the range in which each matching document has a key.
    ///
    /// `multikey` is true if documents may have several keys. Different keys of a document may then satisfy different
    /// bounds, so only the bounds of one test are used.
    pub fn range(&self, multikey: bool) -> Option<Range> {
        let (first, rest) = self.ranges.split_first()?;
        if multikey {
            let narrower = |best, range| if Range::width(range) < Range::width(best) { range } else { best };
            return Some(rest.iter().fold(first, narrower).clone());
        }
        Some(rest.iter().fold(first.clone(), |all, range| all.intersect(range).unwrap_or(all)))
    }

    fn gather(&mut self, selector: &Selector, prefix: Option<&Path>, wanted: &Field) {
        for part in selector.conjuncts() {
            let Selector::Field(field, test) = part else { continue };
            match (prefix, field) {
                (None, field) => self.gather_test(test, field, false, wanted),
                (Some(prefix), Field::Member(path)) => {
                    // After a list's path, digits would be an index of the list; in an item they are a key. So such a
                    // path is not used.
                    let place = matches!(path.steps().first(), Some(Step::Digits(_)));
                    if let Some(joined) = prefix.join(path).filter(|_| !place) {
                        self.gather_test(test, &Field::Member(joined), true, wanted);
                    }
                }
                (Some(_), Field::Virtual(_)) => {}
            }
        }
    }

    /// Collects the bounds of a test. `inside` is true in an item of a list, where a missing member of one item may
    /// exist in another.
    fn gather_test(&mut self, test: &Test, field: &Field, inside: bool, wanted: &Field) {
        if field == wanted {
            self.ranges.extend(range_of(test));
            if let Some(points) = points_of(test).filter(|points| !inside || points.first() != Some(&None)) {
                self.add_points(points);
            }
            if let Test::Elem(Elem::Tests(tests)) = test {
                self.gather_item(tests);
            }
        }
        if let (Some(Elem::Fields(selector)), Field::Member(path)) = (elem_of(test), field) {
            self.gather(selector, Some(path), wanted);
        }
    }

    /// Collects the bounds on one item: an item is one key, so its bounds may be intersected.
    fn gather_item(&mut self, tests: &[Test]) {
        // If the item is a list, its own items are not keys.
        for points in tests.iter().filter(|test| !matches!(test, Test::Every(_))).filter_map(points_of) {
            self.add_points(points);
        }
        let mut ranges = tests.iter().filter_map(range_of);
        if let Some(first) = ranges.next() {
            self.ranges.push(ranges.fold(first, |all, range| all.intersect(&range).unwrap_or(all)));
        }
    }

    /// Keeps the smaller set of points. Sets are not intersected: a document with several keys may have one in each.
    fn add_points(&mut self, points: Vec<Option<Value>>) {
        if self.points.as_ref().is_none_or(|fewest| points.len() < fewest.len()) {
            self.points = Some(points);
        }
    }
}

/// Returns the condition on one item that a passing test implies.
fn elem_of(test: &Test) -> Option<&Elem> {
    if let Test::Elem(elem) = test {
        return Some(elem);
    }
    let Test::Every(parts) = test else { return None };
    parts.iter().find_map(|each| if let Each::Elem(elem) = each { Some(elem) } else { None })
}

/// Returns the alternatives of a selector: each `$or` that every matching document satisfies.
pub fn alternatives(selector: &Selector) -> impl Iterator<Item = &[Selector]> {
    selector.conjuncts().iter().filter_map(|part| match part {
        Selector::Any(branches) => Some(branches.as_slice()),
        Selector::All(_) | Selector::Not(_) | Selector::Field(..) => None,
    })
}

/// Returns keys of which each document that passes the test has at least one.
fn points_of(test: &Test) -> Option<Vec<Option<Value>>> {
    match test {
        Test::Eq(Operand::Value(operand)) => Some(sorted(keys_of(operand))),
        Test::In(Choice { values, .. }) => Some(sorted(values.iter().flat_map(keys_of))),
        Test::Exists(false) => Some(vec![None]),
        Test::Every(parts) => parts.iter().find_map(|each| match each {
            Each::Equal(Operand::Value(operand)) => Some(sorted(keys_of(operand))),
            Each::Equal(Operand::Var(_)) | Each::Elem(_) => None,
        }),
        Test::Eq(Operand::Var(_)) | Test::Ne(_) | Test::Nin(_) | Test::Not(_) | Test::Exists(true) => None,
        Test::Order(..) | Test::Type(_) | Test::Mod { .. } | Test::Size(_) | Test::Elem(_) | Test::Regex(_) => None,
    }
}

/// Returns keys of which a document has one if its field equals the operand. A null operand may be a missing field. A
/// list operand may be an item of the field's list, or the field's list itself, whose first item is a key.
fn keys_of(operand: &Value) -> impl Iterator<Item = Option<Value>> {
    let missing = matches!(operand, Value::Null).then_some(None);
    let first = operand.as_list().and_then(|items| items.first()).cloned().map(Some);
    missing.into_iter().chain([Some(operand.clone())]).chain(first)
}

fn sorted(points: impl IntoIterator<Item = Option<Value>>) -> Vec<Option<Value>> {
    let mut points: Vec<_> = points.into_iter().collect();
    points.sort_by(|a, b| compare(a.as_ref(), b.as_ref()));
    points.dedup_by(|a, b| compare(a.as_ref(), b.as_ref()).is_eq());
    points
}

/// Returns the range in which each document that passes the test has a key.
fn range_of(test: &Test) -> Option<Range> {
    match test {
        Test::Order(relation, Operand::Value(operand)) => Some(Range::beside(*relation, operand)),
        Test::Exists(true) => Some(Range { ranks: Rank::Null..=Rank::Map, lower: None, upper: None }),
        Test::Type(types) => {
            let (first, rest) = types.split_first()?;
            // The keys of a list are its items.
            let one = rest.iter().all(|kind| kind.rank() == first.rank()) && *first != Type::List;
            one.then(|| Range::rank(first.rank()))
        }
        Test::Regex(pattern) => pattern.prefix().map(|prefix| Range::prefix(&prefix)),
        Test::Order(_, Operand::Var(_)) | Test::Eq(_) | Test::Ne(_) | Test::In(_) | Test::Nin(_) | Test::Not(_) => None,
        Test::Exists(false) | Test::Mod { .. } | Test::Size(_) | Test::Every(_) | Test::Elem(_) => None,
    }
}

impl Range {
    /// Returns the range of all keys of one rank.
    pub const fn rank(rank: Rank) -> Self {
        Self { ranks: rank..=rank, lower: None, upper: None }
    }

    fn beside(relation: Relation, operand: &Value) -> Self {
        let end = Some(End { value: operand.clone(), inclusive: relation.is_inclusive() });
        let all = Self::rank(Rank::of(Some(operand)));
        if relation.is_lower() { Self { lower: end, ..all } } else { Self { upper: end, ..all } }
    }

    /// Returns the range of the texts with this prefix.
    fn prefix(prefix: &str) -> Self {
        let lower = Some(End { value: Value::from(prefix), inclusive: true });
        let upper = successor(prefix).map(|text| End { value: Value::Text(text), inclusive: false });
        Self { lower, upper, ..Self::rank(Rank::Text) }
    }

    /// Returns whether a key lies in the range.
    pub fn contains(&self, key: Option<&Value>) -> bool {
        let beside = |end: &End, wanted| {
            let order = compare(key, Some(&end.value));
            order == wanted || (order.is_eq() && end.inclusive)
        };
        let above = |end: &End| beside(end, Ordering::Greater);
        let below = |end: &End| beside(end, Ordering::Less);
        self.ranks.contains(&Rank::of(key))
            && self.lower.as_ref().is_none_or(above)
            && self.upper.as_ref().is_none_or(below)
    }

    /// Returns the keys in both ranges; `None` if they have no rank in common.
    fn intersect(&self, other: &Self) -> Option<Self> {
        let ranks = *self.ranks.start().max(other.ranks.start())..=*self.ranks.end().min(other.ranks.end());
        let lower = tighter(self.lower.as_ref(), other.lower.as_ref(), Ordering::Greater);
        let upper = tighter(self.upper.as_ref(), other.upper.as_ref(), Ordering::Less);
        (!ranks.is_empty()).then_some(Self { ranks, lower, upper })
    }

    /// Returns the number of open ends and of ranks beyond one; a smaller number is narrower.
    fn width(&self) -> usize {
        let ranks = usize::from(self.ranks.start() != self.ranks.end());
        ranks + usize::from(self.lower.is_none()) + usize::from(self.upper.is_none())
    }
}

/// Returns the tighter of two ends, in the direction `inwards`.
fn tighter(a: Option<&End>, b: Option<&End>, inwards: Ordering) -> Option<End> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b).cloned() };
    let order = compare(Some(&a.value), Some(&b.value));
    let a_is_tighter = order == inwards || (order.is_eq() && !a.inclusive);
    Some(if a_is_tighter { a.clone() } else { b.clone() })
}

/// Returns the least text above all texts with this prefix; `None` if no text is.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // A range of characters skips the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests;
