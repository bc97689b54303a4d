//! Answers that are written as the node gives them: a client that reads slowly makes the command wait, and one that goes away
//! ends it. Nothing is held but a few items.

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

use crate::call::{Broken, Caller};
use crate::problem::{Code, Problem};
use crate::shape::event;

/// Items that wait for a slow client before the command waits.
const ITEMS_QUEUED: usize = 16;
/// Answers that go on until the client leaves, at most.
pub(crate) const ENDLESS_MAX: usize = 64;
/// How often a client that waits for events hears that the connection stands.
const BEAT: Duration = Duration::from_secs(15);
/// Bytes that are gathered before they are sent.
const PIECE_BYTES: usize = 16 * 1024;

/// How items and a reply become the bytes of an answer.
pub(crate) trait Shape: Send + Unpin + 'static {
    /// Writes an item.
    fn item(&mut self, item: Item, out: &mut Vec<u8>);

    /// Writes the end.
    fn end(&mut self, reply: Reply, out: &mut Vec<u8>);
}

/// A command under way.
type Call = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send>>;

/// The body of such an answer.
struct Pieces<S> {
    /// None once it ended.
    call: Option<Call>,
    items: mpsc::Receiver<Item>,
    shape: S,
    out: Vec<u8>,
}

/// Carries out a command and answers with what it gives. It fails as a problem until the first item is there; later the
/// connection breaks off.
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

/// As [`answer`], with server-sent events that go on until the client leaves, the server stops or the token ends. `begin` comes first.
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
    let stop = async move {
        caller.over().await;
    };
    let mut response = Response::new(Body::new(Events { pieces, beat, stop: Box::pin(stop), _slot: slot }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // What gathers answers on their way would hold events back.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The body of such an answer.
struct Events<S> {
    pieces: Pieces<S>,
    beat: Interval,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    _slot: OwnedSemaphorePermit,
}

impl<S: Shape> http_body::Body for Events<S> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.pieces).poll_frame(context) {
            self.beat.reset();
            // The last event says why there are no more, and the client goes on behind the last one that it knows.
            let told = |Broken(error)| Frame::data(event(None, "problem", &Problem::from(error)).into());
            return Poll::Ready(frame.map(|frame| Ok(frame.unwrap_or_else(told))));
        }
        // A comment: it tells whoever waits that the connection stands.
        self.beat.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))))
    }
}

/// How far an answer went.
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
        // It gives items while it is polled: then they wake this task.
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
