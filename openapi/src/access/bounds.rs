use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};

/// Guesses of passwords that an address has at once.
const GUESSES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Time after which it has one more.
const GUESS_EVERY: Duration = Duration::from_secs(6);
/// Callers, or addresses, that are remembered before those are forgotten that have not asked for long.
const REMEMBERED_MAX: usize = 10_000;
/// Bits of an IPv6 address that tell one network from another: within it an address is free to choose.
const NETWORK_BITS: u32 = 64;

/// How much one caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSettings {
    /// Requests a second; none is without a bound.
    pub per_second: Option<NonZeroU32>,
    /// Requests that he may ask at once after a pause.
    pub burst: NonZeroU32,
}

impl RateSettings {
    /// So many requests a second, and those of five seconds at once; 0 is without a bound.
    #[must_use]
    pub fn per_second(rate: u32) -> RateSettings {
        let burst = NonZeroU32::new(rate.saturating_mul(5)).unwrap_or(NonZeroU32::MIN);
        RateSettings {
            per_second: NonZeroU32::new(rate),
            burst,
        }
    }
}

impl Default for RateSettings {
    /// 200 requests a second, 1 000 at once.
    fn default() -> Self {
        RateSettings::per_second(200)
    }
}

/// What a caller may still ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that he may ask at once after a pause.
    pub limit: u32,
    /// Requests that he may ask now.
    pub remaining: u32,
    /// Whether this one is refused, and when he may ask again.
    pub wait: Option<Duration>,
}

type Keyed<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// Counts what callers ask, and what addresses guess.
#[derive(Debug)]
pub(super) struct Bounds {
    requests: Option<Keyed<String>>,
    burst: NonZeroU32,
    guesses: Keyed<Option<IpAddr>>,
}

impl Bounds {
    pub(super) fn new(rate: RateSettings) -> Bounds {
        let requests = rate.per_second.map(|per_second| {
            let quota = Quota::per_second(per_second).allow_burst(rate.burst);
            RateLimiter::hashmap(quota).with_middleware()
        });
        let guesses = Quota::with_period(GUESS_EVERY).unwrap_or(Quota::per_minute(GUESSES));
        Bounds {
            requests,
            burst: rate.burst,
            guesses: RateLimiter::hashmap(guesses.allow_burst(GUESSES)).with_middleware(),
        }
    }

    /// Count a request of a caller. None where there is no bound.
    pub(super) fn request(&self, caller: &str) -> Option<Allowance> {
        let requests = self.requests.as_ref()?;
        forget_some(requests);
        let limit = self.burst.get();
        Some(match requests.check_key(&caller.to_owned()) {
            Ok(state) => Allowance {
                limit,
                remaining: state.remaining_burst_capacity(),
                wait: None,
            },
            Err(early) => Allowance {
                limit,
                remaining: 0,
                wait: Some(early.wait_time_from(DefaultClock::default().now())),
            },
        })
    }

    /// Count a guess from an address; how long to wait where there were too many.
    pub(super) fn guess(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        forget_some(&self.guesses);
        match self.guesses.check_key(&from.map(network)) {
            Ok(_) => Ok(()),
            Err(early) => Err(early.wait_time_from(DefaultClock::default().now())),
        }
    }
}

fn forget_some<K: std::hash::Hash + Eq + Clone>(limiter: &Keyed<K>) {
    if limiter.len() >= REMEMBERED_MAX {
        limiter.retain_recent();
    }
}

/// The network that an address is in, as far as one household or one attacker has it for himself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => {
                let kept = u128::from(v6) & (u128::MAX << (128 - NETWORK_BITS));
                IpAddr::V6(Ipv6Addr::from(kept))
            }
        },
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_does_not_use_up_what_others_have() {
        let rate = RateSettings {
            per_second: NonZeroU32::new(1),
            burst: NonZeroU32::new(3).expect("three"),
        };
        let bounds = Bounds::new(rate);
        let left: Vec<u32> = (0..3)
            .map(|_| bounds.request("ada").expect("bounded").remaining)
            .collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = bounds.request("ada").expect("bounded");
        assert!(
            refused
                .wait
                .is_some_and(|wait| wait <= Duration::from_secs(1))
        );
        assert!(bounds.request("bob").expect("bounded").wait.is_none());
        assert!(
            Bounds::new(RateSettings::per_second(0))
                .request("ada")
                .is_none()
        );
    }

    #[test]
    fn guesses_of_a_network_are_counted_together() {
        let bounds = Bounds::new(RateSettings::default());
        let address = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
        for n in 0..10 {
            assert!(bounds.guess(address(n)).is_ok(), "{n}");
        }
        assert!(bounds.guess(address(99)).is_err());
        assert!(bounds.guess(Some(IpAddr::from([10, 0, 0, 1]))).is_ok());
    }
}
