use std::collections::{BTreeMap, BTreeSet};

use tarn_common::event::{ALARM, LoggedEvent, RULE};
use tarn_openapi::automation::AlarmRecord;
use tarn_rules::firing::Firing;

/// Word of a firing's event: it was noted, and is carried out now.
pub(super) const FIRED: &str = "fired";
/// Word of the event that a firing was carried out.
pub(super) const DONE: &str = "done";

/// What the journal has of what rules and alarms did.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Firings by their ids, with whether they were carried out.
    pub(super) firings: BTreeMap<String, (Firing, bool)>,
    /// Alarms and when they changed.
    alarms: BTreeSet<(String, i64)>,
}

impl Noted {
    /// These fired, and the journal has to say whether they were carried out.
    pub(super) fn expecting(firings: Vec<Firing>) -> Noted {
        let by_id = firings
            .into_iter()
            .map(|firing| (firing.id.clone(), (firing, false)));
        Noted {
            firings: by_id.collect(),
            ..Noted::default()
        }
    }

    /// What fired and was not carried out to its end.
    pub(super) fn undone(self) -> Vec<Firing> {
        let firings = self.firings.into_values();
        firings
            .filter_map(|(firing, is_done)| (!is_done).then_some(firing))
            .collect()
    }

    /// Take in an event.
    pub(super) fn take(&mut self, payload: &[u8]) {
        let text = std::str::from_utf8(payload).unwrap_or_default();
        let Some(event) = LoggedEvent::from_json(text, 0) else {
            return;
        };
        match (&*event.kind, &*event.reason) {
            (RULE, FIRED) => {
                if let Ok(firing) = serde_json::from_value::<Firing>(event.detail) {
                    self.firings.insert(firing.id.clone(), (firing, false));
                }
            }
            (RULE, DONE) => {
                let id = event.detail["id"].as_str().unwrap_or_default();
                if let Some((_, is_done)) = self.firings.get_mut(id) {
                    *is_done = true;
                }
            }
            (ALARM, _) => {
                if let Ok(alarm) = serde_json::from_value::<AlarmRecord>(event.detail) {
                    self.alarms.insert((event.subject, alarm.changed_ms));
                }
            }
            _ => {}
        }
    }

    /// Whether this change of an alarm is in it.
    pub(super) fn has_alarm(&self, id: &str, alarm: &AlarmRecord) -> bool {
        self.alarms.contains(&(id.to_owned(), alarm.changed_ms))
    }
}
