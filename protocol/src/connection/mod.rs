//! One link to one peer, from the first byte to the sealed stream.
//!
//! A [`Handshake`] turns a byte stream into a [`Transport`], a stream of sealed messages. Neither interprets a
//! Hello or a message, holds a socket, reads a clock or decides about trust: the endpoint handles deadlines, caps
//! on half-open handshakes and the judging of Hellos (`spec/handshake.md`).

pub mod handshake;
mod noise;
pub mod transport;

pub use handshake::{Established, Handshake, HandshakeError, Opening};
pub use transport::{Transport, TransportError};
