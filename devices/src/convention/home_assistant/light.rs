use super::{
    config::Config,
    device::place,
    entity::{Entity, json_form},
    parts::{Part, SWITCH, Takes, Unit},
};
use crate::point::{Encode, Form, Read, Write};

/// A part of a light of the schemas `json` and `template`, without topics: they share those of the light.
const fn part(name: &'static str, takes: Takes) -> Part {
    Part {
        name,
        state: ("", ""),
        command: ("", ""),
        takes,
        unit: Unit::None,
    }
}

static STATE: Part = part("", SWITCH);
static BRIGHTNESS: Part = part(
    "brightness",
    Takes::Number {
        min: ("", Some(0.0)),
        max: ("brightness_scale", Some(255.0)),
        step: ("", None),
    },
);
static COLOR_TEMP: Part = part(
    "color_temp",
    Takes::Number {
        min: ("min_mireds min_kelvin", None),
        max: ("max_mireds max_kelvin", None),
        step: ("", None),
    },
);
static EFFECT: Part = part(
    "effect",
    Takes::Options {
        key: "effect_list",
        default: &[],
    },
);
static WHITE: Part = part(
    "white",
    Takes::Number {
        min: ("", Some(0.0)),
        max: ("white_scale", Some(255.0)),
        step: ("", None),
    },
);

/// The points of a light whose state and command are JSON objects.
pub(super) fn json_schema(entity: &mut Entity<'_>) {
    let config = entity.config;
    add_json(entity, &STATE, "state");
    let modes = config.words("supported_color_modes").unwrap_or_default();
    let has = |wanted: &[&str]| modes.iter().any(|mode| wanted.contains(&mode.as_str()));
    let is_coloured = has(&["hs", "xy", "rgb", "rgbw", "rgbww"]);
    let is_dimmed = is_coloured || has(&["brightness", "color_temp", "white"]);
    if config.flag("brightness") || is_dimmed {
        add_json(entity, &BRIGHTNESS, "brightness");
    }
    if config.flag("color_temp") || has(&["color_temp"]) {
        add_json(entity, &COLOR_TEMP, "color_temp");
    }
    if has(&["white"]) {
        add_json(entity, &WHITE, "white");
    }
    if let Some(color) = color(config, &modes) {
        add_json(entity, color, "color");
    }
    if config.flag("effect") || config.0.contains_key("effect_list") {
        add_json(entity, &EFFECT, "effect");
    }
}

/// The colour that a light takes, by its modes or by the flags of older versions.
fn color(config: &Config, modes: &[String]) -> Option<&'static Part> {
    static COLORS: [(&str, Part); 5] = [
        (
            "rgbww",
            part("color", Takes::Object(&["r", "g", "b", "c", "w"])),
        ),
        ("rgbw", part("color", Takes::Object(&["r", "g", "b", "w"]))),
        ("rgb", part("color", Takes::Object(&["r", "g", "b"]))),
        ("xy", part("color", Takes::Object(&["x", "y"]))),
        ("hs", part("color", Takes::Object(&["h", "s"]))),
    ];
    let is_supported = |mode: &str| modes.iter().any(|other| other == mode) || config.flag(mode);
    COLORS
        .iter()
        .find(|(mode, _)| is_supported(mode))
        .map(|(_, part)| part)
}

/// A point under a key of the light's JSON. A colour is an object: its parts are readings, itself is none.
fn add_json(entity: &mut Entity<'_>, part: &Part, key: &str) {
    let config = entity.config;
    let is_object = matches!(part.takes, Takes::Object(_));
    let state = config
        .topic("state_topic")
        .filter(|_| !is_object && key != "white");
    let read = state.map(|topic| Read::path(topic, key));
    let with: &[(&str, &str)] = match key {
        "state" => &[],
        _ => &[("state", "ON")],
    };
    let command = config.topic("command_topic");
    let mut write = command.map(|topic| entity.write(topic, json_form(key, with)));
    if read.is_none() && write.is_none() {
        return;
    }
    entity.finish(part, read, write.take());
    let Some(point) = entity.points.last_mut() else {
        return;
    };
    point.metric = key.to_owned();
    if let (true, Some(write)) = (is_object, &mut point.write) {
        write.encode = Encode::new(json_form(key, with));
    }
    // The words of this schema are fixed, whatever the options say.
    if let (true, Some(write)) = (key == "state", &mut point.write) {
        write.encode = Encode::switch(json_form(key, with), "ON", "OFF");
        point.read.iter_mut().for_each(|read| read.words = None);
    }
}

/// The points of a light whose state is taken apart, and whose command is put together, by templates.
pub(super) fn template_schema(entity: &mut Entity<'_>) {
    let on = entity
        .config
        .text("command_on_template")
        .unwrap_or_default();
    let off = entity
        .config
        .text("command_off_template")
        .unwrap_or_default();
    let state = format!(
        "{{% set state = value %}}{{% if value == 'on' %}}{on}{{% else %}}{off}{{% endif %}}"
    );
    add_template(entity, &STATE, "state_template", state);
    if let Some(point) = entity.points.last_mut() {
        point.read.iter_mut().for_each(|read| read.words = None);
        if let Some(write) = &mut point.write {
            write.encode.words = Encode::switch(Form::Plain, "on", "off").words;
        }
    }
    let parts = [
        (&BRIGHTNESS, "brightness", "brightness_template"),
        (&COLOR_TEMP, "color_temp", "color_temp_template"),
        (&EFFECT, "effect", "effect_template"),
        (&COLORS[0], "red", "red_template"),
        (&COLORS[1], "green", "green_template"),
        (&COLORS[2], "blue", "blue_template"),
    ];
    for (part, variable, key) in parts {
        if entity.config.text(key).is_none() {
            continue;
        }
        let command = format!("{{% set state = 'on' %}}{{% set {variable} = value %}}{on}");
        add_template(entity, part, key, command);
    }
    // A colour is set as a whole only; its parts are read one by one.
    if entity.config.text("red_template").is_some() {
        let topic = entity.config.topic("command_topic");
        let form = Form::Template(format!("{{% set state = 'on' %}}{on}"));
        let write = topic.map(|topic| entity.write(topic, form));
        entity.finish(&RGB, None, write);
    }
}

static COLORS: [Part; 3] = [
    part("red", Takes::Any),
    part("green", Takes::Any),
    part("blue", Takes::Any),
];
static RGB: Part = part("rgb", Takes::Object(&["red", "green", "blue"]));

/// A point with a template of its own for the state.
fn add_template(entity: &mut Entity<'_>, part: &Part, key: &str, command: String) {
    let config = entity.config;
    let template = config.text(key);
    let state = config.topic("state_topic").filter(|_| template.is_some());
    let read = state.map(|topic| Read {
        at: place(template),
        ..Read::value(topic)
    });
    let is_colour = matches!(part.name, "red" | "green" | "blue");
    let command_topic = config.topic("command_topic").filter(|_| !is_colour);
    let write: Option<Write> =
        command_topic.map(|topic| entity.write(topic, Form::Template(command)));
    entity.finish(part, read, write);
}
