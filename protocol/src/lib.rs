//! The sans-IO core of CosmicSync.
#![forbid(unsafe_code)]

pub mod document;
pub mod entropy;
pub mod ids;
pub mod log;
pub mod storage;
pub mod sync;
pub mod time;
pub mod wire;
