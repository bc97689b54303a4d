//! Finds the exceptions listed in `spec/query.md` that a selector and a document touch. Only with such an exception may
//! a peer's answer differ.

use cosmicsync_data::Value;
use cosmicsync_data::query::{Each, Elem, Field, Operand, Path, Problem, Reached, Selector, Step, Test, Type};
use std::collections::{BTreeMap, BTreeSet};

const MISSING: &str = "missing before null";
const UTF8: &str = "texts by UTF-8";
const NUMBERS: &str = "exact numbers";
const REGEX: &str = "regex dialect";
const MODULO: &str = "$mod of what is no number";
const ORDER: &str = "order with a list or map";
const REFUSED: &str = "$where, $expr, $jsonSchema";
const NESTED: &str = "lists in lists";
const CROSSED: &str = "lists that a path crosses";
const TYPE: &str = "$type of items";
const ELEM: &str = "items that are no maps";
const IN: &str = "$in with a list";

type Names = BTreeSet<&'static str>;

/// Returns the exception by which a selector is refused here but accepted by others.
pub(crate) fn of_error(problem: &Problem) -> Option<&'static str> {
    let names = [
        (matches!(problem, Problem::Pattern(_)), REGEX),
        (matches!(problem, Problem::Operand { operator: "$gt" | "$gte" | "$lt" | "$lte", .. }), ORDER),
        (matches!(problem, Problem::NotSupported(_)), REFUSED),
    ];
    names.into_iter().find_map(|(applies, name)| applies.then_some(name))
}

/// Returns the exceptions that two values touch.
pub(crate) fn of_order(a: Option<&Value>, b: Option<&Value>) -> Names {
    let values = || [a, b].into_iter().flatten();
    let mut names = Names::new();
    if a.is_none() || b.is_none() {
        names.insert(MISSING);
    }
    names.extend(values().any(is_inexact).then_some(NUMBERS));
    names.extend(differs_in_utf16(values()).then_some(UTF8));
    names
}

/// Adds the exceptions that a selector touches in a value.
pub(crate) fn of_match(selector: &Selector, value: &Value, names: &mut Names) {
    match selector {
        Selector::All(parts) | Selector::Any(parts) => parts.iter().for_each(|part| of_match(part, value, names)),
        Selector::Not(inner) => of_match(inner, value, names),
        Selector::Field(Field::Member(path), test) => of_test(test, &Look::at(path, value), names),
        Selector::Field(Field::Virtual(_), _) => {}
    }
}

/// The values that a test examines, and the properties of the path to them.
struct Look<'a> {
    reached: Reached<'a>,
    /// Number of lists that the path crosses.
    crossed: usize,
    /// True if a crossed list has a list among its items.
    list_among_items: bool,
    /// True if the path has more than one step.
    dotted: bool,
    /// True if the last step is an index.
    ends_with_place: bool,
    /// True for an item of a list, in `$elemMatch`.
    alone: bool,
}

impl<'a> Look<'a> {
    fn at(path: &Path, value: &'a Value) -> Self {
        let steps = path.steps();
        let mut look = Self {
            reached: path.reach(value),
            crossed: 0,
            list_among_items: false,
            dotted: steps.len() > 1,
            ends_with_place: matches!(steps.last(), Some(Step::Digits(_))),
            alone: false,
        };
        look.follow(value, steps, 0);
        look
    }

    const fn alone(item: &'a Value) -> Self {
        let reached = Reached::Plain(Some(item));
        Self { reached, crossed: 0, list_among_items: false, dotted: false, ends_with_place: false, alone: true }
    }

    fn follow(&mut self, value: &Value, steps: &[Step], crossed: usize) {
        let Some((step, rest)) = steps.split_first() else { return };
        match (value, step) {
            (Value::List(items), Step::Key(_)) => {
                self.crossed = self.crossed.max(crossed + 1);
                for item in items {
                    self.list_among_items |= item.as_list().is_some();
                    if item.as_map().is_some() {
                        self.follow(item, steps, crossed + 1);
                    }
                }
            }
            (Value::List(items), step) => {
                step.place()
                    .and_then(|place| items.get(place))
                    .into_iter()
                    .for_each(|item| self.follow(item, rest, crossed));
            }
            (value, step) => value.entry(step.key()).into_iter().for_each(|value| self.follow(value, rest, crossed)),
        }
    }

    fn values(&self) -> &[&'a Value] {
        self.reached.values()
    }

    fn has_list(&self) -> bool {
        self.values().iter().any(|value| value.as_list().is_some())
    }

    fn has_list_in_list(&self) -> bool {
        self.values().iter().filter_map(|value| value.as_list()).flatten().any(|item| item.as_list().is_some())
    }

    /// Returns whether there is a list in a list, which others examine depending on the number of steps in the path.
    fn is_nested(&self, test: &Test) -> bool {
        let equality = matches!(test, Test::Eq(_) | Test::Ne(_));
        let deeper = ((self.dotted && equality) || matches!(test, Test::Regex(_))) && self.has_list_in_list();
        let behind = self.crossed > 0 && (self.crossed > 1 || self.list_among_items || self.has_list());
        deeper || behind || (self.alone && self.has_list())
    }

    /// Returns whether others apply the test to the list of all reached values, rather than to each.
    fn is_collected(&self, test: &Test) -> bool {
        let nothing = self.values().is_empty();
        let is_list = |value: &Value| value.as_list().is_some();
        let is_null = |value: &Value| matches!(value, Value::Null);
        self.crossed > 0
            && match test {
                Test::Eq(Operand::Value(value)) | Test::Ne(Operand::Value(value)) => {
                    is_list(value) || (is_null(value) && nothing)
                }
                Test::In(choice) | Test::Nin(choice) => choice.values.iter().any(is_null) && nothing,
                Test::Exists(_) => nothing && self.ends_with_place,
                Test::Size(_) | Test::Type(_) | Test::Elem(_) => true,
                Test::Eq(Operand::Var(_)) | Test::Ne(Operand::Var(_)) | Test::Order(..) | Test::Mod { .. } => false,
                Test::Every(_) | Test::Regex(_) | Test::Not(_) => false,
            }
    }
}

fn of_test(test: &Test, look: &Look<'_>, names: &mut Names) {
    names.extend(look.is_nested(test).then_some(NESTED));
    names.extend(look.is_collected(test).then_some(CROSSED));
    let seen = || look.reached.candidates();
    match test {
        Test::Eq(Operand::Value(operand)) | Test::Ne(Operand::Value(operand)) => {
            of_values(seen().chain([operand]), names)
        }
        Test::Order(_, Operand::Value(operand)) => {
            of_values(seen().chain([operand]), names);
            names.extend(differs_in_utf16(seen().chain([operand])).then_some(UTF8));
        }
        Test::In(choice) | Test::Nin(choice) => {
            of_values(seen().chain(&choice.values), names);
            let lists = look.has_list() && choice.values.iter().any(|value| value.as_list().is_some());
            names.extend(lists.then_some(IN));
        }
        Test::Type(types) => {
            let items = look.has_list() && types.iter().any(|kind| *kind != Type::List);
            names.extend(items.then_some(TYPE));
        }
        Test::Mod { .. } => {
            of_values(seen(), names);
            names.extend(seen().any(|value| !matches!(value, Value::Int(_) | Value::Float(_))).then_some(MODULO));
        }
        Test::Regex(pattern) => {
            let special = pattern.source().contains(['.', '\\']);
            let foreign = seen().filter_map(Value::as_text).any(|text| !text.is_ascii());
            names.extend((special && foreign).then_some(REGEX));
        }
        Test::Every(parts) => {
            let elements = elements(look);
            for each in parts {
                match each {
                    Each::Equal(Operand::Value(operand)) => of_values(elements.iter().copied().chain([operand]), names),
                    Each::Equal(Operand::Var(_)) => {}
                    Each::Elem(elem) => elements.iter().for_each(|item| of_elem(elem, item, names)),
                }
            }
        }
        Test::Elem(elem) => {
            let lists = look.values().iter().filter_map(|value| value.as_list());
            lists.flatten().for_each(|item| of_elem(elem, item, names));
        }
        Test::Not(tests) => tests.iter().for_each(|test| of_test(test, look, names)),
        Test::Exists(_) | Test::Size(_) => {}
        Test::Eq(Operand::Var(_)) | Test::Ne(Operand::Var(_)) | Test::Order(_, Operand::Var(_)) => {}
    }
}

fn elements<'a>(look: &Look<'a>) -> Vec<&'a Value> {
    match &look.reached {
        Reached::Plain(value) => value.and_then(|value| value.as_list()).into_iter().flatten().collect(),
        Reached::Crossed(_) => look.reached.candidates().collect(),
    }
}

fn of_elem(elem: &Elem, item: &Value, names: &mut Names) {
    match (elem, item) {
        (Elem::Tests(tests), item) => tests.iter().for_each(|test| of_test(test, &Look::alone(item), names)),
        (Elem::Fields(selector), Value::Map(_)) => of_match(selector, item, names),
        (Elem::Fields(_), Value::List(_)) => names.extend([NESTED]),
        (Elem::Fields(_), _) => names.extend([ELEM]),
    }
}

fn of_values<'a>(values: impl Iterator<Item = &'a Value>, names: &mut Names) {
    let mut values = values;
    names.extend(values.any(is_inexact).then_some(NUMBERS));
}

/// Returns whether an integer in the value has no equal double.
fn is_inexact(value: &Value) -> bool {
    let inside = value.as_list().into_iter().flatten().chain(value.as_map().into_iter().flat_map(BTreeMap::values));
    value.as_int().is_some_and(|number| number.unsigned_abs() > 1 << 53) || inside.into_iter().any(is_inexact)
}

/// Returns whether sorting these values by UTF-16 code units may give another order than by UTF-8 bytes.
fn differs_in_utf16<'a>(values: impl Iterator<Item = &'a Value>) -> bool {
    let (mut astral, mut high) = (false, false);
    for value in values {
        visit(value, &mut |char| {
            astral |= char >= '\u{10000}';
            high |= ('\u{e000}'..'\u{10000}').contains(&char);
        });
    }
    astral && high
}

fn visit(value: &Value, see: &mut dyn FnMut(char)) {
    value.as_text().into_iter().flat_map(str::chars).for_each(&mut *see);
    let inside = value.as_list().into_iter().flatten().chain(value.as_map().into_iter().flat_map(BTreeMap::values));
    inside.for_each(|value| visit(value, see));
}
