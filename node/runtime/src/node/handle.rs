//! The way into the core thread: closures go in, answers come out.

use super::acting::actor_of;
use crate::driver::{AnswerSender, Call, Core, Door, stopping};
use crate::service::{ErrorCode, ServiceError, Who};
use cosmicsync_data::database::request::{Answer, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

use super::blame::request_error;

/// Commands that wait for the core.
const CALLS_QUEUED: usize = 256;

/// A sender of commands. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    calls: mpsc::Sender<Call>,
    cancelled: mpsc::UnboundedSender<u64>,
    next: Arc<AtomicU64>,
    /// The client that asks, if it is limited.
    who: Option<Arc<Who>>,
}

impl Handle {
    /// Makes the way in, and the door that it leads to.
    pub(super) fn new() -> (Self, Door) {
        let (sender, calls) = mpsc::channel(CALLS_QUEUED);
        let (canceller, cancelled) = mpsc::unbounded_channel();
        let handle = Self { calls: sender, cancelled: canceller, next: Arc::default(), who: None };
        (handle, Door { calls, cancelled })
    }

    /// Asks in the name of somebody from now on; none is the operator.
    pub(super) fn in_the_name_of(self, who: Option<Arc<Who>>) -> Self {
        Self { who, ..self }
    }

    /// Whether the core takes no commands any more.
    pub(super) fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// Runs something on the core thread, between two inputs. It must not block.
    pub(super) async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> R + Send + 'static,
    ) -> Result<R, ServiceError> {
        let (reply, result) = oneshot::channel();
        // Nobody may want the result any more.
        let call: Call = Box::new(move |core| drop(reply.send(work(core))));
        self.calls.send(call).await.map_err(|_| stopping())?;
        result.await.map_err(|_| stopping())
    }

    /// Runs something that answers later, through the sender it is given.
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

    /// Asks the database something that is made on the core thread. Dropping the future cancels the request.
    pub(super) async fn ask(
        &self,
        make: impl FnOnce(&mut Core) -> Result<Request, ServiceError> + Send + 'static,
    ) -> Result<Answer, ServiceError> {
        match self.answer(make).await? {
            Answer::Failed(error) => Err(request_error(&error)),
            answer => Ok(answer),
        }
    }

    /// As [`Self::ask`], for whoever can say more about why it failed.
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

    /// Asks the database without waiting: the answer comes through the channel, in the order of the asking.
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

/// A request, and where its answer goes.
struct Asked {
    number: u64,
    request: Request,
    reply: AnswerSender,
}

fn request_as(core: &mut Core, who: Option<&Who>, asked: Asked) {
    let actor = who.map(|who| Arc::new(actor_of(core, who)));
    core.request(asked.number, actor, asked.request, asked.reply);
}

/// Cancels a request unless it was answered.
struct Cancel<'a> {
    handle: &'a Handle,
    number: u64,
    armed: bool,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if self.armed && !planted!("cancel.unheard") {
            // A core that is gone has no requests either.
            let _ = self.handle.cancelled.send(self.number);
        }
    }
}

/// The answer to a reply that does not belong to its request.
pub(super) fn unexpected() -> ServiceError {
    ServiceError::new(ErrorCode::Internal, "the database gave an answer to another question")
}
