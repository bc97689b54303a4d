//! Content of documents: a text of tokens, a text for any edits, fields, perhaps a list of items that nests, and
//! members ([`super::members`]).
//!
//! An item is a token alone or `{ body, items }`: it has a text of tokens and, unless it lies deep, a list of its
//! own.

use super::members;
use crate::oracle::tokens_in;
use cosmicsync_protocol::crdt::{Step, TextPaths, Value};

/// The text that holds tokens, which are never deleted.
pub(crate) const BODY: &str = "body";
/// The text for any edits.
pub(crate) const DRAFT: &str = "draft";
/// The list of items.
pub(crate) const ITEMS: &str = "items";
/// Deepest nesting of items.
const DEPTH: usize = 3;

/// Returns the paths of the texts that merge.
pub(crate) fn text_paths() -> TextPaths {
    let body = |depth| format!("{}{BODY}", format!("{ITEMS}.*.").repeat(depth));
    (0..=DEPTH).map(body).chain([DRAFT.to_owned()]).chain(members::paths()).collect()
}

/// Places for tokens.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Room {
    /// Texts of tokens, the document's own first, with their content.
    pub(super) texts: Vec<(Vec<Step>, String)>,
    /// Lists of items, with their lengths.
    pub(super) lists: Vec<(Vec<Step>, usize)>,
}

impl Room {
    /// Finds the places in a document or an item.
    pub(super) fn find(&mut self, value: &Value, at: &[Step]) {
        let under = |key: &str| [at, &[Step::from(key)]].concat();
        if at.is_empty() || value.entry(BODY).is_some() {
            let text = value.entry(BODY).and_then(Value::as_text).unwrap_or_default();
            self.texts.push((under(BODY), text.to_owned()));
        }
        let Some(items) = value.entry(ITEMS).and_then(Value::as_list) else { return };
        self.lists.push((under(ITEMS), items.len()));
        for (index, item) in items.iter().enumerate().filter(|(_, item)| item.as_map().is_some()) {
            self.find(item, &[under(ITEMS), vec![Step::from(index)]].concat());
        }
    }
}

/// Makes an item for a list at `list`.
pub(super) fn item(list: &[Step], token: String, alone: bool) -> Value {
    if alone {
        return Value::from(token);
    }
    let depth = list.len().div_ceil(2);
    let body = [(BODY, Value::from(token))];
    let items = (depth < DEPTH).then(|| (ITEMS, Value::List(Vec::new())));
    body.into_iter().chain(items).collect()
}

/// Returns all tokens of a document.
pub(crate) fn tokens_of(value: &Value) -> Vec<u64> {
    match value {
        Value::Text(text) => tokens_in(text),
        Value::List(items) => items.iter().flat_map(tokens_of).collect(),
        Value::Map(entries) => entries.values().flat_map(tokens_of).collect(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> String {
        format!("<SECRET-{number}:>")
    }

    #[test]
    fn items_nest_up_to_a_depth_and_all_texts_in_them_merge() {
        let mut list = vec![Step::from(ITEMS)];
        let mut deep = 1;
        while let Some(Value::List(_)) = item(&list, token(1), false).entry(ITEMS) {
            list.extend([Step::from(0), Step::from(ITEMS)]);
            deep += 1;
        }
        assert_eq!(deep, DEPTH);
        let body_in = |list: &[Step]| [list, &[Step::from(0), Step::from(BODY)]].concat();
        assert!(text_paths().contains(&body_in(&list)));
        list.extend([Step::from(0), Step::from(ITEMS)]);
        assert!(!text_paths().contains(&body_in(&list)));
    }

    #[test]
    fn tokens_and_room_are_found_in_items_too() {
        let list = [Step::from(ITEMS)];
        let items = vec![item(&list, token(2), true), item(&list, token(3), false)];
        let doc: Value = [(BODY, Value::from(token(1))), (ITEMS, Value::List(items))].into_iter().collect();
        assert_eq!(tokens_of(&doc), [1, 2, 3]);
        let mut room = Room::default();
        room.find(&doc, &[]);
        assert_eq!(room.texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), [token(1), token(3)]);
        assert_eq!(room.lists.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [2, 0]);
    }
}
