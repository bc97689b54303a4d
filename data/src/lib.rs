//! Documents as data: what stands between files, requests and the documents of the core.
//!
//! Everything here is sans-IO: callers feed bytes and take bytes. Nothing opens a file, reads a clock or keeps a
//! thread, so the same code runs in the node, in the simulator and in a browser. Specified in `spec/documents.md`.
//!
//! * [`json`]: JSON text and values, exactly.
//! * [`import`] and [`export`]: CSV, NDJSON and JSON, streaming and resumable.
//! * [`patch`]: from what someone wants a document to be, to the changes that get it there.
//! * [`json_patch`]: the same for JSON Patch (RFC 6902), and its inverse.
//! * [`split`]: cuts edits that are larger than one update may be.
//! * [`preview`]: the value that changes make.
//! * [`rules`]: which documents whoever asks may see and change.
//! * [`schema`]: the shape that documents of a collection should have.
//! * [`query`]: which documents a selector means, in what order, and what of them is shown.
//! * [`collection`]: what a collection remembers of the file it came from.
//! * [`dictionary`]: what many records have in common, for a compressor.
//! * [`trace`]: recorded editing sessions.
#![forbid(unsafe_code)]

/// Whether a planted bug is on: never, but under `--cfg planted`.
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
