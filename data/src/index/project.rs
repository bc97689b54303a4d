//! Computes a document's index rows from its value (`spec/query.md`, section 6).

use super::define::Fields;
use super::key::{cut, push_field};
use crate::query::path::Reached;
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::DocId;
use std::collections::BTreeSet;

/// Largest number of rows of a document in one index. A document with more is in the index's overflow.
pub const ROWS_MAX: usize = 256;

/// Marks the overflow: no tuple begins with this byte, because every tuple begins with the code of a small integer.
const OVERFLOW: u8 = 0xff;

/// The index tuples of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projected {
    /// The tuples, ascending; true for a truncated tuple.
    pub tuples: BTreeSet<(Vec<u8>, bool)>,
    /// Per field: true if it reached or crossed a list.
    pub lists: Vec<bool>,
}

impl Projected {
    /// Returns whether some tuple is truncated.
    pub fn is_cut(&self) -> bool {
        self.tuples.iter().any(|(_, cut)| *cut)
    }
}

/// Returns the tuples under which an index holds a value.
///
/// A field that leads to a list gives a tuple for each item. With too many tuples, or with two such fields, the
/// document is in the overflow, which every scan of the index also reads.
pub fn project(fields: &Fields, value: &Value) -> Projected {
    let reached: Vec<Reached<'_>> = fields.paths().iter().map(|path| path.reach(value)).collect();
    let lists: Vec<bool> = reached.iter().map(Reached::is_multikey).collect();
    let keys: Vec<Vec<Option<&Value>>> = reached.iter().map(Reached::keys).collect();
    let several = keys.iter().filter(|keys| keys.len() > 1).count();
    let count = keys.iter().map(Vec::len).max().unwrap_or(0);
    if several > 1 || count > ROWS_MAX {
        return Projected { tuples: BTreeSet::from([overflow()]), lists };
    }
    let mut tuples = BTreeSet::new();
    for at in 0..count {
        let mut tuple = Vec::new();
        for keys in &keys {
            push_field(keys.get(at).or_else(|| keys.first()).copied().flatten(), &mut tuple);
        }
        tuples.insert(cut(tuple));
    }
    Projected { tuples, lists }
}

/// Returns the tuple of documents in the overflow.
pub fn overflow() -> (Vec<u8>, bool) {
    (vec![OVERFLOW], true)
}

/// Returns the key of a row: index, tuple, document.
pub fn term_key(index: u32, tuple: &[u8], doc: DocId) -> Vec<u8> {
    [&index.to_be_bytes(), tuple, doc.as_ref()].concat()
}

/// Splits a row's key into the tuple and the document.
pub fn term_parts(key: &[u8]) -> Option<(&[u8], DocId)> {
    let (rest, doc) = key.split_last_chunk::<16>()?;
    Some((rest.get(4..)?, DocId(*doc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn projected(fields: &[&str], json: &str) -> Projected {
        project(&Fields::parse(fields.iter().copied()).unwrap(), &json::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_document_stands_under_each_item_of_one_list() {
        let one = projected(&["a", "b"], r#"{"a":1,"b":"x"}"#);
        assert_eq!((one.tuples.len(), one.lists), (1, vec![false, false]));
        let three = projected(&["a", "b"], r#"{"a":[1,2,2,3],"b":"x"}"#);
        assert_eq!((three.tuples.len(), three.lists), (3, vec![true, false]));
        assert_eq!(projected(&["a", "b"], "{}").tuples.len(), 1, "also where both fields are missing");
    }

    #[test]
    fn what_would_be_too_many_rows_overflows() {
        let overflows = |fields: &[&str], json: &str| projected(fields, json).tuples.contains(&overflow());
        let many: Vec<String> = (0..=ROWS_MAX).map(|number| number.to_string()).collect();
        assert!(overflows(&["a"], &format!("{{\"a\":[{}]}}", many.join(","))));
        assert!(!overflows(&["a"], &format!("{{\"a\":[{}]}}", many[1..].join(","))));
        assert!(overflows(&["a", "b"], r#"{"a":[1,2],"b":[1,2]}"#));
        assert!(!overflows(&["a", "b"], r#"{"a":[1,2],"b":[1]}"#));
    }

    #[test]
    fn keys_come_apart_again() {
        let doc = DocId([7; 16]);
        assert_eq!(term_parts(&term_key(9, b"tuple", doc)), Some((&b"tuple"[..], doc)));
        assert_eq!(term_parts(&[0; 16]), None);
    }
}
