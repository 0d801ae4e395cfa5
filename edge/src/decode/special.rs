use std::sync::Arc;

use tarn_common::reading::Quality;
use tarn_devices::{
    About,
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
            match std::str::from_utf8(record.payload) {
                Ok(text) => self.push_raw(topic.plain, Scalar::text(text), stamp),
                Err(_) => self.binary(topic, record.payload, stamp),
            }
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

    /// A message that says only whether a device is there.
    pub(super) fn availability(
        &mut self,
        topic: &Topic,
        binding: &Binding,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let text = String::from_utf8_lossy(record.payload);
        let text = text.trim();
        let online = binding.availability.iter().find_map(|rule| rule.read(text));
        let scalar = match online {
            Some(true) => Scalar::switch(true, "online"),
            Some(false) => Scalar::switch(false, "offline"),
            None => Scalar::text(text),
        };
        self.push_raw(topic.plain, scalar, stamp);
    }

    pub(super) fn sparkplug(
        &mut self,
        topic: &mut Topic,
        binding: &Arc<Binding>,
        (aliases, types): (&[(u64, String)], &[(String, u32)]),
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        match sparkplug::read_typed(record.payload, aliases, types) {
            Ok(taken) => {
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
        self.push_slot(slot, scalar, stamp);
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
                match std::str::from_utf8(record.payload) {
                    Ok(text) => self.push_raw(topic.plain, Scalar::text(text), stamp),
                    Err(_) => self.binary(topic, record.payload, stamp),
                }
                return;
            }
        };
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
            let key = state::series_key(device, &reading.metric);
            if self.decoded.state.is_new(key, ts, record.seq.0) {
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
        self.decoded.push(series, unit, scalar, stamp);
    }
}
