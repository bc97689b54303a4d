//! Writes a record as an XML element: the inverse of `import/xml`.

use super::ExportError;
use crate::import::xml::{COMMENT, CONTENT, INSTRUCTION, TEXT, is_character, is_name};
use cosmicsync_protocol::crdt::Value;
use std::collections::BTreeMap;

/// Text before the rows of a collection that was not imported from XML.
pub(super) const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rows>\n";
/// Text after these rows.
pub(super) const TAIL: &str = "\n</rows>\n";
/// Element name of these rows.
pub(super) const ROW: &str = "row";

/// Writes one record.
pub(super) struct Element<'a> {
    /// The order of members; members without a position follow by name.
    pub(super) places: &'a BTreeMap<String, usize>,
    /// Number of the row.
    pub(super) row: u64,
}

type Members = BTreeMap<String, Value>;

impl Element<'_> {
    /// Appends `<name>…</name>`.
    pub(super) fn write(&self, name: &str, value: &Value, out: &mut String) -> Result<(), ExportError> {
        if !is_name(name) {
            return Err(ExportError::NoElement { row: self.row, field: name.to_owned() });
        }
        out.push('<');
        out.push_str(name);
        let start = out.len();
        match value {
            Value::Map(members) => {
                self.attributes(members, out)?;
                let open = out.len();
                out.push('>');
                self.content(members, out)?;
                if out.len() == open + 1 {
                    out.truncate(open);
                    out.push_str("/>");
                    return Ok(());
                }
            }
            Value::List(_) => return Err(ExportError::ListInList { row: self.row, field: name.to_owned() }),
            scalar @ (Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Bytes(_)) => {
                let text = super::cell(Some(scalar));
                if text.is_empty() {
                    out.push_str("/>");
                    return Ok(());
                }
                out.push('>');
                self.text(name, &text, out)?;
            }
        }
        debug_assert!(out.len() > start, "a tag was closed");
        out.push_str("</");
        out.push_str(name);
        out.push('>');
        Ok(())
    }

    fn attributes(&self, members: &Members, out: &mut String) -> Result<(), ExportError> {
        for (key, value) in members.iter().filter(|(key, _)| key.starts_with('@')) {
            let name = &key[1..];
            if !is_name(name) || matches!(value, Value::List(_) | Value::Map(_)) {
                return Err(ExportError::NoElement { row: self.row, field: key.clone() });
            }
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            for c in self.checked(key, &super::cell(Some(value)))?.chars() {
                match c {
                    '"' => out.push_str("&quot;"),
                    '\t' => out.push_str("&#9;"),
                    '\n' => out.push_str("&#10;"),
                    c => escape(c, out),
                }
            }
            out.push('"');
        }
        Ok(())
    }

    fn content(&self, members: &Members, out: &mut String) -> Result<(), ExportError> {
        if let Some(text) = members.get(TEXT) {
            self.text(TEXT, &super::cell(Some(text)), out)?;
        }
        let mut elements: Vec<_> = members.iter().filter(|(key, _)| !key.starts_with(['@', '#'])).collect();
        elements.sort_by_key(|(key, _)| self.places.get(*key).copied().unwrap_or(usize::MAX));
        for (name, value) in elements {
            let items = if let Value::List(items) = value { items.as_slice() } else { core::slice::from_ref(value) };
            items.iter().try_for_each(|item| self.write(name, item, out))?;
        }
        let unknown = members.keys().find(|key| key.starts_with('#') && ![TEXT, CONTENT].contains(&key.as_str()));
        if let Some(key) = unknown {
            return Err(ExportError::NoElement { row: self.row, field: key.clone() });
        }
        let items = members.get(CONTENT).map(|content| content.as_list().ok_or(content)).transpose();
        let wrong = || ExportError::NoElement { row: self.row, field: CONTENT.to_owned() };
        for item in items.map_err(|_| wrong())?.into_iter().flatten() {
            if let Value::Map(one) = item {
                self.one(one, out)?;
            } else if item.as_list().is_some() {
                return Err(wrong());
            } else {
                self.text(CONTENT, &super::cell(Some(item)), out)?;
            }
        }
        Ok(())
    }

    /// Writes a part of mixed content: an object with one member.
    fn one(&self, members: &Members, out: &mut String) -> Result<(), ExportError> {
        let wrong = || ExportError::NoElement { row: self.row, field: CONTENT.to_owned() };
        let (1, Some((name, value))) = (members.len(), members.iter().next()) else { return Err(wrong()) };
        let text = || value.as_text().ok_or_else(wrong).and_then(|text| self.checked(name, text));
        match name.as_str() {
            COMMENT => {
                let text = text()?;
                if text.contains("--") || text.ends_with('-') {
                    return Err(wrong());
                }
                out.extend(["<!--", text, "-->"]);
            }
            INSTRUCTION => {
                let text = text()?;
                if text.contains("?>") || !is_name(text.split_ascii_whitespace().next().unwrap_or_default()) {
                    return Err(wrong());
                }
                out.extend(["<?", text, "?>"]);
            }
            name => self.write(name, value, out)?,
        }
        Ok(())
    }

    fn text(&self, field: &str, text: &str, out: &mut String) -> Result<(), ExportError> {
        self.checked(field, text)?.chars().for_each(|c| escape(c, out));
        Ok(())
    }

    fn checked<'t>(&self, field: &str, text: &'t str) -> Result<&'t str, ExportError> {
        if text.chars().all(is_character) {
            Ok(text)
        } else {
            Err(ExportError::NoCharacter { row: self.row, field: field.to_owned() })
        }
    }
}

fn escape(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        // XML readers turn a bare carriage return into a line feed.
        '\r' => out.push_str("&#13;"),
        c => out.push(c),
    }
}
