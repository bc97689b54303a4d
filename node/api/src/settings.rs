//! How the HTTP door is kept.

use core::num::NonZeroU32;
use std::sync::Arc;

use crate::issuer::Issuer;

/// Gives the span of a request the parent that its headers name.
pub type Parent = fn(&axum::http::HeaderMap, &tracing::Span);

/// How the HTTP door is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections at once. More wait to be accepted.
    pub connections_max: usize,
    /// WebSockets at once.
    pub sockets_max: usize,
    /// Requests that each token may send in a second, also all at once; none means any number.
    pub requests_per_second: Option<NonZeroU32>,
    /// Mebibytes that each token may send in a day, in bodies and messages; none means any number.
    pub mib_per_day: Option<NonZeroU32>,
    /// Origins whose pages may send requests, such as `https://app.example`; none but its own by default.
    pub origins: Vec<String>,
    /// Makes the span of a request the child of one that its headers name; none leaves it without.
    pub parent: Option<Parent>,
    /// Another issuer of tokens whom the node believes.
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
