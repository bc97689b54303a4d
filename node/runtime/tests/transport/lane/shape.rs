//! What a world is like before anything happens in it.

use std::time::Duration;

/// See the module's head.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// How many hosts there are. The first one makes the space and invites the others.
    pub(crate) hosts: usize,
    /// Whether all dial all; otherwise all others dial the first one.
    pub(crate) is_mesh: bool,
    /// From how long to how long a segment takes, in milliseconds.
    pub(crate) latency_ms: (u64, u64),
    /// How many segments a stream holds before its writer waits.
    pub(crate) segments: usize,
    /// Links of known devices that a host may have.
    pub(crate) links_max: usize,
    /// How long one step of the simulation is.
    pub(crate) tick: Duration,
}

impl Shape {
    /// Makes a quiet world.
    pub(crate) const fn of(hosts: usize) -> Self {
        let tick = Duration::from_millis(4);
        Self { hosts, is_mesh: false, latency_ms: (1, 20), segments: 64, links_max: 64, tick }
    }

    /// The same, where all dial all.
    pub(crate) const fn mesh(self) -> Self {
        Self { is_mesh: true, ..self }
    }

    /// The same with other latencies.
    pub(crate) const fn latency_ms(self, from: u64, to: u64) -> Self {
        Self { latency_ms: (from, to), ..self }
    }

    /// The same with streams that hold so many segments.
    pub(crate) const fn segments(self, segments: usize) -> Self {
        Self { segments, ..self }
    }

    /// The same with so many links at most.
    pub(crate) const fn links_max(self, links_max: usize) -> Self {
        Self { links_max, ..self }
    }
}
