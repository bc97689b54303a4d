//! Routes about the versions of a document and its conflicts.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use cosmicsync_node::service::{Command, DocAt, DocDiff, DocOp, DocRef, Reply};
use serde::Deserialize;
use utoipa::IntoParams;

use super::conditions::Conditions;
use super::docs::{ConditionParams, OnceParams, find, restoring, told, write};
use super::{DocPath, Named, check_limit};
use crate::call::{Caller, expect_reply};
use crate::extract::{Json, Out, Path, Query};
use crate::model::{AtVersion, Conflicts, DiffView, History, Revert, WrittenView};
use crate::problem::{Code, Problem};
use crate::shape::ListOf;
use crate::stream::answer;

/// Options of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryOptions {
    /// Largest number of entries; without it, all entries are returned.
    #[param(minimum = 1, maximum = 1_000_000)]
    limit: Option<u64>,
}

/// Lists the history of a document, newest first.
///
/// The document may be deleted.
#[utoipa::path(get, operation_id = "getHistory",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}/history", tag = "versions",
    params(DocPath, HistoryOptions), responses((status = 200, body = History)))]
pub(super) async fn history(
    caller: Caller,
    Path(path): Path<DocPath>,
    Query(options): Query<HistoryOptions>,
) -> Result<Response, Problem> {
    check_limit(options.limit)?;
    let named = checked(&caller, path).await?;
    let command = Command::DocHistory { space: named.space, doc: named.doc, limit: options.limit };
    answer(&caller, command, ListOf::new("entries"), "application/json").await
}

/// Lists the values of a document that concurrent writes hide.
#[utoipa::path(get, operation_id = "getConflicts",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}/conflicts", tag = "versions",
    params(DocPath), responses((status = 200, body = Conflicts)))]
pub(super) async fn conflicts(caller: Caller, Path(path): Path<DocPath>) -> Result<Response, Problem> {
    let named = checked(&caller, path).await?;
    let command = Command::DocConflicts { space: named.space, doc: named.doc };
    answer(&caller, command, ListOf::new("conflicts"), "application/json").await
}

/// A version in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct VersionPath {
    /// The space: its name or the beginning of its id, or `-` for the only space.
    space: String,
    /// The name of the collection.
    #[param(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*$")]
    collection: String,
    /// The key of the document, with each slash written `%2F`; or `~` and the document's id.
    #[param(min_length = 1, max_length = 255)]
    key: String,
    /// The version, or its first digits, at least 4.
    #[param(min_length = 4, max_length = 32)]
    version: String,
}

/// Reads a document as of a version.
#[utoipa::path(get, operation_id = "getVersion",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}/versions/{version}",
    tag = "versions", params(VersionPath), responses((status = 200, body = AtVersion)))]
pub(super) async fn at(caller: Caller, Path(path): Path<VersionPath>) -> Result<Out<AtVersion>, Problem> {
    let VersionPath { space, collection, key, version } = path;
    let named = checked(&caller, DocPath { space, collection, key }).await?;
    let command = Command::DocAt(DocAt { space: named.space, doc: named.doc, version });
    expect_reply!(caller.request(command).await?, Reply::Version(view) => Out(view.into()))
}

/// The two versions to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DiffOptions {
    /// The earlier version, or its first digits, at least 4.
    from: String,
    /// The later version, or its first digits; without it, the present version.
    to: Option<String>,
}

/// Compares two versions of a document.
#[utoipa::path(get, operation_id = "diffVersions",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}/diff", tag = "versions",
    params(DocPath, DiffOptions), responses((status = 200, body = DiffView)))]
pub(super) async fn diff(
    caller: Caller,
    Path(path): Path<DocPath>,
    Query(options): Query<DiffOptions>,
) -> Result<Out<DiffView>, Problem> {
    let named = checked(&caller, path).await?;
    let DiffOptions { from, to } = options;
    let command = Command::DocDiff(DocDiff { space: named.space, doc: named.doc, from, to });
    expect_reply!(caller.request(command).await?, Reply::Diff(diff) => Out(diff.into()))
}

/// Sets the document's value to that of an earlier version, as a new change.
#[utoipa::path(post, operation_id = "revertDocument",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}/revert", tag = "versions",
    params(DocPath, ConditionParams, OnceParams), request_body = Revert,
    responses((status = 200, body = WrittenView, headers(("ETag" = String)))))]
pub(super) async fn revert(
    caller: Caller,
    Path(path): Path<DocPath>,
    headers: HeaderMap,
    Json(revert): Json<Revert>,
) -> Result<Response, Problem> {
    let named = checked(&caller, path).await?;
    let condition = restoring(&caller, &named, &Conditions::read(&headers)?).await?;
    let op = DocOp::Revert { doc: named.doc.clone(), version: revert.version, condition };
    Ok(told(StatusCode::OK, write(&caller, named, op, &headers, "POST revert").await?))
}

/// Returns the document of a path. A document named by its id must be in the collection, unless it is deleted, because
/// the collection of a deleted one is unknown.
pub(super) async fn checked(caller: &Caller, path: DocPath) -> Result<Named, Problem> {
    let named = path.named()?;
    if matches!(named.doc, DocRef::Id(_)) {
        match find(caller, &named).await {
            Err(problem) if problem.code() != Code::Gone => return Err(problem),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(named)
}
