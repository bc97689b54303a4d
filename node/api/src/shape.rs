//! Formats of streamed answers.

use cosmicsync_node::service::{Item, Reply};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{BatchView, ChangeView, ConflictView, DocumentView, RevisionView};
use crate::stream::Shape;

/// One JSON object with a list of items, and members that are known only at the end: `{"docs":[...],"bookmark":null}`.
pub(crate) struct ListOf {
    name: &'static str,
    count: u64,
}

impl ListOf {
    /// Returns the format of a list in the member of this name.
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
            Item::Change(change) => {
                self.open(out);
                write(&ChangeView::from(change), out);
            }
            Item::Progress(_) | Item::Live(_) | Item::Chunk(_) | Item::Bytes(_) => {}
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
            Reply::Changes { cursor, more } => {
                members.insert("cursor".to_owned(), cursor.into());
                members.insert("more".to_owned(), more.into());
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

/// One document per line.
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

/// The bytes of a backup.
pub(crate) struct Bytes;

impl Shape for Bytes {
    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        if let Item::Bytes(bytes) = item {
            out.extend_from_slice(&bytes);
        }
    }

    fn end(&mut self, _: Reply, _: &mut Vec<u8>) {}
}

/// Changes as server-sent events.
pub(crate) struct ChangeEvents;

impl Shape for ChangeEvents {
    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        if let Item::Change(change) = item {
            let change = ChangeView::from(change);
            out.extend(event(Some(&change.cursor), "change", &change));
        }
    }

    fn end(&mut self, _: Reply, _: &mut Vec<u8>) {}
}

/// Batches of a live query as server-sent events.
pub(crate) struct LiveEvents;

impl Shape for LiveEvents {
    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        if let Item::Live(batch) = item {
            let (name, batch) = (if batch.reset { "ready" } else { "batch" }, BatchView::from(batch));
            out.extend(event(Some(&batch.cursor), name, &batch));
        }
    }

    fn end(&mut self, _: Reply, _: &mut Vec<u8>) {}
}

/// Returns a server-sent event. Neither JSON on one line nor a cursor contains a line break.
pub(crate) fn event(id: Option<&str>, name: &str, data: &impl Serialize) -> Vec<u8> {
    let id = id.filter(|id| !id.contains(['\n', '\r', '\0'])).map(|id| format!("id: {id}\n")).unwrap_or_default();
    let mut out = format!("{id}event: {name}\ndata: ").into_bytes();
    write(data, &mut out);
    out.extend_from_slice(b"\n\n");
    out
}

/// Appends JSON on one line.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    assert!(written.is_ok(), "a value has string keys and a vector takes every byte");
}
