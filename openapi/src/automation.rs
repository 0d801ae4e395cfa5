//! Rules, alarms and the mode of a home, as its document has them, so that both sides may change them while the line is cut.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tarn_common::twin::{
    document::{Document, DocumentId, Section},
    edit::Edit,
    home::{HomeTwins, TwinError},
    replica::Replica,
};
use tarn_rules::{
    input::AlarmState,
    rule::{Rule, RuleId, Severity},
};

/// Setting of the home's mode.
const MODE: &str = "mode";
/// What settings of alarms begin with; their ids follow.
const ALARM: &str = "alarm/";
/// The mode of a home that nobody has put into one.
pub const MODE_DEFAULT: &str = "home";

/// An alarm of a home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// What has become of it.
    pub state: AlarmState,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// When it was raised, milliseconds since 1970 UTC.
    pub raised_ms: i64,
    /// When its state last changed, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Who changed it last.
    pub by: String,
}

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

/// The mode of a home.
#[must_use]
pub fn mode(replica: &Replica, now_ms: i64) -> String {
    let home = replica.document(&DocumentId::home());
    let mode = home.and_then(|home| home.value(Section::Settings, MODE, now_ms));
    mode.as_ref()
        .and_then(Value::as_str)
        .unwrap_or(MODE_DEFAULT)
        .to_owned()
}

/// Put a home into a mode. On return that is stored.
///
/// # Errors
/// It cannot be stored.
pub async fn set_mode(twins: &HomeTwins, mode: &str, by: &str) -> Result<(), TwinError> {
    let decide = |_: &Replica| Ok::<_, TwinError>(vec![setting(MODE, json!(mode))]);
    twins.edit_if(decide, by).await.map(drop)
}

/// Alarms by id, those that were cleared too.
#[must_use]
pub fn alarms(replica: &Replica, now_ms: i64) -> BTreeMap<String, AlarmRecord> {
    let Some(home) = replica.document(&DocumentId::home()) else {
        return BTreeMap::new();
    };
    let attributes = home.attributes(Section::Settings).into_iter();
    let ids = attributes.filter_map(|name| name.strip_prefix(ALARM).map(str::to_owned));
    ids.filter_map(|id| alarm(home, &id, now_ms).map(|alarm| (id, alarm)))
        .collect()
}

fn alarm(home: &Document, id: &str, now_ms: i64) -> Option<AlarmRecord> {
    let value = home.value(Section::Settings, &format!("{ALARM}{id}"), now_ms)?;
    serde_json::from_value(value).ok()
}

fn setting(name: &str, value: Value) -> Edit {
    Edit::new(DocumentId::home(), Section::Settings, name, value)
}

/// What is done to an alarm.
#[derive(Debug, Clone, PartialEq)]
pub enum AlarmChange {
    /// It is raised, unless it is already and no worse now.
    Raise {
        /// How bad it is.
        severity: Severity,
        /// What is wrong.
        message: String,
    },
    /// Somebody has seen it.
    Acknowledge,
    /// Nothing is wrong any more.
    Clear,
}

impl AlarmChange {
    /// What it makes of an alarm; none where nothing changes.
    fn of(&self, before: Option<&AlarmRecord>, by: &str, now_ms: i64) -> Option<AlarmRecord> {
        let standing = before.filter(|alarm| alarm.state != AlarmState::Cleared);
        let next = |state| {
            standing.map(|alarm| AlarmRecord {
                state,
                changed_ms: now_ms,
                by: by.to_owned(),
                ..alarm.clone()
            })
        };
        match self {
            AlarmChange::Raise { severity, .. }
                if standing.is_some_and(|alarm| alarm.severity >= *severity) =>
            {
                None
            }
            AlarmChange::Raise { severity, message } => Some(AlarmRecord {
                state: AlarmState::Raised,
                severity: *severity,
                message: message.clone(),
                raised_ms: standing.map_or(now_ms, |alarm| alarm.raised_ms),
                changed_ms: now_ms,
                by: by.to_owned(),
            }),
            AlarmChange::Acknowledge => next(AlarmState::Acknowledged)
                .filter(|_| standing.is_some_and(|alarm| alarm.state == AlarmState::Raised)),
            AlarmChange::Clear => next(AlarmState::Cleared),
        }
    }
}

/// Change an alarm. On return that is stored. Gives the alarm as it is then; none where there is none of this id.
///
/// # Errors
/// It cannot be stored.
pub async fn change_alarm(
    twins: &HomeTwins,
    id: &str,
    change: &AlarmChange,
    by: &str,
    now_ms: i64,
) -> Result<Option<AlarmRecord>, TwinError> {
    let mut is = None;
    let decide = |replica: &Replica| {
        let home = replica.document(&DocumentId::home());
        let before = home.and_then(|home| alarm(home, id, now_ms));
        let after = change.of(before.as_ref(), by, now_ms);
        let edit = after.as_ref().map(|after| {
            let value = serde_json::to_value(after).unwrap_or_default();
            setting(&format!("{ALARM}{id}"), value)
        });
        is = after.or(before);
        Ok::<_, TwinError>(edit.into_iter().collect())
    };
    twins.edit_if(decide, by).await?;
    Ok(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(severity: Severity) -> AlarmChange {
        AlarmChange::Raise {
            severity,
            message: "wet".into(),
        }
    }

    #[test]
    fn an_alarm_is_raised_once_and_again_when_it_is_worse_or_was_cleared() {
        let first = raise(Severity::Warning)
            .of(None, "rule:leak", 1)
            .expect("raised");
        assert_eq!(
            raise(Severity::Warning).of(Some(&first), "rule:leak", 2),
            None
        );
        let worse = raise(Severity::Critical).of(Some(&first), "rule:leak", 3);
        let worse = worse.expect("raised");
        assert_eq!((worse.raised_ms, worse.changed_ms), (1, 3));
        let known = AlarmChange::Acknowledge.of(Some(&worse), "ada", 4);
        let known = known.expect("acknowledged");
        assert_eq!((known.state, &*known.by), (AlarmState::Acknowledged, "ada"));
        // Whoever knows of it is not told again.
        assert_eq!(
            raise(Severity::Critical).of(Some(&known), "rule:leak", 5),
            None
        );
        assert_eq!(AlarmChange::Acknowledge.of(Some(&known), "bob", 5), None);
        let gone = AlarmChange::Clear
            .of(Some(&known), "rule:dry", 6)
            .expect("cleared");
        assert_eq!(AlarmChange::Clear.of(Some(&gone), "rule:dry", 7), None);
        let again = raise(Severity::Info).of(Some(&gone), "rule:leak", 8);
        assert_eq!(again.map(|alarm| alarm.raised_ms), Some(8));
        assert_eq!(AlarmChange::Clear.of(None, "ada", 9), None);
    }
}
