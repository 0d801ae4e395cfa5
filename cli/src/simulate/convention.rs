//! The conventions of real device software. Each module speaks one of them, as its devices do.

/// Topics with scalars or JSON that nothing announces.
pub(super) mod plain;

/// Home Assistant MQTT discovery, each component by itself or a whole device at once.
pub(super) mod home_assistant;

/// Zigbee2MQTT: a bridge with a list of devices, and one JSON state for each.
pub(super) mod zigbee2mqtt;

/// Tasmota: telemetry, states and commands under a full topic that devices may choose.
pub(super) mod tasmota;

/// Shelly devices of the first generation: scalars, energy in watt-minutes.
pub(super) mod shelly_gen1;

/// Shelly devices from the second generation on: JSON-RPC and partial notifications.
pub(super) mod shelly_gen2;

/// ESPHome: one retained scalar for each entity, and discovery in abbreviations.
pub(super) mod esphome;

/// Sparkplug B: birth certificates, aliases and protobuf.
pub(super) mod sparkplug;

/// Sleepers that publish what they have measured as one array with times.
pub(super) mod backlog;

#[cfg(test)]
mod tests;

use std::fmt::Debug;

use mqtt_proto::TopicName;

use super::fault::Oddity;
use super::message::{Message, Outbox};
use super::signal::SimTime;

/// When a device speaks by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// In turn with the others, so many times in each round.
    Regular(usize),
    /// When its state changes.
    OnChange,
    /// Only at its start and when it is asked.
    Never,
}

/// One device, or what stands before several as a bridge does.
pub(super) trait Device: Debug + Send {
    /// When it speaks by itself.
    fn turn(&self) -> Turn;

    /// The state of a device that speaks on change.
    fn state(&self, _at: SimTime) -> bool {
        false
    }

    /// What it says after power on: who it is, that it is there, and how it stands.
    fn announce(&mut self, at: SimTime, out: &mut Outbox);

    /// One ordinary report, spoiled as `odd` says. It may say nothing yet.
    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox);

    /// It goes, or comes back. Where a convention tells this by a will, so does the simulator,
    /// but as a message, because one connection speaks for many devices.
    fn availability(&mut self, online: bool, at: SimTime, out: &mut Outbox);

    /// It can be out of reach, and be met by other faults.
    fn can_fail(&self) -> bool {
        true
    }

    /// It was powered up anew; `resets` tells whether its counters begin at zero.
    fn power_up(&mut self, _resets: bool, _at: SimTime) {}

    /// Its counters read zero from now on, or read right again.
    fn read_zero(&mut self, _zero: bool) {}

    /// The topics on which it hears.
    fn hears(&self) -> Vec<TopicName> {
        Vec::new()
    }

    /// A message on one of these topics; what it answers goes into `out`.
    fn hear(&mut self, _topic: &str, _payload: &[u8], _at: SimTime, _out: &mut Outbox) {}

    /// What it must say because of what another has just said: the machines behind a node are born
    /// again with it.
    fn follow_up(&mut self, _at: SimTime, _out: &mut Outbox) {}

    /// What the broker is to say when the connection breaks.
    fn will(&self) -> Option<Message> {
        None
    }

    /// The connection broke, so the will was told: what to say first on the next one.
    fn connection_lost(&mut self, _at: SimTime, _out: &mut Outbox) {}
}

/// A JSON scalar as the text that a command would have.
fn scalar_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A payload as text, without the blanks that people add.
fn payload_text(payload: &[u8]) -> Option<&str> {
    std::str::from_utf8(payload).ok().map(str::trim)
}
