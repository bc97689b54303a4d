//! Stores: requests are worked off one after another, each in its time, and fail when the plan says so.
//!
//! What a crash leaves is the store's own matter ([`MemStore::crash`](cosmicsync_protocol::testkit::store::MemStore)):
//! everything durable, and a prefix of the rest.

use super::{What, World};
use crate::coverage::{Mark, Point};
use crate::random::purpose;
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::storage::{Op, StoreDone, StoreError, StoreRequest, Table};
use cosmicsync_protocol::sync::LogNo;

/// How long a read from the store takes.
const READ_US: u64 = 30;

/// Whether a commit holds entries that others wrote.
fn brings_entries(endpoint: &Endpoint, request: &StoreRequest) -> bool {
    let StoreRequest::Commit { ops, .. } = request else { return false };
    ops.iter().any(|op| match op {
        Op::Put { table: Table::Entry, key, .. } => {
            let log = key.first_chunk().map_or(0, |log| u32::from_be_bytes(*log));
            !endpoint.is_own_log(LogNo(log))
        }
        Op::Put { .. } | Op::Delete { .. } | Op::Insert { .. } | Op::Replace { .. } => false,
    })
}

impl World<'_> {
    pub(super) fn submit(&mut self, peer: usize, request: StoreRequest) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        let is_commit = matches!(request, StoreRequest::Commit { .. });
        let received = brings_entries(&alive.endpoint, &request);
        alive.store.submit(request);
        alive.store_queue.push_back(is_commit);
        if alive.store_queue.len() == 1 {
            self.work_store(peer);
        }
        if is_commit {
            self.point(peer, Point::Submitted, None, &[]);
        }
        if received {
            self.point(peer, Point::EntryReceived, None, &[]);
            if core::mem::take(&mut self.nodes[peer].resumes) {
                self.mark(Mark::Resumed);
            }
        }
    }

    /// The store takes up its oldest request.
    fn work_store(&mut self, peer: usize) {
        let node = &mut self.nodes[peer];
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let Some(is_commit) = alive.store_queue.front() else { return };
        alive.store_requests += 1;
        let key = [purpose::STORE, peer as u64, u64::from(node.life), alive.store_requests];
        let commit_us = node.commit_us + self.keyed.below(&key, node.commit_us / 4 + 20);
        let (at_us, life) = (self.now_us + if *is_commit { commit_us } else { READ_US }, node.life);
        self.schedule(at_us, peer, What::Stored { peer, life });
    }

    pub(super) fn stored(&mut self, peer: usize, life: u32) {
        let node = &mut self.nodes[peer];
        if node.life != life {
            return;
        }
        if node.paused_until > self.now_us {
            let at_us = node.paused_until;
            self.schedule(at_us, peer, What::Stored { peer, life });
            return;
        }
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let before = alive.store.commits();
        let Some(done) = alive.store.complete_next() else { return };
        alive.store_queue.pop_front();
        self.work_store(peer);
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let point = match &done {
            StoreDone::Committed { .. } => Point::Durable,
            StoreDone::Failed { .. } if alive.store.commits() > before => Point::CommitFailed,
            StoreDone::Got { .. } | StoreDone::Scanned { .. } | StoreDone::Failed { .. } => Point::ReadDone,
        };
        self.check_idle(peer);
        self.point(peer, point, None, &[]);
        self.call(peer, |alive, now| alive.endpoint.handle_stored(now, done));
        self.turn(peer);
    }

    pub(super) fn store_failed(&mut self, peer: usize, error: &StoreError) {
        let full = *error == StoreError::Full;
        self.mark(if full { Mark::StoreFull } else { Mark::StoreNotDurable });
        self.end(peer, 0, false);
        let life = self.nodes[peer].life;
        let after_us = self.nodes[peer].reopen_us;
        self.schedule(self.now_us + after_us, peer, What::Start { peer, life });
    }
}
