use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    engine::slot::fingerprint,
    input::AlarmState,
    rule::{Rule, RuleId},
};

/// What an engine keeps over a restart. Values and histories are not in it: readings that are told again bring them
/// back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The last reading that counted. Take a state only when all readings of a record were told.
    pub upto: Option<u64>,
    /// How far the clock was, in milliseconds since the epoch; moments up to then were seen.
    pub now_ms: Option<i64>,
    /// The home's mode.
    pub mode: Option<String>,
    /// Members, and whether each is at home.
    pub presence: BTreeMap<String, bool>,
    /// Alarms.
    pub alarms: BTreeMap<String, AlarmState>,
    /// Devices of which somebody told whether they can be reached.
    pub online: BTreeMap<String, bool>,
    /// All rules that run.
    pub rules: BTreeMap<RuleId, RuleState>,
}

impl State {
    /// Whether this rule ran, or one of this id that looked at the same.
    #[must_use]
    pub fn knows(&self, id: &RuleId, rule: &Rule) -> bool {
        let kept = self.rules.get(id);
        kept.is_some_and(|kept| kept.fingerprint == fingerprint(rule))
    }
}

/// What is kept of one rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleState {
    /// Fingerprint of the definition that this belongs to.
    pub fingerprint: u64,
    /// Where its level is.
    #[serde(skip_serializing_if = "is_default")]
    pub level: Level,
    /// A moment whose `for` runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub armed: Option<Armed>,
    /// When it last fired, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fired_ms: Option<i64>,
    /// When the minute began in which its firings are counted.
    #[serde(skip_serializing_if = "is_default")]
    pub minute_ms: i64,
    /// Firings in that minute.
    #[serde(skip_serializing_if = "is_default")]
    pub minute_firings: u32,
    /// Until when it rests because it fired too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damped_until_ms: Option<i64>,
    /// What the last firing's id was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_origin: Option<Origin>,
    /// How often it fired from that one before.
    #[serde(skip_serializing_if = "is_default")]
    pub repeats: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where a level is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `if` does not hold.
    #[default]
    Inactive,
    /// `if` holds, but not yet long enough.
    Pending {
        /// Since when, in milliseconds since the epoch.
        since_ms: i64,
        /// What made it hold.
        origin: Origin,
    },
    /// It fired and has not ended yet.
    Active,
}

/// A moment whose `for` runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Armed {
    /// Index of the trigger.
    pub trigger: usize,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: i64,
    /// What it came from.
    pub origin: Origin,
    /// What it was, in words.
    pub words: String,
}

/// What a firing comes from; its id is made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A reading with this order number.
    Seq(u64),
    /// A moment, in milliseconds since the epoch.
    Moment(i64),
}
