//! Demands at the end of a scenario, beside those that always apply.

use super::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds and expectations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Oracle {
    /// Longest time for the peers that live on to agree, after faults have ended.
    pub converge_within: Span,
    /// Number of round trips of the slowest path that are added to that time.
    pub round_trips: u32,
    /// The peers that live on. If absent, all peers.
    pub alive: Vec<usize>,
    /// Events or marks that the run must meet at least once, so that the scenario shows what its name promises.
    pub sometimes: Vec<String>,
    /// Number of events above which a run is a livelock.
    pub events_max: u64,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            converge_within: Span { us: 60_000_000 },
            round_trips: 200,
            alive: Vec::new(),
            sometimes: Vec::new(),
            events_max: 5_000_000,
        }
    }
}
