//! The node: the runtime around the sans-IO core, with a store, connections and a command service.
//!
//! This crate is for tokio programs. A program with an event loop of its own uses `cosmicsync-data` or
//! `cosmicsync-protocol` instead, and a program in another language uses the HTTP API of a node.
//!
//! Start with [`Node`]: [`init`] makes a user in a data directory, [`Node::open`] opens one, and its [`handles`] read
//! and write documents. [`service`] defines the commands below them. This crate holds no protocol rule; see
//! `ARCHITECTURE.md`.
//!
//! ```
//! use cosmicsync_node::{Node, Options, init};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let status = init(dir.path(), "laptop").await?;
//! assert!(status.recovery_key.is_some(), "shown once, and stored nowhere");
//!
//! // With `listen` set, the node also accepts and dials links.
//! let node = Node::open(dir.path(), Options::default()).await?;
//! let people = node.create_space("home").await?.collection("people");
//! let value = json!({ "name": "Ada", "age": 36 });
//! people.doc("ada").put(value.clone()).await?; // returns once the document is durable
//! let found = people.doc("ada").get().await?.ok_or("it was put")?;
//! assert_eq!(found.value, Some(value));
//! node.shut_down().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! * [`handles`]: spaces, collections, documents and live queries as values.
//! * [`service`]: all commands of a node, as values. The interface for command lines and other APIs.
//! * [`embed`]: a node with an embedder's own clock, network, store and randomness.
//! * [`store`]: the store on disk, over LMDB.
//! * [`backup`]: sealed copies of a store.
//! * [`keyfile`]: the key that seals a store at rest.
//! * [`clock`] and [`net`]: the driver's time and connections, as traits.

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

pub mod backup;
pub mod clock;
mod driver;
pub mod embed;
pub mod handles;
pub mod keyfile;
pub mod net;
mod node;
#[cfg(planted)]
pub mod planted;
pub mod service;
pub mod store;
pub mod tasks;

pub use node::{BackupSource, Node, Options, init, restore_backup, verify_backup};
