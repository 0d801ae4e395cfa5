use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::AsArray, compute, datatypes::TimestampMillisecondType};

use super::{engine::Engine, error::QueryError, lake::View};
use crate::ids::HomeId;

/// What a home has in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeSummary {
    /// Its name.
    pub home: HomeId,
    /// Chunks.
    pub chunks: u64,
    /// Rows in chunks and not yet cut.
    pub rows: u64,
    /// Bytes of its chunks.
    pub bytes: u64,
    /// Earliest `ts`, milliseconds since 1970 UTC; none without a row.
    pub first_ts: Option<i64>,
    /// Latest `ts`.
    pub last_ts: Option<i64>,
}

impl Engine {
    /// Every home of the lake, by name. Reads no chunk.
    pub async fn homes(self: &Arc<Self>) -> Result<Vec<HomeSummary>, QueryError> {
        Ok(summarize(&self.view().await?))
    }
}

/// The homes of a view.
#[must_use]
pub fn summarize(view: &View) -> Vec<HomeSummary> {
    let mut homes: BTreeMap<HomeId, HomeSummary> = BTreeMap::new();
    let mut take = |home: &HomeId, chunks: u64, rows: u64, bytes: u64, ts: Option<(i64, i64)>| {
        let empty = || HomeSummary {
            home: home.clone(),
            chunks: 0,
            rows: 0,
            bytes: 0,
            first_ts: None,
            last_ts: None,
        };
        let summary = homes.entry(home.clone()).or_insert_with(empty);
        summary.chunks += chunks;
        summary.rows += rows;
        summary.bytes += bytes;
        if let Some((first, last)) = ts {
            summary.first_ts = Some(summary.first_ts.map_or(first, |ts| ts.min(first)));
            summary.last_ts = summary.last_ts.max(Some(last));
        }
    };
    for chunk in view.readings() {
        take(
            &chunk.key.home,
            1,
            chunk.rows,
            chunk.bytes,
            Some((chunk.min_ts, chunk.max_ts)),
        );
    }
    for tail in &view.tail {
        let ts = tail
            .batch
            .column(0)
            .as_primitive_opt::<TimestampMillisecondType>();
        let range = ts.and_then(|ts| compute::min(ts).zip(compute::max(ts)));
        take(&tail.home, 0, tail.batch.num_rows() as u64, 0, range);
    }
    homes.into_values().collect()
}
