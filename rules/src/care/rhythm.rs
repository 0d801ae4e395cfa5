use serde::{Deserialize, Serialize};

use super::{
    clock::{DAY_MS, MINUTE_MS, Now},
    week::Week,
};

/// Readings closer together than this are one: a second.
pub const BURST_MS: i64 = 1_000;

/// Distances after which a rhythm is known.
pub const DISTANCES_MIN: u32 = 20;

/// Days that a series must have been watched before anything is said about its habits.
pub const LEARN_DAYS: u8 = 3;

/// The shortest silence that is told: 30 minutes.
pub const SILENT_MS_MIN: i64 = 30 * MINUTE_MS;

/// The longest silence that is waited for, 3 days; slower devices are not watched for silence.
pub const SILENT_MS_MAX: i64 = 3 * DAY_MS;

/// A silence is this many times the usual distance, or longer.
const SILENT_USUAL: i64 = 10;

/// A silence is this many times the longest distance of the last week, or longer.
const SILENT_LONGEST: i64 = 3;

/// A series is irregular if it ever was quiet for more than this many times its usual distance within a week.
const LONGEST_USUAL: i64 = 12;

/// A series is irregular if its distances differ from the usual one by more than this many per cent of it, on average.
const SPREAD_PERCENT: i64 = 40;

/// Distances over which the usual one is learned; later ones count less and less.
const WEIGHT_MAX: u32 = 64;

/// How often a series tells something: a mean of distances that weighs the latest more, in which one distance counts as
/// at most four times and at least a quarter of the usual one, so that a gap does not change it much; and how far
/// distances are from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rhythm {
    /// When it told something last, in time watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    told_ms: Option<i64>,
    usual_ms: i64,
    spread_ms: i64,
    distances: u32,
}

impl Rhythm {
    pub(super) fn hear(&mut self, now: Now, week: &mut Week) {
        let Some(told_ms) = self.told_ms else {
            self.told_ms = Some(now.watched_ms);
            return;
        };
        let distance_ms = now.since(told_ms);
        if distance_ms < BURST_MS {
            return;
        }
        self.told_ms = Some(now.watched_ms);
        if !now.has_paused_since(told_ms) {
            week.note_distance(distance_ms);
            self.learn(distance_ms);
        }
    }

    fn learn(&mut self, distance_ms: i64) {
        self.distances = self.distances.saturating_add(1);
        if self.distances == 1 {
            self.usual_ms = distance_ms;
            return;
        }
        let weight = i64::from(self.distances.min(WEIGHT_MAX));
        let usual_ms = self.usual_ms.clamp(1, SILENT_MS_MAX);
        let distance_ms = distance_ms.clamp(usual_ms / 4, usual_ms * 4);
        let off_ms = distance_ms - usual_ms;
        let spread_ms = self.spread_ms.clamp(0, SILENT_MS_MAX * 4);
        self.spread_ms = spread_ms + (off_ms.abs() - spread_ms) / weight;
        self.usual_ms = usual_ms + off_ms / weight;
    }

    /// Begins anew after the device was away: how long that took is not its rhythm.
    pub(super) fn away(&mut self) {
        self.told_ms = None;
    }

    /// When it told something last, in time watched; none where it was away since.
    pub(super) fn told_ms(&self) -> Option<i64> {
        self.told_ms
    }

    /// Usual distance, in milliseconds.
    pub(super) fn usual_ms(&self) -> i64 {
        self.usual_ms
    }

    /// After how many milliseconds it is silent; none for one that has no rhythm, or of which too little is known.
    pub(super) fn silent_after_ms(&self, week: &Week) -> Option<i64> {
        let is_known = self.distances >= DISTANCES_MIN && week.days() >= LEARN_DAYS;
        let longest_ms = week.longest_distance_ms();
        let is_regular = longest_ms <= self.usual_ms.saturating_mul(LONGEST_USUAL)
            && self.spread_ms.saturating_mul(100) <= self.usual_ms.saturating_mul(SPREAD_PERCENT);
        let silent_ms = SILENT_MS_MIN
            .max(self.usual_ms.saturating_mul(SILENT_USUAL))
            .max(longest_ms.saturating_mul(SILENT_LONGEST));
        (is_known && is_regular && silent_ms <= SILENT_MS_MAX).then_some(silent_ms)
    }
}
