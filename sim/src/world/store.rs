//! Stores: requests are worked off one after another, each in its time, and fail at the plan's command. Durable
//! reads are worked off beside them: at once or late, and before or after the writes of a commit under way.
//!
//! The store itself defines its state after a crash
//! ([`MemStore::crash`](cosmicsync_protocol::testkit::store::MemStore)): everything durable, and a prefix of the
//! rest.

use super::node::Queued;
use super::{What, World};
use crate::coverage::{Mark, Point};
use crate::random::purpose;
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::storage::{Op, StoreDone, StoreError, StoreId, StoreRequest, Table};
use cosmicsync_protocol::sync::LogNo;

/// Returns whether a commit contains entries that others wrote.
fn brings_entries(endpoint: &Endpoint, request: &StoreRequest) -> bool {
    let StoreRequest::Commit { ops, .. } = request else { return false };
    ops.iter().any(|op| match op {
        Op::Put { table: Table::Entry, key, .. } => {
            let log = key.first_chunk().map_or(0, |log| u32::from_be_bytes(*log));
            !endpoint.is_own_log(LogNo(log))
        }
        Op::Put { .. } | Op::Delete { .. } | Op::Insert { .. } | Op::Replace { .. } | Op::DeleteRange { .. } => false,
    })
}

/// Returns the kind of a request.
fn queued(request: &StoreRequest) -> Queued {
    let StoreRequest::Commit { ops, .. } = request else { return Queued::Read };
    let is_index = |op: &Op| match op {
        Op::Put { table, .. }
        | Op::Delete { table, .. }
        | Op::Insert { table, .. }
        | Op::Replace { table, .. }
        | Op::DeleteRange { table, .. } => matches!(table, Table::Term | Table::Keys),
    };
    if ops.iter().any(is_index) { Queued::Indexes } else { Queued::Commit }
}

impl World<'_> {
    pub(super) fn submit(&mut self, peer: usize, request: StoreRequest) {
        if request.is_durable_read() {
            return self.submit_beside(peer, request);
        }
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        let queued = queued(&request);
        let received = brings_entries(&alive.endpoint, &request);
        alive.store.submit(request);
        alive.store_queue.push_back(queued);
        if alive.store_queue.len() == 1 {
            self.work_store(peer);
        }
        if queued != Queued::Read {
            self.point(peer, Point::Submitted, None, &[]);
        }
        if queued == Queued::Indexes {
            self.point(peer, Point::IndexSubmitted, None, &[]);
        }
        if received {
            self.point(peer, Point::EntryReceived, None, &[]);
            if core::mem::take(&mut self.nodes[peer].resumes) {
                self.mark(Mark::Resumed);
            }
        }
    }

    /// Takes a durable read, to complete at once, in its usual time, or within the time of up to two commits.
    fn submit_beside(&mut self, peer: usize, request: StoreRequest) {
        let node = &mut self.nodes[peer];
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let (id, life, read_us) = (request.id(), node.life, self.plan.core.read_us);
        alive.reads.insert(id, request);
        let key = [purpose::READ, peer as u64, u64::from(life), id.0];
        let takes_us = match self.keyed.below(&key, 4) {
            0 => 0,
            1 | 2 => read_us,
            _ => self.keyed.below(&[key[0], key[1], key[2], id.0, 1], 2 * node.commit_us + read_us),
        };
        self.schedule(self.now_us + takes_us, peer, What::ReadBeside { peer, life, id });
    }

    pub(super) fn read_beside(&mut self, peer: usize, life: u32, id: StoreId) {
        let node = &mut self.nodes[peer];
        if node.life != life {
            return;
        }
        if node.paused_until > self.now_us {
            let at_us = node.paused_until;
            self.schedule(at_us, peer, What::ReadBeside { peer, life, id });
            return;
        }
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let Some(request) = alive.reads.remove(&id) else { return };
        // A disk is done a moment before anybody is told, and a read in between may show it.
        if self.keyed.once_in(&[purpose::READ, peer as u64, u64::from(life), id.0, 2], 2) {
            alive.store.settle_next();
        }
        let done = alive.store.read_durable(request);
        let done = self.fail_read(peer, done);
        self.check_idle(peer);
        self.point(peer, Point::ReadDone, None, &[]);
        self.call(peer, |alive, now| alive.endpoint.handle_stored(now, done));
        self.turn(peer);
    }

    /// Has the store begin its oldest request.
    fn work_store(&mut self, peer: usize) {
        let node = &mut self.nodes[peer];
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let Some(queued) = alive.store_queue.front() else { return };
        alive.store_requests += 1;
        let key = [purpose::STORE, peer as u64, u64::from(node.life), alive.store_requests];
        let commit_us = node.commit_us + self.keyed.below(&key, node.commit_us / 4 + 20);
        let (at_us, life) =
            (self.now_us + if *queued == Queued::Read { self.plan.core.read_us } else { commit_us }, node.life);
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
        let queued = alive.store_queue.pop_front();
        let done = self.fail_read(peer, done);
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
        if queued == Some(Queued::Indexes) && point == Point::Durable {
            self.point(peer, Point::IndexDurable, None, &[]);
        }
    }

    /// Replaces the result of a read that is to fail.
    fn fail_read(&mut self, peer: usize, done: StoreDone) -> StoreDone {
        let (StoreDone::Got { id, .. } | StoreDone::Scanned { id, .. }) = &done else { return done };
        let Some(left) = &mut self.nodes[peer].fails_read else { return done };
        if let Some(later) = left.checked_sub(1) {
            *left = later;
            return done;
        }
        let failed = StoreDone::Failed { id: *id, error: StoreError::Corrupt { table: "entry" } };
        self.nodes[peer].fails_read = None;
        self.mark(Mark::ReadFailed);
        failed
    }

    /// Carries out all that a process has given its store, as a runtime does before it ends.
    pub(super) fn finish_store(&mut self, peer: usize) {
        const STEPS_MAX: usize = 10_000;
        for _ in 0..STEPS_MAX {
            let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
            let Some(done) = alive.store.complete_next() else { return };
            alive.store_queue.pop_front();
            self.call(peer, |alive, now| alive.endpoint.handle_stored(now, done));
            self.turn(peer);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, generate};
    use bytes::Bytes;
    use cosmicsync_protocol::storage::Scan;
    use std::cmp::Reverse;
    use std::collections::BTreeSet;

    impl World<'_> {
        fn step(&mut self) {
            let Reverse(next) = self.heap.pop().expect("a run does not end here");
            self.now_us = next.at_us;
            self.handle(next.what);
        }

        fn writes(&self, peer: usize) -> bool {
            self.nodes[peer]
                .alive
                .as_deref()
                .is_some_and(|alive| alive.store_queue.front().is_some_and(|queued| *queued != Queued::Read))
        }
    }

    #[test]
    fn a_durable_read_may_overtake_a_commit() {
        let mut seen = BTreeSet::new();
        for seed in 0..40 {
            let plan = generate(seed, &Profile::default());
            let mut world = World::new(&plan, false);
            while !world.writes(0) {
                world.step();
            }
            let alive = world.nodes[0].alive.as_deref_mut().unwrap();
            let (commits, rows) = (alive.store.commits(), alive.store.rows().clone());
            let reads = alive.reads.len();
            alive.endpoint.scan_durable(Scan::of(Table::Entry, Bytes::new(), Bytes::new(), 1));
            world.turn(0);
            assert_eq!(world.nodes[0].alive.as_deref().unwrap().reads.len(), reads + 1);
            let life = world.nodes[0].life;
            while world.nodes[0].alive.as_deref().is_some_and(|alive| !alive.reads.is_empty()) {
                world.step();
            }
            if world.nodes[0].life == life {
                let store = &world.nodes[0].alive.as_deref().unwrap().store;
                seen.insert((store.commits() > commits, *store.rows() != rows));
            }
        }
        // Reported or not, durable or not.
        assert_eq!(seen, BTreeSet::from([(false, false), (false, true), (true, true)]));
    }
}
