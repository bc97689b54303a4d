//! The driver's clock: readings of the monotonic and the wall clock, and sleeping.
//!
//! All waits go through [`Clock`], so that a simulation can provide its own. The driver reads no other clock.

use core::future::Future;
use core::time::Duration;
use cosmicsync_protocol::time::Now;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A source of time.
pub trait Clock: Clone + 'static {
    /// Reads both clocks. The monotonic one never goes back.
    fn now(&self) -> Now;

    /// Completes at a time of the monotonic clock, in microseconds; at once if that time has passed.
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

/// Returns the wall clock in milliseconds since the Unix epoch; 0 if the clock is set before that.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
