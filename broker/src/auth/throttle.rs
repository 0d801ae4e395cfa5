//! Slows down who guesses passwords: failed logins of an address empty a bucket that fills slowly.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Failed logins that an address has at once.
const FAILURES_MAX: f64 = 5.0;
/// Time after which it has one more.
const REFILL: Duration = Duration::from_secs(12);
/// Addresses that are remembered; beyond, the one that failed longest ago is forgotten.
const ADDRESSES_MAX: usize = 4096;
/// How often an address is told about in the log while it is held back.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The buckets of all addresses that have failed.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    told: Option<Instant>,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() / REFILL.as_secs_f64();
        self.tokens = (self.tokens + grown).min(FAILURES_MAX);
        self.at = now;
    }
}

/// Whether an address may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    /// Not now; `tell` says whether this is to be logged.
    Held {
        tell: bool,
    },
}

impl Throttle {
    pub(super) fn check(&mut self, address: IpAddr, now: Instant) -> Verdict {
        let Some(bucket) = self.buckets.get_mut(&network(address)) else {
            return Verdict::Welcome;
        };
        bucket.fill(now);
        if bucket.tokens >= 1.0 {
            return Verdict::Welcome;
        }
        let tell = bucket
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if tell {
            bucket.told = Some(now);
        }
        Verdict::Held { tell }
    }

    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) {
        if self.buckets.len() >= ADDRESSES_MAX {
            self.buckets.retain(|_, bucket| {
                bucket.fill(now);
                bucket.tokens < FAILURES_MAX
            });
        }
        if self.buckets.len() >= ADDRESSES_MAX
            && let Some(oldest) = self
                .buckets
                .iter()
                .max_by(|a, b| a.1.tokens.total_cmp(&b.1.tokens))
                .map(|(address, _)| *address)
        {
            self.buckets.remove(&oldest);
        }
        let bucket = self.buckets.entry(network(address)).or_insert(Bucket {
            tokens: FAILURES_MAX,
            at: now,
            told: None,
        });
        bucket.fill(now);
        bucket.tokens = (bucket.tokens - 1.0).max(0.0);
    }
}

/// What is counted as one address: a host of IPv4, a network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn holds_back_and_lets_go() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let bad = address("10.0.0.1");
        for _ in 0..5 {
            assert_eq!(throttle.check(bad, start), Verdict::Welcome);
            throttle.failed(bad, start);
        }
        assert_eq!(throttle.check(bad, start), Verdict::Held { tell: true });
        assert_eq!(throttle.check(bad, start), Verdict::Held { tell: false });
        assert_eq!(
            throttle.check(address("::ffff:10.0.0.1"), start),
            Verdict::Held { tell: false }
        );
        assert_eq!(throttle.check(address("10.0.0.2"), start), Verdict::Welcome);
        let later = start + REFILL;
        assert_eq!(throttle.check(bad, later), Verdict::Welcome);
        throttle.failed(bad, later);
        assert_eq!(throttle.check(bad, later), Verdict::Held { tell: false });
        let late = start + TELL_EVERY + REFILL;
        assert_eq!(throttle.check(bad, late), Verdict::Welcome);
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_memory_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for host in 0..5 {
            throttle.failed(address(&format!("2001:db8::{host}")), now);
        }
        let sibling = address("2001:db8::ffff");
        assert_eq!(throttle.check(sibling, now), Verdict::Held { tell: true });
        for number in 0..2 * ADDRESSES_MAX as u32 {
            throttle.failed(IpAddr::V4(number.into()), now);
        }
        assert!(throttle.buckets.len() <= ADDRESSES_MAX);
        assert_eq!(throttle.check(sibling, now), Verdict::Held { tell: false });
    }
}
