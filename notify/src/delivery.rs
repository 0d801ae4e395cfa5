use std::fmt;

use serde::{Deserialize, Serialize};

use crate::message::Message;

/// Which delivery, for as long as the file lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message on its way to one channel, or one that was given up. Times are milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which one.
    pub id: DeliveryId,
    /// The name of the channel.
    pub channel: String,
    /// What is delivered.
    pub message: Message,
    /// Since when it waits.
    pub queued_ms: i64,
    /// When it may go at the earliest: an alarm that nobody has acknowledged by then, one that has stood still since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<i64>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it was first tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_ms: Option<i64>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<i64>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it was given up; none while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_ms: Option<i64>,
    /// It failed because the receiver was away, so it goes as soon as another has gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) away: bool,
    /// Without it the channel does not know that the alarm stands.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) first: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// What became of a delivery, or of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It could not be delivered now, and is tried again.
    Failed {
        /// Why.
        words: String,
        /// When it is tried again, milliseconds since 1970 UTC.
        retry_ms: i64,
    },
    /// It was given up and is among the dead.
    Dead {
        /// Why.
        words: String,
    },
    /// It was held back, and there is nothing to tell any more: cleared, acknowledged, or replaced by newer news.
    Withdrawn,
    /// It is gone, because too many waited or were dead.
    Dropped,
}

impl Outcome {
    /// One word for figures: `delivered`, `failed`, `dead`, `withdrawn`, `dropped`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Failed { .. } => "failed",
            Outcome::Dead { .. } => "dead",
            Outcome::Withdrawn => "withdrawn",
            Outcome::Dropped => "dropped",
        }
    }
}

impl Delivery {
    /// The alarm that it tells of: home and id. Deliveries of one alarm keep their order.
    pub(crate) fn subject(&self) -> Option<(&str, &str)> {
        let alarm = self.message.alarm()?;
        Some((&alarm.home, &alarm.id))
    }

    /// Whether its time has not come yet.
    pub(crate) fn is_early(&self, now_ms: i64) -> bool {
        self.not_before_ms.is_some_and(|at| at > now_ms)
    }
}
