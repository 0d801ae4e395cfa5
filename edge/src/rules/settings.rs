use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tarn_broker::Publisher;
use tarn_common::{
    event::{ALARM, LoggedEvent},
    ids::HomeId,
    twin::{document::DocumentId, home::HomeTwins},
};
use tarn_openapi::{
    automation::{self, AlarmRecord},
    heads,
    live::{LiveAlarm, LiveEvent, LiveHub},
};
use tarn_rules::{
    input::AlarmState,
    rule::{Rule, RuleId},
};

use crate::{devices::OWN_CLIENT, journal::Journal};

/// What the home's document says of what the home does by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) rules: BTreeMap<RuleId, Rule>,
    pub(super) mode: String,
    pub(super) alarms: BTreeMap<String, AlarmRecord>,
}

impl Settings {
    pub(super) fn of(twins: &HomeTwins, now_ms: i64) -> Settings {
        twins.read(|replica| Settings {
            rules: automation::rules(replica, now_ms),
            mode: automation::mode(replica, now_ms),
            alarms: automation::alarms(replica, now_ms),
        })
    }
}

/// Which version of the home's document it is: with every change of it another.
pub(super) fn version(twins: &HomeTwins) -> Vec<String> {
    twins.read(|replica| heads(replica.document(&DocumentId::home())))
}

/// Tells what becomes of alarms: on MQTT, to who listens, and as events.
pub struct Alarms {
    /// The home.
    pub home: HomeId,
    /// Where they are published.
    pub publisher: Publisher,
    /// Where they are noted.
    pub journal: Arc<Journal>,
    /// Who listens.
    pub hub: Arc<LiveHub>,
}

impl Alarms {
    /// Say anew which alarms stand: whether that was said before a stop, nobody knows.
    pub(super) fn begin(&self, settings: &Settings) {
        for (id, alarm) in &settings.alarms {
            if alarm.state != AlarmState::Cleared {
                self.publish(id, alarm);
            }
        }
    }

    /// Tell alarms that have changed, and give them.
    pub(super) fn tell<'a>(
        &self,
        before: &Settings,
        now: &'a Settings,
    ) -> Vec<(&'a str, &'a AlarmRecord)> {
        let changed = now.alarms.iter();
        let changed = changed.filter(|(id, alarm)| before.alarms.get(*id) != Some(*alarm));
        let changed: Vec<_> = changed.map(|(id, alarm)| (id.as_str(), alarm)).collect();
        for (id, alarm) in &changed {
            let event = LoggedEvent {
                at_ms: alarm.changed_ms,
                kind: ALARM.into(),
                subject: (*id).to_owned(),
                reason: alarm.state.to_string(),
                detail: json!(alarm),
            };
            if self.journal.log(&event).is_err() {
                tracing::error!(
                    alarm = id,
                    event = event.to_json(),
                    "what became of an alarm cannot be written; it is only here"
                );
            }
            self.publish(id, alarm);
            self.hub.push(LiveEvent::Alarm(LiveAlarm::of(id, alarm)));
        }
        changed
    }

    fn publish(&self, id: &str, alarm: &AlarmRecord) {
        let topic = format!("tarn/{}/alarm/{id}", self.home);
        let published =
            self.publisher
                .publish_logged(OWN_CLIENT, &topic, json!(alarm).to_string(), 1, true);
        if let Err(error) = published {
            tracing::error!(alarm = id, %error, "an alarm cannot be published");
        }
    }
}
