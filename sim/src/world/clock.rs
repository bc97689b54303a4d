//! Clocks of peers.

use cosmicsync_protocol::time::Now;

/// Wall clock at the start of runs, in milliseconds since 1970.
const WALL_MS: u64 = 1_700_000_000_000;

/// A clock that may be wrong. It is never asked for a time before its last change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    since_us: u64,
    mono_us: u64,
    wall_ms: i64,
    pub(super) rate: u32,
}

impl Clock {
    pub(super) fn new(skew_ms: i64) -> Self {
        Self { since_us: 0, mono_us: 0, wall_ms: WALL_MS as i64 + skew_ms, rate: 1000 }
    }

    pub(crate) fn now(&self, at_us: u64) -> Now {
        let passed = (at_us - self.since_us) * u64::from(self.rate) / 1000;
        let wall_ms = self.wall_ms + (passed / 1000) as i64;
        Now { mono_us: self.mono_us + passed, wall_ms: wall_ms.max(0) as u64 }
    }

    /// Returns the time at which this clock will show a given one; `None` if it stands still.
    pub(super) fn when(&self, mono_us: u64) -> Option<u64> {
        let ahead = mono_us.saturating_sub(self.mono_us);
        let after = ahead.checked_mul(1000)?.checked_add(u64::from(self.rate) - u64::from(self.rate > 0))?;
        Some(self.since_us + after.checked_div(u64::from(self.rate))?)
    }

    pub(crate) fn change(&mut self, at_us: u64, jump_ms: i64, rate: u32) {
        let now = self.now(at_us);
        *self = Self { since_us: at_us, mono_us: now.mono_us, wall_ms: now.wall_ms as i64 + jump_ms, rate };
    }

    /// Restarts the monotonic clock: a process sees one of its own.
    pub(super) fn restart(&mut self, at_us: u64, mono_us: u64) {
        self.change(at_us, 0, self.rate);
        self.mono_us = mono_us;
    }

    /// Continues with the clocks of a resumed process.
    pub(super) const fn resume(&mut self, at_us: u64, Now { mono_us, wall_ms }: Now) {
        (self.since_us, self.mono_us, self.wall_ms) = (at_us, mono_us, wall_ms as i64);
    }
}
