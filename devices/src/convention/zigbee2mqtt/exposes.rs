use rustc_hash::FxHashSet;
use serde_json::Value;

use super::property;
use crate::point::{Component, Domain, Encode, Form, Point, Read, Words, Write};

/// How deep what a device exposes may nest; Zigbee2MQTT has three levels.
const DEPTH_MAX: usize = 8;

/// Most points of one device; the readings of what is beyond have their names all the same.
const POINTS_MAX: usize = 500;

/// Bits of `access`.
const PUBLISHED: u64 = 1;
const SETTABLE: u64 = 2;

/// The points of a device with this topic.
pub(super) fn points(topic: &str, exposes: &[Value]) -> Vec<Point> {
    let mut walk = Walk {
        topic,
        points: Vec::new(),
        metrics: FxHashSet::default(),
    };
    for expose in exposes {
        walk.take(expose, &Place::default());
    }
    walk.points
}

/// What has been taken of a device.
struct Walk<'a> {
    topic: &'a str,
    points: Vec<Point>,
    metrics: FxHashSet<String>,
}

/// Where an expose stands.
#[derive(Default, Clone)]
struct Place {
    /// The specific thing that it is a feature of: a light, a lock.
    of: Option<Component>,
    /// Keys above its own, each with a dot behind it.
    prefix: String,
    depth: usize,
}

impl Place {
    fn below(&self, of: Option<Component>, property: Option<&str>) -> Place {
        let own = property.map(|property| format!("{property}."));
        Place {
            of: of.or(self.of),
            prefix: format!("{}{}", self.prefix, own.unwrap_or_default()),
            depth: self.depth + 1,
        }
    }
}

impl Walk<'_> {
    fn take(&mut self, expose: &Value, place: &Place) {
        if place.depth > DEPTH_MAX {
            return;
        }
        let property = text(expose, "property");
        let kind = text(expose, "type").unwrap_or_default();
        match (kind, property) {
            ("composite", Some(property)) => self.composite(expose, property, place),
            ("list", Some(property)) => self.list(expose, property, place),
            (_, Some(property)) if expose["features"].is_null() => {
                let point = self.leaf(kind, expose, property, place);
                self.push(point);
            }
            _ => self.features(expose, &place.below(specific(kind), None)),
        }
    }

    fn features(&mut self, expose: &Value, place: &Place) {
        for feature in expose["features"].as_array().into_iter().flatten() {
            self.take(feature, place);
        }
    }

    /// The first of a name stays: a device may expose one property twice.
    fn push(&mut self, point: Point) {
        if self.points.len() < POINTS_MAX && self.metrics.insert(point.metric.clone()) {
            self.points.push(point);
        }
    }

    /// A composite is read feature by feature and set as a whole: half a colour is none.
    fn composite(&mut self, expose: &Value, property: &str, place: &Place) {
        let keys: Vec<String> = expose["features"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|feature| text(feature, "property"))
            .map(str::to_owned)
            .collect();
        let settable = access(expose) & SETTABLE != 0 || features_settable(expose);
        self.features(expose, &place.below(None, Some(property)));
        // What stands inside of another composite is set with it.
        if !settable || !place.prefix.is_empty() || keys.is_empty() {
            return;
        }
        // A colour may be told in two ways under one property; the way that comes second goes by its own name.
        let taken = self.metrics.contains(property);
        let metric = match text(expose, "name") {
            Some(name) if taken => name,
            _ => property,
        };
        let mut point = Point::new(metric, place.of.unwrap_or(Component::Other));
        point.name = label(expose);
        point.domain = Domain::Object(keys);
        point.write = Some(self.write(property, Vec::new()));
        self.push(point);
    }

    /// A list flattens to a reading for each place, which the device does not describe; it is set as a whole.
    fn list(&mut self, expose: &Value, property: &str, place: &Place) {
        if access(expose) & SETTABLE == 0 || !place.prefix.is_empty() {
            return;
        }
        let mut point = Point::new(property, Component::Other);
        point.name = label(expose);
        point.write = Some(self.write(property, Vec::new()));
        self.push(point);
    }

    fn leaf(&self, kind: &str, expose: &Value, property: &str, place: &Place) -> Point {
        let path = format!("{}{property}", place.prefix);
        let access = access(expose);
        let settable = access & SETTABLE != 0;
        let mut point = Point::new(&path, component(kind, settable, place));
        point.name = label(expose);
        if access & PUBLISHED != 0 {
            point.read = Some(Read::path(self.topic, &path));
        }
        let words = match kind {
            "numeric" => numeric(expose, &mut point),
            "binary" => binary(expose, place, &mut point),
            "enum" => options(expose, place, &mut point),
            _ => {
                point.domain = Domain::Text;
                Vec::new()
            }
        };
        if settable && place.prefix.is_empty() {
            point.write = Some(self.write(property, words));
        }
        point
    }

    fn write(&self, property: &str, words: Vec<(String, Value)>) -> Write {
        let form = Form::Json {
            path: property.to_owned(),
            with: serde_json::Map::new(),
        };
        let encode = Encode {
            words,
            ..Encode::new(form)
        };
        Write::new(format!("{}/set", self.topic), encode)
    }
}

fn numeric(expose: &Value, point: &mut Point) -> Vec<(String, Value)> {
    let usual = text(expose, "name").and_then(property::numeric);
    let usual = usual.unwrap_or_default();
    point.unit = text(expose, "unit").or(usual.unit).map(str::to_owned);
    let unit = point.unit.as_deref().unwrap_or_default();
    point.class = property::class_in(usual, unit).map(str::to_owned);
    point.state_class = usual.state_class;
    point.domain = Domain::Number {
        min: expose["value_min"].as_f64(),
        max: expose["value_max"].as_f64(),
        step: expose["value_step"].as_f64(),
    };
    // A number may have places with names, such as the colour temperature `coolest`.
    let presets = expose["presets"].as_array().into_iter().flatten();
    presets
        .filter_map(|preset| Some((text(preset, "name")?.to_owned(), preset["value"].clone())))
        .filter(|(_, value)| value.is_number())
        .collect()
}

fn binary(expose: &Value, place: &Place, point: &mut Point) -> Vec<(String, Value)> {
    let (on, off) = (&expose["value_on"], &expose["value_off"]);
    point.class = text(expose, "name")
        .and_then(property::binary)
        .map(str::to_owned);
    if let (Some(names), Some(on), Some(off)) = (own_names(place, point), on.as_str(), off.as_str())
    {
        // What a lock or a cover says is a state with a name; that one of them is "on" helps nobody who reads it.
        point.domain = Domain::Options(vec![names.0.to_owned(), names.1.to_owned()]);
        return words(&[(names.0, on), (names.1, off), ("on", on), ("off", off)]);
    }
    point.domain = Domain::Switch;
    if let (Some(on), Some(off), Some(read)) = (on.as_str(), off.as_str(), &mut point.read)
        && !(is_usual(on) && is_usual(off))
    {
        read.words = Some(Words::switch(on, off));
    }
    [
        ("on", on),
        ("off", off),
        ("toggle", &expose["value_toggle"]),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_null())
    .map(|(word, value)| (word.to_owned(), value.clone()))
    .collect()
}

/// The names that the state of a lock or of a cover goes by when it is set.
fn own_names(place: &Place, point: &Point) -> Option<(&'static str, &'static str)> {
    let is_state = point.metric == "state" || point.metric.starts_with("state_");
    match place.of {
        Some(Component::Lock) if is_state => Some(("lock", "unlock")),
        Some(Component::Cover) if is_state => Some(("open", "close")),
        _ => None,
    }
}

fn options(expose: &Value, place: &Place, point: &mut Point) -> Vec<(String, Value)> {
    let lower = own_names(place, point).is_some();
    let mut options = Vec::new();
    let mut words = Vec::new();
    for value in expose["values"].as_array().into_iter().flatten() {
        let name = match value {
            Value::String(word) if lower => word.to_lowercase(),
            Value::String(word) => word.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => continue,
        };
        if value.as_str() != Some(&name) {
            words.push((name.clone(), value.clone()));
        }
        options.push(name);
    }
    point.domain = Domain::Options(options);
    words
}

/// The thing that a specific expose is.
fn specific(kind: &str) -> Option<Component> {
    Some(match kind {
        "switch" => Component::Switch,
        "light" => Component::Light,
        "lock" => Component::Lock,
        "cover" => Component::Cover,
        "climate" => Component::Climate,
        "fan" => Component::Fan,
        _ => return None,
    })
}

fn component(kind: &str, settable: bool, place: &Place) -> Component {
    match (place.of, kind) {
        (Some(of), _) if settable => of,
        (_, "binary") if settable => Component::Switch,
        (_, "numeric") if settable => Component::Number,
        (_, "enum") if settable => Component::Select,
        (_, "text") if settable => Component::Text,
        (_, "binary") => Component::BinarySensor,
        _ => Component::Sensor,
    }
}

/// What is not said to be anything else is published.
fn access(expose: &Value) -> u64 {
    expose["access"].as_u64().unwrap_or(PUBLISHED)
}

fn features_settable(expose: &Value) -> bool {
    let features = expose["features"].as_array().into_iter().flatten();
    features
        .into_iter()
        .any(|feature| access(feature) & SETTABLE != 0)
}

fn label(expose: &Value) -> Option<String> {
    text(expose, "label").map(str::to_owned)
}

fn text<'a>(expose: &'a Value, key: &str) -> Option<&'a str> {
    expose[key].as_str().filter(|text| !text.is_empty())
}

/// Words that are on and off without being told so.
fn is_usual(word: &str) -> bool {
    ["on", "off", "true", "false"]
        .iter()
        .any(|usual| usual.eq_ignore_ascii_case(word))
}

fn words(pairs: &[(&str, &str)]) -> Vec<(String, Value)> {
    pairs
        .iter()
        .map(|(word, sent)| ((*word).to_owned(), Value::from(*sent)))
        .collect()
}
