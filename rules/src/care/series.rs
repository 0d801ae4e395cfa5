use serde::{Deserialize, Serialize};

use super::{
    change::{CareChange, FaultKind, Standing},
    class::{Facts, Judgement, rounded, thousandths},
    clock::{DAY_MS, HOUR_MS, Now},
    rhythm::{LEARN_DAYS, Rhythm},
    week::Week,
};
use crate::{duration::Span, input::Reading, rule::Scalar};

/// How long a series tells the same value before it is stuck: 24 hours.
pub const STUCK_MS: i64 = DAY_MS;

/// How often it must tell it meanwhile.
pub const STUCK_TELLS_MIN: u32 = 24;

/// For how long a series that is watched for being stuck told the same value before, at most: 6 hours.
pub const RUN_MS_MAX: i64 = 6 * HOUR_MS;

/// How often a day it told another value, at least, on average.
pub const CHANGES_A_DAY_MIN: i64 = 20;

/// Two unlikely values within this time are a fault, one is not; nor is the fault over before this time without one.
pub const ODD_MS: i64 = HOUR_MS;

/// Good values in a row that end a fault.
pub const GOOD_MIN: u32 = 3;

/// A battery is low at this many per cent or less.
pub const LOW_PERCENT: f64 = 15.0;

/// A battery that was low is so no longer at this many per cent or more.
pub const CHARGED_PERCENT: f64 = 20.0;

/// What is known of one series of a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Series {
    pub(super) facts: Facts,
    pub(super) rhythm: Rhythm,
    pub(super) week: Week,
    /// When it told something last, in time watched, whether its device was away since or not.
    pub(super) heard_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    odd: Option<Odd>,
    /// What a battery said last that is low.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) low: Option<Low>,
    #[serde(skip_serializing_if = "Standing::is_none")]
    pub(super) stuck: Standing,
    #[serde(skip_serializing_if = "Standing::is_none")]
    pub(super) out_of_range: Standing,
}

/// A value that is told again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Run {
    /// The value's bits.
    bits: u64,
    /// Since when, in time watched.
    watched_ms: i64,
    since_ms: i64,
    tells: u32,
}

/// A value that cannot be right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Odd {
    /// When the last one was told, in time watched.
    watched_ms: i64,
    /// When the first one was.
    since_ms: i64,
    /// Good values since.
    good: u32,
}

/// A battery that is low.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Low {
    since_ms: i64,
    /// In thousandths of a per cent; none where it says no more than that.
    charge: Option<i64>,
}

impl Series {
    /// Takes what is known about it; whether that is something else than before.
    pub(super) fn describe(&mut self, facts: Facts, told: &mut Vec<CareChange>) -> bool {
        if self.facts == facts {
            return false;
        }
        self.facts = facts;
        self.stuck.end(told);
        self.out_of_range.end(told);
        self.run = None;
        self.odd = None;
        self.low = None;
        true
    }

    /// Whether more is known about it than that it told something once.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let stands = self.stuck.is_some() || self.out_of_range.is_some() || self.low.is_some();
        stands || self.facts != Facts::default()
    }

    /// Takes a reading. Gives its value in thousandths where it is one that may be compared with a neighbour's.
    pub(super) fn hear(
        &mut self,
        reading: &Reading<'_>,
        now: Now,
        told: &mut Vec<CareChange>,
    ) -> Option<i64> {
        self.week.turn(now);
        self.rhythm.hear(now, &mut self.week);
        self.heard_ms = now.watched_ms;
        self.battery(reading, now);
        let value = reading.value?;
        let judgement = self.facts.judge(value);
        self.range(reading, value, judgement, now, told);
        if judgement != Judgement::Fine || !self.facts.moves() {
            return None;
        }
        self.runs(reading, value, now, told);
        Some(thousandths(value))
    }

    fn battery(&mut self, reading: &Reading<'_>, now: Now) {
        let charge = reading.value.filter(|_| self.facts.is_charge());
        let (is_low, is_charged) = if let Some(charge) = charge {
            let is_one = self.facts.judge(charge) == Judgement::Fine;
            (
                is_one && charge <= LOW_PERCENT,
                is_one && charge >= CHARGED_PERCENT,
            )
        } else if self.facts.is_low_sign(reading.metric) {
            let says = |on: bool| Scalar::Bool(on).is_told_by(reading.value, reading.text);
            (says(true), says(false))
        } else {
            return;
        };
        if is_charged {
            self.low = None;
        } else if is_low && self.low.is_none() {
            self.low = Some(Low {
                since_ms: now.ms,
                charge: charge.map(thousandths),
            });
        }
    }

    fn range(
        &mut self,
        reading: &Reading<'_>,
        value: f64,
        judgement: Judgement,
        now: Now,
        told: &mut Vec<CareChange>,
    ) {
        if judgement == Judgement::Fine {
            let Some(odd) = &mut self.odd else { return };
            odd.good = odd.good.saturating_add(1);
            let is_long_ago = now.since(odd.watched_ms) >= ODD_MS;
            if is_long_ago && (self.out_of_range.is_none() || odd.good >= GOOD_MIN) {
                self.out_of_range.end(told);
                self.odd = None;
            }
            return;
        }
        let before = self.odd.take();
        // Where it is told rarely, the next one counts, however late it comes.
        let is_second = before
            .as_ref()
            .is_some_and(|odd| odd.good == 0 || now.since(odd.watched_ms) < ODD_MS);
        let odd = Odd {
            watched_ms: now.watched_ms,
            since_ms: before
                .filter(|_| is_second)
                .map_or(now.ms, |odd| odd.since_ms),
            good: 0,
        };
        if self.out_of_range.is_none() && (is_second || judgement == Judgement::Impossible) {
            let words = self.range_words(value, judgement);
            let began =
                CareChange::began(reading.device, FaultKind::OutOfRange, words, odd.since_ms);
            self.out_of_range.begin(began.of(reading.metric), told);
        }
        self.odd = Some(odd);
    }

    fn range_words(&self, value: f64, judgement: Judgement) -> String {
        if !value.is_finite() {
            return "tells what is no number".to_owned();
        }
        let (value, unit) = (rounded(value), self.facts.suffix());
        if judgement == Judgement::Impossible {
            return format!("tells {value}{unit}, which cannot be");
        }
        let (min, max) = self.facts.likely();
        let (bound, side) = match value < min {
            true => (min, "below"),
            false => (max, "above"),
        };
        format!("tells {value}{unit}, which is {side} {bound}{unit}")
    }

    fn runs(&mut self, reading: &Reading<'_>, value: f64, now: Now, told: &mut Vec<CareChange>) {
        // Zero has two signs.
        let bits = (value + 0.0).to_bits();
        let run = match &mut self.run {
            Some(run) if run.bits == bits => run,
            before => {
                if let Some(before) = before {
                    self.week.note_change(now.since(before.watched_ms));
                }
                self.stuck.end(told);
                before.insert(Run {
                    bits,
                    watched_ms: now.watched_ms,
                    since_ms: now.ms,
                    tells: 0,
                })
            }
        };
        run.tells = run.tells.saturating_add(1);
        let week = &self.week;
        let used_to_vary = week.days() >= LEARN_DAYS
            && week.longest_run_ms() <= RUN_MS_MAX
            && week.changes() >= CHANGES_A_DAY_MIN * i64::from(week.days());
        let run_ms = now.since(run.watched_ms);
        let is_long = run_ms >= STUCK_MS && run.tells >= STUCK_TELLS_MIN;
        let is_free = self.stuck.is_none() && self.out_of_range.is_none();
        if is_free && is_long && used_to_vary && self.facts.may_stick_at(value) {
            let (value, unit) = (rounded(value), self.facts.suffix());
            let words = format!(
                "has told exactly {value}{unit} for {}; before, it was never the same for more than {}",
                length(run_ms),
                length(week.longest_run_ms())
            );
            let began = CareChange::began(reading.device, FaultKind::Stuck, words, run.since_ms);
            self.stuck.begin(began.of(reading.metric), told);
        }
    }
}

impl Low {
    pub(super) fn fault(&self, device: &str, metric: &str) -> CareChange {
        let words = match self.charge {
            Some(charge) => format!("has {} % of its battery left", charge as f64 / 1_000.0),
            None => "says that its battery is low".to_owned(),
        };
        CareChange::began(device, FaultKind::BatteryLow, words, self.since_ms).of(metric)
    }
}

/// A length of time for people: whole minutes from a minute on, whole hours from a day on.
pub(super) fn length(ms: i64) -> String {
    let step_ms = match ms {
        DAY_MS.. => HOUR_MS,
        super::clock::MINUTE_MS.. => super::clock::MINUTE_MS,
        _ => 1_000,
    };
    Span::from_ms((ms / step_ms * step_ms).max(1_000))
        .map_or_else(|| "over a year".to_owned(), |span| span.to_string())
}
