//! Queries, and what they mean: written apart from the database that answers them.
//!
//! [`Question::matches`] and [`Question::compare`] say of few operators and few types what `spec/query.md` says of them.

use super::content::Values;
use cosmicsync_data::database::ask::Query;
use cosmicsync_data::database::request::Found;
use cosmicsync_data::query::{Direction, Field, Sort, parse};
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::PartNo;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Which documents are meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pick {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Field(&'static [&'static str], Test),
    Key(Vec<String>),
}

/// A condition on a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Eq(Value),
    Ne(Value),
    Order(Vec<(Relation, Value)>),
    In(Vec<Value>),
    Exists(bool),
    /// A text begins so.
    Begins(&'static str),
    /// One item of a list stands so to both.
    Item([(Relation, Value); 2]),
}

/// Relation of a value to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Relation {
    const fn name(self) -> &'static str {
        match self {
            Self::Above => "$gt",
            Self::AtLeast => "$gte",
            Self::Below => "$lt",
            Self::AtMost => "$lte",
        }
    }

    fn holds(self, value: &Value, operand: &Value) -> bool {
        let order = compare(Some(value), Some(operand));
        rank(Some(value)) == rank(Some(operand))
            && match self {
                Self::Above => order == Ordering::Greater,
                Self::AtLeast => order != Ordering::Less,
                Self::Below => order == Ordering::Less,
                Self::AtMost => order != Ordering::Greater,
            }
    }
}

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pick: Pick,
    /// By which members, and whether the greatest comes first.
    sort: Vec<(&'static str, bool)>,
    pub(super) limit: Option<usize>,
    pub(super) index: Option<String>,
}

const A: &[&str] = &["a"];
const B: &[&str] = &["b"];
const DEEP: &[&str] = &["c", "d"];
const T: &[&str] = &["t"];

const SORTS: [&[(&str, bool)]; 8] = [
    &[],
    &[("a", false)],
    &[("a", true)],
    &[("a", false), ("b", false)],
    &[("b", false)],
    &[("b", true), ("a", true)],
    &[("b", false), ("a", true)],
    &[("t", true)],
];

impl Question {
    /// Draws one. `keys` are those that documents may have.
    pub(super) fn draw(values: &mut Values, keys: u64) -> Self {
        let sort = if values.once_in(2) { Vec::new() } else { values.pick(&SORTS).to_vec() };
        Self { pick: Pick::draw(values, keys), sort, limit: None, index: None }
    }

    /// Draws one that is followed: half of them are windows of what an index has in order, so that they run out.
    pub(super) fn draw_followed(values: &mut Values, keys: u64) -> Self {
        let mut question = Self::draw(values, keys);
        if values.once_in(2) {
            question.sort = vec![values.pick(&[("a", false), ("a", true), ("b", false), ("t", true)])];
            question.pick = if values.once_in(2) { Pick::All(Vec::new()) } else { Pick::one(values) };
        }
        // Which documents a limit cuts off is only said where they are in order.
        question.limit = (question.is_sorted() && !values.once_in(3)).then(|| 1 + values.below(4) as usize);
        question
    }

    /// The same, about fewer documents.
    pub(super) fn narrowed(&self, pick: Pick) -> Self {
        Self { pick: Pick::All(vec![self.pick.clone(), pick]), ..self.clone() }
    }

    /// The query, as a database is asked it.
    pub(super) fn query(&self, partition: PartNo, collection: &str) -> Query {
        let text = cosmicsync_data::json::to_string(&self.pick.selector());
        let selector = parse::parse(text.as_bytes()).expect("a selector that is drawn is one");
        let direction = |down| if down { Direction::Descending } else { Direction::Ascending };
        let fields = self.sort.iter().map(|(name, down)| (Field::parse(name).expect("a name"), direction(*down)));
        let sort = Sort::new(fields.collect()).expect("no sort that is drawn names a field twice");
        let (limit, use_index) = (self.limit, self.index.clone());
        Query { selector, sort, limit, use_index, ..Query::all(partition, collection.to_owned()) }
    }

    pub(super) const fn is_sorted(&self) -> bool {
        !self.sort.is_empty()
    }

    /// Returns whether a document matches.
    pub(super) fn matches(&self, key: Option<&str>, value: &Value) -> bool {
        self.pick.matches(key, value)
    }

    /// The order of two documents, as far as the sort says.
    pub(super) fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let by = |(name, down): &(&str, bool)| {
            let order = compare(a.entry(name), b.entry(name));
            if *down { order.reverse() } else { order }
        };
        self.sort.iter().map(by).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    }
}

impl Question {
    /// Returns whether two answers are the same, except for the order of documents that are equal in the sort, and for
    /// the choice among these at a limit.
    pub(super) fn are_alike(&self, one: &[Found], other: &[Found]) -> bool {
        let values = |found: &[Found]| found.iter().filter_map(|found| found.value.clone()).collect::<Vec<_>>();
        let (first, second) = (values(one), values(other));
        let in_order = first.iter().zip(&second).all(|(a, b)| self.compare(a, b) == Ordering::Equal);
        let docs = |found: &[Found]| found.iter().map(|found| (found.doc, found.version)).collect::<BTreeSet<_>>();
        one.len() == other.len() && in_order && (self.limit.is_some() || docs(one) == docs(other))
    }
}

impl core::fmt::Display for Question {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { pick, sort, limit, index } = self;
        write!(
            f,
            "{} by {sort:?}, limit {limit:?}, index {index:?}",
            cosmicsync_data::json::to_string(&pick.selector())
        )
    }
}

impl Pick {
    pub(super) const fn all() -> Self {
        Self::All(Vec::new())
    }

    /// Returns the condition that the member `a` is this account.
    pub(super) fn own(account: &str) -> Self {
        Self::Field(A, Test::Eq(account.into()))
    }

    /// Returns the condition that the member `b` is at least 1.
    pub(super) fn great() -> Self {
        Self::Field(B, Test::Order(vec![(Relation::AtLeast, Value::Int(1))]))
    }

    fn draw(values: &mut Values, keys: u64) -> Self {
        match values.below(12) {
            0 => Self::All(Vec::new()),
            1 => Self::Any(vec![Self::one(values), Self::one(values)]),
            2 => Self::Not(Box::new(Self::one(values))),
            3 => {
                let key = super::content::key_of(values.below(keys) as u32);
                Self::All(vec![Self::Key(vec![key, "none".to_owned()]), Self::one(values)])
            }
            4..=6 => Self::All(vec![Self::one(values), Self::one(values)]),
            _ => Self::one(values),
        }
    }

    fn one(values: &mut Values) -> Self {
        let field = values.pick(&[A, A, A, B, B, DEEP, DEEP, T]);
        let relation = |values: &mut Values| {
            let relation = values.pick(&[Relation::Above, Relation::AtLeast, Relation::Below, Relation::AtMost]);
            (relation, values.scalar())
        };
        let test = match values.below(12) {
            0..=3 => Test::Eq(values.member(6)),
            4 => Test::Ne(values.scalar()),
            5 | 6 => Test::Order(vec![relation(values)]),
            7 => Test::Order(vec![(Relation::Above, Value::Int(1)), (Relation::AtMost, Value::Int(3))]),
            8 => Test::In((0..values.below(4)).map(|_| values.scalar()).collect()),
            9 => Test::Exists(values.once_in(2)),
            10 => Test::Begins("SECRET-x"),
            _ => Test::Item([(Relation::AtLeast, Value::Int(2)), (Relation::Below, Value::Int(3))]),
        };
        Self::Field(field, test)
    }

    fn selector(&self) -> Value {
        let one = |key: &str, value: Value| [(key, value)].into_iter().collect::<Value>();
        let list = |parts: &[Self]| Value::List(parts.iter().map(Self::selector).collect());
        match self {
            Self::All(parts) if parts.is_empty() => Value::Map(Default::default()),
            Self::All(parts) => one("$and", list(parts)),
            Self::Any(parts) => one("$or", list(parts)),
            Self::Not(part) => one("$not", part.selector()),
            Self::Field(path, test) => one(&path.join("."), test.selector()),
            Self::Key(keys) => {
                one("$key", one("$in", Value::List(keys.iter().map(|key| key.as_str().into()).collect())))
            }
        }
    }

    pub(super) fn matches(&self, key: Option<&str>, value: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(key, value)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(key, value)),
            Self::Not(part) => !part.matches(key, value),
            Self::Field(path, test) => test.passes(&reached(value, path)),
            Self::Key(keys) => key.is_some_and(|key| keys.iter().any(|known| known == key)),
        }
    }
}

impl Test {
    fn selector(&self) -> Value {
        let one = |key: &str, value: Value| [(key, value)].into_iter().collect::<Value>();
        let all = |tests: &[(Relation, Value)]| {
            tests.iter().map(|(relation, value)| (relation.name(), value.clone())).collect::<Value>()
        };
        match self {
            Self::Eq(value) => one("$eq", value.clone()),
            Self::Ne(value) => one("$ne", value.clone()),
            Self::Order(tests) => all(tests),
            Self::In(values) => one("$in", Value::List(values.clone())),
            Self::Exists(flag) => one("$exists", (*flag).into()),
            Self::Begins(text) => one("$regex", format!("^{text}").into()),
            Self::Item(tests) => one("$elemMatch", all(tests)),
        }
    }

    fn passes(&self, reached: &[&Value]) -> bool {
        // What is reached, and the items of what is a list.
        let mut candidates: Vec<&Value> = reached.to_vec();
        candidates.extend(reached.iter().filter_map(|value| value.as_list()).flatten());
        let equals = |operand: &Value| {
            let is_missing = *operand == Value::Null && reached.is_empty();
            is_missing || candidates.iter().any(|value| compare(Some(value), Some(operand)) == Ordering::Equal)
        };
        match self {
            Self::Eq(operand) => equals(operand),
            Self::Ne(operand) => !equals(operand),
            Self::Order(tests) => {
                tests.iter().all(|(relation, operand)| candidates.iter().any(|value| relation.holds(value, operand)))
            }
            Self::In(operands) => operands.iter().any(equals),
            Self::Exists(flag) => reached.is_empty() != *flag,
            Self::Begins(text) => {
                candidates.iter().any(|value| value.as_text().is_some_and(|found| found.starts_with(text)))
            }
            Self::Item(tests) => reached
                .iter()
                .filter_map(|value| value.as_list())
                .flatten()
                .any(|item| tests.iter().all(|(relation, operand)| relation.holds(item, operand))),
        }
    }
}

/// Returns the values at a path. A list on the way is crossed: the path continues in each map of the list.
fn reached<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    let Some((first, rest)) = path.split_first() else { return vec![value] };
    match value {
        Value::Map(entries) => entries.get(*first).map(|next| reached(next, rest)).unwrap_or_default(),
        Value::List(items) => {
            items.iter().filter(|item| item.as_map().is_some()).flat_map(|item| reached(item, path)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => Vec::new(),
    }
}

const fn rank(value: Option<&Value>) -> u8 {
    match value {
        None => 0,
        Some(Value::Null) => 1,
        Some(Value::Bool(_)) => 2,
        Some(Value::Int(_) | Value::Float(_)) => 3,
        Some(Value::Text(_)) => 4,
        Some(Value::Bytes(_)) => 5,
        Some(Value::List(_)) => 6,
        Some(Value::Map(_)) => 7,
    }
}

/// A number that is drawn: they are few, and small.
const fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => None,
    }
}

/// The order of two values that are drawn; `None` is missing.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let (Some(first), Some(second)) = (a, b) else { return a.is_some().cmp(&b.is_some()) };
    if let (Some(first), Some(second)) = (number(first), number(second)) {
        return first.total_cmp(&second);
    }
    match (first, second) {
        (Value::Bool(first), Value::Bool(second)) => first.cmp(second),
        (Value::Text(first), Value::Text(second)) => first.as_bytes().cmp(second.as_bytes()),
        (Value::List(first), Value::List(second)) => {
            let differ = first.iter().zip(second).map(|(a, b)| compare(Some(a), Some(b)));
            let order = differ.into_iter().find(|order| *order != Ordering::Equal);
            order.unwrap_or_else(|| first.len().cmp(&second.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Keyed;
    use cosmicsync_data::json;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification_hold() {
        let field = |test| Pick::Field(A, test);
        let between = field(Test::Order(vec![(Relation::Above, Value::Int(3)), (Relation::Below, Value::Int(7))]));
        assert!(between.matches(None, &value(r#"{"a":[1,9]}"#)));
        let item = field(Test::Item([(Relation::Above, Value::Int(3)), (Relation::Below, Value::Int(7))]));
        assert!(!item.matches(None, &value(r#"{"a":[1,9]}"#)) && item.matches(None, &value(r#"{"a":[1,5]}"#)));
        assert!(field(Test::Eq(Value::Null)).matches(None, &value("{}")));
        assert!(field(Test::Eq(Value::Float(2.0))).matches(None, &value(r#"{"a":2}"#)));
        let deep = Pick::Field(DEEP, Test::Eq(Value::Int(1)));
        assert!(deep.matches(None, &value(r#"{"c":[{"d":2},1,{"d":[3,1]}]}"#)));
        assert!(!deep.matches(None, &value(r#"{"c":[[{"d":1}]]}"#)));
    }

    #[test]
    fn questions_of_many_kinds_are_drawn_and_read() {
        let mut kinds = std::collections::BTreeSet::new();
        for of in 0..500 {
            let question = Question::draw(&mut Values::of(Keyed::new(1), of), 4);
            kinds.insert(question.to_string());
            assert!(!question.query(PartNo(0), "cats").collection.is_empty());
        }
        assert!(kinds.len() > 300, "{}", kinds.len());
    }
}
