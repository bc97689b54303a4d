//! Carries out commands on behalf of the sender of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cosmicsync_node::service::{Answer, Backend, Command, Input, Item, Reply, ServiceError, Who, request};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Duration, interval};

use crate::access::Door;
use crate::limit::Limit;
use crate::problem::{Code, Problem};
use crate::serve::until_set;

/// Interval between checks of a long answer's token.
const LOOK: Duration = Duration::from_secs(5);

/// Reasons to end a long answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The server is stopping.
    Stopped,
    /// The token was revoked, or has expired.
    Revoked,
}

/// The sender of a request, and access to the node on the sender's behalf. Commands are limited by the role, the token
/// and the rules.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    node: Arc<dyn Backend>,
    acting: Arc<Acting>,
    pub(crate) endless: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    limit: Arc<Limit>,
}

/// A backend that acts on behalf of a sender.
#[derive(Debug)]
struct Acting {
    node: Arc<dyn Backend>,
    who: Who,
}

impl Backend for Acting {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        self.node.call_as(&self.who, command, None, items)
    }

    fn call_reading(&self, command: Command, input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        self.node.call_as(&self.who, command, Some(input), items)
    }
}

impl Caller {
    /// Returns a caller for an authenticated sender.
    pub(crate) fn new(door: &Door, who: Who) -> Self {
        let Door { backend, endless, stopped, limit, .. } = door.clone();
        let acting = Arc::new(Acting { node: Arc::clone(&backend), who });
        Self { node: backend, acting, endless, stopped, limit }
    }

    /// Carries out a command and discards its items.
    pub(crate) async fn request(&self, command: Command) -> Result<Reply, Problem> {
        Ok(request(&*self.acting, command).await?)
    }

    /// Returns the backend on the caller's behalf.
    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.acting) as Arc<dyn Backend>
    }

    /// Returns the sender's token and role.
    pub(crate) fn who(&self) -> &Who {
        &self.acting.who
    }

    /// Returns the name of the token.
    pub(crate) fn name(&self) -> &str {
        &self.acting.who.token.name
    }

    /// Returns whether the bytes that the caller sends are counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.limit.counts_bytes()
    }

    /// Counts a message of `bytes` bytes.
    ///
    /// # Errors
    /// `quota`, if the token has exceeded its daily quota.
    pub(crate) fn sent(&self, bytes: usize) -> Result<(), Problem> {
        self.limit.take_message(self.name(), bytes)
    }

    /// Returns the receiver of the server's stop.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.clone()
    }

    /// Ends the caller's session. Has no effect on a token that was not created by logging in.
    pub(crate) async fn log_out(&self) -> Result<(), Problem> {
        if self.who().token.issuer.is_some() {
            // The node stores nothing of another issuer's token.
            return Ok(());
        }
        let command = Command::Logout { name: self.name().to_owned() };
        Ok(request(&*self.node, command).await.map(drop)?)
    }

    /// Completes when the server stops or the token ends, so that a long answer ends as well.
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

    /// Returns whether the token is still valid and its account has the same role.
    async fn is_admitted(&self) -> bool {
        let Who { token, role } = self.who();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        if token.issuer.is_some() {
            return !token.is_over(now);
        }
        let Ok(Reply::Tokens(tokens)) = request(&*self.node, Command::TokenList {}).await else { return true };
        if !tokens.contains(token) || token.is_over(now) {
            return false;
        }
        let Some(account) = &token.account else { return true };
        let Ok(Reply::Accounts(accounts)) = request(&*self.node, Command::AccountList {}).await else { return true };
        accounts.iter().any(|one| one.name == *account && one.role == *role)
    }
}

impl FromRequestParts<Door> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        let who = parts.extensions.get::<Who>().cloned();
        let who = who.ok_or_else(|| Problem::new(Code::Unauthenticated, "the request was not admitted"))?;
        Ok(Self::new(door, who))
    }
}

/// Returns the problem for a reply that does not belong to its command.
pub(crate) fn unexpected() -> Problem {
    Problem::new(Code::Internal, "internal error: the reply does not match the request")
}

/// Extracts the expected kind of reply.
macro_rules! expect_reply {
    ($reply:expr, $pattern:pat => $value:expr) => {
        match $reply {
            $pattern => Ok($value),
            _ => Err($crate::call::unexpected()),
        }
    };
}
pub(crate) use expect_reply;

/// A failure in the middle of an answer. Such a failure aborts the connection, so that no client takes a part for the
/// whole.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) ServiceError);

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Broken {}
