use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::*;
use crate::{backtest::backtest, input::Reading, notice::NoticeKind, rule::Rule};

mod clocks;
mod levels;
mod moments;
mod priorities;
mod properties;
mod restarts;

/// 2025-06-16, a Monday, 12:00 in Berlin.
const BEGIN_MS: i64 = 1_750_068_000_000;

fn place() -> Place {
    Place {
        zone: TimeZone::get("Europe/Berlin").expect("zone"),
        coordinates: Some((52.52, 13.405)),
    }
}

/// A rule with these parts, and one that notifies where they do not say what to do.
fn rule(parts: &Value) -> Rule {
    let mut all = json!({"name": "a rule", "then": [{"notify": {"title": "Hello"}}]});
    for (name, part) in parts.as_object().expect("parts") {
        all[name] = part.clone();
    }
    serde_json::from_value(all).expect("rule")
}

fn rules(all: &[(&str, Value)]) -> BTreeMap<RuleId, Rule> {
    all.iter()
        .map(|(id, parts)| (RuleId::from(*id), rule(parts)))
        .collect()
}

/// An engine, and a clock and order numbers to tell it things by.
struct Home {
    engine: Engine,
    now_ms: i64,
    seq: u64,
}

impl Home {
    fn new(all: &[(&str, Value)]) -> Home {
        Home::at("2025-06-16T10:00:00Z", all)
    }

    fn at(time: &str, all: &[(&str, Value)]) -> Home {
        let now_ms = ms(time);
        let mut engine = Engine::new(place());
        engine.set_rules(&rules(all), now_ms);
        assert_eq!(engine.faults().collect::<Vec<_>>(), []);
        Home {
            engine,
            now_ms,
            seq: 0,
        }
    }

    /// Rules that fired, each with what was told of it.
    fn tell(&mut self, series: &str, value: f64) -> Vec<Firing> {
        self.reading(series, Some(value), None)
    }

    fn say(&mut self, series: &str, text: &str) -> Vec<Firing> {
        self.reading(series, None, Some(text))
    }

    fn reading(&mut self, series: &str, value: Option<f64>, text: Option<&str>) -> Vec<Firing> {
        let (device, metric) = series.rsplit_once('/').expect("series");
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
        self.engine.on(&Input::Reading(reading), self.now_ms)
    }

    fn on(&mut self, input: &Input<'_>) -> Vec<Firing> {
        self.engine.on(input, self.now_ms)
    }

    /// Lets time pass, woken whenever the engine wants to be; what fired meanwhile.
    fn pass(&mut self, ms: i64) -> Vec<Firing> {
        let until = self.now_ms + ms;
        let mut fired = Vec::new();
        while let Some(at) = self.engine.next_wake().filter(|at| *at <= until) {
            fired.extend(self.engine.tick(at));
        }
        self.now_ms = until;
        fired
    }

    fn notices(&mut self) -> Vec<(NoticeKind, String)> {
        let notices = self.engine.take_notices().into_iter();
        notices.map(|notice| (notice.kind, notice.words)).collect()
    }
}

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().expect(time).as_millisecond()
}

fn ids(fired: &[Firing]) -> Vec<&str> {
    fired.iter().map(|firing| firing.rule.as_str()).collect()
}

fn at_reading(series: &str) -> Value {
    let (device, metric) = series.rsplit_once('/').expect("series");
    json!([{"reading": {"device": device, "metric": metric}}])
}
