//! Gives each request an id, and admits requests with a valid token.

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{Backend, Command, Reply, Secret, Who, request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument as _;

use crate::call::expect_reply;
use crate::issuer::Issuer;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::presence::Rooms;
use crate::problem::{Code, Problem, REQUEST_ID};
use crate::routes::console::is_open;
use crate::settings::Parent;

/// Paths that need no token: they answer the same on every node of this version, or log a client in. The console's
/// files need none either.
pub const OPEN_PATHS: [&str; 4] = ["/healthz", "/docs/errors", "/v1/openapi.json", "/v1/auth/login"];

/// Routes of WebSockets. Their token may come in the first message, because a browser cannot set their headers.
pub(crate) const SOCKET_PATHS: [&str; 3] = ["/v1/ws", "/graphql", "/v1/spaces/{space}/graphql"];

/// Longest request id that a client may choose, in characters.
const ID_CHARS_MAX: usize = 64;

/// The state that all routes share.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) backend: Arc<dyn Backend>,
    /// Limits concurrent answers without an end, which go on until the client leaves.
    pub(crate) endless: Arc<Semaphore>,
    /// Limits concurrent WebSockets.
    pub(crate) sockets: Arc<Semaphore>,
    /// The clients that are present at documents.
    pub(crate) rooms: Arc<Rooms>,
    /// Cached GraphQL schemas.
    pub(crate) graphql: Arc<crate::graphql::Schemas>,
    /// The limits of each token.
    pub(crate) limit: Arc<Limit>,
    /// Another issuer whose tokens the node accepts.
    pub(crate) issuer: Option<Arc<Issuer>>,
    /// True once the server stops.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Adds request ids and the check of tokens to every route.
pub(crate) fn guarded(router: Router, door: Door, metrics: Metrics, parent: Option<Parent>) -> Router {
    let named = Arc::new(Named { process: getrandom::u64().unwrap_or_default(), count: AtomicU64::new(0), parent });
    router.layer(from_fn_with_state(door, admit)).layer(from_fn(move |request: Request, next: Next| {
        let (named, metrics) = (Arc::clone(&named), metrics.clone());
        async move { envelope(&named, &metrics, request, next).await }
    }))
}

/// Generates ids of requests, unique in this process and different from those of other processes.
struct Named {
    process: u64,
    count: AtomicU64,
    parent: Option<Parent>,
}

impl Named {
    fn next(&self) -> String {
        format!("{:016x}-{}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// Gives a request its id, completes problem bodies, and logs the result. The log never contains content, names of
/// documents, or tokens.
async fn envelope(named: &Named, metrics: &Metrics, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let under_way = metrics.begin();
    let id = chosen(request.headers()).unwrap_or_else(|| named.next());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "http",
        otel.name = route.as_deref().map(|route| format!("{method} {route}")),
        otel.kind = "server",
        http.request.method = %method,
        http.route = route.as_deref(),
        http.response.status_code = tracing::field::Empty,
        id,
    );
    if let Some(parent) = named.parent {
        parent(request.headers(), &span);
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    drop(span);
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if method != Method::HEAD {
            *response.body_mut() = Body::from(problem.body(&id));
        }
        if problem.code().status().is_server_error() {
            tracing::warn!(id, code = problem.code().name(), "a request failed");
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // An answer is valid at one moment and for one token.
    let fresh = HeaderValue::from_static("private, no-cache");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(fresh);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    drop(under_way);
    metrics.note(route.as_deref(), &method, response.status(), begun.elapsed());
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let route = route.unwrap_or_default();
    tracing::debug!(id, %method, route, status = response.status().as_u16(), micros, "http");
    response
}

/// Returns the request id that the client chose, if it is valid.
fn chosen(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ((1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_plain)).then(|| id.to_owned())
}

/// Admits a request with a valid token.
async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let says_later = is_socket(&request) && !request.headers().contains_key(header::AUTHORIZATION);
    if OPEN_PATHS.contains(&path) || is_open(path) || says_later {
        return next.run(request).await;
    }
    match checked(&door, request.headers()).await {
        Ok(who) => {
            let limit = Arc::clone(&door.limit);
            let (parts, body) = request.into_parts();
            let body = match limit.metered(&who.token.name, body) {
                Ok(body) => body,
                Err(problem) => return problem.into_response(),
            };
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Returns whether a request opens a WebSocket.
fn is_socket(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    request.method() == Method::GET && route.is_some_and(|route| SOCKET_PATHS.contains(&route))
}

async fn checked(door: &Door, headers: &HeaderMap) -> Result<Who, Problem> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = sent.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = bearer else {
        let problem = Problem::new(Code::Unauthenticated, "the request has no header `Authorization: Bearer TOKEN`");
        return Err(problem.next("cosmicsync token create NAME"));
    };
    who_sent(door, token.trim().to_owned()).await
}

/// Returns the owner of a client's token.
pub(crate) async fn who_sent(door: &Door, sent: String) -> Result<Who, Problem> {
    let who = match &door.issuer {
        Some(issuer) if Issuer::is_like(&sent) => issuer.check(&sent).await?,
        Some(_) | None => {
            let command = Command::TokenCheck { token: Secret(sent) };
            expect_reply!(request(&*door.backend, command).await?, Reply::Who(who) => who)?
        }
    };
    door.limit.take(&who.token.name)?;
    Ok(who)
}
