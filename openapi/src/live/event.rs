use std::fmt;

use poem_openapi::{Enum, Object, Union};
use serde::{Deserialize, Serialize};
use tarn_common::twin::home::Change;

use crate::{automation::AlarmRecord, types::moment};

/// A kind of events that one can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename_all = "snake_case")]
pub enum LiveKind {
    /// A device measured something.
    Reading,
    /// What is known or wanted of a device has changed.
    Twin,
    /// A box or a device has come or gone.
    Presence,
    /// What has become of an alarm.
    Alarm,
}

/// An event, its kind in the field `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Union)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[oai(discriminator_name = "kind")]
pub enum LiveEvent {
    /// The latest value of a series, at most one every 250 ms.
    #[oai(mapping = "reading")]
    Reading(LiveReading),
    /// What is known or wanted of a device has changed.
    #[oai(mapping = "twin")]
    Twin(LiveTwin),
    /// A box or a device has come or gone.
    #[oai(mapping = "presence")]
    Presence(LivePresence),
    /// What has become of an alarm.
    #[oai(mapping = "alarm")]
    Alarm(LiveAlarm),
    /// The listener was too slow, and events were dropped.
    #[oai(mapping = "gap")]
    Gap(LiveGap),
    /// The stream does not go on from where the listener was.
    #[oai(mapping = "reset")]
    Reset(LiveReset),
}

/// The latest value of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
pub struct LiveReading {
    /// Id of the device.
    pub device: String,
    /// What was measured.
    pub metric: String,
    /// The number, in `unit`; booleans as 0 and 1; null for a text.
    pub value: Option<f64>,
    /// The text; null for a number.
    pub text: Option<String>,
    /// Unit of the value; null without one.
    pub unit: Option<String>,
    /// When it was measured, RFC 3339 UTC.
    pub ts: String,
    /// When the box got it, RFC 3339 UTC.
    pub received: String,
}

/// What is known or wanted of a device has changed: read it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
pub struct LiveTwin {
    /// Id of the device.
    pub device: String,
    /// What has changed, like `meta.name`, `desired.state` or `reported.brightness`.
    pub changed: Vec<String>,
}

/// What may be there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Present {
    /// A box.
    Box,
    /// A device.
    Device,
}

/// A box or a device has come or gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
pub struct LivePresence {
    /// Which of the two it is.
    pub what: Present,
    /// Id of the box (16 hex digits) or of the device.
    pub id: String,
    /// Whether it is there.
    pub online: bool,
    /// Since when, RFC 3339 UTC.
    pub since: String,
}

/// What has become of an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
pub struct LiveAlarm {
    /// Its id.
    pub alarm: String,
    /// `raised`, `acknowledged` or `cleared`.
    pub state: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// Since when, RFC 3339 UTC.
    pub since: String,
    /// Who has it so.
    pub by: String,
}

/// The listener was too slow: events were dropped before this one, and what it knows may be out of date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
pub struct LiveGap {
    /// How many.
    pub dropped: u64,
}

/// The stream does not go on from where the listener was: it has to read anew whatever it knows. The latest known
/// value of each series follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
pub struct LiveReset {
    /// Why.
    pub reason: String,
}

impl LiveEvent {
    /// What listeners are told of a change of twins.
    #[must_use]
    pub fn of_change(change: &Change) -> Vec<LiveEvent> {
        let devices = change.documents.iter().filter_map(|(document, changed)| {
            let device = document.as_device()?.to_owned();
            let changed = changed.clone();
            Some(LiveEvent::Twin(LiveTwin { device, changed }))
        });
        devices.collect()
    }
}

impl LivePresence {
    /// A device has come or gone.
    #[must_use]
    pub fn device(id: &str, online: bool, since_ms: i64) -> LivePresence {
        LivePresence {
            what: Present::Device,
            id: id.to_owned(),
            online,
            since: moment(since_ms),
        }
    }

    /// A box has come or gone.
    #[must_use]
    pub fn of_box(id: &str, online: bool, since_ms: i64) -> LivePresence {
        LivePresence {
            what: Present::Box,
            ..LivePresence::device(id, online, since_ms)
        }
    }
}

impl LiveEvent {
    /// Its kind by name, as in the field `kind`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            LiveEvent::Reading(_) => "reading",
            LiveEvent::Twin(_) => "twin",
            LiveEvent::Presence(_) => "presence",
            LiveEvent::Alarm(_) => "alarm",
            LiveEvent::Gap(_) => "gap",
            LiveEvent::Reset(_) => "reset",
        }
    }

    /// Its kind, if one can ask for it; the others come unasked.
    #[must_use]
    pub fn kind(&self) -> Option<LiveKind> {
        match self {
            LiveEvent::Reading(_) => Some(LiveKind::Reading),
            LiveEvent::Twin(_) => Some(LiveKind::Twin),
            LiveEvent::Presence(_) => Some(LiveKind::Presence),
            LiveEvent::Alarm(_) => Some(LiveKind::Alarm),
            LiveEvent::Gap(_) | LiveEvent::Reset(_) => None,
        }
    }

    /// The device that it is about; none where it concerns all of them.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            LiveEvent::Reading(reading) => Some(&reading.device),
            LiveEvent::Twin(twin) => Some(&twin.device),
            LiveEvent::Presence(presence) => {
                Some(&*presence.id).filter(|_| presence.what == Present::Device)
            }
            LiveEvent::Alarm(_) | LiveEvent::Gap(_) | LiveEvent::Reset(_) => None,
        }
    }
}

impl LiveAlarm {
    /// An alarm as it is now.
    #[must_use]
    pub fn of(id: &str, alarm: &AlarmRecord) -> LiveAlarm {
        LiveAlarm {
            alarm: id.to_owned(),
            state: alarm.state.to_string(),
            severity: alarm.severity.to_string(),
            message: alarm.message.clone(),
            since: moment(alarm.changed_ms),
            by: alarm.by.clone(),
        }
    }
}

/// Place of an event in a stream, for who wants to go on from there: `<epoch>-<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventId {
    /// Random for each process, since the numbers begin anew with it.
    pub(super) epoch: u64,
    pub(super) number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.number)
    }
}

impl EventId {
    pub(super) fn parse(text: &str) -> Option<EventId> {
        let (epoch, number) = text.split_once('-')?;
        Some(EventId {
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// An event with its place in the stream, encoded once for all listeners.
#[derive(Debug)]
pub struct Numbered {
    pub(super) id: EventId,
    event: LiveEvent,
    json: String,
}

impl Numbered {
    pub(super) fn new(id: EventId, event: LiveEvent) -> Numbered {
        // Plain text and numbers always have a JSON form.
        let json = serde_json::to_string(&event).unwrap_or_default();
        Numbered { id, event, json }
    }

    /// Its id, which a listener who comes back names.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &LiveEvent {
        &self.event
    }

    /// The event as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    pub(super) fn number(&self) -> u64 {
        self.id.number
    }

    /// About what it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        // The event has the same texts as its JSON.
        2 * self.json.len() + size_of::<Numbered>()
    }
}
