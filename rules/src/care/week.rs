use serde::{Deserialize, Serialize};

use super::clock::{DAY_MS, Now};

/// Days over which habits are known.
const DAYS: usize = 7;

/// What a series was like on each of the last seven days that were watched. What happens within a week happened before:
/// a device that is off at night, or at weekends, has told so by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Week {
    /// Number of the day, in time watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<i64>,
    /// Days that were over since it is known, as far as they are kept.
    days: u8,
    #[serde(skip_serializing_if = "is_nothing")]
    distances_ms: [i64; DAYS],
    #[serde(skip_serializing_if = "is_nothing")]
    runs_ms: [i64; DAYS],
    #[serde(skip_serializing_if = "is_nothing")]
    changes: [i64; DAYS],
}

fn is_nothing(days: &[i64; DAYS]) -> bool {
    days.iter().all(|day| *day == 0)
}

impl Week {
    /// Goes on to today.
    pub(super) fn turn(&mut self, now: Now) {
        let today = now.watched_ms.div_euclid(DAY_MS);
        let before = self.day.replace(today).unwrap_or(today);
        let over = today.saturating_sub(before).clamp(0, DAYS as i64);
        for number in 0..over {
            let at = slot(today - number);
            self.distances_ms[at] = 0;
            self.runs_ms[at] = 0;
            self.changes[at] = 0;
        }
        self.days = self.days.saturating_add(over as u8).min(DAYS as u8);
    }

    fn today(&self) -> usize {
        slot(self.day.unwrap_or_default())
    }

    /// It told something this long after the time before.
    pub(super) fn note_distance(&mut self, distance_ms: i64) {
        let longest = &mut self.distances_ms[self.today()];
        *longest = (*longest).max(distance_ms);
    }

    /// It told another value, after it had told the same for this long.
    pub(super) fn note_change(&mut self, run_ms: i64) {
        let at = self.today();
        self.runs_ms[at] = self.runs_ms[at].max(run_ms);
        self.changes[at] = self.changes[at].saturating_add(1);
    }

    /// Days that are over and known of.
    pub(super) fn days(&self) -> u8 {
        self.days
    }

    pub(super) fn longest_distance_ms(&self) -> i64 {
        self.distances_ms.iter().copied().max().unwrap_or_default()
    }

    /// For how long it told the same, at most.
    pub(super) fn longest_run_ms(&self) -> i64 {
        self.runs_ms.iter().copied().max().unwrap_or_default()
    }

    /// How often it told another value, all in all.
    pub(super) fn changes(&self) -> i64 {
        self.changes
            .iter()
            .fold(0, |all, day| all.saturating_add(*day))
    }
}

fn slot(day: i64) -> usize {
    day.rem_euclid(DAYS as i64) as usize
}
