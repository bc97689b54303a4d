//! Commands about schemas.

use super::docs::value_of;
use super::handle::unexpected;
use super::{Acting, blame};
use crate::service::{
    CollectionSchema, ErrorCode, Invalid, Reason, Reply, Schema, SchemaReport, SchemaSet, ServiceError, SpaceRef, Text,
    Violation, quoted,
};
use cosmicsync_data::collection::Declared;
use cosmicsync_data::database::request::{Answer, Request, RequestError};
use cosmicsync_data::database::schema_ops::{self, SchemaChange};
use cosmicsync_data::json;
use cosmicsync_data::schema;
use std::sync::Arc;

impl Acting<'_> {
    pub(super) async fn schema_set(&self, set: SchemaSet) -> Result<Reply, ServiceError> {
        let SchemaSet { space, collection, schema, force, dry_run } = set;
        let schema = schema::Schema::new(&value_of(&schema)?);
        let schema =
            schema.map_err(|error| ServiceError::new(ErrorCode::Usage, error.to_string()).because(Reason::BadSchema));
        let schema = Arc::new(schema?);
        self.schema(space, collection, SchemaChange::Set { schema, force, dry_run }).await
    }

    pub(super) async fn schema_check(&self, space: SpaceRef, collection: String) -> Result<Reply, ServiceError> {
        self.schema(space, collection, SchemaChange::Check).await
    }

    pub(super) async fn schema_drop(&self, space: SpaceRef, collection: String) -> Result<Reply, ServiceError> {
        self.schema(space, collection, SchemaChange::Drop).await.map(|_| Reply::Done {})
    }

    pub(super) async fn schema_show(&self, space: SpaceRef, collection: String) -> Result<Reply, ServiceError> {
        let declared = self.declared(space, &collection).await?;
        let declared = declared.ok_or_else(|| no_schema(&RequestError::NoSchema, &collection))?;
        let text = declared.schema.as_ref().and_then(|schema| json::parse(schema.text().as_bytes()).ok());
        let schema = text.map(|value| json::to_json(&value)).unwrap_or_default();
        Ok(Reply::Schema(Schema { collection, number: declared.number, schema }))
    }

    /// Returns the schema of a collection, which need not exist.
    pub(super) async fn schema_of(
        &self,
        space: SpaceRef,
        collection: &str,
    ) -> Result<Option<Arc<schema::Schema>>, ServiceError> {
        Ok(self.declared(space, collection).await?.and_then(|declared| declared.schema))
    }

    async fn declared(&self, space: SpaceRef, collection: &str) -> Result<Option<Declared>, ServiceError> {
        let partition = self.partition_of(space).await?;
        Ok(self.description_of(partition, collection).await?.and_then(|meta| meta.schema))
    }

    pub(super) async fn schema_list(&self, space: SpaceRef) -> Result<Reply, ServiceError> {
        let partition = self.partition_of(space).await?;
        let Answer::Schemas(texts) = self.handle()?.ask(move |_| Ok(Request::Schemas { partition })).await? else {
            return Err(unexpected());
        };
        let listed = |(collection, schema)| CollectionSchema { collection, schema };
        Ok(Reply::Schemas(texts.into_iter().map(listed).collect()))
    }

    async fn schema(&self, space: SpaceRef, collection: String, change: SchemaChange) -> Result<Reply, ServiceError> {
        let partition = self.partition_of(space).await?;
        let request = Request::Schema { partition, collection: collection.clone(), change };
        match self.handle()?.answer(move |_| Ok(request)).await? {
            Answer::Schema(report) => Ok(Reply::SchemaReport(told(collection, *report))),
            Answer::Failed(error) => Err(no_schema(&error, &collection)),
            _ => Err(unexpected()),
        }
    }
}

/// Returns the error for a refused command about a schema, with the next step.
fn no_schema(error: &RequestError, collection: &str) -> ServiceError {
    let said = blame::request_error(error);
    let collection = quoted(collection);
    match error {
        RequestError::NoSchema => said.next(format!("cosmicsync schema set {collection} FILE")),
        RequestError::DocumentsViolate(_) => said.next(format!("cosmicsync schema set {collection} FILE --force")),
        _ => said,
    }
}

fn told(collection: String, report: schema_ops::SchemaReport) -> SchemaReport {
    let schema_ops::SchemaReport { number, docs: documents, invalid, examples } = report;
    let example = |one: schema_ops::Invalid| Invalid {
        doc: Text(one.doc),
        key: one.key,
        violations: violations(&one.violations),
    };
    SchemaReport { collection, number, documents, invalid, examples: examples.into_iter().map(example).collect() }
}

/// Converts a document's violations for a reply.
pub(super) fn violations(all: &[schema::Violation]) -> Vec<Violation> {
    let told = |one: &schema::Violation| Violation {
        pointer: one.pointer.clone(),
        keyword: one.keyword.to_owned(),
        message: one.message.clone(),
    };
    all.iter().map(told).collect()
}
