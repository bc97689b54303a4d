//! The node: the runtime around the sans-IO core, with a store, connections and a command service.
//!
//! This crate is for tokio programs. A program with an event loop of its own uses `cosmicsync-data` or
//! `cosmicsync-protocol` instead, and a program in another language uses the HTTP API of a node.
//!
//! Start with [`Node`]: [`init`] makes a user in a data directory, [`Node::open`] opens one, and [`service`] defines the
//! commands that a node carries out. This crate holds no protocol rule; see `ARCHITECTURE.md`.
//!
//! ```
//! use cosmicsync_node::service::{Command, DocPut, DocRef, Reply, ServiceError, request};
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
//! request(&node, Command::SpaceCreate { name: "home".to_owned() }).await?;
//! let (collection, key) = ("people".to_owned(), "ada".to_owned());
//! let value = json!({ "name": "Ada", "age": 36 });
//! let put = DocPut { space: None, collection, key: Some(key), value: value.clone(), text: Vec::new() };
//! request(&node, Command::DocPut(put)).await?; // the reply comes once the document is durable
//!
//! let doc: DocRef = "people/ada".parse()?;
//! let Reply::Document(found) = request(&node, Command::DocGet { space: None, doc }).await? else {
//!     return Err("another reply".into());
//! };
//! assert_eq!(found.value, Some(value));
//! request(&node, Command::Shutdown {}).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! * [`service`]: the only interface for command lines and other APIs.
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
pub mod keyfile;
pub mod net;
mod node;
#[cfg(planted)]
pub mod planted;
pub mod service;
pub mod store;
pub mod tasks;

pub use node::{BackupSource, Node, Options, init, restore_backup, verify_backup};
