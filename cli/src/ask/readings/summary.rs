use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use jiff::Timestamp;
use serde::Deserialize;

use super::Aggregate;
use crate::{
    ask::{
        figures::{self, shown},
        sparkline::{Place, sparkline},
    },
    stores::table,
};

/// Characters of a line.
const LINE_WIDTH: usize = 50;
/// Gaps that are told one by one; the rest is counted.
const GAPS_SHOWN: usize = 10;
/// Widths of buckets that are taken where none is said, in milliseconds.
const WIDTHS_MS: [i64; 20] = [
    1_000,
    5_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    14_400_000,
    21_600_000,
    43_200_000,
    86_400_000,
    7 * 86_400_000,
    14 * 86_400_000,
    30 * 86_400_000,
];
/// The widest bucket that a service makes.
const WIDTH_MS_MAX: i64 = 366 * 86_400_000;
/// Places of a series at most; where buckets are narrower, some share one.
const PLACES_MAX: i64 = 100_000;

/// The time that is asked for, in milliseconds since 1970 UTC, and how it is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) every_ms: i64,
}

/// A row of a page of buckets.
#[derive(Debug, Deserialize)]
pub(super) struct Bucket {
    metric: String,
    unit: Option<String>,
    #[serde(deserialize_with = "figures::moment")]
    ts: Option<Timestamp>,
    value: Option<f64>,
    text: Option<String>,
    count: Option<u64>,
}

/// Readings that are missing for good.
#[derive(Debug, Deserialize)]
pub(super) struct Gap {
    #[serde(deserialize_with = "figures::moment")]
    from: Option<Timestamp>,
    #[serde(deserialize_with = "figures::moment")]
    to: Option<Timestamp>,
    metric: Option<String>,
    rows: Option<u64>,
    reason: String,
}

/// A chunk that could not be read.
#[derive(Debug, Deserialize)]
pub(super) struct MissingChunk {
    rows: u64,
    reason: String,
}

/// What is known of each metric, by metric and unit.
pub(super) struct Summaries {
    window: Window,
    gaps: Vec<Gap>,
    missing: Vec<MissingChunk>,
    series: BTreeMap<(String, Option<String>), Series>,
}

#[derive(Debug, Default)]
struct Series {
    line: BTreeMap<usize, f64>,
    min: Option<f64>,
    max: Option<f64>,
    /// Sum of the means, each as often as its bucket has readings, and how often that is.
    sum: (f64, u64),
    latest: String,
    readings: u64,
}

impl Window {
    /// Divided as it is said, or so that it fits the line.
    pub(super) fn new(from_ms: i64, to_ms: i64, every_ms: Option<i64>) -> Window {
        let span_ms = to_ms.saturating_sub(from_ms);
        let fits = |width_ms: &&i64| span_ms / **width_ms < LINE_WIDTH as i64;
        let fitting = WIDTHS_MS.iter().find(fits).copied();
        let every_ms = every_ms.or(fitting).unwrap_or(WIDTH_MS_MAX);
        Window {
            from_ms,
            to_ms,
            every_ms,
        }
    }

    /// How wide a place of the line is.
    fn place_ms(&self) -> i64 {
        let (first, last) = (self.from_ms, self.to_ms - 1);
        let buckets = last.div_euclid(self.every_ms) - first.div_euclid(self.every_ms) + 1;
        // Rounded up, in 64 bits.
        self.every_ms * ((buckets + PLACES_MAX - 1) / PLACES_MAX)
    }

    /// Which place a moment is in.
    fn place(&self, ms: i64) -> usize {
        let width_ms = self.place_ms();
        let ms = ms.clamp(self.from_ms, self.to_ms - 1);
        let place = ms.div_euclid(width_ms) - self.from_ms.div_euclid(width_ms);
        usize::try_from(place).unwrap_or(0)
    }

    fn places(&self) -> usize {
        self.place(self.to_ms - 1) + 1
    }
}

impl Summaries {
    pub(super) fn new(window: Window, gaps: Vec<Gap>, missing: Vec<MissingChunk>) -> Summaries {
        Summaries {
            window,
            gaps,
            missing,
            series: BTreeMap::new(),
        }
    }

    /// Take in buckets in the order of time, the same ones by several aggregates; `line` is the one that is drawn.
    pub(super) fn take_in(&mut self, buckets: &BTreeMap<Aggregate, Vec<Bucket>>, line: Aggregate) {
        for (aggregate, buckets) in buckets {
            for bucket in buckets {
                let key = (bucket.metric.clone(), bucket.unit.clone());
                let series = self.series.entry(key).or_default();
                series.take_in(bucket, *aggregate);
                if let (true, Some(ts), Some(value)) = (*aggregate == line, bucket.ts, bucket.value)
                {
                    let place = self.window.place(ts.as_millisecond());
                    series.line.insert(place, value);
                }
            }
        }
    }

    /// All of it, for people.
    pub(super) fn text(&self, device: &str) -> String {
        let mut text = String::new();
        // A text takes all that is written to it.
        if self.series.is_empty() {
            let [from, to] = [self.window.from_ms, self.window.to_ms].map(moment);
            let _ = writeln!(text, "no readings of {} from {from} to {to}", shown(device));
        } else {
            let _ = writeln!(text, "{}", self.table().trim_fmt());
        }
        self.tell_gaps(&mut text);
        for chunk in &self.missing {
            let (rows, reason) = (figures::count(chunk.rows), shown(&chunk.reason));
            let _ = writeln!(text, "not read: a chunk of {rows} readings: {reason}");
        }
        text
    }

    fn table(&self) -> comfy_table::Table {
        let every = figures::width(self.window.every_ms);
        let [from, to] = [self.window.from_ms, self.window.to_ms].map(moment);
        let line_head = format!("{from} to {to}, by {every}");
        let heads = [
            "metric", "unit", &line_head, "min", "avg", "max", "latest", "readings",
        ];
        let mut table = table(&heads, 3..6);
        for ((metric, unit), series) in &self.series {
            let number = |value: Option<f64>| value.map_or_else(String::new, figures::number);
            let (sum, count) = series.sum;
            let avg = (count > 0).then(|| sum / count as f64);
            table.add_row([
                shown(metric),
                unit.as_deref().map_or_else(String::new, shown),
                sparkline(&self.places(metric, &series.line), LINE_WIDTH),
                number(series.min),
                number(avg),
                number(series.max),
                series.latest.clone(),
                figures::count(series.readings),
            ]);
        }
        table
    }

    fn places(&self, metric: &str, line: &BTreeMap<usize, f64>) -> Vec<Place> {
        let mut gaps = BTreeSet::new();
        for gap in &self.gaps {
            let is_of_it = gap.metric.as_deref().is_none_or(|of| of == metric);
            if let (true, Some(from), Some(to)) = (is_of_it, gap.from, gap.to) {
                let place = |moment: Timestamp| self.window.place(moment.as_millisecond());
                gaps.extend(place(from)..=place(to));
            }
        }
        let place = |at| match line.get(&at) {
            Some(value) => Place::Value(*value),
            None if gaps.contains(&at) => Place::Gap,
            None => Place::Silent,
        };
        (0..self.window.places()).map(place).collect()
    }

    fn tell_gaps(&self, text: &mut String) {
        for gap in self.gaps.iter().take(GAPS_SHOWN) {
            let local = |moment: Option<Timestamp>| moment.map_or_else(String::new, figures::local);
            let rows = gap
                .rows
                .map_or_else(|| "an unknown number of".into(), figures::count);
            let metric = gap
                .metric
                .as_deref()
                .map_or_else(String::new, |metric| format!(" of {}", shown(metric)));
            let (from, to, reason) = (local(gap.from), local(gap.to), shown(&gap.reason));
            let _ = writeln!(
                text,
                "gap: {rows} readings{metric} are missing for good from {from} to {to} ({reason})"
            );
        }
        if self.gaps.len() > GAPS_SHOWN {
            let more = self.gaps.len() - GAPS_SHOWN;
            let _ = writeln!(text, "and {more} more gaps; --json has them");
        }
    }
}

impl Series {
    fn take_in(&mut self, bucket: &Bucket, aggregate: Aggregate) {
        let count = bucket.count.unwrap_or(0);
        match aggregate {
            Aggregate::Min => self.min = lower(self.min, bucket.value, f64::min),
            Aggregate::Max => self.max = lower(self.max, bucket.value, f64::max),
            Aggregate::Avg => {
                if let Some(mean) = bucket.value {
                    self.sum = (self.sum.0 + mean * count as f64, self.sum.1 + count);
                }
            }
            Aggregate::Last => {
                self.readings += count;
                self.latest = figures::value(bucket.value, bucket.text.as_deref(), None);
            }
            Aggregate::Sum | Aggregate::Count | Aggregate::First => {}
        }
    }
}

fn lower(known: Option<f64>, next: Option<f64>, choose: fn(f64, f64) -> f64) -> Option<f64> {
    match (known, next) {
        (Some(known), Some(next)) => Some(choose(known, next)),
        (known, next) => known.or(next),
    }
}

fn moment(ms: i64) -> String {
    let moment = Timestamp::from_millisecond(ms);
    moment.map_or_else(|_| format!("{ms} ms"), figures::local)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn window(hours: i64, every_ms: Option<i64>) -> Window {
        Window::new(0, hours * HOUR_MS, every_ms)
    }

    fn bucket(hour: i64, value: Value, text: Value, count: u64) -> Bucket {
        let ts = Timestamp::from_millisecond(hour * HOUR_MS).expect("a moment");
        let bucket = json!({
            "metric": "power", "unit": "W", "ts": ts.to_string(), "value": value, "text": text, "count": count,
        });
        serde_json::from_value(bucket).expect("as the document has it")
    }

    fn summaries(gaps: Value) -> Summaries {
        let gaps = serde_json::from_value(gaps).expect("as the document has it");
        let mut summaries = Summaries::new(window(4, Some(HOUR_MS)), gaps, Vec::new());
        let hours = |values: [f64; 2]| {
            let hours = [0, 3].into_iter().zip(values).zip([30, 10]);
            hours.map(|((hour, value), count)| bucket(hour, value.into(), Value::Null, count))
        };
        let buckets = BTreeMap::from([
            (Aggregate::Avg, hours([10.0, 50.0]).collect()),
            (Aggregate::Min, hours([1.0, 2.0]).collect()),
            (Aggregate::Max, hours([20.0, 90.5]).collect()),
            (Aggregate::Last, hours([15.0, 40.0]).collect()),
        ]);
        summaries.take_in(&buckets, Aggregate::Avg);
        summaries
    }

    fn row(summaries: &Summaries) -> String {
        let text = summaries.text("kettle");
        text.lines().nth(1).expect("a row").to_owned()
    }

    #[test]
    fn a_metric_is_one_row() {
        let row = row(&summaries(json!([])));
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words,
            ["power", "W", "▁", "█", "1", "20", "90.5", "40", "40"]
        );
        assert!(row.contains("▁  █"), "{row}");
    }

    #[test]
    fn gaps_are_in_the_line_and_below() {
        let gap = |metric: Value| {
            json!([{"from": "1970-01-01T01:10:00Z", "to": "1970-01-01T01:50:00Z", "metric": metric, "rows": 1200,
                    "reason": "thinned", "device": "kettle", "tier": "telemetry", "edge": "aa"}])
        };
        let with = summaries(gap("power".into()));
        assert!(row(&with).contains("▁· █"), "{}", row(&with));
        let text = with.text("kettle");
        let told = "gap: 1 200 readings of power are missing for good from";
        assert!(text.contains(told), "{text}");
        assert!(row(&summaries(gap("energy".into()))).contains("▁  █"));
        assert!(row(&summaries(gap(Value::Null))).contains("▁· █"));
    }

    #[test]
    fn nothing_is_told_as_nothing() {
        let none = Summaries::new(window(1, None), Vec::new(), Vec::new());
        assert!(
            none.text("kettle")
                .starts_with("no readings of kettle from ")
        );
    }

    #[test]
    fn the_window_is_divided_to_fit_the_line() {
        let check = |hours, width_ms| {
            let window = window(hours, None);
            assert_eq!(window.every_ms, width_ms, "{hours} h");
        };
        check(1, 120_000);
        check(24, HOUR_MS / 2);
        check(24 * 365, 14 * 24 * HOUR_MS);
        check(24 * 365 * 100, WIDTH_MS_MAX);
        // As narrow as it may be over a century.
        let narrow = window(24 * 365 * 100, Some(1));
        assert!(narrow.places() <= PLACES_MAX as usize + 1);
        assert_eq!(narrow.place(i64::MIN), 0);
        assert_eq!(narrow.place(i64::MAX), narrow.places() - 1);
    }
}
