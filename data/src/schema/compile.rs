//! Compiles a schema's JSON into nodes for evaluation.
//!
//! Each subschema becomes one node, found by its pointer. A `$ref` leads to a node like any other, so schemas may be
//! recursive. The compiler does not recurse; subschemas to compile wait in a queue.

use super::format::Format;
use super::{NODES_MAX, SchemaError, SchemaProblem, at};
use crate::json_patch::{pointer, show};
use crate::query::order::compare;
use crate::query::pattern::Pattern;
use cosmicsync_protocol::crdt::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Largest nesting of subschemas that are evaluated on one value.
const NESTED_MAX: usize = 32;
/// The only supported version of JSON Schema.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The number of a node.
pub(super) type NodeId = usize;

/// A subschema: all of its keywords must hold.
pub(super) type Node = Vec<Keyword>;

/// A value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Type {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Null, "null"),
        (Self::Boolean, "boolean"),
        (Self::Integer, "integer"),
        (Self::Number, "number"),
        (Self::String, "string"),
        (Self::Array, "array"),
        (Self::Object, "object"),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(of, _)| *of == self).map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(of, _)| *of)
    }
}

/// Relation of a number to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Minimum,
    ExclusiveMinimum,
    Maximum,
    ExclusiveMaximum,
}

/// The unit of a size limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Characters,
    Items,
    Members,
}

/// One condition.
#[derive(Debug, Clone)]
pub(super) enum Keyword {
    /// No value is valid.
    Never,
    Type(Vec<Type>),
    Const(Value),
    /// Sorted values.
    Enum(Vec<Value>),
    Bound(Bound, Value),
    MultipleOf(Value),
    AtLeast(Counted, u64),
    AtMost(Counted, u64),
    Pattern(Pattern),
    Format(Format),
    Unique,
    PrefixItems(Vec<NodeId>),
    /// Schema of the items from this index on.
    Items(usize, NodeId),
    Contains {
        node: NodeId,
        min: u64,
        max: Option<u64>,
    },
    Required(Vec<String>),
    DependentRequired(BTreeMap<String, Vec<String>>),
    DependentSchemas(BTreeMap<String, NodeId>),
    Members(Members),
    Names(NodeId),
    All(Vec<NodeId>),
    Any(Vec<NodeId>),
    One(Vec<NodeId>),
    Not(NodeId),
    If {
        test: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    Ref(NodeId),
}

/// Schemas of the members of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    pub(super) named: BTreeMap<String, NodeId>,
    pub(super) patterns: Vec<(Pattern, NodeId)>,
    pub(super) others: Option<NodeId>,
}

impl Keyword {
    /// Returns the nodes that are evaluated on the same value.
    fn in_place(&self) -> Vec<NodeId> {
        match self {
            Self::All(nodes) | Self::Any(nodes) | Self::One(nodes) => nodes.clone(),
            Self::Not(node) | Self::Ref(node) => vec![*node],
            Self::If { test, then, otherwise } => [Some(*test), *then, *otherwise].into_iter().flatten().collect(),
            Self::DependentSchemas(nodes) => nodes.values().copied().collect(),
            Self::Never
            | Self::Type(_)
            | Self::Const(_)
            | Self::Enum(_)
            | Self::Bound(..)
            | Self::MultipleOf(_)
            | Self::AtLeast(..)
            | Self::AtMost(..)
            | Self::Pattern(_)
            | Self::Format(_)
            | Self::Unique
            | Self::PrefixItems(_)
            | Self::Items(..)
            | Self::Contains { .. }
            | Self::Required(_)
            | Self::DependentRequired(_)
            | Self::Members(_)
            | Self::Names(_) => Vec::new(),
        }
    }
}

/// Keywords that only describe, and keywords that other modules read.
const DESCRIBING: [&str; 16] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "else",
    "examples",
    "maxContains",
    "minContains",
    "readOnly",
    "then",
    "title",
    "writeOnly",
];

/// Keywords of JSON Schema that are not supported.
const UNSUPPORTED: [&str; 10] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$vocabulary",
    "additionalItems",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Compiles a schema; the root is the first node.
pub(super) fn compile(schema: &Value) -> Result<Vec<Node>, SchemaError> {
    let mut compiler = Compiler { schema, nodes: Vec::new(), known: BTreeMap::new(), queue: Vec::new() };
    compiler.node(&[]).map_err(|problem| SchemaError { pointer: String::new(), problem })?;
    while let Some((id, place)) = compiler.queue.pop() {
        let node = compiler.keywords(&place).map_err(|problem| SchemaError { pointer: show(&place), problem })?;
        compiler.nodes[id] = node;
    }
    check_nesting(&compiler.nodes, &compiler.known)?;
    Ok(compiler.nodes)
}

struct Compiler<'a> {
    schema: &'a Value,
    nodes: Vec<Node>,
    /// Nodes by the places of their subschemas.
    known: BTreeMap<Vec<String>, NodeId>,
    queue: Vec<(NodeId, Vec<String>)>,
}

type Compiled<T> = Result<T, SchemaProblem>;

const fn form(keyword: &'static str, wanted: &'static str) -> SchemaProblem {
    SchemaProblem::Form { keyword, wanted }
}

impl Compiler<'_> {
    /// Returns the node of the subschema at a place; it is compiled later.
    fn node(&mut self, place: &[String]) -> Compiled<NodeId> {
        if let Some(id) = self.known.get(place) {
            return Ok(*id);
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(SchemaProblem::TooMany);
        }
        let id = self.nodes.len();
        self.nodes.push(Node::new());
        self.known.insert(place.to_vec(), id);
        self.queue.push((id, place.to_vec()));
        Ok(id)
    }

    fn below(&mut self, place: &[String], names: &[&str]) -> Compiled<NodeId> {
        let mut place = place.to_vec();
        place.extend(names.iter().map(|name| (*name).to_owned()));
        self.node(&place)
    }

    /// Compiles one subschema.
    fn keywords(&mut self, place: &[String]) -> Compiled<Node> {
        let members = match at(self.schema, place) {
            Some(Value::Bool(true)) => return Ok(Node::new()),
            Some(Value::Bool(false)) => return Ok(vec![Keyword::Never]),
            Some(Value::Map(members)) => members,
            _ => return Err(SchemaProblem::NotSchema),
        };
        let mut node = Node::new();
        let mut object = Members::default();
        for (name, value) in members {
            let keyword = match name.as_str() {
                "properties" => {
                    object.named = self.named(place, "properties", value)?;
                    continue;
                }
                "patternProperties" => {
                    for (pattern, id) in self.named(place, "patternProperties", value)? {
                        object.patterns.push((Pattern::new(&pattern, "")?, id));
                    }
                    continue;
                }
                "additionalProperties" => {
                    object.others = Some(self.below(place, &["additionalProperties"])?);
                    continue;
                }
                "$schema" if value.as_text().map(|draft| draft.trim_end_matches('#')) != Some(DRAFT) => {
                    return Err(SchemaProblem::Draft(value.as_text().unwrap_or_default().to_owned()));
                }
                "$id" if !place.is_empty() => return Err(SchemaProblem::Unsupported("$id within a schema")),
                "if" => Keyword::If {
                    test: self.below(place, &["if"])?,
                    then: members.get("then").map(|_| self.below(place, &["then"])).transpose()?,
                    otherwise: members.get("else").map(|_| self.below(place, &["else"])).transpose()?,
                },
                "contains" => Keyword::Contains {
                    node: self.below(place, &["contains"])?,
                    min: members.get("minContains").map_or(Ok(1), |value| count("minContains", value))?,
                    max: members.get("maxContains").map(|value| count("maxContains", value)).transpose()?,
                },
                "items" => {
                    let prefix = members.get("prefixItems").and_then(Value::as_list).map_or(0, Vec::len);
                    Keyword::Items(prefix, self.below(place, &["items"])?)
                }
                name if DESCRIBING.contains(&name) || name.starts_with("x-") => continue,
                name => match UNSUPPORTED.iter().find(|known| **known == name) {
                    Some(known) => return Err(SchemaProblem::Unsupported(known)),
                    None => self.keyword(place, name, value)?,
                },
            };
            node.push(keyword);
        }
        if !object.named.is_empty() || !object.patterns.is_empty() || object.others.is_some() {
            node.push(Keyword::Members(object));
        }
        Ok(node)
    }

    /// Compiles a keyword that depends on no other keyword.
    fn keyword(&mut self, place: &[String], name: &str, value: &Value) -> Compiled<Keyword> {
        Ok(match name {
            "type" => Keyword::Type(types(value)?),
            "const" => Keyword::Const(value.clone()),
            "enum" => {
                let mut values = value.as_list().ok_or(form("enum", "a list of values"))?.clone();
                values.sort_by(|a, b| compare(Some(a), Some(b)));
                Keyword::Enum(values)
            }
            "minimum" => Keyword::Bound(Bound::Minimum, number("minimum", value)?),
            "exclusiveMinimum" => Keyword::Bound(Bound::ExclusiveMinimum, number("exclusiveMinimum", value)?),
            "maximum" => Keyword::Bound(Bound::Maximum, number("maximum", value)?),
            "exclusiveMaximum" => Keyword::Bound(Bound::ExclusiveMaximum, number("exclusiveMaximum", value)?),
            "multipleOf" => {
                let divisor = number("multipleOf", value)?;
                if compare(Some(&divisor), Some(&Value::Int(0))).is_le() {
                    return Err(form("multipleOf", "a number above 0"));
                }
                Keyword::MultipleOf(divisor)
            }
            "minLength" => Keyword::AtLeast(Counted::Characters, count("minLength", value)?),
            "maxLength" => Keyword::AtMost(Counted::Characters, count("maxLength", value)?),
            "minItems" => Keyword::AtLeast(Counted::Items, count("minItems", value)?),
            "maxItems" => Keyword::AtMost(Counted::Items, count("maxItems", value)?),
            "minProperties" => Keyword::AtLeast(Counted::Members, count("minProperties", value)?),
            "maxProperties" => Keyword::AtMost(Counted::Members, count("maxProperties", value)?),
            "pattern" => {
                let source = value.as_text().ok_or(form("pattern", "a regular expression"))?;
                Keyword::Pattern(Pattern::new(source, "")?)
            }
            "format" => {
                let name = value.as_text().ok_or(form("format", "the name of a format"))?;
                Keyword::Format(Format::named(name).ok_or_else(|| SchemaProblem::Format(name.to_owned()))?)
            }
            "uniqueItems" => {
                let Value::Bool(unique) = value else { return Err(form("uniqueItems", "true or false")) };
                if *unique { Keyword::Unique } else { Keyword::All(Vec::new()) }
            }
            "prefixItems" => Keyword::PrefixItems(self.listed(place, "prefixItems", value)?),
            "required" => Keyword::Required(names("required", value)?),
            "dependentRequired" => {
                let wrong = form("dependentRequired", "an object of lists of names");
                let entries = value.as_map().ok_or(wrong)?.iter();
                let read = |(name, value): (&String, &Value)| Ok((name.clone(), names("dependentRequired", value)?));
                Keyword::DependentRequired(entries.map(read).collect::<Compiled<_>>()?)
            }
            "dependentSchemas" => Keyword::DependentSchemas(self.named(place, "dependentSchemas", value)?),
            "propertyNames" => Keyword::Names(self.below(place, &["propertyNames"])?),
            "allOf" => Keyword::All(self.some("allOf", place, value)?),
            "anyOf" => Keyword::Any(self.some("anyOf", place, value)?),
            "oneOf" => Keyword::One(self.some("oneOf", place, value)?),
            "not" => Keyword::Not(self.below(place, &["not"])?),
            "$ref" => {
                let text = value.as_text().ok_or(form("$ref", "a text such as \"#/$defs/name\""))?;
                Keyword::Ref(self.reference(text)?)
            }
            other => return Err(SchemaProblem::UnknownKeyword(other.to_owned())),
        })
    }

    /// Returns the node that a `$ref` leads to.
    fn reference(&mut self, text: &str) -> Compiled<NodeId> {
        let place =
            text.strip_prefix('#').and_then(pointer_of).ok_or_else(|| SchemaProblem::RefOutside(text.into()))?;
        if at(self.schema, &place).is_none() {
            return Err(SchemaProblem::RefNowhere(text.to_owned()));
        }
        self.node(&place)
    }

    /// Returns the nodes of an object of subschemas.
    fn named(&mut self, place: &[String], keyword: &'static str, value: &Value) -> Compiled<BTreeMap<String, NodeId>> {
        let entries = value.as_map().ok_or(form(keyword, "an object of schemas"))?;
        entries.keys().map(|name| Ok((name.clone(), self.below(place, &[keyword, name])?))).collect()
    }

    /// Returns the nodes of a list of subschemas.
    fn listed(&mut self, place: &[String], keyword: &'static str, value: &Value) -> Compiled<Vec<NodeId>> {
        let items = value.as_list().ok_or(form(keyword, "a list of schemas"))?;
        (0..items.len()).map(|index| self.below(place, &[keyword, &index.to_string()])).collect()
    }

    fn some(&mut self, keyword: &'static str, place: &[String], value: &Value) -> Compiled<Vec<NodeId>> {
        let nodes = self.listed(place, keyword, value)?;
        if nodes.is_empty() { Err(form(keyword, "a list of at least one schema")) } else { Ok(nodes) }
    }
}

/// Parses the pointer of a URI fragment, in which `%25` stands for a percent sign.
fn pointer_of(fragment: &str) -> Option<Vec<String>> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    if text.is_empty() { Some(Vec::new()) } else { pointer(&text) }
}

fn types(value: &Value) -> Compiled<Vec<Type>> {
    let wrong = form("type", "null, boolean, integer, number, string, array or object, or a list of these");
    let one = |value: &Value| value.as_text().and_then(Type::named).ok_or(wrong.clone());
    match value.as_list() {
        Some(items) if !items.is_empty() => items.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

fn count(keyword: &'static str, value: &Value) -> Compiled<u64> {
    let whole = if let Value::Float(number) = value {
        (number.fract() == 0.0 && (0.0..=9e15).contains(number)).then_some(*number as u64)
    } else {
        value.as_int().and_then(|number| number.try_into().ok())
    };
    whole.ok_or(form(keyword, "a whole number, 0 or above"))
}

fn number(keyword: &'static str, value: &Value) -> Compiled<Value> {
    if matches!(value, Value::Int(_) | Value::Float(_)) { Ok(value.clone()) } else { Err(form(keyword, "a number")) }
}

fn names(keyword: &'static str, value: &Value) -> Compiled<Vec<String>> {
    let names: Option<Vec<String>> =
        value.as_list().and_then(|names| names.iter().map(|name| name.as_text().map(str::to_owned)).collect());
    names.ok_or(form(keyword, "a list of names"))
}

/// Refuses a schema whose evaluation on one value would never end, or would nest too deep.
fn check_nesting(nodes: &[Node], known: &BTreeMap<Vec<String>, NodeId>) -> Result<(), SchemaError> {
    let endless = |id: NodeId| {
        let place = known.iter().find(|(_, known)| **known == id).map(|(place, _)| show(place));
        SchemaError { pointer: place.unwrap_or_default(), problem: SchemaProblem::Endless(NESTED_MAX) }
    };
    // Nodes in the order of their nesting: first those that nest no others, then those that nest only these, and so on.
    let inner: Vec<BTreeSet<NodeId>> =
        nodes.iter().map(|node| node.iter().flat_map(Keyword::in_place).collect()).collect();
    let mut left: Vec<usize> = inner.iter().map(BTreeSet::len).collect();
    let mut outer: Vec<Vec<NodeId>> = vec![Vec::new(); nodes.len()];
    for (id, inner) in inner.iter().enumerate() {
        inner.iter().for_each(|of| outer[*of].push(id));
    }
    let mut height = vec![0; nodes.len()];
    let mut ready: Vec<NodeId> = (0..nodes.len()).filter(|id| left[*id] == 0).collect();
    while let Some(id) = ready.pop() {
        if height[id] > NESTED_MAX {
            return Err(endless(id));
        }
        for of in &outer[id] {
            height[*of] = height[*of].max(height[id] + 1);
            left[*of] -= 1;
            if left[*of] == 0 {
                ready.push(*of);
            }
        }
    }
    left.iter().position(|left| *left > 0).map_or(Ok(()), |id| Err(endless(id)))
}
