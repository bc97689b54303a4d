//! Routes about the schemas of collections.

use axum::http::StatusCode;
use cosmicsync_node::service::{Command, Reply, SchemaSet};
use serde::Deserialize;
use utoipa::IntoParams;

use super::CollectionPath;
use crate::call::{Caller, expect_reply};
use crate::extract::{Document, Out, Path, Query};
use crate::model::{SchemaChecked, SchemaView};
use crate::problem::Problem;

/// Returns the schema of a collection.
#[utoipa::path(get, operation_id = "getSchema", path = "/v1/spaces/{space}/collections/{collection}/schema",
    tag = "schemas", params(CollectionPath), responses((status = 200, body = SchemaView)))]
pub(super) async fn show(caller: Caller, Path(path): Path<CollectionPath>) -> Result<Out<SchemaView>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::SchemaShow { space, collection }).await?;
    expect_reply!(reply, Reply::Schema(schema) => Out(schema.into()))
}

/// Options of setting a schema.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SchemaOptions {
    /// True to set the schema even if documents do not match it.
    #[serde(default)]
    #[param(default = false)]
    force: bool,
    /// True to compare the documents only, without setting the schema.
    #[serde(default, rename = "dryRun")]
    #[param(rename = "dryRun", default = false)]
    dry_run: bool,
}

/// Sets the schema of a collection.
///
/// The schema is set only if all documents match it, unless `force` is true.
#[utoipa::path(put, operation_id = "putSchema", path = "/v1/spaces/{space}/collections/{collection}/schema",
    tag = "schemas", params(CollectionPath, SchemaOptions),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = SchemaChecked)))]
pub(super) async fn put(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Query(options): Query<SchemaOptions>,
    Document(schema): Document,
) -> Result<Out<SchemaChecked>, Problem> {
    let (space, collection) = path.parts()?;
    let SchemaOptions { force, dry_run } = options;
    let reply = caller.request(Command::SchemaSet(SchemaSet { space, collection, schema, force, dry_run })).await?;
    expect_reply!(reply, Reply::SchemaReport(report) => Out(report.into()))
}

/// Removes the schema of a collection.
#[utoipa::path(delete, operation_id = "deleteSchema", path = "/v1/spaces/{space}/collections/{collection}/schema",
    tag = "schemas", params(CollectionPath), responses((status = 204, description = "The collection has no schema.")))]
pub(super) async fn remove(caller: Caller, Path(path): Path<CollectionPath>) -> Result<StatusCode, Problem> {
    let (space, collection) = path.parts()?;
    caller.request(Command::SchemaDrop { space, collection }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Compares the documents of a collection with its schema.
#[utoipa::path(post, operation_id = "checkSchema", path = "/v1/spaces/{space}/collections/{collection}/schema/check",
    tag = "schemas", params(CollectionPath), responses((status = 200, body = SchemaChecked)))]
pub(super) async fn check(caller: Caller, Path(path): Path<CollectionPath>) -> Result<Out<SchemaChecked>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::SchemaCheck { space, collection }).await?;
    expect_reply!(reply, Reply::SchemaReport(report) => Out(report.into()))
}
