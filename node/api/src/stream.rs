//! Answers that are written as the node gives them: a client that reads slowly makes the command wait, and one that goes away
//! ends it. Nothing is held but a few items.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use cosmicsync_node::service::{Command, Item, Reply, ServiceError};
use http_body::Frame;
use tokio::sync::mpsc;

use crate::call::{Broken, Caller};
use crate::problem::Problem;

/// Items that wait for a slow client before the command waits.
const ITEMS_QUEUED: usize = 16;
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
    let backend = caller.backend_for(&command)?;
    let (sender, items) = mpsc::channel(ITEMS_QUEUED);
    let call: Call = Box::pin(async move { backend.call(command, sender).await });
    let mut pieces = Pieces { call: Some(call), items, shape, out: Vec::new() };
    let body = match core::future::poll_fn(|context| pieces.poll_step(context)).await? {
        Step::Ended => Body::from(mem::take(&mut pieces.out)),
        Step::Item => Body::new(pieces),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// How far an answer went.
enum Step {
    /// An item was written.
    Item,
    /// The end was written.
    Ended,
}

impl<S: Shape> Pieces<S> {
    /// Writes an item, or the end.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, ServiceError>> {
        loop {
            if let Poll::Ready(Some(item)) = self.items.poll_recv(context) {
                self.shape.item(item, &mut self.out);
                return Poll::Ready(Ok(Step::Item));
            }
            let Some(call) = &mut self.call else { return Poll::Ready(Ok(Step::Ended)) };
            match call.as_mut().poll(context) {
                // It gives items while it is polled: then they wake this task.
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    self.call = None;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(reply)) => {
                    self.call = None;
                    while let Ok(item) = self.items.try_recv() {
                        self.shape.item(item, &mut self.out);
                    }
                    self.shape.end(reply, &mut self.out);
                    return Poll::Ready(Ok(Step::Ended));
                }
            }
        }
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
