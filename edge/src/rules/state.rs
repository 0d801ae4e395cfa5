use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarn_common::query::devices::DeviceSummary;
use tarn_openapi::automation::{AlarmRecord, Started};
use tarn_rules::{engine::Engine, firing::Firing, input::Reading, state::State};

/// What is kept of the rules over a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) state: State,
    /// What each series said last, up to where the state is.
    pub(super) latest: Vec<Latest>,
    /// Alarms as they were told.
    #[serde(default)]
    pub(super) alarms: BTreeMap<String, AlarmRecord>,
    /// When scenes were wanted that were carried out.
    #[serde(default)]
    pub(super) starts: BTreeMap<String, Started>,
    /// What clients asked by MQTT is answered up to this record.
    #[serde(default)]
    pub(super) asked_upto: u64,
    /// What fired and was not carried out to its end.
    #[serde(default)]
    pub(super) underway: Vec<Firing>,
}

/// What a series said last.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Latest {
    device: String,
    metric: String,
    ts_ms: i64,
    value: Option<f64>,
    text: Option<String>,
}

impl Latest {
    /// As a reading that is only to be known.
    pub(super) fn as_reading(&self) -> Reading<'_> {
        Reading {
            seq: 0,
            ts_ms: self.ts_ms,
            device: &self.device,
            metric: &self.metric,
            value: self.value,
            text: self.text.as_deref(),
            replayed: true,
        }
    }
}

/// What the lake has as the latest of each series.
pub(super) fn latest_of(devices: &[DeviceSummary]) -> impl Iterator<Item = Latest> {
    devices.iter().flat_map(|device| {
        device.metrics.iter().map(|(metric, series)| Latest {
            device: device.device.to_string(),
            metric: metric.to_string(),
            ts_ms: series.last_ts,
            value: series.value,
            text: series.text.as_deref().map(str::to_owned),
        })
    })
}

/// What each series said last, as the engine knows it.
pub(super) fn latest_in(engine: &Engine) -> Vec<Latest> {
    let latest = engine.world().latest();
    let told = latest.map(|(device, metric, series)| Latest {
        device: device.to_owned(),
        metric: metric.to_owned(),
        ts_ms: series.ts_ms.unwrap_or_default(),
        value: series.value,
        text: series.text.as_deref().map(str::to_owned),
    });
    told.collect()
}
