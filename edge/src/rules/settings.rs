use std::collections::BTreeMap;

use tarn_common::twin::{document::DocumentId, home::HomeTwins};
use tarn_openapi::{
    automation::{self, AlarmRecord, PlaceRecord, PresenceRecord, Scene, Started},
    heads,
};
use tarn_rules::rule::{Rule, RuleId};

/// What the home's document says of what the home does by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) rules: BTreeMap<RuleId, Rule>,
    pub(super) mode: String,
    pub(super) alarms: BTreeMap<String, AlarmRecord>,
    pub(super) scenes: BTreeMap<String, Scene>,
    pub(super) starts: BTreeMap<String, Started>,
    pub(super) presence: BTreeMap<String, PresenceRecord>,
    pub(super) trackers: BTreeMap<String, String>,
    pub(super) place: PlaceRecord,
}

impl Settings {
    /// Whether an alarm stands.
    pub(super) fn stands(&self, alarm: &str) -> bool {
        let alarm = self.alarms.get(alarm);
        alarm.is_some_and(AlarmRecord::stands)
    }

    /// Whether there is anything to look at the journal for.
    pub(super) fn want_journal(&self) -> bool {
        let is_idle = self.rules.is_empty() && self.scenes.is_empty() && self.trackers.is_empty();
        // Who is told of an alarm may acknowledge it by MQTT.
        !is_idle || self.alarms.values().any(AlarmRecord::stands)
    }

    pub(super) fn of(twins: &HomeTwins, now_ms: i64) -> Settings {
        twins.read(|replica| Settings {
            rules: automation::rules(replica, now_ms),
            mode: automation::mode(replica, now_ms),
            alarms: automation::alarms(replica, now_ms),
            scenes: automation::scenes(replica, now_ms),
            starts: automation::starts(replica, now_ms),
            presence: automation::presence(replica, now_ms),
            trackers: automation::trackers(replica, now_ms),
            place: automation::place(replica, now_ms),
        })
    }
}

/// Which version of the home's document it is: with every change of it another.
pub(super) fn version(twins: &HomeTwins) -> Vec<String> {
    twins.read(|replica| heads(replica.document(&DocumentId::home())))
}
