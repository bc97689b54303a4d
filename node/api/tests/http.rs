//! The HTTP API over a real node and its store: every route, and every status.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use core::time::Duration;
use cosmicsync_api::{Code, Metrics, Settings, router};
use cosmicsync_node::service::{Backend, Command, Reply, Scope, TokenCreate, request};
use cosmicsync_node::{Node, Options, init};
use http_body::Body as _;
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;

#[path = "http/access.rs"]
mod access;
#[path = "http/accounts.rs"]
mod accounts;
#[path = "http/console.rs"]
mod console;
#[path = "http/documents.rs"]
mod documents;
#[path = "http/errors.rs"]
mod errors;
#[path = "http/feed.rs"]
mod feed;
#[path = "http/files.rs"]
mod files;
#[path = "http/graphql.rs"]
mod graphql;
#[path = "http/graphql_live.rs"]
mod graphql_live;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/operate.rs"]
mod operate;
#[path = "http/queries.rs"]
mod queries;
#[path = "http/remote.rs"]
mod remote;
#[path = "http/schemas.rs"]
mod schemas;
#[path = "http/settings.rs"]
mod settings;
#[path = "http/sockets.rs"]
mod sockets;
#[path = "http/streams.rs"]
mod streams;

/// Longest time for any step.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node with a space, its router, and a token for each scope.
struct World {
    router: Router,
    node: Arc<Node>,
    write: String,
    read: String,
    stop: watch::Sender<bool>,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::set(&Settings::default()).await
    }

    /// Returns a world whose API has other settings.
    async fn set(settings: &Settings) -> Self {
        let dir = TempDir::new().expect("a directory");
        init(dir.path(), "test").await.expect("a user");
        let node = open(&dir).await;
        request(&*node, Command::SpaceCreate { name: "home".to_owned() }).await.expect("a space");
        let (write, read) = (token(&*node, Scope::Write, None).await, token(&*node, Scope::Read, None).await);
        let (stop, stopped) = watch::channel(false);
        let router = router(Arc::clone(&node) as Arc<dyn Backend>, settings, Metrics::default(), stopped);
        Self { router, node, write, read, stop, dir }
    }

    /// Sends a request with the token that allows everything.
    async fn call(&self, method: &str, path: &str, body: impl Into<Sent>) -> Answer {
        self.send(&self.write, method, path, &[], body).await
    }

    /// Sends a request with headers, and the token that allows everything.
    async fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Sent>) -> Answer {
        self.send(&self.write, method, path, headers, body).await
    }

    async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Sent>,
    ) -> Answer {
        let answer = self.open(token, method, path, headers, body).await;
        let (parts, mut body) = answer.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = next(&mut body).await {
            bytes.extend(piece);
        }
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    /// Sends a request and leaves the body unread.
    async fn open(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Sent>,
    ) -> axum::response::Response {
        let Sent { media_type, body } = body.into();
        let path = path.strip_prefix('/').map_or_else(|| format!("/v1/spaces/-/{path}"), |path| format!("/{path}"));
        let method: Method = method.parse().expect("a method");
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let own = headers.iter().any(|(name, _)| *name == "content-type");
        if let Some(media_type) = media_type.filter(|_| !own) {
            request = request.header("content-type", media_type);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let answer = tokio::time::timeout(PATIENCE, self.router.clone().oneshot(request));
        answer.await.expect("in time").expect("an answer")
    }
}

async fn open(dir: &TempDir) -> Arc<Node> {
    Arc::new(Node::open(dir.path(), Options::default()).await.expect("it opens"))
}

async fn token(node: &dyn Backend, scope: Scope, expires_ms: Option<u64>) -> String {
    let name = format!("{scope:?} {expires_ms:?}");
    let command = Command::TokenCreate(TokenCreate { expires_ms, ..TokenCreate::new(name, scope) });
    let Ok(Reply::TokenMade(made)) = request(node, command).await else { panic!("no token") };
    made.token.0
}

/// Returns the next piece of a body; `None` at its end, and if it is cut off.
async fn next(body: &mut Body) -> Option<Vec<u8>> {
    let frame = core::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    let frame = tokio::time::timeout(PATIENCE, frame).await.expect("in time")?.ok()?;
    frame.into_data().ok().map(|bytes| bytes.to_vec())
}

/// The body of a request.
struct Sent {
    media_type: Option<&'static str>,
    body: Body,
}

impl From<Value> for Sent {
    fn from(value: Value) -> Self {
        Self { media_type: Some("application/json"), body: Body::from(value.to_string()) }
    }
}

impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self { media_type: Some("application/json"), body: Body::from(text.to_owned()) }
    }
}

impl From<Body> for Sent {
    fn from(body: Body) -> Self {
        Self { media_type: None, body }
    }
}

impl From<()> for Sent {
    fn from((): ()) -> Self {
        Self { media_type: None, body: Body::empty() }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes).expect("text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Checks the status and returns the answer's JSON.
    #[track_caller]
    fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that the answer is a well-formed problem with this code.
    #[track_caller]
    fn failed(&self, code: &str) -> Value {
        let known = Code::ALL.iter().find(|known| known.name() == code).expect("a code");
        assert_eq!(self.status, known.status(), "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("/docs/errors#{code}"));
        assert_eq!(problem["status"], known.status().as_u16());
        assert_eq!(problem["requestId"], self.header("x-request-id"));
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        problem
    }
}
