//! The node: what a process adds to the sans-IO core.
//!
//! [`service`] is the only door for command lines and other APIs.

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
