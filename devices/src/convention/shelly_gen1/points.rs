use serde_json::{Map, Value, json};

use super::topic::Address;
use crate::{
    convention::shelly,
    message::Message,
    point::{Component, Domain, Encode, Form, Point, Read, Write},
};

/// Heads of a TRV, relays or channels of a light that one device has at most.
const CHANNELS_MAX: usize = 16;

/// Numbers of a light's status that can be set: key, lowest, highest, unit.
const LIGHT_NUMBERS: [(&str, f64, f64, Option<&str>); 8] = [
    ("brightness", 0.0, 100.0, Some("%")),
    ("gain", 0.0, 100.0, Some("%")),
    ("red", 0.0, 255.0, None),
    ("green", 0.0, 255.0, None),
    ("blue", 0.0, 255.0, None),
    ("white", 0.0, 255.0, None),
    ("temp", 2700.0, 6500.0, Some("K")),
    ("effect", 0.0, 6.0, None),
];

/// What can be set, as far as a topic and its first message show it.
pub(super) fn of(at: Address<'_>, message: &Message<'_>) -> Vec<Point> {
    let levels: Vec<&str> = at.rest.split('/').collect();
    match levels[..] {
        ["relay", channel] if is_channel(channel) => vec![switch(at, Component::Switch)],
        ["light" | "color" | "white", channel] if is_channel(channel) => {
            vec![switch(at, Component::Light)]
        }
        ["light" | "color" | "white", channel, "status"] if is_channel(channel) => {
            shelly::object(message).map_or_else(|_| Vec::new(), |status| light(at, &status))
        }
        ["roller", channel] if is_channel(channel) => vec![roller(at)],
        ["roller", channel, "pos"] if is_channel(channel) => vec![roller_position(at)],
        _ => Vec::new(),
    }
}

/// What can be set, as far as a whole status shows it: the heads of a radiator valve, which has no topics of its own
/// for them.
pub(super) fn of_info(at: Address<'_>, info: &Value) -> Vec<Point> {
    let Some(Value::Array(heads)) = info.get("thermostats") else {
        return Vec::new();
    };
    let heads = heads.iter().enumerate().take(CHANNELS_MAX);
    heads.flat_map(|(n, head)| valve(at, n, head)).collect()
}

fn is_channel(text: &str) -> bool {
    text.parse::<usize>().is_ok_and(|n| n < CHANNELS_MAX)
}

fn command(at: Address<'_>, below: &str, encode: Encode) -> Option<Write> {
    Some(Write::new(at.sibling(below), encode))
}

fn switch(at: Address<'_>, component: Component) -> Point {
    let mut encode = Encode::switch(Form::Plain, "on", "off");
    encode
        .words
        .push(("toggle".to_owned(), Value::from("toggle")));
    Point {
        domain: Domain::Switch,
        read: Some(Read::value(at.topic)),
        write: command(at, &format!("{}/command", at.rest), encode),
        ..Point::new(at.metric(), component)
    }
}

fn roller(at: Address<'_>) -> Point {
    let words = ["open", "close", "stop"].map(str::to_owned).to_vec();
    Point {
        domain: Domain::Options(words),
        read: Some(Read::value(at.topic)),
        write: command(
            at,
            &format!("{}/command", at.rest),
            Encode::new(Form::Plain),
        ),
        ..Point::new(at.metric(), Component::Cover)
    }
}

/// `roller/0/pos` tells the position, `roller/0/command/pos` sets it.
fn roller_position(at: Address<'_>) -> Point {
    let roller = at.rest.strip_suffix("/pos").unwrap_or(at.rest);
    let below = format!("{roller}/command/pos");
    Point {
        unit: Some("%".to_owned()),
        domain: number(0.0, 100.0, 1.0),
        read: Some(Read::value(at.topic)),
        write: command(at, &below, Encode::new(Form::Plain)),
        ..Point::new(at.metric(), Component::Cover)
    }
}

/// The values in a light's status, each of which `…/set` takes under the same key, and all of them at once.
fn light(at: Address<'_>, status: &Value) -> Vec<Point> {
    let light = at.rest.strip_suffix("/status").unwrap_or(at.rest);
    let name = light.replace('/', ".");
    let below = format!("{light}/set");
    let set = |key: &str| Form::Json {
        path: key.to_owned(),
        with: Map::new(),
    };
    let mut points = Vec::new();
    let mut keys = vec!["turn".to_owned()];
    if status.get("ison").is_some_and(Value::is_boolean) {
        points.push(Point {
            domain: Domain::Switch,
            read: Some(Read::path(at.topic, "ison")),
            write: command(at, &below, Encode::switch(set("turn"), "on", "off")),
            ..Point::new(format!("{name}.ison"), Component::Light)
        });
    }
    for (key, min, max, unit) in LIGHT_NUMBERS {
        if !status.get(key).is_some_and(Value::is_number) {
            continue;
        }
        keys.push(key.to_owned());
        points.push(Point {
            unit: unit.map(str::to_owned),
            domain: number(min, max, 1.0),
            read: Some(Read::path(at.topic, key)),
            write: command(at, &below, Encode::new(set(key))),
            ..Point::new(format!("{name}.{key}"), Component::Number)
        });
    }
    if !points.is_empty() {
        points.push(Point {
            domain: Domain::Object(keys),
            write: command(at, &below, Encode::new(Form::Plain)),
            ..Point::new(format!("{name}.set"), Component::Light)
        });
    }
    points
}

/// Target temperature and opening of one head.
fn valve(at: Address<'_>, n: usize, head: &Value) -> Vec<Point> {
    let settable = |path: &str, below: &str, unit: &str, domain| Point {
        unit: Some(unit.to_owned()),
        domain,
        read: Some(Read::path(at.topic, format!("thermostats.{n}.{path}"))),
        write: command(
            at,
            &format!("thermostat/{n}/command/{below}"),
            Encode::new(Form::Plain),
        ),
        ..Point::new(format!("thermostats.{n}.{path}"), Component::Number)
    };
    let mut points = Vec::new();
    // In Fahrenheit the bounds would be others; then the value is only measured.
    let celsius = head.pointer("/target_t/units").unwrap_or(&json!("C")) == "C";
    if celsius && head.pointer("/target_t/value").is_some() {
        points.push(Point {
            class: Some("temperature".to_owned()),
            ..settable("target_t.value", "target_t", "°C", number(4.0, 31.0, 0.5))
        });
    }
    if head.get("pos").is_some() {
        points.push(settable("pos", "valve_pos", "%", number(0.0, 100.0, 1.0)));
    }
    points
}

fn number(min: f64, max: f64, step: f64) -> Domain {
    Domain::Number {
        min: Some(min),
        max: Some(max),
        step: Some(step),
    }
}
