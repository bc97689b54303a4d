//! Writes with intent: what a caller wants done to documents, if what holds.

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
    /// At most 256, each about another document.
    pub writes: Vec<DocOp>,
    /// Under this name the request is carried out once within a day, however often it is sent.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// A condition of a write: `absent` (the document is not there), `exists`, or its version, of which the first digits
/// suffice.
type If = Option<String>;

/// One write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum DocOp {
    /// The document becomes this value, by the least change; it is made if it is new.
    Put {
        /// `COLLECTION/KEY`, a document id, or `COLLECTION` for a new document without a key.
        doc: String,
        /// The value; a JSON object.
        value: Value,
        /// Members (dotted paths) that become collaborative text instead of plain strings.
        #[serde(default)]
        text: Vec<String>,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// It takes a merge patch (RFC 7396; an object) or a JSON patch (RFC 6902; an array).
    Patch {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The patch.
        patch: Value,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Edits of a text.
    Type {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the text within it.
        path: String,
        /// The edits, applied in order.
        patches: Vec<Patch>,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// It takes several changes, in order.
    Change {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The changes; the first one that does not fit refuses all.
        changes: Vec<DocChange>,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Adds to a number, so that what several devices add at once sums up.
    Add {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The dotted path of the number.
        path: String,
        /// How much; less than 0 takes away.
        by: i64,
        /// What must hold.
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
        /// Before which item; none means at the end.
        #[serde(default)]
        index: Option<u64>,
        /// The items.
        values: Vec<Value>,
        /// What must hold.
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
        /// Which item.
        from: u64,
        /// Where it stands afterwards.
        to: u64,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Removes a member or an item.
    Remove {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// Its dotted path.
        path: String,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Deletes the document. Its history stays, and an edit that was made without the deletion in sight brings it back.
    Delete {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Brings a deleted document back, with all that it held.
    Undelete {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Makes the value again what it was at a version, as a new change.
    Revert {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The version: 4 or more digits of its name.
        version: String,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
    /// Takes the newest change back that this device made; what others wrote meanwhile stands.
    Undo {
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// What must hold.
        #[serde(default, rename = "if")]
        condition: If,
    },
}

/// One of several changes of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum DocChange {
    /// Sets a member or an item. A string that is set where a text stands edits that text.
    Set {
        /// Its dotted path.
        path: String,
        /// What.
        value: Value,
    },
    /// Removes a member or an item.
    Remove {
        /// Its dotted path.
        path: String,
    },
    /// Inserts items into a list.
    Insert {
        /// The dotted path of the list.
        path: String,
        /// Before which item; the list's length means at the end.
        index: u64,
        /// The items.
        values: Vec<Value>,
    },
    /// Replaces a stretch of a text, counted in Unicode scalar values.
    Splice {
        /// The dotted path of the text.
        path: String,
        /// Where.
        at: u64,
        /// How many to delete.
        #[serde(default)]
        delete: u64,
        /// What to insert in their place.
        #[serde(default)]
        insert: String,
    },
    /// Adds to a number, so that what several devices add at once sums up.
    Add {
        /// Its dotted path.
        path: String,
        /// How much; less than 0 takes away.
        by: i64,
    },
}

impl DocOp {
    /// The document as the caller names it, and what must hold.
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
    /// The version: 4 or more digits of its name.
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
    /// The earlier version.
    pub from: String,
    /// The later version; the present one if it is not named.
    #[serde(default)]
    pub to: Option<String>,
}
