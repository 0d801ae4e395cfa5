//! Tasmota announces itself on `tasmota/discovery/<MAC>/config`, with the topics that it was set to use; what its
//! sensors measure stands beside it under `sensors`. A device that does not announce itself is known by its topics, as long
//! as they are the usual ones.

/// What `config` says.
mod config;
/// What the usual keys are.
mod quantity;
/// Devices that do not announce themselves.
mod recognise;
/// What `sensors` says.
mod sensors;
/// Relays, lights, shutters and fans, as points.
mod settable;
#[cfg(test)]
mod tests;
/// Where a device speaks and listens, and how its payloads are read.
mod topics;

use serde_json::Value;

use super::{Convention, KeyMeaning};
use crate::{
    announcement::Announcement,
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
};

/// Largest message that teaches; devices send 2 KB.
const LESSON_BYTES_MAX: usize = 256 * 1024;

/// The convention.
#[derive(Debug)]
pub struct Tasmota;

impl Convention for Tasmota {
    fn teaches(&self, topic: &str) -> bool {
        lesson(topic).is_some()
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        let Some((mac, lesson)) = lesson(message.topic) else {
            return Ok(Vec::new());
        };
        let Some(payload) = message.lesson(LESSON_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let value: Value =
            serde_json::from_slice(payload).map_err(|error| fault(format!("no JSON: {error}")))?;
        let device = match lesson {
            Lesson::Config => config::learn(mac, &value),
            Lesson::Sensors => sensors::learn(mac, &value),
        };
        device.map(|device| vec![device])
    }

    fn recognise(&self, message: &Message<'_>) -> Option<Announcement> {
        recognise::recognise(message)
    }

    fn meaning(&self, key: &str) -> Option<KeyMeaning> {
        quantity::meaning(key)
    }
}

/// What a discovery topic teaches.
#[derive(Debug, Clone, Copy)]
enum Lesson {
    Config,
    Sensors,
}

/// The MAC address in a discovery topic, and what the topic teaches. The first level is configurable.
fn lesson(topic: &str) -> Option<(&str, Lesson)> {
    let mut levels = topic.split('/');
    let (prefix, discovery) = (levels.next()?, levels.next()?);
    let (mac, what) = (levels.next()?, levels.next()?);
    let lesson = match what {
        "config" => Lesson::Config,
        "sensors" => Lesson::Sensors,
        _ => return None,
    };
    let fits = !prefix.is_empty()
        && discovery == "discovery"
        && levels.next().is_none()
        && mac.len() == 12
        && mac.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then_some((mac, lesson))
}

/// The name that a device has by its topic.
fn native(topic: &str) -> Identifier {
    Identifier::native("tasmota", topic)
}

fn fault(detail: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Announcement, detail)
}
