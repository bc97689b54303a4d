//! Routes about collections.

use axum::http::StatusCode;
use cosmicsync_node::service::{Command, Reply};

use super::{CollectionPath, SpacePath};
use crate::call::{Caller, expect_reply};
use crate::extract::{Out, Path};
use crate::model::{CollectionView, Collections};
use crate::problem::Problem;

/// Lists the collections of a space.
#[utoipa::path(get, operation_id = "listCollections", path = "/v1/spaces/{space}/collections", tag = "collections",
    params(SpacePath),
    responses((status = 200, body = Collections)))]
pub(super) async fn list(caller: Caller, Path(path): Path<SpacePath>) -> Result<Out<Collections>, Problem> {
    let reply = caller.request(Command::CollectionList { space: path.space() }).await?;
    expect_reply!(reply, Reply::Collections(found) => {
        Out(Collections { collections: found.into_iter().map(Into::into).collect() })
    })
}

/// Returns a collection's properties.
#[utoipa::path(get, operation_id = "getCollection", path = "/v1/spaces/{space}/collections/{collection}",
    tag = "collections", params(CollectionPath),
    responses((status = 200, body = CollectionView)))]
pub(super) async fn show(caller: Caller, Path(path): Path<CollectionPath>) -> Result<Out<CollectionView>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::CollectionShow { space, collection }).await?;
    expect_reply!(reply, Reply::Collection(found) => Out(found.into()))
}

/// Deletes a collection: all its documents and its description.
#[utoipa::path(delete, operation_id = "deleteCollection", path = "/v1/spaces/{space}/collections/{collection}",
    tag = "collections", params(CollectionPath),
    responses((status = 204, description = "The collection is gone.")))]
pub(super) async fn remove(caller: Caller, Path(path): Path<CollectionPath>) -> Result<StatusCode, Problem> {
    let (space, collection) = path.parts()?;
    caller.request(Command::CollectionDrop { space, collection }).await?;
    Ok(StatusCode::NO_CONTENT)
}
