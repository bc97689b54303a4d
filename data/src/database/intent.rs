//! Writes with intent: what is to become of a document, and if what holds.

use super::request::Name;
use crate::json_patch::Operation;
use cosmicsync_protocol::crdt::{Change, Step, TextPaths, Value};

/// Which document a write is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Named(Name),
    /// A new one without a key.
    New {
        /// The collection's name; made if it is new.
        collection: String,
    },
}

/// What is to become of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It becomes this value, by the least change; it is made if it is new.
    Put {
        /// The value, a map.
        value: Value,
        /// Which strings merge character by character.
        texts: TextPaths,
    },
    /// It takes a merge patch (RFC 7396).
    Patch(Value),
    /// It takes a JSON patch (RFC 6902).
    JsonPatch(Vec<Operation>),
    /// It takes changes.
    Change(Vec<Change>),
    /// Items are inserted into a list; before which, or at the end.
    Insert {
        /// The list.
        path: Vec<Step>,
        /// Before which item; none means at the end.
        index: Option<usize>,
        /// The items.
        values: Vec<Value>,
    },
    /// An item of a list moves. It is written anew: what others write in it at the same time stays with the old one.
    Move {
        /// The list.
        path: Vec<Step>,
        /// Which item.
        from: usize,
        /// Where it stands afterwards.
        to: usize,
    },
    /// It is deleted. Its history stays.
    Delete,
    /// It comes back, if it is deleted.
    Undelete,
    /// Its value becomes again that of the version with this name.
    Revert(String),
    /// The newest change that this device made is taken back; what others wrote meanwhile stands.
    Undo,
}

impl Action {
    /// What it says is a text.
    pub(super) fn texts(&self) -> TextPaths {
        if let Self::Put { texts, .. } = self { texts.clone() } else { TextPaths::none() }
    }
}

/// What must hold for a write to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// The document is not there.
    Absent,
    /// The document is there.
    Exists,
    /// Its version has this name, or one that begins so.
    Version(String),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Which document.
    pub target: Target,
    /// What is to become of it.
    pub action: Action,
    /// If what holds.
    pub condition: Condition,
}
