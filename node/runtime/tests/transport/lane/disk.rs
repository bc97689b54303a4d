//! The store of a host, in memory. A crash keeps the durable commits and a prefix of those in progress.

use super::dice::Dice;
use super::net::SimClock;
use super::tape::Tape;
use cosmicsync_node::clock::Clock as _;
use cosmicsync_node::embed::{Disk, Store};
use cosmicsync_node::service::{ErrorCode, ServiceError};
use cosmicsync_node::store::StoreStopped;
use cosmicsync_protocol::storage::{StoreDone, StoreError, StoreRequest};
use cosmicsync_protocol::testkit::store::MemStore;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinHandle, spawn_local};

/// The part of a store that outlives the process, with its faults.
#[derive(Debug)]
pub(crate) struct Platter {
    store: MemStore,
    dice: Dice,
    /// Number of requests so far.
    pub(crate) requests: u64,
    /// Longest duration of a commit, in microseconds.
    pub(crate) slow_us: u64,
    /// True if the store has no room.
    is_full: bool,
    /// True if the process ends without a last commit.
    is_crashing: bool,
}

impl Platter {
    pub(crate) fn new(dice: Dice) -> Self {
        Self { store: MemStore::new(), dice, requests: 0, slow_us: 4_000, is_full: false, is_crashing: false }
    }

    /// Makes commits fail for lack of room, until [`Self::clear`].
    pub(crate) fn fill(&mut self) {
        self.is_full = true;
        self.store.fail_commit(0, StoreError::Full);
    }

    /// Ends the lack of room.
    pub(crate) fn clear(&mut self) {
        self.is_full = false;
    }

    /// Returns the number of requests in progress.
    pub(crate) fn pending(&self) -> usize {
        self.store.pending()
    }

    /// Returns whether some commit is durable and not yet reported to the process.
    pub(crate) fn has_unreported(&self) -> bool {
        self.store.has_unreported()
    }

    /// Prepares the abrupt end of the process.
    pub(crate) fn begin_crash(&mut self) {
        self.is_crashing = true;
    }

    /// Reduces the store to its state after the crash. Returns the number of commits in progress that remain.
    pub(crate) fn end_crash(&mut self) -> usize {
        let keep = self.dice.index(self.store.pending() + 1);
        self.store = self.store.crash(keep);
        self.is_crashing = false;
        keep
    }
}

/// The location of a host's store.
#[derive(Debug)]
pub(crate) struct MemDisk {
    pub(crate) platter: Rc<RefCell<Platter>>,
    pub(crate) clock: SimClock,
    pub(crate) tape: Tape,
    pub(crate) host: usize,
}

impl Disk for MemDisk {
    type Store = Open;

    fn open(&mut self, done: UnboundedSender<StoreDone>) -> Result<Open, ServiceError> {
        let mut platter = self.platter.borrow_mut();
        if platter.is_full {
            return Err(ServiceError::new(ErrorCode::StoreFull, "no room"));
        }
        let rows = platter.store.rows().clone();
        platter.store = MemStore::with_rows(rows);
        let (work, platter) = (Rc::new(Notify::new()), Rc::clone(&self.platter));
        let arm = Arm { platter: Rc::clone(&platter), done: done.clone(), tape: self.tape.clone(), host: self.host };
        let worker = spawn_local(arm.run(self.clock, Rc::clone(&work)));
        Ok(Open { platter, work, done, worker })
    }

    fn release(&mut self) {}

    fn is_full(&self) -> bool {
        self.platter.borrow().is_full
    }
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Open {
    platter: Rc<RefCell<Platter>>,
    work: Rc<Notify>,
    done: UnboundedSender<StoreDone>,
    worker: JoinHandle<()>,
}

impl Store for Open {
    fn submit(&self, request: StoreRequest) -> Result<(), StoreStopped> {
        let mut platter = self.platter.borrow_mut();
        platter.requests += 1;
        if request.is_durable_read() && platter.dice.one_in(2) {
            // Like another thread, this overtakes all waiting requests.
            let done = platter.store.read_durable(request);
            return self.done.send(done).map_err(|_| StoreStopped);
        }
        platter.store.submit(request);
        self.work.notify_one();
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.abort();
        let mut platter = self.platter.borrow_mut();
        if !platter.is_crashing {
            platter.store.complete_all();
        }
    }
}

/// The part of the store that carries out requests.
struct Arm {
    platter: Rc<RefCell<Platter>>,
    done: UnboundedSender<StoreDone>,
    tape: Tape,
    host: usize,
}

impl Arm {
    async fn run(self, clock: SimClock, work: Rc<Notify>) {
        loop {
            let pending = self.platter.borrow().store.pending();
            if pending == 0 {
                work.notified().await;
                continue;
            }
            self.wait(clock).await;
            // All waiting commits become durable together, a moment before any is reported.
            let group = {
                let mut platter = self.platter.borrow_mut();
                let group = platter.store.pending();
                (0..group).for_each(|_| platter.store.settle_next());
                group
            };
            if self.platter.borrow_mut().dice.one_in(2) {
                self.wait(clock).await;
            }
            for _ in 0..group {
                let Some(done) = self.platter.borrow_mut().store.complete_next() else { break };
                self.tape.note(self.host, format_args!("store: {:?}", done.id()));
                if self.done.send(done).is_err() {
                    return;
                }
            }
        }
    }

    async fn wait(&self, clock: SimClock) {
        let after_us = {
            let mut platter = self.platter.borrow_mut();
            let most_us = if platter.dice.one_in(16) { platter.slow_us * 8 } else { platter.slow_us };
            platter.dice.range(50, most_us.max(50))
        };
        clock.sleep_until(clock.now().mono_us + after_us).await;
    }
}
