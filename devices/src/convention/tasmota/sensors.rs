use serde_json::Value;

use super::{fault, quantity};
use crate::{
    announcement::Announcement,
    fault::Fault,
    identifier::Identifier,
    point::{Component, Point, Read},
};

/// How deep sensors may nest; Tasmota has four levels.
const DEPTH_MAX: usize = 8;

/// Most points of one device; the readings of what is beyond have their names all the same.
const POINTS_MAX: usize = 500;

/// A device's sensors. The message names no topic but the device's address: its points have no place to be
/// read from, only the names that the readings on `SENSOR` have.
pub(super) fn learn(mac: &str, message: &Value) -> Result<Announcement, Fault> {
    let mac = Identifier::mac(mac).ok_or_else(|| fault("sensors of no address"))?;
    if !message["sn"].is_object() {
        return Err(fault("sensors without the object `sn`"));
    }
    Ok(Announcement {
        identifiers: vec![mac],
        points: points(&message["sn"], None),
        ..Announcement::default()
    })
}

/// A point for each value of a message with sensors, with the units that the message says.
pub(super) fn points(message: &Value, topic: Option<&str>) -> Vec<Point> {
    let mut walk = Walk {
        message,
        topic,
        points: Vec::new(),
    };
    for (key, value) in message.as_object().into_iter().flatten() {
        if key != "Time" && !key.ends_with("Unit") {
            walk.take(key, value, 0);
        }
    }
    walk.points
}

struct Walk<'a> {
    message: &'a Value,
    topic: Option<&'a str>,
    points: Vec<Point>,
}

impl Walk<'_> {
    fn take(&mut self, key: &str, value: &Value, depth: usize) {
        if depth > DEPTH_MAX || self.points.len() >= POINTS_MAX {
            return;
        }
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    self.take(&format!("{key}.{name}"), value, depth + 1);
                }
            }
            Value::Array(array) => {
                for (place, value) in array.iter().enumerate().take(POINTS_MAX) {
                    self.take(&format!("{key}.{place}"), value, depth + 1);
                }
            }
            _ => self.points.push(self.point(key, value)),
        }
    }

    fn point(&self, key: &str, value: &Value) -> Point {
        let word = value.as_str().unwrap_or_default();
        let component = match word {
            "ON" | "OFF" => Component::BinarySensor,
            _ => Component::Sensor,
        };
        let mut point = Point::new(key, component);
        point.read = self.topic.map(|topic| Read::path(topic, key));
        if let Some(quantity) = quantity::of(key).filter(|_| !value.is_string()) {
            let said = quantity.unit_key.and_then(|key| self.message[key].as_str());
            point.unit = said.or(quantity.unit).map(str::to_owned);
            point.class = quantity.class.map(str::to_owned);
            point.state_class = quantity.state_class;
        }
        point
    }
}
