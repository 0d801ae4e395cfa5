use std::collections::BTreeMap;

use poem_openapi::{
    Enum, Object,
    types::{Any, ParseFromJSON, ToJSON},
};
use serde_json::Value;
use tarn_rules::{
    group::Group,
    rule::{Action, Rule as Definition, Whereabouts},
};

use crate::problem::Failure;

/// A rule: when something is told, if an expression holds, for long enough, then actions.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Rule", skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct Rule {
    /// What people call it.
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    /// Whether it runs; yes where it is not said.
    enabled: Option<bool>,
    /// What it looks at; any of these.
    #[oai(validator(min_items = 1, max_items = 20))]
    when: Vec<RuleTrigger>,
    /// What must hold, in CEL, like `avg('kitchen/co2', '10m') > 1000.0 && mode == 'home'`; without it every trigger fires.
    #[oai(rename = "if", validator(max_length = 2048))]
    condition: Option<String>,
    /// What must hold, in CEL, before it may fire again, where that is more than that `if` does not hold: hysteresis.
    #[oai(validator(max_length = 2048))]
    until: Option<String>,
    /// How long `if` must hold before it fires, like `5m`; not at all where it is not said.
    #[oai(rename = "for")]
    hold: Option<String>,
    /// What to do, in this order.
    #[oai(validator(min_items = 1, max_items = 20))]
    then: Vec<RuleAction>,
    /// How long it does not fire again after it fired, like `1h`.
    cooldown: Option<String>,
    /// Of two rules that want different things of a device, the one with the higher priority wins; 0 where it is not said.
    #[oai(validator(minimum(value = "-100"), maximum(value = "100")))]
    priority: Option<i32>,
}

/// What makes a rule look: exactly one of these.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleTrigger {
    /// Any new reading of a series. Together with an `if` it fires when that begins to hold.
    reading: Option<RuleSeries>,
    /// A series has another value or text than before.
    change: Option<RuleChange>,
    /// A time of day, in the home's zone.
    schedule: Option<RuleSchedule>,
    /// The sun rises or sets.
    sun: Option<RuleSun>,
    /// Every so often, like `5m`, counted from 1970.
    every: Option<String>,
    /// The home's mode becomes another.
    mode: Option<RuleMode>,
    /// Somebody comes home or goes away.
    presence: Option<RulePresence>,
    /// An alarm gets into a state.
    alarm: Option<RuleAlarm>,
}

/// A metric of a device.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleSeries {
    /// Id of the device.
    device: String,
    /// Name of the metric.
    metric: String,
}

/// A change of a metric.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleChange {
    /// Id of the device.
    device: String,
    /// Name of the metric.
    metric: String,
    /// Only to this number, text or switch.
    to: Option<Any<Value>>,
    /// Only from this.
    from: Option<Any<Value>>,
}

/// A time of day.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleSchedule {
    /// Minute, hour, day of the month, month, day of the week, like `0 7 * * 1-5`.
    cron: String,
}

/// Sunrise or sunset.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleSun {
    /// Which of the two.
    event: RuleSunEvent,
    /// How long before or after it, like `-15m`.
    offset: Option<String>,
}

/// What the sun does.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum RuleSunEvent {
    /// Its upper edge comes over the horizon.
    Sunrise,
    /// Its upper edge goes below it.
    Sunset,
}

/// A mode.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleMode {
    /// Name of the mode.
    to: String,
}

/// Where somebody goes.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RulePresence {
    /// Id of the member; without one the first to come and the last to go.
    member: Option<String>,
    /// Where to.
    is: RuleWhereabouts,
}

/// Where somebody is.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum RuleWhereabouts {
    /// At home.
    Home,
    /// Elsewhere.
    Away,
}

impl From<Whereabouts> for RuleWhereabouts {
    fn from(is: Whereabouts) -> Self {
        match is {
            Whereabouts::Home => RuleWhereabouts::Home,
            Whereabouts::Away => RuleWhereabouts::Away,
        }
    }
}

impl From<RuleWhereabouts> for Whereabouts {
    fn from(is: RuleWhereabouts) -> Self {
        match is {
            RuleWhereabouts::Home => Whereabouts::Home,
            RuleWhereabouts::Away => Whereabouts::Away,
        }
    }
}

/// A state of an alarm.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleAlarm {
    /// Id of the alarm.
    alarm: String,
    /// The state.
    is: AlarmState,
}

/// What becomes of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum AlarmState {
    /// Something is wrong.
    Raised,
    /// Something is wrong, and somebody knows.
    Acknowledged,
    /// Nothing is wrong any more.
    Cleared,
}

/// What a rule does: exactly one of these.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleAction {
    /// Says what is wanted of a device; it is carried out when the device is there.
    set: Option<RuleValues>,
    /// Has a device do something now, or not at all.
    call: Option<RuleValues>,
    /// Says what is wanted of all devices of a kind.
    group: Option<RuleGroup>,
    /// Publishes a message.
    publish: Option<RulePublish>,
    /// Tells people.
    notify: Option<RuleNotify>,
    /// Raises an alarm.
    raise: Option<RuleRaise>,
    /// Clears an alarm.
    clear: Option<RuleClear>,
    /// Starts a scene.
    scene: Option<RuleScene>,
    /// Puts the home into a mode.
    mode: Option<RuleSetMode>,
}

/// Values for a device.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleValues {
    /// Id of the device.
    device: String,
    /// Numbers, texts or switches by metric.
    values: BTreeMap<String, Any<Value>>,
}

/// All devices of a kind, in a room or everywhere, whatever their make.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleGroup {
    /// Kind of device, by Home Assistant's names, like `light`, `cover`, `climate` or `media_player`.
    #[oai(validator(min_length = 1, max_length = 64))]
    component: String,
    /// Only in this room; everywhere where it is not said.
    #[oai(validator(max_length = 256))]
    room: Option<String>,
    /// What is wanted, by names of metrics or in words for every make: `on` (a switch), `percent` (0 to 100 of what is bright,
    /// loud, open or fast), `option` (a word that it takes, like `open`), `number` (in the unit of the device).
    values: BTreeMap<String, Any<Value>>,
}

/// A message.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RulePublish {
    /// Topic.
    topic: String,
    /// Payload: a text, which may hold `{{ expression }}`, or anything else as JSON.
    payload: Any<Value>,
    /// Whether the broker keeps it.
    retain: Option<bool>,
}

/// Words for people, which may hold `{{ expression }}`.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleNotify {
    /// Title.
    title: String,
    /// More words.
    message: Option<String>,
}

/// An alarm to raise.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none, deny_unknown_fields)]
pub(crate) struct RuleRaise {
    /// Id of the alarm.
    alarm: String,
    /// How bad it is.
    severity: Severity,
    /// What kind of thing is wrong; not said where it is none of these.
    class: Option<AlarmClass>,
    /// What is wrong; it may hold `{{ expression }}`.
    message: String,
}

/// How bad an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act now.
    Critical,
}

/// What kind of thing an alarm is about. Smoke, gas, water and intrusion are told at any time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum AlarmClass {
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

/// An alarm to clear.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleClear {
    /// Id of the alarm.
    alarm: String,
}

/// A scene to start.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleScene {
    /// Id of the scene.
    scene: String,
}

/// A mode to go into.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct RuleSetMode {
    /// Name of the mode.
    mode: String,
}

impl RuleGroup {
    /// What it defines.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn definition(&self) -> Result<Group, Failure> {
        let value = self.to_json().unwrap_or_default();
        serde_json::from_value(value).map_err(|e| Failure::bad_request(format!("values: {e}")))
    }
}

/// What actions do.
///
/// # Errors
/// They are none.
pub(crate) fn actions_of(actions: &[RuleAction]) -> Result<Vec<Action>, Failure> {
    let value = actions.to_vec().to_json().unwrap_or_default();
    serde_json::from_value(value).map_err(|e| Failure::bad_request(format!("then: {e}")))
}

/// Actions as they are told; those of a later version are left out.
pub(crate) fn told(actions: &[Action]) -> Vec<RuleAction> {
    let told = actions.iter().filter_map(|action| {
        let action = serde_json::to_value(action).ok();
        RuleAction::parse_from_json(action).ok()
    });
    told.collect()
}

impl Rule {
    /// What it defines.
    ///
    /// # Errors
    /// It is no rule.
    pub(crate) fn definition(&self) -> Result<Definition, Failure> {
        let value = self.to_json().unwrap_or_default();
        serde_json::from_value(value).map_err(|e| Failure::bad_request(format!("the rule: {e}")))
    }

    /// A stored definition; none where it is none, as one of a later version may be.
    pub(crate) fn of(value: &Value) -> Option<Rule> {
        serde_json::from_value::<Definition>(value.clone()).ok()?;
        Rule::parse_from_json(Some(value.clone())).ok()
    }
}
