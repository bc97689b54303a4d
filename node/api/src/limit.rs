//! Limits the requests and the bytes of each token.
//!
//! Both are counted in memory, so a restart of the node resets the counters.

use axum::body::{Body, Bytes};
use core::num::NonZeroU32;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use http_body::{Body as _, Frame, SizeHint};
use std::sync::Arc;

use crate::problem::{Code, Problem};
use crate::settings::Settings;

/// Largest number of tracked tokens; beyond it, tokens without recent requests are dropped.
const TOKENS_MAX: usize = 4096;
/// Size of the unit in which a quota is counted, in bytes.
const UNIT_BYTES: usize = 1024;
/// Number of units in a mebibyte.
const MIB_UNITS: u32 = 1024;
/// Time in which a quota is restored.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Counter = RateLimiter<String, HashMapStateStore<String>, DefaultClock>;

/// Limits the requests and the bytes of each token.
#[derive(Debug)]
pub(crate) struct Limit {
    requests: Option<Counter>,
    /// Counter in units of [`UNIT_BYTES`], and the number of units per day.
    bytes: Option<(Counter, NonZeroU32)>,
    clock: DefaultClock,
}

impl Limit {
    /// Returns the limits of the settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        let clock = DefaultClock::default();
        let counter = |quota| RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        let requests = settings.requests_per_second.map(|most| counter(Quota::per_second(most)));
        let bytes = settings.mib_per_day.and_then(|mib| {
            let units = mib.saturating_mul(NonZeroU32::new(MIB_UNITS)?);
            let quota = Quota::with_period(DAY / units.get())?.allow_burst(units);
            Some((counter(quota), units))
        });
        Self { requests, bytes, clock }
    }

    /// Takes one request of a token.
    ///
    /// # Errors
    /// `too_often`, with the seconds until the next request is allowed.
    pub(crate) fn take(&self, token: &str) -> Result<(), Problem> {
        let Some(requests) = &self.requests else { return Ok(()) };
        forget(requests);
        requests.check_key(&token.to_owned()).map_err(|early| {
            let problem = Problem::new(Code::TooOften, "the token sends more requests a second than the node allows");
            problem.retry_after(self.seconds(&early))
        })
    }

    /// Takes a number of units from a token's quota.
    ///
    /// # Errors
    /// `quota`, with the seconds until the same request is allowed.
    fn take_units(&self, token: &str, units: usize) -> Result<(), Problem> {
        let Some((bytes, most)) = &self.bytes else { return Ok(()) };
        let Some(units) = NonZeroU32::new(u32::try_from(units).unwrap_or(u32::MAX)) else { return Ok(()) };
        forget(bytes);
        let over = || {
            let mib = most.get() / MIB_UNITS;
            let kib = units.get();
            let detail = format!("the token may send {mib} MiB a day, and fewer than {kib} KiB of them are left");
            let problem = Problem::new(Code::Quota, detail);
            problem.next("wait, or ask the operator for more: [http] mib_per_day")
        };
        match bytes.check_key_n(&token.to_owned(), units) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(early)) => Err(over().retry_after(self.seconds(&early))),
            // The request exceeds the quota of a whole day.
            Err(_) => Err(over().retry_after(DAY.as_secs())),
        }
    }

    /// Takes a whole message of `bytes` bytes from a token's quota.
    ///
    /// # Errors
    /// `quota`, as for bodies.
    pub(crate) fn take_message(&self, token: &str, bytes: usize) -> Result<(), Problem> {
        self.take_units(token, bytes.div_ceil(UNIT_BYTES))
    }

    /// Returns whether tokens have a quota of bytes.
    pub(crate) const fn counts_bytes(&self) -> bool {
        self.bytes.is_some()
    }

    /// Takes a body from the token's quota. A body of known length is taken whole, so that no part of it is carried out;
    /// any other body takes its bytes as they come, and fails once the quota is exceeded.
    ///
    /// # Errors
    /// `quota`, with the seconds after which a body of this length is allowed.
    pub(crate) fn metered(self: Arc<Self>, token: &str, body: Body) -> Result<Body, Problem> {
        if self.bytes.is_none() {
            return Ok(body);
        }
        if let Some(bytes) = body.size_hint().exact() {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            return self.take_message(token, bytes).map(|()| body);
        }
        Ok(Body::new(Metered { body, limit: self, token: token.to_owned(), rest: 0 }))
    }

    /// Returns the seconds until a request is allowed, rounded up.
    fn seconds(&self, early: &NotUntil<<DefaultClock as governor::clock::Clock>::Instant>) -> u64 {
        let wait = early.wait_time_from(self.clock.now());
        wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
    }
}

/// Drops tokens without recent requests, if there are many tokens.
fn forget(counter: &Counter) {
    if counter.len() > TOKENS_MAX {
        counter.retain_recent();
    }
}

/// A body that takes its bytes from a quota.
struct Metered {
    body: Body,
    limit: Arc<Limit>,
    token: String,
    /// Number of received bytes that are not counted yet: less than a unit.
    rest: usize,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = core::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let all = self.rest + came;
        // The last unit of a body is counted as a whole one.
        let units = if frame.is_none() { all.div_ceil(UNIT_BYTES) } else { all / UNIT_BYTES };
        self.rest = all - (units * UNIT_BYTES).min(all);
        if let Err(problem) = self.limit.take_units(&self.token, units) {
            return Poll::Ready(Some(Err(axum::Error::new(problem))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // The rest is counted when the end is read.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns the problem that made a body fail, if there is one.
pub(crate) fn problem_of(error: axum::Error) -> Result<Problem, axum::Error> {
    // A nested body wraps the error twice.
    match error.into_inner().downcast::<axum::Error>() {
        Ok(within) => problem_of(*within),
        Err(error) => error.downcast::<Problem>().map(|problem| *problem).map_err(axum::Error::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(settings: &Settings) -> Arc<Limit> {
        Arc::new(Limit::new(settings))
    }

    #[test]
    fn one_token_is_no_other_ones_matter() {
        let limit = limit(&Settings { requests_per_second: NonZeroU32::new(2), ..Settings::default() });
        assert!(limit.take("one").is_ok() && limit.take("one").is_ok());
        assert_eq!(limit.take("one").expect_err("the third at once").code(), Code::TooOften);
        assert!(limit.take("other").is_ok());
    }

    #[test]
    fn a_quota_is_of_each_token() {
        let limit = limit(&Settings { mib_per_day: NonZeroU32::new(1), ..Settings::default() });
        limit.take_message("one", 1 << 20).expect("the quota of a day");
        assert_eq!(limit.take_message("one", 1).expect_err("one more").code(), Code::Quota);
        limit.take_message("other", 1).expect("it sent nothing yet");
        assert_eq!(limit.take_message("other", 2 << 20).expect_err("more than a day").code(), Code::Quota);
        let unlimited = Limit::new(&Settings::default());
        unlimited.take_message("one", usize::MAX).expect("no quota");
    }

    #[tokio::test]
    async fn a_body_breaks_off_at_the_quota() {
        let limit = limit(&Settings { mib_per_day: NonZeroU32::new(1), ..Settings::default() });
        // A stream does not tell its length.
        let body = |bytes: usize| {
            let frames = futures_util::stream::iter([Ok::<_, core::convert::Infallible>(vec![0; bytes])]);
            Arc::clone(&limit).metered("one", Body::from_stream(frames)).expect("its length is unknown")
        };
        let read = async |body: Body| axum::body::to_bytes(body, usize::MAX).await;
        assert_eq!(read(body(UNIT_BYTES / 2)).await.expect("there is room").len(), UNIT_BYTES / 2);
        // A body of less than a unit took a whole one.
        let error = read(body(1 << 20)).await.expect_err("one unit is missing");
        assert_eq!(problem_of(error).expect("a problem").code(), Code::Quota);
        read(body((1 << 20) - UNIT_BYTES)).await.expect("the refused body took nothing of it");
    }

    #[test]
    fn a_body_of_known_length_is_counted_whole() {
        let limit = limit(&Settings { mib_per_day: NonZeroU32::new(1), ..Settings::default() });
        let body = |bytes: usize| Arc::clone(&limit).metered("one", Body::from(vec![0; bytes])).map(drop);
        body((1 << 20) - UNIT_BYTES).expect("there is room");
        assert_eq!(body(UNIT_BYTES + 1).expect_err("a byte too many").code(), Code::Quota);
        body(UNIT_BYTES).expect("the refused body took nothing of it");
    }
}
