use std::sync::Arc;

use tarn_common::reading::Quality;
use tarn_devices::{
    About, Layout,
    binding::Binding,
    convention::{ConventionKind, backlog, sparkplug},
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    reading::Taken,
    unit,
};

use super::{Decoder, Stamp, Topic, scalar::Scalar, state, time};
use crate::journal::frame::Record;

/// Metric of whether a device is there.
pub(super) const AVAILABILITY: &str = "availability";

impl Decoder<'_> {
    /// A message that announces devices: what it says of them, or the whole text where it cannot be
    /// understood.
    pub(super) fn lesson(
        &mut self,
        topic: &Topic,
        kind: ConventionKind,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        if !self.tell(kind, record, stamp) && !record.payload.is_empty() {
            self.raw(topic, record, stamp);
        }
    }

    /// Readings of what a message announces of devices: names, rooms, models, versions. So who reads the lake
    /// alone knows them, too. False where the message cannot be understood.
    pub(super) fn tell(&mut self, kind: ConventionKind, record: &Record<'_>, stamp: Stamp) -> bool {
        let message = Message {
            topic: record.topic,
            payload: record.payload,
        };
        let Ok(announcements) = kind.convention().learn(&message) else {
            return false;
        };
        for announcement in &announcements {
            let owner = |identifier: &Identifier| self.context.schema.owner(identifier).cloned();
            let Some(device) = announcement.identifiers.iter().find_map(owner) else {
                continue;
            };
            let About {
                name,
                room,
                vendor,
                model,
                firmware,
                hardware,
                ..
            } = &announcement.about;
            for (metric, text) in [
                ("device.name", name),
                ("device.room", room),
                ("device.vendor", vendor),
                ("device.model", model),
                ("device.firmware", firmware),
                ("device.hardware", hardware),
            ] {
                let Some(text) = text else { continue };
                if self.told.insert((device.clone(), metric, text.clone())) {
                    let series = self.decoded.rows.series(&device, metric);
                    self.decoded.push(series, None, Scalar::text(text), stamp);
                }
            }
        }
        true
    }

    /// A message that says only whether devices are there.
    pub(super) fn availability(
        &mut self,
        topic: &Topic,
        binding: &Binding,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let text = String::from_utf8_lossy(record.payload);
        let text = text.trim();
        let mut told: Vec<&Arc<str>> = Vec::new();
        for rule in &binding.availability {
            // A topic of many is no reading of one that has a topic of its own as well.
            let is_its = rule.is_sole || rule.device == binding.device;
            if !is_its || told.contains(&&rule.device) {
                continue;
            }
            told.push(&rule.device);
            let scalar = match rule.read(text) {
                Some(true) => Scalar::switch(true, "online"),
                Some(false) => Scalar::switch(false, "offline"),
                None => Scalar::text(text),
            };
            let series = self.decoded.rows.series(&rule.device, AVAILABILITY);
            self.decoded.push(series, None, scalar, stamp);
        }
        if told.is_empty() {
            self.push_raw(topic.plain, Scalar::text(text), stamp);
        }
    }

    pub(super) fn sparkplug(
        &mut self,
        topic: &mut Topic,
        binding: &Arc<Binding>,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let Layout::Sparkplug { aliases, types } = &binding.layout else {
            return;
        };
        match sparkplug::read_typed(record.payload, aliases, types) {
            Ok(taken) => {
                self.moments.clear();
                for reading in &taken {
                    self.taken(topic, binding, reading, record, stamp);
                }
            }
            Err(fault) => {
                self.decoded.odd_payloads += 1;
                self.fault(binding.device.clone(), record, fault);
                self.binary(topic, record.payload, stamp);
            }
        }
    }

    fn taken(
        &mut self,
        topic: &mut Topic,
        binding: &Arc<Binding>,
        reading: &Taken<'_>,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let slot = match topic.keys.get(&*reading.metric) {
            Some(slot) => *slot,
            None => {
                let slot = self.key_slot(binding, &reading.metric);
                topic.keys.insert((*reading.metric).into(), slot);
                slot
            }
        };
        let mut stamp = stamp;
        if let Some(ts) = reading.ts {
            let (ts, quality) = time::device_time(ts, stamp.received);
            stamp.ts = ts;
            stamp.quality = if reading.historical {
                Quality::Historical
            } else {
                quality
            };
            if !reading.historical {
                let skew = reading.ts.unwrap_or(ts).saturating_sub(stamp.received);
                self.decoded
                    .skews
                    .sample(binding.device.clone(), skew, record.seq.0);
            }
        }
        let scalar = Scalar {
            value: reading.value,
            text: reading.text.as_deref(),
            unit: reading.unit.as_deref(),
        };
        let series = self.slots[slot.0 as usize].series;
        if self.moments.insert((series, stamp.ts)) {
            self.push_slot(slot, scalar, stamp);
        } else {
            self.again(&binding.device, &reading.metric, scalar, stamp);
        }
    }

    /// One more reading of a metric at a time that the payload has told already: under a name of its own.
    fn again(&mut self, device: &str, metric: &str, scalar: Scalar<'_>, stamp: Stamp) {
        for repeat in 2.. {
            let series = self
                .decoded
                .rows
                .series(device, &format!("{metric}#{repeat}"));
            if self.moments.insert((series, stamp.ts)) {
                self.decoded.push(series, None, scalar, stamp);
                return;
            }
        }
    }

    /// Readings of the past: each (device, metric, ts) once, whatever its age and however often it is sent.
    pub(super) fn backlog(
        &mut self,
        topic: &Topic,
        device: &Arc<str>,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let taken = match backlog::read(record.payload) {
            Ok(taken) => taken,
            Err(fault) => {
                self.decoded.odd_payloads += 1;
                self.fault(device.clone(), record, fault);
                self.raw(topic, record, stamp);
                return;
            }
        };
        self.moments.clear();
        // What came before a merge is stored under the id that the device had then.
        let former: Vec<&Arc<str>> = self.context.schema.former_ids(device).collect();
        for reading in &taken {
            let Some(ts) = reading
                .ts
                .filter(|ts| *ts <= stamp.received.saturating_add(time::PLAUSIBLE_AHEAD_MS))
            else {
                let detail = "a reading of the past lies in the future; it has the time at which the box got it";
                self.fault(device.clone(), record, Fault::new(FaultKind::Clock, detail));
                let stamp = Stamp {
                    quality: Quality::ClockMended,
                    ..stamp
                };
                self.past(device, reading, stamp);
                continue;
            };
            let (metric, seq) = (&reading.metric, record.seq.0);
            let state = &mut self.decoded.state;
            let is_former =
                |id: &&Arc<str>| state.is_stored(state::series_key(id, metric), ts, seq);
            if former.iter().any(is_former) {
                continue;
            }
            let key = state::series_key(device, metric);
            if state.is_new(key, ts, seq) {
                self.past(
                    device,
                    reading,
                    Stamp {
                        ts,
                        quality: Quality::Historical,
                        ..stamp
                    },
                );
            }
        }
    }

    fn past(&mut self, device: &str, reading: &Taken<'_>, stamp: Stamp) {
        let rows = &mut self.decoded.rows;
        let series = rows.series(device, &reading.metric);
        let unit = reading
            .unit
            .as_deref()
            .map(|raw| unit::normalise(raw).unwrap_or(raw));
        let unit = unit.map(|unit| rows.unit(unit));
        let scalar = Scalar {
            value: reading.value,
            text: reading.text.as_deref(),
            unit: None,
        };
        if self.moments.insert((series, stamp.ts)) {
            self.decoded.push(series, unit, scalar, stamp);
        } else {
            self.again(device, &reading.metric, scalar, stamp);
        }
    }
}
