/// What the keys of its components mean.
mod meaning;
/// How its components are set.
mod points;
#[cfg(test)]
mod tests;
/// Whose a topic is, and how its payloads are laid out.
mod topic;

use serde_json::{Map, Value};

use self::topic::{Kind, Place};
use super::{Convention, KeyMeaning, shelly};
use crate::{
    announcement::{About, Announcement, Layout, Stream},
    fault::Fault,
    message::Message,
    point::Point,
};

/// Components of one status that are looked at; the largest devices have some forty.
const COMPONENTS_MAX: usize = 128;

/// Notifications that a device publishes on `<prefix>/events/rpc`.
const NOTIFICATIONS: [&str; 3] = ["NotifyStatus", "NotifyFullStatus", "NotifyEvent"];

/// The convention.
///
/// A component's keys are metrics below its name, the same from `<prefix>/events/rpc` as from
/// `<prefix>/status/<component>`: `switch:0.output`, `switch:0.aenergy.total`, `temperature:0.tC`. A prefix that
/// the owner chose is recognised by the device's id inside of `events/rpc`; other topics only by an
/// id at the end of their prefix, as devices have it unless told otherwise.
#[derive(Debug)]
pub struct ShellyGen2;

impl Convention for ShellyGen2 {
    fn teaches(&self, topic: &str) -> bool {
        Place::of(topic).is_some_and(|place| place.kind == Kind::Announce && place.id().is_some())
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        let place = Place::of(message.topic).filter(|place| place.kind == Kind::Announce);
        let Some((place, id)) = place.and_then(|place| Some((place, place.id()?))) else {
            return Ok(Vec::new());
        };
        if message.payload.is_empty() {
            return Ok(Vec::new());
        }
        let json = shelly::object(message)?;
        let mut announcement = device(place, id, shelly::text(&json, "/mac").as_deref());
        announcement.about.name = shelly::text(&json, "/name");
        announcement.about.hardware = shelly::text(&json, "/model");
        announcement.about.firmware = shelly::text(&json, "/ver");
        Ok(vec![announcement])
    }

    fn recognise(&self, message: &Message<'_>) -> Option<Announcement> {
        let place = Place::of(message.topic)?;
        if place.kind == Kind::Events {
            return notified(place, message);
        }
        let mut announcement = device(place, place.id()?, None);
        announcement.streams = vec![place.stream()?];
        if let Kind::Status(component) = place.kind
            && let Ok(Value::Object(status)) = shelly::object(message)
        {
            announcement.points = points_of(message.topic, component, &status);
        }
        Some(announcement)
    }

    fn discover(&self, topic: &str, metric: &str) -> Option<Point> {
        points::of(Place::of(topic)?, metric)
    }

    fn meaning(&self, key: &str) -> Option<KeyMeaning> {
        meaning::of(key)
    }
}

/// A device of which its id and perhaps its address are known. The id begins with the model.
fn device(place: Place<'_>, id: &str, mac: Option<&str>) -> Announcement {
    Announcement {
        identifiers: shelly::identifiers(id, mac),
        about: About {
            vendor: Some(shelly::VENDOR.to_owned()),
            model: id.rsplit_once('-').map(|(model, _)| model.to_owned()),
            ..About::default()
        },
        availability: shelly::availability(place.prefix),
        ..Announcement::default()
    }
}

/// What a notification says: who sends it, whatever its prefix, and which components it has. The device's other
/// topics are named too, because below a prefix of the owner's choice they could not be recognised themselves.
fn notified(place: Place<'_>, message: &Message<'_>) -> Option<Announcement> {
    let json = shelly::object(message).ok()?;
    let method = json.get("method")?.as_str()?;
    let id = json.get("src")?.as_str().filter(|id| topic::is_id(id))?;
    if !NOTIFICATIONS.contains(&method) {
        return None;
    }
    let mut announcement = device(place, id, None);
    announcement.streams = vec![
        place.stream()?,
        Stream::new(place.sibling("online"), "online"),
        Stream {
            topic: place.sibling("rpc"),
            layout: Layout::Raw {
                metric: "rpc".to_owned(),
            },
        },
    ];
    let Some(Value::Object(params)) = json.get("params") else {
        return Some(announcement);
    };
    for (component, status) in params.iter().take(COMPONENTS_MAX) {
        let Value::Object(status) = status else {
            continue;
        };
        if component.contains(['/', '+', '#', '\0']) {
            continue;
        }
        announcement
            .points
            .extend(points_of(message.topic, component, status));
        let status_topic = place.sibling(&format!("status/{component}"));
        let status_stream = Place::of(&status_topic).and_then(Place::stream);
        announcement.streams.extend(status_stream);
    }
    Some(announcement)
}

/// What can be set of a component, as far as its status shows it.
fn points_of(topic: &str, component: &str, status: &Map<String, Value>) -> Vec<Point> {
    let Some(place) = Place::of(topic) else {
        return Vec::new();
    };
    status
        .keys()
        .filter_map(|key| points::of(place, &format!("{component}.{key}")))
        .collect()
}
