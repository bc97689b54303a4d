//! Converts one XML element to a value (`spec/documents.md`, section 8).

use super::is_name;
use crate::import::ImportError;
use cosmicsync_protocol::crdt::{DEPTH_MAX, Value};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::collections::BTreeMap;

/// Name of the member with an element's text, if it also has attributes.
pub(crate) const TEXT: &str = "#text";
/// Name of the member with the texts and elements in order, for content whose order members cannot keep.
pub(crate) const CONTENT: &str = "#content";
/// Name of the only member of a comment in such content.
pub(crate) const COMMENT: &str = "#comment";
/// Name of the only member of a processing instruction in such content.
pub(crate) const INSTRUCTION: &str = "#pi";

/// Largest number of element names whose order is kept.
const NAMES_MAX: usize = 4096;

/// The names of elements, in the order of their first appearance. An export writes members in this order.
#[derive(Debug)]
pub(super) struct Names {
    all: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Names {
    pub(super) fn new(all: Vec<String>) -> Self {
        let places = all.iter().cloned().zip(0..).collect();
        Self { all, places }
    }

    pub(super) fn all(&self) -> &[String] {
        &self.all
    }

    fn add(&mut self, name: &str) {
        if self.all.len() < NAMES_MAX && !self.places.contains_key(name) {
            self.places.insert(name.to_owned(), self.all.len());
            self.all.push(name.to_owned());
        }
    }

    /// Returns whether elements are in the order in which members would be written.
    fn keep_order<'a>(&self, elements: impl Iterator<Item = &'a str>) -> bool {
        let mut last: Option<(&str, usize)> = None;
        for name in elements {
            let Some(place) = self.places.get(name) else { return false };
            if last.is_some_and(|(before, at)| before != name && at >= *place) {
                return false;
            }
            last = Some((name, *place));
        }
        true
    }
}

/// An element being read.
struct Open {
    name: String,
    attributes: BTreeMap<String, Value>,
    content: Vec<Node>,
}

/// A part of an element's content.
enum Node {
    Text(String),
    Element(String, Value),
    Aside(&'static str, String),
}

/// Line and number of a row, for its errors.
type At = (u64, u64);

fn wrong((line, row): At, what: impl core::fmt::Display) -> ImportError {
    ImportError::Xml { line, what: format!("(row {row}) {what}") }
}

/// Parses one row: always a map.
pub(super) fn parse(bytes: &[u8], at: At, names: &mut Names) -> Result<Value, ImportError> {
    let text = core::str::from_utf8(bytes).map_err(|_| ImportError::NotUtf8 { line: at.0 })?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let done = match reader.read_event().map_err(|error| wrong(at, error))? {
            Event::Start(tag) => {
                names.add(tag.name().into_inner());
                open.push(begin(&tag, at)?);
                None
            }
            Event::Empty(tag) => {
                names.add(tag.name().into_inner());
                Some(begin(&tag, at)?)
            }
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                add(&mut open, Node::Text(characters(&text.xml10_content(), at)?));
                None
            }
            Event::CData(text) => {
                add(&mut open, Node::Text(characters(&text.xml10_content(), at)?));
                None
            }
            Event::GeneralRef(reference) => {
                add(&mut open, Node::Text(referred(&reference, at)?));
                None
            }
            Event::Comment(text) => {
                add(&mut open, Node::Aside(COMMENT, characters(&text.xml10_content(), at)?));
                None
            }
            Event::PI(text) => {
                add(&mut open, Node::Aside(INSTRUCTION, characters(&text.into_inner(), at)?));
                None
            }
            Event::Decl(_) | Event::DocType(_) => return Err(wrong(at, "a declaration stands inside a record")),
            Event::Eof => return Err(wrong(at, "the record has no end")),
        };
        let Some(element) = done else { continue };
        let name = element.name.clone();
        let value = value_of(element, names);
        if let Some(around) = open.last_mut() {
            around.content.push(Node::Element(name, value));
            continue;
        }
        let row = match value.as_text() {
            Some("") => Value::Map(BTreeMap::new()),
            Some(text) => [(TEXT, text)].into_iter().collect(),
            None => value,
        };
        let deep = row.depth() > DEPTH_MAX;
        return if deep { Err(wrong(at, "elements nest too deep; flatten them")) } else { Ok(row) };
    }
}

/// Checks that the text around the rows is well-formed.
pub(super) fn check(text: &str, line: u64) -> Result<(), ImportError> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => return Ok(()),
            Ok(Event::Start(tag) | Event::Empty(tag)) => drop(begin(&tag, (line, 0))?),
            Ok(_) => {}
            Err(error) => {
                return Err(ImportError::Xml { line, what: format!("what surrounds the records is not XML: {error}") });
            }
        }
    }
}

fn begin(tag: &BytesStart<'_>, at: At) -> Result<Open, ImportError> {
    let name = tag.name().into_inner().to_owned();
    let mut attributes = BTreeMap::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| wrong(at, format_args!("<{name}>: {error}")))?;
        let key = attribute.key.into_inner();
        if !is_name(key) || attribute.value.contains('<') {
            return Err(wrong(
                at,
                format_args!("<{name}>: '{key}' is not an attribute; write &lt; for the character <"),
            ));
        }
        let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0);
        let value = value.map_err(|error| wrong(at, format_args!("attribute {key} of <{name}>: {error}")))?;
        attributes.insert(format!("@{key}"), Value::Text(characters(&value, at)?));
    }
    Ok(Open { name, attributes, content: Vec::new() })
}

/// Checks that a text holds only characters that XML allows.
fn characters(text: &str, at: At) -> Result<String, ImportError> {
    match text.chars().find(|c| !is_character(*c)) {
        Some(c) => Err(wrong(at, format_args!("the character U+{:04X} is not allowed in XML", u32::from(c)))),
        None => Ok(text.to_owned()),
    }
}

/// Returns whether XML allows a character.
pub(crate) const fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn referred(reference: &BytesRef<'_>, at: At) -> Result<String, ImportError> {
    let character = reference.resolve_char_ref().map_err(|error| wrong(at, error))?;
    if let Some(character) = character {
        return characters(character.encode_utf8(&mut [0; 4]), at);
    }
    let name = reference.xml10_content();
    resolve_predefined_entity(&name).map(str::to_owned).ok_or_else(|| {
        wrong(at, format_args!("the entity &{name}; is not one of XML's own; write the character itself"))
    })
}

/// Adds a node to the innermost open element; adjacent texts are merged.
fn add(open: &mut [Open], node: Node) {
    let Some(element) = open.last_mut() else { return };
    match (node, element.content.last_mut()) {
        (Node::Text(more), Some(Node::Text(text))) => text.push_str(&more),
        (node, _) => element.content.push(node),
    }
}

fn value_of(element: Open, names: &Names) -> Value {
    let Open { mut attributes, content, .. } = element;
    let plain = content.iter().all(|node| matches!(node, Node::Text(_)));
    if plain {
        let text: String = content
            .into_iter()
            .filter_map(|node| if let Node::Text(text) = node { Some(text) } else { None })
            .collect();
        if attributes.is_empty() {
            return Value::Text(text);
        }
        if !text.is_empty() {
            attributes.insert(TEXT.to_owned(), Value::Text(text));
        }
        return Value::Map(attributes);
    }
    let blank = |node: &Node| matches!(node, Node::Text(text) if text.trim_ascii().is_empty());
    let mixed = content.iter().any(|node| matches!(node, Node::Text(_)) && !blank(node));
    let aside = content.iter().any(|node| matches!(node, Node::Aside(..)));
    let elements =
        content.iter().filter_map(|node| if let Node::Element(name, _) = node { Some(name.as_str()) } else { None });
    if mixed || aside || !names.keep_order(elements) {
        let kept = content.into_iter().filter(|node| mixed || !blank(node)).map(|node| match node {
            Node::Text(text) => Value::Text(text),
            Node::Element(name, value) => [(name, value)].into_iter().collect(),
            Node::Aside(what, text) => [(what, text)].into_iter().collect(),
        });
        attributes.insert(CONTENT.to_owned(), Value::List(kept.collect()));
        return Value::Map(attributes);
    }
    let mut grouped: Vec<(String, Vec<Value>)> = Vec::new();
    for node in content {
        let Node::Element(name, value) = node else { continue };
        match grouped.last_mut() {
            Some((last, values)) if *last == name => values.push(value),
            _ => grouped.push((name, vec![value])),
        }
    }
    for (name, mut values) in grouped {
        let value = if values.len() == 1 { values.swap_remove(0) } else { Value::List(values) };
        attributes.insert(name, value);
    }
    Value::Map(attributes)
}
