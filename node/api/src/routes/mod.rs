//! The routes of the API, and the shared parts of their handlers.

mod auth;
mod collections;
mod conditions;
pub(crate) mod console;
mod control;
mod docs;
mod feed;
mod files;
mod graphql;
mod indexes;
mod node;
mod operate;
mod pages;
mod query;
mod rules;
mod schemas;
mod versions;

pub(crate) use conditions::Conditions;
pub(crate) use docs::{find, page_limit, prepared, write_one};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::routing::get;
use core::time::Duration;
use cosmicsync_node::service::{Backend, DocRef, SpaceRef};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tower_http::cors::CorsLayer;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Door, SOCKET_PATHS, guarded};
use crate::limit::Limit;
use crate::metrics::{self, Metrics};
use crate::problem::{Code, Problem};
use crate::remote::CONTROL_PATH;
use crate::settings::Settings;
use crate::stream::ENDLESS_MAX;

/// Headers that a page of another origin may send.
const SENT_BY_PAGES: [&str; 8] = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "x-request-id",
];
/// Response headers that a page of another origin may read, in addition to those that every page may.
const SHOWN_TO_PAGES: [&str; 5] = ["etag", "location", "retry-after", "www-authenticate", "x-request-id"];
/// Time for which a browser may cache the answer to a preflight request.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(600);
/// Longest name of a collection, and longest key, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Largest limit of a list without pages.
const LIMIT_MAX: u64 = 1_000_000;
/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 128;

/// Returns the router over a node, which checks the token of each request. `counted` receives the metrics about
/// requests. Answers without an end finish once `stopped` is set.
pub fn router(
    backend: Arc<dyn Backend>,
    settings: &Settings,
    counted: Metrics,
    stopped: watch::Receiver<bool>,
) -> Router {
    let door = Door {
        backend,
        endless: Arc::new(Semaphore::new(ENDLESS_MAX)),
        sockets: Arc::new(Semaphore::new(settings.sockets_max)),
        rooms: Arc::default(),
        graphql: Arc::default(),
        limit: Arc::new(Limit::new(settings)),
        issuer: settings.issuer.clone(),
        stopped,
    };
    let [socket, only, named] = SOCKET_PATHS;
    let (routes, _) = described().split_for_parts();
    let routes = routes
        .route("/healthz", get(metrics::health))
        .route("/docs/errors", get(pages::errors))
        .route("/v1/openapi.json", get(pages::description))
        .route(socket, get(feed::socket))
        .route(CONTROL_PATH, get(control::control))
        .route(only, get(graphql::only_socket).post(graphql::only))
        .route(named, get(graphql::named_socket).post(graphql::named))
        .route("/graphql/schema", get(graphql::only_schema))
        .route("/v1/spaces/{space}/graphql/schema", get(graphql::named_schema));
    let routes = console::served(routes)
        .fallback(pages::no_route)
        .method_not_allowed_fallback(pages::no_method)
        .with_state(door.clone());
    shared_with(guarded(routes, door, counted, settings.parent), &settings.origins)
}

/// Allows web pages of other origins to call the routes, if any are configured.
fn shared_with(router: Router, origins: &[String]) -> Router {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return router;
    }
    let named = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(named(&SENT_BY_PAGES))
        .expose_headers(named(&SHOWN_TO_PAGES))
        .max_age(PREFLIGHT_KEPT);
    router.layer(layer)
}

/// The routes of the API, with their descriptions.
pub(crate) fn described() -> OpenApiRouter<Door> {
    OpenApiRouter::default()
        .routes(routes!(node::status))
        .routes(routes!(node::peers, node::add_peer))
        .routes(routes!(node::remove_peer))
        .routes(routes!(node::spaces, node::create_space))
        .routes(routes!(node::invite))
        .routes(routes!(node::join))
        .routes(routes!(node::devices))
        .routes(routes!(collections::list))
        .routes(routes!(collections::show, collections::remove))
        .routes(routes!(docs::list, docs::create))
        .routes(routes!(docs::read, docs::put, docs::patch, docs::remove))
        .routes(routes!(docs::undelete))
        .routes(routes!(docs::transact))
        .routes(routes!(versions::history))
        .routes(routes!(versions::conflicts))
        .routes(routes!(versions::at))
        .routes(routes!(versions::diff))
        .routes(routes!(versions::revert))
        .routes(routes!(query::find))
        .routes(routes!(query::count))
        .routes(routes!(query::explain))
        .routes(routes!(indexes::list))
        .routes(routes!(indexes::put, indexes::remove))
        .routes(routes!(indexes::rebuild))
        .routes(routes!(indexes::check))
        .routes(routes!(schemas::show, schemas::put, schemas::remove))
        .routes(routes!(schemas::check))
        .routes(routes!(rules::show, rules::put))
        .routes(routes!(rules::test))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me))
        .routes(routes!(auth::accounts, auth::create_account))
        .routes(routes!(auth::change_account, auth::remove_account))
        .routes(routes!(auth::tokens, auth::create_token))
        .routes(routes!(auth::remove_token))
        .routes(routes!(auth::audit))
        .routes(routes!(operate::log))
        .routes(routes!(operate::backup))
        .routes(routes!(files::import))
        .routes(routes!(files::export))
        .routes(routes!(feed::changes))
        .routes(routes!(feed::live))
}

/// A space in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SpacePath {
    /// The space: its name or the beginning of its id, or `-` for the only space. `SPACE:PARTITION` and `-:PARTITION`
    /// name another partition than `main`.
    space: String,
}

/// A collection in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CollectionPath {
    /// The space: its name or the beginning of its id, or `-` for the only space. `SPACE:PARTITION` and `-:PARTITION`
    /// name another partition than `main`.
    space: String,
    /// The name of the collection.
    #[param(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*$")]
    collection: String,
}

/// A document in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DocPath {
    /// The space: its name or the beginning of its id, or `-` for the only space. `SPACE:PARTITION` and `-:PARTITION`
    /// name another partition than `main`.
    space: String,
    /// The name of the collection.
    #[param(min_length = 1, max_length = 255, pattern = "^[^_/][^/]*$")]
    collection: String,
    /// The key of the document, with each slash written `%2F`; or `~` and the document's id.
    #[param(min_length = 1, max_length = 255)]
    key: String,
}

impl SpacePath {
    fn space(self) -> SpaceRef {
        space(self.space)
    }
}

impl CollectionPath {
    /// Returns the space and the collection, if the name is valid.
    fn parts(self) -> Result<(SpaceRef, String), Problem> {
        check_collection(&self.collection)?;
        Ok((space(self.space), self.collection))
    }
}

/// A document named by a client.
pub(crate) struct Named {
    pub(crate) space: SpaceRef,
    pub(crate) collection: String,
    pub(crate) doc: DocRef,
}

impl Named {
    /// Returns the document of a collection with a key, or with the id after `~`.
    pub(crate) fn new(space: SpaceRef, collection: String, key: String) -> Result<Self, Problem> {
        check_collection(&collection)?;
        check_length("a key", &key)?;
        let id = key.strip_prefix('~').and_then(|id| id.parse().ok());
        let doc = match id {
            Some(id) => DocRef::Id(id),
            None => DocRef::Key { collection: collection.clone(), key },
        };
        Ok(Self { space, collection, doc })
    }
}

impl DocPath {
    /// Returns the named document.
    fn named(self) -> Result<Named, Problem> {
        Named::new(space(self.space), self.collection, self.key)
    }
}

/// Returns the space of a path.
fn space(text: String) -> SpaceRef {
    match text.strip_prefix('-') {
        Some("") => None,
        Some(rest) if rest.starts_with(':') => Some(rest.to_owned()),
        Some(_) | None => Some(text),
    }
}

/// Fails unless the name is valid for a collection of documents.
pub(crate) fn check_collection(name: &str) -> Result<(), Problem> {
    check_length("the name of a collection", name)?;
    if name.contains('/') {
        return Err(Problem::new(Code::BadName, "the name of a collection has no slash"));
    }
    if name.starts_with('_') {
        return Err(Problem::new(Code::BadName, format!("the collection {name} is reserved")));
    }
    Ok(())
}

/// Fails if a name is empty or too long.
fn check_length(what: &str, name: &str) -> Result<(), Problem> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(Problem::new(Code::BadName, format!("{what} has 1 to {NAME_BYTES_MAX} bytes")))
}

/// Fails unless the limit of a list is valid.
fn check_limit(limit: Option<u64>) -> Result<(), Problem> {
    match limit {
        Some(limit) if !(1..=LIMIT_MAX).contains(&limit) => {
            Err(Problem::new(Code::BadRequest, format!("a limit is 1 to {LIMIT_MAX}, or missing: all")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the idempotency key of the service: the client's key, separate for each token and route.
fn idempotency_key(headers: &HeaderMap, caller: &str, route: &str) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let is_visible = |key: &&str| key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len())).filter(is_visible);
    let key = key.ok_or_else(|| {
        Problem::new(Code::BadRequest, format!("an Idempotency-Key has 1 to {KEY_BYTES_MAX} visible ASCII characters"))
    })?;
    Ok(Some(format!("{caller}\n{route}\n{key}")))
}
