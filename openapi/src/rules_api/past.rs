use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute,
    datatypes::{DataType, Float64Type, Int64Type},
};
use poem_openapi::{Object, types::Any};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tarn_common::{
    event::RULE,
    ids::HomeId,
    query::{Answer, Limits},
};
use tarn_rules::{
    Place,
    backtest::{backtest, series},
    firing::Firing,
    input::{Input, Reading},
    rule::{Rule as Definition, RuleId},
};

use super::shapes::{Rule, RuleAction, told};
use crate::{problem::Failure, service::Service, types::moment};

/// Readings that a back-test looks at, at most.
const READINGS_MAX: usize = 2_000_000;

/// What a back-test goes through.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct BacktestRequest {
    /// From when on it may fire: RFC 3339, a date, or back from now like `-30d`.
    #[oai(validator(max_length = 64))]
    pub(super) from: String,
    /// Up to when; now where it is not said.
    #[oai(validator(max_length = 64))]
    pub(super) to: Option<String>,
    /// A rule that is tried in the place of the one that is stored.
    pub(super) definition: Option<Rule>,
}

/// What a rule did, or would have done.
#[derive(Debug, Object)]
pub(crate) struct RuleFirings {
    /// Each time that it fired.
    pub(super) firings: Vec<RuleFiring>,
    /// Whether there is more than is told here: ask for less time.
    pub(super) more: bool,
    /// What went wrong, in words: expressions that failed, moments that were missed.
    pub(super) notices: Vec<String>,
    /// Number of chunks that could not be read, so that their readings are not in it.
    pub(super) missing: u64,
}

/// A rule that fired.
#[derive(Debug, Object)]
pub(crate) struct RuleFiring {
    /// Id of this firing.
    id: String,
    /// Id of the rule.
    rule: String,
    /// When, RFC 3339 UTC.
    at: String,
    /// What made it fire, in words.
    trigger: String,
    /// What the parts of its conditions gave, by how they are written.
    values: BTreeMap<String, Any<Value>>,
    /// What it does, with texts filled in.
    actions: Vec<RuleAction>,
    /// What it does not do, because another rule wants something else.
    overruled: Vec<String>,
}

impl RuleFiring {
    pub(super) fn of(firing: &Firing) -> RuleFiring {
        let json = |value| serde_json::to_value(value).unwrap_or_default();
        let values = firing.why.values.iter();
        RuleFiring {
            id: firing.id.clone(),
            rule: firing.rule.to_string(),
            at: moment(firing.at_ms),
            trigger: firing.why.trigger.clone(),
            values: values
                .map(|(part, value)| (part.clone(), Any(json(value))))
                .collect(),
            actions: told(&firing.actions),
            overruled: firing.overruled.iter().map(|o| o.words.clone()).collect(),
        }
    }
}

/// Which firings are listed.
pub(super) struct Wanted<'a> {
    /// Of this rule; of all without one.
    pub(super) rule: Option<&'a str>,
    /// From then on, milliseconds since 1970 UTC.
    pub(super) from: i64,
    /// Before then, milliseconds since 1970 UTC.
    pub(super) to: i64,
    /// So many at most.
    pub(super) limit: usize,
}

/// What rules did, latest first, by the events of the home.
pub(super) async fn list(
    service: &dyn Service,
    home: &HomeId,
    wanted: &Wanted<'_>,
) -> Result<RuleFirings, Failure> {
    let of = wanted.rule.map_or_else(String::new, |rule| {
        format!(" AND metric = '{}'", quoted(rule))
    });
    let Wanted {
        from, to, limit, ..
    } = wanted;
    let question = format!(
        "SELECT text FROM events WHERE home = '{home}' AND kind = '{RULE}' AND reason = 'fired'{of} \
         AND ts >= to_timestamp_millis({from}) AND ts < to_timestamp_millis({to}) ORDER BY ts DESC LIMIT {}",
        limit + 1
    );
    let answer = service.engine().sql(&question, service.limits()).await?;
    let told: Vec<Firing> = details(&answer)?;
    let mut firings: Vec<_> = told.iter().map(RuleFiring::of).collect();
    let more = firings.len() > *limit;
    firings.truncate(*limit);
    Ok(RuleFirings {
        firings,
        more,
        notices: Vec::new(),
        missing: answer.missing.len() as u64,
    })
}

/// Run a rule over what the lake has of the series that it looks at.
pub(super) async fn run(
    service: &dyn Service,
    home: &HomeId,
    id: &str,
    rule: Definition,
    place: Place,
    (from, to): (i64, i64),
) -> Result<RuleFirings, Failure> {
    let limits = Limits {
        rows: READINGS_MAX,
        ..service.limits()
    };
    let question = question(home, &rule, from, to);
    let answer = service.engine().sql(&question, limits).await?;
    let id = RuleId(id.to_owned());
    let tested = tokio::task::spawn_blocking(move || {
        let rows = Rows::of(&answer)?;
        let tested = backtest(&id, &rule, rows.inputs(), place, from, to);
        let notices = tested.notices.iter().map(|notice| notice.words.clone());
        Some(RuleFirings {
            firings: tested.firings.iter().map(RuleFiring::of).collect(),
            more: tested.cut_off_ms.is_some() || answer.truncated,
            notices: notices.collect(),
            missing: answer.missing.len() as u64,
        })
    });
    let tested = tested.await.map_err(|e| Failure::internal(e.to_string()))?;
    tested.ok_or_else(|| Failure::internal("readings are not of their own types"))
}

/// What the texts of events say that are of this shape; others are left out.
pub(crate) fn details<T: DeserializeOwned>(answer: &Answer) -> Result<Vec<T>, Failure> {
    let mut details = Vec::new();
    for batch in &answer.batches {
        let texts = batch.column_by_name("text");
        let texts = texts.and_then(|texts| compute::cast(texts, &DataType::Utf8).ok());
        let texts = texts.ok_or_else(|| Failure::internal("events have no text"))?;
        let told = texts.as_string::<i32>().iter().flatten();
        details.extend(told.filter_map(|text| serde_json::from_str::<T>(text).ok()));
    }
    Ok(details)
}

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// The condition of SQL that a row is of one of these series, by device and metric.
#[must_use]
pub fn of_series<'a>(series: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let wanted: Vec<String> = series
        .into_iter()
        .map(|(device, metric)| {
            let (device, metric) = (quoted(device), quoted(metric));
            format!("(device = '{device}' AND metric = '{metric}')")
        })
        .collect();
    match wanted.is_empty() {
        true => "false".to_owned(),
        false => wanted.join(" OR "),
    }
}

fn question(home: &HomeId, rule: &Definition, from: i64, to: i64) -> String {
    let series = series(rule);
    let series = series.iter().map(|(device, metric)| (&**device, &**metric));
    let wanted = of_series(series);
    format!(
        "SELECT CAST(ts AS BIGINT) AS ts, device, metric, value, text, seq FROM readings \
         WHERE home = '{home}' AND ts >= to_timestamp_millis({from}) AND ts < to_timestamp_millis({to}) AND ({wanted}) \
         ORDER BY ts, seq"
    )
}

/// Readings of an answer, in its order.
struct Rows(Vec<Columns>);

struct Columns {
    ts: ArrayRef,
    device: ArrayRef,
    metric: ArrayRef,
    value: ArrayRef,
    text: ArrayRef,
    seq: ArrayRef,
}

impl Rows {
    fn of(answer: &Answer) -> Option<Rows> {
        let columns = answer.batches.iter().map(Columns::of);
        columns.collect::<Option<_>>().map(Rows)
    }

    fn inputs(&self) -> impl Iterator<Item = (i64, Input<'_>)> {
        self.0.iter().flat_map(Columns::inputs)
    }
}

impl Columns {
    fn of(batch: &RecordBatch) -> Option<Columns> {
        let column =
            |name: &str, kind: &DataType| compute::cast(batch.column_by_name(name)?, kind).ok();
        Some(Columns {
            ts: column("ts", &DataType::Int64)?,
            device: column("device", &DataType::Utf8)?,
            metric: column("metric", &DataType::Utf8)?,
            value: column("value", &DataType::Float64)?,
            text: column("text", &DataType::Utf8)?,
            seq: column("seq", &DataType::Int64)?,
        })
    }

    fn inputs(&self) -> impl Iterator<Item = (i64, Input<'_>)> {
        let (ts, seq) = (
            self.ts.as_primitive::<Int64Type>(),
            self.seq.as_primitive::<Int64Type>(),
        );
        let value = self.value.as_primitive::<Float64Type>();
        let (device, metric) = (
            self.device.as_string::<i32>(),
            self.metric.as_string::<i32>(),
        );
        let text = self.text.as_string::<i32>();
        (0..ts.len()).map(move |row| {
            let reading = Reading {
                seq: seq.value(row).unsigned_abs(),
                ts_ms: ts.value(row),
                device: device.value(row),
                metric: metric.value(row),
                value: value.is_valid(row).then(|| value.value(row)),
                text: text.is_valid(row).then(|| text.value(row)),
                replayed: false,
            };
            (ts.value(row), Input::Reading(reading))
        })
    }
}
