//! A node of an embedder's own parts: clock, network, store and randomness.
//!
//! [`Node::open`](crate::Node::open) runs the shipped driver over the operating system, on a thread of its own.
//! [`Node::embed`](crate::Node::embed) runs the same driver over whatever the embedder brings, on the embedder's own
//! thread: an application with a store of its own, a device with another network, a simulated world. What drives it
//! is a future for any tokio runtime. Commands go in by the same door, [`Backend`](crate::service::Backend).
//!
//! Where the embedder's clock is not the operating system's, accounts, tokens and the audit log still read the
//! latter, and so do figures of durations in answers. What the driver itself does reads no other clock than
//! [`Parts::clock`].
//!
//! The smallest such node is the one of the transport lane (`node/runtime/tests/transport/lane`).

pub use crate::driver::{Disk, Seeds, Store};

use core::fmt;

/// What a node is made of.
pub struct Parts<C, N, D> {
    /// Where it has the time from, a [`Clock`](crate::clock::Clock).
    pub clock: C,
    /// How it reaches others, a [`Net`](crate::net::Net).
    pub net: N,
    /// Where its rows are, a [`Disk`].
    pub disk: D,
    /// Where its randomness comes from.
    pub seeds: Seeds,
}

impl<C, N, D> fmt::Debug for Parts<C, N, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
