//! The node, its peers and its spaces.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{Command, Reply};

use crate::call::{Caller, expect_reply};
use crate::extract::{Json, Out};
use crate::model::{NewSpace, Peers, SpaceView, Spaces, StatusView};
use crate::problem::Problem;

/// Tells how the node is.
#[utoipa::path(get, operation_id = "getStatus", path = "/v1/status", tag = "node", responses((status = 200,
    body = StatusView)))]
pub(super) async fn status(caller: Caller) -> Result<Out<StatusView>, Problem> {
    let reply = caller.request(Command::Status {}).await?;
    expect_reply!(reply, Reply::Status(status) => Out((*status).into()))
}

/// Lists the nodes that this one talks to.
#[utoipa::path(get, operation_id = "listPeers", path = "/v1/peers", tag = "node", responses((status = 200,
    body = Peers)))]
pub(super) async fn peers(caller: Caller) -> Result<Out<Peers>, Problem> {
    let reply = caller.request(Command::PeerList {}).await?;
    expect_reply!(reply, Reply::Peers(peers) => Out(Peers { peers: peers.into_iter().map(Into::into).collect() }))
}

/// Lists the spaces.
#[utoipa::path(get, operation_id = "listSpaces", path = "/v1/spaces", tag = "spaces", responses((status = 200,
    body = Spaces)))]
pub(super) async fn spaces(caller: Caller) -> Result<Out<Spaces>, Problem> {
    let reply = caller.request(Command::SpaceList {}).await?;
    expect_reply!(reply, Reply::Spaces(spaces) => Out(Spaces { spaces: spaces.into_iter().map(Into::into).collect() }))
}

/// Makes a space.
#[utoipa::path(post, operation_id = "createSpace", path = "/v1/spaces", tag = "spaces", request_body = NewSpace,
    responses((status = 201, body = SpaceView)))]
pub(super) async fn create_space(caller: Caller, Json(new): Json<NewSpace>) -> Result<Response, Problem> {
    let reply = caller.request(Command::SpaceCreate { name: new.name }).await?;
    let space: SpaceView = expect_reply!(reply, Reply::Space(space) => space.into())?;
    Ok((StatusCode::CREATED, Out(space)).into_response())
}
