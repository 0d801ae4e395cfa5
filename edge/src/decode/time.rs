use std::{collections::BTreeMap, sync::Arc};

use jiff::{civil::DateTime, tz::TimeZone};
use tarn_common::reading::{DAY_MS, LATE_AFTER_MS, Quality};

use super::scalar::Scalar;

/// A device's own time is taken when it is not before this (2015-01-01) …
pub const PLAUSIBLE_FROM_MS: i64 = 16_436 * DAY_MS;
/// … and not further in the future of the box than this.
pub const PLAUSIBLE_AHEAD_MS: i64 = DAY_MS;

/// Samples of which a device's skew is the median.
const SKEW_SAMPLES: usize = 15;
/// Devices whose skew is followed at most.
const SKEW_DEVICES_MAX: usize = 10_000;

/// The box's clock was set: all that this run of the box received before was stamped wrong by `delta_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// First record of the run.
    pub from: u64,
    /// Record of the step; those before it are mended.
    pub before: u64,
    /// What is added to their times, milliseconds.
    pub delta_ms: i64,
}

/// When a record was received by the clock as it was set later, and the flag that goes with it.
#[must_use]
pub fn mended(steps: &[ClockStep], seq: u64, received_ms: i64) -> (i64, Quality) {
    let concerned = steps
        .iter()
        .filter(|step| (step.from..step.before).contains(&seq));
    let delta: i64 = concerned
        .map(|step| step.delta_ms)
        .fold(0, i64::saturating_add);
    let received = received_ms.saturating_add(delta);
    // A clock that nobody ever set says nothing of when it was.
    if delta != 0 || received < PLAUSIBLE_FROM_MS {
        (received, Quality::ClockMended)
    } else {
        (received, Quality::Good)
    }
}

/// The time to stamp readings with when their device says `ts`, and the flag that goes with it.
#[must_use]
pub fn device_time(ts: i64, received: i64) -> (i64, Quality) {
    if ts < PLAUSIBLE_FROM_MS || ts > received.saturating_add(PLAUSIBLE_AHEAD_MS) {
        (received, Quality::ClockMended)
    } else if received - ts > LATE_AFTER_MS {
        (ts, Quality::Late)
    } else {
        (ts, Quality::Good)
    }
}

/// The device's own time in milliseconds: Unix seconds or milliseconds, or RFC 3339.
pub(super) fn usual(scalar: &Scalar<'_>) -> Option<i64> {
    // Seconds until the year 5138; beyond that the number must be milliseconds.
    const SECONDS_MAX: f64 = 1e11;
    match (scalar.value, scalar.text) {
        (Some(number), None) if number.abs() < SECONDS_MAX => {
            Some((number * 1000.0).round() as i64)
        }
        (Some(number), None) => Some(number as i64),
        (_, Some(text)) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|ts| ts.as_millisecond()),
        (None, None) => None,
    }
}

/// A date and time without an offset, read in the home's time zone. In the hour that comes twice when
/// summer ends, the earlier one is meant.
pub(super) fn local(scalar: &Scalar<'_>, zone: &TimeZone) -> Option<i64> {
    let text = scalar.text?;
    if let Ok(exact) = text.parse::<jiff::Timestamp>() {
        return Some(exact.as_millisecond());
    }
    let local: DateTime = text.parse().ok()?;
    let zoned = local.to_zoned(zone.clone()).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// How far the clocks of devices are from the box's: device less box, in milliseconds, the delay of the way
/// included.
#[derive(Debug, Clone, Default)]
pub struct Skews(BTreeMap<Arc<str>, Samples>);

#[derive(Debug, Clone, Default)]
struct Samples {
    latest: Vec<i64>,
    upto: u64,
}

impl Skews {
    pub(super) fn sample(&mut self, device: Arc<str>, skew_ms: i64, seq: u64) {
        if self.0.len() >= SKEW_DEVICES_MAX && !self.0.contains_key(&device) {
            return;
        }
        self.0.entry(device).or_default().add(skew_ms, seq);
    }

    /// Take in what was sampled of later records.
    pub fn extend(&mut self, others: Skews) {
        for (device, samples) in others.0 {
            let known = self.0.entry(device).or_default();
            if samples.upto > known.upto {
                samples
                    .latest
                    .iter()
                    .for_each(|skew| known.add(*skew, samples.upto));
            }
        }
    }

    /// Skew of a device: the median of its last samples.
    #[must_use]
    pub fn of(&self, device: &str) -> Option<i64> {
        let mut sorted = self.0.get(device)?.latest.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

impl Samples {
    fn add(&mut self, skew_ms: i64, seq: u64) {
        if self.latest.len() >= SKEW_SAMPLES {
            self.latest.remove(0);
        }
        self.latest.push(skew_ms);
        self.upto = self.upto.max(seq);
    }
}
