//! Logs: the known ones, their entries, and those of this process.
//!
//! [`Logs`] verifies and takes in the entries of others, reads held entries into rows, appends to the logs of this
//! process, and tells the histories of a forked log apart. It knows spaces, as the rooms above know it, and never a
//! link, a store or an open document: writes go into the [`Batch`] of its caller, reads and facts are returned
//! (`spec/storage.md`, `spec/log.md`, `spec/exclusion.md`).

mod accept;
mod append;
mod batch;
mod entry_cache;
mod fork_index;
mod forks;
mod opened;
mod owners;
mod progress;
mod read;
pub(crate) mod registry;
mod restore;

pub(crate) use accept::{Arrival, News, Refusal, Run};
pub(crate) use append::{Source, Writing, mint_doc_id};
pub(crate) use batch::{Batch, Effect, Touch};
pub(crate) use entry_cache::{EntryCache, Held};
pub(crate) use fork_index::{Asks, ForkStep};
pub(crate) use forks::{Taken, short};
pub(crate) use progress::Progress;
pub(crate) use read::BodyKeys;

use crate::config::{Config, Steps};
use crate::ids::{EntryRef, LogId, LogNo, PartNo};
use crate::log::Weight;
use append::OwnLogs;
use fork_index::ForkIndex;
use opened::Opener;
use read::Reader;
use registry::{Log, Registry};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All logs of all spaces.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) registry: Registry,
    pub(crate) entry_cache: EntryCache,
    own: OwnLogs,
    reader: Reader,
    forks: ForkIndex,
    /// Logs that cards name as earlier ones and whose owner is not known yet, each with the log of such a
    /// card.
    expected: BTreeSet<(LogId, LogNo)>,
    /// Logs that the most recently opened card names, with that card's log.
    named: Option<(LogNo, Arc<[LogId]>)>,
    opener: Opener,
    steps: Steps,
}

impl Logs {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            registry: Registry::new(config.steps.leaf_items),
            entry_cache: EntryCache::new(config.recent_bytes_max),
            own: OwnLogs::default(),
            reader: Reader::default(),
            forks: ForkIndex::default(),
            expected: BTreeSet::new(),
            named: None,
            opener: Opener::default(),
            steps: config.steps.clone(),
        }
    }

    /// Returns the log that this process writes in a partition, if there is one.
    pub(crate) fn live(&self, part: PartNo) -> Option<LogNo> {
        self.own.live.get(&part).copied()
    }

    /// Returns whether entries can be appended to a log here.
    pub(crate) fn can_append(&self, log: LogNo) -> bool {
        (log.0 as usize) < self.registry.len() && self.registry.log(log).mine && !self.registry.log(log).closed
    }

    /// Returns the bytes that this store wrote since its start, by use.
    pub(crate) const fn written(&self) -> Weight {
        self.own.written
    }

    /// Makes a log's progress the durable one. Returns the seq after the previously known head, and the reads that the
    /// fork index asks for.
    pub(crate) fn publish(&mut self, log: LogNo, progress: Progress) -> (u64, Asks) {
        let before = self.registry.log(log).durable.tip.as_ref().map_or(0, |tip| tip.seq + 1);
        self.registry.publish(log, progress);
        let asks = self.poll_fork_index();
        self.wake(log);
        (before, asks)
    }

    /// Returns whether this process appended an entry.
    pub(crate) fn wrote(&self, at: EntryRef) -> bool {
        self.registry.log(at.log).wrote > at.seq
    }

    /// Returns whether this process appended anything in a partition.
    pub(crate) fn wrote_in(&self, part: PartNo) -> bool {
        let in_part = |log: &Log| log.wrote > 0 && log.owner().is_some_and(|owner| owner.partition == part);
        self.registry.iter().any(in_part)
    }
}

#[cfg(test)]
mod tests;
