use std::{
    collections::{HashMap, VecDeque},
    fs,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Date32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::DataFusionError,
    datasource::{TableType, memory::MemorySourceConfig},
    logical_expr::Expr,
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use parking_lot::Mutex;

use super::{
    engine::Engine,
    error::QueryError,
    lake::{ChunkFile, Missing, View},
    scan::Files,
    table::extra,
};
use crate::{
    commit_log::Chunk,
    event::{self, Event},
    ids::HomeId,
    layout::ChunkKey,
};

/// Name of the table of events.
pub(super) const TABLE: &str = "events";

/// Events that are remembered over all chunks at most.
pub const EVENTS_KEPT_MAX: usize = 200_000;

/// Gaps of one answer at most; more are counted.
pub const GAPS_MAX: usize = 1_000;

/// Which gaps are wanted. Times are milliseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub struct GapsQuery {
    /// The home.
    pub home: HomeId,
    /// Of a device, by all ids that its readings are stored under; none named means of all.
    pub devices: Vec<String>,
    /// Only these metrics; none named means all.
    pub metrics: Vec<String>,
    /// Those that end at this moment or later.
    pub from: Option<i64>,
    /// Those that begin before this moment.
    pub to: Option<i64>,
}

/// Readings that are missing for good, and told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// In the order of time, at most [`GAPS_MAX`]. One without a device or metric concerns all of them.
    pub gaps: Vec<Event>,
    /// How many there are.
    pub count: usize,
    /// Chunks of events that could not be read, so that gaps may be absent.
    pub missing: Vec<Missing>,
}

impl GapsQuery {
    fn wants(&self, gap: &Event) -> bool {
        let named = |names: &[String], name: Option<&Arc<str>>| {
            names.is_empty() || name.is_none_or(|name| names.iter().any(|n| **n == **name))
        };
        gap.is_gap()
            && named(&self.devices, gap.device.as_ref())
            && named(&self.metrics, gap.metric.as_ref())
            && self.from.is_none_or(|from| gap.until >= from)
            && self.to.is_none_or(|to| gap.ts < to)
    }

    fn may_be_in(&self, chunk: &Chunk) -> bool {
        chunk.key.home == self.home
            && self.from.is_none_or(|from| chunk.max_ts >= from)
            && self.to.is_none_or(|to| chunk.min_ts < to)
    }
}

impl Engine {
    /// The gaps of a home, or of some devices and metrics of it.
    pub async fn gaps(self: &Arc<Self>, query: &GapsQuery) -> Result<Gaps, QueryError> {
        let view = self.view().await?;
        Ok(self.gaps_of(&view, query).await)
    }

    async fn gaps_of(&self, view: &View, query: &GapsQuery) -> Gaps {
        let mut found = Gaps::default();
        for chunk in view.events().filter(|chunk| query.may_be_in(chunk)) {
            match self.events_of(chunk).await {
                Ok(events) => {
                    let wanted = events.iter().filter(|event| query.wants(event));
                    found.gaps.extend(wanted.cloned());
                }
                Err(missing) => found.missing.push(missing),
            }
        }
        found.gaps.sort();
        found.count = found.gaps.len();
        found.gaps.truncate(GAPS_MAX);
        found
    }

    pub(super) async fn events_of(&self, chunk: &Arc<Chunk>) -> Result<Arc<Vec<Event>>, Missing> {
        if let Some(known) = self.events.known(&chunk.key) {
            return Ok(known);
        }
        let file = self.lake.file(chunk).await?;
        let events = read(chunk, file).await?;
        self.events.add(chunk.key.clone(), events.clone());
        Ok(events)
    }
}

async fn read(chunk: &Chunk, file: ChunkFile) -> Result<Arc<Vec<Event>>, Missing> {
    let read = tokio::task::spawn_blocking(move || {
        // The file stays in place for as long as it is read.
        let bytes = fs::read(&file.path).map_err(|e| e.to_string());
        drop(file);
        event::decode(bytes?.into()).map_err(|e| e.to_string())
    });
    let read = read.await.unwrap_or_else(|e| Err(e.to_string()));
    let events = read.map_err(|reason| Missing::of(chunk, format!("unreadable: {reason}")))?;
    Ok(Arc::new(events))
}

/// Events of chunks, read once each and kept within [`EVENTS_KEPT_MAX`].
#[derive(Debug, Default)]
pub(super) struct KnownEvents(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    events: HashMap<ChunkKey, Arc<Vec<Event>>>,
    oldest_first: VecDeque<ChunkKey>,
    count: usize,
}

impl KnownEvents {
    fn known(&self, key: &ChunkKey) -> Option<Arc<Vec<Event>>> {
        self.0.lock().events.get(key).cloned()
    }

    fn add(&self, key: ChunkKey, events: Arc<Vec<Event>>) {
        let mut kept = self.0.lock();
        if kept.events.contains_key(&key) {
            return;
        }
        kept.count += events.len();
        kept.oldest_first.push_back(key.clone());
        kept.events.insert(key, events);
        while kept.count > EVENTS_KEPT_MAX {
            let Some(oldest) = kept.oldest_first.pop_front() else {
                break;
            };
            if let Some(events) = kept.events.remove(&oldest) {
                kept.count -= events.len();
            }
        }
    }
}

/// The table `events` of one query: one moment of the lake.
#[derive(Debug)]
pub(super) struct Events {
    chunks: Vec<Arc<Chunk>>,
    /// Those that are in no chunk yet.
    uncut: Vec<(HomeId, Event)>,
    files: Arc<Files>,
}

impl Events {
    pub(super) fn new(view: &View, files: Arc<Files>) -> Events {
        Events {
            chunks: view.events().cloned().collect(),
            uncut: view.uncut_events.clone(),
            files,
        }
    }
}

/// The columns of the table: an event's own, and where it lies.
fn table_schema() -> SchemaRef {
    let own = event::schema();
    let extra = [
        Arc::new(Field::new(extra::HOME, DataType::Utf8, false)),
        Arc::new(Field::new(extra::DATE, DataType::Date32, false)),
    ];
    Arc::new(Schema::new(
        own.fields()
            .iter()
            .cloned()
            .chain(extra)
            .collect::<Vec<_>>(),
    ))
}

fn table_batch(home: &HomeId, day: i32, events: &[Event]) -> Result<RecordBatch, ArrowError> {
    let own = event::batch(events)?;
    let homes = std::iter::repeat_n(home.as_str(), events.len());
    let extra: [ArrayRef; 2] = [
        Arc::new(StringArray::from_iter_values(homes)),
        Arc::new(Date32Array::from_value(day, events.len())),
    ];
    let columns = own.columns().iter().cloned().chain(extra).collect();
    RecordBatch::try_new(table_schema(), columns)
}

#[async_trait]
impl TableProvider for Events {
    fn schema(&self) -> SchemaRef {
        table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Events are few beside readings: they are read whole, and the engine filters them.
    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let mut batches = Vec::new();
        for (chunk, file) in self.files.open(self.chunks.clone()).await {
            match read(&chunk, file).await {
                Ok(events) => batches.push(table_batch(&chunk.key.home, chunk.key.day, &events)?),
                Err(missing) => self.files.tell(missing),
            }
        }
        for (home, event) in &self.uncut {
            batches.push(table_batch(home, event.day(), std::slice::from_ref(event))?);
        }
        if batches.is_empty() {
            let schema = datafusion::common::project_schema(&table_schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let plan =
            MemorySourceConfig::try_new_exec(&[batches], table_schema(), projection.cloned())?;
        Ok(plan)
    }
}
