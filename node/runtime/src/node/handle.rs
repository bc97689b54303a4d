//! The handle to the core thread: closures go in, answers come out.

use super::acting::actor_of;
use crate::driver::{AnswerSender, Call, Core, Door, stopping};
use crate::service::{ErrorCode, ServiceError, Who};
use cosmicsync_data::database::request::{Answer, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

use super::blame::request_error;

/// Largest number of commands that wait for the core.
const CALLS_QUEUED: usize = 256;

/// A sender of commands, cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    calls: mpsc::Sender<Call>,
    cancelled: mpsc::UnboundedSender<u64>,
    next: Arc<AtomicU64>,
    /// The client that makes the requests, if it is limited.
    who: Option<Arc<Who>>,
}

impl Handle {
    /// Returns a handle and its receiving end.
    pub(super) fn new() -> (Self, Door) {
        let (sender, calls) = mpsc::channel(CALLS_QUEUED);
        let (canceller, cancelled) = mpsc::unbounded_channel();
        let handle = Self { calls: sender, cancelled: canceller, next: Arc::default(), who: None };
        (handle, Door { calls, cancelled })
    }

    /// Makes later requests on behalf of a client; none is the operator.
    pub(super) fn in_the_name_of(self, who: Option<Arc<Who>>) -> Self {
        Self { who, ..self }
    }

    /// Returns whether the core takes no more commands.
    pub(super) fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// Runs a closure on the core thread, between two inputs. The closure must not block.
    pub(super) async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> R + Send + 'static,
    ) -> Result<R, ServiceError> {
        let (reply, result) = oneshot::channel();
        // The receiver of the result may be gone.
        let call: Call = Box::new(move |core| drop(reply.send(work(core))));
        self.calls.send(call).await.map_err(|_| stopping())?;
        result.await.map_err(|_| stopping())
    }

    /// Runs a closure on the core thread that replies later, through the given sender.
    pub(super) async fn later<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core, oneshot::Sender<Result<R, ServiceError>>) + Send + 'static,
    ) -> Result<R, ServiceError> {
        let (reply, result) = oneshot::channel();
        let call: Call = Box::new(move |core| match core.available() {
            Ok(()) => work(core, reply),
            Err(error) => drop(reply.send(Err(error))),
        });
        self.calls.send(call).await.map_err(|_| stopping())?;
        result.await.map_err(|_| stopping())?
    }

    /// Submits a request that is built on the core thread. Dropping the future cancels the request.
    pub(super) async fn ask(
        &self,
        make: impl FnOnce(&mut Core) -> Result<Request, ServiceError> + Send + 'static,
    ) -> Result<Answer, ServiceError> {
        match self.answer(make).await? {
            Answer::Failed(error) => Err(request_error(&error)),
            answer => Ok(answer),
        }
    }

    /// Submits a request and returns a failure as an answer, for callers that explain it.
    pub(super) async fn answer(
        &self,
        make: impl FnOnce(&mut Core) -> Result<Request, ServiceError> + Send + 'static,
    ) -> Result<Answer, ServiceError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, result) = oneshot::channel();
        let who = self.who.clone();
        let call: Call = Box::new(move |core| match make(core) {
            Ok(request) => request_as(core, who.as_deref(), Asked { number, request, reply }),
            Err(error) => drop(reply.send(Err(error))),
        });
        let mut guard = Cancel { handle: self, number, armed: true };
        self.calls.send(call).await.map_err(|_| stopping())?;
        let answer = result.await;
        guard.armed = false;
        answer.map_err(|_| stopping())?
    }

    /// Submits a request without waiting. Answers come through their channels; requests run in the order of these
    /// calls.
    pub(super) async fn start(
        &self,
        request: Request,
    ) -> Result<oneshot::Receiver<Result<Answer, ServiceError>>, ServiceError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, result) = oneshot::channel();
        let who = self.who.clone();
        let call: Call = Box::new(move |core| request_as(core, who.as_deref(), Asked { number, request, reply }));
        self.calls.send(call).await.map_err(|_| stopping())?;
        Ok(result)
    }
}

/// A request, and the sender of its answer.
struct Asked {
    number: u64,
    request: Request,
    reply: AnswerSender,
}

fn request_as(core: &mut Core, who: Option<&Who>, asked: Asked) {
    let actor = who.map(|who| Arc::new(actor_of(core, who)));
    core.request(asked.number, actor, asked.request, asked.reply);
}

/// Cancels a request that is dropped before its answer.
struct Cancel<'a> {
    handle: &'a Handle,
    number: u64,
    armed: bool,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if self.armed && !planted!("cancel.unheard") {
            // If the core is gone, so are its requests.
            let _ = self.handle.cancelled.send(self.number);
        }
    }
}

/// Returns the error for an answer that does not belong to its request.
pub(super) fn unexpected() -> ServiceError {
    ServiceError::new(ErrorCode::Internal, "internal error: the answer does not match the request")
}
