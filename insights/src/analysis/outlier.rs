use augurs::{
    mstl::stlrs::{MstlParams, StlParams},
    outlier::{DbscanDetector, MADDetector, OutlierDetector as _},
};
use serde_json::Value;

use super::{number, series::Series};
use crate::Row;

/// How far apart the many and the odd must lie where most values are equal: a part of the whole span. augurs' own middle.
const SENSITIVITY: f64 = 0.5;

/// Adds to each row what is usual for it and how far it is off.
///
/// A series is split into trend, season and rest (MSTL with robust weights, so that an odd day does not become part of the season).
/// The score is how far a rest is off the median, in deviations (double MAD).
pub(super) fn add(
    mut rows: Vec<Row>,
    series: &[Series],
    season: usize,
    threshold: f64,
    margin: f64,
) -> Vec<Row> {
    for row in &mut rows {
        for column in ["expected", "score", "is_outlier"] {
            row.insert(column.to_owned(), Value::Null);
        }
        row.insert("is_last".to_owned(), false.into());
    }
    for one in series {
        if let Some(last) = rows.get_mut(one.last) {
            last.insert("is_last".to_owned(), true.into());
        }
        let Some(rest) = rest(one, season) else {
            continue;
        };
        let scores = scores(&rest, threshold);
        for (at, (step, row)) in one.rows.iter().enumerate() {
            let (Some(row), Some((score, is_outlier))) = (rows.get_mut(*row), scores.get(at))
            else {
                continue;
            };
            row.insert("expected".to_owned(), number(one.values[*step] - rest[at]));
            row.insert("score".to_owned(), number(*score));
            let is_outlier = *is_outlier && rest[at].abs() >= margin;
            row.insert("is_outlier".to_owned(), is_outlier.into());
        }
    }
    rows
}

/// What trend and season do not explain, for each step that has a row; none where the series is too short.
fn rest(series: &Series, season: usize) -> Option<Vec<f64>> {
    if !series.has(2 * season) {
        return None;
    }
    let mut stl = StlParams::new();
    stl.robust(true);
    let mut mstl = MstlParams::new();
    // So wide that all seasons are smoothed into one: weeks are few here, and what differs between them is the rest.
    mstl.seasonal_lengths(&[10 * series.values.len() + 1]);
    let fit = mstl.stl_params(stl).fit(&series.values, &[season]).ok()?;
    let rest = fit.remainder();
    series
        .rows
        .iter()
        .map(|(step, _)| rest.get(*step).copied())
        .collect()
}

/// The score of each value, and whether it is an outlier.
fn scores(values: &[f64], threshold: f64) -> Vec<(f64, bool)> {
    let mad = MADDetector::with_threshold(threshold);
    if let Ok(prepared) = mad.preprocess(&[values])
        && let Ok(found) = mad.detect(&prepared)
        && let Some(series) = found.series_results.into_iter().next()
    {
        let scores = series.scores.into_iter();
        return scores.map(|score| (score, score > threshold)).collect();
    }
    // Where half of the values are equal the deviation is zero. Then what counts is who stands apart from the many.
    let columns: Vec<[f64; 1]> = values.iter().map(|value| [*value]).collect();
    let columns: Vec<&[f64]> = columns.iter().map(<[f64; 1]>::as_slice).collect();
    let found = DbscanDetector::with_sensitivity(SENSITIVITY)
        .and_then(|dbscan| dbscan.detect(&dbscan.preprocess(&columns)?));
    let odd = found.map(|found| found.outlying_series).unwrap_or_default();
    let is_odd = |at| odd.contains(&at) && odd.len() < values.len();
    (0..values.len())
        .map(|at| (if is_odd(at) { threshold } else { 0.0 }, is_odd(at)))
        .collect()
}
