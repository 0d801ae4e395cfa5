//! Running insights: a pack's query over the lake, and what it finds in the answer.

use std::{collections::BTreeMap, sync::Arc};

use arrow::json::{ArrayWriter, writer::WriterBuilder};
use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde_json::Value;
use tarn_common::{
    ids::HomeId,
    query::{Answer, Engine, Limits, QueryError},
};
use tarn_insights::{EvaluateError, Finding, Pack, ParamError, Row};

use crate::automation::InsightSettings;

/// What a host does for insights beside running them when it is asked: a box runs them by itself.
#[async_trait]
pub trait InsightService: Send + Sync + 'static {
    /// All packs, with those of the home's own.
    fn packs(&self) -> Vec<&Pack>;
    /// What holds now, private findings too.
    fn findings(&self) -> Vec<Finding>;
    /// Packs that failed when they last ran, and why.
    fn faults(&self) -> BTreeMap<String, String>;
}

/// Why a pack found nothing.
#[derive(Debug, thiserror::Error)]
pub enum InsightError {
    /// A parameter that the home sets is wrong.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// Its query fails.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// What its query answers is no rows.
    #[error("rows of its query")]
    Rows(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its condition or advice fails.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// What packs are run with.
#[derive(Debug)]
pub struct Run<'a> {
    /// Answers their queries.
    pub engine: &'a Arc<Engine>,
    /// What one query may cost.
    pub limits: Limits,
    /// The home.
    pub home: &'a HomeId,
    /// When it is, milliseconds since 1970 UTC.
    pub now_ms: i64,
    /// The home's time zone.
    pub zone: &'a TimeZone,
    /// Names of devices for people, by their ids.
    pub names: &'a BTreeMap<String, String>,
}

impl Run<'_> {
    /// Run a pack.
    ///
    /// # Errors
    /// A parameter is wrong, or its query, condition or advice fails. Nothing else is harmed by it.
    pub async fn pack(
        &self,
        pack: &Pack,
        settings: &InsightSettings,
    ) -> Result<Vec<Finding>, InsightError> {
        let params = pack.params(&settings.params)?;
        let question = pack.sql(self.home.as_str(), self.now_ms, self.zone, &params);
        let answer = self.engine.sql(&question, self.limits).await?;
        let mut rows = rows(&answer).map_err(InsightError::Rows)?;
        for row in &mut rows {
            let name = row.get("device").and_then(Value::as_str);
            let name = name.map(|id| self.names.get(id).map_or(id, String::as_str));
            if let (Some(name), false) = (name.map(str::to_owned), row.contains_key("name")) {
                row.insert("name".into(), name.into());
            }
        }
        Ok(pack.evaluate(rows, &params, self.now_ms)?)
    }
}

fn rows(answer: &Answer) -> Result<Vec<Row>, Box<dyn std::error::Error + Send + Sync>> {
    let mut bytes = Vec::new();
    let mut writer: ArrayWriter<_> = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build(&mut bytes);
    writer.write_batches(&answer.batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    drop(writer);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&bytes)?)
}
