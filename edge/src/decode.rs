mod json;
/// A payload, or a JSON string, that is one value: number, number with unit, switch word, text.
pub mod scalar;
/// Topic → (device, metric), by default or by patterns.
pub mod topic;

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rustc_hash::FxHashMap;
use tarn_common::{
    reading::{DAY_MS, LATE_AFTER_MS, Quality},
    rows::{Row, Rows, SeriesId},
};

use self::{
    scalar::{Scalar, scalar},
    topic::{Topics, Voice},
};
use crate::journal::frame::{Kind, Record};

/// Readings that one payload may give; one that would give more is kept whole, as text.
pub const READINGS_PER_PAYLOAD_MAX: usize = 4096;

/// A device's own time is taken when it is not before this (2015-01-01) …
const PLAUSIBLE_FROM_MS: i64 = 16_436 * DAY_MS;
/// … and not further in the future of the box than this.
const PLAUSIBLE_AHEAD_MS: i64 = DAY_MS;

/// Turns journal records into readings. Nothing is ever dropped: what cannot be understood is kept
/// as text.
#[derive(Debug)]
pub struct Decoder<'t> {
    topics: &'t Topics,
    rows: Rows,
    /// Place in `heard` of each topic.
    voices: FxHashMap<Box<str>, usize>,
    heard: Vec<Topic>,
    /// Series that this payload has used, because (edge, seq, metric) must be unique.
    used: Vec<SeriesId>,
    /// Payloads kept as text although they look like JSON: too deep, too many values, not valid.
    odd_payloads: u64,
}

/// What is known of a topic after its first record.
#[derive(Debug, Default)]
struct Topic {
    voice: Voice,
    scalar: SeriesId,
    /// Series by flattened JSON key.
    keys: FxHashMap<Box<str>, SeriesId>,
}

/// What is common to all readings of one record.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    ts: i64,
    received: i64,
    seq: tarn_common::ids::Seq,
    quality: Quality,
}

impl<'t> Decoder<'t> {
    /// A decoder with nothing in it.
    #[must_use]
    pub fn new(topics: &'t Topics) -> Self {
        let rows = Rows::default();
        Decoder {
            topics,
            rows,
            voices: FxHashMap::default(),
            heard: Vec::new(),
            used: Vec::new(),
            odd_payloads: 0,
        }
    }

    /// Take a record in; only publishes give readings.
    pub fn record(&mut self, record: &Record<'_>) {
        if record.kind != Kind::Publish {
            return;
        }
        let received = record.received_ms;
        let stamp = Stamp {
            ts: received,
            received,
            seq: record.seq,
            quality: Quality::Good,
        };
        let place = match self.voices.get(record.topic) {
            Some(place) => *place,
            None => self.meet(record.topic),
        };
        let mut topic = std::mem::take(&mut self.heard[place]);
        self.payload(&mut topic, record.payload, stamp);
        self.heard[place] = topic;
    }

    /// The readings so far, and how many payloads were odd.
    #[must_use]
    pub fn finish(self) -> (Rows, u64) {
        (self.rows, self.odd_payloads)
    }

    fn meet(&mut self, name: &str) -> usize {
        let voice = self.topics.voice(name);
        let scalar = self
            .rows
            .series(voice.scalar_device(), voice.scalar_metric());
        self.heard.push(Topic {
            voice,
            scalar,
            keys: FxHashMap::default(),
        });
        self.voices.insert(name.into(), self.heard.len() - 1);
        self.heard.len() - 1
    }

    fn payload(&mut self, topic: &mut Topic, payload: &[u8], stamp: Stamp) {
        let Ok(text) = std::str::from_utf8(payload) else {
            let text = BASE64.encode(payload);
            self.push(
                topic.scalar,
                Scalar::text(&text),
                Stamp {
                    quality: Quality::Binary,
                    ..stamp
                },
            );
            return;
        };
        let text = text.trim();
        if text.starts_with(['{', '[']) {
            let start = self.rows.len();
            if json::flatten(self, topic, text, stamp) {
                return;
            }
            self.odd_payloads += 1;
            self.rows.truncate(start);
        }
        self.push(topic.scalar, scalar(text), stamp);
    }

    fn push(&mut self, series: SeriesId, scalar: Scalar<'_>, stamp: Stamp) {
        let unit = scalar.unit.map(|unit| self.rows.unit(unit));
        let Stamp {
            ts,
            received,
            seq,
            quality,
        } = stamp;
        let Scalar { value, text, .. } = scalar;
        self.rows.push(Row {
            series,
            ts,
            value,
            text,
            unit,
            received,
            seq,
            quality,
        });
    }
}

/// The time to stamp readings with when their device says `ts`, and the flag that goes with it.
fn device_time(ts: i64, received: i64) -> (i64, Quality) {
    if ts < PLAUSIBLE_FROM_MS || ts > received.saturating_add(PLAUSIBLE_AHEAD_MS) {
        (received, Quality::ClockMended)
    } else if received - ts > LATE_AFTER_MS {
        (ts, Quality::Late)
    } else {
        (ts, Quality::Good)
    }
}
