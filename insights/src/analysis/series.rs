use std::collections::BTreeMap;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::Value;

use super::{Analysis, SERIES_MAX, STEPS_MAX};
use crate::Row;

/// A series of one key, a value for each step.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The values. Steps that have no row lie on the line between their neighbours.
    pub(super) values: Vec<f64>,
    /// Steps that have a row, and which it is; the earliest first.
    pub(super) rows: Vec<(usize, usize)>,
    /// The latest row, whether it has a value or not.
    pub(super) last: usize,
}

impl Series {
    /// The series of the rows, in the order in which their keys first come.
    pub(super) fn of(rows: &[Row], analysis: &Analysis) -> Result<Vec<Series>, String> {
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        let mut groups: Vec<Vec<(i64, usize)>> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let key = column(row, &analysis.key)?.to_string();
            let time = column(row, &analysis.time)?;
            let time_ms = time_ms(time)
                .ok_or_else(|| format!("`{}` is {time}, which is no time", analysis.time))?;
            let group = *keys.entry(key).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push((time_ms, at));
        }
        if groups.len() > SERIES_MAX {
            let found = groups.len();
            return Err(format!(
                "there are {found} series, {SERIES_MAX} at most are looked at"
            ));
        }
        let series = groups.into_iter();
        series
            .map(|group| Series::even(group, rows, analysis))
            .collect()
    }

    /// Puts the rows of one key on even steps. Of several within a step the last counts; a series that is too long begins later.
    fn even(
        mut times: Vec<(i64, usize)>,
        rows: &[Row],
        analysis: &Analysis,
    ) -> Result<Series, String> {
        times.sort_unstable();
        let Some((last_ms, last)) = times.last().copied() else {
            return Ok(Series::default());
        };
        let step_ms = analysis.step_ms();
        let mut steps: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
        for (time_ms, at) in times {
            let back = last_ms.saturating_sub(time_ms).saturating_add(step_ms / 2) / step_ms;
            let back = usize::try_from(back).unwrap_or(STEPS_MAX);
            let value = column(&rows[at], &analysis.value)?;
            if value.is_null() || back >= STEPS_MAX {
                continue;
            }
            let value = value.as_f64().filter(|value| value.is_finite());
            let value = value.ok_or_else(|| format!("`{}` is no number", analysis.value))?;
            steps.insert(STEPS_MAX - back, (at, value));
        }
        let mut series = Series {
            last,
            ..Series::default()
        };
        let mut before: Option<(usize, f64)> = None;
        for (step, (at, value)) in steps {
            if let Some((from, from_value)) = before {
                let missing = step - from;
                for between in 1..missing {
                    series
                        .values
                        .push(from_value + (value - from_value) * share(between, missing));
                }
            }
            series.rows.push((series.values.len(), at));
            series.values.push(value);
            before = Some((step, value));
        }
        Ok(series)
    }

    /// Whether at least so many steps have rows, and half of all.
    pub(super) fn has(&self, steps_min: usize) -> bool {
        self.rows.len() >= steps_min && self.rows.len() * 2 >= self.values.len()
    }
}

#[allow(clippy::cast_precision_loss)]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn column<'a>(row: &'a Row, name: &str) -> Result<&'a Value, String> {
    row.get(name)
        .ok_or_else(|| format!("the row has no column `{name}`"))
}

/// A date, a time with or without an offset, or milliseconds since 1970.
fn time_ms(value: &Value) -> Option<i64> {
    if let Some(ms) = value.as_i64() {
        return Some(ms);
    }
    let text = value.as_str()?;
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let civil: civil::DateTime = text.parse().ok()?;
    let at = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}
