//! The node: what a process adds to the sans-IO core.
//!
//! [`service`] is the only door for command lines and other APIs.

pub mod backup;
pub mod keyfile;
pub mod service;
pub mod store;
