//! The drive loop, shipped once: the work of every runtime between two waits.
//!
//! A runtime passes facts to its core (`handle_*`), calls [`pump`], and then waits for a new fact or the
//! returned deadline. The loop decides nothing: it fires what is due and passes the core's outputs to an
//! [`Io`]. It never waits, reads no clock and keeps nothing between calls (`ARCHITECTURE.md`, "How it is
//! driven").
//!
//! ```text
//!   loop {
//!       let deadline = pump(&mut core, now, &mut io);
//!       (handle what `io` was told, which may call the core; if it did, go round)
//!       wait for bytes, completions, connections, or `deadline`; read the clock; handle_*(now, ...)
//!   }
//! ```
//!
//! A deadline is a request to be called. Here edits wait for others to share their entry:
//!
//! ```
//! use cosmicsync_protocol::endpoint::{Event, LinkId};
//! use cosmicsync_protocol::pump::{Io, pump};
//! use cosmicsync_protocol::storage::StoreRequest;
//! use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
//! use cosmicsync_protocol::testkit::peer::Peer; // an endpoint with a store in memory
//! use cosmicsync_protocol::time::Reason;
//!
//! /// Counts the requests.
//! #[derive(Default)]
//! struct Counter(usize);
//!
//! impl Io for Counter {
//!     fn store(&mut self, _: StoreRequest) {
//!         self.0 += 1;
//!     }
//!     fn has_room(&mut self, _: LinkId) -> bool {
//!         false
//!     }
//!     fn send(&mut self, _: LinkId, _: Vec<u8>) {}
//!     fn event(&mut self, _: Event) {}
//! }
//!
//! let mut peer = Peer::new(1);
//! peer.found("home");
//! let doc = peer.create(doc_id(1), note("a note"), BODY);
//! let (mut now, mut io) = (peer.now, Counter::default());
//! let texts = BODY.iter().copied().collect();
//! peer.endpoint.edit(now, &[(doc, insert(0, "!"))], &texts, false).expect("it is open");
//!
//! let deadline = pump(&mut peer.endpoint, now, &mut io).expect("the edit is to be written");
//! assert_eq!((deadline.reason, io.0), (Reason::Flush, 0));
//! now.mono_us = deadline.at_us; // the program has waited
//! pump(&mut peer.endpoint, now, &mut io);
//! assert_eq!(io.0, 1, "the edit is on its way to the store");
//! ```

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::ids::LinkId;
use crate::storage::StoreRequest;
use crate::time::{Deadline, Now};

/// Bytes that are handed to a link in one piece, approximately; one transport message may exceed it.
pub const SEND_BYTES: usize = 64 * 1024;

/// The core that the loop drives: the [`Endpoint`], or a layer around it that passes its inputs and outputs
/// through.
pub trait Driven {
    /// Carries out what is due at `now`.
    fn handle_timeout(&mut self, now: Now);
    /// Returns the next request for the store.
    fn poll_store(&mut self) -> Option<StoreRequest>;
    /// Appends bytes for a link; returns whether there were any.
    fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool;
    /// Returns the next event.
    fn poll_event(&mut self) -> Option<Event>;
    /// Returns the time of the next call at the latest.
    fn poll_timeout(&self) -> Option<Deadline>;
    /// Returns the links, in the order in which they were opened.
    fn links(&self) -> Vec<LinkId>;
}

/// Receiver of the outputs. No method may wait.
pub trait Io {
    /// Takes a request; its completion comes back later through `handle_stored`. Requests take effect in this
    /// order, except reads of durable state.
    fn store(&mut self, request: StoreRequest);
    /// Returns whether a link takes bytes now. If it does not, no bytes are made: a peer that does not read
    /// costs no memory. Call [`pump`] again once the link has room.
    fn has_room(&mut self, link: LinkId) -> bool;
    /// Takes bytes, at least one, for a link that has room.
    fn send(&mut self, link: LinkId, bytes: Vec<u8>);
    /// Takes an event. Any consequence is passed to the core after [`pump`] has returned.
    fn event(&mut self, event: Event);
}

/// Fires due timeouts and drains the core until nothing is left that `io` has room for. Returns the time of
/// the next call, if no input comes before; a deadline that has passed means at once.
pub fn pump<C: Driven + ?Sized>(core: &mut C, now: Now, io: &mut (impl Io + ?Sized)) -> Option<Deadline> {
    if core.poll_timeout().is_some_and(|deadline| deadline.at_us <= now.mono_us) {
        core.handle_timeout(now);
    }
    loop {
        let mut any = false;
        any |= pass_requests(core, io);
        for link in core.links() {
            while io.has_room(link) {
                let mut bytes = Vec::new();
                while bytes.len() < SEND_BYTES && core.poll_transmit(now, link, &mut bytes) {}
                if bytes.is_empty() {
                    break;
                }
                io.send(link, bytes);
                any = true;
            }
        }
        while let Some(event) = core.poll_event() {
            io.event(event);
            any = true;
        }
        // The search for something to send may have led to a request.
        any |= pass_requests(core, io);
        if !any {
            return core.poll_timeout();
        }
    }
}

/// Passes the core's requests to the store. Returns whether there were any.
fn pass_requests<C: Driven + ?Sized>(core: &mut C, io: &mut (impl Io + ?Sized)) -> bool {
    let mut any = false;
    while let Some(request) = core.poll_store() {
        io.store(request);
        any = true;
    }
    any
}

impl Driven for Endpoint {
    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_store(&mut self) -> Option<StoreRequest> {
        Self::poll_store(self)
    }

    fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        Self::poll_transmit(self, now, link, out)
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Self::poll_timeout(self)
    }

    fn links(&self) -> Vec<LinkId> {
        Self::links(self)
    }
}
