//! What travels and in which encoding (`spec/wire.md`).

pub mod close;
pub mod codec;
pub mod frame;
pub mod hello;
pub mod message;
