use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use super::{DEVICES_MAX, bridge, exposes};
use crate::{
    announcement::{About, Announcement, Stream},
    fault::{Fault, FaultKind},
    identifier::Identifier,
};

/// The bridge and all its devices, the bridge first.
pub(super) fn learn(base: &str, payload: &[u8]) -> Result<Vec<Announcement>, Fault> {
    let broken = |error| {
        let detail = format!("bridge/devices: {error}");
        Fault::new(FaultKind::Announcement, detail)
    };
    let mut json = serde_json::Deserializer::from_slice(payload);
    let list = json.deserialize_seq(Reader { base }).map_err(broken)?;
    json.end().map_err(broken)?;
    if list.entries > DEVICES_MAX {
        let entries = list.entries;
        let detail = format!("bridge/devices: {entries} devices, more than {DEVICES_MAX}");
        return Err(Fault::new(FaultKind::TooLarge, detail));
    }
    if list.entries > 0 && list.devices.is_empty() && list.coordinator.is_none() {
        let detail = "bridge/devices: no entry has an address and a friendly name";
        return Err(Fault::new(FaultKind::Announcement, detail));
    }
    Ok(list.announcements(base))
}

/// What was read of a list.
#[derive(Default)]
struct List {
    /// Devices, without the one that they speak through.
    devices: Vec<Announcement>,
    coordinator: Option<Identifier>,
    /// Entries of the list, whatever they are.
    entries: usize,
}

impl List {
    fn announcements(self, base: &str) -> Vec<Announcement> {
        let via = self
            .coordinator
            .clone()
            .unwrap_or_else(|| bridge::identifier(base));
        let mut all = vec![bridge::announcement(base, self.coordinator)];
        all.extend(self.devices);
        for device in &mut all[1..] {
            device.about.via = Some(via.clone());
        }
        all
    }
}

/// Reads one entry after the other, so that a list of many megabytes never stands in memory as a tree.
struct Reader<'a> {
    base: &'a str,
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of devices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
        let mut list = List::default();
        while list.entries < DEVICES_MAX {
            let Some(entry) = seq.next_element::<Value>()? else {
                return Ok(list);
            };
            list.entries += 1;
            if entry["type"] == "Coordinator" {
                let address = entry["ieee_address"].as_str();
                list.coordinator = address.and_then(Identifier::ieee);
            } else if let Some(device) = device(self.base, &entry) {
                list.devices.push(device);
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.entries += 1;
        }
        Ok(list)
    }
}

/// One device; none where it cannot be named or has no topic. One that Zigbee2MQTT does not support has readings all
/// the same, but nothing is known of them.
fn device(base: &str, entry: &Value) -> Option<Announcement> {
    let identifier = Identifier::ieee(entry["ieee_address"].as_str()?)?;
    let name = entry["friendly_name"].as_str()?.trim();
    if name.is_empty() || name.contains(['+', '#', '\0']) {
        return None;
    }
    let topic = format!("{base}/{name}");
    let points = match &entry["definition"]["exposes"] {
        Value::Array(exposes) => exposes::points(&topic, exposes),
        _ => Vec::new(),
    };
    Some(Announcement {
        identifiers: vec![identifier],
        about: about(name, entry),
        points,
        streams: vec![
            Stream::new(&topic, "value"),
            Stream::raw(format!("{topic}/set"), "set"),
            Stream::raw(format!("{topic}/get"), "get"),
        ],
        availability: bridge::availability(format!("{topic}/availability")),
    })
}

fn about(name: &str, entry: &Value) -> About {
    let definition = &entry["definition"];
    let text = |value: &Value| {
        let text = value.as_str().map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let model = match (text(&definition["model"]), text(&definition["description"])) {
        (Some(model), Some(description)) => Some(format!("{model} ({description})")),
        (model, description) => model.or(description).or_else(|| text(&entry["model_id"])),
    };
    About {
        name: Some(name.to_owned()),
        vendor: text(&definition["vendor"]).or_else(|| text(&entry["manufacturer"])),
        model,
        firmware: text(&entry["software_build_id"]),
        ..About::default()
    }
}
