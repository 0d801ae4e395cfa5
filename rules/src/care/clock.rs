use serde::{Deserialize, Serialize};

/// The longest step of the clock that counts as time watched: 5 minutes. A longer one, forward or back, is a clock that
/// was set, or a box that was off or asleep.
pub const STEP_MS_MAX: i64 = 5 * MINUTE_MS;

/// How often devices are looked at: every minute that was watched.
pub const LOOK_MS: i64 = MINUTE_MS;

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Counts the time during which somebody watched. All lengths of time are measured by it, so that a clock that jumps,
/// a box that was off and a home's summer time make no device silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Clock {
    /// What the clock showed last, in milliseconds since the epoch.
    now_ms: Option<i64>,
    watched_ms: i64,
    /// Time watched when the last pause ended.
    resumed_ms: i64,
}

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// In milliseconds since the epoch.
    pub(super) ms: i64,
    /// Time watched so far, in milliseconds.
    pub(super) watched_ms: i64,
    /// Time watched when the last pause ended.
    pub(super) resumed_ms: i64,
}

/// What a step of the clock was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Time was watched.
    Watched,
    /// As before, and a moment has come at which to look.
    Look,
    /// Time passed unseen, or the clock was set.
    Pause,
}

impl Clock {
    /// Goes on to this time. A clock that goes back a little stands still: readings come with the time at which they
    /// were received, which may be before the last tick.
    pub(super) fn advance(&mut self, now_ms: i64) -> Step {
        let before_ms = self.now_ms.unwrap_or(now_ms);
        let step_ms = now_ms.saturating_sub(before_ms);
        if self.now_ms.is_none() || step_ms.saturating_abs() > STEP_MS_MAX {
            self.now_ms = Some(now_ms);
            self.resumed_ms = self.watched_ms;
            return Step::Pause;
        }
        if step_ms <= 0 {
            return Step::Watched;
        }
        let looked = self.watched_ms.div_euclid(LOOK_MS);
        self.now_ms = Some(now_ms);
        self.watched_ms = self.watched_ms.saturating_add(step_ms);
        match self.watched_ms.div_euclid(LOOK_MS) == looked {
            true => Step::Watched,
            false => Step::Look,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            ms: self.now_ms.unwrap_or_default(),
            watched_ms: self.watched_ms,
            resumed_ms: self.resumed_ms,
        }
    }

    /// When there is to look next, in milliseconds since the epoch.
    pub(super) fn next_look_ms(&self) -> Option<i64> {
        let wait_ms = LOOK_MS - self.watched_ms.rem_euclid(LOOK_MS);
        Some(self.now_ms?.saturating_add(wait_ms))
    }
}

impl Now {
    /// How long ago this was, in time watched.
    pub(super) fn since(&self, watched_ms: i64) -> i64 {
        self.watched_ms.saturating_sub(watched_ms)
    }

    /// As [`Now::since`], counted from the end of the last pause where that was later: after a pause, whoever is waited
    /// for gets all the time again.
    pub(super) fn waited_since(&self, watched_ms: i64) -> i64 {
        self.since(watched_ms.max(self.resumed_ms))
    }

    /// Whether it is not known how much time has passed since.
    pub(super) fn has_paused_since(&self, watched_ms: i64) -> bool {
        watched_ms <= self.resumed_ms
    }
}
