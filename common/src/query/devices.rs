use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};

pub use super::summary::{SUMMARY_SERIES_MAX, SeriesSummary};
use super::{
    engine::Engine,
    error::QueryError,
    lake::{Missing, View},
    scan::FILES_AT_ONCE,
    summary::{Merged, Summary},
};
use crate::{commit_log::Chunk, ids::HomeId};

/// A device, by what it has in the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSummary {
    /// Its id.
    pub device: Arc<str>,
    /// Earliest `ts`, milliseconds since 1970 UTC.
    pub first_ts: i64,
    /// Latest `ts`.
    pub last_ts: i64,
    /// Rows.
    pub rows: u64,
    /// What it measures, by name.
    pub metrics: BTreeMap<Arc<str>, SeriesSummary>,
}

/// The devices of a home.
#[derive(Debug, Clone, PartialEq)]
pub struct Devices {
    /// By id.
    pub devices: Vec<DeviceSummary>,
    /// Chunks that are not counted in.
    pub missing: Vec<Missing>,
}

impl DeviceSummary {
    /// Take in what the lake has of the same device under another id.
    pub fn merge(&mut self, other: &DeviceSummary) {
        self.first_ts = self.first_ts.min(other.first_ts);
        self.last_ts = self.last_ts.max(other.last_ts);
        self.rows += other.rows;
        for (metric, series) in &other.metrics {
            match self.metrics.get_mut(metric) {
                Some(known) => known.merge(series),
                None => {
                    self.metrics.insert(metric.clone(), series.clone());
                }
            }
        }
    }
}

impl Engine {
    /// The devices of a home. Each chunk is read once; later calls merge what is remembered.
    pub async fn devices(
        self: &Arc<Self>,
        home: &HomeId,
        time: Duration,
    ) -> Result<Devices, QueryError> {
        self.devices_of(self.view().await?, home, time).await
    }

    /// The same by what is in chunks alone.
    pub async fn devices_cut(
        self: &Arc<Self>,
        home: &HomeId,
        time: Duration,
    ) -> Result<Devices, QueryError> {
        let view = View {
            tail: Vec::new(),
            ..self.view().await?
        };
        self.devices_of(view, home, time).await
    }

    async fn devices_of(
        self: &Arc<Self>,
        view: View,
        home: &HomeId,
        time: Duration,
    ) -> Result<Devices, QueryError> {
        let (engine, home) = (self.clone(), home.clone());
        self.on_threads(time, async move {
            Ok(engine.collect_devices(&view, &home).await)
        })
        .await
    }

    async fn collect_devices(self: &Arc<Self>, view: &View, home: &HomeId) -> Devices {
        let known = self.merged.known(home).unwrap_or_default();
        let (merged, missing) = if known.is_of(&view.chunks) {
            (known, Vec::new())
        } else {
            self.merge_chunks(Merged::clone(&known), view, home).await
        };
        let mut all = merged.summary.clone();
        let mut names = HashSet::new();
        for tail in view.tail.iter().filter(|tail| tail.home == *home) {
            // The host's batches have the schema that its contract names, so every column is there.
            let _ = all.add(&tail.batch, &mut names);
        }
        Devices {
            devices: all.devices.into_iter().filter_map(device).collect(),
            missing,
        }
    }

    /// Take the chunks that are not in it yet into what is merged of a home, and remember that.
    async fn merge_chunks(
        self: &Arc<Self>,
        mut merged: Merged,
        view: &View,
        home: &HomeId,
    ) -> (Arc<Merged>, Vec<Missing>) {
        let live: Vec<Arc<Chunk>> = view
            .readings()
            .filter(|c| c.key.home == *home)
            .cloned()
            .collect();
        merged.forget_unless_live(&live);
        let news: Vec<_> = live.into_iter().filter(|c| !merged.has(c)).collect();
        let summaries = stream::iter(news).map(|chunk| {
            let engine = self.clone();
            async move {
                let summary = engine.summary(&chunk).await;
                (chunk, summary)
            }
        });
        let mut summaries = summaries.buffered(FILES_AT_ONCE);
        let mut missing = Vec::new();
        while let Some((chunk, summary)) = summaries.next().await {
            match summary {
                Ok(summary) => merged.add(&chunk, &summary),
                Err(chunk) => missing.push(chunk),
            }
        }
        if missing.is_empty() {
            merged.complete(&view.chunks);
        }
        let merged = Arc::new(merged);
        self.merged.keep(home.clone(), merged.clone());
        (merged, missing)
    }

    async fn summary(&self, chunk: &Chunk) -> Result<Arc<Summary>, Missing> {
        if let Some(known) = self.summaries.known(&chunk.key) {
            return Ok(known);
        }
        let file = self.lake.file(chunk).await?;
        let read = tokio::task::spawn_blocking(move || {
            // The file stays in place for as long as it is read.
            let summary = Summary::of_file(&file.path);
            drop(file);
            summary
        });
        let read = read.await.unwrap_or_else(|e| Err(e.to_string()));
        let summary = read.map_err(|reason| Missing::of(chunk, format!("unreadable: {reason}")))?;
        let summary = Arc::new(summary);
        self.summaries.add(chunk.key.clone(), summary.clone());
        Ok(summary)
    }
}

fn device(
    (device, metrics): (Arc<str>, BTreeMap<Arc<str>, SeriesSummary>),
) -> Option<DeviceSummary> {
    Some(DeviceSummary {
        device,
        first_ts: metrics.values().map(|m| m.first_ts).min()?,
        last_ts: metrics.values().map(|m| m.last_ts).max()?,
        rows: metrics.values().map(|m| m.rows).sum(),
        metrics,
    })
}
