//! Compares a value with a schema, and lists the violations (`spec/schemas.md`).
//!
//! Evaluation takes a limited number of steps for any schema; a value that would take more is invalid. Recursion is at
//! most the nesting of the value times the nesting of subschemas on one value.

use super::compile::{Bound, Counted, Keyword, Node, NodeId, Type};
use super::number::is_multiple;
use crate::json;
use crate::query::order::compare;
use core::cmp::Ordering;
use core::fmt;
use cosmicsync_protocol::crdt::Value;

/// Largest number of violations listed for a document.
pub const VIOLATIONS_MAX: usize = 64;
/// Largest number of evaluated subschemas and compared items for one document.
const STEPS_MAX: u32 = 1_000_000;
/// Largest number of characters of a value in a message.
const SHOWN_MAX: usize = 40;

/// A violation of a schema by a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The place in the document, as a JSON pointer; empty for the whole document.
    pub pointer: String,
    /// The violated keyword.
    pub keyword: &'static str,
    /// Description of the violation, for display.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// Returns the violations of a node by a value.
pub(super) fn violations(nodes: &[Node], root: NodeId, value: &Value) -> Vec<Violation> {
    let mut run = Run { nodes, steps: 0, found: Vec::new(), quiet: false };
    run.node(root, value, &At::ROOT);
    if run.steps > STEPS_MAX {
        let message = format!("the schema takes more than {STEPS_MAX} steps on it");
        return vec![Violation { pointer: String::new(), keyword: "$schema", message }];
    }
    run.found
}

/// Returns whether a value has no violations.
pub(super) fn is_valid(nodes: &[Node], root: NodeId, value: &Value) -> bool {
    let mut run = Run { nodes, steps: 0, found: Vec::new(), quiet: true };
    run.node(root, value, &At::ROOT) && run.steps <= STEPS_MAX
}

/// A place in the document.
struct At<'a> {
    above: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Item(usize),
}

impl<'a> At<'a> {
    const ROOT: Self = Self { above: None, step: Step::Root };

    const fn member(&'a self, name: &'a str) -> Self {
        Self { above: Some(self), step: Step::Member(name) }
    }

    const fn item(&'a self, at: usize) -> Self {
        Self { above: Some(self), step: Step::Item(at) }
    }

    fn pointer(&self) -> String {
        let mut names = Vec::new();
        let mut here = Some(self);
        while let Some(at) = here {
            match at.step {
                Step::Root => {}
                Step::Member(name) => names.push(name.to_owned()),
                Step::Item(index) => names.push(index.to_string()),
            }
            here = at.above;
        }
        names.reverse();
        crate::json_patch::show(&names)
    }
}

struct Run<'a> {
    nodes: &'a [Node],
    steps: u32,
    found: Vec<Violation>,
    /// True to list nothing; the first violation decides.
    quiet: bool,
}

impl Run<'_> {
    /// Evaluates a node. Returns whether all of its keywords hold.
    fn node(&mut self, id: NodeId, value: &Value, at: &At<'_>) -> bool {
        self.steps = self.steps.saturating_add(1);
        if self.steps > STEPS_MAX {
            return false;
        }
        let nodes = self.nodes;
        let mut holds = true;
        for keyword in nodes.get(id).into_iter().flatten() {
            holds &= self.keyword(keyword, value, at);
            if !holds && (self.quiet || self.found.len() >= VIOLATIONS_MAX) {
                break;
            }
        }
        holds
    }

    /// Evaluates a node without listing violations.
    fn quietly(&mut self, id: NodeId, value: &Value, at: &At<'_>) -> bool {
        let quiet = core::mem::replace(&mut self.quiet, true);
        let holds = self.node(id, value, at);
        self.quiet = quiet;
        holds
    }

    /// Records a violation. Returns false, the keyword's result.
    fn refuse(&mut self, at: &At<'_>, keyword: &'static str, message: impl FnOnce() -> String) -> bool {
        if !self.quiet && self.found.len() < VIOLATIONS_MAX {
            self.found.push(Violation { pointer: at.pointer(), keyword, message: message() });
        }
        false
    }

    fn expect(&mut self, holds: bool, at: &At<'_>, keyword: &'static str, message: impl FnOnce() -> String) -> bool {
        holds || self.refuse(at, keyword, message)
    }

    fn keyword(&mut self, keyword: &Keyword, value: &Value, at: &At<'_>) -> bool {
        match keyword {
            Keyword::Never => self.refuse(at, "false", || "no value is allowed here".to_owned()),
            Keyword::Type(types) => self.expect(types.iter().any(|wanted| is_of(*wanted, value)), at, "type", || {
                let wanted: Vec<&str> = types.iter().map(|wanted| wanted.name()).collect();
                format!("{} is not of type {}", shown(value), wanted.join(" or "))
            }),
            Keyword::Const(wanted) => {
                self.expect(is_same(value, wanted), at, "const", || format!("must be {}", shown(wanted)))
            }
            Keyword::Enum(values) => {
                let found = values.binary_search_by(|of| compare(Some(of), Some(value))).is_ok();
                self.expect(found, at, "enum", || {
                    let values: Vec<String> = values.iter().take(8).map(shown).collect();
                    format!("{} is not one of {}", shown(value), values.join(", "))
                })
            }
            Keyword::Bound(bound, limit) => self.bound(*bound, limit, value, at),
            Keyword::MultipleOf(divisor) => {
                let holds = !is_number(value) || is_multiple(value, divisor);
                self.expect(holds, at, "multipleOf", || {
                    format!("{} is not a multiple of {}", shown(value), shown(divisor))
                })
            }
            Keyword::AtLeast(of, least) => self.at_least(*of, *least, value, at),
            Keyword::AtMost(of, most) => self.at_most(*of, *most, value, at),
            Keyword::Pattern(pattern) => {
                let holds = value.as_text().is_none_or(|text| pattern.is_in(text));
                self.expect(holds, at, "pattern", || format!("{} does not match {}", shown(value), pattern.source()))
            }
            Keyword::Format(format) => {
                let holds = value.as_text().is_none_or(|text| format.is_of(text));
                self.expect(holds, at, "format", || format!("{} is not in the format {}", shown(value), format.name()))
            }
            Keyword::Unique => {
                let holds = value.as_list().is_none_or(|items| self.are_unique(items));
                self.expect(holds, at, "uniqueItems", || "two items are equal".to_owned())
            }
            Keyword::PrefixItems(nodes) => {
                let items = value.as_list().into_iter().flatten().enumerate();
                self.every(items.zip(nodes).map(|((index, item), node)| (*node, item, Step::Item(index))), at)
            }
            Keyword::Items(from, node) => {
                let items = value.as_list().into_iter().flatten().enumerate().skip(*from);
                self.every(items.map(|(index, item)| (*node, item, Step::Item(index))), at)
            }
            Keyword::Contains { node, min, max } => self.contains(*node, *min, *max, value, at),
            Keyword::Required(names) => {
                let Some(members) = value.as_map() else { return true };
                let missing = names.iter().filter(|name| !members.contains_key(*name));
                self.missing(missing, at, "required")
            }
            Keyword::DependentRequired(dependents) => {
                let Some(members) = value.as_map() else { return true };
                let asked = dependents.iter().filter(|(name, _)| members.contains_key(*name));
                let missing = asked.flat_map(|(_, names)| names).filter(|name| !members.contains_key(*name));
                self.missing(missing, at, "dependentRequired")
            }
            Keyword::DependentSchemas(dependents) => {
                let Some(members) = value.as_map() else { return true };
                let asked = dependents.iter().filter(|(name, _)| members.contains_key(*name));
                self.all(asked.map(|(_, node)| *node), value, at)
            }
            Keyword::Members(members) => self.members(members, value, at),
            Keyword::Names(node) => {
                let mut holds = true;
                for name in value.as_map().into_iter().flat_map(|members| members.keys()) {
                    let fits = self.quietly(*node, &Value::from(name.as_str()), at);
                    holds &= self
                        .expect(fits, at, "propertyNames", || format!("{name:?} is not allowed as a member's name"));
                }
                holds
            }
            Keyword::All(nodes) => self.all(nodes.iter().copied(), value, at),
            Keyword::Any(nodes) => {
                let holds = nodes.iter().any(|node| self.quietly(*node, value, at));
                self.expect(holds, at, "anyOf", || format!("{} fits none of {} schemas", shown(value), nodes.len()))
            }
            Keyword::One(nodes) => {
                let fitting = nodes.iter().filter(|node| self.quietly(**node, value, at)).count();
                self.expect(fitting == 1, at, "oneOf", || {
                    format!("{} fits {fitting} of {} schemas, and must fit one", shown(value), nodes.len())
                })
            }
            Keyword::Not(node) => {
                // Beyond the limit of steps, neither a schema nor its negation holds.
                let fits = self.quietly(*node, value, at) || self.steps > STEPS_MAX;
                self.expect(!fits, at, "not", || format!("{} matches the schema of `not`", shown(value)))
            }
            Keyword::If { test, then, otherwise } => {
                let next = if self.quietly(*test, value, at) { then } else { otherwise };
                next.is_none_or(|node| self.node(node, value, at))
            }
            Keyword::Ref(node) => self.node(*node, value, at),
        }
    }

    fn all(&mut self, nodes: impl Iterator<Item = NodeId>, value: &Value, at: &At<'_>) -> bool {
        let mut holds = true;
        for node in nodes {
            holds &= self.node(node, value, at);
            if !holds && self.quiet {
                break;
            }
        }
        holds
    }

    /// Evaluates nodes on parts of a value.
    fn every<'v>(&mut self, parts: impl Iterator<Item = (NodeId, &'v Value, Step<'v>)>, at: &At<'_>) -> bool {
        let mut holds = true;
        for (node, part, step) in parts {
            holds &= self.node(node, part, &At { above: Some(at), step });
            if !holds && self.quiet {
                break;
            }
        }
        holds
    }

    fn members(&mut self, members: &super::compile::Members, value: &Value, at: &At<'_>) -> bool {
        let mut holds = true;
        for (name, part) in value.as_map().into_iter().flatten() {
            let at = at.member(name);
            let named = members.named.get(name);
            let mut is_known = named.is_some();
            if let Some(node) = named {
                holds &= self.node(*node, part, &at);
            }
            for (pattern, node) in &members.patterns {
                if pattern.is_in(name) {
                    is_known = true;
                    holds &= self.node(*node, part, &at);
                }
            }
            if let Some(node) = members.others.filter(|_| !is_known) {
                let is_closed = matches!(self.nodes.get(node).map(Vec::as_slice), Some([Keyword::Never]));
                holds &= if is_closed {
                    self.refuse(&at, "additionalProperties", || "the schema has no such member".to_owned())
                } else {
                    self.node(node, part, &at)
                };
            }
            if !holds && self.quiet {
                break;
            }
        }
        holds
    }

    fn missing<'n>(&mut self, names: impl Iterator<Item = &'n String>, at: &At<'_>, keyword: &'static str) -> bool {
        let mut holds = true;
        for name in names {
            holds = self.refuse(at, keyword, || format!("the member {name:?} is missing"));
        }
        holds
    }

    fn bound(&mut self, bound: Bound, limit: &Value, value: &Value, at: &At<'_>) -> bool {
        let order = compare(Some(value), Some(limit));
        let (holds, keyword, stands) = match bound {
            Bound::Minimum => (order.is_ge(), "minimum", "below"),
            Bound::ExclusiveMinimum => (order.is_gt(), "exclusiveMinimum", "not above"),
            Bound::Maximum => (order.is_le(), "maximum", "above"),
            Bound::ExclusiveMaximum => (order.is_lt(), "exclusiveMaximum", "not below"),
        };
        self.expect(holds || !is_number(value), at, keyword, || {
            format!("{} is {stands} {}", shown(value), shown(limit))
        })
    }

    fn at_least(&mut self, of: Counted, least: u64, value: &Value, at: &At<'_>) -> bool {
        let (keyword, unit) = match of {
            Counted::Characters => ("minLength", "characters"),
            Counted::Items => ("minItems", "items"),
            Counted::Members => ("minProperties", "members"),
        };
        let Some(count) = count_of(of, value) else { return true };
        self.expect(count >= least, at, keyword, || format!("has {count} {unit}, and needs at least {least}"))
    }

    fn at_most(&mut self, of: Counted, most: u64, value: &Value, at: &At<'_>) -> bool {
        let (keyword, unit) = match of {
            Counted::Characters => ("maxLength", "characters"),
            Counted::Items => ("maxItems", "items"),
            Counted::Members => ("maxProperties", "members"),
        };
        let Some(count) = count_of(of, value) else { return true };
        self.expect(count <= most, at, keyword, || format!("has {count} {unit}, and may have at most {most}"))
    }

    fn contains(&mut self, node: NodeId, min: u64, max: Option<u64>, value: &Value, at: &At<'_>) -> bool {
        let Some(items) = value.as_list() else { return true };
        let mut count = 0;
        for (index, item) in items.iter().enumerate() {
            count += u64::from(self.quietly(node, item, &at.item(index)));
        }
        let holds = count >= min && max.is_none_or(|max| count <= max);
        self.expect(holds, at, "contains", || match max {
            Some(max) => format!("{count} items are as the schema asks, and {min} to {max} must be"),
            None => format!("{count} items are as the schema asks, and at least {min} must be"),
        })
    }

    fn are_unique(&mut self, items: &[Value]) -> bool {
        self.steps = self.steps.saturating_add(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let mut sorted: Vec<&Value> = items.iter().collect();
        sorted.sort_by(|a, b| compare(Some(a), Some(b)));
        sorted.windows(2).all(|pair| !is_same(pair[0], pair[1]))
    }
}

const fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Float(_))
}

fn is_same(a: &Value, b: &Value) -> bool {
    compare(Some(a), Some(b)) == Ordering::Equal
}

fn is_of(wanted: Type, value: &Value) -> bool {
    match (wanted, value) {
        (Type::Null, Value::Null)
        | (Type::Boolean, Value::Bool(_))
        | (Type::Integer | Type::Number, Value::Int(_))
        | (Type::Number, Value::Float(_))
        | (Type::String, Value::Text(_))
        | (Type::Array, Value::List(_))
        | (Type::Object, Value::Map(_)) => true,
        (Type::Integer, Value::Float(number)) => number.fract() == 0.0,
        _ => false,
    }
}

fn count_of(of: Counted, value: &Value) -> Option<u64> {
    let count = match of {
        Counted::Characters => value.as_text()?.chars().count(),
        Counted::Items => value.as_list()?.len(),
        Counted::Members => value.as_map()?.len(),
    };
    Some(count as u64)
}

/// Returns the beginning of a value, as JSON.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::List(items) if !items.is_empty() => return format!("a list of {} items", items.len()),
        Value::Map(members) if !members.is_empty() => return format!("an object of {} members", members.len()),
        Value::Bytes(_) => return "a value of bytes".to_owned(),
        Value::Text(text) => {
            // A long text is not written as a whole only to show its beginning.
            let end = text.char_indices().nth(SHOWN_MAX).map_or(text.len(), |(end, _)| end);
            json::to_string(&Value::from(&text[..end]))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            json::to_string(value)
        }
    };
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
