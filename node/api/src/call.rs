//! Commands on behalf of whoever sent a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cosmicsync_node::service::{Backend, Command, Reply, Scope, ServiceError, Token, request};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Duration, interval};

use crate::access::Door;
use crate::problem::{Code, Problem};
use crate::serve::until_set;

/// How often it is looked whether the token of an answer that goes on still stands.
const LOOK: Duration = Duration::from_secs(5);

/// Why an answer that goes on is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The server stops.
    Stopped,
    /// The token was revoked, or its time is over.
    Revoked,
}

/// Whoever sent a request, and the way to the node. It carries out what the token allows.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    backend: Arc<dyn Backend>,
    token: Token,
    pub(crate) endless: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Caller {
    /// A caller with this token.
    pub(crate) fn new(door: &Door, token: Token) -> Self {
        let Door { backend, endless, stopped, .. } = door.clone();
        Self { backend, token, endless, stopped }
    }

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

    /// Completes when the server stops, or when the token has ended: an answer that goes on ends with it.
    pub(crate) async fn over(&self) -> Over {
        let mut stopped = self.stopped.clone();
        let mut look = interval(LOOK);
        look.reset();
        loop {
            tokio::select! {
                biased;
                () = until_set(&mut stopped) => return Over::Stopped,
                _ = look.tick() => {
                    if !self.is_admitted().await {
                        return Over::Revoked;
                    }
                }
            }
        }
    }

    /// Whether the token still stands.
    async fn is_admitted(&self) -> bool {
        let Ok(Reply::Tokens(tokens)) = request(&*self.backend, Command::TokenList {}).await else { return true };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        tokens.contains(&self.token) && self.token.expires_at.is_none_or(|end| u128::from(end) > now)
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
        Ok(Self::new(door, token))
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
