use augurs::{Fit as _, Predict as _, ets::AutoETS};
use serde_json::Value;

use super::{Side, number, series::Series};
use crate::Row;

/// Steps with rows that a forecast needs: with fewer the model has more to find out than there is to see.
const STEPS_MIN: usize = 10;

const DAY_MS: f64 = 86_400_000.0;

/// What is waited for.
pub(super) struct Goal {
    pub(super) reaches: f64,
    pub(super) side: Side,
    pub(super) horizon: usize,
    pub(super) step_ms: i64,
}

/// Keeps the last row of each key, with the days until its series comes to a value.
///
/// The series goes on by exponential smoothing with a trend (ETS "AAN", Holt's).
pub(super) fn add(mut rows: Vec<Row>, series: &[Series], goal: &Goal) -> Vec<Row> {
    let mut kept = Vec::with_capacity(series.len());
    for one in series {
        let Some(row) = rows.get_mut(one.last) else {
            continue;
        };
        let mut row = std::mem::take(row);
        #[allow(clippy::cast_precision_loss)]
        let days = |steps: usize| number(steps as f64 * goal.step_ms as f64 / DAY_MS);
        let days = goal.steps_until(one).map_or(Value::Null, days);
        row.insert("reaches_at_days".to_owned(), days);
        kept.push(row);
    }
    kept
}

impl Goal {
    fn steps_until(&self, series: &Series) -> Option<usize> {
        if self.is_reached(*series.values.last()?) {
            return Some(0);
        }
        if !series.has(STEPS_MIN) {
            return None;
        }
        let model = AutoETS::new(1, "AAN").and_then(|model| model.damped(false));
        let fitted = model.ok()?.fit(&series.values).ok()?;
        let ahead = fitted.predict(self.horizon, None).ok()?.point;
        let at = ahead.into_iter().position(|value| self.is_reached(value))?;
        Some(at + 1)
    }

    fn is_reached(&self, value: f64) -> bool {
        match self.side {
            Side::Above => value <= self.reaches,
            Side::Below => value >= self.reaches,
        }
    }
}
