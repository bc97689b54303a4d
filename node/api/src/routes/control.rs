//! The control exchange over HTTP: a command line on another machine sends commands with a token.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{Answer, Backend, Command, ErrorCode, Input, Item, ServiceError, serve_stream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::access::Door;
use crate::call::{Caller, Over};
use crate::problem::{Code, Problem};
use crate::remote::CONTROL_PROTOCOL;

/// Switches the connection to the control exchange if the client asks for it. Each later command is checked against the
/// token.
pub(super) async fn control(
    caller: Caller,
    State(door): State<Door>,
    mut request: Request,
) -> Result<Response, Problem> {
    let asked = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == CONTROL_PROTOCOL);
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked) else {
        let problem = Problem::new(Code::UpgradeRequired, "this route is for the command line");
        return Err(problem.next("cosmicsync --url URL status"));
    };
    // Commands are counted as they come; a token that has exceeded its quota is refused here.
    caller.sent(1)?;
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
    let counted = Arc::new(Counted { caller: caller.clone(), node: caller.backend() });
    let serving = serve_stream(TokioIo::new(stream), counted, caller.stopped());
    tokio::select! {
        biased;
        () = serving => {}
        // The exchange ends by itself when the server stops, so that answers in progress report the reason.
        () = revoked(caller) => tracing::debug!("the token of a control connection was revoked"),
    }
}

async fn revoked(caller: &Caller) {
    match caller.over().await {
        Over::Revoked => {}
        Over::Stopped => core::future::pending().await,
    }
}

/// A node whose commands and inputs are counted as they come.
#[derive(Debug)]
struct Counted {
    caller: Caller,
    node: Arc<dyn Backend>,
}

impl Counted {
    /// Counts bytes that the token sent.
    fn sent(&self, bytes: usize) -> Result<(), ServiceError> {
        self.caller.sent(bytes).map_err(|problem| {
            let error = ServiceError::new(ErrorCode::Refused, problem.to_string());
            error.next("wait, or ask the operator for more: [http] mib_per_day")
        })
    }

    fn command(&self, command: &Command) -> Result<(), ServiceError> {
        if !self.caller.is_counted() {
            return Ok(());
        }
        self.sent(serde_json::to_vec(command).map_or(0, |text| text.len()))
    }
}

impl Backend for Counted {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(async move {
            self.command(&command)?;
            self.node.call(command, items).await
        })
    }

    fn call_reading(&self, command: Command, mut input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(async move {
            self.command(&command)?;
            let (feed, counted) = Input::new();
            let feeding = async {
                while let Some(piece) = input.next().await? {
                    self.sent(piece.len())?;
                    if !feed.send(piece).await {
                        // Nobody reads on: the answer says why.
                        return Ok(());
                    }
                }
                feed.end().await;
                Ok::<(), ServiceError>(())
            };
            let reply = self.node.call_reading(command, counted, items);
            tokio::pin!(reply, feeding);
            tokio::select! {
                biased;
                reply = &mut reply => reply,
                fed = &mut feeding => {
                    fed?;
                    reply.await
                }
            }
        })
    }
}
