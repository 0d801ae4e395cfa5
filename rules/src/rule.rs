use std::{borrow::Borrow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    duration::{Offset, Span},
    group::Group,
};

/// What names a rule within its home.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub String);

impl RuleId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RuleId {
    fn from(id: &str) -> RuleId {
        RuleId(id.to_owned())
    }
}

impl Borrow<str> for RuleId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A rule: when something is told, if an expression holds, for long enough, then actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What people call it.
    pub name: String,
    /// Whether it runs.
    #[serde(default = "enabled", skip_serializing_if = "is_enabled")]
    pub enabled: bool,
    /// What it looks at; any of these.
    pub when: Vec<Trigger>,
    /// What must hold, in CEL; without it every trigger fires.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What must hold, in CEL, before a level may fire again; without it that `if` no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How long `if` must hold before it fires; without it not at all.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// What to do.
    pub then: Vec<Action>,
    /// How long it does not fire again after it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// Of two rules that want different things the one with the higher priority wins; -100 to 100.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
}

fn enabled() -> bool {
    true
}

fn is_enabled(enabled: &bool) -> bool {
    *enabled
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What makes a rule look whether its `if` holds.
///
/// `Reading` together with an `if` is a level: it fires when `if` begins to hold. All others are moments: they fire
/// each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// Any new reading of a series.
    Reading {
        /// Device that tells it.
        device: String,
        /// Metric of the device.
        metric: String,
    },
    /// A series has another value or text than before.
    Change {
        /// Device that tells it.
        device: String,
        /// Metric of the device.
        metric: String,
        /// Only to this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Scalar>,
        /// Only from this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Scalar>,
    },
    /// A time of day, in the home's zone.
    Schedule {
        /// Minute, hour, day of the month, month, day of the week.
        cron: String,
    },
    /// The sun rises or sets, at the home's coordinates.
    Sun {
        /// Which of the two.
        event: SunEvent,
        /// How long before or after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<Offset>,
    },
    /// Every so often, counted from the epoch.
    Every(Span),
    /// The home's mode becomes this one.
    Mode {
        /// Name of the mode.
        to: String,
    },
    /// A member, or without one anybody, comes home or goes away. Without a member `home` is the first to come and
    /// `away` the last to go.
    Presence {
        /// Name of the member.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        /// Where to.
        is: Whereabouts,
    },
    /// An alarm gets into this state.
    Alarm {
        /// Id of the alarm.
        alarm: String,
        /// The state.
        is: crate::input::AlarmState,
    },
}

/// What the sun does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SunEvent {
    /// Its upper edge comes over the horizon.
    Sunrise,
    /// Its upper edge goes below the horizon.
    Sunset,
}

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
    /// At home.
    Home,
    /// Elsewhere.
    Away,
}

/// What a rule does when it fires. The engine only tells it; whoever runs the engine carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Sets metrics of a device.
    Set {
        /// The device.
        device: String,
        /// What each metric shall be.
        values: BTreeMap<String, Scalar>,
    },
    /// Calls a command of a device.
    Call {
        /// The device.
        device: String,
        /// What each metric is called with.
        values: BTreeMap<String, Scalar>,
    },
    /// Sets all devices of a kind.
    Group(Group),
    /// Publishes a message.
    Publish {
        /// Topic.
        topic: String,
        /// Payload: a text, which may hold `{{ expression }}`, or anything else as JSON.
        payload: serde_json::Value,
        /// Whether the broker keeps it.
        #[serde(default, skip_serializing_if = "is_false")]
        retain: bool,
    },
    /// Tells people. Both texts may hold `{{ expression }}`.
    Notify {
        /// Title.
        title: String,
        /// More words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Raises an alarm.
    Raise {
        /// Id of the alarm.
        alarm: String,
        /// How bad it is.
        severity: Severity,
        /// What kind of thing is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<AlarmClass>,
        /// What is wrong; may hold `{{ expression }}`.
        message: String,
    },
    /// Clears an alarm.
    Clear {
        /// Id of the alarm.
        alarm: String,
    },
    /// Starts a scene.
    Scene {
        /// Id of the scene.
        scene: String,
    },
    /// Puts the home into a mode.
    Mode {
        /// Name of the mode.
        mode: String,
    },
}

impl Action {
    /// What it does to series: device and what it wants of each metric.
    #[must_use]
    pub fn wants(&self) -> Option<(&str, &BTreeMap<String, Scalar>)> {
        match self {
            Action::Set { device, values } | Action::Call { device, values } => {
                Some((device, values))
            }
            _ => None,
        }
    }
}

/// How bad an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        })
    }
}

/// What kind of thing an alarm is about. Smoke, gas, water and intrusion are told at any time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmClass {
    /// Fire or smoke.
    Smoke,
    /// Gas or carbon monoxide.
    Gas,
    /// Water where none belongs.
    Water,
    /// Somebody who does not belong here.
    Intrusion,
    /// A device that does not do as it should.
    Device,
    /// Somebody's health.
    Health,
    /// Energy.
    Energy,
    /// Air and warmth.
    Climate,
}

impl fmt::Display for AlarmClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlarmClass::Smoke => "smoke",
            AlarmClass::Gas => "gas",
            AlarmClass::Water => "water",
            AlarmClass::Intrusion => "intrusion",
            AlarmClass::Device => "device",
            AlarmClass::Health => "health",
            AlarmClass::Energy => "energy",
            AlarmClass::Climate => "climate",
        })
    }
}

/// A number, a text or a switch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// On or off.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// Whole numbers up to here are told without a fraction; above not every whole number exists as `f64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl Scalar {
    /// Whether a reading with this value and text says this.
    #[must_use]
    pub fn is_told_by(&self, value: Option<f64>, text: Option<&str>) -> bool {
        match self {
            Scalar::Number(number) => value == Some(*number),
            Scalar::Text(words) => text == Some(words.as_str()),
            Scalar::Bool(on) => match value {
                Some(value) => value == f64::from(u8::from(*on)),
                None => text.is_some_and(|text| {
                    let names = if *on {
                        ["on", "true"]
                    } else {
                        ["off", "false"]
                    };
                    names.iter().any(|name| text.eq_ignore_ascii_case(name))
                }),
            },
        }
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scalar::Bool(on) => serializer.serialize_bool(*on),
            #[allow(clippy::cast_possible_truncation)]
            Scalar::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE_MAX => {
                serializer.serialize_i64(*number as i64)
            }
            Scalar::Number(number) => serializer.serialize_f64(*number),
            Scalar::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(on) => on.fmt(f),
            Scalar::Number(number) => number.fmt(f),
            Scalar::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_reads_and_writes_as_json() {
        let text = json!({
            "name": "Air",
            "when": [
                {"reading": {"device": "bath/climate", "metric": "humidity"}},
                {"change": {"device": "hall/door", "metric": "open", "to": true}},
                {"schedule": {"cron": "0 7 * * 1-5"}},
                {"sun": {"event": "sunset", "offset": "-15m"}},
                {"every": "5m"},
                {"mode": {"to": "night"}},
                {"presence": {"member": "ada", "is": "home"}},
                {"alarm": {"alarm": "leak", "is": "raised"}},
            ],
            "if": "value('bath/climate/humidity') > 70.5",
            "for": "10m",
            "then": [
                {"set": {"device": "bath/fan", "values": {"on": true, "speed": 2}}},
                {"group": {"component": "light", "room": "bath", "values": {"on": true}}},
                {"publish": {"topic": "a/b", "payload": {"x": 1}, "retain": true}},
                {"notify": {"title": "Air"}},
                {"raise": {"alarm": "damp", "severity": "warning", "message": "wet"}},
                {"clear": {"alarm": "damp"}},
                {"scene": {"scene": "evening"}},
                {"mode": {"mode": "night"}},
            ],
            "cooldown": "1h",
            "priority": -3,
        });
        let rule: Rule = serde_json::from_value(text.clone()).expect("rule");
        assert!(rule.enabled);
        assert_eq!(serde_json::to_value(&rule).expect("json"), text);
    }

    #[test]
    fn what_a_rule_does_not_know_is_refused() {
        for text in [
            json!({"name": "a", "when": [], "then": [], "unless": "x"}),
            json!({"name": "a", "when": [{"reading": {"device": "a", "metric": "b", "unit": "c"}}], "then": []}),
            json!({"name": "a", "when": [{"tick": "5m"}], "then": []}),
            json!({"name": "a", "when": [], "then": [], "for": 10}),
        ] {
            assert!(
                serde_json::from_value::<Rule>(text.clone()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_switch_is_told_by_value_or_words() {
        let on = Scalar::Bool(true);
        assert!(on.is_told_by(Some(1.0), None));
        assert!(on.is_told_by(None, Some("ON")));
        assert!(!on.is_told_by(Some(0.0), Some("on")));
        assert!(!Scalar::Number(1.0).is_told_by(None, Some("1")));
        assert!(Scalar::Text("open".into()).is_told_by(None, Some("open")));
    }
}
