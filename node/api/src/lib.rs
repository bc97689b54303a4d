//! The HTTP door of a node: REST over [`Backend`](cosmicsync_node::service::Backend).
//!
//! [`router`] answers requests, [`Server`] offers it on a socket, [`openapi()`] describes it. Every route is one
//! [`Command`](cosmicsync_node::service::Command) of the service; nothing here knows storage, links or the core. Every request
//! but those for [`OPEN_PATHS`] bears a token. Guide: `docs/api.md`.

mod access;
mod call;
mod extract;
mod graphql;
mod metrics;
mod model;
mod openapi;
mod patient;
mod problem;
mod routes;
mod serve;
mod shape;
mod socket;
mod stream;

pub use access::OPEN_PATHS;
pub use axum::Router;
pub use metrics::{Metrics, operator_router};
pub use openapi::openapi;
pub use problem::Code;
pub use routes::router;
pub use serve::Server;
