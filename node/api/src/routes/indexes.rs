//! Routes about indexes.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{Command, IndexName, Reply};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{CollectionPath, check_collection, space};
use crate::call::{Caller, expect_reply};
use crate::extract::{Json, Out, Path};
use crate::model::{IndexChecked, IndexFields, IndexView, Indexes};
use crate::problem::Problem;

/// An index in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct IndexPath {
    /// The space: its name or the beginning of its id, or `-` for the only space.
    space: String,
    /// The name of the collection.
    #[param(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*$")]
    collection: String,
    /// The name of the index: letters, digits, `_` and `-`.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    name: String,
}

impl IndexPath {
    fn named(self) -> Result<IndexName, Problem> {
        check_collection(&self.collection)?;
        Ok(IndexName { space: space(self.space), collection: self.collection, index: self.name })
    }
}

/// Lists the indexes of a collection and their progress.
#[utoipa::path(get, operation_id = "listIndexes", path = "/v1/spaces/{space}/collections/{collection}/indexes",
    tag = "indexes",
    params(CollectionPath), responses((status = 200, body = Indexes)))]
pub(super) async fn list(caller: Caller, Path(path): Path<CollectionPath>) -> Result<Out<Indexes>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::IndexList { space, collection }).await?;
    expect_reply!(reply, Reply::Indexes(found) => Out(Indexes { indexes: found.into_iter().map(Into::into).collect() }))
}

/// Creates an index.
///
/// The definition syncs, and each device builds its own index. The answer does not wait for the build.
#[utoipa::path(put, operation_id = "putIndex", path = "/v1/spaces/{space}/collections/{collection}/indexes/{name}",
    tag = "indexes",
    params(IndexPath), request_body = IndexFields,
    responses(
        (status = 200, description = "The index is there and built.", body = IndexView),
        (status = 202, description = "The index is being built.", body = IndexView),
    ))]
pub(super) async fn put(
    caller: Caller,
    Path(path): Path<IndexPath>,
    Json(fields): Json<IndexFields>,
) -> Result<Response, Problem> {
    told(caller.request(Command::IndexCreate { index: path.named()?, fields: fields.fields }).await?)
}

/// Drops an index on every device.
#[utoipa::path(delete, operation_id = "deleteIndex",
    path = "/v1/spaces/{space}/collections/{collection}/indexes/{name}", tag = "indexes",
    params(IndexPath), responses((status = 204, description = "The index is gone.")))]
pub(super) async fn remove(caller: Caller, Path(path): Path<IndexPath>) -> Result<StatusCode, Problem> {
    caller.request(Command::IndexDrop(path.named()?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rebuilds an index on this device.
///
/// The answer does not wait for the build.
#[utoipa::path(post, operation_id = "rebuildIndex",
    path = "/v1/spaces/{space}/collections/{collection}/indexes/{name}/rebuild", tag = "indexes",
    params(IndexPath),
    responses(
        (status = 200, description = "The index is built.", body = IndexView),
        (status = 202, description = "The index is being built.", body = IndexView),
    ))]
pub(super) async fn rebuild(caller: Caller, Path(path): Path<IndexPath>) -> Result<Response, Problem> {
    told(caller.request(Command::IndexRebuild(path.named()?)).await?)
}

/// Compares an index with the documents.
#[utoipa::path(post, operation_id = "checkIndex",
    path = "/v1/spaces/{space}/collections/{collection}/indexes/{name}/check", tag = "indexes",
    params(IndexPath), responses((status = 200, body = IndexChecked)))]
pub(super) async fn check(caller: Caller, Path(path): Path<IndexPath>) -> Result<Out<IndexChecked>, Problem> {
    let reply = caller.request(Command::IndexCheck(path.named()?)).await?;
    expect_reply!(reply, Reply::IndexCheck(found) => Out(found.into()))
}

fn told(reply: Reply) -> Result<Response, Problem> {
    let index: IndexView = expect_reply!(reply, Reply::Index(index) => index.into())?;
    let status = if index.state == "ready" { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Out(index)).into_response())
}
