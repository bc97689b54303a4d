//! Writes selectors as JSON in normal form: equal selectors have equal text, which parses to the same selector.

use super::ast::{Choice, Each, Elem, Operand, Selector, Test, Type};
use super::pattern::Pattern;
use crate::json;
use core::fmt;
use cosmicsync_protocol::crdt::Value;

impl Selector {
    /// Returns the selector as a value that [`super::parse::from_value`] reads as the same selector.
    pub fn to_value(&self) -> Value {
        match self {
            Self::All(parts) if parts.is_empty() => Value::Map(Default::default()),
            Self::All(parts) => one("$and", selectors(parts)),
            Self::Any(parts) => one("$or", selectors(parts)),
            Self::Not(inner) => one("$nor", Value::List(vec![inner.to_value()])),
            Self::Field(field, test) => one(&field.to_string(), tests(core::slice::from_ref(test))),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::to_string(&self.to_value()))
    }
}

fn one(name: &str, value: Value) -> Value {
    Value::from_iter([(name, value)])
}

fn selectors(parts: &[Selector]) -> Value {
    Value::List(parts.iter().map(Selector::to_value).collect())
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn tests(tests: &[Test]) -> Value {
    Value::Map(tests.iter().flat_map(members).map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Returns an operator and its operand; two operators if they belong together.
fn members(test: &Test) -> Vec<(&'static str, Value)> {
    let member = match test {
        Test::Eq(operand) => ("$eq", operand.to_value()),
        Test::Ne(operand) => ("$ne", operand.to_value()),
        Test::Order(relation, operand) => (relation.name(), operand.to_value()),
        Test::In(choice) => ("$in", choice.to_value()),
        Test::Nin(choice) => ("$nin", choice.to_value()),
        Test::Exists(flag) => ("$exists", Value::Bool(*flag)),
        Test::Type(types) => ("$type", Value::List(types.iter().map(|kind| text(name_of(*kind))).collect())),
        Test::Mod { divisor, remainder } => ("$mod", Value::List(vec![Value::Int(*divisor), Value::Int(*remainder)])),
        Test::Size(length) => ("$size", Value::Int(i64::try_from(*length).unwrap_or(i64::MAX))),
        Test::Every(parts) => ("$all", Value::List(parts.iter().map(Each::to_value).collect())),
        Test::Elem(elem) => ("$elemMatch", elem.to_value()),
        Test::Regex(pattern) => return regex(pattern),
        Test::Not(inner) => ("$not", tests(inner)),
    };
    vec![member]
}

fn regex(pattern: &Pattern) -> Vec<(&'static str, Value)> {
    let options = pattern.options();
    let options = (!options.is_empty()).then_some(("$options", Value::Text(options)));
    [("$regex", text(pattern.source()))].into_iter().chain(options).collect()
}

fn name_of(kind: Type) -> &'static str {
    Type::NAMES.iter().find(|(_, named)| *named == kind).map_or("", |(name, _)| name)
}

impl Operand {
    fn to_value(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Var(path) => one("$var", Value::Text(path.to_string())),
        }
    }
}

impl Choice {
    fn to_value(&self) -> Value {
        let vars = self.vars.iter().map(|path| one("$var", Value::Text(path.to_string())));
        Value::List(self.values.iter().cloned().chain(vars).collect())
    }
}

impl Each {
    fn to_value(&self) -> Value {
        match self {
            Self::Equal(operand) => operand.to_value(),
            Self::Elem(elem) => one("$elemMatch", elem.to_value()),
        }
    }
}

impl Elem {
    fn to_value(&self) -> Value {
        match self {
            Self::Tests(inner) => tests(inner),
            Self::Fields(selector) => selector.to_value(),
        }
    }
}
