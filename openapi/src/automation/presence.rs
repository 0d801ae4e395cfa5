use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tarn_common::twin::{
    document::{DocumentId, Section},
    home::{HomeTwins, TwinError},
    replica::Replica,
};
use tarn_rules::rule::Whereabouts;

use super::{named, setting, setting_of};

/// What settings of presence begin with; the ids of members follow.
const PRESENCE: &str = "presence/";

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresenceRecord {
    /// At home or elsewhere.
    pub is: Whereabouts,
    /// Since when, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Who said it.
    pub by: String,
}

/// Where members are, of whom it is known.
#[must_use]
pub fn presence(replica: &Replica, now_ms: i64) -> BTreeMap<String, PresenceRecord> {
    named(replica, PRESENCE, now_ms)
}

/// Say where a member is. On return that is stored.
///
/// # Errors
/// It cannot be stored.
pub async fn set_presence(
    twins: &HomeTwins,
    member: &str,
    is: Whereabouts,
    by: &str,
    now_ms: i64,
) -> Result<(), TwinError> {
    let name = format!("{PRESENCE}{member}");
    let decide = |replica: &Replica| {
        let home = replica.document(&DocumentId::home());
        let before = home.and_then(|home| setting_of::<PresenceRecord>(home, &name, now_ms));
        if before.is_some_and(|before| before.is == is) {
            return Ok(Vec::new());
        }
        let record = PresenceRecord {
            is,
            since_ms: now_ms,
            by: by.to_owned(),
        };
        Ok::<_, TwinError>(vec![setting(&name, json!(record))])
    };
    twins.edit_if(decide, by).await.map(drop)
}

/// Series that tell where a member is, like a telephone's tracker: the members by device, slash and metric.
#[must_use]
pub fn trackers(replica: &Replica, now_ms: i64) -> BTreeMap<String, String> {
    let Some(home) = replica.document(&DocumentId::home()) else {
        return BTreeMap::new();
    };
    let members = home.attributes(Section::Members).into_iter();
    let tracked = members.filter_map(|member| {
        let said = home.value(Section::Members, &member, now_ms)?;
        let tracker = said.get("tracker").and_then(Value::as_str)?.to_owned();
        Some((tracker, member))
    });
    tracked.collect()
}
