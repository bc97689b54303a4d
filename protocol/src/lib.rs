//! The sans-IO core of CosmicSync.
#![forbid(unsafe_code)]

pub mod config;
pub mod entropy;
pub mod ids;
pub mod storage;
pub mod sync;
pub mod time;
pub mod wire;
