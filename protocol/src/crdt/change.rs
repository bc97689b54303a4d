//! What an application asks of a document, and why it may be refused.

use super::{DEPTH_MAX, Step, Value};

/// One edit. Paths start at the document's root map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts a value at the entry of a map, new or old, or in place of an existing item of a list.
    ///
    /// A string put where a text stands edits that text (what differs between the common beginning and end), so that
    /// concurrent edits of it survive.
    Set {
        /// Where; not empty.
        path: Vec<Step>,
        /// What.
        value: Value,
    },
    /// Removes the entry of a map or the item of a list.
    Remove {
        /// Where; not empty.
        path: Vec<Step>,
    },
    /// Inserts items into a list.
    Insert {
        /// The list.
        path: Vec<Step>,
        /// Before which item; the list's length means at the end.
        index: usize,
        /// What.
        values: Vec<Value>,
    },
    /// Deletes items of a list.
    Delete {
        /// The list.
        path: Vec<Step>,
        /// The first item.
        index: usize,
        /// How many.
        len: usize,
    },
    /// Replaces a stretch of a text. Positions count Unicode scalar values.
    Splice {
        /// The text.
        path: Vec<Step>,
        /// Where.
        at: usize,
        /// How many to delete.
        delete: usize,
        /// What to insert in their place.
        insert: String,
    },
    /// Adds to a counter, which is made if nothing stands there. A whole number becomes one.
    Add {
        /// An entry of a map.
        path: Vec<Step>,
        /// How much; less than 0 takes away.
        by: i64,
    },
}

/// Why changes were refused. Nothing was changed, unless it says that the document broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A document is an object.
    #[error("a document must be an object")]
    RootNotMap,
    /// A path was empty where the document itself can't be meant.
    #[error("the document itself cannot be set or removed")]
    Root,
    /// Change number `.0` goes through something that isn't there.
    #[error("change {0}: there is nothing at its path")]
    NoSuchPath(usize),
    /// Change number `.0` asks of a container what it can't do.
    #[error("change {0}: its path leads to something of another kind")]
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
    #[error("the update is full")]
    Full,
    /// Loro refused what was found valid.
    #[error("the document engine refused a valid change")]
    Refused,
    /// The document is broken and must be rebuilt from its updates.
    #[error(transparent)]
    Broken(#[from] super::Broken),
}

/// Checks that a value may stand at `depth` levels below the document.
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

/// What one edit of a text comes to: the stretch between the common beginning and the common end.
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
        at: old[..prefix].chars().count(),
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
