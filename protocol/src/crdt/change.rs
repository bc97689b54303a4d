//! Changes that an application requests of a document, and the reasons for refusing them (`spec/documents.md`,
//! section 5).

use super::{DEPTH_MAX, Step, Value};

/// One edit. Paths start at the document's root map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts a value at the entry of a map, new or old, or in place of an existing item of a list.
    ///
    /// A string put in place of a text edits that text: only the stretch between the common beginning and end
    /// is replaced, so that concurrent edits survive.
    Set {
        /// Place of the entry or item; not empty.
        path: Vec<Step>,
        /// The new value.
        value: Value,
    },
    /// Removes the entry of a map or the item of a list.
    Remove {
        /// Place of the entry or item; not empty.
        path: Vec<Step>,
    },
    /// Inserts items into a list.
    Insert {
        /// The list.
        path: Vec<Step>,
        /// Index of the item that follows; the list's length appends.
        index: usize,
        /// The items.
        values: Vec<Value>,
    },
    /// Deletes items of a list.
    Delete {
        /// The list.
        path: Vec<Step>,
        /// The first item.
        index: usize,
        /// Number of items.
        len: usize,
    },
    /// Replaces a stretch of a text. Positions count Unicode scalar values.
    Splice {
        /// The text.
        path: Vec<Step>,
        /// Position of the stretch.
        at: usize,
        /// Number of characters to delete.
        delete: usize,
        /// Text to insert in place of the deleted characters.
        insert: String,
    },
    /// Adds to a counter, which is made if the entry is absent. A whole number becomes a counter.
    Add {
        /// An entry of a map.
        path: Vec<Step>,
        /// Amount; a negative one is subtracted.
        by: i64,
    },
}

/// Reason why changes were refused. Nothing was changed, unless the error is [`ChangeError::Broken`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The value of the document is not an object.
    #[error("a document must be an object")]
    RootNotMap,
    /// A path was empty where the document itself is not allowed.
    #[error("the document itself cannot be set or removed")]
    Root,
    /// Change number `.0` goes through a place that does not exist.
    #[error("change {0}: there is nothing at its path")]
    NoSuchPath(usize),
    /// Change number `.0` does not fit the kind of its container.
    #[error("change {0}: the value at its path has another type")]
    WrongKind(usize),
    /// Change number `.0` reaches past the end of a list or text.
    #[error("change {0}: a position is past the end")]
    PastEnd(usize),
    /// The value would nest deeper than [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A float is infinite or not a number.
    #[error("a number is not finite")]
    NotFinite,
    /// The changes don't fit in an update by themselves: split them.
    #[error("the changes are larger than one update may be")]
    TooLarge,
    /// The changes don't fit in one update with those before them: take the update, then try again.
    #[error("the changes do not fit into the present update")]
    Full,
    /// Loro refused a valid change.
    #[error("the document engine refused a valid change")]
    Refused,
    /// The document is broken and must be rebuilt from its updates.
    #[error(transparent)]
    Broken(#[from] super::Broken),
}

/// Checks that a value may be placed `depth` levels below the document.
pub(super) fn admissible(value: &Value, depth: usize) -> Result<(), ChangeError> {
    let mut rest = vec![(value, depth)];
    while let Some((value, depth)) = rest.pop() {
        match value {
            Value::List(_) | Value::Map(_) if depth >= DEPTH_MAX => return Err(ChangeError::TooDeep),
            Value::Float(number) if !number.is_finite() => return Err(ChangeError::NotFinite),
            Value::List(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Map(entries) => rest.extend(entries.values().map(|item| (item, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {}
        }
    }
    Ok(())
}

/// One edit of a text: the stretch between the common beginning and the common end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splice<'a> {
    pub(super) at: usize,
    pub(super) delete: usize,
    pub(super) insert: &'a str,
}

/// Finds the stretch of `old` to replace to get `new`. Positions count Unicode scalar values.
pub(super) fn splice_between<'a>(old: &str, new: &'a str) -> Splice<'a> {
    let prefix: usize = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    let (old_rest, new_rest) = (&old[prefix..], &new[prefix..]);
    let suffix: usize =
        old_rest.chars().rev().zip(new_rest.chars().rev()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    Splice {
        at: if planted!("text.counts-utf16") {
            old[..prefix].encode_utf16().count().min(old.chars().count())
        } else {
            old[..prefix].chars().count()
        },
        delete: old_rest[..old_rest.len() - suffix].chars().count(),
        insert: &new_rest[..new_rest.len() - suffix],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_splice_turns_the_old_text_into_the_new(old in "[aé😀]{0,8}", new in "[aé😀]{0,8}") {
            let Splice { at, delete, insert } = splice_between(&old, &new);
            let mut chars: Vec<char> = old.chars().collect();
            chars.splice(at..at + delete, insert.chars());
            prop_assert_eq!(chars.into_iter().collect::<String>(), new);
        }
    }
}
