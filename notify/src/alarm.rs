use serde::{Deserialize, Serialize};

/// How bad something is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody has to act now.
    Critical,
}

impl Severity {
    /// Its word in files and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// What has become of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmState {
    /// Something is wrong.
    Raised,
    /// Something is wrong, and somebody has seen it.
    Acknowledged,
    /// Nothing is wrong any more.
    Cleared,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Fire, or what a smoke detector takes for it.
    Smoke,
    /// Gas or carbon monoxide.
    Gas,
    /// Water where none should be.
    Water,
    /// Somebody who should not be there.
    Intrusion,
    /// A device that is away or does not do what it should.
    Device,
    /// The air, the heat, the damp.
    Health,
    /// Consumption and supply.
    Energy,
    /// Rooms that are too cold or too warm.
    Climate,
    /// Anything else, also what a newer version names and this one does not know.
    #[serde(other)]
    Other,
}

impl Class {
    /// Whether people or the house are in danger; then neither quiet hours nor flapping hold an alarm back.
    #[must_use]
    pub fn is_safety(self) -> bool {
        matches!(
            self,
            Class::Smoke | Class::Gas | Class::Water | Class::Intrusion
        )
    }
}

/// An alarm of a home, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Whose it is.
    pub home: String,
    /// Its name within the home, the same each time that it is raised.
    #[serde(rename = "alarm")]
    pub id: String,
    /// What has become of it.
    pub state: AlarmState,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What is wrong, for people.
    pub message: String,
    /// When it was raised, milliseconds since 1970 UTC. Together with the id it tells one time that it stands from
    /// another.
    pub raised_ms: i64,
    /// When its state last changed, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Who changed it last.
    pub by: String,
}

impl Alarm {
    /// Whether it is never held back: it is critical, or people or the house are in danger.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.severity == Severity::Critical || self.class.is_some_and(Class::is_safety)
    }
}

/// A plain message that nobody has to acknowledge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whose it is.
    pub home: String,
    /// What it is about, one line.
    pub title: String,
    /// What there is to say.
    pub message: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// Who says it.
    pub by: String,
    /// The channels that are to have it, whatever their least severity; where there are none, every channel that
    /// takes this severity and does not wait for an acknowledgement (`after`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// What makes it the same message if it is given again, for instance the id of what made a rule fire. It is then
    /// sent with the same id, and not at all while the first still waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
