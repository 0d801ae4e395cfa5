use std::{str::FromStr, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMillisecondType},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    dataframe::DataFrame,
    execution::context::SessionContext,
    functions::expr_fn::date_bin,
    functions_aggregate::expr_fn::{avg, count, first_value, last_value, max, min, sum},
    logical_expr::{Expr, SortExpr, cast, ident, lit},
};
use futures::FutureExt;

use super::{
    answer::{Answer, Limits},
    cursor::Cursor,
    engine::Engine,
    error::QueryError,
    events::{Gaps, GapsQuery},
    table::{TABLE, extra},
};
use crate::{
    ids::HomeId,
    reading::{column, timestamp},
};

/// Rows of a page where the caller does not say.
pub const PAGE_ROWS_DEFAULT: usize = 1_000;

/// Rows of a page at most.
pub const PAGE_ROWS_MAX: usize = 100_000;

/// Metrics that a query names at most.
pub const METRICS_MAX: usize = 100;

/// Column of a bucket page: rows in the bucket.
pub const COUNT: &str = "count";

/// How the values of a bucket become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Aggregate {
    /// Arithmetic mean of the numbers.
    #[default]
    Avg,
    /// Lowest number.
    Min,
    /// Highest number.
    Max,
    /// Sum of the numbers.
    Sum,
    /// Number of readings, texts too.
    Count,
    /// The earliest reading, its text too.
    First,
    /// The latest reading, its text too.
    Last,
}

impl FromStr for Aggregate {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        Ok(match text {
            "avg" => Aggregate::Avg,
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            "sum" => Aggregate::Sum,
            "count" => Aggregate::Count,
            "first" => Aggregate::First,
            "last" => Aggregate::Last,
            _ => {
                return Err(QueryError::bad(format!(
                    "agg: {text:?}; use avg, min, max, sum, count, first or last"
                )));
            }
        })
    }
}

/// Which readings of a device are wanted. Times are milliseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub struct ReadingsQuery {
    /// The home.
    pub home: HomeId,
    /// The device: all ids that its readings are stored under.
    pub devices: Vec<String>,
    /// Only these metrics; none named means all.
    pub metrics: Vec<String>,
    /// From this moment on.
    pub from: Option<i64>,
    /// Up to before this moment.
    pub to: Option<i64>,
    /// Width of buckets in milliseconds, aligned to 1970-01-01 UTC; none means raw rows.
    pub every: Option<i64>,
    /// How a bucket becomes one value. Without `every` it is an error.
    pub aggregate: Option<Aggregate>,
    /// Rows of the page, 1 to [`PAGE_ROWS_MAX`].
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// One page of readings.
///
/// Raw rows have the columns `ts, device, metric, value, text, unit, received, seq, quality, edge` in the
/// order of (`ts`, metric, edge, `seq`). Buckets have `ts` (their start), `metric, unit, value, text, count`
/// in the order of (`ts`, metric, unit): readings of different units are never mixed.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows; never cut off by the limit without a cursor.
    pub answer: Answer,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
    /// What is missing for good in the asked time, from where the page starts.
    pub gaps: Gaps,
}

impl Engine {
    /// One page of a device's readings, raw or in buckets.
    pub async fn readings(
        self: &Arc<Self>,
        query: &ReadingsQuery,
        limits: Limits,
    ) -> Result<Page, QueryError> {
        let limit = query.limit.unwrap_or(PAGE_ROWS_DEFAULT);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(QueryError::bad(format!("limit: use 1 to {PAGE_ROWS_MAX}")));
        }
        if query.metrics.len() > METRICS_MAX {
            return Err(QueryError::bad(format!(
                "metric: name at most {METRICS_MAX}"
            )));
        }
        if query.aggregate.is_some() && query.every.is_none() {
            return Err(QueryError::bad(
                "agg: it needs every, the width of a bucket",
            ));
        }
        let cursor = query.cursor.as_deref().map(Cursor::parse).transpose()?;
        if matches!(
            (&cursor, query.every),
            (Some(Cursor::Raw(..)), Some(_)) | (Some(Cursor::Bucket(..)), None)
        ) {
            return Err(QueryError::bad("cursor: it is of another query"));
        }
        let plan = Plan {
            query: query.clone(),
            cursor,
            limit,
        };
        let gaps = GapsQuery {
            home: query.home.clone(),
            devices: query.devices.clone(),
            metrics: query.metrics.clone(),
            from: plan.from(),
            to: query.to,
        };
        let limits = Limits {
            rows: limit,
            ..limits
        };
        let bucketed = query.every.is_some();
        let answer = match self.by_days(&plan, limits).await? {
            Some(answer) => answer,
            None => self.by_scan(plan, limits).await?,
        };
        let last = answer.truncated.then(|| answer.batches.last()).flatten();
        let next_cursor = last
            .and_then(|batch| cursor_of(batch, bucketed))
            .map(|c| c.to_text());
        Ok(Page {
            answer,
            next_cursor,
            gaps: self.gaps(&gaps).await?,
        })
    }
}

impl Engine {
    /// A page from the files, whatever is known.
    pub(super) async fn by_scan(
        self: &Arc<Self>,
        plan: Plan,
        limits: Limits,
    ) -> Result<Answer, QueryError> {
        let question = move |context: SessionContext| plan.clone().frame(context).boxed();
        self.ask(limits, None, question).await
    }
}

/// A page as it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) query: ReadingsQuery,
    pub(super) cursor: Option<Cursor>,
    pub(super) limit: usize,
}

impl Plan {
    pub(super) async fn frame(self, context: SessionContext) -> Result<DataFrame, DataFusionError> {
        let frame = context.table(TABLE).await?.filter(self.filter())?;
        let frame = match self.query.every {
            None => raw(frame, self.cursor)?,
            Some(width) => buckets(
                frame,
                width,
                self.query.aggregate.unwrap_or_default(),
                self.cursor,
            )?,
        };
        // One row more than the page tells whether there is a next one.
        frame.limit(0, Some(self.limit + 1))
    }

    /// What lies before the cursor's moment is in no further page: it is not even read.
    pub(super) fn from(&self) -> Option<i64> {
        let cursor = self.cursor.as_ref();
        let after = cursor.map(|(Cursor::Raw(ts, ..) | Cursor::Bucket(ts, ..))| *ts);
        self.query.from.max(after)
    }

    fn filter(&self) -> Expr {
        let query = &self.query;
        let mut filter =
            ident(extra::HOME)
                .eq(lit(query.home.as_str()))
                .and(match &query.devices[..] {
                    [device] => ident(column::DEVICE).eq(lit(device.as_str())),
                    devices => {
                        let devices = devices.iter().map(|device| lit(device.as_str())).collect();
                        ident(column::DEVICE).in_list(devices, false)
                    }
                });
        if !query.metrics.is_empty() {
            let metrics = query.metrics.iter().map(|m| lit(m.as_str())).collect();
            filter = filter.and(ident(column::METRIC).in_list(metrics, false));
        }
        if let Some(from) = self.from() {
            filter = filter.and(ident(column::TS).gt_eq(time(from)));
        }
        if let Some(to) = query.to {
            filter = filter.and(ident(column::TS).lt(time(to)));
        }
        filter
    }
}

fn raw(frame: DataFrame, cursor: Option<Cursor>) -> Result<DataFrame, DataFusionError> {
    let frame = match cursor {
        Some(Cursor::Raw(ts, metric, edge, seq)) => frame.filter(after(&[
            (ident(column::TS), time(ts)),
            (ident(column::METRIC), lit(metric)),
            (ident(extra::EDGE), lit(edge)),
            (ident(column::SEQ), lit(seq)),
        ]))?,
        _ => frame,
    };
    let order = [column::TS, column::METRIC, extra::EDGE, column::SEQ];
    let columns = [
        column::TS,
        column::DEVICE,
        column::METRIC,
        column::VALUE,
        column::TEXT,
        column::UNIT,
        column::RECEIVED,
        column::SEQ,
        column::QUALITY,
        extra::EDGE,
    ];
    frame
        .sort(order.map(|name| ident(name).sort(true, true)).to_vec())?
        .select(columns.map(ident).to_vec())
}

fn buckets(
    frame: DataFrame,
    width_ms: i64,
    aggregate: Aggregate,
    cursor: Option<Cursor>,
) -> Result<DataFrame, DataFusionError> {
    let nanoseconds = width_ms.checked_mul(1_000_000).unwrap_or(i64::MAX);
    let width = ScalarValue::IntervalMonthDayNano(Some(
        arrow::datatypes::IntervalMonthDayNano::new(0, 0, nanoseconds),
    ));
    let start = cast(
        date_bin(lit(width), ident(column::TS), time(0)),
        timestamp(),
    )
    .alias(BUCKET);
    let group = vec![start, ident(column::METRIC), ident(column::UNIT)];
    let (value, text) = aggregated(aggregate)?;
    let rows = count(lit(1)).alias(COUNT);
    let mut frame = frame.aggregate(
        group,
        vec![value.alias(VALUE_OF), text.alias(TEXT_OF), rows],
    )?;
    if !matches!(
        aggregate,
        Aggregate::Count | Aggregate::First | Aggregate::Last
    ) {
        // A bucket of texts alone has no number to tell.
        frame = frame.filter(ident(VALUE_OF).is_not_null())?;
    }
    if let Some(Cursor::Bucket(ts, metric, unit)) = cursor {
        frame = frame.filter(after_bucket(ts, metric, unit))?;
    }
    let ordered = frame.sort(vec![
        ident(BUCKET).sort(true, true),
        ident(column::METRIC).sort(true, true),
        ident(column::UNIT).sort(true, true),
    ])?;
    ordered.select(vec![
        ident(BUCKET).alias(column::TS),
        ident(column::METRIC),
        ident(column::UNIT),
        ident(VALUE_OF).alias(column::VALUE),
        ident(TEXT_OF).alias(column::TEXT),
        ident(COUNT),
    ])
}

/// Names of a bucket's columns while they stand beside a reading's own.
const BUCKET: &str = "bucket";
const VALUE_OF: &str = "value_of";
const TEXT_OF: &str = "text_of";

fn aggregated(aggregate: Aggregate) -> Result<(Expr, Expr), DataFusionError> {
    let value = || ident(column::VALUE);
    let no_text = || max(lit(ScalarValue::Utf8View(None)));
    let order = || -> Vec<SortExpr> {
        [column::TS, extra::EDGE, column::SEQ]
            .map(|name| ident(name).sort(true, true))
            .to_vec()
    };
    Ok(match aggregate {
        Aggregate::Avg => (avg(value()), no_text()),
        Aggregate::Min => (min(value()), no_text()),
        Aggregate::Max => (max(value()), no_text()),
        Aggregate::Sum => (sum(value()), no_text()),
        Aggregate::Count => (
            cast(count(lit(1)), arrow::datatypes::DataType::Float64),
            no_text(),
        ),
        Aggregate::First => (
            first_value(value(), order()),
            first_value(ident(column::TEXT), order()),
        ),
        Aggregate::Last => (
            last_value(value(), order()),
            last_value(ident(column::TEXT), order()),
        ),
    })
}

/// Whether a key stands after another, column by column.
fn after(key: &[(Expr, Expr)]) -> Expr {
    let Some(((name, last), rest)) = key.split_first() else {
        return lit(false);
    };
    let beyond = name.clone().gt(last.clone());
    if rest.is_empty() {
        return beyond;
    }
    beyond.or(name.clone().eq(last.clone()).and(after(rest)))
}

/// As [`after`], with no unit before any unit.
fn after_bucket(ts: i64, metric: String, unit: Option<String>) -> Expr {
    let later_unit = match unit {
        None => ident(column::UNIT).is_not_null(),
        Some(unit) => ident(column::UNIT).gt(lit(unit)),
    };
    let same = ident(BUCKET)
        .eq(time(ts))
        .and(ident(column::METRIC).eq(lit(metric.clone())));
    after(&[
        (ident(BUCKET), time(ts)),
        (ident(column::METRIC), lit(metric)),
    ])
    .or(same.and(later_unit))
}

fn time(ms: i64) -> Expr {
    lit(ScalarValue::TimestampMillisecond(
        Some(ms),
        Some("UTC".into()),
    ))
}

/// The key of a batch's last row.
fn cursor_of(batch: &RecordBatch, bucketed: bool) -> Option<Cursor> {
    let row = batch.num_rows().checked_sub(1)?;
    let text = |name: &str| {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let ts = batch
        .column_by_name(column::TS)?
        .as_primitive_opt::<TimestampMillisecondType>()?
        .value(row);
    let metric = text(column::METRIC)?;
    if bucketed {
        return Some(Cursor::Bucket(ts, metric, text(column::UNIT)));
    }
    let seq = batch
        .column_by_name(column::SEQ)?
        .as_primitive_opt::<Int64Type>()?
        .value(row);
    Some(Cursor::Raw(ts, metric, text(extra::EDGE)?, seq))
}
