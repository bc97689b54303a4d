//! A node with an embedder's own clock, network, store and randomness.
//!
//! [`Node::open`](crate::Node::open) runs the driver over the operating system, on a thread of its own.
//! [`Node::embed`](crate::Node::embed) runs the same driver over the embedder's parts, on the embedder's thread: in an
//! application with its own store, on a device with another network, or in a simulation. The driver is a future for any
//! tokio runtime. Commands use the same interface, [`Backend`](crate::service::Backend).
//!
//! The driver itself reads no other clock than [`Parts::clock`]. Accounts, tokens, the audit log and durations in
//! replies still use the clock of the operating system.
//!
//! The transport lane (`node/runtime/tests/transport/lane`) is the smallest example of such a node.

pub use crate::driver::{Disk, Seeds, Store};

use core::fmt;

/// The parts of a node.
pub struct Parts<C, N, D> {
    /// The source of time, a [`Clock`](crate::clock::Clock).
    pub clock: C,
    /// The network, a [`Net`](crate::net::Net).
    pub net: N,
    /// The store's location, a [`Disk`].
    pub disk: D,
    /// The source of randomness.
    pub seeds: Seeds,
}

impl<C, N, D> fmt::Debug for Parts<C, N, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
