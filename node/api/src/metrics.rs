//! Metrics for Prometheus, in the OpenMetrics format: about requests, and about the node's state.
//!
//! The metrics contain no names of documents, collections, spaces, accounts or tokens: labels are routes, methods,
//! statuses, states and ids of spaces. The metrics are served by a listener of their own, which needs no token. Bind it
//! where only operators can connect. Guide: `docs/operate.md`.

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use core::time::Duration;
use cosmicsync_node::service::{Backend, Command, PeerState, Reply, Status, request};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

use crate::call::expect_reply;
use crate::problem::{Code, Problem};

/// Media type of the metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Went {
    route: String,
    method: &'static str,
    status: u16,
}

/// Label of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    route: String,
}

/// Metrics about requests. Clones share their counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Went, Counter>,
    seconds: Family<Of, Histogram>,
    under_way: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cosmicsync");
        let requests = Family::default();
        let seconds =
            Family::new_with_constructor((|| Histogram::new(exponential_buckets(0.0005, 2.0, 14))) as fn() -> _);
        let under_way = Gauge::default();
        registry.register("http_requests", "Requests that were answered", requests.clone());
        let help = "Time until the head of the answer was made";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, seconds.clone());
        registry.register("http_requests_under_way", "Requests whose answer has no head yet", under_way.clone());
        Self { registry: Arc::new(registry), requests, seconds, under_way }
    }
}

/// A request in progress, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Records the start of a request.
    pub(crate) fn begin(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// Records the result of a request. Paths without a route share one label, so that clients cannot create labels.
    pub(crate) fn note(&self, route: Option<&str>, method: &Method, status: StatusCode, time: Duration) {
        let route = route.unwrap_or("none").to_owned();
        self.seconds.get_or_create(&Of { route: route.clone() }).observe(time.as_secs_f64());
        let went = Went { route, method: name_of(method), status: status.as_u16() };
        self.requests.get_or_create(&went).inc();
    }
}

/// Returns the name of a method; unknown methods share one.
const fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The state of the operator's routes.
#[derive(Debug, Clone)]
struct Watched {
    backend: Arc<dyn Backend>,
    metrics: Metrics,
}

/// Returns the router for the operator of a node: `/metrics`, `/healthz` and `/readyz`. The routes need no token.
pub fn operator_router(backend: Arc<dyn Backend>, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", axum::routing::get(figures))
        .route("/healthz", axum::routing::get(health))
        .route("/readyz", axum::routing::get(ready))
        .with_state(Watched { backend, metrics })
}

/// Answers as long as the process is alive.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// Answers whether the node accepts writes.
async fn ready(State(watched): State<Watched>) -> Response {
    let why = match status(&watched).await {
        Err(_) => Some("the node does not answer".to_owned()),
        Ok(status) if status.store.bytes >= status.store.bytes_max => Some("the store is full".to_owned()),
        Ok(status) => status.store.error,
    };
    match why {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn figures(State(watched): State<Watched>) -> Response {
    let mut text = String::new();
    let written = match status(&watched).await {
        Ok(status) => encode(&mut text, &of_node(&status)).and_then(|()| {
            // Each part ends with the end mark; the whole text must have only one.
            text.truncate(text.len().saturating_sub("# EOF\n".len()));
            encode(&mut text, &watched.metrics.registry)
        }),
        // The metrics about requests may explain the failure.
        Err(_) => encode(&mut text, &watched.metrics.registry),
    };
    match written {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(core::fmt::Error) => Problem::new(Code::Internal, "the metrics could not be written").into_response(),
    }
}

async fn status(watched: &Watched) -> Result<Box<Status>, Problem> {
    expect_reply!(request(&*watched.backend, Command::Status {}).await?, Reply::Status(status) => status)
}

/// Label of a space, its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InSpace {
    space: String,
}

/// Label of a peer's state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// Label of a direction of traffic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// Returns metrics about the node's present state.
fn of_node(status: &Status) -> Registry {
    let mut registry = Registry::with_prefix("cosmicsync");
    let gauge = |number: u64| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
    let store = &status.store;
    registry.register_with_unit(
        "uptime",
        "Time since the node started",
        Unit::Seconds,
        gauge(status.uptime_ms.checked_div(1000).unwrap_or_default()),
    );
    registry.register_with_unit("store_size", "Size of the store", Unit::Bytes, gauge(store.bytes));
    registry.register_with_unit(
        "store_limit",
        "Size from which on nothing is written",
        Unit::Bytes,
        gauge(store.bytes_max),
    );
    registry.register("store_entries", "Entries that the store holds", gauge(store.entries));
    registry.register("store_logs", "Logs that the store holds", gauge(store.logs));
    registry.register("store_failing", "1 while the store takes no requests", gauge(store.error.is_some().into()));
    registry.register("paused", "1 while links are paused", gauge(status.paused.into()));
    let bytes = Family::<Direction, Counter>::default();
    for (direction, count) in [("in", status.traffic.bytes_in), ("out", status.traffic.bytes_out)] {
        bytes.get_or_create(&Direction { direction }).inc_by(count);
    }
    registry.register_with_unit("link_traffic", "Bytes of links since the start", Unit::Bytes, bytes);
    let (documents, missing) = (Family::<InSpace, Gauge>::default(), Family::<InSpace, Gauge>::default());
    for space in &status.spaces {
        let label = InSpace { space: space.space.to_string() };
        documents.get_or_create(&label).set(i64::try_from(space.documents).unwrap_or(i64::MAX));
        missing.get_or_create(&label).set(i64::try_from(space.missing).unwrap_or(i64::MAX));
    }
    registry.register("space_documents", "Documents of a space that are here", documents);
    registry.register("space_missing_entries", "Entries of a space whose bodies are still to come", missing);
    let (peers, mut behind) = (Family::<InState, Gauge>::default(), 0_u64);
    for state in ["paused", "waiting", "away", "connecting", "connected"] {
        peers.get_or_create(&InState { state }).set(0);
    }
    for peer in &status.peers {
        peers.get_or_create(&InState { state: state_of(peer.state) }).inc();
        behind = behind.saturating_add(peer.behind);
    }
    registry.register("peers", "Peers by state", peers);
    registry.register("peers_behind_entries", "Entries that peers do not durably have yet", gauge(behind));
    registry
}

const fn state_of(state: PeerState) -> &'static str {
    match state {
        PeerState::Paused => "paused",
        PeerState::Waiting => "waiting",
        PeerState::Away => "away",
        PeerState::Connecting => "connecting",
        PeerState::Connected => "connected",
    }
}
