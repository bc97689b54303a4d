//! Connections that were accepted and have not shown yet who they are: few are kept, and the newest of them longest.
//!
//! A handshake takes an honest peer a few round trips, and whoever holds connections open holds them for nothing: so
//! when there are too many, the oldest one of the address with the most makes room for the next. Links of known
//! devices are not counted and never make room.

use cosmicsync_protocol::endpoint::LinkId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Of all strangers that are kept, one in so many may come from one address.
const SHARE: usize = 4;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Strangers {
    max: usize,
    addresses: BTreeMap<LinkId, IpAddr>,
    links: BTreeMap<IpAddr, BTreeSet<LinkId>>,
}

impl Strangers {
    /// Keeps at most `max`, and at least one.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), addresses: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whom one more from `address` takes the place of; `None` while there is room.
    pub(crate) fn in_the_way_of(&self, address: IpAddr) -> Option<LinkId> {
        let from_here = self.links.get(&address);
        if from_here.is_some_and(|links| links.len() >= (self.max / SHARE).max(1)) {
            return from_here?.first().copied();
        }
        if self.addresses.len() < self.max {
            return None;
        }
        // Link numbers ascend: the lowest is the oldest.
        let most = self.links.values().map(BTreeSet::len).max()?;
        self.links.values().filter(|links| links.len() == most).filter_map(BTreeSet::first).min().copied()
    }

    /// Someone connected.
    pub(crate) fn insert(&mut self, link: LinkId, address: IpAddr) {
        self.addresses.insert(link, address);
        self.links.entry(address).or_default().insert(link);
    }

    /// A link is known by now, or gone. Whether it was a stranger's.
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
            assert_eq!(strangers.in_the_way_of(address(2)), None);
            strangers.insert(LinkId(link), address(2));
        }
        assert_eq!(strangers.in_the_way_of(address(2)), Some(LinkId(1)));
        assert_eq!(strangers.in_the_way_of(address(1)), None);
        assert!(strangers.remove(LinkId(1)) && !strangers.remove(LinkId(1)));
        assert_eq!(strangers.in_the_way_of(address(2)), None);
    }

    #[test]
    fn many_addresses_displace_the_oldest_of_the_busiest() {
        let mut strangers = Strangers::new(4);
        for (link, last) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            strangers.insert(LinkId(link), address(last));
        }
        assert_eq!(strangers.in_the_way_of(address(9)), Some(LinkId(0)));
        assert!(strangers.remove(LinkId(0)));
        assert_eq!((strangers.len(), strangers.in_the_way_of(address(9))), (3, None));
    }
}
