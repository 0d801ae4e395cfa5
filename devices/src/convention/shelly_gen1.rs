/// What the keys of its messages mean.
mod meaning;
/// How its relays, lights, covers and valves are set.
mod points;
#[cfg(test)]
mod tests;
/// Whose a topic is, and how its payloads are laid out.
mod topic;

use serde_json::Value;

use self::topic::Address;
use super::{Convention, KeyMeaning, shelly};
use crate::{
    announcement::{About, Announcement},
    fault::{Fault, FaultKind},
    message::Message,
};

/// The topic that all devices announce themselves on, besides their own.
const SHARED: &str = "shellies/announce";

/// The convention.
///
/// `shellies/<id>/<rest>` is the metric `rest` with dots for slashes (`relay.0`, `relay.0.power`,
/// `emeter.0.total`, `sensor.temperature`), and what JSON has is below it (`input_event.0.event`). `status`
/// and `info` are left out of the names (`light/0/status` gives `light.0.brightness`). Commands are kept as text.
#[derive(Debug)]
pub struct ShellyGen1;

impl Convention for ShellyGen1 {
    fn teaches(&self, topic: &str) -> bool {
        let own = || Address::of(topic).is_some_and(|at| matches!(at.rest, "announce" | "info"));
        topic == SHARED || own()
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        if message.payload.is_empty() {
            return Ok(Vec::new());
        }
        let json = shelly::object(message)?;
        let announcement = match Address::of(message.topic) {
            Some(at) if at.rest == "info" => info(at, &json),
            Some(at) => announced(at.id, &json),
            None => announced(&announced_id(&json)?, &json),
        };
        Ok(vec![announcement])
    }

    fn source(&self, message: &Message<'_>) -> Option<String> {
        if message.topic != SHARED {
            return None;
        }
        let json = shelly::object(message).ok()?;
        let id = announced_id(&json).ok()?;
        Some(format!("{SHARED}#{id}"))
    }

    fn recognise(&self, message: &Message<'_>) -> Option<Announcement> {
        let at = Address::of(message.topic)?;
        Some(Announcement {
            points: points::of(at, message),
            streams: vec![at.stream()],
            ..device(at.id, None)
        })
    }

    fn meaning(&self, key: &str) -> Option<KeyMeaning> {
        meaning::of(key)
    }
}

/// A device of which its id and perhaps its address are known.
fn device(id: &str, mac: Option<&str>) -> Announcement {
    Announcement {
        identifiers: shelly::identifiers(id, mac),
        about: About {
            vendor: Some(shelly::VENDOR.to_owned()),
            ..About::default()
        },
        availability: shelly::availability(&format!("{}{id}", topic::ROOT)),
        ..Announcement::default()
    }
}

/// The id that an announcement on the shared topic is of.
fn announced_id(json: &Value) -> Result<String, Fault> {
    shelly::text(json, "/id")
        .filter(|id| topic::is_id(id))
        .ok_or_else(|| {
            let detail = format!("{SHARED}: no id that could be a level of a topic");
            Fault::new(FaultKind::Announcement, detail)
        })
}

/// What `announce` says: `{"id":…,"model":…,"mac":…,"fw_ver":…}`.
fn announced(id: &str, json: &Value) -> Announcement {
    let mut announcement = device(id, shelly::text(json, "/mac").as_deref());
    announcement.about.model = shelly::text(json, "/model");
    announcement.about.firmware =
        shelly::text(json, "/fw_ver").or_else(|| shelly::text(json, "/ver"));
    announcement
}

/// What `info` says: the whole status. It teaches the address, and its values are readings as well.
fn info(at: Address<'_>, json: &Value) -> Announcement {
    let mut announcement = device(at.id, shelly::text(json, "/mac").as_deref());
    announcement.about.firmware = shelly::text(json, "/update/old_version");
    announcement.points = points::of_info(at, json);
    announcement.streams = vec![at.stream()];
    announcement
}
