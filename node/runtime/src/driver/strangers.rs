//! Accepted connections that are not authenticated yet. Few are kept, and the oldest ones are dropped first.
//!
//! An honest peer's handshake takes a few round trips, so a connection that stays unauthenticated is worth little. If
//! there are too many, the oldest one of the address with the most connections is closed for the next. Links of known
//! devices are neither counted nor closed.

use cosmicsync_protocol::endpoint::LinkId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One address may have at most this fraction (one in N) of all kept strangers.
const SHARE: usize = 4;

/// The set of strangers. Described on the module's page.
#[derive(Debug)]
pub(crate) struct Strangers {
    max: usize,
    addresses: BTreeMap<LinkId, IpAddr>,
    links: BTreeMap<IpAddr, BTreeSet<LinkId>>,
}

impl Strangers {
    /// Returns an empty set of at most `max` strangers, and at least one.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), addresses: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// Returns the number of strangers.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Returns the stranger to close for a new one from `address`; `None` while there is room.
    pub(crate) fn stranger_to_close(&self, address: IpAddr) -> Option<LinkId> {
        let from_here = self.links.get(&address);
        if from_here.is_some_and(|links| links.len() >= (self.max / SHARE).max(1)) {
            return from_here?.first().copied();
        }
        if self.addresses.len() < self.max {
            return None;
        }
        // Link numbers ascend, so the lowest is the oldest.
        let most = self.links.values().map(BTreeSet::len).max()?;
        self.links.values().filter(|links| links.len() == most).filter_map(BTreeSet::first).min().copied()
    }

    /// Adds a connection.
    pub(crate) fn insert(&mut self, link: LinkId, address: IpAddr) {
        self.addresses.insert(link, address);
        self.links.entry(address).or_default().insert(link);
    }

    /// Removes a link that is authenticated or gone. Returns whether it was a stranger.
    pub(crate) fn remove(&mut self, link: LinkId) -> bool {
        let Some(address) = self.addresses.remove(&link) else { return false };
        if let Some(links) = self.links.get_mut(&address) {
            links.remove(&link);
            if links.is_empty() {
                self.links.remove(&address);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn one_address_displaces_its_own_first() {
        let mut strangers = Strangers::new(16);
        strangers.insert(LinkId(0), address(1));
        for link in 1..=4 {
            assert_eq!(strangers.stranger_to_close(address(2)), None);
            strangers.insert(LinkId(link), address(2));
        }
        assert_eq!(strangers.stranger_to_close(address(2)), Some(LinkId(1)));
        assert_eq!(strangers.stranger_to_close(address(1)), None);
        assert!(strangers.remove(LinkId(1)) && !strangers.remove(LinkId(1)));
        assert_eq!(strangers.stranger_to_close(address(2)), None);
    }

    #[test]
    fn many_addresses_displace_the_oldest_of_the_busiest() {
        let mut strangers = Strangers::new(4);
        for (link, last) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            strangers.insert(LinkId(link), address(last));
        }
        assert_eq!(strangers.stranger_to_close(address(9)), Some(LinkId(0)));
        assert!(strangers.remove(LinkId(0)));
        assert_eq!((strangers.len(), strangers.stranger_to_close(address(9))), (3, None));
    }
}
