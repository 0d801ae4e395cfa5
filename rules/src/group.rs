//! Devices of one kind, in a room or everywhere, whatever their make: what is wanted of all is put into the words of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rule::Scalar;

/// What is wanted of all devices of a kind.
///
/// Keys of `values` are names of metrics, or one of four that every make has in its own way: `on` (a switch), `percent`
/// (0 to 100 of the bounds of what is bright, loud, open or fast), `option` (a word that it takes, like `open`), `number` (in the
/// unit of the device, like a temperature that is aimed at).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Kind of device, by Home Assistant's names, like `light` or `cover`.
    pub component: String,
    /// Only in this room; everywhere without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// What is wanted.
    pub values: BTreeMap<String, Scalar>,
}

/// Something that can be set on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Settable {
    /// The device.
    pub device: String,
    /// The room that it is in.
    pub room: Option<String>,
    /// Its metric.
    pub metric: String,
    /// Kind of thing, by Home Assistant's names.
    pub component: String,
    /// What it takes.
    pub takes: Takes,
}

/// What can be set.
#[derive(Debug, Clone, PartialEq)]
pub enum Takes {
    /// On and off.
    Switch,
    /// A number within bounds, where they are known.
    Number {
        /// Lowest.
        min: Option<f64>,
        /// Highest.
        max: Option<f64>,
    },
    /// One of these words.
    Options(Vec<String>),
    /// Anything else.
    Other,
}

/// Parts of names of metrics that go from nothing to all.
const PERCENT_NAMES: [&str; 6] = ["bright", "dim", "position", "level", "volume", "speed"];
/// Parts of names of metrics that only say how something is reached.
const SIDE_NAMES: [&str; 4] = ["transition", "temp", "hue", "sat"];

impl Group {
    /// What is set on which device. Empty where no device is of this kind, or none understands what is wanted.
    #[must_use]
    pub fn of(&self, settables: &[Settable]) -> BTreeMap<String, BTreeMap<String, Scalar>> {
        let mut devices: BTreeMap<String, BTreeMap<String, Scalar>> = BTreeMap::new();
        for settable in settables.iter().filter(|settable| self.has(settable)) {
            let wishes = self.values.iter();
            for value in wishes.filter_map(|(wish, value)| settable.hears(wish, value)) {
                let values = devices.entry(settable.device.clone()).or_default();
                values.insert(settable.metric.clone(), value);
            }
        }
        devices
    }

    fn has(&self, settable: &Settable) -> bool {
        let is_there = |room: &String| settable.room.as_ref() == Some(room);
        settable.component == self.component && self.room.as_ref().is_none_or(is_there)
    }
}

impl Settable {
    /// What a wish is for it.
    fn hears(&self, wish: &str, value: &Scalar) -> Option<Scalar> {
        if wish == self.metric {
            return Some(value.clone());
        }
        match (wish, value, &self.takes) {
            ("on", Scalar::Bool(_), Takes::Switch) => Some(value.clone()),
            ("percent", Scalar::Number(percent), Takes::Number { min, max })
                if self.is_called(&PERCENT_NAMES) && !self.is_called(&SIDE_NAMES) =>
            {
                let (min, max) = (min.unwrap_or(0.0), max.unwrap_or(100.0));
                let share = percent.clamp(0.0, 100.0) / 100.0;
                Some(Scalar::Number((min + share * (max - min)).round()))
            }
            ("number", Scalar::Number(_), Takes::Number { .. })
                if !self.is_called(&PERCENT_NAMES) =>
            {
                Some(value.clone())
            }
            ("option", Scalar::Text(word), Takes::Options(words)) => {
                let word = words.iter().find(|known| known.eq_ignore_ascii_case(word));
                word.cloned().map(Scalar::Text)
            }
            _ => None,
        }
    }

    fn is_called(&self, names: &[&str]) -> bool {
        let metric = self.metric.to_ascii_lowercase();
        names.iter().any(|name| metric.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settable(device: &str, room: &str, metric: &str, component: &str, takes: Takes) -> Settable {
        Settable {
            device: device.into(),
            room: Some(room.into()),
            metric: metric.into(),
            component: component.into(),
            takes,
        }
    }

    fn number(min: f64, max: f64) -> Takes {
        Takes::Number {
            min: Some(min),
            max: Some(max),
        }
    }

    #[test]
    fn lights_of_a_room_are_set_whatever_their_make() {
        let home = [
            settable("zigbee", "den", "state", "light", Takes::Switch),
            settable("zigbee", "den", "brightness", "light", number(0.0, 254.0)),
            settable("zigbee", "den", "color_temp", "light", number(150.0, 500.0)),
            settable("tasmota", "den", "POWER", "light", Takes::Switch),
            settable("tasmota", "den", "Dimmer", "light", number(0.0, 100.0)),
            settable("plug", "den", "state", "switch", Takes::Switch),
            settable("far", "hall", "state", "light", Takes::Switch),
        ];
        let group: Group = serde_json::from_value(
            json!({"component": "light", "room": "den", "values": {"on": true, "percent": 50}}),
        )
        .expect("a group");
        let set = serde_json::to_value(group.of(&home)).expect("json");
        let wanted = json!({
            "zigbee": {"state": true, "brightness": 127},
            "tasmota": {"POWER": true, "Dimmer": 50},
        });
        assert_eq!(set, wanted);
        let everywhere = Group {
            room: None,
            ..group
        };
        assert_eq!(everywhere.of(&home).len(), 3);
    }

    #[test]
    fn words_numbers_and_names_of_metrics_are_understood() {
        let words = Takes::Options(vec!["OPEN".into(), "CLOSE".into()]);
        let home = [
            settable("blind", "den", "state", "cover", words),
            settable("blind", "den", "position", "cover", number(0.0, 100.0)),
            settable("heater", "den", "target_temp", "climate", number(5.0, 30.0)),
        ];
        let set = |component: &str, values: serde_json::Value| {
            let group: Group =
                serde_json::from_value(json!({"component": component, "values": values}))
                    .expect("a group");
            serde_json::to_value(group.of(&home)).expect("json")
        };
        assert_eq!(
            set("cover", json!({"option": "close"})),
            json!({"blind": {"state": "CLOSE"}})
        );
        assert_eq!(
            set("cover", json!({"position": 7})),
            json!({"blind": {"position": 7}})
        );
        assert_eq!(
            set("climate", json!({"number": 19.5})),
            json!({"heater": {"target_temp": 19.5}})
        );
        assert_eq!(set("siren", json!({"on": true})), json!({}));
        assert_eq!(set("cover", json!({"option": "tilt"})), json!({}));
    }
}
