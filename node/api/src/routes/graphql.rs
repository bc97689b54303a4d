//! Routes of GraphQL.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{SpaceRef, Who};
use std::sync::Arc;

use super::SpacePath;
use super::feed::small;
use crate::access::Door;
use crate::call::Caller;
use crate::extract::{Json, Out, Path};
use crate::graphql::{Asked, PROTOCOL, execute, serve};
use crate::problem::{Code, Problem};
use crate::socket::MESSAGE_BYTES_MAX;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Carries out a query or a mutation in the only space.
pub(super) async fn only(door: State<Door>, caller: Caller, asked: Json<Asked>) -> Result<Response, Problem> {
    answered(door, caller, None, asked).await
}

/// Carries out a query or a mutation in a space.
pub(super) async fn named(
    door: State<Door>,
    caller: Caller,
    Path(path): Path<SpacePath>,
    asked: Json<Asked>,
) -> Result<Response, Problem> {
    answered(door, caller, path.space(), asked).await
}

async fn answered(
    State(door): State<Door>,
    caller: Caller,
    space: SpaceRef,
    Json(asked): Json<Asked>,
) -> Result<Response, Problem> {
    Ok(Out(execute(&door, caller, space, asked).await?).into_response())
}

/// Returns the schema of the only space.
pub(super) async fn only_schema(door: State<Door>, caller: Caller) -> Result<Response, Problem> {
    schema(door, caller, None).await
}

/// Returns the schema of a space.
pub(super) async fn named_schema(
    door: State<Door>,
    caller: Caller,
    Path(path): Path<SpacePath>,
) -> Result<Response, Problem> {
    schema(door, caller, path.space()).await
}

async fn schema(State(door): State<Door>, caller: Caller, space: SpaceRef) -> Result<Response, Problem> {
    let mut response = door.graphql.current(&caller, &space).await?.sdl().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/graphql; charset=utf-8"));
    Ok(response)
}

/// Opens a WebSocket to the only space.
pub(super) async fn only_socket(
    door: State<Door>,
    who: Option<Extension<Who>>,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    socket(door, who, None, upgrade)
}

/// Opens a WebSocket to a space.
pub(super) async fn named_socket(
    door: State<Door>,
    who: Option<Extension<Who>>,
    Path(path): Path<SpacePath>,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    socket(door, who, path.space(), upgrade)
}

fn socket(
    State(door): State<Door>,
    who: Option<Extension<Who>>,
    space: SpaceRef,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|error| Problem::new(Code::UpgradeRequired, error.body_text()))?;
    let slot = Arc::clone(&door.sockets).try_acquire_owned();
    let slot = slot.map_err(|_| Problem::new(Code::Unavailable, "there are too many WebSockets"))?;
    let upgrade =
        small(upgrade).protocols([PROTOCOL]).max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    let who = who.map(|Extension(who)| who);
    Ok(upgrade.on_upgrade(move |socket| serve(socket, door, who, space, slot)))
}
