//! Traffic counters: of each link while it is up, and of each device since the start.

use crate::service::Traffic;
use cosmicsync_protocol::endpoint::{LinkId, LinkInfo, Process};
use cosmicsync_protocol::ids::DeviceId;
use cosmicsync_protocol::time::Now;
use std::collections::BTreeMap;

/// Counters of one link.
#[derive(Debug, Clone)]
pub(crate) struct LinkRecord {
    /// The address that was dialled, or the address that the peer dialled from.
    pub(crate) address: String,
    /// True if this side dialled.
    pub(crate) dialled: bool,
    /// The authenticated peer.
    pub(crate) peer: Option<Process>,
    /// The time at which bytes last arrived, by the wall clock.
    pub(crate) seen_at: Option<u64>,
    /// True if bytes were sent and none have arrived since.
    asked: bool,
    /// True once both sides were equal: later bytes are live pushes.
    settled: bool,
    round_trips: u64,
}

/// Counters of all links, and of the devices behind them.
#[derive(Debug, Default)]
pub(crate) struct Links {
    records: BTreeMap<LinkId, LinkRecord>,
    ended: BTreeMap<DeviceId, Traffic>,
    total_ended: Traffic,
    seen: BTreeMap<DeviceId, u64>,
    /// The addresses that devices without a link last dialled from.
    away: BTreeMap<DeviceId, String>,
}

impl Links {
    /// Registers a new link.
    pub(crate) fn insert(&mut self, link: LinkId, address: String, dialled: bool) {
        let record =
            LinkRecord { address, dialled, peer: None, seen_at: None, asked: false, settled: false, round_trips: 0 };
        self.records.insert(link, record);
    }

    /// Returns all links.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LinkId, &LinkRecord)> {
        self.records.iter()
    }

    /// Returns the numbers of all links.
    pub(crate) fn ids(&self) -> Vec<LinkId> {
        self.records.keys().copied().collect()
    }

    /// Returns the number of links.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Records that a link is authenticated.
    pub(crate) fn handle_up(&mut self, link: LinkId, peer: Process) {
        if let Some(record) = self.records.get_mut(&link) {
            record.peer = Some(peer);
        }
    }

    /// Records that bytes arrived.
    pub(crate) fn handle_received(&mut self, now: Now, link: LinkId) {
        let Some(record) = self.records.get_mut(&link) else { return };
        record.seen_at = Some(now.wall_ms);
        // Bytes before the authentication belong to the handshake.
        if core::mem::take(&mut record.asked) && record.peer.is_some() && !record.settled {
            record.round_trips += 1;
        }
        if let Some(peer) = record.peer {
            self.seen.insert(peer.device, now.wall_ms);
        }
    }

    /// Records that bytes were sent.
    pub(crate) fn handle_sent(&mut self, link: LinkId) {
        if let Some(record) = self.records.get_mut(&link) {
            record.asked = true;
        }
    }

    /// Records that both sides are equal: round trips end here, and pushes begin.
    pub(crate) fn handle_settled(&mut self, link: LinkId) {
        if let Some(record) = self.records.get_mut(&link) {
            record.settled = true;
        }
    }

    /// Returns whether this side dialled a link.
    pub(crate) fn is_dialled(&self, link: LinkId) -> bool {
        self.records.get(&link).is_some_and(|record| record.dialled)
    }

    /// Returns whether a link is still catching up; false before the authentication.
    pub(crate) fn is_catching_up(&self, link: LinkId) -> bool {
        self.records.get(&link).is_some_and(|record| record.peer.is_some() && !record.settled)
    }

    /// Removes a link; its traffic stays in the totals.
    pub(crate) fn remove(&mut self, link: LinkId, info: Option<&LinkInfo>) {
        let Some(record) = self.records.remove(&link) else { return };
        let traffic = of_link(&record, info);
        add(&mut self.total_ended, traffic);
        if let Some(peer) = record.peer {
            add(self.ended.entry(peer.device).or_default(), traffic);
            if !record.dialled {
                self.away.insert(peer.device, record.address);
            }
        }
    }

    /// Returns the traffic of all links since the start.
    pub(crate) fn total(&self, infos: &[LinkInfo]) -> Traffic {
        let mut total = self.total_ended;
        for (link, record) in &self.records {
            add(&mut total, of_link(record, info_of(infos, *link)));
        }
        total
    }

    /// Returns the traffic of all links with a device since the start.
    pub(crate) fn of_device(&self, device: &DeviceId, infos: &[LinkInfo]) -> Traffic {
        let mut total = self.ended.get(device).copied().unwrap_or_default();
        for (link, record) in
            self.records.iter().filter(|(_, record)| record.peer.is_some_and(|peer| peer.device == *device))
        {
            add(&mut total, of_link(record, info_of(infos, *link)));
        }
        total
    }

    /// Returns the devices that dialled this node before, each with the address that it last dialled from.
    pub(crate) fn dialled_before(&self) -> impl Iterator<Item = (&DeviceId, &String)> {
        self.away.iter()
    }

    /// Returns the time at which a device was last heard.
    pub(crate) fn seen_at(&self, device: &DeviceId) -> Option<u64> {
        self.seen.get(device).copied()
    }
}

fn info_of(infos: &[LinkInfo], link: LinkId) -> Option<&LinkInfo> {
    infos.iter().find(|info| info.link == link)
}

fn of_link(record: &LinkRecord, info: Option<&LinkInfo>) -> Traffic {
    Traffic {
        bytes_out: info.map_or(0, |info| info.bytes_out),
        bytes_in: info.map_or(0, |info| info.bytes_in),
        bytes_handshake: info.map_or(0, |info| info.handshake_bytes),
        round_trips: record.round_trips,
    }
}

fn add(sum: &mut Traffic, more: Traffic) {
    sum.bytes_out += more.bytes_out;
    sum.bytes_in += more.bytes_in;
    sum.bytes_handshake += more.bytes_handshake;
    sum.round_trips += more.round_trips;
}
