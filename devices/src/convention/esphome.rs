//! An ESPHome node publishes one plain value per topic, `<node>/<component>/<object id>/state`, and listens on
//! `…/command`. What it is stands on `esphome/discover/<node>`; units and classes stand nowhere but in its Home Assistant
//! discovery, and are not guessed.

/// The values that a component's state has, and how it is set.
mod component;
/// What a component of a node is, by its topic.
mod entity;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{Convention, KeyMeaning};
use crate::{
    announcement::{About, Announcement, Availability, AvailabilityTopic, Stream},
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    point::At,
};

/// Largest message that teaches; nodes send half a kilobyte.
const LESSON_BYTES_MAX: usize = 64 * 1024;

/// Longest name of a node.
const NODE_BYTES_MAX: usize = 63;

/// First levels that others have: what stands below is no node's.
const FOREIGN: [&str; 12] = [
    "homeassistant",
    "hass",
    "esphome",
    "zigbee2mqtt",
    "tasmota",
    "tele",
    "stat",
    "cmnd",
    "shellies",
    "frigate",
    "home",
    "tarn",
];

/// The convention.
#[derive(Debug)]
pub struct EspHome;

impl Convention for EspHome {
    fn teaches(&self, topic: &str) -> bool {
        node_of_discovery(topic).is_some()
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        let Some(node) = node_of_discovery(message.topic) else {
            return Ok(Vec::new());
        };
        let Some(payload) = message.lesson(LESSON_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let fault = |detail| Fault::new(FaultKind::Announcement, detail);
        let said: Value =
            serde_json::from_slice(payload).map_err(|error| fault(format!("no JSON: {error}")))?;
        if !["name", "mac", "version"]
            .iter()
            .any(|key| said[key].is_string())
        {
            return Err(fault(
                "neither a name, a MAC address nor a version".to_owned(),
            ));
        }
        Ok(vec![learn(node, &said)])
    }

    fn recognise(&self, message: &Message<'_>) -> Option<Announcement> {
        let (node, rest) = message.topic.split_once('/')?;
        if !is_node(node) || FOREIGN.contains(&node) {
            return None;
        }
        match rest {
            "status" => {
                let is_word = matches!(message.text()?, "online" | "offline");
                let stream = Stream::new(message.topic, "status");
                is_word.then(|| announcement(node, vec![stream]))
            }
            "debug" => {
                let stream = Stream::raw(message.topic, "debug");
                is_log(message.text()?).then(|| announcement(node, vec![stream]))
            }
            _ => entity::recognise(node, rest, message),
        }
    }

    fn meaning(&self, _key: &str) -> Option<KeyMeaning> {
        None
    }
}

/// What a node says of itself.
fn learn(node: &str, said: &Value) -> Announcement {
    let text = |key: &str| {
        let text = said[key].as_str().map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let project = text("project_name");
    let project = project.as_deref().and_then(|name| name.split_once('.'));
    let mac = text("mac").and_then(|mac| Identifier::mac(&mac));
    let known = announcement(
        node,
        vec![
            Stream::raw(format!("{node}/debug"), "debug"),
            Stream::lesson(format!("esphome/ping/{node}")),
        ],
    );
    Announcement {
        identifiers: mac.into_iter().chain(known.identifiers).collect(),
        about: About {
            name: text("friendly_name").or_else(|| text("name")),
            vendor: project.map(|(vendor, _)| vendor.to_owned()),
            model: project
                .map(|(_, model)| model.to_owned())
                .or_else(|| text("board")),
            firmware: text("version"),
            hardware: text("platform"),
            ..About::default()
        },
        ..known
    }
}

/// A node of which nothing is known but its name.
fn announcement(node: &str, streams: Vec<Stream>) -> Announcement {
    Announcement {
        identifiers: vec![Identifier::native("esphome", node)],
        streams,
        availability: Availability {
            topics: vec![AvailabilityTopic {
                topic: format!("{node}/status"),
                at: At::Value,
                online: "online".to_owned(),
                offline: "offline".to_owned(),
            }],
            ..Availability::default()
        },
        ..Announcement::default()
    }
}

fn node_of_discovery(topic: &str) -> Option<&str> {
    topic
        .strip_prefix("esphome/discover/")
        .filter(|node| is_node(node))
}

/// A name that ESPHome takes for a node. A prefix of several levels is not told from other topics.
fn is_node(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=NODE_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether a text is a line of a node's log: its level in brackets, behind an escape sequence for its colour.
fn is_log(text: &str) -> bool {
    let line = match text.strip_prefix("\u{1b}[") {
        Some(colour) => colour.split_once('m').map_or("", |(_, line)| line),
        None => text,
    };
    let mut start = line.chars();
    start.next() == Some('[')
        && start.next().is_some_and(|level| "EWICDV".contains(level))
        && start.next() == Some(']')
}
