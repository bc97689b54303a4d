//! The database: documents in collections, files, queries and schemas, over the documents of the core.
//!
//! This crate is for programs with an event loop, a network and a store of their own. A tokio program with a disk uses
//! `cosmicsync-node` instead, and a program that needs sync alone uses `cosmicsync-protocol`.
//!
//! Everything here is sans-IO: callers feed bytes and take bytes. Nothing opens a file, reads a clock or starts a
//! thread, so the same code runs in a node, in the simulator and in a browser. Specified in `spec/documents.md`.
//!
//! A [`Database`](database::Database) wraps a recovered endpoint, and `pump` of the protocol crate drives it:
//!
//! ```
//! use cosmicsync_data::database::Database;
//! use cosmicsync_data::database::request::{Answer, Name, Request};
//! use cosmicsync_data::{TextPaths, json};
//! use cosmicsync_protocol::pump::pump;
//! use cosmicsync_protocol::testkit::peer::{Kept, Peer}; // an endpoint with a store in memory
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut peer = Peer::new(1);
//! let space = peer.found("home");
//! let partition = peer.endpoint.partition(space, "main").ok_or("every space has it")?;
//! let Peer { endpoint, mut store, now, .. } = peer;
//! let (mut database, mut events) = (Database::new(endpoint), Vec::new());
//!
//! let value = json::parse(br#"{"name": "Ada", "age": 36}"#)?;
//! let (collection, key) = ("people".to_owned(), "ada".to_owned());
//! let name = Name::Key { collection: collection.clone(), key: key.clone() };
//! let put = Request::Put { partition, collection, key: Some(key), value, texts: TextPaths::none() };
//! let mut answers = Vec::new();
//! for request in [put, Request::Get { partition, name }] {
//!     let ticket = database.request(now, request);
//!     // The loop of every runtime; here the store is in memory, and there are no links.
//!     let answer = loop {
//!         pump(&mut database, now, &mut Kept { store: &mut store, events: &mut events, trace: None });
//!         match (database.poll_answer(), store.complete_next()) {
//!             (Some((answered, answer)), done) => {
//!                 assert_eq!(answered, ticket);
//!                 done.into_iter().for_each(|done| database.handle_stored(now, done));
//!                 break answer;
//!             }
//!             (None, Some(done)) => database.handle_stored(now, done),
//!             (None, None) => return Err("the request waits for nothing".into()),
//!         }
//!     };
//!     answers.push(answer);
//! }
//! assert!(matches!(answers[0], Answer::Written { created: true, .. }));
//! let Answer::Document(Some(found)) = &answers[1] else { return Err("it was put".into()) };
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
