//! Streamed answers, written as the node produces them. A client that reads slowly makes the command wait, and one that
//! disconnects cancels it. Only a few items are buffered.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use cosmicsync_node::service::{Command, Item, Reply, ServiceError};
use http_body::Frame;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Duration, Interval};

use crate::call::{Broken, Caller, Over};
use crate::problem::{Code, Problem};
use crate::shape::event;

/// Number of items that wait for a slow client before the command waits.
const ITEMS_QUEUED: usize = 16;
/// Largest number of concurrent answers without an end.
pub(crate) const ENDLESS_MAX: usize = 64;
/// Interval of comments on an event stream, which show that the connection is alive.
const BEAT: Duration = Duration::from_secs(15);
/// Number of bytes that are collected before they are sent.
const PIECE_BYTES: usize = 16 * 1024;

/// The format of an answer: converts items and a reply to bytes.
pub(crate) trait Shape: Send + Unpin + 'static {
    /// Writes an item.
    fn item(&mut self, item: Item, out: &mut Vec<u8>);

    /// Writes the end.
    fn end(&mut self, reply: Reply, out: &mut Vec<u8>);
}

/// A running command.
type Call = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send>>;

/// The body of a streamed answer.
struct Pieces<S> {
    /// `None` once the command has ended.
    call: Option<Call>,
    items: mpsc::Receiver<Item>,
    shape: S,
    out: Vec<u8>,
}

/// Carries out a command and streams its items. A failure before the first item is answered as a problem; a later one
/// aborts the connection.
pub(crate) async fn answer(
    caller: &Caller,
    command: Command,
    shape: impl Shape,
    media_type: &'static str,
) -> Result<Response, Problem> {
    let mut pieces = Pieces::start(caller, command, shape)?;
    let body = match core::future::poll_fn(|context| pieces.poll_step(context)).await? {
        Step::Ended => Body::from(mem::take(&mut pieces.out)),
        Step::Item => Body::new(pieces),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// Like [`answer`], with server-sent events. They go on until the client leaves, the server stops or the token ends.
/// `begin` comes first.
pub(crate) async fn events(
    caller: &Caller,
    command: Command,
    shape: impl Shape,
    begin: Vec<u8>,
) -> Result<Response, Problem> {
    let slot = Arc::clone(&caller.endless).try_acquire_owned().map_err(|_| {
        Problem::new(Code::Unavailable, format!("the node follows changes for {ENDLESS_MAX} clients already"))
    })?;
    let mut pieces = Pieces::start(caller, command, shape)?;
    core::future::poll_fn(|context| pieces.poll_step(context)).await?;
    pieces.out.splice(0..0, begin);
    let mut beat = tokio::time::interval(BEAT);
    beat.reset();
    let caller = caller.clone();
    let stop = async move { caller.over().await };
    let mut response =
        Response::new(Body::new(Events { pieces, beat, stop: Box::pin(stop), is_over: false, _slot: slot }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that buffer answers would delay events.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The body of an event stream.
struct Events<S> {
    pieces: Pieces<S>,
    beat: Interval,
    stop: Pin<Box<dyn Future<Output = Over> + Send>>,
    /// True once the last event was sent.
    is_over: bool,
    _slot: OwnedSemaphorePermit,
}

impl<S: Shape> http_body::Body for Events<S> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(over) = self.stop.as_mut().poll(context) {
            self.is_over = true;
            let problem = match over {
                Over::Stopped => Problem::new(Code::Unavailable, "the node stops"),
                Over::Revoked => Problem::new(Code::Unauthenticated, "the token has ended"),
            };
            return Poll::Ready(Some(Ok(Frame::data(event(None, "problem", &problem).into()))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.pieces).poll_frame(context) {
            self.beat.reset();
            // The last event tells why the stream ends. The client can continue after the last event that it received.
            let told = |Broken(error)| Frame::data(event(None, "problem", &Problem::from(error)).into());
            return Poll::Ready(frame.map(|frame| Ok(frame.unwrap_or_else(told))));
        }
        // A comment, which shows that the connection is alive.
        self.beat.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))))
    }
}

/// Result of a step of an answer.
enum Step {
    /// An item was written.
    Item,
    /// The end was written.
    Ended,
}

impl<S: Shape> Pieces<S> {
    /// Starts a command.
    fn start(caller: &Caller, command: Command, shape: S) -> Result<Self, Problem> {
        let backend = caller.backend();
        let (sender, items) = mpsc::channel(ITEMS_QUEUED);
        let call: Call = Box::pin(async move { backend.call(command, sender).await });
        Ok(Self { call: Some(call), items, shape, out: Vec::new() })
    }

    /// Writes an item, or the end.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, ServiceError>> {
        if let Poll::Ready(Some(item)) = self.items.poll_recv(context) {
            self.shape.item(item, &mut self.out);
            return Poll::Ready(Ok(Step::Item));
        }
        let Some(call) = &mut self.call else { return Poll::Ready(Ok(Step::Ended)) };
        // The command sends items while it is polled; they wake this task.
        let result = core::task::ready!(call.as_mut().poll(context));
        self.call = None;
        let reply = result?;
        while let Ok(item) = self.items.try_recv() {
            self.shape.item(item, &mut self.out);
        }
        self.shape.end(reply, &mut self.out);
        Poll::Ready(Ok(Step::Ended))
    }
}

impl<S: Shape> http_body::Body for Pieces<S> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.call.is_none() || self.out.len() >= PIECE_BYTES {
                let out = mem::take(&mut self.out);
                return Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(out.into()))));
            }
            match self.poll_step(context) {
                Poll::Ready(Ok(Step::Item | Step::Ended)) => {}
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "an answer broke off");
                    self.out.clear();
                    return Poll::Ready(Some(Err(Broken(error))));
                }
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    let out = mem::take(&mut self.out);
                    return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                }
            }
        }
    }
}
