//! The node: the runtime around the sans-IO core, with a store, connections and a command service.
//!
//! Start with [`Node`]: [`Node::open`] opens a data directory, and [`service`] defines the commands that a node carries
//! out. This crate holds no protocol rule; see `ARCHITECTURE.md`.
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

pub use node::{BackupSource, Node, Options, init, restore_backup, verify_backup};
