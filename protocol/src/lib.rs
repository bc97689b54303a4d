//! The sans-IO core of CosmicSync.
#![forbid(unsafe_code)]

pub mod document;
pub mod entropy;
pub mod ids;
pub mod storage;
pub mod time;
pub mod wire;
