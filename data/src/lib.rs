//! The database: documents in collections, files, queries and schemas, over the documents of the core.
//!
//! Everything here is sans-IO: callers feed bytes and take bytes. Nothing opens a file, reads a clock or starts a
//! thread, so the same code runs in a node, in the simulator and in a browser. Specified in `spec/documents.md`.
//!
//! * [`database`]: the [`Database`](database::Database), which takes requests and returns answers. Start here.
//! * [`json`]: JSON text and values, exactly.
//! * [`import`] and [`export`]: CSV, NDJSON, JSON and XML, streaming and resumable.
//! * [`patch`]: finds the changes that turn a document into another.
//! * [`json_patch`]: the same for JSON Patch (RFC 6902), and its inverse.
//! * [`split`]: splits edits that exceed one update.
//! * [`preview`]: computes the value after changes.
//! * [`rules`]: the documents that an actor may see and change.
//! * [`schema`]: the shape of a collection's documents.
//! * [`query`]: selectors, sorts and projections.
//! * [`index`]: keys and rows of indexes.
//! * [`collection`]: the description of a collection.
//! * [`dictionary`]: common content of many records, for a compressor.
//! * [`trace`]: recorded editing sessions.
#![forbid(unsafe_code)]

/// True if a planted bug is active, which needs `--cfg planted`.
macro_rules! planted {
    ($id:literal) => {{
        #[cfg(planted)]
        let is_on = cosmicsync_protocol::planted::is_on($id);
        #[cfg(not(planted))]
        let is_on = false;
        is_on
    }};
}

pub mod collection;
pub mod database;
pub mod dictionary;
pub mod export;
#[cfg(feature = "testkit")]
pub mod fuzz;
pub mod import;
pub mod index;
pub mod json;
pub mod json_patch;
pub mod patch;
#[cfg(planted)]
pub mod planted;
pub mod preview;
pub mod query;
pub mod rules;
pub mod schema;
pub mod split;
pub mod trace;

pub use cosmicsync_protocol::crdt::{Change, Step, TextPaths, TextStep, Value};
