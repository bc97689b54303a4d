//! The sans-IO core of CosmicSync.
#![forbid(unsafe_code)]

pub mod entropy;
pub mod ids;
pub mod storage;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod wire;
