//! The core of a peer: an endpoint, alone or with the database around it.

use crate::plan::Plan;
use cosmicsync_data::database::{Database, Sizes};
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::pump::Driven;
use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use cosmicsync_protocol::time::{Deadline, Now};
use std::ops::{Deref, DerefMut};

/// An endpoint, alone or with the database around it. Inputs and outputs go through the outermost layer; commands,
/// and queries of state, go to the endpoint.
#[derive(Debug)]
pub(crate) enum Core {
    /// Alone.
    Endpoint(Box<Endpoint>),
    /// With the database around it.
    Database(Box<Database>),
}

impl Core {
    pub(super) fn new(endpoint: Endpoint, plan: &Plan) -> Self {
        if plan.databases {
            let sizes = plan.core.batch.map(Sizes::all).unwrap_or_default();
            Self::Database(Box::new(Database::with_sizes(endpoint, sizes)))
        } else {
            Self::Endpoint(Box::new(endpoint))
        }
    }

    /// Returns the database, if there is one.
    pub(crate) fn database(&mut self) -> Option<&mut Database> {
        match self {
            Self::Endpoint(_) => None,
            Self::Database(database) => Some(database),
        }
    }

    pub(super) fn handle_link_up(&mut self, now: Now, dial: Option<Dial>) -> LinkId {
        match self {
            Self::Endpoint(endpoint) => endpoint.handle_link_up(now, dial),
            Self::Database(database) => database.handle_link_up(now, dial),
        }
    }

    pub(super) fn handle_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        match self {
            Self::Endpoint(endpoint) => endpoint.handle_bytes(now, link, bytes),
            Self::Database(database) => database.handle_bytes(now, link, bytes),
        }
    }

    pub(super) fn handle_link_lost(&mut self, now: Now, link: LinkId) {
        match self {
            Self::Endpoint(endpoint) => endpoint.handle_link_lost(now, link),
            Self::Database(database) => database.handle_link_lost(now, link),
        }
    }

    pub(super) fn handle_stored(&mut self, now: Now, done: StoreDone) {
        match self {
            Self::Endpoint(endpoint) => endpoint.handle_stored(now, done),
            Self::Database(database) => database.handle_stored(now, done),
        }
    }

    fn driven(&mut self) -> &mut dyn Driven {
        match self {
            Self::Endpoint(endpoint) => &mut **endpoint,
            Self::Database(database) => &mut **database,
        }
    }

    pub(super) fn poll_store(&mut self) -> Option<StoreRequest> {
        self.driven().poll_store()
    }

    pub(super) fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        self.driven().poll_transmit(now, link, out)
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.driven().poll_event()
    }
}

impl Driven for Core {
    fn handle_timeout(&mut self, now: Now) {
        self.driven().handle_timeout(now);
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
        self.deref().poll_timeout()
    }

    fn links(&self) -> Vec<LinkId> {
        self.deref().links()
    }
}

impl Deref for Core {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        match self {
            Self::Endpoint(endpoint) => endpoint,
            Self::Database(database) => database.endpoint(),
        }
    }
}

impl DerefMut for Core {
    fn deref_mut(&mut self) -> &mut Endpoint {
        match self {
            Self::Endpoint(endpoint) => endpoint,
            Self::Database(database) => database.endpoint_mut(),
        }
    }
}
