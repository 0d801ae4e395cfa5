//! Sleepers: they measure while they sleep, and publish all of it with its times when they wake.
//!
//! ```text
//! tarn/backlog/<device>   [{"ts":1772323200000,"metric":"temperature","value":14.2},…]
//! tarn/backlog/<device>   {"ts":["2026-03-01T00:00:00Z",…],"temperature":[14.2,…],"humidity":[61.0,…]}
//! ```

use std::time::{Duration, UNIX_EPOCH};

use mqtt_proto::TopicName;
use serde_json::{Value as Json, json};

use super::{Device, Turn};
use crate::simulate::channel::{humidity, indoor_c};
use crate::simulate::fault::Oddity;
use crate::simulate::message::{Keep, Outbox, topic};
use crate::simulate::signal::{Dice, SimTime};
use crate::simulate::values::round;

/// In how many of its turns it sleeps before it publishes.
const TURNS_ASLEEP: u64 = 8;
/// How many times a sleeper measures between two times awake.
const SAMPLES: i64 = 12;
/// How far apart its first samples are: it has been measuring before the run began.
const FIRST_STEP_MS: i64 = 300_000;

/// How a sleeper writes what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum Form {
    /// One object for each value, times in Unix milliseconds.
    Rows,
    /// One array for each metric, times as RFC 3339.
    Columns,
}

/// One sleeper.
#[derive(Debug)]
pub(in crate::simulate) struct Sleeper {
    topic: TopicName,
    form: Form,
    dice: Dice,
    turns: u64,
    told_until: Option<SimTime>,
}

impl Sleeper {
    /// A sleeper of that name.
    pub(in crate::simulate) fn new(device: &str, form: Form, dice: Dice) -> Sleeper {
        Sleeper {
            topic: topic(&format!("tarn/backlog/{device}")),
            form,
            dice,
            // Two sleepers do not wake together.
            turns: (dice.at(-1) * TURNS_ASLEEP as f64) as u64,
            told_until: None,
        }
    }

    /// The times of the samples since it was last awake, the newest being now.
    fn times(&self, at: SimTime) -> impl Iterator<Item = SimTime> + use<> {
        let step_ms = self
            .told_until
            .map_or(FIRST_STEP_MS, |last| ((at.0 - last.0) / SAMPLES).max(1));
        (0..SAMPLES).map(move |place| SimTime(at.0 - (SAMPLES - 1 - place) * step_ms))
    }

    fn document(&self, at: SimTime, odd: Option<Oddity>) -> Json {
        let sample = |at| {
            let celsius = round(indoor_c(self.dice, at, 12.0), 1);
            (at, celsius, round(humidity(self.dice, at), 1))
        };
        let mut samples: Vec<(Json, Json, Json)> = Vec::new();
        for (at, celsius, percent) in self.times(at).map(sample) {
            let ts = match self.form {
                Form::Rows => at.0.into(),
                Form::Columns => rfc3339(at).into(),
            };
            samples.push((ts, celsius.into(), percent.into()));
        }
        // One odd sample must not spoil the others.
        match (odd, &mut samples[0].1) {
            (Some(Oddity::NotANumber), value) => *value = "n/a".into(),
            (Some(Oddity::WithUnit), value) => *value = format!("{value} °C").into(),
            (Some(Oddity::Missing), value) => *value = Json::Null,
            _ => {}
        }
        match self.form {
            Form::Rows => rows(samples),
            Form::Columns => columns(samples),
        }
    }
}

fn rfc3339(at: SimTime) -> String {
    let since = Duration::from_millis(at.0.max(0) as u64);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

fn rows(samples: Vec<(Json, Json, Json)>) -> Json {
    let two = |(ts, celsius, percent): (Json, Json, Json)| {
        [
            json!({"ts": ts, "metric": "temperature", "value": celsius}),
            json!({"ts": ts, "metric": "humidity", "value": percent}),
        ]
    };
    Json::Array(samples.into_iter().flat_map(two).collect())
}

fn columns(samples: Vec<(Json, Json, Json)>) -> Json {
    let (mut times, mut celsius, mut percent) = (Vec::new(), Vec::new(), Vec::new());
    for (ts, one, two) in samples {
        times.push(ts);
        celsius.push(one);
        percent.push(two);
    }
    json!({"ts": times, "temperature": celsius, "humidity": percent})
}

impl Device for Sleeper {
    fn turn(&self) -> Turn {
        Turn::Regular(1)
    }

    fn announce(&mut self, _at: SimTime, _out: &mut Outbox) {}

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        self.turns += 1;
        // A fault wakes it, so that it can be seen.
        let wakes = odd.is_some() || self.turns.is_multiple_of(TURNS_ASLEEP);
        if wakes && self.told_until.is_none_or(|last| last < at) {
            out.json(&self.topic, Keep::Live, &self.document(at, odd));
            self.told_until = Some(at);
        }
    }

    fn availability(&mut self, _online: bool, _at: SimTime, _out: &mut Outbox) {}
}
