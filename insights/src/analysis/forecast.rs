use augurs::{Fit as _, Predict as _, ets::AutoETS};
use serde_json::Value;

use super::{number, series::Series};
use crate::Row;

/// Steps with rows that a forecast needs: with fewer the model has more to find out than there is to see.
const STEPS_MIN: usize = 10;

const DAY_MS: f64 = 86_400_000.0;

/// Keeps the last row of each key, with the days until its series comes to a value.
///
/// The series goes on by exponential smoothing with a trend (ETS "AAN", Holt's).
pub(super) fn add(
    mut rows: Vec<Row>,
    series: &[Series],
    reaches: f64,
    horizon: usize,
    step_ms: i64,
) -> Vec<Row> {
    let mut kept = Vec::with_capacity(series.len());
    for one in series {
        let Some(row) = rows.get_mut(one.last) else {
            continue;
        };
        let mut row = std::mem::take(row);
        let steps = steps_until(one, reaches, horizon);
        #[allow(clippy::cast_precision_loss)]
        let days = steps.map_or(Value::Null, |steps| {
            number(steps as f64 * step_ms as f64 / DAY_MS)
        });
        row.insert("reaches_at_days".to_owned(), days);
        kept.push(row);
    }
    kept
}

fn steps_until(series: &Series, reaches: f64, horizon: usize) -> Option<usize> {
    let (first, last) = (*series.values.first()?, *series.values.last()?);
    let is_there = |value: f64| {
        if first >= reaches {
            value <= reaches
        } else {
            value >= reaches
        }
    };
    if is_there(last) {
        return Some(0);
    }
    if !series.has(STEPS_MIN) {
        return None;
    }
    let model = AutoETS::new(1, "AAN")
        .and_then(|model| model.damped(false))
        .ok()?;
    let ahead = model
        .fit(&series.values)
        .ok()?
        .predict(horizon, None)
        .ok()?;
    let at = ahead.point.into_iter().position(is_there)?;
    Some(at + 1)
}
