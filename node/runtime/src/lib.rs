//! The node: what a process adds to the sans-IO core.
//!
//! [`service`] is the only door for command lines and other APIs.

pub mod backup;
pub mod clock;
mod driver;
pub mod embed;
pub mod keyfile;
pub mod net;
mod node;
pub mod service;
pub mod store;

pub use node::{BackupSource, Node, Options, init, restore_backup, verify_backup};
