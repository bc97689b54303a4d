//! Bodies of requests and responses. Times are in milliseconds since 1970 (UTC), ids are lowercase hex. Their
//! descriptions are part of `openapi.json`; see `docs/api.md`.

mod auth;
mod changes;
mod node;
mod operate;
mod query;
mod schema;

pub(crate) use auth::*;
pub(crate) use changes::*;
pub(crate) use node::*;
pub(crate) use operate::*;
pub(crate) use query::*;
pub(crate) use schema::*;

use cosmicsync_node::service::{self, Conflict, Diff, DocView, Revision, RevisionKind, VersionView, Written};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, Schema};

/// A document in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Document)]
pub(crate) struct DocumentView {
    /// The document's id, 32 hex digits.
    id: String,
    /// The document's key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The document's version, which is also its `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Result of the comparison with the collection's schema, only if `fields` asks for `$valid`: true, false, or null
    /// if this node cannot read the schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<Value>,
    /// The document's value, or the members of it that `fields` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl From<DocView> for DocumentView {
    fn from(view: DocView) -> Self {
        let version = view.version.map(|version| version.to_string());
        Self { id: view.doc.to_string(), key: view.key, version, valid: view.valid, value: view.value }
    }
}

/// A page of documents.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what is written as it comes")]
pub(crate) struct Page {
    /// The documents of this page.
    docs: Vec<DocumentView>,
    /// Bookmark of the next page; null on the last page.
    #[schema(required)]
    bookmark: Option<String>,
    /// `no_index` if every document of the collection was read, because no index helps.
    warning: Option<String>,
}

/// A stored write of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Written)]
pub(crate) struct WrittenView {
    /// The document's id.
    id: String,
    /// The document's collection.
    collection: String,
    /// The document's key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// True if the write created the document.
    created: bool,
    /// The document's version after the write; missing in the answer to a repeated request with an idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl From<Written> for WrittenView {
    fn from(written: Written) -> Self {
        let Written { doc, collection, key, created, version, .. } = written;
        Self { id: doc.to_string(), collection, key, created, version: version.map(|version| version.to_string()) }
    }
}

/// The writes of a transaction.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transacted {
    /// The outcome of each write, in the order of the writes.
    pub(crate) documents: Vec<WrittenView>,
}

/// One of several changes to a document.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Change)]
pub(crate) enum ChangeOf {
    /// Sets a member or an item. If the old value is a collaborative text, a string edits that text.
    Set {
        /// The dotted path of the member or item, such as `address.city` or `tags.0`.
        path: String,
        /// The new value.
        value: Value,
    },
    /// Removes a member or an item.
    Remove {
        /// The dotted path of the member or item, such as `address.city` or `tags.0`.
        path: String,
    },
    /// Inserts items into a list.
    Insert {
        /// The dotted path of the list, such as `tags`.
        path: String,
        /// The index of the item before which to insert, from 0; the list's length appends.
        index: u64,
        /// The new items.
        values: Vec<Value>,
    },
    /// Replaces a part of a collaborative text. Positions and lengths are in Unicode scalar values.
    Splice {
        /// The dotted path of the text, such as `body`.
        path: String,
        /// The position of the part, from 0.
        at: u64,
        /// The length of the part to delete.
        #[serde(default)]
        delete: u64,
        /// The text to insert in its place.
        #[serde(default)]
        insert: String,
    },
    /// Adds to a number; concurrent additions of several devices sum up.
    Add {
        /// The dotted path of the number, such as `likes`.
        path: String,
        /// The number to add; a negative one subtracts.
        by: i64,
    },
}

impl From<ChangeOf> for service::DocChange {
    fn from(change: ChangeOf) -> Self {
        match change {
            ChangeOf::Set { path, value } => Self::Set { path, value },
            ChangeOf::Remove { path } => Self::Remove { path },
            ChangeOf::Insert { path, index, values } => Self::Insert { path, index, values },
            ChangeOf::Splice { path, at, delete, insert } => Self::Splice { path, at, delete, insert },
            ChangeOf::Add { path, by } => Self::Add { path, by },
        }
    }
}

/// An operation of a JSON patch (RFC 6902).
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what the service reads")]
pub(crate) struct PatchOperation {
    /// The operation: `add`, `remove`, `replace`, `move`, `copy` or `test`.
    #[schema(pattern = "^(add|remove|replace|move|copy|test)$")]
    op: String,
    /// The place in the document, as a JSON pointer (RFC 6901), such as `/address/city`.
    path: String,
    /// For `move` and `copy`: the source, as a JSON pointer.
    from: Option<String>,
    /// For `add`, `replace` and `test`: the value.
    value: Option<Value>,
}

/// A transaction: writes to several documents, of which all or none are carried out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transaction {
    /// At most 256 writes, each to a different document.
    #[schema(max_items = 256)]
    pub(crate) writes: Vec<Write>,
}

/// One write of a transaction, in the same form as a line of `cosmicsync doc apply`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Write {
    /// Sets the value of a document; creates the document if it does not exist.
    Put {
        /// The document: `COLLECTION/KEY` or its id; `COLLECTION` alone creates a document without a key.
        #[schema(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*(/.+)?$")]
        doc: String,
        /// The new value.
        #[schema(value_type = Object)]
        value: Value,
        /// Dotted paths of members that become collaborative text instead of plain strings.
        #[serde(default)]
        text: Vec<String>,
        /// The condition of the write: `absent`, `exists`, or the first digits of the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// Applies a merge patch (RFC 7396, an object) or a JSON patch (RFC 6902, an array).
    Patch {
        /// The document: `COLLECTION/KEY` or its id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The patch.
        #[schema(schema_with = any_patch)]
        patch: Value,
        /// The condition of the write: `absent`, `exists`, or the first digits of the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// Applies several changes, in order.
    Change {
        /// The document: `COLLECTION/KEY` or its id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The changes; if one does not fit, none is applied.
        changes: Vec<ChangeOf>,
        /// The condition of the write: `absent`, `exists`, or the first digits of the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// Sets the document's value to that of an earlier version, as a new change.
    Revert {
        /// The document: `COLLECTION/KEY` or its id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The version, or its first digits, at least 4.
        #[schema(pattern = "^[0-9a-f]{4,32}$")]
        version: String,
        /// The condition of the write: `absent`, `exists`, or the first digits of the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// Deletes the document; its history remains.
    Delete {
        /// The document: `COLLECTION/KEY` or its id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The condition of the write: `absent`, `exists`, or the first digits of the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// Restores a deleted document with its content.
    Undelete {
        /// The document: `COLLECTION/KEY` or its id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The condition of the write: `absent`, `exists`, or the first digits of the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
}

/// Returns the schema of a merge patch or a JSON patch.
fn any_patch() -> Schema {
    let types = SchemaType::from_iter([Type::Object, Type::Array]);
    Schema::Object(ObjectBuilder::new().schema_type(types).description(Some("The patch.")).build())
}

impl Write {
    /// Returns the document, as the caller names it.
    pub(crate) fn doc(&self) -> &str {
        match self {
            Self::Put { doc, .. }
            | Self::Patch { doc, .. }
            | Self::Change { doc, .. }
            | Self::Revert { doc, .. }
            | Self::Delete { doc, .. }
            | Self::Undelete { doc, .. } => doc,
        }
    }

    /// Converts the write to the service's type, which has the same members.
    ///
    /// # Errors
    /// If the name of the document is invalid.
    pub(crate) fn into_op(self) -> Result<service::DocOp, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(self)?)
    }
}

/// One entry in the history of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
pub(crate) struct RevisionView {
    /// The effect of the entry: `created`, `edited`, `deleted`, `undeleted`, `excluded` (not part of the document,
    /// because its log forked) or `missing` (not yet on this node).
    kind: &'static str,
    /// The version that the entry led to; missing if the entry is not part of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The device that wrote the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The time by the writer's clock, in Unix milliseconds; only a hint.
    at: u64,
    /// The log that contains the entry.
    log: String,
    /// The number of the entry in its log, from 0.
    seq: u64,
}

impl From<Revision> for RevisionView {
    fn from(revision: Revision) -> Self {
        let kind = match revision.kind {
            RevisionKind::Created => "created",
            RevisionKind::Edited => "edited",
            RevisionKind::Deleted => "deleted",
            RevisionKind::Undeleted => "undeleted",
            RevisionKind::Excluded => "excluded",
            RevisionKind::Missing => "missing",
        };
        Self {
            kind,
            version: revision.version.map(|version| version.to_string()),
            device: revision.device.map(|device| device.to_string()),
            at: revision.at,
            log: revision.log.to_string(),
            seq: revision.seq,
        }
    }
}

/// The history of a document, newest first.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what is written as it comes")]
pub(crate) struct History {
    /// The entries that changed the document.
    entries: Vec<RevisionView>,
    /// Number of further entries beyond the limit.
    more: u64,
}

/// A value of a document that is hidden, because another value was written concurrently at the same place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conflict)]
pub(crate) struct ConflictView {
    /// The place in the document, as a JSON pointer (RFC 6901).
    path: String,
    /// The hidden value.
    value: Value,
    /// The device that wrote the hidden value, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

impl From<Conflict> for ConflictView {
    fn from(conflict: Conflict) -> Self {
        let device = conflict.device.map(|device| device.to_string());
        Self { path: conflict.path, value: conflict.value, device }
    }
}

/// The conflicts of a document.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what is written as it comes")]
pub(crate) struct Conflicts {
    /// The hidden values.
    conflicts: Vec<ConflictView>,
    /// Always 0.
    more: u64,
}

/// A document as of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub(crate) struct AtVersion {
    /// The version, 32 hex digits.
    version: String,
    /// The document's value at this version.
    value: Value,
}

impl From<VersionView> for AtVersion {
    fn from(view: VersionView) -> Self {
        Self { version: view.version.to_string(), value: view.value }
    }
}

/// The difference between two versions of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Diff)]
pub(crate) struct DiffView {
    /// The earlier version.
    from: String,
    /// The later version.
    to: String,
    /// A JSON patch (RFC 6902) that turns the earlier version into the later.
    #[schema(value_type = Vec<PatchOperation>)]
    patch: Vec<Value>,
    /// The value that each operation of the patch replaces or removes; null for an operation that adds.
    before: Vec<Option<Value>>,
}

impl From<Diff> for DiffView {
    fn from(diff: Diff) -> Self {
        Self { from: diff.from.to_string(), to: diff.to.to_string(), patch: diff.patch, before: diff.before }
    }
}

/// The version to restore.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    /// The version, or its first digits, at least 4.
    pub(crate) version: String,
}
