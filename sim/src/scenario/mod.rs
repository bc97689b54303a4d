//! Scenarios: runs of a few peers, as people write them down in TOML.
//!
//! A scenario names a topology, workloads, faults and demands. [`parse`] reads one and points at the lines and keys
//! of all mistakes; [`Scenario::expand`] draws a [`Plan`](crate::plan::Plan) from it and a seed; [`schema()`] is
//! its JSON Schema, for editors. The same files serve every lane: a lane that cannot do what a file asks reports
//! that and never drops a part silently (`scenarios/README.md`).

mod expand;
mod fault;
mod keys;
mod oracle;
mod problem;
mod read;
mod schema;
mod topology;
mod units;
mod workload;

pub use expand::Expansion;
pub use fault::{After, Disk, Fault};
pub use oracle::Oracle;
pub use problem::{Problem, ScenarioError};
pub use read::{Placed, When, parse};
pub use schema::schema;
pub use topology::{CoreSettings, Keep, LinkEntry, LinkQuality, PeerEntry, Shape, Topology};
pub use units::{Shift, Span, SpanError};
pub use workload::Workload;

use problem::Places;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A scenario as read from its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Everything but the lists.
    pub head: Head,
    /// Links that differ from the others.
    pub links: Vec<Placed<LinkEntry>>,
    /// Peers that differ from the others.
    pub peers: Vec<Placed<PeerEntry>>,
    /// Workloads of the peers.
    pub workloads: Vec<Placed<Workload>>,
    /// Faults.
    pub faults: Vec<Placed<Fault>>,
    text: String,
    places: Places,
}

/// The top of a scenario file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario", rename = "Scenario")]
pub struct Head {
    /// Name of the scenario: small letters, digits and hyphens.
    pub name: String,
    /// Purpose of the scenario, in a sentence or two.
    pub about: String,
    /// Behaviour that the scenario plays because the core does not have it yet. If absent, it plays none.
    #[serde(default)]
    pub scripted: Option<String>,
    /// Lanes in which the scenario may run.
    #[serde(default = "Lane::only_core")]
    pub lanes: Vec<Lane>,
    /// End of faults, after which the peers must come to agree. If absent, a second after the last fault and edit.
    #[serde(default)]
    pub until: Option<Span>,
    /// The peers and their connections.
    pub topology: Topology,
    /// Settings of the core on every peer.
    #[serde(default)]
    pub core: CoreSettings,
    /// Demands beside those that always apply.
    #[serde(default)]
    pub oracle: Oracle,
}

/// Environment in which a scenario runs. Only [`Lane::Core`] exists so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// The core in virtual time, in one thread.
    Core,
    /// The runtime over a simulated network.
    Turmoil,
    /// The runtime under a scheduler that varies the order of its tasks.
    Madsim,
    /// Real processes.
    Process,
}

impl Lane {
    /// Every lane, the most deterministic first.
    pub const ALL: [Self; 4] = [Self::Core, Self::Turmoil, Self::Madsim, Self::Process];

    /// Returns whether the lane can run anything yet.
    pub const fn exists(self) -> bool {
        matches!(self, Self::Core)
    }

    fn only_core() -> Vec<Self> {
        vec![Self::Core]
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core",
            Self::Turmoil => "turmoil",
            Self::Madsim => "madsim",
            Self::Process => "process",
        })
    }
}

/// Error for a lane that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no lane `{0}`; there are core, turmoil, madsim, process")]
pub struct UnknownLane(String);

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(name: &str) -> Result<Self, UnknownLane> {
        let found = Self::ALL.into_iter().find(|lane| lane.to_string() == name);
        found.ok_or_else(|| UnknownLane(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
