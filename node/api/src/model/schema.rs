//! Schemas of collections.

use cosmicsync_node::service::{Invalid, Schema, SchemaReport, Violation};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The schema of a collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schema)]
pub(crate) struct SchemaView {
    /// Its number: 1, and one more with each change.
    number: u64,
    /// The schema; null if this node cannot read it.
    schema: Value,
}

impl From<Schema> for SchemaView {
    fn from(schema: Schema) -> Self {
        Self { number: schema.number, schema: schema.schema }
    }
}

/// How the documents of a collection are, beside its schema.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchemaChecked {
    /// The schema's number; missing if none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    /// Documents that were compared.
    documents: u64,
    /// Those that are not as it says.
    invalid: u64,
    /// The first hundred of them.
    examples: Vec<InvalidView>,
}

/// A document that is not as its schema says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invalid)]
pub(crate) struct InvalidView {
    /// Its id.
    id: String,
    /// Its key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// In which ways it is not.
    violations: Vec<ViolationView>,
}

/// One way in which a document is not as its schema says.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Violation)]
pub(crate) struct ViolationView {
    /// The place in the document, as a JSON pointer; empty for the document itself.
    pointer: String,
    /// The keyword of the schema.
    keyword: String,
    /// What is wrong, for people.
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
