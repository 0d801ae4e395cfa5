/// Short spellings of keys.
mod abbreviations;
/// The options of an entity.
mod config;
/// The device block and availability.
mod device;
/// From an entity's options to points.
mod entity;
/// Lights with JSON or templates.
mod light;
/// Which options make which points.
mod parts;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::{config::Config, device::Device, entity::Entity};
use super::{Convention, KeyMeaning};
use crate::{
    announcement::{Announcement, Stream},
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    point::{At, Component, Form, Point, Read},
};

/// Longest discovery message.
pub const CONFIG_BYTES_MAX: usize = 512 * 1024;

/// Most components that one device may announce in one message.
pub const COMPONENTS_MAX: usize = 1_000;

/// Home Assistant's own prefix. Under it a component that nobody knows yet is one all the same.
const PREFIX: &str = "homeassistant";

/// Components that Home Assistant or a well-known addition to it discovers by MQTT.
const COMPONENTS: [&str; 31] = [
    "alarm_control_panel",
    "binary_sensor",
    "button",
    "camera",
    "climate",
    "cover",
    "date",
    "datetime",
    "device_automation",
    "device_tracker",
    "event",
    "fan",
    "humidifier",
    "image",
    "lawn_mower",
    "light",
    "lock",
    "media_player",
    "notify",
    "number",
    "scene",
    "select",
    "sensor",
    "siren",
    "switch",
    "tag",
    "text",
    "update",
    "vacuum",
    "valve",
    "water_heater",
];

/// Components that have nothing to measure or to set.
const SILENT: [&str; 4] = ["camera", "device_automation", "image", "tag"];

/// Options at the top of the device form that its components take over.
const SHARED: [&str; 10] = [
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "command_topic",
    "encoding",
    "payload_available",
    "payload_not_available",
    "qos",
    "state_topic",
];

/// The convention.
#[derive(Debug)]
pub struct HomeAssistant;

impl Convention for HomeAssistant {
    fn teaches(&self, topic: &str) -> bool {
        Subject::of(topic).is_some()
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        let Some(subject) = Subject::of(message.topic) else {
            return Ok(Vec::new());
        };
        if message.payload.trim_ascii().is_empty() || SILENT.contains(&subject.component) {
            return Ok(Vec::new());
        }
        let options = parse(message.payload)?;
        match subject.component {
            "device" => device_form(&subject, options),
            _ => single_form(&subject, options),
        }
    }

    fn recognise(&self, _message: &Message<'_>) -> Option<Announcement> {
        None
    }

    fn meaning(&self, _key: &str) -> Option<KeyMeaning> {
        None
    }
}

/// What a discovery topic says: `<prefix>/<component>/[<node>/]<object>/config`.
struct Subject<'t> {
    component: &'t str,
    node: Option<&'t str>,
    object: &'t str,
}

impl<'t> Subject<'t> {
    /// The subject of a topic, if it is one of discovery. The prefix may be any single level before a known component.
    fn of(topic: &'t str) -> Option<Subject<'t>> {
        let rest = topic.strip_suffix("/config")?;
        let mut levels = rest.split('/');
        let (prefix, component, first) = (levels.next()?, levels.next()?, levels.next()?);
        let (node, object) = match levels.next() {
            Some(object) => (Some(first), object),
            None => (None, first),
        };
        let is_id = |id: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            !id.is_empty() && id.bytes().all(is_plain)
        };
        let is_known = component == "device" || COMPONENTS.contains(&component);
        let is_known = is_known || (prefix == PREFIX && is_id(component));
        let is_whole = levels.next().is_none() && !prefix.is_empty() && !prefix.starts_with('$');
        let has_ids = is_id(object) && node.is_none_or(is_id);
        (is_known && is_whole && has_ids).then_some(Subject {
            component,
            node,
            object,
        })
    }

    /// What names a device that its message does not name.
    fn identifier(&self) -> Identifier {
        match self.node {
            Some(node) => Identifier::home_assistant(&format!("{node}/{}", self.object)),
            None => Identifier::home_assistant(self.object),
        }
    }
}

/// The JSON object of a discovery message.
fn parse(payload: &[u8]) -> Result<Map<String, Value>, Fault> {
    if payload.len() > CONFIG_BYTES_MAX {
        let detail = format!(
            "a discovery message of {} bytes, of at most {CONFIG_BYTES_MAX}",
            payload.len()
        );
        return Err(Fault::new(FaultKind::TooLarge, detail));
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(options)) => Ok(options),
        Ok(_) => Err(wrong("the discovery message is no JSON object")),
        Err(error) => Err(wrong(format!("the discovery message is no JSON: {error}"))),
    }
}

/// A discovery message that cannot be understood.
fn wrong(detail: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Announcement, detail)
}

/// A message of one entity.
fn single_form(
    subject: &Subject<'_>,
    options: Map<String, Value>,
) -> Result<Vec<Announcement>, Fault> {
    let config = Config::new(options, None);
    let mut device = match config.0.get("device") {
        None | Some(Value::Null) => Device::default(),
        Some(Value::Object(block)) => Device::of(block),
        Some(_) => return Err(wrong("`device` is no object")),
    };
    if device.identifiers.is_empty() {
        let own = config
            .text("unique_id")
            .map(|id| Identifier::home_assistant(&id));
        device
            .identifiers
            .push(own.unwrap_or_else(|| subject.identifier()));
        device.about.name = device.about.name.or_else(|| config.text("name"));
    }
    Ok(vec![announce(
        &device,
        &[(
            subject.component.to_owned(),
            subject.object.to_owned(),
            config,
        )],
    )])
}

/// A message of a device with all its components.
fn device_form(
    subject: &Subject<'_>,
    options: Map<String, Value>,
) -> Result<Vec<Announcement>, Fault> {
    let top = Config::new(options, None);
    let block = top
        .object("device")
        .ok_or_else(|| wrong("`device` is missing"))?;
    let mut device = Device::of(block);
    if device.identifiers.is_empty() {
        device.identifiers.push(subject.identifier());
    }
    let components = top
        .object("components")
        .ok_or_else(|| wrong("`components` is missing"))?;
    if components.len() > COMPONENTS_MAX {
        let detail = format!(
            "{} `components`, of at most {COMPONENTS_MAX}",
            components.len()
        );
        return Err(Fault::new(FaultKind::TooLarge, detail));
    }
    let base = top.text("~");
    let mut entities = Vec::new();
    for (key, options) in components {
        let options = options
            .as_object()
            .ok_or_else(|| wrong(format!("component `{key}` is no object")))?;
        let mut config = Config::new(options.clone(), base.as_deref());
        let platform = config.text("platform");
        let platform =
            platform.ok_or_else(|| wrong(format!("`platform` of component `{key}` is missing")))?;
        // A component that says nothing but what it is has been taken back.
        if config.0.len() > 1 && !SILENT.contains(&platform.as_str()) {
            for option in SHARED {
                if let Some(value) = top.0.get(option) {
                    config.0.entry(option).or_insert_with(|| value.clone());
                }
            }
            entities.push((platform, key.clone(), config));
        }
    }
    let mut announcement = announce(&device, &entities);
    if announcement.availability.topics.is_empty() {
        announcement.availability = device::availability(&top);
    }
    Ok(vec![announcement])
}

/// What entities say of their device.
fn announce(device: &Device, entities: &[(String, String, Config)]) -> Announcement {
    let mut announcement = Announcement {
        identifiers: device.identifiers.clone(),
        about: device.about.clone(),
        ..Announcement::default()
    };
    for (component, object_id, config) in entities {
        announcement
            .points
            .extend(points(component, object_id, config));
        if let Some(topic) = config.topic("json_attributes_topic") {
            let stream = Stream::new(topic, "attributes");
            if !announcement.streams.contains(&stream) {
                announcement.streams.push(stream);
            }
        }
        let availability = device::availability(config);
        if !availability.topics.is_empty() {
            announcement.availability.mode = availability.mode;
        }
        for topic in availability.topics {
            let known = &mut announcement.availability.topics;
            if known.len() < device::AVAILABILITY_TOPICS_MAX && !known.contains(&topic) {
                known.push(topic);
            }
        }
    }
    announcement
}

/// The points of one entity.
fn points(component: &str, object_id: &str, config: &Config) -> Vec<Point> {
    let mut entity = Entity::new(config, kind(component), object_id);
    let schema = config.text("schema").unwrap_or_default();
    match (component, schema.as_str()) {
        ("light", "json") => light::json_schema(&mut entity),
        ("light", "template") => light::template_schema(&mut entity),
        ("valve", _) if config.flag("reports_position") => entity.add(&parts::VALVE_POSITION),
        _ => parts::parts(component)
            .iter()
            .for_each(|part| entity.add(part)),
    }
    match component {
        "vacuum" => vacuum(&mut entity),
        "siren" => siren(&mut entity),
        "event" => event(&mut entity),
        _ => {}
    }
    entity.points
}

/// A vacuum's state is JSON with fixed keys.
fn vacuum(entity: &mut Entity<'_>) {
    let fan = entity.config.topic("set_fan_speed_topic");
    let fan = fan.map(|topic| entity.write(topic, Form::Plain));
    let state = entity.config.topic("state_topic");
    let read = |key: &str| state.clone().map(|topic| Read::path(topic, key));
    entity.finish(&parts::PLAIN, read("state"), None);
    entity.finish(&parts::BATTERY, read("battery_level"), None);
    entity.finish(&parts::VACUUM_FAN, read("fan_speed"), fan);
}

/// A siren without a command template takes JSON, with a tone and a volume.
fn siren(entity: &mut Entity<'_>) {
    let config = entity.config;
    let (Some(topic), None) = (
        config.topic("command_topic"),
        config.text("command_template"),
    ) else {
        return;
    };
    let is_wanted = |key: &str| config.0.get(key) != Some(&Value::Bool(false));
    let form = |key: &str| entity::json_form(key, &[("state", "ON")]);
    if let Some(write) = entity
        .points
        .first_mut()
        .and_then(|point| point.write.as_mut())
    {
        write.encode.form = entity::json_form("state", &[]);
    }
    if config.0.contains_key("available_tones") {
        let write = entity.write(topic.clone(), form("tone"));
        entity.finish(&parts::SIREN_TONE, None, Some(write));
    }
    if is_wanted("support_volume_set") {
        let write = entity.write(topic, form("volume_level"));
        entity.finish(&parts::SIREN_VOLUME, None, Some(write));
    }
}

/// Without a template an event is the `event_type` of its JSON.
fn event(entity: &mut Entity<'_>) {
    if entity.config.text("value_template").is_some() {
        return;
    }
    for point in &mut entity.points {
        if let Some(read) = &mut point.read {
            read.at = At::Path("event_type".to_owned());
            "event_type".clone_into(&mut point.metric);
        }
    }
}

/// What kind of thing a component is.
fn kind(component: &str) -> Component {
    match component {
        "sensor" => Component::Sensor,
        "binary_sensor" => Component::BinarySensor,
        "switch" => Component::Switch,
        "light" => Component::Light,
        "cover" => Component::Cover,
        "valve" => Component::Valve,
        "lock" => Component::Lock,
        "climate" | "water_heater" => Component::Climate,
        "fan" => Component::Fan,
        "number" => Component::Number,
        "select" => Component::Select,
        "button" | "scene" => Component::Button,
        "siren" => Component::Siren,
        "media_player" => Component::MediaPlayer,
        "text" => Component::Text,
        _ => Component::Other,
    }
}
