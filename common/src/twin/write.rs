use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stamp::Stamp;

/// Author of what somebody changed at the device itself.
pub const DEVICE: &str = "device";

/// A value with who wrote it, when, and for how long it holds: one scalar of a document, as JSON text.
///
/// It is one scalar because Automerge hides one side of two maps that are put at once, and it has its own id because putting
/// an equal value again changes nothing there, so that an opposite put at the same time would win unseen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// The value.
    pub v: Value,
    /// Who wrote it: `device`, or whatever names the author.
    pub by: String,
    /// When.
    pub at: Stamp,
    /// Seconds from `at` on that it may still be carried out; for ever where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// Its own id, a ULID.
    pub id: String,
    /// It was written to an older epoch and taken over from there, so that its author may not have seen what it stands on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference.
fn is_false(value: &bool) -> bool {
    !value
}

impl Write {
    /// The scalar that stands in the document.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Read a scalar; none where it is not a write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Write> {
        serde_json::from_str(text).ok()
    }

    /// Whether its time to live has passed.
    #[must_use]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.ttl_s
            .is_some_and(|ttl_s| self.at.ms.saturating_add(i64::from(ttl_s) * 1000) < now_ms)
    }

    /// Whether the device itself wrote it.
    #[must_use]
    pub fn is_devices(&self) -> bool {
        self.by == DEVICE
    }
}
