//! Limits the requests of each token.

use core::num::NonZeroU32;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::{Code, Problem};

/// Tokens that are counted at once; beyond, those that sent nothing of late are forgotten.
const TOKENS_MAX: usize = 4096;

/// Counts the requests of each token.
#[derive(Debug)]
pub(crate) struct Limit {
    limiter: RateLimiter<String, HashMapStateStore<String>, DefaultClock>,
    clock: DefaultClock,
}

impl Limit {
    /// Allows each token so many requests a second, also all at once.
    pub(crate) fn new(requests_per_second: NonZeroU32) -> Self {
        let clock = DefaultClock::default();
        let quota = Quota::per_second(requests_per_second);
        Self { limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()), clock }
    }

    /// Counts a request of a token.
    ///
    /// # Errors
    /// `too_often`, with the seconds after which the next one is allowed.
    pub(crate) fn take(&self, token: &str) -> Result<(), Problem> {
        if self.limiter.len() > TOKENS_MAX {
            self.limiter.retain_recent();
        }
        let early = match self.limiter.check_key(&token.to_owned()) {
            Ok(()) => return Ok(()),
            Err(early) => early,
        };
        let wait = early.wait_time_from(self.clock.now());
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        let problem = Problem::new(Code::TooOften, "the token sends more requests a second than the node allows");
        Err(problem.retry_after(seconds.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_no_other_ones_matter() {
        let limit = Limit::new(NonZeroU32::new(2).expect("not zero"));
        assert!(limit.take("one").is_ok() && limit.take("one").is_ok());
        assert_eq!(limit.take("one").expect_err("the third at once").code(), Code::TooOften);
        assert!(limit.take("other").is_ok());
    }
}
