//! Settings of the HTTP API.

use core::num::NonZeroU32;
use std::sync::Arc;

use crate::issuer::Issuer;

/// Gives the span of a request the parent that its headers name.
pub type Parent = fn(&axum::http::HeaderMap, &tracing::Span);

/// Settings of the HTTP API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest number of concurrent connections. More wait to be accepted.
    pub connections_max: usize,
    /// Largest number of concurrent WebSockets.
    pub sockets_max: usize,
    /// Largest number of requests per second and token, also all at once; none means no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Largest number of mebibytes that each token may send per day, in bodies and messages; none means no limit.
    pub mib_per_day: Option<NonZeroU32>,
    /// Origins of web pages that may send requests, such as `https://app.example`; by default only the node's own.
    pub origins: Vec<String>,
    /// Makes the span of a request the child of one that its headers name; none leaves it without.
    pub parent: Option<Parent>,
    /// Another issuer whose tokens the node accepts.
    pub issuer: Option<Arc<Issuer>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 512,
            sockets_max: 256,
            requests_per_second: None,
            mib_per_day: None,
            origins: Vec::new(),
            parent: None,
            issuer: None,
        }
    }
}
