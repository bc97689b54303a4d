//! Figures about an endpoint, for people and tests.
//!
//! They describe the present state and never change it.

use super::Endpoint;
use crate::event::Process;
use crate::ids::{DeviceId, DocRef, EntryRef, LinkId, LogId, LogNo, PartNo, SpaceNo};
use crate::log::read::EntryReader;
use crate::log::weight::Weight;
use crate::sync::session::Credit;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Figures about one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Number of the link.
    pub link: LinkId,
    /// Process at the other end, once authenticated.
    pub peer: Option<Process>,
    /// True if this side dialled.
    pub dialled: bool,
    /// Bytes received, handshake included.
    pub bytes_in: u64,
    /// Bytes sent, handshake included.
    pub bytes_out: u64,
    /// Bytes of the handshake, included in `bytes_in` and `bytes_out`.
    pub handshake_bytes: u64,
    /// Transport messages received.
    pub messages_in: u64,
    /// Transport messages sent.
    pub messages_out: u64,
    /// Number of repair walks on the link.
    pub walks: u64,
    /// Credit for entries.
    pub credit: Credit,
    /// Number of messages, runs and notes that wait for the link.
    pub queued: usize,
    /// Spaces that both ends have opened on the link. The value is true once all that is known of the space
    /// was sent, received and acknowledged.
    pub spaces: BTreeMap<SpaceNo, bool>,
    /// For each log, the last entry that the peer reported as durable on this link.
    pub acked: BTreeMap<LogNo, u64>,
}

impl LinkInfo {
    /// Returns whether all that is known of the shared spaces was sent, received and acknowledged.
    pub fn is_settled(&self) -> bool {
        !self.spaces.is_empty() && self.spaces.values().all(|settled| *settled)
    }
}

/// Figures about one log, or about one history of a forked log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    /// Local number of the log.
    pub no: LogNo,
    /// Id of the log.
    pub id: LogId,
    /// Space of the log.
    pub space: SpaceNo,
    /// Partition of the log, once its owner is known.
    pub partition: Option<PartNo>,
    /// Writer of the log, once known.
    pub device: Option<DeviceId>,
    /// Number of the log's entries, as far as known here.
    pub entries: u64,
    /// Chain hash at the highest signed head, once known. Differs between histories of one log.
    pub h: Option<[u8; 32]>,
    /// Number of entries that are held.
    pub held: u64,
    /// Number of held entries that were read.
    pub read: u64,
    /// True if this store writes the log.
    pub mine: bool,
    /// True if no more entries will come.
    pub closed: bool,
    /// The log that the writer opened next in the partition, if its card is here.
    pub next: Option<LogNo>,
}

/// Figures about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Every link.
    pub links: Vec<LinkInfo>,
    /// Number of known logs.
    pub logs: usize,
    /// Number of documents in memory.
    pub open_docs: usize,
    /// Edits that no entry carries yet.
    pub gathered: usize,
    /// Store requests that have not completed.
    pub store_requests: usize,
    /// Number of documents that are read, or will be, to republish their excluded entries.
    pub examining: usize,
    /// Bytes of the cache of recent entries, and the number of entries in it.
    pub recent: (usize, usize),
    /// Bytes of the entries that this store wrote since its start, by use, durable or not.
    pub written: Weight,
}

impl Endpoint {
    /// Returns figures about one link.
    pub fn link(&self, link: LinkId) -> Option<LinkInfo> {
        self.links.one_info(link)
    }

    /// Returns figures about the endpoint.
    pub fn stats(&self) -> Stats {
        Stats {
            links: self.links.info(),
            logs: self.ledger.logs.registry.len(),
            open_docs: self.documents.len(),
            gathered: self.documents.gathered(),
            store_requests: self.ledger.store.under_way(),
            examining: self.documents.examining(&self.ledger),
            recent: self.ledger.logs.entry_cache.size(),
            written: self.ledger.logs.written(),
        }
    }

    /// Returns every log that is known here.
    pub fn logs(&self) -> impl Iterator<Item = LogInfo> {
        self.ledger.logs.registry.iter().map(|log| {
            // The entries that a history shares with its parent are held there.
            let base = log.branch().map_or(0, |branch| branch.base);
            let own =
                |range: core::ops::RangeInclusive<u64>| (range.end() + 1).saturating_sub(base.max(*range.start()));
            let count = |spans: &crate::sync::ranges::Ranges| base + spans.iter().map(own).sum::<u64>();
            LogInfo {
                no: log.no,
                id: log.id,
                space: log.space,
                partition: log.owner().map(|owner| owner.partition),
                device: log.owner().map(|owner| owner.device),
                entries: log.durable.tip.as_ref().map_or(0, |tip| tip.seq + 1),
                h: log.durable.tip.as_ref().map(|tip| tip.h),
                held: count(&log.durable.held) + u64::from(planted!("held.miscounted") && log.durable.held.contains(2)),
                read: count(&log.durable.indexed),
                mine: log.mine,
                closed: log.closed,
                next: log.next,
            }
        })
    }

    /// Returns the id of a log that an answer of this endpoint named.
    pub fn log_id(&self, log: LogNo) -> Option<LogId> {
        ((log.0 as usize) < self.ledger.logs.registry.len()).then(|| self.ledger.logs.registry.log(log).id)
    }

    /// Returns the number of a log, if it is known here.
    pub fn log_no(&self, log: &LogId) -> Option<LogNo> {
        self.ledger.logs.registry.by_id(log)
    }

    /// Returns whether this store writes, or wrote, a log.
    pub fn is_own_log(&self, log: LogNo) -> bool {
        (log.0 as usize) < self.ledger.logs.registry.len() && self.ledger.logs.registry.log(log).mine
    }

    /// Returns the space of a partition; `None` if there is no such partition.
    pub fn space_of(&self, partition: PartNo) -> Option<SpaceNo> {
        self.ledger.spaces.known_partition(partition).ok().map(|partition| partition.space)
    }

    /// Returns whether a document is in memory and read, though it may be empty.
    pub fn is_open(&self, doc: DocRef) -> bool {
        self.documents.is_ready(doc)
    }

    /// Returns the author's wall clock in a stored entry, in milliseconds, from its row of
    /// [`Table::Entry`](crate::storage::Table::Entry). `None` if the entry cannot be read here.
    pub fn entry_wall_ms(&mut self, at: EntryRef, row: &Bytes) -> Option<u64> {
        self.log_id(at.log)?;
        let held = self.ledger.logs.held_from_row(at, row).ok()?;
        let reader = EntryReader::new(&held.entry, self.ledger.logs.place(at, &held.h_prev));
        self.ledger.header_of(at, &reader).map(|header| header.wall_ms)
    }
}
