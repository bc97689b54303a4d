//! Small documents for tests: a title and a text that merges character by character.

use crate::crdt::{Change, Step, Value};
use crate::documents::Edit;
use crate::ids::DocId;

/// The path of the text.
pub const BODY: &[&str] = &["body"];

/// Makes a note.
pub fn note(text: &str) -> Value {
    [("title", Value::from("a note")), ("body", Value::from(text))].into_iter().collect()
}

/// Returns the text of a note.
pub fn body(value: &Value) -> &str {
    value.entry("body").and_then(Value::as_text).unwrap_or_default()
}

/// Makes an insertion into the text.
pub fn insert(at: usize, text: &str) -> Edit {
    Edit::Apply(vec![Change::Splice { path: vec![Step::Key("body".into())], at, delete: 0, insert: text.into() }])
}

/// Makes a write of a field of the note.
pub fn set(field: &str, value: impl Into<Value>) -> Edit {
    Edit::Apply(vec![Change::Set { path: vec![Step::Key(field.into())], value: value.into() }])
}

/// Returns the id of a numbered note.
pub fn doc_id(number: u32) -> DocId {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    DocId(id)
}
