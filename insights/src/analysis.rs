//! What is not to be said in SQL: values that are odd for a series, and where a series goes. The mathematics is that of
//! [augurs](https://docs.rs/augurs); here are only the series and what is put into rows.

use std::collections::BTreeMap;

use serde::Deserialize;
use tarn_rules::duration::Span;

use crate::{
    Params, Row,
    file::Amount,
    params::{LIST_MAX, Param},
};

/// Where a series goes.
mod forecast;
/// Values that are odd.
mod outlier;
/// Rows made into series with even steps.
mod series;

use forecast::Goal;
use series::Series;

/// Series of one pack at most.
pub const SERIES_MAX: usize = 500;

/// Steps of one series at most, those included that have no row.
pub const STEPS_MAX: usize = 1_000;

/// Steps that are looked ahead at most.
const HORIZON_MAX: usize = 366;

/// Steps of a season at most.
const SEASON_MAX: usize = LIST_MAX;

/// Which analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Adds to each row `expected` (what it would be by its season and trend), `score` (how many deviations it is off),
    /// `is_outlier`, and `is_last` (no later row has this key). The first three are null where a series is too short.
    Outlier,
    /// Keeps the last row of each key and adds `reaches_at_days`: in how many days from then the series comes to
    /// `reaches`; null where it does not within the horizon, or is too short.
    Forecast,
}

/// From where a series comes to a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    /// It falls.
    #[default]
    Above,
    /// It rises.
    Below,
}

/// An analysis as a pack declares it: of which columns, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Analysis {
    kind: Kind,
    /// The column that says whose series it is.
    key: String,
    /// The column that says when: a date, a time, or milliseconds since 1970.
    time: String,
    /// The column with the number.
    value: String,
    /// How far steps are apart; a day where nothing is said.
    step: Option<Span>,
    /// Of an outlier: steps after which things are alike again, such as 7 days.
    season: Option<usize>,
    /// Of an outlier: the score from which on it is one.
    threshold: Option<Amount>,
    /// Of an outlier: the difference from what is expected that it has at least; 0 where nothing is said.
    margin: Option<Amount>,
    /// Of a forecast: the value that is waited for.
    reaches: Option<Amount>,
    /// Of a forecast: from where it comes to that; from above where nothing is said.
    from: Option<Side>,
    /// Of a forecast: steps that are looked ahead.
    horizon: Option<usize>,
}

impl Analysis {
    /// Holds it against the parameters that there are.
    pub(crate) fn check(&self, declared: &BTreeMap<String, Param>) -> Result<(), String> {
        let needs = |name: &str| format!("it needs `{name}`");
        let amount = match self.kind {
            Kind::Outlier => {
                let season = self.season.ok_or_else(|| needs("season"))?;
                if !(2..=SEASON_MAX).contains(&season) {
                    return Err(format!("a season has 2 to {SEASON_MAX} steps"));
                }
                if self.reaches.is_some() || self.horizon.is_some() || self.from.is_some() {
                    return Err("`reaches`, `from` and `horizon` are for a forecast".to_owned());
                }
                self.threshold.as_ref().ok_or_else(|| needs("threshold"))?
            }
            Kind::Forecast => {
                let horizon = self.horizon.ok_or_else(|| needs("horizon"))?;
                if !(1..=HORIZON_MAX).contains(&horizon) {
                    return Err(format!("a horizon has 1 to {HORIZON_MAX} steps"));
                }
                if self.season.is_some() || self.threshold.is_some() || self.margin.is_some() {
                    return Err("`season`, `threshold` and `margin` are for an outlier".to_owned());
                }
                self.reaches.as_ref().ok_or_else(|| needs("reaches"))?
            }
        };
        amount.check(declared)?;
        self.margin
            .as_ref()
            .map_or(Ok(()), |margin| margin.check(declared))
    }

    /// The rows with what the analysis adds to them.
    pub(crate) fn add(&self, rows: Vec<Row>, params: &Params) -> Result<Vec<Row>, String> {
        let series = Series::of(&rows, self)?;
        match self.kind {
            Kind::Outlier => {
                let threshold = self.threshold.as_ref().and_then(|one| one.of(params));
                let season = self.season.unwrap_or_default();
                let threshold = threshold.ok_or_else(|| "`threshold` is no number".to_owned())?;
                let margin = self.margin.as_ref().and_then(|one| one.of(params));
                let margin = margin.unwrap_or_default();
                Ok(outlier::add(rows, &series, season, threshold, margin))
            }
            Kind::Forecast => {
                let reaches = self.reaches.as_ref().and_then(|one| one.of(params));
                let goal = Goal {
                    side: self.from.unwrap_or_default(),
                    horizon: self.horizon.unwrap_or_default(),
                    step_ms: self.step_ms(),
                    reaches: reaches.ok_or_else(|| "`reaches` is no number".to_owned())?,
                };
                Ok(forecast::add(rows, &series, &goal))
            }
        }
    }

    fn step_ms(&self) -> i64 {
        self.step.map_or(86_400_000, Span::ms)
    }
}

/// A number in a row; null where it is not finite.
fn number(number: f64) -> serde_json::Value {
    serde_json::Number::from_f64(number).map_or(serde_json::Value::Null, Into::into)
}

#[cfg(test)]
mod tests;
