//! A minimal XML parser for comparisons, without any of the product's code.
//!
//! An element is `{"name", "attributes", "content"}`; its content is elements and texts. White space between elements
//! is dropped if there is no text beside them.

use crate::Failure;
use serde_json::{Map, Value, json};

/// Parses the outermost element.
pub(super) fn parse(text: &str) -> Result<Value, Failure> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut open: Vec<(String, Map<String, Value>, Vec<Value>)> = Vec::new();
    loop {
        let Some(at) = rest.find('<') else { return Err("the XML ends inside an element".into()) };
        if let Some((.., content)) = open.last_mut()
            && at > 0
        {
            add_text(content, &unescaped(&rest[..at])?);
        }
        rest = &rest[at..];
        let until = |end: &str| rest.find(end).map(|at| at + end.len()).ok_or("markup has no end");
        if rest.starts_with("<!--") {
            rest = &rest[until("-->")?..];
        } else if rest.starts_with("<![CDATA[") {
            let end = until("]]>")?;
            if let Some((.., content)) = open.last_mut() {
                add_text(content, &rest[9..end - 3]);
            }
            rest = &rest[end..];
        } else if rest.starts_with("<?") {
            rest = &rest[until("?>")?..];
        } else if rest.starts_with("<!") {
            let end = if rest[..until(">")?].contains('[') { until("]>")? } else { until(">")? };
            rest = &rest[end..];
        } else if rest.starts_with("</") {
            rest = &rest[until(">")?..];
            let (name, attributes, content) = open.pop().ok_or("an element ends that never began")?;
            if let Some(done) = close(&mut open, name, attributes, content) {
                return Ok(done);
            }
        } else {
            let (name, attributes, closed, after) = tag(rest)?;
            rest = after;
            if !closed {
                open.push((name, attributes, Vec::new()));
            } else if let Some(done) = close(&mut open, name, attributes, Vec::new()) {
                return Ok(done);
            }
        }
    }
}

type Open = (String, Map<String, Value>, Vec<Value>);

/// Ends an element. Returns it if it is the outermost one.
fn close(open: &mut [Open], name: String, attributes: Map<String, Value>, content: Vec<Value>) -> Option<Value> {
    let blank = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
    let (elements, texts) =
        (content.iter().any(Value::is_object), content.iter().any(|value| value.is_string() && !blank(value)));
    let content: Vec<Value> = content.into_iter().filter(|value| !elements || texts || !blank(value)).collect();
    let element = json!({ "name": name, "attributes": attributes, "content": content });
    match open.last_mut() {
        Some((.., around)) => around.push(element),
        None => return Some(element),
    }
    None
}

fn add_text(content: &mut Vec<Value>, more: &str) {
    match content.last_mut() {
        Some(Value::String(text)) => text.push_str(more),
        _ => content.push(more.into()),
    }
}

/// A tag: its name, its attributes, whether it is closed, and the text after it.
type Tag<'t> = (String, Map<String, Value>, bool, &'t str);

/// Parses a tag: its name, its attributes, whether it is closed, and the text after it.
fn tag(text: &str) -> Result<Tag<'_>, Failure> {
    let mut rest = &text[1..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '/' || c == '>').ok_or("a tag has no end")?;
    let (name, mut attributes) = (rest[..end].to_owned(), Map::new());
    rest = &rest[end..];
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return Ok((name, attributes, true, after));
        }
        if let Some(after) = rest.strip_prefix('>') {
            return Ok((name, attributes, false, after));
        }
        let (key, after) = rest.split_once('=').ok_or("an attribute has no value")?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or("a value has no quotes")?;
        let (value, after) = after[1..].split_once(quote).ok_or("a value has no end")?;
        let value = value.replace(['\n', '\t', '\r'], " ");
        attributes.insert(key.trim().to_owned(), unescaped(&value)?.into());
        rest = after;
    }
}

fn unescaped(text: &str) -> Result<String, Failure> {
    let mut plain = String::new();
    let normal = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut parts = normal.split('&');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, after) = part.split_once(';').ok_or("an entity has no end")?;
        let number = name.strip_prefix('#').map(|digits| match digits.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => digits.parse(),
        });
        plain.push(match (name, number) {
            ("amp", _) => '&',
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("quot", _) => '"',
            ("apos", _) => '\'',
            (_, Some(number)) => number.ok().and_then(char::from_u32).ok_or("an entity is no character")?,
            _ => return Err(format!("the entity {name} is not known").into()),
        });
        plain.push_str(after);
    }
    Ok(plain)
}

/// Takes the records out of a document: the most elements of one name within one element. Returns them with their path.
pub(super) fn take_records(document: &mut Value) -> Option<(Vec<Value>, String)> {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    fn most(element: &Value, path: &str, found: &mut (usize, String)) {
        let content = element.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let names = content.iter().filter_map(|child| child.get("name")?.as_str());
        for one in names.clone() {
            let count = names.clone().filter(|other| *other == one).count();
            if count > found.0 {
                *found = (count, format!("{path}/{one}"));
            }
        }
        if path.matches('/').count() < 3 {
            content.iter().filter_map(|child| Some((child, child.get("name")?.as_str()?))).for_each(|(child, name)| {
                most(child, &format!("{path}/{name}"), found);
            });
        }
    }
    let mut found = (0, String::new());
    most(document, &name(document), &mut found);
    let path = (found.0 > 0).then_some(found.1)?;
    let steps: Vec<&str> = path.split('/').collect();
    let (row, around) = steps.split_last()?;
    let mut place = document;
    for step in &around[1..] {
        let content = place.get_mut("content")?.as_array_mut()?;
        place = content.iter_mut().find(|child| child.get("name").and_then(Value::as_str) == Some(step))?;
    }
    let content = place.get_mut("content")?.as_array_mut()?;
    let (rows, rest) = std::mem::take(content).into_iter().partition(|child| name(child) == *row);
    *content = rest;
    Some((rows, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_a_tree() {
        let text = "<?xml version='1.0'?><!DOCTYPE r [<!ELEMENT r ANY>]>\n<r a='1&amp;2'> <x>t <b/>u</x>\n<x><![CDATA[<]]>&#65;</x><!-- c --> </r>";
        let mut tree = parse(text).unwrap();
        assert_eq!(tree["attributes"], json!({ "a": "1&2" }));
        let (rows, path) = take_records(&mut tree).unwrap();
        assert_eq!((path.as_str(), rows.len()), ("r/x", 2));
        assert_eq!(rows[0]["content"], json!(["t ", { "name": "b", "attributes": {}, "content": [] }, "u"]));
        assert_eq!((&rows[1]["content"], &tree["content"]), (&json!(["<A"]), &json!([])));
        assert!(parse("<a><b></a").is_err());
    }
}
