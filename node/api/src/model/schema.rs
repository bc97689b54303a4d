//! Bodies about schemas of collections.

use cosmicsync_node::service::{Invalid, Schema, SchemaReport, Violation};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The schema of a collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schema)]
pub(crate) struct SchemaView {
    /// The schema's number: 1 at first, and one more with each change.
    number: u64,
    /// The schema; null if this node cannot read it.
    schema: Value,
}

impl From<Schema> for SchemaView {
    fn from(schema: Schema) -> Self {
        Self { number: schema.number, schema: schema.schema }
    }
}

/// The result of comparing a collection's documents with its schema.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchemaChecked {
    /// The schema's number; missing if no schema is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    /// Number of documents compared.
    documents: u64,
    /// Number of documents that do not match the schema.
    invalid: u64,
    /// The first documents that do not match, at most 100.
    examples: Vec<InvalidView>,
}

/// A document that does not match the schema.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invalid)]
pub(crate) struct InvalidView {
    /// The document's id.
    id: String,
    /// The document's key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The ways in which the document violates the schema.
    violations: Vec<ViolationView>,
}

/// A violation of the schema by a document.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Violation)]
pub(crate) struct ViolationView {
    /// The place in the document, as a JSON pointer; empty for the whole document.
    pointer: String,
    /// The violated keyword of the schema, such as `required`.
    keyword: String,
    /// A description of the violation, for display.
    message: String,
}

impl From<Violation> for ViolationView {
    fn from(violation: Violation) -> Self {
        let Violation { pointer, keyword, message } = violation;
        Self { pointer, keyword, message }
    }
}

impl From<SchemaReport> for SchemaChecked {
    fn from(report: SchemaReport) -> Self {
        let invalid = |one: Invalid| InvalidView {
            id: one.doc.to_string(),
            key: one.key,
            violations: one.violations.into_iter().map(Into::into).collect(),
        };
        Self {
            number: report.number,
            documents: report.documents,
            invalid: report.invalid,
            examples: report.examples.into_iter().map(invalid).collect(),
        }
    }
}
