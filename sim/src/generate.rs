//! The swarm generator: plans from seeds.

use crate::plan::Plan;

/// What generated plans are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// At least and at most this many peers.
    pub peers: (usize, usize),
    /// At least and at most this many edits.
    pub edits: (u32, u32),
    /// At most this many faults.
    pub faults: u32,
    /// Each seed switches a random subset of the kinds of work and faults on; otherwise all are on.
    pub swarm: bool,
    /// Stores may be cloned and rolled back without anybody noticing, so that logs fork.
    pub forks: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self { peers: (2, 5), edits: (5, 40), faults: 12, swarm: true, forks: false }
    }
}

/// Makes the plan of a seed. Equal arguments give equal plans, in this version.
pub fn generate(seed: u64, profile: &Profile) -> Plan {
    Plan::quiet(seed, profile.peers.0)
}
