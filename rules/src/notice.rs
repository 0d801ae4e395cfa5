use serde::{Deserialize, Serialize};

use crate::rule::RuleId;

/// Something about a rule that people may want to know. Told once, when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The rule.
    pub rule: RuleId,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What kind of thing.
    pub kind: NoticeKind,
    /// What it is, for people.
    pub words: String,
}

/// What kind of thing a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An expression fails.
    Fault,
    /// Its expressions no longer fail.
    Recovered,
    /// It fires far too often and rests.
    Damped,
    /// A moment passed while nobody looked, too long ago to be made up for.
    Missed,
}

/// What is wrong with a rule now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFault {
    /// Since when, in milliseconds since the epoch.
    pub since_ms: i64,
    /// What is wrong, for people.
    pub words: String,
}
