//! The address book: the addresses to dial, their schedule and their state. Sans-IO: the driver dials and reports.
//!
//! The pause after failed dials grows from a quarter of a second to half a minute. The pause has jitter, so that a node
//! that comes back is not dialled by all its peers at once. A peer that is connected already, dialled by either side,
//! is not dialled again; a copy of a device is another peer.

use cosmicsync_protocol::endpoint::{LinkId, Process};
use cosmicsync_protocol::entropy::Entropy;
use std::collections::{BTreeMap, BTreeSet};

/// Shortest pause after a failure, in microseconds.
const BACKOFF_US_MIN: u64 = 250_000;
/// Longest pause after a failure, in microseconds.
const BACKOFF_US_MAX: u64 = 30_000_000;
/// Least duration of a link that ends the series of failures, in microseconds.
const GOOD_LINK_US: u64 = 2_000_000;

/// State of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not connected; to be dialled at this time.
    Waiting {
        /// Time on the monotonic clock, in microseconds.
        at_us: u64,
    },
    /// A connection is being made.
    Dialling,
    /// A link exists; its handshake may still be in progress.
    Linked(LinkId),
    /// The address is this node's own.
    Myself,
}

/// One address.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// State of the address.
    pub(crate) phase: Phase,
    /// The peer that last answered at the address.
    pub(crate) peer: Option<Process>,
    /// The error that ended the last attempt or link.
    pub(crate) error: Option<String>,
    failures: u32,
    up_since_us: Option<u64>,
}

/// The address book.
#[derive(Debug)]
pub(crate) struct Peers {
    known: BTreeMap<String, Known>,
    /// The links of each connected peer.
    up: BTreeMap<Process, BTreeSet<LinkId>>,
    paused: bool,
    entropy: Entropy,
}

/// The reason for a link's end, as far as it affects dialling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Dial again at once.
    Renew,
    /// Dial again after a pause.
    Later,
    /// Never dial again: the address is this node's own.
    Oneself,
}

impl Peers {
    /// Returns a book of these addresses, all to be dialled at once.
    pub(crate) fn new(addresses: impl IntoIterator<Item = String>, seed: [u8; 32]) -> Self {
        let mut peers =
            Self { known: BTreeMap::new(), up: BTreeMap::new(), paused: false, entropy: Entropy::new(seed) };
        for address in addresses {
            peers.add(address);
        }
        peers
    }

    /// Adds an address; returns whether it is new.
    pub(crate) fn add(&mut self, address: String) -> bool {
        if self.known.contains_key(&address) {
            return false;
        }
        let fresh =
            Known { phase: Phase::Waiting { at_us: 0 }, peer: None, error: None, failures: 0, up_since_us: None };
        self.known.insert(address, fresh);
        true
    }

    /// Removes an address; returns its entry.
    pub(crate) fn remove(&mut self, address: &str) -> Option<Known> {
        self.known.remove(address)
    }

    /// Returns whether an address is in the book.
    pub(crate) fn knows(&self, address: &str) -> bool {
        self.known.contains_key(address)
    }

    /// Returns all addresses, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.known.iter()
    }

    /// Returns whether links are paused.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Pauses dialling.
    pub(crate) const fn pause(&mut self) {
        self.paused = true;
    }

    /// Resumes dialling; all addresses are dialled at once.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        for known in self.known.values_mut() {
            known.failures = 0;
            if let Phase::Waiting { at_us } = &mut known.phase {
                *at_us = 0;
            }
        }
    }

    /// Returns whether a peer has a link.
    pub(crate) fn is_up(&self, peer: &Process) -> bool {
        self.up.contains_key(peer)
    }

    /// Returns an address to dial now and marks it as being dialled.
    pub(crate) fn poll_dial(&mut self, now_us: u64) -> Option<String> {
        let up = &self.up;
        let due = |known: &Known| due_us(known, up).is_some_and(|at_us| at_us <= now_us);
        if self.paused {
            return None;
        }
        let (address, known) = self.known.iter_mut().find(|(_, known)| due(known))?;
        known.phase = Phase::Dialling;
        Some(address.clone())
    }

    /// Returns the next time at which [`Self::poll_dial`] returns an address, on the monotonic clock.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        if self.paused {
            return None;
        }
        self.known.values().filter_map(|known| due_us(known, &self.up)).min()
    }

    /// Records that a dialled connection was made.
    pub(crate) fn handle_dialled(&mut self, address: &str, link: LinkId) {
        if let Some(known) = self.known.get_mut(address) {
            known.phase = Phase::Linked(link);
        }
    }

    /// Records that a connection could not be made.
    pub(crate) fn handle_dial_failed(&mut self, now_us: u64, address: &str, error: String) {
        if let Some(known) = self.known.get_mut(address) {
            known.error = Some(error);
            known.wait(now_us, &mut self.entropy);
        }
    }

    /// Records that a link is authenticated.
    pub(crate) fn handle_up(&mut self, now_us: u64, link: LinkId, peer: Process) {
        if let Some(known) = self.known.values_mut().find(|known| known.phase == Phase::Linked(link)) {
            known.peer = Some(peer);
            known.error = None;
            known.up_since_us = Some(now_us);
        }
        self.up.entry(peer).or_default().insert(link);
    }

    /// Records the peer of a link that is not up, and may never be.
    pub(crate) fn handle_known(&mut self, link: LinkId, peer: Process) {
        if let Some(known) = self.known.values_mut().find(|known| known.phase == Phase::Linked(link)) {
            known.peer = Some(peer);
        }
    }

    /// Records the end of a link.
    pub(crate) fn handle_closed(&mut self, now_us: u64, link: LinkId, ending: Ending, error: Option<String>) {
        let mut lost = None;
        self.up.retain(|peer, links| {
            if links.remove(&link) && links.is_empty() {
                lost = Some(*peer);
            }
            !links.is_empty()
        });
        for known in self.known.values_mut() {
            let ended = known.phase == Phase::Linked(link);
            if ended {
                known.error.clone_from(&error);
                let good = known.up_since_us.take().is_some_and(|since| now_us.saturating_sub(since) >= GOOD_LINK_US);
                if good && !planted!("back-off.never-resets") {
                    known.failures = 0;
                }
                known.wait(now_us, &mut self.entropy);
                if ending == Ending::Oneself {
                    known.phase = Phase::Myself;
                }
            }
            let relied_on = lost.is_some() && known.peer == lost;
            if let (Ending::Renew, true, Phase::Waiting { at_us }) = (ending, ended || relied_on, &mut known.phase) {
                *at_us = now_us;
            }
        }
    }
}

impl Known {
    /// Schedules the next dial; the pause grows with each failure.
    fn wait(&mut self, now_us: u64, entropy: &mut Entropy) {
        let full = BACKOFF_US_MIN.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_US_MAX);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting { at_us: now_us + full / 2 + entropy.below(full / 2 + 1) };
    }
}

/// Returns the time to dial an address, unless it is busy or its peer is connected by another link.
fn due_us(known: &Known, up: &BTreeMap<Process, BTreeSet<LinkId>>) -> Option<u64> {
    let Phase::Waiting { at_us } = known.phase else { return None };
    let connected = known.peer.is_some_and(|peer| up.contains_key(&peer));
    (!connected || planted!("dial.twice")).then_some(at_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmicsync_protocol::ids::{DeviceId, Instance};

    const PEER: Process = Process { device: DeviceId([1; 32]), instance: Instance([1; 8]) };
    const COPY: Process = Process { device: DeviceId([1; 32]), instance: Instance([2; 8]) };

    fn book() -> Peers {
        Peers::new(["a:1".to_owned()], [7; 32])
    }

    fn wait_us(peers: &Peers) -> u64 {
        peers.poll_timeout().expect("it waits")
    }

    #[test]
    fn failures_back_off_up_to_half_a_minute() {
        let mut peers = book();
        let mut last = 0;
        for round in 0..12 {
            assert_eq!(peers.poll_dial(u64::MAX / 2).as_deref(), Some("a:1"));
            assert_eq!(peers.poll_dial(u64::MAX / 2), None, "it is being dialled");
            peers.handle_dial_failed(0, "a:1", "refused".to_owned());
            let pause = wait_us(&peers);
            let full = (BACKOFF_US_MIN << round).min(BACKOFF_US_MAX);
            assert!((full / 2..=full).contains(&pause), "{pause} after {round} failures");
            last = pause;
        }
        assert!(last >= BACKOFF_US_MAX / 2);
        peers.resume();
        assert_eq!(wait_us(&peers), 0, "resuming dials at once");
    }

    #[test]
    fn a_replaced_link_is_not_dialled_while_another_one_is_up() {
        let mut peers = book();
        peers.poll_dial(0);
        peers.handle_dialled("a:1", LinkId(1));
        peers.handle_up(0, LinkId(1), PEER);
        peers.handle_up(1, LinkId(2), PEER);
        peers.handle_closed(2, LinkId(1), Ending::Later, None);
        assert_eq!(peers.poll_timeout(), None);
        assert!(peers.is_up(&PEER));
        peers.handle_closed(3, LinkId(2), Ending::Renew, None);
        assert_eq!(peers.poll_dial(3).as_deref(), Some("a:1"));
    }

    #[test]
    fn this_node_is_not_dialled_twice() {
        let mut peers = book();
        peers.poll_dial(0);
        peers.handle_dialled("a:1", LinkId(1));
        peers.handle_closed(1, LinkId(1), Ending::Oneself, None);
        assert_eq!(peers.poll_timeout(), None);
    }

    #[test]
    fn a_copy_of_a_device_that_is_up_is_dialled_too() {
        let mut peers = book();
        peers.add("b:1".to_owned());
        for (address, link, peer) in [("a:1", LinkId(1), PEER), ("b:1", LinkId(2), COPY)] {
            assert_eq!(peers.poll_dial(0).as_deref(), Some(address));
            peers.handle_dialled(address, link);
            peers.handle_up(0, link, peer);
        }
        peers.handle_closed(1, LinkId(2), Ending::Renew, None);
        assert_eq!(peers.poll_dial(1).as_deref(), Some("b:1"));
    }

    #[test]
    fn an_address_of_a_process_that_dialled_us_is_not_dialled() {
        let mut peers = book();
        peers.handle_up(0, LinkId(1), PEER);
        peers.poll_dial(0);
        peers.handle_dialled("a:1", LinkId(2));
        peers.handle_known(LinkId(2), PEER);
        peers.handle_closed(1, LinkId(2), Ending::Later, None);
        assert_eq!(peers.poll_timeout(), None);
        peers.handle_closed(2, LinkId(1), Ending::Later, None);
        assert!(peers.poll_timeout().is_some());
    }

    #[test]
    fn nobody_is_dialled_while_paused() {
        let mut peers = book();
        peers.pause();
        assert_eq!((peers.poll_dial(0), peers.poll_timeout()), (None, None));
        peers.resume();
        assert_eq!(peers.poll_dial(0).as_deref(), Some("a:1"));
    }
}
