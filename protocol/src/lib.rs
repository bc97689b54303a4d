//! The sans-IO core of CosmicSync.
#![forbid(unsafe_code)]

pub mod connection;
pub mod entropy;
pub mod identity;
pub mod ids;
pub mod sealed;
pub mod storage;
pub mod time;
pub mod wire;
