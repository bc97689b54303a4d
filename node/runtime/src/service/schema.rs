//! Commands about schemas, and their replies.

use super::names::{SpaceRef, Text};
use cosmicsync_protocol::ids::DocId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sets the schema of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaSet {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name; the collection is created if it does not exist.
    pub collection: String,
    /// The schema: the part of JSON Schema 2020-12 in `spec/schemas.md`.
    pub schema: Value,
    /// True to set the schema even if documents do not match it.
    #[serde(default)]
    pub force: bool,
    /// True to compare the documents only, without a write.
    #[serde(default)]
    pub dry_run: bool,
}

/// The schema of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The collection.
    pub collection: String,
    /// The schema's number: 1 at first, and one more with each change.
    pub number: u64,
    /// The schema; null if this version of the program cannot read it.
    pub schema: Value,
}

/// A collection and its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionSchema {
    /// The collection.
    pub collection: String,
    /// The text of the schema, which this node may not be able to read; none if there is no schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// Result of comparing a collection's documents with its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaReport {
    /// The collection.
    pub collection: String,
    /// The schema's number; none if no schema is set.
    pub number: Option<u64>,
    /// Number of documents compared.
    pub documents: u64,
    /// Number of documents that do not match the schema.
    pub invalid: u64,
    /// The first documents that do not match, at most 100.
    pub examples: Vec<Invalid>,
}

/// A document that does not match its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    /// The document.
    pub doc: Text<DocId>,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// The document's violations.
    pub violations: Vec<Violation>,
}

/// A violation of a schema by a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The place in the document, as a JSON pointer; empty for the whole document.
    pub pointer: String,
    /// The violated keyword of the schema.
    pub keyword: String,
    /// Description of the violation, for display.
    pub message: String,
}
