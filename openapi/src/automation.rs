//! What a home does by itself, as its document has it, so that both sides may change it while the line is cut.

/// Alarms, and what is done to them.
mod alarm;
/// What readings mean over days.
mod insight;
/// Where the home is.
mod place;
/// Who is at home.
mod presence;
/// What several devices do at once.
mod scene;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tarn_common::twin::{
    document::{Document, DocumentId, Section},
    edit::Edit,
    home::{HomeTwins, TwinError},
    replica::Replica,
};
use tarn_rules::rule::{Rule, RuleId};

pub use self::{
    alarm::{AlarmChange, AlarmRecord, alarms, change_alarm, silent_alarm},
    insight::{InsightSettings, insights, set_insight},
    place::{PlaceRecord, place, set_place},
    presence::{PresenceRecord, presence, set_presence, trackers},
    scene::{
        Scene, Started, request, scenes, set_group, set_scene, settables, start_scene, starts,
    },
};

/// Setting of the home's mode.
const MODE: &str = "mode";
/// The mode of a home that nobody has put into one.
pub const MODE_DEFAULT: &str = "home";

/// Rules by id, as they are stored.
#[must_use]
pub fn stored_rules(replica: &Replica, now_ms: i64) -> BTreeMap<String, Value> {
    let Some(home) = replica.document(&DocumentId::home()) else {
        return BTreeMap::new();
    };
    let ids = home.attributes(Section::Rules).into_iter();
    ids.filter_map(|id| {
        let value = home.value(Section::Rules, &id, now_ms)?;
        Some((id, value))
    })
    .collect()
}

/// The rules that this version understands.
#[must_use]
pub fn rules(replica: &Replica, now_ms: i64) -> BTreeMap<RuleId, Rule> {
    let stored = stored_rules(replica, now_ms).into_iter();
    let rules = stored.filter_map(|(id, value)| {
        let rule = serde_json::from_value(value).ok()?;
        Some((RuleId(id), rule))
    });
    rules.collect()
}

/// Make a rule, or put it in the place of the one that was. On return that is stored. It is not checked here.
///
/// # Errors
/// It cannot be stored.
pub async fn set_rule(twins: &HomeTwins, id: &str, rule: &Rule, by: &str) -> Result<(), TwinError> {
    let edit = Edit::new(DocumentId::home(), Section::Rules, id, json!(rule));
    let decide = |_: &Replica| Ok::<_, TwinError>(vec![edit]);
    twins.edit_if(decide, by).await.map(drop)
}

/// The mode of a home.
#[must_use]
pub fn mode(replica: &Replica, now_ms: i64) -> String {
    let home = replica.document(&DocumentId::home());
    let mode = home.and_then(|home| setting_of(home, MODE, now_ms));
    mode.unwrap_or_else(|| MODE_DEFAULT.to_owned())
}

/// Put a home into a mode. On return that is stored.
///
/// # Errors
/// It cannot be stored.
pub async fn set_mode(twins: &HomeTwins, mode: &str, by: &str) -> Result<(), TwinError> {
    let decide = |_: &Replica| Ok::<_, TwinError>(vec![setting(MODE, json!(mode))]);
    twins.edit_if(decide, by).await.map(drop)
}

fn setting(name: &str, value: Value) -> Edit {
    Edit::new(DocumentId::home(), Section::Settings, name, value)
}

fn setting_of<T: DeserializeOwned>(home: &Document, name: &str, now_ms: i64) -> Option<T> {
    let value = home.value(Section::Settings, name, now_ms)?;
    serde_json::from_value(value).ok()
}

/// Settings whose names begin so, by what follows; those that this version does not understand are left out.
fn named<T: DeserializeOwned>(replica: &Replica, prefix: &str, now_ms: i64) -> BTreeMap<String, T> {
    let Some(home) = replica.document(&DocumentId::home()) else {
        return BTreeMap::new();
    };
    let attributes = home.attributes(Section::Settings).into_iter();
    let named = attributes.filter_map(|name| {
        let setting = setting_of(home, &name, now_ms)?;
        Some((name.strip_prefix(prefix)?.to_owned(), setting))
    });
    named.collect()
}
