use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::File,
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMillisecondType},
};
use parking_lot::Mutex;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::{catalog::Snapshot, commit_log::Chunk, ids::HomeId, layout::ChunkKey, reading::column};

/// (device, metric) pairs that are remembered over all chunks at most; one costs about 200 bytes.
pub const SUMMARY_SERIES_MAX: usize = 1_000_000;

/// What a chunk or a tail holds of one metric of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSummary {
    /// Unit of the last reading, if it has one.
    pub unit: Option<Arc<str>>,
    /// Rows.
    pub rows: u64,
    /// Earliest `ts`.
    pub first_ts: i64,
    /// Latest `ts`.
    pub last_ts: i64,
    /// `seq` of the last reading: of two at the same `ts`, the later one is last.
    pub last_seq: i64,
    /// Value of the last reading.
    pub value: Option<f64>,
    /// Text of the last reading.
    pub text: Option<Arc<str>>,
}

impl SeriesSummary {
    /// Take another part of the same series in.
    pub(super) fn merge(&mut self, other: &SeriesSummary) {
        let rows = self.rows + other.rows;
        let first_ts = self.first_ts.min(other.first_ts);
        if (other.last_ts, other.last_seq) > (self.last_ts, self.last_seq) {
            *self = other.clone();
        }
        self.rows = rows;
        self.first_ts = first_ts;
    }
}

/// What a chunk holds, by device and metric.
#[derive(Debug, Default, Clone)]
pub(super) struct Summary {
    pub(super) devices: BTreeMap<Arc<str>, BTreeMap<Arc<str>, SeriesSummary>>,
    series: usize,
}

impl Summary {
    pub(super) fn has_device(&self, device: &str) -> bool {
        self.devices.contains_key(device)
    }

    /// Take rows in; columns by name, in any order.
    pub(super) fn add(&mut self, batch: &RecordBatch, names: &mut HashSet<Arc<str>>) -> Option<()> {
        let strings = |name: &str| compute::cast(batch.column_by_name(name)?, &DataType::Utf8).ok();
        let (devices, metrics, units, texts) = (
            strings(column::DEVICE)?,
            strings(column::METRIC)?,
            strings(column::UNIT)?,
            strings(column::TEXT)?,
        );
        let (devices, metrics) = (devices.as_string::<i32>(), metrics.as_string::<i32>());
        let (units, texts) = (units.as_string::<i32>(), texts.as_string::<i32>());
        let ts = batch
            .column_by_name(column::TS)?
            .as_primitive_opt::<TimestampMillisecondType>()?;
        let seq = batch
            .column_by_name(column::SEQ)?
            .as_primitive_opt::<Int64Type>()?;
        let values = batch
            .column_by_name(column::VALUE)?
            .as_primitive_opt::<Float64Type>()?;
        let mut name = |text: &str| match names.get(text) {
            Some(name) => name.clone(),
            None => {
                let name: Arc<str> = text.into();
                names.insert(name.clone());
                name
            }
        };
        let mut row = 0;
        while row < batch.num_rows() {
            let (device, metric) = (devices.value(row), metrics.value(row));
            let (start, mut first, mut last) = (row, row, row);
            // Rows of a series stand together in a chunk; in a tail they need not.
            while row < batch.num_rows()
                && devices.value(row) == device
                && metrics.value(row) == metric
            {
                if ts.value(row) < ts.value(first) {
                    first = row;
                }
                if (ts.value(row), seq.value(row)) >= (ts.value(last), seq.value(last)) {
                    last = row;
                }
                row += 1;
            }
            let part = SeriesSummary {
                unit: units.is_valid(last).then(|| name(units.value(last))),
                rows: (row - start) as u64,
                first_ts: ts.value(first),
                last_ts: ts.value(last),
                last_seq: seq.value(last),
                value: values.is_valid(last).then(|| values.value(last)),
                text: texts.is_valid(last).then(|| texts.value(last).into()),
            };
            self.take(name(device), name(metric), &part);
        }
        Some(())
    }

    /// Take another summary in.
    pub(super) fn merge(&mut self, other: &Summary) {
        for (device, metrics) in &other.devices {
            for (metric, series) in metrics {
                self.take(device.clone(), metric.clone(), series);
            }
        }
    }

    fn take(&mut self, device: Arc<str>, metric: Arc<str>, part: &SeriesSummary) {
        let metrics = self.devices.entry(device).or_default();
        if let Some(series) = metrics.get_mut(&metric) {
            series.merge(part);
        } else {
            metrics.insert(metric, part.clone());
            self.series += 1;
        }
    }

    /// The summary of a chunk's file.
    pub(super) fn of_file(path: &Path) -> Result<Summary, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
        let wanted = [
            column::TS,
            column::DEVICE,
            column::METRIC,
            column::VALUE,
            column::TEXT,
            column::UNIT,
            column::SEQ,
        ];
        let columns = ProjectionMask::columns(reader.parquet_schema(), wanted);
        let batches = reader
            .with_projection(columns)
            .build()
            .map_err(|e| e.to_string())?;
        let mut summary = Summary::default();
        let mut names = HashSet::new();
        for batch in batches {
            let batch = batch.map_err(|e| e.to_string())?;
            summary
                .add(&batch, &mut names)
                .ok_or("its columns are not those of a chunk")?;
        }
        Ok(summary)
    }
}

/// What all chunks of a home hold together.
#[derive(Debug, Default, Clone)]
pub(super) struct Merged {
    /// The chunks that it was last compared with, if all of the home's are in it.
    of: Option<Snapshot>,
    chunks: HashSet<ChunkKey>,
    pub(super) summary: Summary,
}

impl Merged {
    /// Whether all of the home's chunks are in it, and no others.
    pub(super) fn is_of(&self, chunks: &Snapshot) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, chunks))
    }

    /// Leave out all, if a chunk is in it that is live no more: of the rows of two, nobody knows whose they are.
    pub(super) fn forget_unless_live(&mut self, live: &[Arc<Chunk>]) {
        let kept = live.iter().filter(|c| self.chunks.contains(&c.key)).count();
        if kept != self.chunks.len() {
            *self = Merged::default();
        }
    }

    pub(super) fn has(&self, chunk: &Chunk) -> bool {
        self.chunks.contains(&chunk.key)
    }

    pub(super) fn add(&mut self, chunk: &Chunk, summary: &Summary) {
        if self.chunks.insert(chunk.key.clone()) {
            self.summary.merge(summary);
        }
    }

    /// All of the home's chunks of this moment are in it.
    pub(super) fn complete(&mut self, chunks: &Snapshot) {
        self.of = Some(chunks.clone());
    }
}

/// Merged summaries of homes, all forgotten where they would be more than [`SUMMARY_SERIES_MAX`].
#[derive(Debug, Default)]
pub(super) struct MergedHomes(Mutex<HashMap<HomeId, Arc<Merged>>>);

impl MergedHomes {
    pub(super) fn known(&self, home: &HomeId) -> Option<Arc<Merged>> {
        self.0.lock().get(home).cloned()
    }

    pub(super) fn keep(&self, home: HomeId, merged: Arc<Merged>) {
        let mut homes = self.0.lock();
        homes.insert(home, merged);
        let series: usize = homes.values().map(|home| home.summary.series).sum();
        if series > SUMMARY_SERIES_MAX {
            homes.clear();
        }
    }
}

/// Summaries of chunks, computed once each and kept within [`SUMMARY_SERIES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Summaries(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    summaries: HashMap<ChunkKey, Arc<Summary>>,
    oldest_first: VecDeque<ChunkKey>,
    series: usize,
}

impl Summaries {
    pub(super) fn known(&self, key: &ChunkKey) -> Option<Arc<Summary>> {
        self.0.lock().summaries.get(key).cloned()
    }

    pub(super) fn add(&self, key: ChunkKey, summary: Arc<Summary>) {
        let mut kept = self.0.lock();
        if kept.summaries.contains_key(&key) {
            return;
        }
        kept.series += summary.series;
        kept.oldest_first.push_back(key.clone());
        kept.summaries.insert(key, summary);
        while kept.series > SUMMARY_SERIES_MAX {
            let Some(oldest) = kept.oldest_first.pop_front() else {
                break;
            };
            if let Some(summary) = kept.summaries.remove(&oldest) {
                kept.series -= summary.series;
            }
        }
    }
}
