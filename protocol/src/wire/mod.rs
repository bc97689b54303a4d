//! What travels and in which encoding (`spec/wire.md`).

pub mod codec;
pub mod hello;
