//! Runs a node: its store on disk, its keys and its backups.

pub mod backup;
pub mod keyfile;
pub mod store;
