//! The messages that travel and their encodings (`spec/wire.md`).

pub mod close;
pub mod frame;
pub mod hello;
pub mod message;
pub mod terms;
