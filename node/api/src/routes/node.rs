//! Routes about the node, its peers and its spaces.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{Command, Reply, Secret};
use serde::Deserialize;
use utoipa::IntoParams;

use super::SpacePath;
use crate::call::{Caller, expect_reply};
use crate::extract::{Json, Out, Path};
use crate::model::{
    Devices, InviteView, JoinBody, NewInvite, NewPeer, NewSpace, PeerView, Peers, SpaceView, Spaces, StatusView,
};
use crate::problem::Problem;

/// Returns the status of the node.
#[utoipa::path(get, operation_id = "getStatus", path = "/v1/status", tag = "node", responses((status = 200,
    body = StatusView)))]
pub(super) async fn status(caller: Caller) -> Result<Out<StatusView>, Problem> {
    let reply = caller.request(Command::Status {}).await?;
    expect_reply!(reply, Reply::Status(status) => Out((*status).into()))
}

/// Lists the peers of the node.
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

/// Creates a space.
#[utoipa::path(post, operation_id = "createSpace", path = "/v1/spaces", tag = "spaces", request_body = NewSpace,
    responses((status = 201, body = SpaceView)))]
pub(super) async fn create_space(caller: Caller, Json(new): Json<NewSpace>) -> Result<Response, Problem> {
    let reply = caller.request(Command::SpaceCreate { name: new.name }).await?;
    let space: SpaceView = expect_reply!(reply, Reply::Space(space) => space.into())?;
    Ok((StatusCode::CREATED, Out(space)).into_response())
}

/// Creates an invite, a line of text that lets one device join the space, once.
#[utoipa::path(post, operation_id = "createInvite", path = "/v1/spaces/{space}/invites", tag = "spaces",
    params(SpacePath), request_body = NewInvite, responses((status = 201, body = InviteView)))]
pub(super) async fn invite(
    caller: Caller,
    Path(path): Path<SpacePath>,
    Json(new): Json<NewInvite>,
) -> Result<Response, Problem> {
    let command = Command::SpaceInvite { space: path.space(), expires_ms: new.expires_ms };
    let made: InviteView = expect_reply!(caller.request(command).await?, Reply::Invite(invite) => invite.into())?;
    Ok((StatusCode::CREATED, Out(made)).into_response())
}

/// Joins a space by an invite.
///
/// The answer comes once this node can read the space.
#[utoipa::path(post, operation_id = "joinSpace", path = "/v1/join", tag = "spaces", request_body = JoinBody,
    responses((status = 201, body = SpaceView)))]
pub(super) async fn join(caller: Caller, Json(body): Json<JoinBody>) -> Result<Response, Problem> {
    let reply = caller.request(Command::SpaceJoin { invite: Secret(body.invite) }).await?;
    let space: SpaceView = expect_reply!(reply, Reply::Space(space) => space.into())?;
    Ok((StatusCode::CREATED, Out(space)).into_response())
}

/// Lists the devices of a space.
#[utoipa::path(get, operation_id = "listDevices", path = "/v1/spaces/{space}/devices", tag = "spaces",
    params(SpacePath), responses((status = 200, body = Devices)))]
pub(super) async fn devices(caller: Caller, Path(path): Path<SpacePath>) -> Result<Out<Devices>, Problem> {
    let reply = caller.request(Command::DeviceList { space: path.space() }).await?;
    expect_reply!(reply, Reply::Devices(all) => Out(Devices { devices: all.into_iter().map(Into::into).collect() }))
}

/// Adds an address and dials it.
#[utoipa::path(post, operation_id = "addPeer", path = "/v1/peers", tag = "node", request_body = NewPeer,
    responses((status = 201, body = PeerView)))]
pub(super) async fn add_peer(caller: Caller, Json(new): Json<NewPeer>) -> Result<Response, Problem> {
    let reply = caller.request(Command::PeerAdd { address: new.address }).await?;
    let peer: PeerView = expect_reply!(reply, Reply::Peer(peer) => peer.into())?;
    Ok((StatusCode::CREATED, Out(peer)).into_response())
}

/// An address in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct AddressPath {
    /// The address in the form `HOST:PORT`, as it was added.
    address: String,
}

/// Removes an address and closes its link.
#[utoipa::path(delete, operation_id = "removePeer", path = "/v1/peers/{address}", tag = "node", params(AddressPath),
    responses((status = 204, description = "It is not dialled any more.")))]
pub(super) async fn remove_peer(caller: Caller, Path(path): Path<AddressPath>) -> Result<StatusCode, Problem> {
    caller.request(Command::PeerRemove { address: path.address }).await?;
    Ok(StatusCode::NO_CONTENT)
}
