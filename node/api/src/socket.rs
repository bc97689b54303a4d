//! The WebSocket: live queries, feeds, documents and presence over one connection.
//!
//! Messages are JSON objects with a `type`. A subscription sends as many messages as its client has given it credit
//! for. Without credit it waits, and all changes meanwhile come as one batch. Guide: `docs/api.md`.

mod follow;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use core::time::Duration;
use cosmicsync_node::service::{Changes, Command, DocView, DocWrite, Query, Reply, SpaceRef, Who, read_json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};

use crate::access::{Door, who_sent};
use crate::call::{Caller, Over, expect_reply};
use crate::model::{DocumentView, Write};
use crate::presence::{Present, Rooms, Voice};
use crate::problem::{Code, Problem};
use crate::routes::{Named, find, write_one};
use follow::Follow;

/// The subprotocol.
pub(crate) const PROTOCOL: &str = "cosmicsync.v1";
/// Largest message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Largest number of subscriptions of a connection.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Initial and largest number of messages that a subscription may send without more credit.
const CREDIT: (usize, usize) = (16, 1024);
/// Number of messages that wait for a slow client before subscriptions wait.
const MESSAGES_QUEUED: usize = 16;
/// Largest announced presence state, in bytes of JSON.
const STATE_BYTES_MAX: usize = 4096;
/// Longest wait for the client's token.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of pings; a client that is silent for three intervals is disconnected.
const BEAT: Duration = Duration::from_secs(15);
/// Levels of nesting in a message around a selector.
const LEVELS_AROUND: usize = 4;

/// Close code: the client sent no valid token, or its token has ended.
const UNAUTHENTICATED: u16 = 4401;
/// Close code: the client was silent for too long.
const SILENT: u16 = 4408;

/// A message of the client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    /// Sends the token; the first message, if the header had no token.
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
        key: Option<String>,
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
    /// Allows a subscription to send more messages.
    Credit { id: String, n: usize },
    /// Writes a document.
    Edit {
        id: String,
        #[serde(default)]
        space: SpaceRef,
        write: Write,
    },
    /// Announces the client's state to the others at a document.
    Presence { id: String, state: Value },
    /// Asks for a `pong`.
    Ping {},
}

/// The subject of a subscription.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The answer of a query.
    Query,
    /// The changes of a space.
    Feed,
    /// A document.
    Doc,
    /// The clients at a document.
    Presence,
}

/// A request to subscribe.
struct Asked {
    kind: Kind,
    query: Query,
    collection: Option<String>,
    key: Option<String>,
    resume: Option<String>,
}

/// A subscription.
struct Subscription {
    task: AbortHandle,
    credit: Arc<Semaphore>,
    /// The handle to announce presence; none for other kinds.
    voice: Option<Voice>,
}

/// A connection.
struct Session {
    caller: Caller,
    rooms: Arc<Rooms>,
    open: BTreeMap<String, Subscription>,
    tasks: JoinSet<String>,
    out: mpsc::Sender<Value>,
}

/// Serves a connection until either side closes it. `who` is the client according to the header.
pub(crate) async fn serve(mut socket: WebSocket, door: Door, who: Option<Who>, slot: OwnedSemaphorePermit) {
    let closed = match admitted(&mut socket, &door, who).await {
        Some(who) => follow(&mut socket, Caller::new(&door, who), Arc::clone(&door.rooms)).await,
        None => Some((UNAUTHENTICATED, "the first message is {\"type\":\"auth\",\"token\":\"...\"}")),
    };
    if let Some((code, reason)) = closed {
        let frame = CloseFrame { code, reason: reason.into() };
        // The client may be gone.
        drop(socket.send(Message::Close(Some(frame))).await);
    }
    drop(slot);
}

/// Authenticates the client.
async fn admitted(socket: &mut WebSocket, door: &Door, who: Option<Who>) -> Option<Who> {
    if who.is_some() {
        return who;
    }
    let first = timeout(AUTH_TIMEOUT, socket.recv()).await.ok()??.ok()?;
    let Message::Text(text) = first else { return None };
    match read_json(text.as_bytes(), LEVELS_AROUND).ok()? {
        Said::Auth { token } => who_sent(door, token).await.ok(),
        Said::Sub { .. }
        | Said::Unsub { .. }
        | Said::Credit { .. }
        | Said::Edit { .. }
        | Said::Presence { .. }
        | Said::Ping {} => None,
    }
}

/// Handles messages and sends the subscriptions' messages. Returns the reason for closing, unless the client closed.
async fn follow(socket: &mut WebSocket, caller: Caller, rooms: Arc<Rooms>) -> Option<(u16, &'static str)> {
    let (out, mut given) = mpsc::channel(MESSAGES_QUEUED);
    let whole = caller.clone();
    let mut session = Session { caller, rooms, open: BTreeMap::new(), tasks: JoinSet::new(), out };
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
    /// Carries out a message. Returns the immediate answer.
    async fn told(&mut self, text: &[u8]) -> Option<Message> {
        let answer = match read_json(text, LEVELS_AROUND) {
            Err(mistake) => Some(failed(None, &Problem::json(&mistake))),
            Ok(Said::Ping {}) => Some(json!({ "type": "pong" })),
            Ok(Said::Auth { .. }) => {
                Some(failed(None, &Problem::new(Code::BadRequest, "the connection is authenticated already")))
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
            Ok(Said::Edit { id, space, write }) => Some(match self.edit(space, write, text.len()).await {
                Ok(version) => json!({ "type": "ack", "id": id, "version": version }),
                Err(problem) => failed(Some(&id), &problem),
            }),
            Ok(Said::Presence { id, state }) => {
                let said = self.caller.sent(text.len()).and_then(|()| self.present(&id, state));
                said.err().map(|problem| failed(Some(&id), &problem))
            }
            Ok(Said::Sub { id, kind, space, collection, key, selector, sort, fields, limit, resume }) => {
                let query = Query {
                    space,
                    collection: collection.clone().unwrap_or_default(),
                    selector,
                    sort,
                    fields,
                    limit,
                    ..Query::default()
                };
                let opened = self.subscribe(&id, Asked { kind, query, collection, key, resume }).await;
                opened.err().map(|problem| failed(Some(&id), &problem))
            }
        };
        answer.map(|answer| Message::Text(answer.to_string().into()))
    }

    /// Carries out a write that came in a message of `bytes` bytes. Returns the new version.
    async fn edit(&self, space: SpaceRef, write: Write, bytes: usize) -> Result<Option<String>, Problem> {
        self.caller.sent(bytes)?;
        crate::routes::check_collection(write.doc().split('/').next().unwrap_or_default())?;
        let op = write.into_op().map_err(|error| Problem::new(Code::BadJson, error.to_string()))?;
        let write = DocWrite { space, writes: vec![op], idempotency_key: None };
        Ok(write_one(&self.caller, write).await?.version.map(|version| version.to_string()))
    }

    /// Announces a state to the clients at a document.
    fn present(&self, id: &str, state: Value) -> Result<(), Problem> {
        let voice = self.open.get(id).and_then(|subscription| subscription.voice.as_ref());
        let voice = voice.ok_or_else(|| {
            Problem::new(Code::NotFound, "no subscription of kind presence has this id: send its sub first")
        })?;
        if state.to_string().len() > STATE_BYTES_MAX {
            return Err(Problem::new(Code::TooLarge, format!("a state has at most {STATE_BYTES_MAX} bytes")));
        }
        let token = &self.caller.who().token;
        let account = token.account.as_ref().unwrap_or(&token.name).clone();
        voice.say(Present { account, state });
        Ok(())
    }

    /// Opens a subscription.
    async fn subscribe(&mut self, id: &str, asked: Asked) -> Result<(), Problem> {
        if self.open.contains_key(id) {
            return Err(Problem::new(Code::Conflict, "a subscription has this id already"));
        }
        let slot = Arc::clone(&self.caller.endless).try_acquire_owned();
        let slot = slot.ok().filter(|_| self.open.len() < SUBSCRIPTIONS_MAX);
        let slot = slot.ok_or_else(|| Problem::new(Code::Unavailable, "there are too many subscriptions: end one"))?;
        let Asked { kind, query, collection, key, resume } = asked;
        if let Some(name) = &collection {
            crate::routes::check_collection(name)?;
        }
        let missing = |what: &str| Problem::new(Code::BadRequest, what);
        let named = |space: SpaceRef| match (collection.clone(), key) {
            (Some(collection), Some(key)) => Named::new(space, collection, key),
            (None, _) | (_, None) => Err(missing("a document is named by its collection and its key")),
        };
        let credit = Arc::new(Semaphore::new(CREDIT.0));
        let mut follow = Follow { id: id.to_owned(), caller: self.caller.clone(), out: self.out.clone(), ready: None };
        let (task, voice) = match kind {
            Kind::Query if collection.is_none() => return Err(missing("a query is of a collection")),
            Kind::Query => {
                let command = Command::Live { query, since: resume };
                (self.tasks.spawn(follow.command(command, Arc::clone(&credit), slot)), None)
            }
            Kind::Feed => {
                let space = query.space;
                let since = match resume {
                    Some(since) => since,
                    None => {
                        let cursor = self.cursor(space.clone()).await?;
                        follow.ready = Some(json!({ "type": "ready", "id": id, "cursor": cursor }));
                        cursor
                    }
                };
                let command = Command::DocWatch { space, collection, doc: None, since: Some(since) };
                (self.tasks.spawn(follow.command(command, Arc::clone(&credit), slot)), None)
            }
            Kind::Doc => {
                let named = named(query.space)?;
                let since = match resume {
                    Some(since) => since,
                    None => {
                        // The cursor is read first, so that a change meanwhile is reported twice rather than missed.
                        let cursor = self.cursor(named.space.clone()).await?;
                        let document = self.document(&named).await?.map(DocumentView::from);
                        follow.ready =
                            Some(json!({ "type": "ready", "id": id, "cursor": cursor, "document": document }));
                        cursor
                    }
                };
                let Named { space, collection, doc } = named;
                let command =
                    Command::DocWatch { space, collection: Some(collection), doc: Some(doc), since: Some(since) };
                (self.tasks.spawn(follow.command(command, Arc::clone(&credit), slot)), None)
            }
            Kind::Presence => {
                let document = find(&self.caller, &named(query.space)?).await?;
                let seat = self.rooms.join(document.doc.to_string());
                let voice = seat.voice();
                (self.tasks.spawn(follow.people(seat, slot)), Some(voice))
            }
        };
        self.open.insert(id.to_owned(), Subscription { task, credit, voice });
        Ok(())
    }

    /// Returns the present cursor of a space's changes.
    async fn cursor(&self, space: SpaceRef) -> Result<String, Problem> {
        let now = Command::Changes(Changes { space, ..Changes::default() });
        expect_reply!(self.caller.request(now).await?, Reply::Changes { cursor, .. } => cursor)
    }

    /// Reads a document; returns `None` if it does not exist.
    async fn document(&self, named: &Named) -> Result<Option<DocView>, Problem> {
        match find(&self.caller, named).await {
            Ok(found) => Ok(Some(found)),
            Err(problem) if problem.is_missing_document() => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Handles a subscription that ended by itself. One that its client ended is removed already.
    fn ended(&mut self, id: Option<String>) {
        if let Some(id) = id {
            self.open.remove(&id);
        }
    }
}

/// Returns the message about a failure.
fn failed(id: Option<&str>, problem: &Problem) -> Value {
    json!({ "type": "error", "id": id, "problem": problem })
}
