//! The HTTP API of a node: REST and GraphQL over a [`Backend`](cosmicsync_node::service::Backend).
//!
//! [`router`] answers requests, [`Server`] serves it on a socket, and [`openapi()`] describes it. Every route is one
//! [`Command`](cosmicsync_node::service::Command) of the service; nothing here uses storage, links or the core. Every
//! request needs a token, except those for [`OPEN_PATHS`]. Guide: `docs/api.md`.

mod access;
mod call;
mod extract;
#[cfg(any(test, feature = "testkit"))]
pub mod fuzz;
mod graphql;
mod issuer;
mod limit;
mod metrics;
mod model;
mod openapi;
mod patient;
mod presence;
mod problem;
mod remote;
mod routes;
mod serve;
mod settings;
mod shape;
mod socket;
mod stream;
mod tls;

pub use access::OPEN_PATHS;
pub use axum::Router;
pub use issuer::{Issuer, IssuerSettings};
pub use metrics::{Metrics, operator_router};
pub use openapi::openapi;
pub use problem::Code;
pub use remote::Remote;
pub use routes::router;
pub use serve::Server;
pub use settings::{Parent, Settings};
pub use tls::Tls;
