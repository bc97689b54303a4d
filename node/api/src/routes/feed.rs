//! Routes about changes: the feed of a space, and live queries.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use cosmicsync_node::service::{Changes, Command, Query, Reply, Who, parse_json};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use super::docs::{listed, sort_field};
use super::{CollectionPath, SpacePath, check_collection, check_limit};
use crate::access::Door;
use crate::call::{Caller, expect_reply};
use crate::extract::{self, Path};
use crate::model::ChangePage;
use crate::problem::{Code, Problem};
use crate::shape::{ChangeEvents, ListOf, LiveEvents, event};
use crate::socket::{MESSAGE_BYTES_MAX, PROTOCOL, serve};
use crate::stream::{answer, events};

/// Size of a WebSocket's buffers for reading and writing, in bytes.
const SOCKET_BUFFER_BYTES: usize = 4096;
/// Default and largest number of changes in an answer.
const CHANGES: (u64, u64) = (100, 1_000);
/// Default and longest wait for a change, in milliseconds. Proxies give up after 30 seconds.
const WAIT_MS_MAX: u64 = 25_000;

/// The way in which changes are sent.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Feed {
    /// Answers with the changes so far.
    #[default]
    Normal,
    /// Answers with the changes so far; if there are none, waits for one.
    Longpoll,
    /// Sends server-sent events without an end.
    Eventsource,
}

/// Options of a feed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeedOptions {
    /// The cursor after which to begin; without it, the feed begins now.
    #[param(pattern = r"^[0-9a-f]{16}\.[0-9]+$")]
    since: Option<String>,
    /// `normal` answers with the changes so far. `longpoll` waits if there are none. `eventsource` sends events
    /// `ready`, `change` and `gap` without an end.
    #[serde(default)]
    #[param(inline)]
    feed: Feed,
    /// The only collection to report.
    #[param(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*$")]
    collection: Option<String>,
    /// Largest number of changes; ignored for events.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// Longest wait of a `longpoll`, in milliseconds.
    #[param(maximum = 25000, default = 25000)]
    timeout: Option<u64>,
}

/// Reports the changes in a space, oldest first.
///
/// If a document changed several times, only its last change may be reported. After an event `gap`, read the documents
/// again, because the changes before it have been discarded. An event `problem` tells why the stream ends.
#[utoipa::path(get, operation_id = "followChanges", path = "/v1/spaces/{space}/changes", tag = "changes",
    params(SpacePath, FeedOptions,
        ("Last-Event-ID" = Option<String>, Header, pattern = r"^([0-9a-f]{16}\.[0-9]+)?$",
            description = "As `since`, which an event source sends by itself.")),
    responses((status = 200, content((ChangePage = "application/json"), (String = "text/event-stream")))))]
pub(super) async fn changes(
    caller: Caller,
    Path(path): Path<SpacePath>,
    extract::Query(options): extract::Query<FeedOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let FeedOptions { since, feed, collection, limit, timeout } = options;
    if let Some(collection) = &collection {
        check_collection(collection)?;
    }
    let limit = match limit.unwrap_or(CHANGES.0) {
        limit if (1..=CHANGES.1).contains(&limit) => limit,
        other => {
            return Err(Problem::new(
                Code::BadRequest,
                format!("an answer has 1 to {} changes, not {other}", CHANGES.1),
            ));
        }
    };
    let last = last_event(&headers)?;
    if timeout.is_some_and(|timeout| timeout > WAIT_MS_MAX) {
        let detail = format!("an answer waits for at most {WAIT_MS_MAX} ms: ask again after it");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let wait_ms = match feed {
        Feed::Normal => 0,
        Feed::Longpoll => timeout.unwrap_or(WAIT_MS_MAX),
        Feed::Eventsource => {
            let since = last.or(since);
            return followed(&caller, path, collection, since).await;
        }
    };
    let command = Command::Changes(Changes { space: path.space(), collection, since, limit, wait_ms });
    answer(&caller, command, ListOf::new("changes"), "application/json").await
}

/// Follows the changes of a space.
async fn followed(
    caller: &Caller,
    path: SpacePath,
    collection: Option<String>,
    since: Option<String>,
) -> Result<Response, Problem> {
    let space = path.space();
    let watch = |since: String| Command::DocWatch {
        space: space.clone(),
        collection: collection.clone(),
        doc: None,
        since: Some(since),
    };
    let name = match since {
        None => "ready",
        Some(since) => {
            let begin = event(Some(&since), "ready", &serde_json::json!({ "cursor": since }));
            match events(caller, watch(since), ChangeEvents, begin).await {
                // Changes are missing: the client is told, and the stream begins now.
                Err(problem) if problem.code() == Code::Gone => "gap",
                answered => return answered,
            }
        }
    };
    let now = Command::Changes(Changes { space: space.clone(), ..Changes::default() });
    let now = expect_reply!(caller.request(now).await?, Reply::Changes { cursor, .. } => cursor)?;
    let begin = event(Some(&now), name, &serde_json::json!({ "cursor": now }));
    events(caller, watch(now), ChangeEvents, begin).await
}

/// Options of a live query.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LiveOptions {
    /// A selector in JSON, such as `{"age":{"$gt":20}}`.
    #[serde(rename = "where")]
    #[param(rename = "where")]
    selector: Option<String>,
    /// Paths to sort by, separated by commas; a leading `-` sorts descending, as in `state,-population`.
    sort: Option<String>,
    /// Paths of the members to return, separated by commas, such as `name,address.city`.
    fields: Option<String>,
    /// Largest number of documents; without it, all matching documents are returned.
    #[param(minimum = 1, maximum = 1_000_000)]
    limit: Option<u64>,
    /// The cursor of the last batch that the client has.
    #[param(pattern = r"^[0-9a-f]{16}\.[0-9]+$")]
    since: Option<String>,
}

/// Runs a live query.
///
/// The answer is a stream of server-sent events. An event `ready` has the whole answer and replaces earlier ones; an
/// event `batch` has the changes of the answer.
#[utoipa::path(get, operation_id = "followQuery", path = "/v1/spaces/{space}/collections/{collection}/live",
    tag = "changes",
    params(CollectionPath, LiveOptions,
        ("Last-Event-ID" = Option<String>, Header, pattern = r"^([0-9a-f]{16}\.[0-9]+)?$",
            description = "As `since`, which an event source sends by itself.")),
    responses((status = 200, content((String = "text/event-stream")))))]
pub(super) async fn live(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    extract::Query(options): extract::Query<LiveOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, collection) = path.parts()?;
    let LiveOptions { selector, sort, fields, limit, since } = options;
    check_limit(limit)?;
    let selector = selector.map(|text| parse_json(&text).map_err(|mistake| Problem::json(&mistake))).transpose()?;
    let query = Query {
        space,
        collection,
        selector,
        sort: sort.map(|text| listed(&text, sort_field)),
        fields: fields.map(|text| listed(&text, |path| Value::from(path))),
        limit,
        ..Query::default()
    };
    let since = last_event(&headers)?.or(since);
    let command = |since| Command::Live { query: query.clone(), since };
    match events(&caller, command(since), LiveEvents, Vec::new()).await {
        // The cursor is no longer valid, so the whole answer is sent again.
        Err(problem) if problem.code() == Code::Gone => events(&caller, command(None), LiveEvents, Vec::new()).await,
        answered => answered,
    }
}

/// Opens a WebSocket.
pub(super) async fn socket(
    State(door): State<Door>,
    who: Option<Extension<Who>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|error| Problem::new(Code::UpgradeRequired, error.body_text()))?;
    let slot = Arc::clone(&door.sockets).try_acquire_owned();
    let slot = slot.map_err(|_| Problem::new(Code::Unavailable, "there are too many WebSockets"))?;
    let upgrade =
        small(upgrade).protocols([PROTOCOL]).max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    let who = who.map(|Extension(who)| who);
    Ok(upgrade.on_upgrade(move |socket| serve(socket, door, who, slot)))
}

/// Limits a WebSocket's buffers, which exist while it is idle; messages may be larger.
pub(super) fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade.read_buffer_size(SOCKET_BUFFER_BYTES).write_buffer_size(SOCKET_BUFFER_BYTES)
}

/// Returns the cursor that an event source sends back.
fn last_event(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().unwrap_or("?");
    if !id.is_empty() && !is_cursor(id) {
        return Err(Problem::new(Code::BadRequest, "the Last-Event-ID is not a cursor"));
    }
    // An empty id means none: an event source sends it after a server has reset the id.
    Ok(Some(id.to_owned()).filter(|id| !id.is_empty()))
}

/// Returns whether a text has the form of a cursor: 16 hex digits, a full stop and a number.
fn is_cursor(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.split_once('.')
        .is_some_and(|(life, number)| life.len() == 16 && life.bytes().all(is_hex) && number.parse::<u64>().is_ok())
}
