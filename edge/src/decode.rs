mod json;
/// A payload, or a JSON string, that is one value: number, number with unit, switch word, text.
pub mod scalar;
/// What one value becomes: which series, which unit, which counter.
mod slot;
/// Payloads with a layout of their own.
mod special;
/// What decoding remembers from one segment to the next.
pub mod state;
/// Devices' clocks, and the box's own before it was set.
pub mod time;
/// Topic → (device, metric), by default or by patterns.
pub mod topic;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::tz::TimeZone;
use rustc_hash::{FxHashMap, FxHashSet};
use tarn_common::{
    event::{AuditEntry, Event, LoggedEvent},
    ids::EdgeId,
    reading::Quality,
    rows::{Row, Rows, SeriesId, UnitId},
};
use tarn_devices::{
    Layout,
    binding::{Binding, Schema},
    convention::{ConventionKind, backlog},
    fault::{Fault, FaultKind},
    template,
};
use tarn_link::topic::is_between_boxes;

use self::{
    scalar::{Scalar, scalar},
    slot::{Slot, SlotId},
    state::State,
    time::{ClockStep, Skews},
    topic::{Topics, Voice},
};
use crate::journal::frame::{Kind, Record};

/// Readings that one payload may give; one that would give more is kept whole, as text.
pub const READINGS_PER_PAYLOAD_MAX: usize = 4096;

/// Bytes of the name that a value's keys make; a payload with longer ones is kept whole, as text.
pub const METRIC_BYTES_MAX: usize = 1024;

/// Bytes of all names that the keys of one decoder's payloads make. A few bytes of nested JSON give many long names,
/// so what a payload takes of memory would not be bounded by its own length.
const NAMES_BYTES_MAX: usize = 64 << 20;

/// Faults that one decoder tells at most; the rest is not told.
const FAULTS_MAX: usize = 1_000;

/// What decoding goes by.
#[derive(Debug, Clone)]
pub struct Context {
    /// How topics are read that no device announced.
    pub topics: Topics,
    /// How the topics of devices are read.
    pub schema: Arc<Schema>,
    /// When the box's clock was set.
    pub steps: Arc<Vec<ClockStep>>,
    /// The home's time zone, for devices that tell local time.
    pub zone: TimeZone,
}

impl Default for Context {
    fn default() -> Self {
        Context {
            topics: Topics::default(),
            schema: Arc::default(),
            steps: Arc::default(),
            zone: TimeZone::UTC,
        }
    }
}

/// A fault that was found in a reading.
#[derive(Debug, Clone)]
pub struct DecodeFault {
    /// Device that said it.
    pub device: Arc<str>,
    /// Topic that it came on.
    pub topic: Box<str>,
    /// What is wrong.
    pub fault: Fault,
    /// Its record.
    pub seq: u64,
    /// When the box got it.
    pub received_ms: i64,
}

/// All that decoding gave.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The readings.
    pub rows: Rows,
    /// What the next records go on from.
    pub state: State,
    /// Payloads kept as text although they look like something else.
    pub odd_payloads: u64,
    /// What was wrong with what devices said.
    pub faults: Vec<DecodeFault>,
    /// How far the clocks of devices are from the box's.
    pub skews: Skews,
    /// Who asked for changes of the box, by record. The writer of the events is not known here.
    pub events: Vec<Event>,
}

/// Turns journal records into readings. Nothing is ever dropped: what cannot be understood is kept
/// as text.
#[derive(Debug)]
pub struct Decoder<'c> {
    context: &'c Context,
    decoded: Decoded,
    /// Place in `heard` of each topic.
    voices: FxHashMap<Box<str>, usize>,
    heard: Vec<Topic>,
    /// What values become, numbered.
    slots: Vec<Slot>,
    /// Series that this payload has used, because a payload says each metric once.
    used: Used,
    /// The same where a payload tells of several moments.
    moments: FxHashSet<(SeriesId, i64)>,
    /// Bytes of the names that keys of payloads were given.
    names_bytes: usize,
    /// What was told of devices already: the same announcement comes with every restart.
    told: FxHashSet<(Arc<str>, &'static str, String)>,
}

/// What is known of a topic after its first record.
#[derive(Debug, Default)]
struct Topic {
    voice: Voice,
    plain: SlotId,
    /// What flattened JSON keys become.
    keys: FxHashMap<Box<str>, SlotId>,
    /// What templates make of a payload, in their binding's order.
    templates: Vec<SlotId>,
    /// Its messages announce devices.
    teaches: bool,
    speech: Speech,
}

/// Series that a payload has used.
#[derive(Debug, Default)]
struct Used {
    /// Which payload this is.
    payload: u32,
    /// The last payload that used a series, by the series' number.
    last: Vec<u32>,
    /// How many values of a slot's key this payload had, where it had several.
    repeats: FxHashMap<SlotId, u32>,
}

impl Used {
    /// Begins a payload, which has used nothing.
    fn clear(&mut self) {
        self.payload += 1;
        if !self.repeats.is_empty() {
            self.repeats.clear();
        }
    }

    fn contains(&self, series: SeriesId) -> bool {
        self.last.get(series.index()) == Some(&self.payload)
    }

    fn insert(&mut self, series: SeriesId) {
        let place = series.index();
        if place >= self.last.len() {
            self.last.resize(place + 1, 0);
        }
        self.last[place] = self.payload;
    }
}

/// Who speaks on a topic.
#[derive(Debug, Default)]
enum Speech {
    /// Nobody that announced himself.
    #[default]
    Plain,
    /// A device, and perhaps others.
    Device(Arc<Binding>),
    /// Whoever announces devices in this way.
    Teacher(ConventionKind),
    /// A device that tells of the past, under its plain slot's device.
    Backlog(Arc<str>),
    /// Boxes of the home among themselves, which is nobody's reading.
    Boxes,
}

/// What is common to all readings of one record.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    ts: i64,
    received: i64,
    seq: tarn_common::ids::Seq,
    quality: Quality,
}

/// The event that the box itself has noted in a record.
fn noted(record: &Record<'_>, at_ms: i64) -> Option<Event> {
    let text = std::str::from_utf8(record.payload).ok()?;
    match record.kind {
        Kind::Audit => {
            let entry = AuditEntry::from_json(text, at_ms)?;
            Some(entry.to_event(EdgeId(0), record.seq))
        }
        Kind::Event => {
            let event = LoggedEvent::from_json(text, at_ms)?;
            Some(event.to_event(EdgeId(0), record.seq))
        }
        _ => None,
    }
}

impl<'c> Decoder<'c> {
    /// A decoder that goes on from `state`.
    #[must_use]
    pub fn new(context: &'c Context, state: State) -> Self {
        Decoder {
            context,
            decoded: Decoded {
                state,
                ..Decoded::default()
            },
            voices: FxHashMap::default(),
            heard: Vec::new(),
            slots: Vec::new(),
            used: Used::default(),
            moments: FxHashSet::default(),
            names_bytes: 0,
            told: FxHashSet::default(),
        }
    }

    /// Take a record in; only publishes give readings.
    pub fn record(&mut self, record: &Record<'_>) {
        if !record.kind.makes_rows() {
            return;
        }
        let (received, quality) =
            time::mended(&self.context.steps, record.seq.0, record.received_ms);
        if record.kind != Kind::Publish {
            self.decoded.events.extend(noted(record, received));
            return;
        }
        let stamp = Stamp {
            ts: received,
            received,
            seq: record.seq,
            quality,
        };
        let place = match self.voices.get(record.topic) {
            Some(place) => *place,
            None => self.meet(record.topic),
        };
        let mut topic = std::mem::take(&mut self.heard[place]);
        self.publish(&mut topic, record, stamp);
        self.heard[place] = topic;
    }

    /// What came of the records so far.
    #[must_use]
    pub fn finish(self) -> Decoded {
        self.decoded
    }

    fn meet(&mut self, name: &str) -> usize {
        let voice = self.context.topics.voice(name);
        let speech = self.speech(name);
        let plain = match &speech {
            Speech::Device(binding) => self.plain_slot(&voice, binding),
            Speech::Plain | Speech::Teacher(_) | Speech::Backlog(_) | Speech::Boxes => {
                self.slot(voice.scalar_device(), voice.scalar_metric())
            }
        };
        let templates = match &speech {
            Speech::Device(binding) => {
                let meanings = binding.templates.iter().map(|(_, meaning)| meaning);
                meanings.map(|meaning| self.slot_of(meaning)).collect()
            }
            Speech::Plain | Speech::Teacher(_) | Speech::Backlog(_) | Speech::Boxes => Vec::new(),
        };
        self.heard.push(Topic {
            voice,
            plain,
            keys: FxHashMap::default(),
            templates,
            teaches: ConventionKind::teacher(name).is_some(),
            speech,
        });
        self.voices.insert(name.into(), self.heard.len() - 1);
        self.heard.len() - 1
    }

    fn speech(&self, topic: &str) -> Speech {
        let schema = &self.context.schema;
        match schema.binding(topic) {
            Some(binding) => Speech::Device(binding.clone()),
            None => match topic
                .strip_prefix(backlog::PREFIX)
                .filter(|d| !d.is_empty())
            {
                Some(device) => Speech::Backlog(schema.current(device).into()),
                None if is_between_boxes(topic) => Speech::Boxes,
                None => ConventionKind::teacher(topic).map_or(Speech::Plain, Speech::Teacher),
            },
        }
    }

    fn publish(&mut self, topic: &mut Topic, record: &Record<'_>, stamp: Stamp) {
        let speech = std::mem::take(&mut topic.speech);
        match &speech {
            Speech::Plain => self.payload(topic, None, record, stamp),
            Speech::Device(binding) => self.of_device(topic, binding, record, stamp),
            Speech::Teacher(kind) => self.lesson(topic, *kind, record, stamp),
            Speech::Backlog(device) => self.backlog(topic, device, record, stamp),
            Speech::Boxes => {}
        }
        topic.speech = speech;
    }

    fn of_device(
        &mut self,
        topic: &mut Topic,
        binding: &Arc<Binding>,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        if binding.only_availability {
            self.availability(topic, binding, record, stamp);
            return;
        }
        match &binding.layout {
            Layout::Flat { .. } => self.payload(topic, Some(binding), record, stamp),
            Layout::Raw { .. } => self.raw(topic, record, stamp),
            Layout::Sparkplug { .. } => self.sparkplug(topic, binding, record, stamp),
            Layout::Lesson => self.lesson(topic, binding.convention, record, stamp),
        }
        if topic.teaches && !matches!(binding.layout, Layout::Lesson) {
            self.tell(binding.convention, record, stamp);
        }
    }

    fn payload(
        &mut self,
        topic: &mut Topic,
        binding: Option<&Arc<Binding>>,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let Ok(text) = std::str::from_utf8(record.payload) else {
            self.binary(topic, record.payload, stamp);
            return;
        };
        let text = text.trim();
        self.used.clear();
        let start = self.decoded.rows.len();
        let is_json = text.starts_with(['{', '[']);
        if is_json {
            if json::flatten(self, topic, binding, text, stamp) {
                if let Some(binding) = binding.filter(|b| !b.templates.is_empty()) {
                    self.templates(topic, binding, text, record, stamp);
                }
                self.timed(topic, binding, start, record, stamp);
                return;
            }
            self.odd(
                topic,
                record,
                "it looks like JSON and is not valid, nests too deep, or holds too many values or too long names",
            );
            self.decoded.rows.truncate(start);
            self.used.clear();
        }
        if let Some(binding) = binding {
            let templated = self.templates(topic, binding, text, record, stamp);
            if templated > 0 && binding.plain.is_none() {
                return;
            }
            if !is_json && binding.plain.is_none() && !binding.keys.is_empty() && !text.is_empty() {
                self.odd(topic, record, "its topic was announced to carry JSON");
            }
        }
        self.push_slot(topic.plain, scalar(text), stamp);
    }

    /// Readings of the templates on a topic; says how many there were.
    fn templates(
        &mut self,
        topic: &Topic,
        binding: &Arc<Binding>,
        text: &str,
        record: &Record<'_>,
        stamp: Stamp,
    ) -> usize {
        let mut given = 0;
        let payload = template::Payload::new(text);
        for ((template, meaning), &slot) in binding.templates.iter().zip(&topic.templates) {
            match template.value_of(&payload) {
                Ok(Some(value)) => {
                    self.used.insert(self.slots[slot.0 as usize].series);
                    self.push_slot(slot, scalar(&value), stamp);
                    given += 1;
                }
                Ok(None) => {}
                Err(fault) => {
                    let detail = format!("{}: {}", meaning.metric, fault.detail);
                    let fault = Fault::new(fault.kind, detail);
                    self.fault(meaning.device.clone(), record, fault);
                }
            }
        }
        given
    }

    /// A payload as it is, under its topic's name.
    fn raw(&mut self, topic: &Topic, record: &Record<'_>, stamp: Stamp) {
        match std::str::from_utf8(record.payload) {
            Ok(text) => self.push_raw(topic.plain, Scalar::text(text.trim()), stamp),
            Err(_) => self.binary(topic, record.payload, stamp),
        }
    }

    fn binary(&mut self, topic: &Topic, payload: &[u8], stamp: Stamp) {
        let text = BASE64.encode(payload);
        let quality = Quality::Binary;
        self.push_raw(topic.plain, Scalar::text(&text), Stamp { quality, ..stamp });
    }

    fn odd(&mut self, topic: &Topic, record: &Record<'_>, detail: &str) {
        self.decoded.odd_payloads += 1;
        let device = match &topic.speech {
            Speech::Device(binding) => binding.device.clone(),
            Speech::Plain | Speech::Teacher(_) | Speech::Backlog(_) | Speech::Boxes => {
                self.slots[topic.plain.0 as usize].device.clone()
            }
        };
        self.fault(device, record, Fault::new(FaultKind::Payload, detail));
    }

    fn fault(&mut self, device: Arc<str>, record: &Record<'_>, fault: Fault) {
        if self.decoded.faults.len() < FAULTS_MAX {
            self.decoded.faults.push(DecodeFault {
                device,
                topic: record.topic.into(),
                fault,
                seq: record.seq.0,
                received_ms: record.received_ms,
            });
        }
    }

    /// Stamp the readings of a payload with their device's own time, where it told one.
    fn timed(
        &mut self,
        topic: &Topic,
        binding: Option<&Arc<Binding>>,
        start: usize,
        record: &Record<'_>,
        stamp: Stamp,
    ) {
        let Some(device_ts) = self.decoded.state.device_ts.take() else {
            return;
        };
        let Stamp {
            received,
            quality: mended,
            ..
        } = stamp;
        let (ts, quality) = time::device_time(device_ts, received);
        let quality = if quality == Quality::Good {
            mended
        } else {
            quality
        };
        self.decoded.rows.restamp(start, ts, quality);
        let device =
            binding.map_or_else(|| topic.voice.object_device().into(), |b| b.device.clone());
        if quality == Quality::ClockMended && mended == Quality::Good {
            let detail = format!(
                "it says the time is {device_ts} ms after 1970, the box received it at {received}"
            );
            self.fault(device.clone(), record, Fault::new(FaultKind::Clock, detail));
        }
        let Decoded {
            rows, state, skews, ..
        } = &mut self.decoded;
        if quality != Quality::ClockMended {
            for (device, metric, ..) in rows.iter_from(start) {
                state.told(state::series_key(device, metric), ts);
            }
        }
        skews.sample(device, device_ts.saturating_sub(received), record.seq.0);
    }
}

impl Decoded {
    fn push(&mut self, series: SeriesId, unit: Option<UnitId>, scalar: Scalar<'_>, stamp: Stamp) {
        let unit = unit.or_else(|| scalar.unit.map(|unit| self.rows.unit(unit)));
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
