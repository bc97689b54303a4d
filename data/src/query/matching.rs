//! Matches a selector against a document (`spec/query.md`, section 3).

use super::ast::{Choice, Each, Elem, Field, Operand, Relation, Selector, Test, Type, Virtual};
use super::order::{Rank, compare, same};
use super::path::{Path, Reached, items};
use cosmicsync_protocol::crdt::{Value, VersionId};
use cosmicsync_protocol::ids::DocId;

/// A document, as selectors and sorts read it. An unknown property is missing.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The document's value.
    pub value: &'a Value,
    /// The document's id.
    pub id: DocId,
    /// The key from which the id was derived, if the document has one.
    pub key: Option<&'a str>,
    /// The document's version.
    pub version: Option<VersionId>,
    /// Result of the comparison with the schema; `None` if the collection has no schema.
    pub validity: Option<Validity>,
}

/// Result of comparing a value with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// The value matches.
    Valid,
    /// The value does not match.
    Invalid,
    /// The schema is not readable here, so the result is unknown; reads as null.
    Unknown,
}

impl Validity {
    /// Returns the value of `$valid`: true, false or null.
    pub const fn to_value(self) -> Value {
        match self {
            Self::Valid => Value::Bool(true),
            Self::Invalid => Value::Bool(false),
            Self::Unknown => Value::Null,
        }
    }
}

impl<'a> Subject<'a> {
    /// Returns a subject of which only the value and the id are known.
    pub const fn new(value: &'a Value, id: DocId) -> Self {
        Self { value, id, key: None, version: None, validity: None }
    }

    /// Returns the value of a virtual field; `None` if it is missing.
    pub fn virtual_value(&self, field: Virtual) -> Option<Value> {
        match field {
            Virtual::Id => Some(Value::Text(self.id.to_string())),
            Virtual::Key => self.key.map(Value::from),
            Virtual::Version => self.version.map(|version| Value::Text(version.to_string())),
            Virtual::Valid => self.validity.map(Validity::to_value),
        }
    }

    /// Follows a field and passes the reached values to `look`.
    pub fn with<T>(&self, field: &Field, look: impl FnOnce(Reached<'_>) -> T) -> T {
        match field {
            Field::Member(path) => look(path.reach(self.value)),
            Field::Virtual(field) => look(Reached::Plain(self.virtual_value(*field).as_ref())),
        }
    }
}

impl Selector {
    /// Returns whether this selector matches a document.
    ///
    /// With unbound variables, it matches only if it would match for any values of these. Nothing matches because of an
    /// unbound variable, not even through a negation. Recursion is as deep as the selector.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.holds(About::Document(subject), false)
    }

    /// Evaluates the selector. A comparison with an unbound variable yields `unbound`: false, but true inside a
    /// negation, so that it never makes the whole selector true.
    fn holds(&self, about: About<'_>, unbound: bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(about, unbound)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(about, unbound)),
            Self::Not(inner) => !inner.holds(about, !unbound),
            Self::Field(field, test) => match (about, field) {
                (About::Document(subject), field) => {
                    subject.with(field, |reached| test.passes(&Seen { reached, alone: false }, unbound))
                }
                (About::Element(value), Field::Member(path)) => test.passes(&Seen::at(path, value), unbound),
                (About::Element(_), Field::Virtual(_)) => test.passes(&Seen::NOTHING, unbound),
            },
        }
    }
}

/// The subject of a selector: a document, or an item of a list.
#[derive(Clone, Copy)]
enum About<'a> {
    Document(&'a Subject<'a>),
    Element(&'a Value),
}

/// The values that a test examines.
struct Seen<'a> {
    reached: Reached<'a>,
    /// True for an item of a list, whose own items are not candidates.
    alone: bool,
}

impl<'a> Seen<'a> {
    const NOTHING: Self = Self { reached: Reached::Plain(None), alone: false };

    fn at(path: &Path, value: &'a Value) -> Self {
        Self { reached: path.reach(value), alone: false }
    }

    const fn alone(item: &'a Value) -> Self {
        Self { reached: Reached::Plain(Some(item)), alone: true }
    }

    fn values(&self) -> &[&'a Value] {
        self.reached.values()
    }

    /// Returns whether a value passes, or an item of a value that is a list.
    fn any(&self, mut passes: impl FnMut(&Value) -> bool) -> bool {
        self.values().iter().any(|value| passes(value) || (!self.alone && items(value).iter().any(&mut passes)))
    }

    fn equals(&self, operand: &Value) -> bool {
        let missing = matches!(operand, Value::Null) && self.values().is_empty();
        missing || self.any(|value| same(value, operand))
    }

    fn equals_one_of(&self, choice: &Choice) -> bool {
        let among =
            |value: &Value| choice.values.binary_search_by(|operand| compare(Some(operand), Some(value))).is_ok();
        let missing = self.values().is_empty() && among(&Value::Null);
        missing || self.any(among)
    }

    /// Returns the items for `$all`; if the path crossed lists, all reached values and their items.
    fn elements(&self) -> Vec<&'a Value> {
        match &self.reached {
            Reached::Plain(value) => value.map(items).unwrap_or_default().iter().collect(),
            Reached::Crossed(_) => self.reached.candidates().collect(),
        }
    }
}

impl Test {
    fn passes(&self, seen: &Seen<'_>, unbound: bool) -> bool {
        match self {
            Self::Eq(operand) => equals(seen, operand, unbound),
            Self::Ne(operand) => !equals(seen, operand, !unbound),
            Self::Order(relation, Operand::Value(operand)) => stands(seen, *relation, operand),
            Self::Order(_, Operand::Var(_)) => unbound,
            Self::In(choice) => is_in(seen, choice, unbound),
            Self::Nin(choice) => !is_in(seen, choice, !unbound),
            Self::Exists(flag) => seen.values().is_empty() != *flag,
            Self::Type(types) => seen.any(|value| types.iter().any(|kind| kind.is_of(value))),
            Self::Mod { divisor, remainder } => seen.any(|value| remainder_of(value, *divisor) == Some(*remainder)),
            Self::Size(length) => seen
                .values()
                .iter()
                .any(|value| value.as_list().is_some_and(|items| u64::try_from(items.len()) == Ok(*length))),
            Self::Every(parts) => has_every(seen.elements(), parts, unbound),
            Self::Elem(elem) => {
                seen.values().iter().any(|list| items(list).iter().any(|item| elem.fits(item, unbound)))
            }
            Self::Regex(pattern) => seen.any(|value| value.as_text().is_some_and(|text| pattern.is_in(text))),
            Self::Not(tests) => !tests.iter().all(|test| test.passes(seen, !unbound)),
        }
    }
}

fn equals(seen: &Seen<'_>, operand: &Operand, unbound: bool) -> bool {
    match operand {
        Operand::Value(operand) => seen.equals(operand),
        Operand::Var(_) => unbound,
    }
}

fn is_in(seen: &Seen<'_>, choice: &Choice, unbound: bool) -> bool {
    seen.equals_one_of(choice) || (unbound && !choice.vars.is_empty())
}

/// Returns whether a candidate of the operand's type has this relation to it. Lists and maps never have.
fn stands(seen: &Seen<'_>, relation: Relation, operand: &Value) -> bool {
    let rank = Rank::of(Some(operand));
    !operand.is_container()
        && seen.any(|value| Rank::of(Some(value)) == rank && relation.holds(compare(Some(value), Some(operand))))
}

impl Relation {
    /// Returns whether a value has this relation to an operand, given their order.
    pub const fn holds(self, order: core::cmp::Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

/// Returns whether each part is among the items, in at most the time to sort the items.
fn has_every(mut items: Vec<&Value>, parts: &[Each], unbound: bool) -> bool {
    /// Up to this number of parts, each is searched linearly.
    const FEW: usize = 8;
    let many = parts.len() > FEW;
    if many {
        items.sort_by(|a, b| compare(Some(a), Some(b)));
    }
    let holds = |each: &Each| match each {
        Each::Equal(Operand::Value(operand)) if many => {
            items.binary_search_by(|item| compare(Some(item), Some(operand))).is_ok()
        }
        Each::Equal(Operand::Value(operand)) => items.iter().any(|item| same(item, operand)),
        Each::Equal(Operand::Var(_)) => unbound,
        Each::Elem(elem) => items.iter().any(|item| elem.fits(item, unbound)),
    };
    !parts.is_empty() && !items.is_empty() && parts.iter().all(holds)
}

impl Elem {
    fn fits(&self, item: &Value, unbound: bool) -> bool {
        match self {
            Self::Tests(tests) => tests.iter().all(|test| test.passes(&Seen::alone(item), unbound)),
            Self::Fields(selector) => item.as_map().is_some() && selector.holds(About::Element(item), unbound),
        }
    }
}

impl Type {
    /// Returns whether a value has this type.
    pub fn is_of(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Int, Value::Float(number)) => number.fract() == 0.0,
            (Self::Int, value) => value.as_int().is_some(),
            _ => self.rank() == Rank::of(Some(value)),
        }
    }

    /// Returns the rank of this type's values.
    pub const fn rank(self) -> Rank {
        match self {
            Self::Null => Rank::Null,
            Self::Bool => Rank::Bool,
            Self::Number | Self::Int => Rank::Number,
            Self::Text => Rank::Text,
            Self::Bytes => Rank::Bytes,
            Self::List => Rank::List,
            Self::Map => Rank::Map,
        }
    }
}

/// Returns the remainder of an integer, with its sign; `None` for any other value, and for divisor 0.
fn remainder_of(value: &Value, divisor: i64) -> Option<i64> {
    if divisor == 0 {
        return None;
    }
    if let Value::Float(number) = value {
        return (number.fract() == 0.0).then(|| whole_remainder(*number, divisor)).flatten();
    }
    // Only the least integer divided by -1 overflows; its remainder is 0.
    Some(value.as_int()?.checked_rem(divisor).unwrap_or(0))
}

/// Returns the remainder of a float without a fraction, exactly for any size.
fn whole_remainder(number: f64, divisor: i64) -> Option<i64> {
    /// Number of mantissa bits of a float, without the implicit first bit.
    const DIGITS: u32 = 52;
    /// Exponent field of a float whose last mantissa bit has the value 1.
    const ONES: u64 = 1075;
    let bits = number.abs().to_bits();
    let (exponent, digits) = (bits >> DIGITS, (bits & ((1 << DIGITS) - 1)) | (1 << DIGITS));
    let divisor = u128::from(divisor.unsigned_abs());
    let left = match exponent.checked_sub(ONES) {
        Some(doublings) => (0..doublings).fold(u128::from(digits) % divisor, |left, _| left * 2 % divisor),
        // Without a fraction, the bits below 1 are zeros; zero itself has an exponent of 0.
        None => u128::from(digits.checked_shr(u32::try_from(ONES - exponent).ok()?).unwrap_or(0)) % divisor,
    };
    // With the least divisor, the remainder is at most the greatest integer.
    let left = i64::try_from(left).ok()?;
    Some(if number < 0.0 { -left } else { left })
}

#[cfg(test)]
mod tests;
