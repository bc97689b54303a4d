//! The control exchange over HTTP: a command line elsewhere sends commands in the name of its token.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::serve_stream;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

use crate::access::Door;
use crate::call::{Caller, Over};
use crate::problem::{Code, Problem};
use crate::remote::CONTROL_PROTOCOL;

/// Takes the connection over, if the client asks for it. Each command is then one that the token allows, or refused.
pub(super) async fn control(
    caller: Caller,
    State(door): State<Door>,
    mut request: Request,
) -> Result<Response, Problem> {
    let asked = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == CONTROL_PROTOCOL);
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked) else {
        let problem = Problem::new(Code::UpgradeRequired, "this is the route of the command line");
        return Err(problem.next("cosmicsync --url URL status"));
    };
    let Ok(slot) = Arc::clone(&door.sockets).try_acquire_owned() else {
        return Err(Problem::new(Code::Unavailable, "the node serves as many connections as it may"));
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => exchange(&caller, stream).await,
            Err(error) => tracing::debug!(%error, "a control connection was not taken over"),
        }
        drop(slot);
    });
    let upgrade = [(header::UPGRADE, CONTROL_PROTOCOL), (header::CONNECTION, HeaderValue::from_static("upgrade"))];
    Ok((StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response())
}

async fn exchange(caller: &Caller, stream: Upgraded) {
    let serving = serve_stream(TokioIo::new(stream), caller.backend(), caller.stopped());
    tokio::select! {
        biased;
        () = serving => {}
        // The exchange ends by itself when the server stops: answers on their way are told why.
        () = revoked(caller) => tracing::debug!("the token of a control connection was revoked"),
    }
}

async fn revoked(caller: &Caller) {
    match caller.over().await {
        Over::Revoked => {}
        Over::Stopped => core::future::pending().await,
    }
}
