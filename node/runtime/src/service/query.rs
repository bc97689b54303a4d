//! Commands about queries and indexes, and their replies. This module runs no query.

use super::names::{SpaceRef, Text};
use super::reply::DocView;
use cosmicsync_data::query::parse::{LOGIC, TESTS};
use cosmicsync_protocol::ids::DocId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A query over one collection.
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
    /// The sort, such as `["name", {"age": "desc"}]`.
    #[serde(default)]
    pub sort: Option<Value>,
    /// The members to return, as a list of paths; none means all.
    #[serde(default)]
    pub fields: Option<Value>,
    /// Largest number of documents; none means all.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The bookmark of the answer before.
    #[serde(default)]
    pub bookmark: Option<String>,
    /// The only index to use.
    #[serde(default)]
    pub use_index: Option<String>,
}

impl Query {
    /// Returns the operator whose `$` the selector seems to lack, such as `$lt` for `{"age": {"lt": 5}}`. Without it the
    /// name is that of a member, which few documents have.
    pub fn forgotten_operator(&self) -> Option<&'static str> {
        self.selector.as_ref().and_then(forgotten)
    }
}

fn forgotten(selector: &Value) -> Option<&'static str> {
    let operator = |all: &'static [&'static str], name: &str| {
        all.iter().copied().find(|known| known.strip_prefix('$').is_some_and(|known| known == name))
    };
    selector.as_object()?.iter().find_map(|(name, value)| match value {
        Value::Array(parts) if LOGIC.contains(&name.as_str()) => parts.iter().find_map(forgotten),
        Value::Array(_) => operator(&LOGIC, name),
        Value::Object(members) => members.keys().find_map(|name| operator(&TESTS, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// A request for past changes of documents, oldest first. Several changes of one document may be reported as its last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The only collection to report.
    #[serde(default)]
    pub collection: Option<String>,
    /// The cursor of a change, after which to begin; none means to begin now.
    #[serde(default)]
    pub since: Option<String>,
    /// Largest number of changes.
    pub limit: u64,
    /// Longest wait for the first change, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
}

/// An aggregate over a group of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The aggregate function.
    pub kind: MeasureKind,
    /// The field to aggregate.
    pub field: String,
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Sum of the numbers.
    Sum,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Mean of the numbers.
    Average,
}

/// Name of an index.
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

/// The end of a query's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queried {
    /// Number of documents that were sent.
    pub count: u64,
    /// The bookmark of the next answer; none at the end.
    pub bookmark: Option<String>,
    /// Number of index rows read.
    pub keys_examined: u64,
    /// Number of documents examined.
    pub docs_examined: u64,
    /// `no_index` if every document of the collection was examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Plan of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Access path: `get`, `index`, `union` or `scan`.
    pub plan: String,
    /// The indexes that the query reads; several for a `union`.
    pub indexes: Vec<PlanIndex>,
    /// Source of the order: `index`, `memory` or `none`.
    pub sort: String,
    /// Indexes that the query does not read.
    pub rejected: Vec<PlanRejected>,
    /// Number of documents of the partition that indexes have not caught up with; the query reads these one by one.
    pub behind: u64,
}

/// The part of an index that a query reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanIndex {
    /// The index's name.
    pub index: String,
    /// The index's fields.
    pub fields: Vec<String>,
    /// Number of leading fields with fixed values.
    pub equal: u64,
    /// True if the field after those has bounds.
    pub bounded: bool,
    /// Number of ranges read.
    pub ranges: u64,
    /// Direction of the reading: `ascending` or `descending`.
    pub direction: String,
}

/// An index that a query does not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRejected {
    /// The index's name.
    pub index: String,
    /// The reason: `building`, `prefix` (the query has no bounds on its first field), `order` (another index is in
    /// order), `wider`.
    pub why: String,
}

/// A group of documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The common value of the group; none if the field is missing.
    pub value: Option<Value>,
    /// Number of documents in the group.
    pub count: u64,
    /// The aggregates, in the order of the request.
    pub measures: Vec<Option<Value>>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The index's name.
    pub index: String,
    /// The index's fields.
    pub fields: Vec<String>,
    /// `building` or `ready`.
    pub state: String,
    /// Number of documents in the index so far, while it is being built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
    /// True if documents may have several keys in it, because a field leads to a list.
    pub lists: bool,
}

/// Result of an index check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCheck {
    /// Number of documents compared.
    pub documents: u64,
    /// Number of rows in the index.
    pub rows: u64,
    /// Number of rows that the index lacks.
    pub missing: u64,
    /// Number of rows that the index has in excess.
    pub extra: u64,
}

/// A batch of changes in the answer of a live query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveBatch {
    /// The cursor of the last change in the batch.
    pub cursor: String,
    /// True if the batch replaces the whole answer; the caller discards all earlier batches.
    pub reset: bool,
    /// Events that, applied in this order, turn the previous answer into the present one.
    pub events: Vec<LiveEvent>,
}

/// One change in the answer of a live query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveEvent {
    /// A document joined the answer.
    Added {
        /// The document.
        document: DocView,
        /// The id of the document before it in the answer; none if it comes first.
        after: Option<Text<DocId>>,
    },
    /// A document changed and kept its place.
    Changed {
        /// The document.
        document: DocView,
    },
    /// A sort value of a document changed, so the document may have a new place.
    Moved {
        /// The document.
        document: DocView,
        /// The id of the document before it in the answer; none if it comes first.
        after: Option<Text<DocId>>,
    },
    /// A document left the answer.
    Removed {
        /// The document.
        doc: Text<DocId>,
        /// The document's key, if it has one and an earlier batch reported the document.
        key: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_forgotten_dollar_is_noticed() {
        let of = |selector| Query { selector: Some(selector), ..Query::default() }.forgotten_operator();
        assert_eq!(of(json!({"age": {"lt": 5}})), Some("$lt"));
        assert_eq!(of(json!({"or": [{"a": 1}]})), Some("$or"));
        assert_eq!(of(json!({"$and": [{"a": 1}, {"a": {"in": [2]}}]})), Some("$in"));
        for selector in
            [json!({"age": {"$lt": 5}}), json!({"in": 3, "or": "x"}), json!({"a": {"b": {"lt": 1}}}), json!({})]
        {
            assert_eq!(of(selector.clone()), None, "{selector}");
        }
    }
}
