//! Figures about an endpoint, for people and tests.

use super::Endpoint;
use super::event::{LinkId, Process};
use crate::ids::{DeviceId, LogId};
use crate::ledger::{DocRef, EntryRef, PartNo};
use crate::log::read::EntryReader;
use crate::log::weight::Weight;
use crate::sync::{LogNo, SpaceNo};
use bytes::Bytes;
use std::collections::BTreeMap;

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its number.
    pub link: LinkId,
    /// Who is at the other end, once authenticated.
    pub peer: Option<Process>,
    /// Whether this side dialled.
    pub dialled: bool,
    /// Bytes received, handshake included.
    pub bytes_in: u64,
    /// Bytes sent, handshake included.
    pub bytes_out: u64,
    /// How many of both belong to the handshake.
    pub handshake_bytes: u64,
    /// Transport messages received.
    pub messages_in: u64,
    /// Transport messages sent.
    pub messages_out: u64,
    /// How many messages, runs and notes wait for the link.
    pub queued: usize,
    /// The spaces that both ends have opened on it, and whether all that is known of each was sent, received and
    /// acknowledged.
    pub spaces: BTreeMap<SpaceNo, bool>,
    /// For each log, up to and including which entry the peer holds it durably, as far as it said so on this link.
    pub acked: BTreeMap<LogNo, u64>,
}

impl LinkInfo {
    /// Whether all that is known of what both ends share was sent, received and acknowledged.
    pub fn is_settled(&self) -> bool {
        !self.spaces.is_empty() && self.spaces.values().all(|settled| *settled)
    }
}

/// One log; of one with several histories, one of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    /// Its local number.
    pub no: LogNo,
    /// Its id.
    pub id: LogId,
    /// Its space.
    pub space: SpaceNo,
    /// Its partition, once its owner is known.
    pub partition: Option<PartNo>,
    /// Its writer, likewise.
    pub device: Option<DeviceId>,
    /// How many entries it has, as far as is known here.
    pub entries: u64,
    /// The chain hash at its highest signed head, likewise: tells histories of one log apart.
    pub h: Option<[u8; 32]>,
    /// How many of them are held.
    pub held: u64,
    /// How many of those were read.
    pub read: u64,
    /// Whether this store writes it.
    pub mine: bool,
    /// Whether no more entries will come.
    pub closed: bool,
    /// The log that its writer opened next in the partition, if its card is here.
    pub next: Option<LogNo>,
}

/// Figures about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Every link.
    pub links: Vec<LinkInfo>,
    /// How many logs are known.
    pub logs: usize,
    /// How many documents are in memory.
    pub open_docs: usize,
    /// Edits that no entry carries yet.
    pub gathered: usize,
    /// Store requests that have not completed.
    pub store_requests: usize,
    /// Documents that are read, or will be, for what is to be republished in them.
    pub examining: usize,
    /// Where the bytes of the entries went that this store wrote since its start, whether or not they are durable yet.
    pub written: Weight,
}

impl Endpoint {
    /// One link.
    pub fn link(&self, link: LinkId) -> Option<LinkInfo> {
        self.links.one_info(link)
    }

    /// Figures for people and tests.
    pub fn stats(&self) -> Stats {
        Stats {
            links: self.links.info(),
            logs: self.ledger.registry.len(),
            open_docs: self.documents.len(),
            gathered: self.documents.gathered(),
            store_requests: self.ledger.store.under_way(),
            examining: self.documents.examining(&self.ledger),
            written: self.ledger.written,
        }
    }

    /// Every log that is known here.
    pub fn logs(&self) -> impl Iterator<Item = LogInfo> {
        self.ledger.registry.iter().map(|log| {
            // What a history shares with the one that it leaves is held there.
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
                held: count(&log.durable.held),
                read: count(&log.durable.indexed),
                mine: log.mine,
                closed: log.closed,
                next: log.next,
            }
        })
    }

    /// The id of a log that an answer of this endpoint named.
    pub fn log_id(&self, log: LogNo) -> Option<LogId> {
        ((log.0 as usize) < self.ledger.registry.len()).then(|| self.ledger.registry.log(log).id)
    }

    /// The number of a log, if it is known here.
    pub fn log_no(&self, log: &LogId) -> Option<LogNo> {
        self.ledger.registry.by_id(log)
    }

    /// Whether this store writes, or wrote, a log.
    pub fn is_own_log(&self, log: LogNo) -> bool {
        (log.0 as usize) < self.ledger.registry.len() && self.ledger.registry.log(log).mine
    }

    /// The space of a partition; `None` if there is no such partition.
    pub fn space_of(&self, partition: PartNo) -> Option<SpaceNo> {
        self.ledger.partitions.get(partition.0 as usize).map(|partition| partition.space)
    }

    /// Whether a document is in memory and read, though it may be empty.
    pub fn is_open(&self, doc: DocRef) -> bool {
        self.documents.is_ready(doc)
    }

    /// The author's wall clock in a stored entry, in milliseconds, from its row of
    /// [`Table::Entry`](crate::storage::Table::Entry). `None` if the entry cannot be read here.
    pub fn entry_wall_ms(&mut self, at: EntryRef, row: &Bytes) -> Option<u64> {
        self.log_id(at.log)?;
        let held = self.ledger.held_from_row(at, row).ok()?;
        let reader = EntryReader::new(&held.entry, self.ledger.place(at, &held.h_prev));
        self.ledger.header_of(at, &reader).map(|header| header.wall_ms)
    }
}
