//! Commands about queries and indexes, and their answers.

use super::names::{SpaceRef, Text};
use super::reply::DocView;
use cosmicsync_protocol::ids::DocId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which documents of a collection, in what order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection.
    pub collection: String,
    /// The selector (`spec/query.md`, section 3); none means all documents.
    #[serde(default)]
    pub selector: Option<Value>,
    /// The sort: `["name", {"age": "desc"}]`.
    #[serde(default)]
    pub sort: Option<Value>,
    /// The members to show, as a list of paths; none means all.
    #[serde(default)]
    pub fields: Option<Value>,
    /// At most so many documents; none means all.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Where a former answer ended.
    #[serde(default)]
    pub bookmark: Option<String>,
    /// Only with this index.
    #[serde(default)]
    pub use_index: Option<String>,
}

/// Changes of documents, oldest first. Of several of one document the last may be told alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// Only of this collection.
    #[serde(default)]
    pub collection: Option<String>,
    /// Those behind the one with this cursor; none means those from now on.
    #[serde(default)]
    pub since: Option<String>,
    /// At most so many.
    pub limit: u64,
    /// How long to wait for the first one, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
}

/// What is put together of the documents of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// How.
    pub kind: MeasureKind,
    /// Of which field.
    pub field: String,
}

/// How values are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Numbers are added.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The mean of the numbers.
    Average,
}

/// The index that a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexName {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection.
    pub collection: String,
    /// The index's name.
    pub index: String,
}

/// The end of an answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queried {
    /// Documents that were sent.
    pub count: u64,
    /// Where the next answer goes on; none at the end.
    pub bookmark: Option<String>,
    /// Rows of indexes that were read.
    pub keys_examined: u64,
    /// Documents that were looked at.
    pub docs_examined: u64,
    /// `no_index` where every document of the collection had to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// How a query is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `get`, `index`, `union` or `scan`.
    pub plan: String,
    /// The indexes that are read: one, or of a union several.
    pub indexes: Vec<PlanIndex>,
    /// What puts documents in order: `index`, `memory` or `none`.
    pub sort: String,
    /// Indexes that are not read.
    pub rejected: Vec<PlanRejected>,
    /// Documents of the partition that indexes are behind for: they are read one by one.
    pub behind: u64,
}

/// What is read of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanIndex {
    /// Its name.
    pub index: String,
    /// Its fields.
    pub fields: Vec<String>,
    /// How many leading fields are fixed by equality.
    pub equal: u64,
    /// Whether the field behind those has bounds.
    pub bounded: bool,
    /// How many ranges are read.
    pub ranges: u64,
    /// `ascending` or `descending`.
    pub direction: String,
}

/// An index that is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRejected {
    /// Its name.
    pub index: String,
    /// Why: `building`, `prefix` (nothing is asked of its first field), `order` (another one is in order), `wider`.
    pub why: String,
}

/// Documents of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they have in common; none where it is missing.
    pub value: Option<Value>,
    /// How many there are.
    pub count: u64,
    /// What was put together, in the order that was asked for.
    pub measures: Vec<Option<Value>>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub index: String,
    /// Its fields.
    pub fields: Vec<String>,
    /// `building` or `ready`.
    pub state: String,
    /// Documents that stand in it so far, while it is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
    /// Whether documents may have several keys in it, because a field leads to a list.
    pub lists: bool,
}

/// What checking an index found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCheck {
    /// Documents that were compared.
    pub documents: u64,
    /// Rows that the index has.
    pub rows: u64,
    /// Rows that it lacks.
    pub missing: u64,
    /// Rows that it has too many.
    pub extra: u64,
}

/// What changed in the answer of a live query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveBatch {
    /// The cursor of the last change that is in it.
    pub cursor: String,
    /// The answer begins anew: what was told before does not count.
    pub reset: bool,
    /// In this order they make the answer before into the answer now.
    pub events: Vec<LiveEvent>,
}

/// A change of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveEvent {
    /// A document is in the answer now.
    Added {
        /// The document.
        document: DocView,
        /// The id of the document behind which it stands; none is first.
        after: Option<Text<DocId>>,
    },
    /// A document changed and stands where it stood.
    Changed {
        /// The document.
        document: DocView,
    },
    /// What a document is sorted by changed: it may stand elsewhere.
    Moved {
        /// The document.
        document: DocView,
        /// The id of the document behind which it stands; none is first.
        after: Option<Text<DocId>>,
    },
    /// A document is not in the answer any more.
    Removed {
        /// Which.
        doc: Text<DocId>,
        /// Its key, if it has one and the caller was told of it before.
        key: Option<String>,
    },
}
