use serde::{Deserialize, Serialize};

use super::{
    change::{CareChange, FaultKind, Standing},
    class::Facts,
    clock::{DAY_MS, HOUR_MS, Now},
};

/// Days over which it is learned how far apart two neighbours usually are.
pub const DRIFT_LEARN_DAYS: usize = 7;

/// Hours of a day in which both must have told something for the day to count.
pub const DRIFT_HOURS_MIN: i64 = 12;

/// A drift that stood for so many days is how they are now: it ends, and what is usual is learned anew.
pub const DRIFT_DAYS_MAX: u32 = 28;

/// Days in a row as before that end a drift.
const CALM_DAYS: u32 = 2;

/// Neighbours that differ by more than this many times what is worth a thought never went together.
const NOISE_MAX: i64 = 4;

/// What one day may count for at most, in spreads, so that it takes two at least.
const DAY_SPREADS_MAX: i64 = 4;

/// The sum at which it is a drift, in spreads.
const SUM_SPREADS: i64 = 5;

/// Two series that measure the same thing side by side.
///
/// The difference of their hourly means is averaged over each day, so that sun on one of them is the same every day. A
/// two-sided tabular CUSUM (Page 1954; Montgomery, Introduction to Statistical Quality Control, chapter 9) runs over
/// the days' differences, with a slack of one spread and a threshold of five. The spread is that of the first
/// seven days, and at least what is worth a thought for the class. A shift of three spreads is found on the third day;
/// one below a spread never is.
///
/// All differences are in thousandths of the unit: whole numbers come back from JSON as they were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Pair {
    /// Device and metric of each.
    pub(super) names: [(String, String); 2],
    /// Number of the hour, in time watched.
    hour: i64,
    /// Sum and count of each, in this hour.
    sums: [(i64, i64); 2],
    /// Sum and count of the day's hourly differences.
    day: (i64, i64),
    /// Differences of the days over which is learned.
    learned: Vec<i64>,
    /// The sums of what was above and below what is usual.
    above: i64,
    below: i64,
    /// Days since the drift was found, and of them the last ones that were as before.
    days: u32,
    calm_days: u32,
    #[serde(skip_serializing_if = "Standing::is_none")]
    pub(super) drift: Standing,
}

impl Pair {
    pub(super) fn new(names: [(String, String); 2]) -> Pair {
        Pair {
            names,
            ..Pair::default()
        }
    }

    /// One of them told a value.
    pub(super) fn hear(&mut self, side: usize, value: i64) {
        let (sum, count) = &mut self.sums[side];
        *sum = sum.saturating_add(value);
        *count = count.saturating_add(1);
    }

    /// Takes in the hours and days that are over. None of the facts where a series is not known.
    pub(super) fn look(
        &mut self,
        facts: [Option<&Facts>; 2],
        now: Now,
        told: &mut Vec<CareChange>,
    ) {
        let hour = now.watched_ms.div_euclid(HOUR_MS);
        let before = std::mem::replace(&mut self.hour, hour);
        if hour == before {
            return;
        }
        let [one, other] = std::mem::take(&mut self.sums);
        if one.1 > 0 && other.1 > 0 {
            let difference = (one.0 / one.1).saturating_sub(other.0 / other.1);
            self.day.0 = self.day.0.saturating_add(difference);
            self.day.1 += 1;
        }
        let hours_a_day = DAY_MS / HOUR_MS;
        if hour.div_euclid(hours_a_day) == before.div_euclid(hours_a_day) {
            return;
        }
        let (sum, hours) = std::mem::take(&mut self.day);
        let [Some(one), Some(other)] = facts else {
            return;
        };
        let Some(apart) = one.apart(other) else {
            self.drift.end(told);
            self.forget();
            return;
        };
        if hours >= DRIFT_HOURS_MIN {
            self.day_is_over(sum / hours, apart, &one.suffix(), now, told);
        }
    }

    fn forget(&mut self) {
        let names = std::mem::take(&mut self.names);
        *self = Pair {
            names,
            hour: self.hour,
            ..Pair::default()
        };
    }

    fn day_is_over(
        &mut self,
        difference: i64,
        apart: i64,
        unit: &str,
        now: Now,
        told: &mut Vec<CareChange>,
    ) {
        if self.learned.len() < DRIFT_LEARN_DAYS {
            self.learned.push(difference);
            if self.learned.len() == DRIFT_LEARN_DAYS
                && self.noise() > apart.saturating_mul(NOISE_MAX)
            {
                self.learned.remove(0);
            }
            return;
        }
        // The mean distance from the middle is four fifths of a standard deviation.
        let spread = (self.noise() / 4).saturating_mul(5).max(apart);
        let usual = self.usual();
        let off = difference.saturating_sub(usual);
        let most = spread.saturating_mul(DAY_SPREADS_MAX);
        let counted = off.clamp(-most, most);
        let enough = spread.saturating_mul(SUM_SPREADS);
        let add = |sum: i64, counted: i64| {
            let sum = sum.saturating_add(counted).saturating_sub(spread);
            sum.clamp(0, enough.saturating_add(1))
        };
        self.above = add(self.above, counted);
        self.below = add(self.below, -counted);
        if self.drift.is_none() {
            if self.above > enough || self.below > enough {
                self.begin(difference, usual, unit, now, told);
            }
            return;
        }
        let is_calm = off.saturating_abs() <= spread.saturating_mul(2);
        self.calm_days = match is_calm {
            true => self.calm_days.saturating_add(1),
            false => 0,
        };
        self.days = self.days.saturating_add(1);
        if self.calm_days >= CALM_DAYS {
            self.drift.end(told);
            (self.above, self.below) = (0, 0);
        } else if self.days >= DRIFT_DAYS_MAX {
            self.drift.end(told);
            self.forget();
        }
    }

    fn begin(
        &mut self,
        difference: i64,
        usual: i64,
        unit: &str,
        now: Now,
        told: &mut Vec<CareChange>,
    ) {
        (self.days, self.calm_days) = (0, 0);
        let [(device, metric), (device_beside, metric_beside)] = &self.names;
        let words = format!(
            "no longer goes together with {device_beside}/{metric_beside}: on average of a day it is {} it, and used to be {}",
            apart_words(difference, unit),
            apart_words(usual, unit)
        );
        let mut began = CareChange::began(device, FaultKind::Drift, words, now.ms).of(metric);
        began.beside = Some((device_beside.clone(), metric_beside.clone()));
        self.drift.begin(began, told);
    }

    /// The middle of what was learned.
    fn usual(&self) -> i64 {
        let mut sorted = self.learned.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// How far from the middle what was learned is, on average.
    fn noise(&self) -> i64 {
        let usual = self.usual();
        let off = |difference: &i64| difference.saturating_sub(usual).saturating_abs();
        let sum = self
            .learned
            .iter()
            .fold(0_i64, |sum, difference| sum.saturating_add(off(difference)));
        sum / (self.learned.len() as i64).max(1)
    }
}

/// `1.2 °C above`, from a difference in thousandths.
fn apart_words(difference: i64, unit: &str) -> String {
    let places = (difference as f64 / 10.0).round() / 100.0;
    let side = if difference < 0 { "below" } else { "above" };
    format!("{}{unit} {side}", places.abs())
}
