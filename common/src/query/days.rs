//! Buckets of whole days, kept. Chunks never change and each is of one UTC day, so what a day's chunks gave they give again: a
//! query over a year reads only the days of which something is new.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    ops::RangeInclusive,
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::TimestampMillisecondType,
};
use moka::future::Cache;
use tokio::time::Instant;

use super::{
    answer::{Answer, Limits, batch_bytes},
    cursor::Cursor,
    engine::Engine,
    error::QueryError,
    lake::{Missing, View},
    readings::{Aggregate, Plan},
};
use crate::{
    commit_log::Chunk,
    ids::HomeId,
    reading::{DAY_MS, column},
};

/// Bytes of rows that are kept.
const KEPT_BYTES: u64 = 32 << 20;
/// What a day costs beside its rows, bytes.
const DAY_BYTES: usize = 1_000;
/// Buckets of one metric at most, over the days of one page. Where there are more, nothing is kept.
const BUCKETS_MAX: i64 = 50_000;
/// Rows that are computed at a time at most.
const ROWS_MAX: usize = 500_000;

/// What buckets are of.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shape {
    home: HomeId,
    devices: Vec<String>,
    metrics: Vec<String>,
    width: i64,
    aggregate: Aggregate,
}

/// The buckets of a day.
#[derive(Debug, Clone)]
struct Day {
    /// Which chunks it was made of.
    of: u64,
    rows: RecordBatch,
}

/// Days that are known, within [`KEPT_BYTES`].
#[derive(Debug)]
pub(super) struct KnownDays(Cache<(Arc<Shape>, i64), Day>);

impl Default for KnownDays {
    fn default() -> Self {
        let weigh = |_: &(Arc<Shape>, i64), day: &Day| {
            u32::try_from(DAY_BYTES + batch_bytes(&day.rows)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(KEPT_BYTES).weigher(weigh);
        KnownDays(cache.build())
    }
}

impl Engine {
    /// The page of buckets by what is known of days; none where buckets are not parts of days, or too many.
    pub(super) async fn by_days(
        self: &Arc<Self>,
        plan: &Plan,
        limits: Limits,
    ) -> Result<Option<Answer>, QueryError> {
        let started = Instant::now();
        let query = &plan.query;
        let Some(width) = query.every.filter(|width| DAY_MS % width == 0) else {
            return Ok(None);
        };
        let days = days_of(&self.view().await?, plan);
        if days.is_empty() || days.len() as i64 * (DAY_MS / width) > BUCKETS_MAX {
            return Ok(None);
        }
        let shape = Arc::new(Shape {
            home: query.home.clone(),
            devices: query.devices.clone(),
            metrics: query.metrics.clone(),
            width,
            aggregate: query.aggregate.unwrap_or_default(),
        });
        let mut known = BTreeMap::new();
        for (day, of) in &days {
            let kept = self.days.0.get(&(shape.clone(), *day)).await;
            if let Some(kept) = kept.filter(|kept| Some(kept.of) == *of) {
                known.insert(*day, kept.rows);
            }
        }
        let mut missing = Vec::new();
        let mut news = days.keys().filter(|day| !known.contains_key(day));
        if let Some(first) = news.next() {
            let span = *first..=*news.next_back().unwrap_or(first);
            let Some(read) = self.read_days(plan, span, limits).await? else {
                return Ok(None);
            };
            missing = read.missing;
            for (day, rows) in read.days {
                // A day that is still written, or of which something is missing, is another the next time.
                if let (Some(Some(of)), true) = (days.get(&day), missing.is_empty()) {
                    let rows = rows.clone();
                    let kept = Day { of: *of, rows };
                    self.days.0.insert((shape.clone(), day), kept).await;
                }
                known.insert(day, rows);
            }
            if let Some(cut_off) = read.cut_off {
                known.retain(|day, _| *day < cut_off);
                let rows: usize = known.values().map(RecordBatch::num_rows).sum();
                if rows <= plan.limit {
                    return Ok(None);
                }
            }
        }
        known.retain(|day, _| days.contains_key(day));
        page(known, plan, missing, started)
    }

    /// The buckets of these days, in one go; none where not even the first day fits.
    async fn read_days(
        self: &Arc<Self>,
        plan: &Plan,
        days: RangeInclusive<i64>,
        limits: Limits,
    ) -> Result<Option<Read>, QueryError> {
        let mut part = plan.clone();
        let (from, to) = (days.start() * DAY_MS, (days.end() + 1) * DAY_MS);
        part.query.from = Some(part.query.from.map_or(from, |asked| asked.max(from)));
        part.query.to = Some(part.query.to.map_or(to, |asked| asked.min(to)));
        part.cursor = None;
        part.limit = ROWS_MAX;
        let limits = Limits {
            rows: ROWS_MAX,
            ..limits
        };
        let answer = self.by_scan(part, limits).await?;
        let rows = concat_batches(&answer.schema, &answer.batches)
            .map_err(|e| QueryError::Internal(e.to_string()))?;
        let starts = starts(&rows);
        let first_of = |day: i64| starts.partition_point(|start| *start < day * DAY_MS);
        let cut_off = match answer.truncated {
            true => starts.last().map(|start| start.div_euclid(DAY_MS)),
            false => None,
        };
        if cut_off == Some(*days.start()) {
            return Ok(None);
        }
        let end = cut_off.unwrap_or(days.end() + 1);
        let days = (*days.start()..end).map(|day| {
            let (first, next) = (first_of(day), first_of(day + 1));
            (day, rows.slice(first, next - first))
        });
        Ok(Some(Read {
            days: days.collect(),
            cut_off,
            missing: answer.missing,
        }))
    }
}

/// What was read of days.
struct Read {
    days: Vec<(i64, RecordBatch)>,
    /// The first day that did not fit any more.
    cut_off: Option<i64>,
    missing: Vec<Missing>,
}

/// The days that the page may have rows of, each with what tells its chunks from others; none where more than its chunks counts: it
/// has readings in no chunk yet, or only a part of it is asked for.
fn days_of(view: &View, plan: &Plan) -> BTreeMap<i64, Option<u64>> {
    let query = &plan.query;
    let day_of = |ms: i64| ms.div_euclid(DAY_MS);
    let first = plan.from().map_or(i64::MIN, day_of);
    let last = query.to.map_or(i64::MAX, |to| day_of(to.saturating_sub(1)));
    let asked = first..=last;
    let mut days: BTreeMap<i64, Option<u64>> = BTreeMap::new();
    let chunks = view.readings().filter(|chunk| chunk.key.home == query.home);
    for chunk in chunks {
        let day = i64::from(chunk.key.day);
        if asked.contains(&day) {
            // Whatever their order is.
            let of = days.entry(day).or_insert(Some(0));
            *of = of.map(|of| of.wrapping_add(hash(chunk)));
        }
    }
    for tail in view.tail.iter().filter(|tail| tail.home == query.home) {
        for start in starts(&tail.batch) {
            let day = day_of(*start);
            if asked.contains(&day) {
                days.insert(day, None);
            }
        }
    }
    for (day, of) in &mut days {
        let is_begun = query.from.is_some_and(|from| from > day * DAY_MS);
        let is_ended = query.to.is_some_and(|to| to < (day + 1) * DAY_MS);
        if is_begun || is_ended {
            *of = None;
        }
    }
    days
}

fn hash(chunk: &Chunk) -> u64 {
    let mut hasher = DefaultHasher::new();
    chunk.key.hash(&mut hasher);
    hasher.finish()
}

/// The column `ts`.
fn starts(rows: &RecordBatch) -> &[i64] {
    let column = rows.column_by_name(column::TS);
    let column = column.and_then(|ts| ts.as_primitive_opt::<TimestampMillisecondType>());
    column.map_or(&[], |ts| ts.values())
}

/// One page of these days' rows.
fn page(
    days: BTreeMap<i64, RecordBatch>,
    plan: &Plan,
    missing: Vec<Missing>,
    started: Instant,
) -> Result<Option<Answer>, QueryError> {
    let Some(schema) = days.values().next().map(RecordBatch::schema) else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    let mut rows = 0;
    for (at, part) in days.into_values().enumerate() {
        // What the page before had is in the first day only.
        let told = match &plan.cursor {
            Some(cursor) if at == 0 => told_before(&part, cursor),
            _ => 0,
        };
        let part = part.slice(told, part.num_rows() - told);
        rows += part.num_rows();
        parts.push(part);
        if rows > plan.limit {
            break;
        }
    }
    let all = concat_batches(&schema, &parts).map_err(|e| QueryError::Internal(e.to_string()))?;
    let batches = match rows {
        0 => Vec::new(),
        rows => vec![all.slice(0, rows.min(plan.limit))],
    };
    Ok(Some(Answer {
        schema,
        batches,
        truncated: rows > plan.limit,
        missing,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// How many of the rows are not behind the cursor.
fn told_before(rows: &RecordBatch, cursor: &Cursor) -> usize {
    let Cursor::Bucket(ts, metric, unit) = cursor else {
        return 0;
    };
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let (Some(metrics), Some(units)) = (text(column::METRIC), text(column::UNIT)) else {
        return 0;
    };
    let starts = starts(rows);
    let last = (*ts, metric.as_str(), unit.as_deref());
    let is_behind = |row: &usize| {
        let unit = units.is_valid(*row).then(|| units.value(*row));
        (starts[*row], metrics.value(*row), unit) > last
    };
    (0..rows.num_rows())
        .find(is_behind)
        .unwrap_or(rows.num_rows())
}
