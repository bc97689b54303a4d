//! The database: documents in collections, files, queries and schemas, over the documents of the core.
//!
//! This crate is for programs with an event loop, a network and a store of their own. A tokio program with a disk uses
//! `cosmicsync-node` instead, and a program that needs sync alone uses `cosmicsync-protocol`.
//!
//! Everything here is sans-IO: callers feed bytes and take bytes. Nothing opens a file, reads a clock or starts a
//! thread, so the same code runs in a node, in the simulator and in a browser. Specified in `spec/documents.md`.
//!
//! A [`Database`](database::Database) wraps a recovered endpoint, and `pump` of the protocol crate drives it. The
//! common requests are methods that return a [`Pending`](database::Pending) answer of one type;
//! [`Request`](database::request::Request) lists all.
//!
//! ```
//! use cosmicsync_data::database::request::{Name, RequestError};
//! use cosmicsync_data::database::{Database, Pending};
//! use cosmicsync_data::{TextPaths, json};
//! use cosmicsync_protocol::pump::pump;
//! use cosmicsync_protocol::testkit::peer::{Kept, Peer}; // an endpoint with a store in memory
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut peer = Peer::new(1);
//! let space = peer.found("home");
//! let main = peer.endpoint.partition(space, "main").ok_or("every space has it")?;
//! let Peer { endpoint, mut store, now, .. } = peer;
//! let mut database = Database::new(endpoint);
//!
//! // The loop of every runtime; here the store is in memory, and there are no links.
//! let mut events = Vec::new();
//! fn wait<T>(pending: Pending<T>, database: &mut Database, mut turn: impl FnMut(&mut Database)) -> Result<T, RequestError> {
//!     loop {
//!         turn(database);
//!         if let Some(answer) = database.take(&pending) {
//!             return answer;
//!         }
//!     }
//! }
//! let mut turn = |database: &mut Database| {
//!     pump(database, now, &mut Kept { store: &mut store, events: &mut events, trace: None });
//!     if let Some(done) = store.complete_next() {
//!         database.handle_stored(now, done);
//!     }
//! };
//!
//! let name = Name::Key { collection: "people".to_owned(), key: "ada".to_owned() };
//! let value = json::parse(br#"{"name": "Ada", "age": 36}"#)?;
//! let put = database.put(now, main, name.clone(), value, TextPaths::none());
//! assert!(wait(put, &mut database, &mut turn)?.created);
//!
//! let get = database.get(now, main, name);
//! let found = wait(get, &mut database, &mut turn)?.ok_or("it was put")?;
//! let value = found.value.as_ref().ok_or("the request asked for it")?;
//! assert_eq!(json::to_string(value), r#"{"age":36,"name":"Ada"}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
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
