//! Commands on behalf of whoever sent a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cosmicsync_node::service::{Backend, Command, Reply, Scope, ServiceError, Token, request};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

use crate::access::Door;
use crate::problem::{Code, Problem};

/// Whoever sent a request, and the way to the node. It carries out what the token allows.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    backend: Arc<dyn Backend>,
    token: Token,
    pub(crate) endless: Arc<Semaphore>,
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Caller {
    /// Carries out a command whose items do not matter.
    pub(crate) async fn request(&self, command: Command) -> Result<Reply, Problem> {
        self.check(&command)?;
        Ok(request(&*self.backend, command).await?)
    }

    /// Returns the node, for a command that the token allows.
    pub(crate) fn backend_for(&self, command: &Command) -> Result<Arc<dyn Backend>, Problem> {
        self.check(command)?;
        Ok(Arc::clone(&self.backend))
    }

    /// Returns the name of the token.
    pub(crate) fn name(&self) -> &str {
        &self.token.name
    }

    fn check(&self, command: &Command) -> Result<(), Problem> {
        if self.token.scope == Scope::Read && command.writes() {
            let problem = Problem::new(Code::Forbidden, "the token allows reading only");
            return Err(problem.next("cosmicsync token create NAME"));
        }
        Ok(())
    }
}

impl FromRequestParts<Door> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        let token = parts.extensions.get::<Token>().cloned();
        let token = token.ok_or_else(|| Problem::new(Code::Unauthenticated, "the request was not admitted"))?;
        let Door { backend, endless, stopped } = door.clone();
        Ok(Self { backend, token, endless, stopped })
    }
}

/// The answer to a reply that does not belong to its command.
pub(crate) fn unexpected() -> Problem {
    Problem::new(Code::Internal, "the node gave an answer to another question")
}

/// Takes the one kind of reply that a command has.
macro_rules! expect_reply {
    ($reply:expr, $pattern:pat => $value:expr) => {
        match $reply {
            $pattern => Ok($value),
            _ => Err($crate::call::unexpected()),
        }
    };
}
pub(crate) use expect_reply;

/// A failure in the middle of an answer: the connection ends, so that nobody takes a part for the whole.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) ServiceError);

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Broken {}
