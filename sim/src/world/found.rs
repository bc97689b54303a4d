//! Initial stores: a space, its founder, and devices that joined it.

use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Parameters of initial stores, and the stores.
type Made = BTreeMap<(usize, u32, bool), Vec<MemStore>>;

/// Cache of initial stores. They are the same for all seeds, and joining costs more than most runs.
static MADE: Mutex<Made> = Mutex::new(BTreeMap::new());

/// Returns the stores of `peers` devices of one user: the first founded the space, and the others joined it. If
/// they are `acquainted`, each knows all others from the start.
pub(super) fn stores(peers: usize, partitions: u32, acquainted: bool) -> Vec<MemStore> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || make(peers, partitions, acquainted);
    // The cache serves later runs, so it must be made without planted bugs.
    #[cfg(planted)]
    let make = || cosmicsync_protocol::planted::without(make);
    made.entry((peers, partitions, acquainted)).or_insert_with(make).clone()
}

/// Returns the name of a partition.
pub(crate) fn partition_name(number: u32) -> String {
    if number == 0 { "main".to_owned() } else { format!("part-{number}") }
}

/// Returns the number of the partition of a document, beside `main` and `partitions` others.
pub(crate) fn partition_of(partitions: u32, doc: u64) -> u32 {
    (doc % u64::from(partitions + 1)) as u32
}

fn make(peers: usize, partitions: u32, acquainted: bool) -> Vec<MemStore> {
    let mut founder = Peer::new(0);
    founder.found("home");
    for number in 1..=partitions {
        let made = founder.endpoint.create_partition(founder.now, SpaceNo(0), &partition_name(number));
        debug_assert!(made.is_ok(), "a name of its own");
        founder.settle();
    }
    let mut net = Net::new(vec![founder]);
    for peer in 1..peers {
        // One-byte seeds repeat after 256 peers. Each peer's keys come from its own store's first life, so no two
        // may be equal.
        net.peers.push(Peer::seeded(numbered(peer)));
        net.sent.push(0);
        net.join(peer, 0);
    }
    if acquainted {
        for peer in 1..peers {
            net.dial(peer, 0);
        }
        net.run();
        net.cut();
    }
    net.peers.iter().map(|peer| peer.store.crash(0)).collect()
}

fn numbered(peer: usize) -> [u8; 32] {
    let mut seed = [0x51; 32];
    seed[..8].copy_from_slice(&(peer as u64).to_le_bytes());
    seed
}
