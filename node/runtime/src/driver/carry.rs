//! Carries the core's outputs: requests to the store, bytes to the writers, events to [`Core`].

use super::conn::Conn;
use super::start::{self, gone};
use super::state::Core;
use super::store::Store;
use super::traffic::Links;
use crate::service::ServiceError;
use cosmicsync_protocol::endpoint::{Event, LinkId};
use cosmicsync_protocol::pump::{Io, pump};
#[cfg(planted)]
use cosmicsync_protocol::storage::StoreDone;
use cosmicsync_protocol::storage::StoreRequest;
use cosmicsync_protocol::time::Deadline;
use std::collections::BTreeMap;

/// The driver's side of the drive loop.
struct Carrier<'a, S> {
    store: Option<&'a S>,
    conns: &'a BTreeMap<LinkId, Conn>,
    traffic: &'a mut Links,
    events: Vec<Event>,
    /// Commits that are reported before the store has completed them, by a planted bug.
    #[cfg(planted)]
    told: Vec<StoreDone>,
    any: bool,
    failed: Result<(), ServiceError>,
}

impl<S: Store> Io for Carrier<'_, S> {
    fn store(&mut self, request: StoreRequest) {
        self.any = true;
        #[cfg(planted)]
        if let (true, StoreRequest::Commit { id, .. }) = (planted!("store.told-early"), &request) {
            self.told.push(StoreDone::Committed { id: *id });
        }
        if self.failed.is_ok() {
            self.failed = self.store.ok_or_else(gone).and_then(|store| start::submit(store, request));
        }
    }

    fn has_room(&mut self, link: LinkId) -> bool {
        self.conns.get(&link).is_some_and(Conn::has_room)
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        self.any = true;
        if let Some(outgoing) = self.conns.get(&link).and_then(|conn| conn.outgoing.as_ref()) {
            // The writer may have ended meanwhile; then its connection is lost, which the core learns next.
            drop(outgoing.try_send(bytes));
            self.traffic.handle_sent(link);
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl Core {
    /// Drains the database once and delivers its outputs. Returns whether there were any, and the next deadline.
    pub(super) fn pump<S: Store>(
        &mut self,
        store: Option<&S>,
        conns: &BTreeMap<LinkId, Conn>,
    ) -> Result<(bool, Option<Deadline>), ServiceError> {
        let traffic = &mut self.links;
        let mut io = Carrier {
            store,
            conns,
            traffic,
            events: Vec::new(),
            #[cfg(planted)]
            told: Vec::new(),
            any: false,
            failed: Ok(()),
        };
        let deadline = pump(&mut self.db, self.now, &mut io);
        #[cfg(planted)]
        let told = core::mem::take(&mut io.told);
        let Carrier { events, any, failed, .. } = io;
        failed?;
        #[cfg(planted)]
        told.into_iter().for_each(|done| self.db.handle_stored(self.now, done));
        let told = self.deliver(events);
        Ok((any || told, deadline))
    }
}
