use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarn_common::{
    ids::EdgeId,
    twin::{
        document::{Document, DocumentId},
        home::{HomeTwins, TwinError},
        replica::Replica,
    },
};
use tarn_rules::{
    input::AlarmState,
    rule::{AlarmClass, Severity},
};

use super::{named, setting, setting_of};

/// What settings of alarms begin with; their ids follow.
const ALARM: &str = "alarm/";

/// An alarm of a home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// What has become of it.
    pub state: AlarmState,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<AlarmClass>,
    /// What is wrong.
    pub message: String,
    /// When it was raised, milliseconds since 1970 UTC.
    pub raised_ms: i64,
    /// When its state last changed, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Who changed it last.
    pub by: String,
}

impl AlarmRecord {
    /// Whether something is still wrong, seen or not.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.state != AlarmState::Cleared
    }
}

/// Alarms by id, those that were cleared too.
#[must_use]
pub fn alarms(replica: &Replica, now_ms: i64) -> BTreeMap<String, AlarmRecord> {
    named(replica, ALARM, now_ms)
}

fn alarm(home: &Document, id: &str, now_ms: i64) -> Option<AlarmRecord> {
    setting_of(home, &format!("{ALARM}{id}"), now_ms)
}

/// Id of the alarm that a box is silent while nobody is there to see it. The cloud raises it, the box clears it.
#[must_use]
pub fn silent_alarm(edge: EdgeId) -> String {
    format!("box/{edge}/silent")
}

/// What is done to an alarm.
#[derive(Debug, Clone, PartialEq)]
pub enum AlarmChange {
    /// It is raised, unless it is already and no worse now.
    Raise {
        /// How bad it is.
        severity: Severity,
        /// What kind of thing is wrong.
        class: Option<AlarmClass>,
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
        let standing = before.filter(|alarm| alarm.stands());
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
            AlarmChange::Raise {
                severity,
                class,
                message,
            } => Some(AlarmRecord {
                state: AlarmState::Raised,
                severity: *severity,
                class: *class,
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
            class: None,
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
