//! Commands about schemas, and their answers.

use super::names::{SpaceRef, Text};
use cosmicsync_protocol::ids::DocId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Declares the schema of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaSet {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection; made if it is new.
    pub collection: String,
    /// The schema: JSON Schema 2020-12, as far as `spec/schemas.md` says.
    pub schema: Value,
    /// Also if documents are not as it says.
    #[serde(default)]
    pub force: bool,
    /// Only compare the documents with it.
    #[serde(default)]
    pub dry_run: bool,
}

/// The schema of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The collection.
    pub collection: String,
    /// Its number: 1, and one more with each change.
    pub number: u64,
    /// The schema; null if this version of the program cannot read it.
    pub schema: Value,
}

/// A collection and its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionSchema {
    /// The collection.
    pub collection: String,
    /// The schema as it is declared, which this node may not be able to read; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// How the documents of a collection are, beside its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaReport {
    /// The collection.
    pub collection: String,
    /// The schema's number; none if none is set.
    pub number: Option<u64>,
    /// Documents that were compared.
    pub documents: u64,
    /// Those that are not as it says.
    pub invalid: u64,
    /// The first hundred of them.
    pub examples: Vec<Invalid>,
}

/// A document that is not as its schema says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    /// The document.
    pub doc: Text<DocId>,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// In which ways it is not.
    pub violations: Vec<Violation>,
}

/// One way in which a document is not as its schema says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The place in the document, as a JSON pointer; empty for the document itself.
    pub pointer: String,
    /// The keyword of the schema.
    pub keyword: String,
    /// What is wrong, for people.
    pub message: String,
}
