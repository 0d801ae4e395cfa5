use std::{collections::BTreeMap, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use tarn_common::{ids::Seq, query::devices::DeviceSummary};
use tarn_openapi::automation::{AlarmRecord, Started};
use tarn_rules::{engine::Engine, input::Reading, state::State};

use super::settings::Settings;
use crate::kept_file::KeptFile;

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

/// The file that has how far the rules are.
#[derive(Debug)]
pub(super) struct StateFile(KeptFile);

impl StateFile {
    /// The file, and what it has.
    pub(super) fn open(path: PathBuf) -> io::Result<(StateFile, Option<Kept>)> {
        let file = KeptFile::new(path, "how far the rules are");
        let kept = file.read()?;
        Ok((StateFile(file), kept))
    }

    /// Keep how far the engine is: it was told the records up to this one.
    pub(super) async fn keep(
        &self,
        engine: &Engine,
        settings: &Settings,
        upto: Seq,
        asked_upto: Seq,
    ) {
        let latest = engine
            .world()
            .latest()
            .map(|(device, metric, series)| Latest {
                device: device.to_owned(),
                metric: metric.to_owned(),
                ts_ms: series.ts_ms.unwrap_or_default(),
                value: series.value,
                text: series.text.as_deref().map(str::to_owned),
            });
        let mut state = engine.snapshot();
        state.upto = state.upto.max(Some(upto.0));
        let kept = Kept {
            state,
            latest: latest.collect(),
            alarms: settings.alarms.clone(),
            starts: settings.starts.clone(),
            asked_upto: asked_upto.0,
        };
        self.0.put(&kept).await;
    }
}
