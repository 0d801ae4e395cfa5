use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    change::{CareChange, FaultKind, Standing},
    class::Facts,
    clock::{DAY_MS, HOUR_MS, MINUTE_MS, Now},
    series::{Series, length},
};
use crate::input::Reading;

/// How long a device may be away before that is told: 5 minutes.
pub const GRACE_MS: i64 = 5 * MINUTE_MS;

/// A device that goes away so often within [`UNSTEADY_MS`] comes and goes.
pub const GOINGS_MAX: usize = 3;

/// Within which time that counts, and for how long a device must not go away before it is steady again: an hour.
pub const UNSTEADY_MS: i64 = HOUR_MS;

/// Series of which nothing is known but that they once told something are forgotten after this long: 30 days.
pub const FORGET_MS: i64 = 30 * DAY_MS;

/// What is known of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Device {
    /// Whether it can be reached, as it was said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<bool>,
    /// When it went away last: the latest few times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    goings: Vec<Going>,
    /// When it was last back after it was told as away, in time watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    back_ms: Option<i64>,
    /// When anything was last heard from it, in time watched and since the epoch.
    heard: Option<(i64, i64)>,
    /// Whether it is there: at most one fault of the three.
    #[serde(skip_serializing_if = "Standing::is_none")]
    pub(super) reach: Standing,
    #[serde(skip_serializing_if = "Standing::is_none")]
    pub(super) battery: Standing,
    pub(super) series: BTreeMap<String, Series>,
}

/// A time at which a device went away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Going {
    watched_ms: i64,
    since_ms: i64,
}

impl Device {
    /// Takes a reading; its value in thousandths, where it may be compared with a neighbour's.
    pub(super) fn hear(
        &mut self,
        reading: &Reading<'_>,
        now: Now,
        told: &mut Vec<CareChange>,
    ) -> Option<i64> {
        self.heard = Some((now.watched_ms, now.ms));
        if self.reach.kind() == Some(FaultKind::Silent) {
            self.reach.end(told);
        }
        let series = self.series.get_mut(reading.metric)?;
        let was_low = series.low.is_some();
        let value = series.hear(reading, now, told);
        if series.low.is_some() != was_low {
            self.settle_battery(reading.device, told);
        }
        value
    }

    /// Takes what is known about one of its series.
    pub(super) fn describe(
        &mut self,
        name: &str,
        metric: &str,
        facts: Facts,
        told: &mut Vec<CareChange>,
    ) {
        if let Some(series) = self.series.get_mut(metric)
            && series.describe(facts, told)
        {
            self.settle_battery(name, told);
        }
    }

    /// A device has one fault of its battery, whichever of its series tell it.
    fn settle_battery(&mut self, name: &str, told: &mut Vec<CareChange>) {
        let mut all = self.series.iter();
        let low = all.find_map(|(metric, series)| Some((metric, series.low.as_ref()?)));
        match low {
            Some((metric, low)) if self.battery.is_none() => {
                self.battery.begin(low.fault(name, metric), told);
            }
            Some(_) => {}
            None => self.battery.end(told),
        }
    }

    /// It came or went.
    pub(super) fn reached(
        &mut self,
        name: &str,
        online: bool,
        now: Now,
        told: &mut Vec<CareChange>,
    ) {
        let before = self.online.replace(online);
        if before == Some(online) {
            return;
        }
        if online {
            self.heard = Some((now.watched_ms, now.ms));
            if self.reach.kind() == Some(FaultKind::Offline) {
                self.back_ms = Some(now.watched_ms);
                self.reach.end(told);
            }
            return;
        }
        for series in self.series.values_mut() {
            series.rhythm.away();
        }
        self.goings
            .retain(|going| now.since(going.watched_ms) < UNSTEADY_MS);
        if self.goings.len() >= GOINGS_MAX {
            self.goings.remove(0);
        }
        self.goings.push(Going {
            watched_ms: now.watched_ms,
            since_ms: now.ms,
        });
        if self.goings.len() >= GOINGS_MAX {
            self.comes_and_goes(name, told);
        }
    }

    fn comes_and_goes(&mut self, name: &str, told: &mut Vec<CareChange>) {
        if self.reach.kind() != Some(FaultKind::ComesAndGoes)
            && let Some(first) = self.goings.first()
        {
            let words = "comes and goes".to_owned();
            let kind = FaultKind::ComesAndGoes;
            let began = CareChange::began(name, kind, words, first.since_ms);
            self.reach.begin(began, told);
        }
    }

    /// Looks what the time that has passed means.
    pub(super) fn look(&mut self, name: &str, now: Now, told: &mut Vec<CareChange>) {
        let is_recent = |at_ms: i64| now.since(at_ms) < UNSTEADY_MS;
        let last = self.goings.last();
        if self.reach.kind() == Some(FaultKind::ComesAndGoes)
            && !last.is_some_and(|going| is_recent(going.watched_ms))
        {
            self.reach.end(told);
        }
        if self.online != Some(false) {
            self.look_silent(name, now, told);
            return;
        }
        let kind = self.reach.kind();
        if matches!(kind, Some(FaultKind::Offline | FaultKind::ComesAndGoes)) {
            return;
        }
        let Some(last) = last.filter(|going| now.waited_since(going.watched_ms) >= GRACE_MS) else {
            return;
        };
        // Away again soon after it was told to be back: that is told once more, and then as one fault.
        if self.back_ms.is_some_and(is_recent) && is_recent(last.watched_ms) {
            self.comes_and_goes(name, told);
            return;
        }
        let words = "cannot be reached".to_owned();
        let began = CareChange::began(name, FaultKind::Offline, words, last.since_ms);
        self.reach.begin(began, told);
    }

    fn look_silent(&mut self, name: &str, now: Now, told: &mut Vec<CareChange>) {
        let Some((heard_ms, since_ms)) = self.heard.filter(|_| self.reach.is_none()) else {
            return;
        };
        // What a series says of its device's rhythm counts only while that series itself goes on: a metric that went
        // with an update of the device says nothing of what is left.
        let rhythms = self.series.values().filter_map(|series| {
            let silent_ms = series.rhythm.silent_after_ms(&series.week)?;
            let told_ms = series.rhythm.told_ms()?;
            let goes_on = heard_ms.saturating_sub(told_ms) <= silent_ms;
            goes_on.then_some((silent_ms, series.rhythm.usual_ms()))
        });
        let Some((silent_ms, usual_ms)) = rhythms.min() else {
            return;
        };
        if now.waited_since(heard_ms) < silent_ms {
            return;
        }
        let words = format!(
            "has told nothing for {}; it used to tell something every {}",
            length(now.waited_since(heard_ms)),
            length(usual_ms)
        );
        let began = CareChange::began(name, FaultKind::Silent, words, since_ms);
        self.reach.begin(began, told);
    }

    /// Forgets series that nobody describes and that are long gone; how many.
    pub(super) fn forget_old(&mut self, now: Now) -> usize {
        let before = self.series.len();
        self.series.retain(|_, series| {
            let is_old = now.since(series.heard_ms) >= FORGET_MS;
            !is_old || series.is_worth_keeping()
        });
        before - self.series.len()
    }

    /// Whether there is something to know about it.
    pub(super) fn is_worth_keeping(&self) -> bool {
        !self.series.is_empty() || self.standing().next().is_some() || self.online == Some(false)
    }

    /// Faults that stand.
    pub(super) fn standing(&self) -> impl Iterator<Item = &CareChange> {
        let of_series = self
            .series
            .values()
            .flat_map(|series| [&series.stuck, &series.out_of_range]);
        let all = [&self.reach, &self.battery].into_iter().chain(of_series);
        all.filter_map(Standing::get)
    }

    /// Ends all its faults.
    pub(super) fn end_all(&mut self, told: &mut Vec<CareChange>) {
        self.reach.end(told);
        self.battery.end(told);
        for series in self.series.values_mut() {
            series.stuck.end(told);
            series.out_of_range.end(told);
        }
    }
}
