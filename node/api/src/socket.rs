//! The WebSocket: many live queries and feeds over one connection.
//!
//! Messages are JSON objects with a `type`. A subscription sends as many messages as its client gives it credit for; without
//! credit it waits, and what changes meanwhile comes as one batch.

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use core::time::Duration;
use cosmicsync_node::service::{Changes, Command, Item, Query, Reply, SpaceRef, Who, read_json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};

use crate::access::{Door, who_sent};
use crate::call::{Caller, Over, expect_reply};
use crate::model::{BatchView, ChangeView};
use crate::problem::{Code, Problem};

/// The subprotocol.
pub(crate) const PROTOCOL: &str = "cosmicsync.v1";
/// Bytes of a message, at most.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Subscriptions of a connection, at most.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Messages that a subscription may send at first, and at most without more credit.
const CREDIT: (usize, usize) = (16, 1024);
/// Messages that wait for a slow client before subscriptions wait.
const MESSAGES_QUEUED: usize = 16;
/// How long a client may take to say who it is.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is there; one that says nothing for three times as long is not.
const BEAT: Duration = Duration::from_secs(15);
/// Levels of a message around a selector.
const LEVELS_AROUND: usize = 4;

/// The connection closes because the client did not say who it is, or its token ended.
const UNAUTHENTICATED: u16 = 4401;
/// The connection closes because the client was silent for too long.
const SILENT: u16 = 4408;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    /// Says who it is; the first message where the header did not.
    Auth { token: String },
    /// Opens a subscription.
    Sub {
        id: String,
        kind: Kind,
        #[serde(default)]
        space: SpaceRef,
        #[serde(default)]
        collection: Option<String>,
        #[serde(default)]
        selector: Option<Value>,
        #[serde(default)]
        sort: Option<Value>,
        #[serde(default)]
        fields: Option<Value>,
        #[serde(default)]
        limit: Option<u64>,
        #[serde(default)]
        resume: Option<String>,
    },
    /// Ends a subscription.
    Unsub { id: String },
    /// Lets a subscription send more.
    Credit { id: String, n: usize },
    /// Asks for a `pong`.
    Ping {},
}

/// What a subscription follows.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The answer of a query.
    Query,
    /// The changes of a space.
    Feed,
}

/// A subscription.
struct Subscription {
    task: AbortHandle,
    credit: Arc<Semaphore>,
}

/// A connection.
struct Session {
    caller: Caller,
    open: BTreeMap<String, Subscription>,
    tasks: JoinSet<String>,
    out: mpsc::Sender<Value>,
}

/// Serves a connection until either side closes it. `who` is who its header says.
pub(crate) async fn serve(mut socket: WebSocket, door: Door, who: Option<Who>, slot: OwnedSemaphorePermit) {
    let closed = match admitted(&mut socket, &door, who).await {
        Some(who) => follow(&mut socket, Caller::new(&door, who)).await,
        None => Some((UNAUTHENTICATED, "the first message is {\"type\":\"auth\",\"token\":\"...\"}")),
    };
    if let Some((code, reason)) = closed {
        let frame = CloseFrame { code, reason: reason.into() };
        // The client may be gone.
        drop(socket.send(Message::Close(Some(frame))).await);
    }
    drop(slot);
}

/// Finds out who the client is.
async fn admitted(socket: &mut WebSocket, door: &Door, who: Option<Who>) -> Option<Who> {
    if who.is_some() {
        return who;
    }
    let first = timeout(AUTH_TIMEOUT, socket.recv()).await.ok()??.ok()?;
    let Message::Text(text) = first else { return None };
    match read_json(text.as_bytes(), LEVELS_AROUND).ok()? {
        Said::Auth { token } => who_sent(door, token).await.ok(),
        Said::Sub { .. } | Said::Unsub { .. } | Said::Credit { .. } | Said::Ping {} => None,
    }
}

/// Takes messages and sends what subscriptions give. Returns why it closes, unless the client did.
async fn follow(socket: &mut WebSocket, caller: Caller) -> Option<(u16, &'static str)> {
    let (out, mut given) = mpsc::channel(MESSAGES_QUEUED);
    let whole = caller.clone();
    let mut session = Session { caller, open: BTreeMap::new(), tasks: JoinSet::new(), out };
    let (mut beat, mut heard) = (interval(BEAT), Instant::now());
    let over = whole.over();
    tokio::pin!(over);
    loop {
        let answer = tokio::select! {
            biased;
            over = &mut over => {
                return Some(match over {
                    Over::Stopped => (close_code::AWAY, "the node stops"),
                    Over::Revoked => (UNAUTHENTICATED, "the token has ended"),
                });
            }
            Some(ended) = session.tasks.join_next() => {
                session.ended(ended.ok());
                continue;
            }
            Some(message) = given.recv() => Some(Message::Text(message.to_string().into())),
            message = socket.recv() => {
                heard = Instant::now();
                match message? {
                    Ok(Message::Text(text)) => session.told(text.as_bytes()).await,
                    Ok(Message::Binary(_)) => return Some((close_code::UNSUPPORTED, "messages are text")),
                    Ok(Message::Ping(_) | Message::Pong(_)) => None,
                    Ok(Message::Close(_)) | Err(_) => return None,
                }
            }
            _ = beat.tick() => {
                if heard.elapsed() > 3 * BEAT {
                    return Some((SILENT, "nothing was heard of the client"));
                }
                Some(Message::Ping(Bytes::new()))
            }
        };
        if let Some(answer) = answer {
            socket.send(answer).await.ok()?;
        }
    }
}

impl Session {
    /// Carries out a message. Returns what is answered at once.
    async fn told(&mut self, text: &[u8]) -> Option<Message> {
        let answer = match read_json(text, LEVELS_AROUND) {
            Err(mistake) => Some(failed(None, &Problem::json(&mistake))),
            Ok(Said::Ping {}) => Some(json!({ "type": "pong" })),
            Ok(Said::Auth { .. }) => {
                Some(failed(None, &Problem::new(Code::BadRequest, "the connection said who it is already")))
            }
            Ok(Said::Unsub { id }) => {
                if let Some(subscription) = self.open.remove(&id) {
                    subscription.task.abort();
                }
                None
            }
            Ok(Said::Credit { id, n }) => {
                if let Some(subscription) = self.open.get(&id) {
                    let room = CREDIT.1.saturating_sub(subscription.credit.available_permits());
                    subscription.credit.add_permits(n.min(room));
                }
                None
            }
            Ok(Said::Sub { id, kind, space, collection, selector, sort, fields, limit, resume }) => {
                let query = Query {
                    space,
                    collection: collection.clone().unwrap_or_default(),
                    selector,
                    sort,
                    fields,
                    limit,
                    ..Query::default()
                };
                let opened = self.subscribe(&id, kind, query, collection, resume).await;
                opened.err().map(|problem| failed(Some(&id), &problem))
            }
        };
        answer.map(|answer| Message::Text(answer.to_string().into()))
    }

    /// Opens a subscription.
    async fn subscribe(
        &mut self,
        id: &str,
        kind: Kind,
        query: Query,
        collection: Option<String>,
        resume: Option<String>,
    ) -> Result<(), Problem> {
        if self.open.contains_key(id) {
            return Err(Problem::new(Code::Conflict, "a subscription has this id already"));
        }
        if let Some(name) = &collection {
            crate::routes::check_collection(name)?;
        }
        let slot = Arc::clone(&self.caller.endless).try_acquire_owned();
        let slot = slot.ok().filter(|_| self.open.len() < SUBSCRIPTIONS_MAX);
        let slot = slot.ok_or_else(|| Problem::new(Code::Unavailable, "there are too many subscriptions: end one"))?;
        let command = match kind {
            Kind::Query if collection.is_none() => {
                return Err(Problem::new(Code::BadRequest, "a query is of a collection"));
            }
            Kind::Query => Command::Live { query, since: resume },
            Kind::Feed => {
                let space = query.space;
                let since = match resume {
                    Some(since) => since,
                    None => {
                        let now = Command::Changes(Changes { space: space.clone(), ..Changes::default() });
                        let now = self.caller.request(now).await?;
                        let cursor = expect_reply!(now, Reply::Changes { cursor, .. } => cursor)?;
                        let ready = json!({ "type": "ready", "id": id, "cursor": cursor });
                        // Whoever is gone needs no answer.
                        drop(self.out.try_send(ready));
                        cursor
                    }
                };
                Command::DocWatch { space, collection, doc: None, since: Some(since) }
            }
        };
        let credit = Arc::new(Semaphore::new(CREDIT.0));
        let run = run(id.to_owned(), self.caller.clone(), command, Arc::clone(&credit), self.out.clone(), slot);
        let task = self.tasks.spawn(run);
        self.open.insert(id.to_owned(), Subscription { task, credit });
        Ok(())
    }

    /// A subscription ended by itself. One that was ended by its client is forgotten already.
    fn ended(&mut self, id: Option<String>) {
        if let Some(id) = id {
            self.open.remove(&id);
        }
    }
}

/// Carries a subscription out. Returns its id at the end.
async fn run(
    id: String,
    caller: Caller,
    command: Command,
    credit: Arc<Semaphore>,
    out: mpsc::Sender<Value>,
    slot: OwnedSemaphorePermit,
) -> String {
    let problem = followed(&id, &caller, command, &credit, &out).await.err();
    if let Some(problem) = problem {
        let name = if problem.code() == Code::Gone { "gap" } else { "error" };
        let mut message = failed(Some(&id), &problem);
        message["type"] = name.into();
        drop(out.send(message).await);
    }
    drop(slot);
    id
}

async fn followed(
    id: &str,
    caller: &Caller,
    command: Command,
    credit: &Semaphore,
    out: &mpsc::Sender<Value>,
) -> Result<(), Problem> {
    let backend = caller.backend();
    let (sender, mut items) = mpsc::channel(1);
    let mut call = backend.call(command, sender);
    loop {
        let item = tokio::select! {
            biased;
            Some(item) = items.recv() => item,
            result = &mut call => return result.map(drop).map_err(Problem::from),
        };
        let message = match item {
            Item::Change(change) => json!({ "type": "change", "id": id, "change": ChangeView::from(change) }),
            Item::Live(batch) => {
                let (name, batch) = (if batch.reset { "ready" } else { "batch" }, BatchView::from(batch));
                json!({ "type": name, "id": id, "cursor": batch.cursor, "events": batch.events })
            }
            Item::Progress(_)
            | Item::Document(_)
            | Item::Revision(_)
            | Item::Conflict(_)
            | Item::Chunk(_)
            | Item::Bytes(_) => continue,
        };
        if let Ok(permit) = credit.acquire().await {
            permit.forget();
        }
        if out.send(message).await.is_err() {
            return Ok(());
        }
    }
}

/// The message that something failed.
fn failed(id: Option<&str>, problem: &Problem) -> Value {
    json!({ "type": "error", "id": id, "problem": problem })
}
