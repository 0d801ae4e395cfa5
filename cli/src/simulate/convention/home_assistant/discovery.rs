//! Discovery payloads: components with full keys, abbreviated where a form asks for it.

use bytes::Bytes;
use mqtt_proto::TopicName;
use serde_json::{Map, Value as Json, json};

use super::Traits;
use crate::simulate::message::topic;
use crate::simulate::thing::{Domain, Kind, Property, Thing};

/// One retained discovery message.
#[derive(Debug)]
pub(in crate::simulate::convention) struct Announced {
    pub(in crate::simulate::convention) topic: TopicName,
    pub(in crate::simulate::convention) payload: Bytes,
}

/// How a device announces its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each for itself, in abbreviations, with `~` for the base topic.
    Single,
    /// All at once, with full keys and a list of availabilities.
    Device,
}

impl Form {
    /// What the device says when it is there, and when it is not.
    pub(super) fn availability_words(self) -> (&'static str, &'static str) {
        match self {
            Form::Single => ("online", "offline"),
            Form::Device => ("connected", "lost"),
        }
    }
}

/// A component: what it is, its object id, and its configuration with full keys.
pub(in crate::simulate::convention) type Component = (&'static str, String, Map<String, Json>);

/// The discovery messages of one device.
pub(super) fn announced(
    id: &str,
    name: &str,
    base: &str,
    thing: &Thing,
    form: Form,
    traits: Traits,
) -> Vec<Announced> {
    let components = components(id, thing, traits);
    match form {
        Form::Single => single(id, name, base, components),
        Form::Device => vec![device(id, name, base, components)],
    }
}

fn single(id: &str, name: &str, base: &str, components: Vec<Component>) -> Vec<Announced> {
    let device =
        json!({"identifiers": [id], "name": name, "manufacturer": "Northwind", "model": "N1"});
    let announce = |(component, object, mut config): Component| {
        config.insert("~".to_owned(), base.into());
        config.insert("availability_topic".to_owned(), "~/availability".into());
        config.insert("device".to_owned(), device.clone());
        Announced {
            topic: topic(&format!("homeassistant/{component}/{id}/{object}/config")),
            payload: Bytes::from(abbreviate(config).to_string()),
        }
    };
    components.into_iter().map(announce).collect()
}

fn device(id: &str, name: &str, base: &str, components: Vec<Component>) -> Announced {
    let (online, offline) = Form::Device.availability_words();
    let mut list = Map::new();
    for (component, object, mut config) in components {
        config.insert("platform".to_owned(), component.into());
        for value in config.values_mut() {
            let rest = value.as_str().and_then(|text| text.strip_prefix('~'));
            if let Some(whole) = rest.map(|rest| format!("{base}{rest}")) {
                *value = whole.into();
            }
        }
        list.insert(object, Json::Object(config));
    }
    let document = json!({
        "dev": {"ids": id, "name": name, "mf": "Southwind", "mdl": "S2", "sw": "1.4.2"},
        "o": {"name": "southwind", "sw": "1.4.2", "url": "https://southwind.example"},
        "availability": [{
            "topic": format!("{base}/availability"),
            "payload_available": online,
            "payload_not_available": offline
        }],
        "availability_mode": "all",
        "cmps": list
    });
    Announced {
        topic: topic(&format!("homeassistant/device/{id}/config")),
        payload: Bytes::from(document.to_string()),
    }
}

fn components(id: &str, thing: &Thing, traits: Traits) -> Vec<Component> {
    let mut all = Vec::new();
    let main = main_component(thing.kind());
    if let Some((component, config)) = main {
        all.push((component, component.to_owned(), object(config)));
    }
    for property in thing.properties() {
        let is_covered =
            main.is_some() && (property.settable || property.name == "local_temperature");
        if !is_covered {
            all.push(of_property(property));
        }
    }
    if traits.broken_template {
        let template = "{{ value_json.temperature | no_such_filter(value_json.humidity) }}";
        let config = json!({
            "name": "Dew point", "device_class": "temperature", "unit_of_measurement": "°C",
            "state_topic": "~/state", "value_template": template
        });
        all.push((
            "sensor",
            "dew_point".to_owned(),
            object(&config.to_string()),
        ));
    }
    if traits.button {
        let config = r#"{"name":"Restart","command_topic":"~/set/restart","payload_press":"PRESS","device_class":"restart"}"#;
        all.push(("button", "restart".to_owned(), object(config)));
    }
    for (_, object, config) in &mut all {
        config.insert("unique_id".to_owned(), format!("{id}_{object}").into());
    }
    all
}

fn object(text: &str) -> Map<String, Json> {
    serde_json::from_str(text).expect("an object that stands in this file")
}

/// The component that takes several properties together, where Home Assistant has one.
fn main_component(kind: Kind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        Kind::Bulb => (
            "light",
            r#"{"name":"Light","state_topic":"~/state","state_value_template":"{{ value_json.state }}",
                "command_topic":"~/set/state","payload_on":"ON","payload_off":"OFF",
                "brightness_state_topic":"~/state","brightness_value_template":"{{ value_json.brightness }}",
                "brightness_command_topic":"~/set/brightness","brightness_scale":254}"#,
        ),
        Kind::Lock => (
            "lock",
            r#"{"name":"Lock","state_topic":"~/state","value_template":"{{ value_json.state }}",
                "command_topic":"~/set/state","payload_lock":"LOCK","payload_unlock":"UNLOCK",
                "state_locked":"LOCK","state_unlocked":"UNLOCK"}"#,
        ),
        Kind::Cover => (
            "cover",
            r#"{"name":"Cover","device_class":"garage","state_topic":"~/state",
                "value_template":"{{ value_json['state'] }}","state_open":"OPEN","state_closed":"CLOSE",
                "command_topic":"~/set/state","payload_open":"OPEN","payload_close":"CLOSE",
                "position_topic":"~/state","position_template":"{{ value_json.position }}",
                "set_position_topic":"~/set/position"}"#,
        ),
        Kind::Thermostat => (
            "climate",
            r#"{"name":"Heating","modes":["off","heat","auto"],"mode_state_topic":"~/state",
                "mode_state_template":"{{ value_json.system_mode }}","mode_command_topic":"~/set/system_mode",
                "temperature_state_topic":"~/state","min_temp":5,"max_temp":30,"temp_step":0.5,
                "temperature_state_template":"{{ value_json.occupied_heating_setpoint }}",
                "temperature_command_topic":"~/set/occupied_heating_setpoint",
                "current_temperature_topic":"~/state",
                "current_temperature_template":"{{ value_json.local_temperature }}"}"#,
        ),
        Kind::Fan => (
            "fan",
            r#"{"name":"Fan","state_topic":"~/state","state_value_template":"{{ value_json.state }}",
                "command_topic":"~/set/state","percentage_state_topic":"~/state",
                "percentage_value_template":"{{ value_json.speed }}","percentage_command_topic":"~/set/speed",
                "preset_modes":["auto","sleep","boost"],"preset_mode_state_topic":"~/state",
                "preset_mode_value_template":"{{ value_json.preset }}",
                "preset_mode_command_topic":"~/set/preset"}"#,
        ),
        _ => return None,
    })
}

/// The component of one property that stands for itself.
fn of_property(property: &Property) -> Component {
    let mut config = json!({
        "name": property.name.replace('_', " "),
        "state_topic": "~/state",
        "value_template": template(property)
    });
    let component = describe(property, &mut config);
    if property.settable {
        config["command_topic"] = format!("~/set/{}", property.name).into();
    }
    let config = object(&config.to_string());
    (component, property.name.to_owned(), config)
}

/// Templates as people write them: most are bare, some round.
fn template(property: &Property) -> String {
    match property.name {
        "humidity" => "{{ value_json.humidity | round(0) }}".to_owned(),
        "voltage" => "{{ value_json['voltage'] | float(0) }}".to_owned(),
        name => format!("{{{{ value_json.{name} }}}}"),
    }
}

/// Puts unit, class and bounds into `config`; the component that such a property is.
pub(in crate::simulate::convention) fn describe(
    property: &Property,
    config: &mut Json,
) -> &'static str {
    if let Some(unit) = property.unit {
        config["unit_of_measurement"] = unit.into();
    }
    if let Some(class) = property.class {
        config["device_class"] = class.into();
    }
    match property.domain {
        Domain::Number { min, max, step } if property.settable => {
            config["min"] = min.into();
            config["max"] = max.into();
            config["step"] = step.into();
            "number"
        }
        Domain::Number { .. } => {
            let counts = property.name == "energy";
            let class = if counts {
                "total_increasing"
            } else {
                "measurement"
            };
            config["state_class"] = class.into();
            "sensor"
        }
        Domain::Switch { on, off } => {
            config["payload_on"] = on.into();
            config["payload_off"] = off.into();
            "switch"
        }
        Domain::Flag => {
            let tripped = property.name != "contact";
            config["payload_on"] = tripped.into();
            config["payload_off"] = (!tripped).into();
            "binary_sensor"
        }
        Domain::OneOf(words) => {
            config["options"] = words.into();
            "select"
        }
    }
}

/// The keys that Home Assistant lets devices shorten, as far as these devices use them.
const SHORT: [(&str, &str); 58] = [
    ("availability", "avty"),
    ("availability_mode", "avty_mode"),
    ("availability_topic", "avty_t"),
    ("brightness_command_topic", "bri_cmd_t"),
    ("brightness_scale", "bri_scl"),
    ("brightness_state_topic", "bri_stat_t"),
    ("brightness_value_template", "bri_val_tpl"),
    ("command_topic", "cmd_t"),
    ("components", "cmps"),
    ("current_temperature_template", "curr_temp_tpl"),
    ("current_temperature_topic", "curr_temp_t"),
    ("device", "dev"),
    ("device_class", "dev_cla"),
    ("identifiers", "ids"),
    ("manufacturer", "mf"),
    ("mode_command_topic", "mode_cmd_t"),
    ("mode_state_template", "mode_stat_tpl"),
    ("mode_state_topic", "mode_stat_t"),
    ("model", "mdl"),
    ("options", "ops"),
    ("origin", "o"),
    ("payload_available", "pl_avail"),
    ("payload_close", "pl_cls"),
    ("payload_lock", "pl_lock"),
    ("payload_not_available", "pl_not_avail"),
    ("payload_off", "pl_off"),
    ("payload_on", "pl_on"),
    ("payload_open", "pl_open"),
    ("payload_press", "pl_prs"),
    ("payload_stop", "pl_stop"),
    ("payload_unlock", "pl_unlk"),
    ("percentage_command_topic", "pct_cmd_t"),
    ("percentage_state_topic", "pct_stat_t"),
    ("percentage_value_template", "pct_val_tpl"),
    ("platform", "p"),
    ("position_template", "pos_tpl"),
    ("position_topic", "pos_t"),
    ("preset_mode_command_topic", "pr_mode_cmd_t"),
    ("preset_mode_state_topic", "pr_mode_stat_t"),
    ("preset_mode_value_template", "pr_mode_val_tpl"),
    ("preset_modes", "pr_modes"),
    ("set_position_topic", "set_pos_t"),
    ("state_class", "stat_cla"),
    ("state_closed", "stat_clsd"),
    ("state_locked", "stat_locked"),
    ("state_open", "stat_open"),
    ("state_topic", "stat_t"),
    ("state_unlocked", "stat_unlocked"),
    ("state_value_template", "stat_val_tpl"),
    ("sw_version", "sw"),
    ("temperature_command_topic", "temp_cmd_t"),
    ("temperature_state_template", "temp_stat_tpl"),
    ("temperature_state_topic", "temp_stat_t"),
    ("topic", "t"),
    ("unique_id", "uniq_id"),
    ("unit_of_measurement", "unit_of_meas"),
    ("value_template", "val_tpl"),
    ("configuration_url", "cu"),
];

/// The same configuration with short keys, in its device block, too.
pub(in crate::simulate::convention) fn abbreviate(config: Map<String, Json>) -> Json {
    let short = |(key, value): (String, Json)| {
        let found = SHORT.iter().find(|(long, _)| *long == key);
        let value = match value {
            Json::Object(inner) => abbreviate(inner),
            value => value,
        };
        (found.map_or(key, |(_, short)| (*short).to_owned()), value)
    };
    Json::Object(config.into_iter().map(short).collect())
}
