//! The signals a home is made of: random numbers by position, slow noise, daily and yearly curves.
//!
//! Everything here is a pure function of the seed and the simulated time, so that a run can be
//! repeated from its seed, and a value can be asked for at any time without the ones before it.

use std::f64::consts::TAU;

/// Milliseconds in one hour.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Milliseconds in one day.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
/// Milliseconds in one year.
const YEAR_MS: i64 = 365 * DAY_MS + DAY_MS / 4;

/// A moment of the simulated home: milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SimTime(pub(crate) i64);

impl SimTime {
    /// The number of the day since 1970, and the milliseconds since that day began.
    pub(super) fn day(self) -> (i64, i64) {
        (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS))
    }

    /// Hours since midnight, with their fraction.
    pub(super) fn hour(self) -> f64 {
        self.day().1 as f64 / HOUR_MS as f64
    }
}

/// Random numbers that are addressed by position instead of drawn in turn.
///
/// A generator with a hidden state would make each value depend on every draw before it; here the
/// tenth minute of a sensor is the same whether or not anyone looked at the first nine. The mixing
/// is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014), the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of a whole run.
    pub(super) fn new(seed: u64) -> Dice {
        Dice(mix(seed ^ 0x5441_524E))
    }

    /// Independent dice for one part, such as one client or one sensor.
    pub(super) fn fork(self, part: u64) -> Dice {
        Dice(mix(self.0 ^ mix(part.wrapping_add(0x9E37_79B9_7F4A_7C15))))
    }

    /// The random number at `position`, in `[0, 1)`.
    pub(super) fn at(self, position: i64) -> f64 {
        let word = mix(self.0 ^ (position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        (word >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The random number at `position`, in `[low, high)`.
    pub(super) fn between(self, position: i64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.at(position)
    }

    /// Slow noise in `[-1, 1]` that wanders from one random height to the next every `period_ms`.
    pub(super) fn drift(self, at: SimTime, period_ms: i64) -> f64 {
        let knot = at.0.div_euclid(period_ms);
        let part = at.0.rem_euclid(period_ms) as f64 / period_ms as f64;
        let ease = part * part * (3.0 - 2.0 * part);
        let (from, to) = (self.at(knot), self.at(knot + 1));
        2.0 * (from + (to - from) * ease) - 1.0
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The daily curve in `[-1, 1]`, highest at `peak_hour`.
pub(super) fn daily(at: SimTime, peak_hour: f64) -> f64 {
    ((at.hour() - peak_hour) / 24.0 * TAU).cos()
}

/// The yearly curve in `[-1, 1]`, highest in the last third of July.
pub(super) fn yearly(at: SimTime) -> f64 {
    let part = at.0.rem_euclid(YEAR_MS) as f64 / YEAR_MS as f64;
    ((part - 0.55) * TAU).cos()
}

/// How awake a home is, from 0.02 at night to 1 in the morning and in the evening.
pub(super) fn awake(at: SimTime) -> f64 {
    match at.hour() as u32 {
        0..=4 => 0.02,
        5 => 0.2,
        6..=8 => 0.9,
        9..=15 => 0.35,
        16..=21 => 1.0,
        _ => 0.4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_slow_and_bounded() {
        let dice = Dice::new(7);
        let mut before = dice.drift(SimTime(0), HOUR_MS);
        for minute in 1..10_000 {
            let now = dice.drift(SimTime(minute * 60_000), HOUR_MS);
            assert!((-1.0..=1.0).contains(&now));
            assert!((now - before).abs() < 0.06, "jumped at minute {minute}");
            before = now;
        }
    }

    #[test]
    fn times_before_1970_have_a_day_too() {
        assert_eq!(SimTime(-1).day(), (-1, DAY_MS - 1));
    }
}
