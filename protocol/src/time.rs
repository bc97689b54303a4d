//! Time, as an argument.
//!
//! The core never reads a clock. Every input carries a [`Now`]; every request to be woken is a [`Deadline`].

/// One reading of both clocks, taken by the driver.
///
/// ```
/// use cosmicsync_protocol::time::Now;
/// use std::time::{Instant, SystemTime, UNIX_EPOCH};
///
/// fn now(started: Instant) -> Now {
///     let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
///     Now { mono_us: started.elapsed().as_micros() as u64, wall_ms: wall.as_millis() as u64 }
/// }
///
/// let started = Instant::now();
/// assert!(now(started).mono_us <= now(started).mono_us);
/// assert_eq!(Now { mono_us: 5, wall_ms: 7 }.after_us(2_000), Now { mono_us: 2_005, wall_ms: 9 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Monotonic microseconds since an origin of the driver's choice. Never decreases.
    pub mono_us: u64,
    /// Wall clock in milliseconds since the Unix epoch. A hint for people; no acceptance rule reads it.
    pub wall_ms: u64,
}

impl Now {
    /// Returns this reading, `us` microseconds later on both clocks.
    #[must_use]
    pub const fn after_us(self, us: u64) -> Self {
        Self { mono_us: self.mono_us.saturating_add(us), wall_ms: self.wall_ms.saturating_add(us / 1000) }
    }

    /// Returns the drift between the two clocks from this reading to a later one, in milliseconds.
    pub(crate) const fn drift_ms(self, later: &Self) -> u64 {
        let mono_ms = later.mono_us.saturating_sub(self.mono_us) / 1000;
        self.wall_ms.saturating_add(mono_ms).abs_diff(later.wall_ms)
    }
}

/// Time at which the endpoint is to be called with `handle_timeout`, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Time on the monotonic clock, in microseconds.
    pub at_us: u64,
    /// Purpose of the deadline.
    pub reason: Reason,
}

/// Reason for a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The coalescing window of local edits closes.
    Flush,
    /// A handshake has run out of time.
    HandshakeTimeout,
    /// A quiet link is probed, or found dead.
    KeepAlive,
    /// Values of documents are due to be made.
    Values,
}
