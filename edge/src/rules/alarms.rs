use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tarn_broker::Publisher;
use tarn_common::{
    event::{ALARM, LoggedEvent},
    ids::HomeId,
};
use tarn_openapi::{
    automation::AlarmRecord,
    live::{LiveAlarm, LiveEvent, LiveHub},
};

use super::settings::Settings;
use crate::{devices::OWN_CLIENT, journal::Journal};

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
    /// Say anew which alarms stand, and the mode: whether that was said before a stop, nobody knows.
    pub(super) fn begin(&self, settings: &Settings) {
        for (id, alarm) in &settings.alarms {
            if alarm.stands() {
                self.publish(id, alarm);
            }
        }
        if settings.want_journal() {
            self.tell_mode(&settings.mode);
        }
    }

    /// Tell the mode that the home is in.
    pub(super) fn tell_mode(&self, mode: &str) {
        let topic = format!("tarn/{}/mode", self.home);
        let told = self
            .publisher
            .publish_logged(OWN_CLIENT, &topic, mode.to_owned(), 1, true);
        if let Err(error) = told {
            tracing::error!(mode, %error, "the mode cannot be published");
        }
    }

    /// Tell alarms that have changed, and give them.
    pub(super) fn tell<'a>(
        &self,
        before: &BTreeMap<String, AlarmRecord>,
        now: &'a BTreeMap<String, AlarmRecord>,
    ) -> Vec<(&'a str, &'a AlarmRecord)> {
        let changed = now.iter();
        let changed = changed.filter(|(id, alarm)| before.get(*id) != Some(*alarm));
        let changed: Vec<_> = changed.map(|(id, alarm)| (id.as_str(), alarm)).collect();
        for (id, alarm) in &changed {
            let event = LoggedEvent {
                at_ms: alarm.changed_ms,
                kind: ALARM.into(),
                subject: (*id).to_owned(),
                reason: alarm.state.to_string(),
                detail: json!(alarm),
            };
            self.journal.tell(&event);
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
