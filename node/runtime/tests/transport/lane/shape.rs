//! The shape of a world before its first event.

use std::time::Duration;

/// The shape of a world. Described on the module's page.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Number of hosts. The first one creates the space and invites the others.
    pub(crate) hosts: usize,
    /// True if all hosts dial all; otherwise all others dial the first one.
    pub(crate) is_mesh: bool,
    /// Shortest and longest latency of a segment, in milliseconds.
    pub(crate) latency_ms: (u64, u64),
    /// Number of segments that a stream holds before its writer waits.
    pub(crate) segments: usize,
    /// Largest number of links to known devices at a host.
    pub(crate) links_max: usize,
    /// Duration of one step of the simulation.
    pub(crate) tick: Duration,
}

impl Shape {
    /// Returns a world without faults.
    pub(crate) const fn of(hosts: usize) -> Self {
        let tick = Duration::from_millis(4);
        Self { hosts, is_mesh: false, latency_ms: (1, 20), segments: 64, links_max: 64, tick }
    }

    /// Makes all hosts dial all.
    pub(crate) const fn mesh(self) -> Self {
        Self { is_mesh: true, ..self }
    }

    /// Sets the latencies.
    pub(crate) const fn latency_ms(self, from: u64, to: u64) -> Self {
        Self { latency_ms: (from, to), ..self }
    }

    /// Sets the number of segments that a stream holds.
    pub(crate) const fn segments(self, segments: usize) -> Self {
        Self { segments, ..self }
    }

    /// Sets the largest number of links.
    pub(crate) const fn links_max(self, links_max: usize) -> Self {
        Self { links_max, ..self }
    }
}
