//! Subscriptions, queries and mutations over a WebSocket, by the protocol `graphql-transport-ws`.
//!
//! A subscription produces its next event once the one before is sent. A slow client makes it wait, and all changes of
//! a live query meanwhile come as one event. Guide: `docs/graphql.md`.

use async_graphql::futures_util::StreamExt as _;
use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError, Value};
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use core::time::Duration;
use cosmicsync_node::service::{SpaceRef, Who, read_json};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval, timeout_at};

use super::answer::{Asked, Prepared, once, prepare, refused, told};
use crate::access::{Door, who_sent};
use crate::call::{Caller, Over};
use crate::problem::{Code, Problem};

/// The subprotocol.
pub(crate) const PROTOCOL: &str = "graphql-transport-ws";
/// Largest number of concurrent operations of a connection.
const OPERATIONS_MAX: usize = 64;
/// Longest wait for the client's token.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of pings; a client that is silent for three intervals is disconnected.
const BEAT: Duration = Duration::from_secs(15);
/// Levels of nesting in a message around a document.
const LEVELS_AROUND: usize = 6;

/// Code and reason of a close, as the protocol defines them.
type Close = (u16, &'static str);
const BAD_MESSAGE: Close = (4400, "the message was not understood");
const NOT_YET: Close = (4401, "Unauthorized");
const ENDED: Close = (4401, "the token has ended");
const FORBIDDEN: Close = (4403, "Forbidden");
const NO_PROTOCOL: Close = (4406, "Subprotocol not acceptable");
const TOO_LATE: Close = (4408, "Connection initialisation timeout");
const SILENT: Close = (4408, "nothing was heard of the client");
const TWICE: Close = (4409, "a subscription has this id already");
const INIT_TWICE: Close = (4429, "Too many initialisation requests");

/// A message of the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    /// Sends the token; the first message.
    ConnectionInit {
        #[serde(default)]
        payload: Option<Json>,
    },
    /// Asks for a pong.
    Ping {},
    /// Answers a ping.
    Pong {},
    /// Starts an operation.
    Subscribe { id: String, payload: Box<Asked> },
    /// Ends an operation.
    Complete { id: String },
}

/// A message of the server about an operation.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    /// An answer.
    Next { id: &'a str, payload: &'a Response },
    /// The request was refused.
    Error { id: &'a str, payload: &'a [ServerError] },
    /// The operation has ended.
    Complete { id: &'a str },
}

/// A message about an operation, before it is sent.
struct Outgoing {
    id: String,
    /// Distinguishes operations that had the same id.
    number: u64,
    text: String,
    is_last: bool,
}

/// A connection.
struct Session {
    door: Door,
    caller: Caller,
    space: SpaceRef,
    open: BTreeMap<String, (u64, AbortHandle)>,
    count: u64,
    tasks: JoinSet<()>,
    out: mpsc::Sender<Outgoing>,
}

/// Serves a connection until either side closes it. `who` is the client according to the header.
pub(crate) async fn serve(
    mut socket: WebSocket,
    door: Door,
    who: Option<Who>,
    space: SpaceRef,
    slot: OwnedSemaphorePermit,
) {
    let closed = match admitted(&mut socket, &door, who).await {
        Ok(who) => follow(&mut socket, door, who, space).await,
        Err(close) => close,
    };
    if let Some((code, reason)) = closed {
        // The client may be gone.
        drop(socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await);
    }
    drop(slot);
}

/// Waits for the first message and authenticates the client. `Err` is the reason for closing, unless the client closed.
async fn admitted(socket: &mut WebSocket, door: &Door, who: Option<Who>) -> Result<Who, Option<Close>> {
    if socket.protocol().is_none_or(|protocol| protocol != PROTOCOL) {
        return Err(Some(NO_PROTOCOL));
    }
    let end = Instant::now() + INIT_TIMEOUT;
    let payload = loop {
        let message = timeout_at(end, socket.recv()).await.map_err(|_| Some(TOO_LATE))?;
        let text = match message.and_then(Result::ok).ok_or(None)? {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Binary(_) => return Err(Some(BAD_MESSAGE)),
            Message::Close(_) => return Err(None),
        };
        match read_json(text.as_bytes(), LEVELS_AROUND).map_err(|_| Some(BAD_MESSAGE))? {
            Said::ConnectionInit { payload } => break payload,
            Said::Ping {} => say(socket, PONG).await.ok_or(None)?,
            Said::Pong {} => {}
            Said::Subscribe { .. } | Said::Complete { .. } => return Err(Some(NOT_YET)),
        }
    };
    let who = match who {
        Some(who) => who,
        None => {
            let sent = payload.as_ref().and_then(|payload| payload.get("token")).and_then(Json::as_str);
            let sent = sent.ok_or(Some(FORBIDDEN))?.to_owned();
            who_sent(door, sent).await.map_err(|_| Some(FORBIDDEN))?
        }
    };
    say(socket, r#"{"type":"connection_ack"}"#).await.ok_or(None)?;
    Ok(who)
}

const PONG: &str = r#"{"type":"pong"}"#;

async fn say(socket: &mut WebSocket, text: &'static str) -> Option<()> {
    socket.send(Message::Text(text.into())).await.ok()
}

/// Handles messages and sends the operations' messages. Returns the reason for closing, unless the client closed.
async fn follow(socket: &mut WebSocket, door: Door, who: Who, space: SpaceRef) -> Option<Close> {
    let (out, mut given) = mpsc::channel(1);
    let caller = Caller::new(&door, who);
    let whole = caller.clone();
    let mut session = Session { door, caller, space, open: BTreeMap::new(), count: 0, tasks: JoinSet::new(), out };
    let (mut beat, mut heard) = (interval(BEAT), Instant::now());
    let over = whole.over();
    tokio::pin!(over);
    loop {
        tokio::select! {
            biased;
            over = &mut over => {
                return Some(match over {
                    Over::Stopped => (close_code::AWAY, "the node stops"),
                    Over::Revoked => ENDED,
                });
            }
            Some(_) = session.tasks.join_next() => {}
            Some(message) = given.recv() => {
                if let Some(text) = session.outgoing(message) {
                    socket.send(Message::Text(text.into())).await.ok()?;
                }
            }
            message = socket.recv() => {
                heard = Instant::now();
                match message? {
                    Ok(Message::Text(text)) => match read_json(text.as_bytes(), LEVELS_AROUND) {
                        Ok(Said::Ping {}) => say(socket, PONG).await?,
                        Ok(said) => if let Err(close) = session.told(said, text.len()) {
                            return Some(close);
                        },
                        Err(_) => return Some(BAD_MESSAGE),
                    },
                    Ok(Message::Binary(_)) => return Some(BAD_MESSAGE),
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(Message::Close(_)) | Err(_) => return None,
                }
            }
            _ = beat.tick() => {
                if heard.elapsed() > 3 * BEAT {
                    return Some(SILENT);
                }
                socket.send(Message::Ping(Bytes::new())).await.ok()?;
            }
        }
    }
}

impl Session {
    /// Carries out a message of `bytes` bytes. `Err` is the reason for closing the connection.
    fn told(&mut self, said: Said, bytes: usize) -> Result<(), Close> {
        match said {
            Said::ConnectionInit { .. } => return Err(INIT_TWICE),
            Said::Ping {} | Said::Pong {} => {}
            Said::Complete { id } => {
                if let Some((_, task)) = self.open.remove(&id) {
                    task.abort();
                }
            }
            Said::Subscribe { id, payload } => {
                if self.open.contains_key(&id) {
                    return Err(TWICE);
                }
                let slot = Arc::clone(&self.door.endless).try_acquire_owned();
                let slot = slot.ok().filter(|_| self.open.len() < OPERATIONS_MAX);
                self.count += 1;
                let operation = Operation {
                    id: id.clone(),
                    number: self.count,
                    door: self.door.clone(),
                    caller: self.caller.clone(),
                    space: self.space.clone(),
                    out: self.out.clone(),
                };
                let counted = self.caller.sent(bytes);
                let task = self.tasks.spawn(operation.run(*payload, slot, counted));
                self.open.insert(id, (self.count, task));
            }
        }
        Ok(())
    }

    /// Returns the text of an operation's message; `None` if the client has ended the operation.
    fn outgoing(&mut self, message: Outgoing) -> Option<String> {
        let Outgoing { id, number, text, is_last } = message;
        self.open.get(&id).filter(|(known, _)| *known == number)?;
        if is_last {
            self.open.remove(&id);
        }
        Some(text)
    }
}

/// An operation of a client.
struct Operation {
    id: String,
    number: u64,
    door: Door,
    caller: Caller,
    space: SpaceRef,
    out: mpsc::Sender<Outgoing>,
}

impl Operation {
    /// Carries out the operation; refuses it if there is no slot, or if the quota is exceeded.
    async fn run(self, asked: Asked, slot: Option<OwnedSemaphorePermit>, counted: Result<(), Problem>) {
        let result = match (counted, &slot) {
            (Err(problem), _) => Err(problem),
            (Ok(()), Some(_)) => self.followed(asked).await,
            (Ok(()), None) => Err(Problem::new(Code::Unavailable, "there are too many subscriptions: end one")),
        };
        match result {
            Ok(true) => self.send(&Told::Complete { id: &self.id }, true).await,
            Ok(false) => {}
            Err(problem) => {
                let refused = refused(&problem);
                self.send(&Told::Error { id: &self.id, payload: &refused.errors }, true).await;
            }
        }
        drop(slot);
    }

    /// Sends the answers. Returns whether the operation ended by itself.
    async fn followed(&self, asked: Asked) -> Result<bool, Problem> {
        let schema = self.door.graphql.current(&self.caller, &self.space).await?;
        let prepared = prepare(asked, self.caller.clone(), self.space.clone())?;
        if prepared.kind != OperationType::Subscription {
            return Ok(self.answer(&once(&schema, prepared).await).await);
        }
        let Prepared { request, room, .. } = prepared;
        let mut events = schema.execute_stream(request);
        while let Some(response) = events.next().await {
            let response = told(response, &room);
            if !self.answer(&response).await {
                return Ok(false);
            }
            if !response.errors.is_empty() {
                break;
            }
        }
        Ok(true)
    }

    /// Sends an answer. Returns whether more may follow, which is false for a refused request.
    async fn answer(&self, response: &Response) -> bool {
        let is_refused = |error: &ServerError| error.path.is_empty();
        if response.data == Value::Null && !response.errors.is_empty() && response.errors.iter().all(is_refused) {
            self.send(&Told::Error { id: &self.id, payload: &response.errors }, true).await;
            return false;
        }
        self.send(&Told::Next { id: &self.id, payload: response }, false).await;
        true
    }

    async fn send(&self, told: &Told<'_>, is_last: bool) {
        let mut text = Vec::new();
        crate::shape::write(told, &mut text);
        let text = String::from_utf8(text).unwrap_or_default();
        let message = Outgoing { id: self.id.clone(), number: self.number, text, is_last };
        // The client may be gone.
        drop(self.out.send(message).await);
    }
}
