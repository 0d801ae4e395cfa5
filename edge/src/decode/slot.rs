use std::sync::Arc;

use tarn_common::rows::{SeriesId, UnitId};
use tarn_devices::{
    Layout,
    binding::{Binding, Meaning},
    point::{StateClass, Words},
};

use super::{
    Decoder, Stamp,
    scalar::Scalar,
    special::AVAILABILITY,
    state,
    topic::{VALUE, Voice},
};

/// Ends the name of the metric that puts a counter together over its resets.
pub(super) const CUMULATIVE: &str = ".cumulative";

/// Ends the name of a key whose own name a template has.
const RAW: &str = ".raw";

/// Place of a slot within its decoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct SlotId(pub(super) u32);

/// What one value of a topic becomes.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) device: Arc<str>,
    pub(super) series: SeriesId,
    /// Unit that the value has, whatever the payload says.
    unit: Option<UnitId>,
    /// What a number is multiplied by; none leaves it exactly as it is.
    scale: Option<f64>,
    words: Option<Words>,
    counter: Option<Total>,
}

/// A counter and the series of its sum over resets.
#[derive(Debug, Clone, Copy)]
struct Total {
    key: u64,
    series: SeriesId,
}

impl Decoder<'_> {
    fn add_slot(&mut self, slot: Slot) -> SlotId {
        self.slots.push(slot);
        SlotId((self.slots.len() - 1) as u32)
    }

    /// The slot of a value that nothing is known of.
    pub(super) fn slot(&mut self, device: &str, metric: &str) -> SlotId {
        let series = self.decoded.rows.series(device, metric);
        self.add_slot(Slot {
            device: device.into(),
            series,
            ..Slot::default()
        })
    }

    /// The slot of a value that a point describes.
    pub(super) fn slot_of(&mut self, meaning: &Meaning) -> SlotId {
        let rows = &mut self.decoded.rows;
        let counter = meaning.counter.then(|| Total {
            key: state::series_key(&meaning.device, &meaning.metric),
            series: rows.series(&meaning.device, &format!("{}{CUMULATIVE}", meaning.metric)),
        });
        let slot = Slot {
            device: meaning.device.clone(),
            series: rows.series(&meaning.device, &meaning.metric),
            unit: meaning.unit.as_ref().map(|unit| rows.unit(unit)),
            scale: Some(meaning.scale).filter(|&scale| scale != 1.0 && scale != 0.0),
            words: meaning.words.clone(),
            counter,
        };
        self.add_slot(slot)
    }

    /// The slot of a flattened key on a device's topic.
    pub(super) fn key_slot(&mut self, binding: &Binding, key: &str) -> SlotId {
        if let Some(meaning) = binding.keys.get(key) {
            return self.slot_of(meaning);
        }
        let mut metric = match &binding.layout {
            Layout::Flat { prefix, .. } => format!("{prefix}{key}"),
            _ => key.to_owned(),
        };
        let is_taken = |(_, meaning): &(_, Meaning)| {
            meaning.device == binding.device && *meaning.metric == *metric
        };
        // What a template makes of a payload has the better claim to the name.
        if binding.templates.iter().any(is_taken) {
            metric.push_str(RAW);
        }
        self.slot_by_convention(binding, &metric)
    }

    /// What a plain payload on a device's topic becomes.
    pub(super) fn plain_slot(&mut self, voice: &Voice, binding: &Binding) -> SlotId {
        if binding.only_availability {
            return self.slot(&binding.device, AVAILABILITY);
        }
        if let Some(meaning) = &binding.plain {
            return self.slot_of(meaning);
        }
        let metric = match &binding.layout {
            Layout::Flat { metric, .. } if metric != VALUE => metric,
            Layout::Raw { metric } => metric,
            _ => voice.scalar_metric(),
        };
        let metric = metric.to_owned();
        self.slot_by_convention(binding, &metric)
    }

    /// The slot of a metric that no point describes: as its convention says.
    pub(super) fn slot_by_convention(&mut self, binding: &Binding, metric: &str) -> SlotId {
        if let Some(meaning) = binding.metrics.get(metric) {
            return self.slot_of(meaning);
        }
        let Some(meaning) = binding.convention.convention().meaning(metric) else {
            return self.slot(&binding.device, metric);
        };
        self.slot_of(&Meaning {
            device: binding.device.clone(),
            metric: metric.into(),
            unit: meaning.unit.map(Into::into),
            scale: meaning.scale,
            words: meaning.words,
            counter: meaning.state_class == Some(StateClass::TotalIncreasing),
        })
    }

    /// Push a value as its slot says, and what a counter comes to.
    pub(super) fn push_slot(&mut self, slot: SlotId, scalar: Scalar<'_>, stamp: Stamp) {
        let slot = &self.slots[slot.0 as usize];
        let mut scalar = scalar;
        if let (Some(words), Some(text)) = (&slot.words, scalar.text)
            && let Some((value, text)) = words.find(text)
        {
            let own = Scalar {
                value,
                text: Some(text),
                unit: None,
            };
            self.decoded.push(slot.series, None, own, stamp);
            return;
        }
        if let (Some(value), Some(scale)) = (scalar.value, slot.scale) {
            scalar.value = Some(value * scale);
        }
        let unit = slot.unit.filter(|_| scalar.value.is_some());
        self.decoded.push(slot.series, unit, scalar, stamp);
        if let (Some(total), Some(value), None) = (slot.counter, scalar.value, scalar.text)
            && let Some(sum) = self.decoded.state.count(total.key, value)
        {
            self.decoded
                .push(total.series, unit, Scalar::number(sum), stamp);
        }
    }

    /// Push a value under a slot's name, and make nothing of it.
    pub(super) fn push_raw(&mut self, slot: SlotId, scalar: Scalar<'_>, stamp: Stamp) {
        let series = self.slots[slot.0 as usize].series;
        self.decoded.push(series, None, scalar, stamp);
    }
}
