//! Bodies of requests and answers. Times are milliseconds since 1970 (UTC), ids are lowercase hex.

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
    /// Its id.
    id: String,
    /// Its key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Its version, as its `ETag` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Whether it is as its schema says, where the fields ask for `$valid`; null where the schema cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<Value>,
    /// Its value, or the members that were asked for.
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
    /// The documents.
    docs: Vec<DocumentView>,
    /// Where the next page goes on; null at the end.
    #[schema(required)]
    bookmark: Option<String>,
    /// `no_index` where every document of the collection had to be looked at.
    warning: Option<String>,
}

/// A durable write of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Written)]
pub(crate) struct WrittenView {
    /// The document's id.
    id: String,
    /// Its collection.
    collection: String,
    /// Its key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Whether the write made it.
    created: bool,
    /// Its version after the write; not of a repeated request under an idempotency key.
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
    /// One for each write, in their order.
    pub(crate) documents: Vec<WrittenView>,
}

/// One of several changes of a document.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Change)]
pub(crate) enum ChangeOf {
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
    /// `add`, `remove`, `replace`, `move`, `copy` or `test`.
    #[schema(pattern = "^(add|remove|replace|move|copy|test)$")]
    op: String,
    /// A JSON pointer (RFC 6901).
    path: String,
    /// Of `move` and `copy`: a JSON pointer.
    from: Option<String>,
    /// Of `add`, `replace` and `test`.
    value: Option<Value>,
}

/// Documents to change, all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transaction {
    /// At most 256, each about another document.
    #[schema(max_items = 256)]
    pub(crate) writes: Vec<Write>,
}

/// One write of a transaction: a line of `cosmicsync doc apply`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Write {
    /// The document becomes this value; it is made if it is new.
    Put {
        /// `COLLECTION/KEY`, a document's id, or `COLLECTION` alone: a new document without a key.
        #[schema(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*(/.+)?$")]
        doc: String,
        /// The value.
        #[schema(value_type = Object)]
        value: Value,
        /// Members (dotted paths) that become collaborative text instead of plain strings.
        #[serde(default)]
        text: Vec<String>,
        /// What must hold: `absent`, `exists`, or the document's version.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// It takes a merge patch (an object) or a JSON patch (an array).
    Patch {
        /// `COLLECTION/KEY` or an id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The patch.
        #[schema(schema_with = any_patch)]
        patch: Value,
        /// What must hold.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// It takes several changes, in order.
    Change {
        /// `COLLECTION/KEY` or an id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The changes.
        changes: Vec<ChangeOf>,
        /// What must hold.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// The value becomes again what it was at a version.
    Revert {
        /// `COLLECTION/KEY` or an id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// The version, of which the first digits suffice.
        #[schema(pattern = "^[0-9a-f]{4,32}$")]
        version: String,
        /// What must hold.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// The document is deleted; its history stays.
    Delete {
        /// `COLLECTION/KEY` or an id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// What must hold.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
    /// A deleted document comes back.
    Undelete {
        /// `COLLECTION/KEY` or an id.
        #[schema(min_length = 1, max_length = 511, pattern = "^([^_/][^/]*/.+|[0-9a-f]{32})$")]
        doc: String,
        /// What must hold.
        #[serde(default, rename = "if")]
        #[schema(pattern = "^(absent|exists|[0-9a-f]{4,32})$")]
        condition: Option<String>,
    },
}

/// A merge patch or a JSON patch.
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

    /// Returns it as the service takes it, which has the same members.
    ///
    /// # Errors
    /// If the document's name is none.
    pub(crate) fn into_op(self) -> Result<service::DocOp, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(self)?)
    }
}

/// One entry that touched a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
pub(crate) struct RevisionView {
    /// `created`, `edited`, `deleted`, `undeleted`, `excluded` (it does not count) or `missing` (it is not here).
    kind: &'static str,
    /// The version that its writer saw after it; missing where it is not in the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The device that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The writer's clock: a hint.
    at: u64,
    /// The log it is in.
    log: String,
    /// Its place there.
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
    /// Entries that touched it.
    entries: Vec<RevisionView>,
    /// How many the limit left out.
    more: u64,
}

/// Something that does not show in a document, because somebody wrote something else there at the same time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conflict)]
pub(crate) struct ConflictView {
    /// Where, as a JSON pointer (RFC 6901).
    path: String,
    /// What was written.
    value: Value,
    /// The device that wrote it, where that is known.
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
    /// What does not show.
    conflicts: Vec<ConflictView>,
    /// Always 0.
    more: u64,
}

/// A document as of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub(crate) struct AtVersion {
    /// The version.
    version: String,
    /// The value.
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
    /// A JSON patch (RFC 6902) that makes the later of the earlier.
    #[schema(value_type = Vec<PatchOperation>)]
    patch: Vec<Value>,
    /// What each operation of it replaces or removes; null where it adds.
    before: Vec<Option<Value>>,
}

impl From<Diff> for DiffView {
    fn from(diff: Diff) -> Self {
        Self { from: diff.from.to_string(), to: diff.to.to_string(), patch: diff.patch, before: diff.before }
    }
}

/// The version to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    /// Its name, or the first 4 or more digits of it.
    pub(crate) version: String,
}
