//! What must hold at the end of a scenario, beside what always must.

use super::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds and expectations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Oracle {
    /// How long the peers that live on may take to agree once faults have ended.
    pub converge_within: Span,
    /// How many round trips of the slowest path are added to that.
    pub round_trips: u32,
    /// The peers that live on. Without any, all.
    pub alive: Vec<usize>,
    /// What the run must have met at least once, so that the scenario shows what it is named for: an event or a mark.
    pub sometimes: Vec<String>,
    /// A run with more events than this is a livelock.
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
