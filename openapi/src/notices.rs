//! Alarms in the words of what delivers them.

use tarn_common::ids::HomeId;
use tarn_notify::{Alarm, AlarmState, Class, Severity};
use tarn_rules::{input, rule};

use crate::automation::AlarmRecord;

/// An alarm of a home as it is delivered.
#[must_use]
pub fn alarm(home: &HomeId, id: &str, record: &AlarmRecord) -> Alarm {
    Alarm {
        home: home.to_string(),
        id: id.to_owned(),
        state: match record.state {
            input::AlarmState::Raised => AlarmState::Raised,
            input::AlarmState::Acknowledged => AlarmState::Acknowledged,
            input::AlarmState::Cleared => AlarmState::Cleared,
        },
        severity: match record.severity {
            rule::Severity::Info => Severity::Info,
            rule::Severity::Warning => Severity::Warning,
            rule::Severity::Critical => Severity::Critical,
        },
        class: record.class.map(|class| match class {
            rule::AlarmClass::Smoke => Class::Smoke,
            rule::AlarmClass::Gas => Class::Gas,
            rule::AlarmClass::Water => Class::Water,
            rule::AlarmClass::Intrusion => Class::Intrusion,
            rule::AlarmClass::Device => Class::Device,
            rule::AlarmClass::Health => Class::Health,
            rule::AlarmClass::Energy => Class::Energy,
            rule::AlarmClass::Climate => Class::Climate,
        }),
        message: record.message.clone(),
        raised_ms: record.raised_ms,
        changed_ms: record.changed_ms,
        by: record.by.clone(),
    }
}
