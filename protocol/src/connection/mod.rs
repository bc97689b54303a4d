//! One link to one peer, from the first byte to the sealed stream.
//!
//! A [`Handshake`] turns a byte stream into a [`Transport`], a stream of sealed messages. Neither knows what a Hello
//! or a message says, holds a socket, reads a clock or decides whom to trust: deadlines, caps on half-open
//! handshakes and the judging of Hellos are the endpoint's (`spec/handshake.md`).

pub mod handshake;
mod noise;
pub mod transport;

pub use handshake::{Established, Handshake, HandshakeError, Opening};
pub use transport::{Transport, TransportError};
