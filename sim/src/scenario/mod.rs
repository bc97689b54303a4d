//! Scenarios: runs of a few peers, as people write them down in TOML.
//!
//! A scenario names a topology, workloads, faults and demands. [`parse`] reads one and points at the lines and keys
//! of all mistakes; [`Scenario::expand`] draws a [`Plan`](crate::plan::Plan) from it and a seed; [`schema()`] is
//! its JSON Schema, for editors. The same files serve every lane: a lane that cannot do what a file asks reports
//! that and never drops a part silently (`scenarios/README.md`).

mod expand;
mod fault;
mod keys;
mod lane;
mod oracle;
mod problem;
mod read;
mod schema;
mod topology;
mod units;
mod workload;

pub use expand::Expansion;
pub use fault::{After, Disk, Fault};
pub use lane::{Lane, UnknownLane};
pub use oracle::Oracle;
pub use problem::{Problem, ScenarioError};
pub use read::{Placed, When, parse};
pub use schema::schema;
pub use topology::{CoreSettings, Keep, LinkEntry, LinkQuality, PeerEntry, Shape, Topology};
pub use units::{Shift, Span, SpanError};
pub use workload::Workload;

use problem::Places;
use schemars::JsonSchema;
use serde::Deserialize;

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

#[cfg(test)]
mod tests;
