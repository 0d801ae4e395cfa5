//! Which readings of a chunk go at a step of eviction, and what is to be told of them. No I/O.

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Int64Type, TimestampMillisecondType},
    error::ArrowError,
};
use tarn_common::{event::reason, ids::Seq};

use super::tier::Tier;

/// Of a dense series one reading is kept in each stretch of so many milliseconds: the first.
pub const THINNED_TO_MS: i64 = 60_000;

/// What eviction does to chunks that no store has, mildest first: each step over all of them, the oldest first,
/// before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Of dense telemetry one reading in [`THINNED_TO_MS`] stays.
    Thin,
    /// No telemetry stays.
    Telemetry,
    /// No states stay either.
    States,
    /// Nothing stays.
    Everything,
}

impl Step {
    /// Every step, in their order.
    pub const ALL: [Step; 4] = [Step::Thin, Step::Telemetry, Step::States, Step::Everything];

    /// The steps that only take what is measured again and again.
    pub const MILD: [Step; 2] = [Step::Thin, Step::Telemetry];

    /// Its number in the names of chunks.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    fn keeps(self, tier: Tier, is_first: bool) -> bool {
        match self {
            Step::Thin => tier > Tier::Telemetry || is_first,
            Step::Telemetry => tier > Tier::Telemetry,
            Step::States => tier > Tier::State,
            Step::Everything => false,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Step::Thin => reason::THINNED,
            _ => reason::EVICTED,
        }
    }
}

/// Readings of one series and tier that go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The device.
    pub device: String,
    /// What was measured.
    pub metric: String,
    /// What they were worth.
    pub tier: Tier,
    /// Why, as events say it.
    pub reason: &'static str,
    /// The earliest of them, milliseconds since 1970 UTC.
    pub from: i64,
    /// The latest of them.
    pub until: i64,
    /// How many.
    pub rows: u64,
    /// The lowest of their journal records.
    pub first_seq: Seq,
    /// The highest of them.
    pub last_seq: Seq,
}

/// A chunk's readings after a step.
#[derive(Debug)]
pub struct Reduced {
    /// Those that stay, in their order; none where none does.
    pub kept: Option<RecordBatch>,
    /// Those that go.
    pub lost: Vec<Lost>,
}

/// Do a step on the readings of a chunk. None where nothing goes. `is_vital` is asked once for each series, with
/// device, metric and unit.
pub fn reduce(
    rows: &RecordBatch,
    step: Step,
    mut is_vital: impl FnMut(&str, &str, Option<&str>) -> bool,
) -> Result<Option<Reduced>, ArrowError> {
    let foreign = || ArrowError::SchemaError("its columns are not those of a chunk".into());
    let text = |column: usize| {
        rows.column(column)
            .as_string_opt::<i32>()
            .ok_or_else(foreign)
    };
    let (devices, metrics, texts, units) = (text(1)?, text(2)?, text(4)?, text(5)?);
    let ts = rows
        .column(0)
        .as_primitive_opt::<TimestampMillisecondType>();
    let seq = rows.column(7).as_primitive_opt::<Int64Type>();
    let (ts, seq) = ts.zip(seq).ok_or_else(foreign)?;
    let mut keep = Vec::with_capacity(rows.num_rows());
    let mut lost: Vec<Lost> = Vec::new();
    let mut series: Option<Series<'_>> = None;
    for row in 0..rows.num_rows() {
        let name = (devices.value(row), metrics.value(row));
        if series.as_ref().is_none_or(|series| series.name != name) {
            let unit = units.is_valid(row).then(|| units.value(row));
            series = Some(Series {
                name,
                is_vital: is_vital(name.0, name.1, unit),
                kept_in: None,
                lost_from: lost.len(),
            });
        }
        let Some(series) = &mut series else { continue };
        let tier = Tier::of(series.is_vital, texts.is_valid(row));
        let stretch = ts.value(row).div_euclid(THINNED_TO_MS);
        let is_first = tier == Tier::Telemetry && series.kept_in != Some(stretch);
        if is_first {
            series.kept_in = Some(stretch);
        }
        let keeps = step.keeps(tier, is_first);
        keep.push(keeps);
        if !keeps {
            let (at, seq) = (ts.value(row), Seq(seq.value(row) as u64));
            series.lose(&mut lost, tier, step, at, seq);
        }
    }
    if lost.is_empty() {
        return Ok(None);
    }
    let kept = filter_record_batch(rows, &BooleanArray::from(keep))?;
    Ok(Some(Reduced {
        kept: (kept.num_rows() > 0).then_some(kept),
        lost,
    }))
}

/// Rows of one device and metric, which stand together in a chunk.
struct Series<'a> {
    name: (&'a str, &'a str),
    is_vital: bool,
    /// The stretch of which one reading was kept last.
    kept_in: Option<i64>,
    /// Where the losses of this series begin.
    lost_from: usize,
}

impl Series<'_> {
    fn lose(&self, lost: &mut Vec<Lost>, tier: Tier, step: Step, at: i64, seq: Seq) {
        let known = lost[self.lost_from..].iter_mut().find(|l| l.tier == tier);
        if let Some(known) = known {
            known.from = known.from.min(at);
            known.until = known.until.max(at);
            known.rows += 1;
            known.first_seq = known.first_seq.min(seq);
            known.last_seq = known.last_seq.max(seq);
            return;
        }
        lost.push(Lost {
            device: self.name.0.to_owned(),
            metric: self.name.1.to_owned(),
            tier,
            reason: step.reason(),
            from: at,
            until: at,
            rows: 1,
            first_seq: seq,
            last_seq: seq,
        });
    }
}

#[cfg(test)]
mod tests {
    use tarn_common::{
        reading::{Quality, chunk_schema},
        rows::{Row, Rows},
    };

    use super::*;

    /// A temperature each 10 s and a lamp each 100 s of 5 minutes, and a lock.
    fn chunk() -> RecordBatch {
        let mut rows = Rows::default();
        let unit = rows.unit("°C");
        for n in 0..30 {
            let mut push = |device: &str, metric: &str, text, unit| {
                let series = rows.series(device, metric);
                let ts = n * 10_000;
                rows.push(Row {
                    series,
                    ts,
                    value: Some(1.0),
                    text,
                    unit,
                    received: ts,
                    seq: Seq(n as u64 + 1),
                    quality: Quality::Good,
                });
            };
            push("home/a", "temperature", None, Some(unit));
            if n % 10 == 0 {
                push("home/a", "lamp", Some("on"), None);
                push("home/a", "lock", Some("locked"), None);
            }
        }
        let part = rows.partition(1).remove(0);
        let batch = rows.batch(&part).expect("batch");
        let columns = batch
            .columns()
            .iter()
            .zip(chunk_schema().fields().clone().iter())
            .map(|(c, f)| arrow::compute::cast(c, f.data_type()).expect("casts"))
            .collect();
        RecordBatch::try_new(chunk_schema(), columns).expect("batch")
    }

    #[test]
    fn each_step_keeps_what_is_worth_more() {
        let mut rows = Some(chunk());
        let mut check = |step: Step, left: usize, told: &[(&str, u64, i64, i64)]| {
            let before = rows.take().expect("rows");
            let reduced = reduce(&before, step, |device, metric, unit| {
                super::super::tier::is_vital(device, metric, unit, None)
            });
            let Reduced { kept, lost } = reduced.expect("reduces").expect("something goes");
            let found: Vec<_> = lost
                .iter()
                .map(|l| (l.metric.as_str(), l.rows, l.from, l.until))
                .collect();
            assert_eq!(found, told, "{step:?}");
            let kept_rows = kept.as_ref().map_or(0, RecordBatch::num_rows);
            assert_eq!(kept_rows, left, "{step:?}");
            let gone: u64 = lost.iter().map(|l| l.rows).sum();
            assert_eq!(kept_rows as u64 + gone, before.num_rows() as u64);
            rows = kept;
        };
        check(Step::Thin, 11, &[("temperature", 25, 10_000, 290_000)]);
        check(Step::Telemetry, 6, &[("temperature", 5, 0, 240_000)]);
        check(Step::States, 3, &[("lamp", 3, 0, 200_000)]);
        check(Step::Everything, 0, &[("lock", 3, 0, 200_000)]);
    }

    #[test]
    fn what_is_sparse_is_not_thinned() {
        let all = chunk();
        let thin = |rows: &RecordBatch| reduce(rows, Step::Thin, |_, _, _| false).expect("reduces");
        let once = thin(&all).expect("dense").kept.expect("some stay");
        assert!(thin(&once).is_none(), "thinning twice is thinning once");
    }
}
