use serde_json::Value;

use crate::point::{Component, Domain, Encode, Form, Words};

/// What the state of a component looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `ON` or `OFF`.
    Switch,
    /// A decimal number, or `nan` as long as it has none.
    Number,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Any text but JSON, which others put on topics of this shape and no node does.
    Text,
    /// A JSON object.
    Json,
    /// It has no state.
    None,
}

impl Shape {
    /// Whether a plain payload is of this shape.
    pub(super) fn fits(self, text: &str) -> bool {
        match self {
            Shape::Switch => matches!(text, "ON" | "OFF"),
            Shape::Number => text.parse::<f64>().is_ok(),
            Shape::Words(words) => words.contains(&text),
            Shape::Text => !text.is_empty() && !text.starts_with(['{', '[']),
            Shape::Json | Shape::None => false,
        }
    }
}

/// What one value of a component is, and how it is set.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) component: Component,
    pub(super) shape: Shape,
    pub(super) domain: Domain,
    /// Words of the state that mean something as numbers.
    pub(super) words: Option<Words>,
    /// None for what is only measured.
    pub(super) encode: Option<Encode>,
}

const MOVES: Shape = Shape::Words(&["open", "closed", "opening", "closing", "unknown"]);
const LOCKS: Shape = Shape::Words(&[
    "LOCKED",
    "UNLOCKED",
    "LOCKING",
    "UNLOCKING",
    "JAMMED",
    "OPENING",
    "OPEN",
    "NONE",
    "UNKNOWN",
]);

/// What stands under a component's name, and under a part of it; none for what ESPHome does not have.
pub(super) fn kind(component: &str, part: Option<&str>) -> Option<Kind> {
    Some(match (component, part) {
        ("sensor" | "text_sensor", None) => measured(Component::Sensor, Shape::Text),
        ("binary_sensor", None) => measured(Component::BinarySensor, Shape::Switch),
        ("event" | "update", None) => measured(Component::Other, Shape::Json),
        ("switch", None) => switch(Component::Switch),
        ("fan", None) => switch(Component::Fan),
        ("fan", Some("speed_level")) => number(Component::Fan, Some(0.0), None),
        ("fan", Some("speed" | "preset_mode")) => text(Component::Fan),
        ("fan", Some("direction")) => options(
            Component::Fan,
            Shape::Words(&["forward", "reverse"]),
            &[("forward", "forward"), ("reverse", "reverse")],
        ),
        ("fan", Some("oscillation")) => Kind {
            shape: Shape::Words(&["oscillate_on", "oscillate_off"]),
            words: Some(Words::switch("oscillate_on", "oscillate_off")),
            encode: Some(Encode::switch(Form::Plain, "oscillate_on", "oscillate_off")),
            ..switch(Component::Fan)
        },
        ("light", None) => light(),
        ("cover", None) => moves(Component::Cover),
        ("valve", None) => moves(Component::Valve),
        ("cover", Some("position" | "tilt")) => percent(Component::Cover),
        ("valve", Some("position")) => percent(Component::Valve),
        ("lock", None) => lock(),
        ("number", None) => number(Component::Number, None, None),
        ("select", None) => text(Component::Select),
        ("text", None) => text(Component::Text),
        ("alarm_control_panel", None) => text(Component::Other),
        ("button", None) => button(),
        ("date", None) => whole(&["year", "month", "day"]),
        ("time", None) => whole(&["hour", "minute", "second"]),
        ("datetime", None) => whole(&["year", "month", "day", "hour", "minute", "second"]),
        ("climate", Some(part)) => climate(part)?,
        _ => return None,
    })
}

fn climate(part: &str) -> Option<Kind> {
    Some(match part {
        "current_temperature" | "current_humidity" => measured(Component::Sensor, Shape::Number),
        "action" => measured(Component::Sensor, Shape::Text),
        "mode" | "fan_mode" | "swing_mode" | "preset" => text(Component::Climate),
        "target_temperature" | "target_temperature_low" | "target_temperature_high" => {
            number(Component::Climate, None, None)
        }
        "target_humidity" => percent(Component::Climate),
        "away" => switch(Component::Climate),
        _ => return None,
    })
}

fn measured(component: Component, shape: Shape) -> Kind {
    Kind {
        component,
        shape,
        domain: Domain::Any,
        words: None,
        encode: None,
    }
}

fn set(component: Component, shape: Shape, domain: Domain, encode: Encode) -> Kind {
    Kind {
        domain,
        encode: Some(encode),
        ..measured(component, shape)
    }
}

fn switch(component: Component) -> Kind {
    let mut encode = Encode::switch(Form::Plain, "ON", "OFF");
    encode.words.push(("toggle".to_owned(), "TOGGLE".into()));
    set(component, Shape::Switch, Domain::Switch, encode)
}

fn light() -> Kind {
    let form = Form::Json {
        path: "state".to_owned(),
        with: serde_json::Map::new(),
    };
    let mut encode = Encode::switch(form, "ON", "OFF");
    encode.words.push(("toggle".to_owned(), "TOGGLE".into()));
    set(Component::Light, Shape::Json, Domain::Switch, encode)
}

fn number(component: Component, min: Option<f64>, max: Option<f64>) -> Kind {
    let domain = Domain::Number {
        min,
        max,
        step: None,
    };
    set(component, Shape::Number, domain, Encode::new(Form::Plain))
}

fn percent(component: Component) -> Kind {
    number(component, Some(0.0), Some(100.0))
}

/// Options that only the node knows: any text is sent to it.
fn text(component: Component) -> Kind {
    let encode = Encode::new(Form::Plain);
    set(component, Shape::Text, Domain::Text, encode)
}

fn options(component: Component, shape: Shape, words: &[(&str, &str)]) -> Kind {
    let names = words.iter().map(|(name, _)| (*name).to_owned());
    let encode = Encode {
        words: words
            .iter()
            .map(|(name, sent)| ((*name).to_owned(), Value::from(*sent)))
            .collect(),
        ..Encode::new(Form::Plain)
    };
    set(component, shape, Domain::Options(names.collect()), encode)
}

fn moves(component: Component) -> Kind {
    let words = [("open", "OPEN"), ("close", "CLOSE"), ("stop", "STOP")];
    options(component, MOVES, &words)
}

fn lock() -> Kind {
    let words = [("lock", "LOCK"), ("unlock", "UNLOCK"), ("open", "OPEN")];
    Kind {
        words: Some(Words::switch("LOCKED", "UNLOCKED")),
        ..options(Component::Lock, LOCKS, &words)
    }
}

fn button() -> Kind {
    let encode = Encode {
        words: vec![("press".to_owned(), "PRESS".into())],
        ..Encode::new(Form::Plain)
    };
    set(Component::Button, Shape::None, Domain::Press, encode)
}

/// A JSON object that is set with all its keys.
fn whole(keys: &[&str]) -> Kind {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let encode = Encode::new(Form::Plain);
    set(Component::Other, Shape::Json, Domain::Object(keys), encode)
}
