use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tarn_common::twin::{
    home::{HomeTwins, TwinError},
    replica::Replica,
};
use tarn_insights::params::Value;

use super::{named, setting};

/// What settings of insights begin with; the ids of packs follow.
const INSIGHT: &str = "insight/";

/// What a home says of an insight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightSettings {
    /// Whether it runs.
    pub enabled: bool,
    /// Of a private one, whether its findings may leave the box all the same.
    #[serde(default)]
    pub shared: bool,
    /// Parameters in the place of the pack's own.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

impl Default for InsightSettings {
    fn default() -> Self {
        InsightSettings {
            enabled: true,
            shared: false,
            params: BTreeMap::new(),
        }
    }
}

/// What a home says of insights, by the ids of packs.
#[must_use]
pub fn insights(replica: &Replica, now_ms: i64) -> BTreeMap<String, InsightSettings> {
    named(replica, INSIGHT, now_ms)
}

/// Say something of an insight. On return that is stored.
///
/// # Errors
/// It cannot be stored.
pub async fn set_insight(
    twins: &HomeTwins,
    pack: &str,
    settings: &InsightSettings,
    by: &str,
) -> Result<(), TwinError> {
    let edit = setting(&format!("{INSIGHT}{pack}"), json!(settings));
    let decide = |_: &Replica| Ok::<_, TwinError>(vec![edit]);
    twins.edit_if(decide, by).await.map(drop)
}
