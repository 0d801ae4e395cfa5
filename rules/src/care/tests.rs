use super::*;
use crate::{engine::Engine, input::AlarmState, place::Place};

mod bounds;
mod clocks;
mod drift;
mod house;
mod properties;
mod reach;
mod silence;
mod values;

/// 2025-06-16, a Monday, 12:00 in Berlin.
const BEGIN_MS: i64 = 1_750_068_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Something to tell things to, with a clock and order numbers. What changes is kept as lines.
struct Home {
    care: Care,
    now_ms: i64,
    seq: u64,
    changes: Vec<CareChange>,
}

impl Home {
    fn new() -> Home {
        let mut care = Care::new();
        care.tick(BEGIN_MS);
        Home {
            care,
            now_ms: BEGIN_MS,
            seq: 0,
            changes: Vec::new(),
        }
    }

    fn describe(&mut self, series: &str, class: &str, unit: &str) {
        let info = SeriesInfo {
            class: Some(class).filter(|class| !class.is_empty()),
            unit: Some(unit).filter(|unit| !unit.is_empty()),
            state_class: Some("measurement"),
            ..SeriesInfo::default()
        };
        self.describe_as(series, &info);
    }

    fn describe_as(&mut self, series: &str, info: &SeriesInfo<'_>) {
        let (device, metric) = named(series);
        let told = self.care.describe(device, metric, info);
        self.changes.extend(told);
    }

    fn tell(&mut self, series: &str, value: f64) {
        self.reading(series, Some(value), None);
    }

    fn say(&mut self, series: &str, text: &str) {
        self.reading(series, None, Some(text));
    }

    fn reading(&mut self, series: &str, value: Option<f64>, text: Option<&str>) {
        let (device, metric) = named(series);
        self.seq += 1;
        let reading = Reading {
            seq: self.seq,
            ts_ms: self.now_ms,
            device,
            metric,
            value,
            text,
            replayed: false,
        };
        let told = self.care.on(&Input::Reading(reading), self.now_ms);
        self.changes.extend(told);
    }

    fn online(&mut self, device: &str, online: bool) {
        let told = self.care.on(&Input::Online { device, online }, self.now_ms);
        self.changes.extend(told);
    }

    /// Time passes, with a tick every half minute.
    fn pass(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.now_ms = (self.now_ms + 30 * SECOND).min(until_ms);
            let told = self.care.tick(self.now_ms);
            self.changes.extend(told);
        }
    }

    /// For so long, every so often something is told: what, by the number of the time.
    fn every(&mut self, every_ms: i64, for_ms: i64, mut what: impl FnMut(&mut Home, i64)) {
        for number in 0..for_ms / every_ms {
            what(self, number);
            self.pass(every_ms);
        }
    }

    /// The clock is set, without time passing.
    fn set_clock(&mut self, by_ms: i64) {
        self.now_ms += by_ms;
        let told = self.care.tick(self.now_ms);
        self.changes.extend(told);
    }

    fn restart(&mut self) {
        let text = serde_json::to_string(&self.care.snapshot()).expect("json");
        self.care = Care::restore(serde_json::from_str(&text).expect("state"));
    }

    /// What changed since this was last asked: `began silent kitchen`.
    fn changed(&mut self) -> Vec<String> {
        self.changes.drain(..).map(|change| line(&change)).collect()
    }
}

fn named(series: &str) -> (&str, &str) {
    series.rsplit_once('/').expect("series")
}

fn line(change: &CareChange) -> String {
    let state = match change.state {
        FaultState::Began => "began",
        FaultState::Ended => "ended",
    };
    let metric = change.metric.as_ref();
    let metric = metric.map_or_else(String::new, |metric| format!("/{metric}"));
    format!("{state} {} {}{metric}", change.kind.name(), change.device)
}

/// Numbers that look random, the same for one seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, min: f64, max: f64) -> f64 {
        min + self.share() * (max - min)
    }

    fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

/// A value with one place behind the point, as sensors tell it.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
