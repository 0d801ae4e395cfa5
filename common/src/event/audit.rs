use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AUDIT, Event};
use crate::ids::{EdgeId, Seq};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What was asked for was done.
    Done,
    /// Whoever asked may not do that.
    Refused,
    /// It was allowed, and was not done: the request was wrong, or something else was in the way.
    Failed,
}

impl Outcome {
    /// The word that events use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// Who changed what, or was refused. As an event it is of the kind [`AUDIT`]: `device` is the device concerned, `reason` the
/// outcome, and `text` is all of this as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, milliseconds since 1970 UTC.
    #[serde(skip)]
    pub at_ms: i64,
    /// Name of who asked; none for nobody that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// The role of who asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// Id of the token, or of the session, that was used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// What was asked for, by the name of the operation in the OpenAPI document.
    pub operation: String,
    /// The path of the request.
    pub path: String,
    /// The device concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that was answered.
    pub status: u16,
    /// Why it was refused or failed, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Network address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// Further requests of this kind that are told by this row alone, because there were too many.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub more: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl AuditEntry {
    /// As JSON: what an event has as its text, and the journal of a box as its payload.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Read it back. None for what is not JSON of an entry.
    #[must_use]
    pub fn from_json(text: &str, at_ms: i64) -> Option<AuditEntry> {
        let entry: AuditEntry = serde_json::from_str(text).ok()?;
        Some(AuditEntry { at_ms, ..entry })
    }

    /// As an event, which the writer `edge` has under `seq`.
    #[must_use]
    pub fn to_event(&self, edge: EdgeId, seq: Seq) -> Event {
        Event {
            device: self.device.as_deref().map(Arc::from),
            reason: Some(self.outcome.as_str().into()),
            text: Some(self.to_json().into()),
            ..Event::told(AUDIT, self.at_ms, edge, seq)
        }
    }

    /// What an event says; none where it is not of this kind.
    #[must_use]
    pub fn of_event(event: &Event) -> Option<AuditEntry> {
        if &*event.kind != AUDIT {
            return None;
        }
        AuditEntry::from_json(event.text.as_deref()?, event.ts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_from_its_event() {
        let entry = AuditEntry {
            at_ms: 1_700_000_000_123,
            actor: Some("ada".into()),
            role: Some("owner".into()),
            token: Some("t1".into()),
            operation: "setDesired".into(),
            path: "/v1/homes/h/devices/lamp/desired".into(),
            device: Some("lamp".into()),
            outcome: Outcome::Done,
            status: 202,
            reason: None,
            address: Some("127.0.0.1".into()),
            more: 0,
        };
        let event = entry.to_event(EdgeId(7), Seq(42));
        assert_eq!(event.reason.as_deref(), Some("done"));
        assert_eq!(AuditEntry::of_event(&event), Some(entry));
        let gap = Event {
            kind: super::super::GAP.into(),
            ..event
        };
        assert_eq!(AuditEntry::of_event(&gap), None);
    }
}
