use std::{collections::BTreeMap, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    compute,
    datatypes::{DataType, Float64Type, Int64Type},
};
use tarn_common::{
    ids::{HomeId, Seq},
    query::{Answer, Limits},
};
use tarn_openapi::of_series;
use tarn_rules::world::{
    Unfilled,
    history::{SAMPLES_MAX, Sample},
};

use super::{RuleStage, Running};

/// How long rules wait to know what was before.
const FILL_WITHIN: Duration = Duration::from_secs(10);
/// Series that one question asks for.
const SERIES_ASKED: usize = 100;

impl RuleStage {
    /// Have windows that begin know what the lake has of the time before, up to the last record that the engine was told. Where
    /// that cannot be had they know what comes from now on.
    pub(super) async fn fill_windows(&self, running: &mut Running) {
        let mut windows: BTreeMap<i64, Vec<Unfilled>> = BTreeMap::new();
        for window in running.engine.take_unfilled() {
            windows.entry(window.window_ms).or_default().push(window);
        }
        let (upto, now_ms) = (running.stream.last(), self.clock.now_ms());
        for (window_ms, windows) in windows {
            for asked in windows.chunks(SERIES_ASKED) {
                let question = question(&self.home, asked, now_ms - window_ms, upto);
                let limits = Limits {
                    time: FILL_WITHIN,
                    rows: asked.len() * (SAMPLES_MAX + 1),
                    ..Limits::default()
                };
                match self.query.sql(&question, limits).await {
                    Ok(answer) => fill(running, asked, &answer),
                    Err(error) => {
                        tracing::warn!(%error, window_ms, "windows of rules begin without what was before");
                        return;
                    }
                }
            }
        }
    }
}

fn fill(running: &mut Running, asked: &[Unfilled], answer: &Answer) {
    let mut samples: BTreeMap<(String, String), Vec<Sample>> = BTreeMap::new();
    for (series, sample) in answer.batches.iter().filter_map(samples_of).flatten() {
        samples.entry(series).or_default().push(sample);
    }
    for window in asked {
        let series = (window.device.clone(), window.metric.clone());
        if let Some(samples) = samples.remove(&series) {
            running.engine.fill(window, samples);
        }
    }
}

/// One row for each series and each part of the window that a history keeps apart.
fn question(home: &HomeId, asked: &[Unfilled], from_ms: i64, upto: Seq) -> String {
    let series = asked.iter();
    let wanted = of_series(series.map(|window| (&*window.device, &*window.metric)));
    let window_ms = asked.first().map_or(0, |window| window.window_ms);
    let slot_ms = (window_ms / SAMPLES_MAX as i64).max(1);
    let (finite, upto) = (f64::MAX, upto.0);
    format!(
        "SELECT device, metric, CAST(min(ts) AS BIGINT) AS first, CAST(max(ts) AS BIGINT) AS last, count(value) AS count, \
         sum(value) AS sum, min(value) AS min, max(value) AS max FROM readings \
         WHERE home = '{home}' AND ts > to_timestamp_millis({from_ms}) AND seq <= {upto} AND abs(value) <= {finite:e} AND ({wanted}) \
         GROUP BY device, metric, CAST(ts AS BIGINT) / {slot_ms} ORDER BY first"
    )
}

type Series = (String, String);

/// None where the answer has other columns than were asked for.
fn samples_of(batch: &RecordBatch) -> Option<Vec<(Series, Sample)>> {
    let column =
        |name: &str, kind: &DataType| compute::cast(batch.column_by_name(name)?, kind).ok();
    let text = |name| column(name, &DataType::Utf8);
    let (devices, metrics) = (text("device")?, text("metric")?);
    let integer = |name| column(name, &DataType::Int64);
    let number = |name| column(name, &DataType::Float64);
    let (first, last, count) = (integer("first")?, integer("last")?, integer("count")?);
    let (sum, min, max) = (number("sum")?, number("min")?, number("max")?);
    let at = |row: usize| {
        let text =
            |column: &arrow::array::ArrayRef| column.as_string::<i32>().value(row).to_owned();
        let integer =
            |column: &arrow::array::ArrayRef| column.as_primitive::<Int64Type>().value(row);
        let number =
            |column: &arrow::array::ArrayRef| column.as_primitive::<Float64Type>().value(row);
        let sample = Sample {
            first_ms: integer(&first),
            last_ms: integer(&last),
            count: u32::try_from(integer(&count)).unwrap_or(u32::MAX),
            sum: number(&sum),
            min: number(&min),
            max: number(&max),
        };
        ((text(&devices), text(&metrics)), sample)
    };
    Some((0..batch.num_rows()).map(at).collect())
}
