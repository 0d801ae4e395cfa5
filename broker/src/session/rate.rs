//! How fast a client may publish.

use std::num::NonZeroU32;

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::time::Instant;

/// A token bucket that holds what a client may publish in one second.
#[derive(Debug)]
pub(super) struct Rate {
    limiter: Option<DefaultDirectRateLimiter>,
}

impl Rate {
    /// Publishes per second; `None` is without a bound.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Rate {
        Rate {
            limiter: per_second.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
        }
    }

    /// Take a token, or say when there is one.
    pub(super) fn check(&self) -> Result<(), Instant> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter.check().map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Instant::now() + wait
        })
    }
}
