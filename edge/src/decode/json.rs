//! A JSON payload flattened into readings as it is parsed, without a tree in between.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{
    Decoder, READINGS_PER_PAYLOAD_MAX, Stamp, Topic, device_time,
    scalar::{Scalar, scalar},
};

/// Keys at the top of an object that may hold the device's own time.
const TIME_KEYS: [&str; 3] = ["ts", "timestamp", "time"];

/// Flatten a JSON object or array into readings. False when it is not valid JSON, is nested deeper
/// than the parser goes (128), or gives more readings than [`READINGS_PER_PAYLOAD_MAX`]; rows
/// pushed before that was found are the caller's to drop.
pub(super) fn flatten(
    decoder: &mut Decoder<'_>,
    topic: &mut Topic,
    text: &str,
    stamp: Stamp,
) -> bool {
    decoder.used.clear();
    let start = decoder.rows.len();
    let mut walk = Walk {
        decoder,
        topic,
        stamp,
        path: String::new(),
        start,
        device_ts: None,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = Node(&mut walk)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    if parsed.is_err() {
        return false;
    }
    if let Some(device_ts) = walk.device_ts {
        let (ts, quality) = device_time(device_ts, stamp.received);
        decoder.rows.restamp(start, ts, quality);
    }
    true
}

struct Walk<'a, 'd, 't> {
    decoder: &'d mut Decoder<'t>,
    topic: &'a mut Topic,
    stamp: Stamp,
    path: String,
    start: usize,
    device_ts: Option<i64>,
}

impl Walk<'_, '_, '_> {
    fn push<E: serde::de::Error>(&mut self, scalar: Scalar<'_>) -> Result<(), E> {
        if self.decoder.rows.len() - self.start >= READINGS_PER_PAYLOAD_MAX {
            return Err(E::custom("too many values"));
        }
        if TIME_KEYS.contains(&self.path.as_str())
            && let Some(ts) = time_of(scalar)
        {
            self.device_ts = Some(ts);
        }
        let mut series = self.series();
        // Keys that flatten to the same name ("a.b" and "a": {"b"}) are told apart by a number.
        let len = self.path.len();
        for repeat in 2.. {
            if !self.decoder.used.contains(&series) {
                break;
            }
            self.path.truncate(len);
            self.path.push_str(&format!("#{repeat}"));
            series = self.series();
        }
        self.path.truncate(len);
        self.decoder.used.push(series);
        self.decoder.push(series, scalar, self.stamp);
        Ok(())
    }

    fn series(&mut self) -> tarn_common::rows::SeriesId {
        if let Some(series) = self.topic.keys.get(self.path.as_str()) {
            return *series;
        }
        let metric = self.topic.voice.object_metric(&self.path);
        let series = self
            .decoder
            .rows
            .series(self.topic.voice.object_device(), &metric);
        self.topic.keys.insert(self.path.as_str().into(), series);
        series
    }

    fn enter(&mut self, key: &str) -> usize {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        len
    }
}

/// The device's own time in milliseconds: Unix seconds or milliseconds, or RFC 3339.
fn time_of(scalar: Scalar<'_>) -> Option<i64> {
    // Seconds until the year 5138; beyond that the number must be milliseconds.
    const SECONDS_MAX: f64 = 1e11;
    match (scalar.value, scalar.text) {
        (Some(number), None) if number.abs() < SECONDS_MAX => {
            Some((number * 1000.0).round() as i64)
        }
        (Some(number), None) => Some(number as i64),
        (_, Some(text)) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|ts| ts.as_millisecond()),
        (None, None) => None,
    }
}

struct Node<'w, 'a, 'd, 't>(&'w mut Walk<'a, 'd, 't>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<(), E> {
        self.0
            .push(Scalar::switch(on, if on { "true" } else { "false" }))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.0.push(Scalar::number(number as f64))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.0.push(Scalar::number(number as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.0.push(Scalar::number(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.push(scalar(text))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.push(Scalar::text("null"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walk = self.0;
        let mut empty = true;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            empty = false;
            let len = walk.enter(&key.0);
            map.next_value_seed(Node(walk))?;
            walk.path.truncate(len);
        }
        if empty {
            walk.push(Scalar::text("{}"))
        } else {
            Ok(())
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let walk = self.0;
        for index in 0.. {
            let len = walk.enter(&index.to_string());
            let more = seq.next_element_seed(Node(walk))?.is_some();
            walk.path.truncate(len);
            if !more {
                return if index == 0 {
                    walk.push(Scalar::text("[]"))
                } else {
                    Ok(())
                };
            }
        }
        Err(A::Error::custom("array without end"))
    }
}

/// An object key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
