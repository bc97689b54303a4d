//! Commands that write documents, and questions about their versions.

use super::command::Patch;
use super::names::{DocRef, SpaceRef, doc_ref};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Changes documents of one partition, all or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocWrite {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// At most 256 writes, each to a different document.
    pub writes: Vec<DocOp>,
    /// Idempotency key: within a day, a request that repeats it is answered from the first one and not carried out
    /// again.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// A condition of a write: `absent` (the document does not exist), `exists`, or the first digits of the document's
/// version.
type If = Option<String>;

/// One write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum DocOp {
    /// Sets the document's value by the smallest change; creates the document if it does not exist.
    Put {
        /// `COLLECTION/KEY`, a document id, or `COLLECTION` for a new document without a key.
        doc: String,
        /// The value; a JSON object.
        value: Value,
        /// Dotted paths of members that become collaborative text instead of plain strings.
        #[serde(default)]
        text: Vec<String>,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Applies a merge patch (RFC 7396, an object) or a JSON patch (RFC 6902, an array).
    Patch {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The patch.
        patch: Value,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Edits a text.
    Type {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the text in the document.
        path: String,
        /// The edits, applied in order.
        patches: Vec<Patch>,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Applies several changes, in order.
    Change {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The changes; if one does not fit, none is applied.
        changes: Vec<DocChange>,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Adds to a number; concurrent additions of several devices sum up.
    Add {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the number.
        path: String,
        /// The number to add; a negative one subtracts.
        by: i64,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Inserts items into a list.
    Insert {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the list.
        path: String,
        /// The index of the item before which to insert; none appends.
        #[serde(default)]
        index: Option<u64>,
        /// The new items.
        values: Vec<Value>,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Moves an item of a list.
    Move {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the list.
        path: String,
        /// The item's index before the move.
        from: u64,
        /// The item's index after the move.
        to: u64,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Removes a member or an item.
    Remove {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the member or item.
        path: String,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Deletes the document. Its history remains, and a concurrent edit restores it.
    Delete {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Restores a deleted document with its content.
    Undelete {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Sets the document's value to that of an earlier version, as a new change.
    Revert {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The first digits of the version's id, at least 4.
        version: String,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Takes back the newest change that this device made; later changes of other devices remain.
    Undo {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The condition of the write.
        #[serde(default, rename = "if")]
        condition: If,
    },
}

/// One of several changes to a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum DocChange {
    /// Sets a member or an item. If the old value is a text, a string edits that text.
    Set {
        /// The dotted path of the member or item.
        path: String,
        /// The new value.
        value: Value,
    },
    /// Removes a member or an item.
    Remove {
        /// The dotted path of the member or item.
        path: String,
    },
    /// Inserts items into a list.
    Insert {
        /// The dotted path of the list.
        path: String,
        /// The index of the item before which to insert; the list's length appends.
        index: u64,
        /// The new items.
        values: Vec<Value>,
    },
    /// Replaces a part of a text; positions and lengths are in Unicode scalar values.
    Splice {
        /// The dotted path of the text.
        path: String,
        /// Position of the part.
        at: u64,
        /// Length of the deleted part.
        #[serde(default)]
        delete: u64,
        /// The text to insert in its place.
        #[serde(default)]
        insert: String,
    },
    /// Adds to a number; concurrent additions of several devices sum up.
    Add {
        /// The dotted path of the number.
        path: String,
        /// The number to add; a negative one subtracts.
        by: i64,
    },
}

impl DocOp {
    /// Returns the document as the caller names it, and the condition.
    pub fn parts(&self) -> (String, Option<&str>) {
        let (doc, condition) = match self {
            Self::Put { doc, condition, .. } => return (doc.clone(), condition.as_deref()),
            Self::Patch { doc, condition, .. }
            | Self::Type { doc, condition, .. }
            | Self::Change { doc, condition, .. }
            | Self::Add { doc, condition, .. }
            | Self::Insert { doc, condition, .. }
            | Self::Move { doc, condition, .. }
            | Self::Remove { doc, condition, .. }
            | Self::Delete { doc, condition }
            | Self::Undelete { doc, condition }
            | Self::Revert { doc, condition, .. }
            | Self::Undo { doc, condition } => (doc, condition),
        };
        (doc.to_string(), condition.as_deref())
    }
}

/// A question about versions of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocAt {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The document.
    #[serde(with = "doc_ref")]
    pub doc: DocRef,
    /// The first digits of the version's id, at least 4.
    pub version: String,
}

/// A question about two versions of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocDiff {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The document.
    #[serde(with = "doc_ref")]
    pub doc: DocRef,
    /// The first digits of the earlier version's id, at least 4.
    pub from: String,
    /// The first digits of the later version's id; none means the present version.
    #[serde(default)]
    pub to: Option<String>,
}
