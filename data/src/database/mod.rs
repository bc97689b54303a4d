//! The database: documents in collections over an [`Endpoint`](cosmicsync_protocol::Endpoint), sans-IO like it.

pub mod request;
