//! Figures about an endpoint, for people and tests.

use super::Endpoint;
use super::event::LinkId;
use crate::ids::{DeviceId, LogId};
use crate::ledger::PartNo;
use crate::sync::{LogNo, SpaceNo};
use std::collections::BTreeMap;

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its number.
    pub link: LinkId,
    /// Who is at the other end, once authenticated.
    pub device: Option<DeviceId>,
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
    /// Whether all that is known was sent, received and acknowledged.
    pub settled: bool,
    /// For each log, up to and including which entry the peer holds it durably, as far as it said so on this link.
    pub acked: BTreeMap<LogNo, u64>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    /// Its local number.
    pub no: LogNo,
    /// Its id.
    pub id: LogId,
    /// Its space.
    pub space: SpaceNo,
    /// Its partition, once its LogOpen record is here.
    pub partition: Option<PartNo>,
    /// Its writer, likewise.
    pub device: Option<DeviceId>,
    /// How many entries it has, as far as is known here.
    pub entries: u64,
    /// How many of them are held.
    pub held: u64,
    /// How many of those were read.
    pub read: u64,
    /// Whether this store writes it.
    pub mine: bool,
    /// Whether no more entries will come.
    pub closed: bool,
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
    /// Store requests that have not completed.
    pub store_requests: usize,
}

impl Endpoint {
    /// Figures for people and tests.
    pub fn stats(&self) -> Stats {
        Stats {
            links: self.links.info(),
            logs: self.ledger.book.len(),
            open_docs: self.shelf.len(),
            store_requests: self.ledger.store.under_way(),
        }
    }

    /// Every log that is known here.
    pub fn logs(&self) -> impl Iterator<Item = LogInfo> {
        self.ledger.book.iter().map(|log| {
            let count =
                |spans: &crate::sync::spans::Spans| spans.iter().map(|range| range.end() - range.start() + 1).sum();
            LogInfo {
                no: log.no,
                id: log.id,
                space: log.space,
                partition: log.owner.map(|owner| owner.partition),
                device: log.owner.map(|owner| owner.device),
                entries: log.durable.tip.as_ref().map_or(0, |tip| tip.seq + 1),
                held: count(&log.durable.held),
                read: count(&log.durable.indexed),
                mine: log.mine,
                closed: log.closed,
            }
        })
    }
}
