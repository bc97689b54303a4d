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
//! Here the store is in memory, and the other parts are those of the operating system:
//!
//! ```
//! use cosmicsync_node::clock::SystemClock;
//! use cosmicsync_node::embed::{Disk, Parts, Store};
//! use cosmicsync_node::net::Tcp;
//! use cosmicsync_node::service::{Command, Reply, ServiceError, request};
//! use cosmicsync_node::store::StoreStopped;
//! use cosmicsync_node::{Node, Options};
//! use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
//! use cosmicsync_protocol::testkit::store::MemStore;
//! use std::cell::RefCell;
//! use tokio::sync::mpsc::UnboundedSender;
//!
//! struct Memory;
//!
//! struct Open(RefCell<MemStore>, UnboundedSender<StoreDone>);
//!
//! impl Disk for Memory {
//!     type Store = Open;
//!     fn open(&mut self, done: UnboundedSender<StoreDone>) -> Result<Open, ServiceError> {
//!         Ok(Open(RefCell::new(MemStore::new()), done))
//!     }
//!     fn release(&mut self) {}
//!     fn is_full(&self) -> bool {
//!         false
//!     }
//! }
//!
//! impl Store for Open {
//!     fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped> {
//!         let mut store = self.0.borrow_mut();
//!         store.submit(request);
//!         let mut done = store.complete_all().into_iter();
//!         // If the driver is gone, completions are dropped.
//!         done.all(|done| self.1.send(done).is_ok());
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ServiceError> {
//! let seeds = Box::new(|| {
//!     let mut seed = [0; 32];
//!     getrandom::fill(&mut seed).map(|()| seed).map_err(std::io::Error::from)
//! });
//! let parts = Parts { clock: SystemClock::start(), net: Tcp, disk: Memory, seeds };
//! let (node, running) = Node::embed(parts, Options::default());
//! let commands = async {
//!     let status = node.found("phone").await?;
//!     let made = request(&node, Command::SpaceCreate { name: "home".to_owned() }).await?;
//!     request(&node, Command::Shutdown {}).await?;
//!     Ok::<_, ServiceError>((status, made))
//! };
//! let (ended, replied) = tokio::join!(running, commands);
//! let (status, made) = replied?;
//! assert_eq!(status.name, "phone");
//! assert!(matches!(made, Reply::Space(space) if space.name == "home"));
//! ended
//! # }
//! ```
//!
//! The transport lane (`node/runtime/tests/transport/lane`) is a node whose clock, network and store are all simulated.

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
