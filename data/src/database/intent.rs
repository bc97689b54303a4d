//! Writes of documents: the target, the action, and the condition under which the action applies.

use super::request::Name;
use crate::json_patch::Operation;
use cosmicsync_protocol::crdt::{Change, Step, TextPaths, Value};

/// The document of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An existing or new document with this name.
    Named(Name),
    /// A new document without a key.
    New {
        /// The collection's name; the collection is created if it does not exist.
        collection: String,
    },
}

/// The change that a write makes to a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sets the value by the smallest change; creates the document if it does not exist.
    Put {
        /// The value, a map.
        value: Value,
        /// The paths of strings that merge character by character.
        texts: TextPaths,
    },
    /// Applies a merge patch (RFC 7396).
    Patch(Value),
    /// Applies a JSON patch (RFC 6902).
    JsonPatch(Vec<Operation>),
    /// Applies changes.
    Change(Vec<Change>),
    /// Inserts items into a list.
    Insert {
        /// The path of the list.
        path: Vec<Step>,
        /// The item before which to insert; `None` appends.
        index: Option<usize>,
        /// The new items.
        values: Vec<Value>,
    },
    /// Moves an item of a list. The item is written again, so concurrent changes inside it stay with the old one.
    Move {
        /// The path of the list.
        path: Vec<Step>,
        /// The item's index before the move.
        from: usize,
        /// The item's index after the move.
        to: usize,
    },
    /// Deletes the document. Its history remains.
    Delete,
    /// Restores the document if it is deleted.
    Undelete,
    /// Sets the value of the version with this name.
    Revert(String),
    /// Takes back the newest change that this device made; later changes of other devices remain.
    Undo,
}

impl Action {
    /// Returns the text paths that the action names.
    pub(super) fn texts(&self) -> TextPaths {
        if let Self::Put { texts, .. } = self { texts.clone() } else { TextPaths::none() }
    }
}

/// The condition of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    #[default]
    None,
    /// The document does not exist.
    Absent,
    /// The document exists.
    Exists,
    /// The document's version has an id that begins with these digits.
    Version(String),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The document.
    pub target: Target,
    /// The change.
    pub action: Action,
    /// The condition.
    pub condition: Condition,
}
