//! Time, as the driver takes it: one reading of both clocks, and sleeping.
//!
//! Everything that waits goes through [`Clock`], so that a simulation can bring its own. The driver reads no other clock.

use core::future::Future;
use core::time::Duration;
use cosmicsync_protocol::time::Now;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A source of time.
pub trait Clock: Clone + 'static {
    /// Reads both clocks. The monotonic one never goes back.
    fn now(&self) -> Now;

    /// Completes at a time of the monotonic clock, in microseconds; at once if that has passed.
    fn sleep_until(&self, mono_us: u64) -> impl Future<Output = ()> + 'static;
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono_us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { mono_us, wall_ms: wall_ms() }
    }

    fn sleep_until(&self, mono_us: u64) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep_until(self.origin + Duration::from_micros(mono_us))
    }
}

/// The wall clock in milliseconds since the Unix epoch; 0 on a machine that believes it is before that.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
