//! Detection of devices that run twice: two processes of one device that are alive at the same time.
//!
//! A restarted process looks the same at first, so nothing is reported before there is a proof: both processes
//! answer after both were met, or a process comes back after another one of its device was met. Detection never
//! ends a link or a log (`spec/storage.md`, section 5).

use super::{Links, Open, State};
use crate::event::{Event, Process};
use crate::ids::{DeviceId, Instance, LinkId};
use std::collections::{BTreeMap, VecDeque};

/// Most devices whose processes are remembered.
const DEVICES_MAX: usize = 1_024;
/// Most links of a device that are remembered.
const MEETINGS_MAX: usize = 8;

/// A meeting with a process: one link to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meeting {
    pub(super) instance: Instance,
    /// Time at which the connection was made.
    pub(super) opened_us: u64,
    /// Time at which the process was authenticated. It was alive at some time since the connection was made.
    pub(super) up_us: u64,
}

/// The last meetings with each device.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    of: BTreeMap<DeviceId, VecDeque<Meeting>>,
}

impl Meetings {
    /// Remembers a link. Returns whether it proves that the device runs twice: its process was met before
    /// another one of the device, and is still there.
    pub(super) fn note(&mut self, device: DeviceId, now: Meeting) -> bool {
        if self.of.len() >= DEVICES_MAX && !self.of.contains_key(&device) {
            self.of.pop_first();
        }
        let met = self.of.entry(device).or_default();
        let came_between = |first: &Meeting| {
            let between = |other: &Meeting| first.up_us <= other.opened_us && other.up_us <= now.opened_us;
            met.iter().any(|other| other.instance != now.instance && between(other))
        };
        let is_back = met.iter().filter(|first| first.instance == now.instance).any(came_between);
        met.push_back(now);
        if met.len() > MEETINGS_MAX {
            met.pop_front();
        }
        is_back
    }
}

impl Links {
    /// Notes that a process was met. If its device has links with other processes, each of them is probed.
    pub(super) fn meet(&mut self, me: DeviceId, id: LinkId, peer: Process, now_us: u64, events: &mut VecDeque<Event>) {
        let Some(link) = self.links.get(&id) else { return };
        let meeting = Meeting { instance: peer.instance, opened_us: link.opened_us, up_us: now_us };
        let is_back = self.meetings.note(peer.device, meeting);
        if is_back || peer.device == me {
            events.push_back(Event::Twice { device: peer.device });
        }
        let of_device: Vec<_> = self.opens(peer.device).map(|(id, _)| id).collect();
        if of_device.len() > 1 {
            for id in of_device {
                if let Some(State::Open(open)) = self.links.get_mut(&id).map(|link| &mut link.state) {
                    // If its queue is full, the next keep-alive asks.
                    let _ = open.session.ping(now_us);
                }
            }
        }
    }

    /// Notes that a process was alive after a probe at this time. If another process of its device was too,
    /// after both were met, the device runs twice.
    pub(super) fn handle_alive(&mut self, id: LinkId, asked_us: u64, events: &mut VecDeque<Event>) {
        let Some(State::Open(open)) = self.links.get_mut(&id).map(|link| &mut link.state) else { return };
        open.alive_us = open.alive_us.max(asked_us);
        let (device, alive_us, up_us) = (open.device, open.alive_us, open.up_us);
        let both = |other: &Open| alive_us.min(other.alive_us) >= up_us.max(other.up_us);
        if self.opens(device).any(|(other, open)| other != id && both(open)) {
            events.push_back(Event::Twice { device });
        }
    }

    /// Returns the open links with a device.
    fn opens(&self, device: DeviceId) -> impl Iterator<Item = (LinkId, &Open)> {
        self.links.iter().filter_map(move |(id, link)| match &link.state {
            State::Open(open) if open.device == device => Some((*id, &**open)),
            State::Open(_) | State::Greeting(_) | State::Joining(_) | State::Closed => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId([1; 32]);

    fn meeting(instance: u8, opened_us: u64, up_us: u64) -> Meeting {
        Meeting { instance: Instance([instance; 8]), opened_us, up_us }
    }

    fn noted(meetings: &[Meeting]) -> Vec<bool> {
        let mut all = Meetings::default();
        meetings.iter().map(|meeting| all.note(DEVICE, *meeting)).collect()
    }

    #[test]
    fn a_process_that_comes_back_after_another_shows_it() {
        let [one, other, again] = [meeting(1, 0, 1), meeting(2, 2, 3), meeting(1, 4, 5)];
        assert_eq!(noted(&[one, other, again]), [false, false, true]);
        assert_eq!(noted(&[one, again, other]), [false, false, false], "it started anew");
    }

    #[test]
    fn a_handshake_of_an_ended_process_shows_nothing() {
        // The second process is met while the last message of the first, which is dead by then, is still on its way.
        assert_eq!(noted(&[meeting(2, 2, 3), meeting(1, 0, 4), meeting(2, 5, 6)]), [false, false, false]);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let mut all = Meetings::default();
        for at in 0..4_000_u64 {
            let mut device = [0; 32];
            device[..8].copy_from_slice(&(at / 2).to_le_bytes());
            all.note(DeviceId(device), meeting(1, at, at));
        }
        for at in 0..100 {
            all.note(DEVICE, meeting(1, at, at));
        }
        assert!(all.of.len() <= DEVICES_MAX && all.of.values().all(|met| met.len() <= MEETINGS_MAX));
    }
}
