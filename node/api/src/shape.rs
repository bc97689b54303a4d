//! Shapes of streamed answers.

use cosmicsync_node::service::{Item, Reply};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{ConflictView, DocumentView, RevisionView};
use crate::stream::Shape;

/// One JSON object with a list of items and what is known at the end: `{"docs":[...],"bookmark":null}`.
pub(crate) struct ListOf {
    name: &'static str,
    count: u64,
}

impl ListOf {
    /// A list that is the member of this name.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, count: 0 }
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        let before = if self.count == 0 { format!("{{\"{}\":[", self.name) } else { ",".to_owned() };
        out.extend_from_slice(before.as_bytes());
        self.count += 1;
    }
}

impl Shape for ListOf {
    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        match item {
            Item::Document(document) => {
                self.open(out);
                write(&DocumentView::from(document), out);
            }
            Item::Revision(revision) => {
                self.open(out);
                write(&RevisionView::from(revision), out);
            }
            Item::Conflict(conflict) => {
                self.open(out);
                write(&ConflictView::from(conflict), out);
            }
            Item::Progress(_) | Item::Change(_) | Item::Live(_) | Item::Chunk(_) | Item::Bytes(_) => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands do not answer with lists")]
    fn end(&mut self, reply: Reply, out: &mut Vec<u8>) {
        let mut members = Map::new();
        match reply {
            Reply::Queried(queried) => {
                members.insert("bookmark".to_owned(), queried.bookmark.into());
                members.extend(queried.warning.map(|warning| ("warning".to_owned(), Value::from(warning))));
            }
            Reply::Listed(listed) => {
                members.insert("more".to_owned(), listed.more.into());
            }
            _ => {}
        }
        if self.count == 0 {
            self.open(out);
        }
        out.push(b']');
        for (name, value) in members {
            out.push(b',');
            write(&name, out);
            out.push(b':');
            write(&value, out);
        }
        out.push(b'}');
    }
}

/// A document a line.
pub(crate) struct Lines;

impl Shape for Lines {
    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        if let Item::Document(document) = item {
            write(&DocumentView::from(document), out);
            out.push(b'\n');
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only a page has more to say")]
    fn end(&mut self, reply: Reply, out: &mut Vec<u8>) {
        match reply {
            Reply::Queried(queried) if queried.bookmark.is_some() => {
                write(&serde_json::json!({ "bookmark": queried.bookmark }), out);
                out.push(b'\n');
            }
            _ => {}
        }
    }
}

/// The bytes of a file.
pub(crate) struct File;

impl Shape for File {
    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        if let Item::Chunk(text) = item {
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn end(&mut self, _: Reply, _: &mut Vec<u8>) {}
}

/// Appends JSON on one line.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    assert!(written.is_ok(), "a value has string keys and a vector takes every byte");
}
