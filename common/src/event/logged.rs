use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Event;
use crate::ids::{EdgeId, Seq};

/// An event that a box writes to its journal as it happens: what its rules did, and what became of alarms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// When, milliseconds since 1970 UTC.
    #[serde(skip)]
    pub at_ms: i64,
    /// What kind of event: [`super::RULE`], [`super::ALARM`], [`super::INSIGHT`] or [`super::DELIVERY`].
    pub kind: String,
    /// Of a rule its id, of an alarm the alarm's.
    pub subject: String,
    /// What became of it, in a word.
    pub reason: String,
    /// All that there is to say.
    pub detail: Value,
}

impl LoggedEvent {
    /// As JSON: what the journal of a box has as its payload.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Read it back. None for what is not JSON of an event.
    #[must_use]
    pub fn from_json(text: &str, at_ms: i64) -> Option<LoggedEvent> {
        let event: LoggedEvent = serde_json::from_str(text).ok()?;
        Some(LoggedEvent { at_ms, ..event })
    }

    /// As an event, which the writer `edge` has under `seq`: `metric` is its subject, and `text` its detail as JSON.
    #[must_use]
    pub fn to_event(&self, edge: EdgeId, seq: Seq) -> Event {
        Event {
            metric: Some(self.subject.as_str().into()),
            reason: Some(self.reason.as_str().into()),
            text: Some(self.detail.to_string().into()),
            ..Event::told(&self.kind, self.at_ms, edge, seq)
        }
    }
}
