use serde_json::Value;

use super::{
    config, native, sensors, settable,
    topics::{Prefix, Topics, numbered},
};
use crate::{
    announcement::{About, Announcement},
    message::Message,
    point::{Component, Point, Read},
};

/// Topics that all devices listen to; they are no device.
const GROUPS: [&str; 2] = ["tasmotas", "sonoffs"];

/// Longest name of a command.
const COMMAND_BYTES_MAX: usize = 32;

/// Most relays of one device.
const RELAYS_MAX: usize = 32;

/// A device by one of its topics, if it uses the usual ones: prefix and name in either order.
pub(super) fn recognise(message: &Message<'_>) -> Option<Announcement> {
    let (prefix, name, leaf, topics) = place(message.topic)?;
    let json = || serde_json::from_slice::<Value>(message.payload).ok();
    let points = match (prefix, leaf) {
        (Prefix::Cmnd, _) => is_command(leaf).then(Vec::new)?,
        (Prefix::Tele, "LWT") => {
            let text = message.text()?;
            matches!(text, "Online" | "Offline").then(Vec::new)?
        }
        (Prefix::Tele, "SENSOR") => {
            let json = json().filter(has_time)?;
            sensors::points(&json, Some(message.topic))
        }
        (Prefix::Tele, "STATE") => powers(&json().filter(has_time)?, message.topic, &topics),
        (Prefix::Tele, "UPTIME") => json().filter(has_time).map(|_| Vec::new())?,
        (Prefix::Tele | Prefix::Stat, "RESULT") => {
            powers(&json().filter(is_filled)?, message.topic, &topics)
        }
        (Prefix::Tele, _) if numbered(leaf, "INFO") => {
            let json = json().filter(is_info)?;
            json.is_object().then(Vec::new)?
        }
        (Prefix::Stat, _) if numbered(leaf, "STATUS") => {
            json().filter(is_status).map(|_| Vec::new())?
        }
        (Prefix::Stat, _) if numbered(leaf, "POWER") => {
            let word = message.text()?;
            let read = Read::value(message.topic);
            let point = || vec![settable::power(leaf, Component::Switch, read, &topics)];
            matches!(word, "ON" | "OFF").then(point)?
        }
        _ => return None,
    };
    Some(Announcement {
        identifiers: vec![native(name)],
        about: About {
            vendor: Some("Tasmota".to_owned()),
            ..About::default()
        },
        points,
        streams: vec![topics.stream(prefix, leaf)?],
        availability: config::availability(&topics, "Online", "Offline"),
    })
}

/// Prefix, device and what stands behind them in a topic of three levels.
fn place(topic: &str) -> Option<(Prefix, &str, &str, Topics)> {
    let mut levels = topic.split('/');
    let (first, second, leaf) = (levels.next()?, levels.next()?, levels.next()?);
    if levels.next().is_some() {
        return None;
    }
    let (prefix, name, is_usual) = match (prefix(first), prefix(second)) {
        (Some(prefix), None) => (prefix, second, true),
        (None, Some(prefix)) => (prefix, first, false),
        _ => return None,
    };
    if name.is_empty() || GROUPS.contains(&name) {
        return None;
    }
    let of = |prefix: &str| match is_usual {
        true => format!("{prefix}/{name}/"),
        false => format!("{name}/{prefix}/"),
    };
    let topics = Topics {
        cmnd: of("cmnd"),
        stat: of("stat"),
        tele: of("tele"),
    };
    Some((prefix, name, leaf, topics))
}

fn prefix(level: &str) -> Option<Prefix> {
    match level {
        "cmnd" => Some(Prefix::Cmnd),
        "stat" => Some(Prefix::Stat),
        "tele" => Some(Prefix::Tele),
        _ => None,
    }
}

/// Relays that a message tells of.
fn powers(message: &Value, topic: &str, topics: &Topics) -> Vec<Point> {
    let keys = message
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key);
    keys.filter(|key| numbered(key, "POWER"))
        .take(RELAYS_MAX)
        .map(|key| settable::power(key, Component::Switch, Read::path(topic, key), topics))
        .collect()
}

fn is_command(leaf: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=COMMAND_BYTES_MAX).contains(&leaf.len())
        && leaf.starts_with(|c: char| c.is_ascii_alphabetic())
        && leaf.bytes().all(fits)
}

/// All that a device says by itself begins with its date and time.
fn has_time(message: &Value) -> bool {
    message["Time"].as_str().is_some_and(|time| {
        let bytes = time.as_bytes();
        bytes.len() >= 19 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[0].is_ascii_digit()
    })
}

fn is_filled(message: &Value) -> bool {
    message.as_object().is_some_and(|object| !object.is_empty())
}

fn is_info(message: &Value) -> bool {
    let known = |key: &String| {
        numbered(key, "Info")
            || matches!(key.as_str(), "Module" | "WebServerMode" | "RestartReason")
    };
    message
        .as_object()
        .is_some_and(|object| object.keys().any(known))
}

fn is_status(message: &Value) -> bool {
    let object = message.as_object();
    object.is_some_and(|object| object.keys().any(|key| key.starts_with("Status")))
}
