//! The sans-IO core of CosmicSync: sync of sealed documents between devices, without a clock, thread, socket or file.
//!
//! # Choosing a crate
//!
//! This crate is for programs that bring their own event loop, network and store, and for those that check or simulate
//! the protocol. Other programs need less work with a layer above:
//!
//! | you have | use |
//! |---|---|
//! | a tokio program that needs documents, queries, imports and a store on disk | `cosmicsync-node` |
//! | a loop of your own that needs the same without tokio | `cosmicsync-data`, whose `Database` wraps an [`Endpoint`] |
//! | a loop of your own that needs sync of documents alone | this crate |
//! | another language | the HTTP API of a node |
//!
//! The guide `docs/guides/embed.md` explains each part that a program writes. Two examples are complete programs:
//! `examples/two_peers.rs` merges a document in memory, and `examples/foreign_runtime.rs` is a runtime of plain threads
//! that joins a node over TCP.
//!
//! # The three types
//!
//! * [`Recovery`] reads a store back and ends as an endpoint. An empty store becomes a new device.
//! * [`Endpoint`] is the core of one device: it takes facts and commands, and returns store requests, bytes and events.
//! * [`pump()`] is the drive loop. It passes the outputs of an endpoint to an [`Io`](pump::Io), which the program
//!   implements.
//!
//! Programs also use [`ids`], [`storage`], [`time::Now`], [`config::Config`], [`endpoint::Event`], [`documents::Edit`],
//! [`crdt::Value`] and [`sealed::Invite`]. The modules [`wire`], [`connection`], [`sync`], [`log`], [`spaces`] and
//! [`branch`] are the protocol itself; `spec/` specifies them. A runtime needs only those of their
//! types that events and settings name.
//!
//! # The loop
//!
//! 1. Draw 32 random bytes, start a [`Recovery`], and answer its reads until it is an [`Endpoint`].
//! 2. Call [`pump()`]. It hands requests, bytes and events to the [`Io`](pump::Io), and returns a deadline.
//! 3. Handle the events and completions that the `Io` collected. If that called the endpoint, go to step 2.
//! 4. Wait for a connection, bytes, a completion of the store, a command of the program, or the deadline.
//! 5. Call [`Endpoint::stir`] with 32 fresh random bytes, and read the clocks.
//! 6. Report the fact with a `handle_*` method, or give the command. Go to step 2.
//!
//! ```
//! use cosmicsync_protocol::config::Config;
//! use cosmicsync_protocol::endpoint::{Event, LinkId};
//! use cosmicsync_protocol::endpoint::Step;
//! use cosmicsync_protocol::pump::{Io, pump};
//! use cosmicsync_protocol::storage::StoreRequest;
//! use cosmicsync_protocol::testkit::store::MemStore; // in place of a store of your own
//! use cosmicsync_protocol::time::Now;
//! use cosmicsync_protocol::{Endpoint, Recovery};
//!
//! struct Outputs<'a> {
//!     store: &'a mut MemStore,
//!     events: &'a mut Vec<Event>,
//! }
//!
//! impl Io for Outputs<'_> {
//!     fn store(&mut self, request: StoreRequest) {
//!         self.store.submit(request);
//!     }
//!     fn has_room(&mut self, _: LinkId) -> bool {
//!         false // there is no connection yet
//!     }
//!     fn send(&mut self, _: LinkId, _: Vec<u8>) {}
//!     fn event(&mut self, event: Event) {
//!         self.events.push(event);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Step 1. A program takes the seed and the time from the operating system.
//! let (seed, now) = ([7; 32], Now { mono_us: 1, wall_ms: 1_800_000_000_000 });
//! let mut store = MemStore::new();
//! let mut recovery = Recovery::new(Config::default(), seed);
//! let mut endpoint: Endpoint = loop {
//!     while let Some(request) = recovery.poll_store() {
//!         store.submit(request);
//!     }
//!     match recovery.step(now, store.complete_next().ok_or("a read is under way")?)? {
//!         Step::More(more) => recovery = more,
//!         Step::Ready(endpoint) => break *endpoint,
//!     }
//! };
//!
//! // Step 6: commands. The recovery key is returned once; a program shows it to its user.
//! let recovery_key = endpoint.create_user(now)?;
//! let space = endpoint.create_space(now, "home")?;
//!
//! // Steps 2 and 3, until the store has nothing under way.
//! let mut events = Vec::new();
//! loop {
//!     let deadline = pump(&mut endpoint, now, &mut Outputs { store: &mut store, events: &mut events });
//!     match store.complete_next() {
//!         Some(done) => endpoint.handle_stored(now, done),
//!         None => break assert_eq!(deadline, None, "nothing is due"),
//!     }
//! }
//! assert!(events.contains(&Event::SpaceChanged { space }));
//! # Ok(())
//! # }
//! ```
//!
//! # A store
//!
//! A store is a set of ordered maps from bytes to bytes with atomic, durable commits. [`storage`] lists its five
//! promises. Hold a store of your own to them with `testkit::store::conformance` (feature `testkit`).
//!
//! # A link
//!
//! A link is an ordered, reliable stream of bytes, for example a TCP connection. The endpoint encrypts and
//! authenticates it; the program dials, listens and redials. Report a link with [`Endpoint::handle_link_up`], and its
//! end, by whichever side, with [`Endpoint::handle_link_lost`].
//!
//! # A clock
//!
//! Each input carries a [`time::Now`]: monotonic microseconds that never go back, and wall-clock milliseconds since the
//! Unix epoch. No rule of acceptance reads the wall clock. If the two drift apart by more than a minute between two
//! inputs, the endpoint assumes that the machine slept, and continues in new logs.
//!
//! # Randomness
//!
//! The seed of [`Recovery::new`] and the bytes of [`Endpoint::stir`] are the only randomness. Both must come from the
//! operating system: keys of devices, spaces and logs derive from them. Equal seeds and inputs give equal outputs, so a
//! test or a simulation replays from its seed.
//!
//! # Errors
//!
//! * A command returns its error and has then changed nothing.
//! * A hostile or broken peer ends its link: [`Event::Close`](endpoint::Event::Close) names the reason.
//! * A failed commit ends the endpoint: [`Event::EditsFailed`](endpoint::Event::EditsFailed) names the lost edits, and
//!   [`Event::StoreFailed`](endpoint::Event::StoreFailed) the cause. Recover a new endpoint from the repaired store.
//! * No bytes of a peer, and no number that a caller makes, cause a panic.
//!
//! # Limits
//!
//! [`config::Config`] bounds memory and traffic: links, messages, queues and caches. [`storage`] bounds keys and reads.
//! An encoded entry has at most 512 KiB. Documents are objects; [`crdt`] limits their depth and the size of an update.
//!
//! # Traces
//!
//! With the feature `tracing`, each input, edit and command about spaces is a span of the crate `tracing`, and each
//! event is recorded, at level `TRACE`. They hold numbers and ids, never keys or content of documents.
#![forbid(unsafe_code)]

#[cfg(all(planted, not(feature = "testkit")))]
compile_error!("planted bugs are for the simulator alone: build with the feature `testkit`");

/// Enters a span of `tracing` until the end of the block, which needs the feature `tracing`.
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)*) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::trace_span!($name $(, $field = $value)*).entered();
    };
}

/// Returns whether the planted bug of this id is on: always `false` without `--cfg planted`.
macro_rules! planted {
    ($id:literal) => {{
        #[cfg(planted)]
        let is_on = $crate::planted::is_on($id);
        #[cfg(not(planted))]
        let is_on = false;
        is_on
    }};
}

/// Returns the condition; with the feature `testkit`, notes on which side of a limit it was.
macro_rules! reached {
    ($limit:ident, $condition:expr) => {{
        let is_reached = $condition;
        #[cfg(feature = "testkit")]
        $crate::testkit::limits::note($crate::testkit::limits::Limit::$limit, is_reached);
        is_reached
    }};
}

pub mod branch;
pub mod codec;
pub mod config;
pub mod connection;
pub mod crdt;
pub mod documents;
pub mod endpoint;
pub mod entropy;
pub mod event;
pub mod identity;
pub mod ids;
pub mod ledger;
pub mod log;
mod logs;
#[cfg(planted)]
pub mod planted;
pub mod pump;
pub mod sealed;
pub mod spaces;
pub mod storage;
pub mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod wire;

pub use endpoint::{Endpoint, Recovery};
pub use pump::pump;
