use serde_json::{Map, Value};

use super::{
    abbreviations::{self, expand},
    config::{Config, is_topic, listed, text},
};
use crate::{
    announcement::{About, Availability, AvailabilityTopic, Mode},
    identifier::Identifier,
    point::At,
    template::{Place, simple_path},
};

/// Names of one device at most; those that come after are left out.
const IDENTIFIERS_MAX: usize = 64;

/// Topics of one device that say whether it is there, at most; those that come after are left out.
pub(super) const AVAILABILITY_TOPICS_MAX: usize = 64;

/// What a device block says: what names the device and what it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    /// What names it, hardware addresses first; none where the block says nothing.
    pub(super) identifiers: Vec<Identifier>,
    /// What it is.
    pub(super) about: About,
}

impl Device {
    /// Reads a device block.
    pub(super) fn of(block: &Map<String, Value>) -> Device {
        let block = expand(block.clone(), &abbreviations::DEVICE);
        let word = |key: &str| block.get(key).and_then(text);
        let connections = block.get("connections").cloned().map(listed);
        let macs = connections.iter().flatten().filter_map(|connection| {
            let pair = connection.as_array()?;
            let (kind, value) = (pair.first()?.as_str()?, pair.get(1)?.as_str()?);
            let is_address = matches!(kind, "mac" | "bluetooth");
            match kind {
                "zigbee" => Identifier::ieee(value),
                _ if is_address => Identifier::mac(value),
                _ => None,
            }
        });
        let mut identifiers: Vec<Identifier> = macs.collect();
        let ids = block.get("identifiers").cloned().map(listed);
        let ids = ids.iter().flatten().filter_map(text);
        identifiers.extend(ids.map(|id| Identifier::home_assistant(&id)));
        identifiers.truncate(IDENTIFIERS_MAX);
        let mut seen = Vec::new();
        identifiers.retain(|identifier| {
            let is_new = !seen.contains(identifier);
            seen.push(identifier.clone());
            is_new
        });
        let about = About {
            name: word("name"),
            room: word("suggested_area"),
            vendor: word("manufacturer"),
            model: word("model").or_else(|| word("model_id")),
            firmware: word("sw_version"),
            hardware: word("hw_version"),
            serial: word("serial_number"),
            via: word("via_device").map(|via| Identifier::home_assistant(&via)),
        };
        Device { identifiers, about }
    }
}

/// How an entity says whether its device is there.
pub(super) fn availability(config: &Config) -> Availability {
    let single = config
        .topic("availability_topic")
        .map(|topic| AvailabilityTopic {
            topic,
            at: place(config.text("availability_template")),
            online: config
                .text("payload_available")
                .unwrap_or_else(|| "online".to_owned()),
            offline: config
                .text("payload_not_available")
                .unwrap_or_else(|| "offline".to_owned()),
        });
    let list = config.0.get("availability").and_then(Value::as_array);
    let items = list.into_iter().flatten().filter_map(|item| {
        let item = item.as_object()?;
        let word = |key: &str| item.get(key).and_then(text);
        Some(AvailabilityTopic {
            topic: word("topic").filter(|topic| is_topic(topic))?,
            at: place(word("value_template")),
            online: word("payload_available").unwrap_or_else(|| "online".to_owned()),
            offline: word("payload_not_available").unwrap_or_else(|| "offline".to_owned()),
        })
    });
    Availability {
        topics: single
            .into_iter()
            .chain(items)
            .take(AVAILABILITY_TOPICS_MAX)
            .collect(),
        mode: match config.text("availability_mode").as_deref() {
            Some("all") => Mode::All,
            Some("any") => Mode::Any,
            _ => Mode::Latest,
        },
    }
}

/// The place that a template names; without a template the payload itself.
pub(super) fn place(template: Option<String>) -> At {
    match template {
        None => At::Value,
        Some(template) => match simple_path(&template) {
            Some(Place::Value) => At::Value,
            Some(Place::Path(path)) => At::Path(path),
            None => At::Template(template),
        },
    }
}
