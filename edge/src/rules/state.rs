use std::{collections::BTreeMap, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use tarn_common::{
    durable::{self, RealDisk},
    ids::Seq,
    query::devices::DeviceSummary,
};
use tarn_openapi::automation::{AlarmRecord, Started};
use tarn_rules::{engine::Engine, input::Reading, state::State};

use super::settings::Settings;

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

/// The file that has how far the rules are: put whole, so that after a crash it is the one before or the one after.
#[derive(Debug)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    /// The file, and what it has. One that cannot be understood is told, and the rules begin anew.
    pub(super) fn open(path: PathBuf) -> io::Result<(StateFile, Option<Kept>)> {
        let kept = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(kept) => Some(kept),
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "how far the rules are cannot be read; they begin anew");
                    None
                }
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok((StateFile(path), kept))
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
        let (path, bytes) = (
            self.0.clone(),
            serde_json::to_vec(&kept).unwrap_or_default(),
        );
        let put = tokio::task::spawn_blocking(move || durable::put(&RealDisk, &path, &bytes));
        let done = put.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        if let Err(error) = done {
            tracing::warn!(%error, "how far the rules are is not kept; after a restart they go on from before");
        }
    }
}
