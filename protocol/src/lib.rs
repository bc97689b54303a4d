//! The sans-IO core of CosmicSync.
#![forbid(unsafe_code)]

pub mod access;
pub mod config;
pub mod connection;
pub mod document;
pub mod endpoint;
pub mod entropy;
pub mod identity;
pub mod ids;
pub mod ledger;
pub mod log;
pub mod pump;
pub mod sealed;
pub mod shelf;
pub mod space;
pub mod storage;
pub mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod wire;

pub use endpoint::Endpoint;
pub use ledger::Recovery;
pub use pump::pump;
