//! The control exchange over HTTP: a command line on another machine sends commands with a token.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use cosmicsync_node::service::serve_stream;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
        let problem = Problem::new(Code::UpgradeRequired, "this is the route of the command line");
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
    let counted = Counted { stream: TokioIo::new(stream), caller: caller.clone() };
    let serving = serve_stream(counted, caller.backend(), caller.stopped());
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

/// A connection that takes its bytes from the token's quota, and ends once the quota is exceeded.
struct Counted<S> {
    stream: S,
    caller: Caller,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = buffer.filled().len() - before;
        Poll::Ready(self.caller.sent(came).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
