//! A JSON payload flattened into readings as it is parsed, without a tree in between.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use tarn_devices::{Layout, TimeKey, binding::Binding};

use super::{
    Decoder, METRIC_BYTES_MAX, NAMES_BYTES_MAX, READINGS_PER_PAYLOAD_MAX, Stamp, Topic,
    scalar::{Scalar, scalar},
    slot::SlotId,
    time,
};

/// Keys at the top of an object that may hold the device's own time.
const TIME_KEYS: [&str; 3] = ["ts", "timestamp", "time"];

/// Flatten a JSON object or array into readings. False when it is not valid JSON, is nested deeper
/// than the parser goes (128), gives more readings than [`READINGS_PER_PAYLOAD_MAX`], or has too long names; rows
/// pushed before that was found are the caller's to drop. The device's own time, if it is told, is in the state.
pub(super) fn flatten(
    decoder: &mut Decoder<'_>,
    topic: &mut Topic,
    binding: Option<&Arc<Binding>>,
    text: &str,
    stamp: Stamp,
) -> bool {
    let start = decoder.decoded.rows.len();
    decoder.decoded.state.device_ts = None;
    let mut read = |root: &str| {
        let mut walk = Walk {
            decoder: &mut *decoder,
            topic: &mut *topic,
            binding,
            root_bytes: root.len(),
            root: if root.is_empty() {
                None
            } else {
                Some(root.to_owned())
            },
            stamp,
            path: String::new(),
            start,
        };
        let mut json = serde_json::Deserializer::from_str(text);
        Node(&mut walk)
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .is_ok()
    };
    let root = match binding.map(|binding| &binding.layout) {
        Some(Layout::Flat { root, .. }) => root.as_str(),
        _ => "",
    };
    let is_valid = read(root);
    // A message without what is usually in it is kept as it is.
    if is_valid && !root.is_empty() && decoder.decoded.rows.len() == start {
        decoder.push_raw(topic.plain, Scalar::text(text), stamp);
    }
    is_valid
}

struct Walk<'a, 'c> {
    decoder: &'a mut Decoder<'c>,
    topic: &'a mut Topic,
    binding: Option<&'a Arc<Binding>>,
    /// Only what stands under this key is taken.
    root: Option<String>,
    root_bytes: usize,
    stamp: Stamp,
    path: String,
    start: usize,
}

impl Walk<'_, '_> {
    fn push<E: serde::de::Error>(&mut self, scalar: Scalar<'_>) -> Result<(), E> {
        if self.decoder.decoded.rows.len() - self.start >= READINGS_PER_PAYLOAD_MAX {
            return Err(E::custom("too many values"));
        }
        let Some(key_at) = self.key_at() else {
            return Ok(());
        };
        if self.is_time(key_at, &scalar) {
            return Ok(());
        }
        let first = self.slot(key_at)?;
        let mut slot = first;
        let mut series = self.decoder.slots[slot.0 as usize].series;
        // Keys that flatten to the same name ("a.b" and "a": {"b"}) are told apart by a number.
        let len = self.path.len();
        while self.decoder.used.contains(series) {
            let repeat = self.decoder.used.repeats.entry(first).or_insert(1);
            *repeat += 1;
            self.path.truncate(len);
            self.path.push_str(&format!("#{repeat}"));
            slot = self.slot(key_at)?;
            series = self.decoder.slots[slot.0 as usize].series;
        }
        self.path.truncate(len);
        self.decoder.used.insert(series);
        self.decoder.push_slot(slot, scalar, self.stamp);
        Ok(())
    }

    /// Where the key begins within the path; none outside of the root.
    fn key_at(&self) -> Option<usize> {
        let Some(root) = &self.root else {
            return Some(0);
        };
        let below = self.path.strip_prefix(root.as_str())?;
        below.starts_with('.').then_some(self.root_bytes + 1)
    }

    /// Take the device's own time. True where its key is no reading.
    fn is_time(&mut self, key_at: usize, scalar: &Scalar<'_>) -> bool {
        let key = &self.path[key_at..];
        let time = self.binding.and_then(|binding| match &binding.layout {
            Layout::Flat { time, .. } => Some(time),
            _ => None,
        });
        let state = &mut self.decoder.decoded.state;
        match time.unwrap_or(&TimeKey::Usual) {
            TimeKey::Usual => {
                if TIME_KEYS.contains(&key)
                    && let Some(ts) = time::usual(scalar)
                {
                    state.device_ts = Some(ts);
                }
                false
            }
            TimeKey::Unix(name) if name == key => {
                state.device_ts = time::usual(scalar);
                state.device_ts.is_some()
            }
            TimeKey::Local(name) if name == key => {
                state.device_ts = time::local(scalar, &self.decoder.context.zone);
                state.device_ts.is_some()
            }
            TimeKey::Unix(_) | TimeKey::Local(_) => false,
        }
    }

    fn slot<E: serde::de::Error>(&mut self, key_at: usize) -> Result<SlotId, E> {
        let key = &self.path[key_at..];
        if let Some(slot) = self.topic.keys.get(key) {
            return Ok(*slot);
        }
        if key.len() > METRIC_BYTES_MAX {
            return Err(E::custom("too long a name"));
        }
        self.decoder.names_bytes += key.len();
        if self.decoder.names_bytes > NAMES_BYTES_MAX {
            return Err(E::custom("too many names"));
        }
        let slot = match self.binding {
            None => {
                let metric = self.topic.voice.object_metric(key);
                let device = self.topic.voice.object_device();
                self.decoder.slot(device, &metric)
            }
            Some(binding) => self.decoder.key_slot(binding, key),
        };
        self.topic.keys.insert(key.into(), slot);
        Ok(slot)
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

struct Node<'w, 'a, 'c>(&'w mut Walk<'a, 'c>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
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
