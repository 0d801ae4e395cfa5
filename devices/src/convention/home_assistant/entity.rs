use serde_json::{Map, Value, json};

use super::{
    config::Config,
    device::place,
    parts::{Part, Takes, Unit},
};
use crate::point::{At, Component, Domain, Encode, Form, Point, Read, StateClass, Words, Write};

/// One entity while its points are made.
pub(super) struct Entity<'c> {
    pub(super) config: &'c Config,
    pub(super) component: Component,
    /// Metric of what no simple path names.
    base: String,
    qualifier: String,
    pub(super) points: Vec<Point>,
}

impl<'c> Entity<'c> {
    /// An entity with these options; the object id is from its topic, or its key in the device form.
    pub(super) fn new(config: &'c Config, component: Component, object_id: &str) -> Entity<'c> {
        let slug_of = |key: &str| config.text(key).map(|text| slug(&text));
        let filled = |slug: &String| !slug.is_empty();
        let own_id = Some(slug(object_id)).filter(filled);
        let base = slug_of("name")
            .filter(filled)
            .or_else(|| slug_of("device_class").filter(filled))
            .or_else(|| own_id.clone())
            .or_else(|| slug_of("unique_id").filter(filled));
        let qualifier = own_id.or_else(|| slug_of("unique_id").filter(filled));
        Entity {
            config,
            component,
            base: base.unwrap_or_else(|| "state".to_owned()),
            qualifier: qualifier.unwrap_or_default(),
            points: Vec::new(),
        }
    }

    /// Makes the point of a part, if the options have a topic for it.
    pub(super) fn add(&mut self, part: &Part) {
        let (state_topic, state_template) = part.state;
        let (command_topic, command_template) = part.command;
        let read = self.config.topic(state_topic).map(|topic| Read {
            topic,
            at: place(self.template(state_template)),
            words: None,
            scale: 1.0,
        });
        let write = self.config.topic(command_topic).map(|topic| {
            let form = self
                .template(command_template)
                .map_or(Form::Plain, Form::Template);
            self.write(topic, form)
        });
        self.finish(part, read, write);
    }

    /// Adds a point with what a part takes and says, if it can be read or written.
    pub(super) fn finish(&mut self, part: &Part, read: Option<Read>, write: Option<Write>) {
        if read.is_none() && write.is_none() {
            return;
        }
        let mut point = Point::new(self.metric(part.name, read.as_ref()), self.component);
        point.qualifier.clone_from(&self.qualifier);
        point.name = self.config.text("name");
        point.read = read;
        point.write = write;
        self.describe(part, &mut point);
        self.takes(&part.takes, &mut point);
        self.points.push(point);
    }

    /// A command with the entity's quality of service.
    pub(super) fn write(&self, topic: String, form: Form) -> Write {
        Write {
            topic,
            encode: Encode::new(form),
            qos: self.config.number("qos").unwrap_or(0.0).clamp(0.0, 2.0) as u8,
            retain: self.config.flag("retain"),
        }
    }

    /// What the JSON of a payload calls the point, else the entity's own name and the part's.
    fn metric(&self, part: &str, read: Option<&Read>) -> String {
        match (read.map(|read| &read.at), part) {
            (Some(At::Path(path)), _) => path.clone(),
            (_, "") => self.base.clone(),
            _ => format!("{}.{part}", self.base),
        }
    }

    /// The template under one of the keys, which are parted by a space.
    fn template(&self, keys: &str) -> Option<String> {
        keys.split(' ').find_map(|key| self.config.text(key))
    }

    /// Class, unit and identity.
    fn describe(&self, part: &Part, point: &mut Point) {
        let is_main = part.name.is_empty();
        if is_main {
            point.class = self.config.text("device_class");
            let class = self.config.text("state_class");
            point.state_class = class.as_deref().and_then(StateClass::of);
            point.unique_id = self.config.text("unique_id");
        }
        point.unit = match part.unit {
            Unit::None => None,
            Unit::Own => self.config.text("unit_of_measurement"),
            Unit::Temperature => {
                point.class = Some("temperature".to_owned());
                let unit = self.config.text("temperature_unit");
                unit.map(|unit| format!("°{}", unit.trim_start_matches('°')))
            }
            Unit::Humidity => {
                point.class = Some("humidity".to_owned());
                Some("%".to_owned())
            }
            Unit::Is(unit) => Some(unit.to_owned()),
        };
    }

    /// What the point takes, and the words for it.
    fn takes(&self, takes: &Takes, point: &mut Point) {
        match takes {
            Takes::Any => {}
            Takes::Text => point.domain = Domain::Text,
            Takes::Switch {
                on,
                off,
                is_on,
                is_off,
            } => self.switch(point, [on, off, is_on, is_off]),
            Takes::Number { min, max, step } => {
                let first = |(keys, default): &(&str, Option<f64>)| {
                    let set = keys.split(' ').find_map(|key| self.config.number(key));
                    set.or(*default)
                };
                let (min, max, step) = (first(min), first(max), first(step));
                let (low, high) = match (min, max) {
                    (Some(min), Some(max)) if min > max => (Some(max), Some(min)),
                    bounds => bounds,
                };
                point.domain = Domain::Number {
                    min: low,
                    max: high,
                    step,
                };
            }
            Takes::Options { key, default } => {
                let given = self.config.words(key);
                let usual = || default.iter().map(|word| (*word).to_owned()).collect();
                let options: Vec<String> = given.unwrap_or_else(usual);
                point.domain = match options.is_empty() {
                    true => Domain::Text,
                    false => Domain::Options(options),
                };
            }
            Takes::Words { states, commands } => self.words(point, states, commands),
            Takes::Press { key, default } => {
                point.domain = Domain::Press;
                let payload = self.payload(key, default);
                if let Some(write) = &mut point.write {
                    write.encode.words = vec![("press".to_owned(), payload)];
                }
            }
            Takes::Object(keys) => self.object(point, keys),
        }
    }

    /// A payload that the options may change, as it is published.
    fn payload(&self, key: &str, default: &str) -> Value {
        let set = self.config.0.get(key).filter(|value| !value.is_null());
        set.cloned().unwrap_or_else(|| json!(default))
    }

    /// A switch: what is published, and what the state says when that is other than the usual words.
    fn switch(&self, point: &mut Point, keys: [&(&str, &str); 4]) {
        let [on, off, is_on, is_off] = keys;
        point.domain = Domain::Switch;
        let (on, off) = (self.payload(on.0, on.1), self.payload(off.0, off.1));
        if let Some(read) = &mut point.read {
            let state = |key: &str, other: &Value| {
                let set = self.config.0.get(key).filter(|value| !value.is_null());
                set.unwrap_or(other).clone()
            };
            read.words = switch_words(&state(is_on.0, &on), &state(is_off.0, &off), &read.at);
        }
        if let Some(write) = &mut point.write {
            write.encode.words = vec![("on".to_owned(), on), ("off".to_owned(), off)];
        }
    }

    /// Named states and named commands.
    fn words(
        &self,
        point: &mut Point,
        states: &[(&str, &str, &str, Option<f64>)],
        commands: &[(&str, &str, Option<&str>, Option<f64>)],
    ) {
        let mut words = Words::default();
        for (key, default, state, number) in states {
            let word = self
                .config
                .text(key)
                .unwrap_or_else(|| (*default).to_owned());
            words.words.push((word, *number, (*state).to_owned()));
        }
        let mut names = Vec::new();
        for (name, key, default, number) in commands {
            let set = self.config.0.contains_key(*key);
            if !set && default.is_none() || self.config.0.get(*key) == Some(&Value::Null) {
                continue;
            }
            names.push((
                (*name).to_owned(),
                self.payload(key, default.unwrap_or_default()),
            ));
            // What a command wants is said by its own name too, so that the state can confirm it.
            if number.is_some() && words.find(name).is_none() {
                words
                    .words
                    .push(((*name).to_owned(), *number, (*name).to_owned()));
            }
        }
        if let Some(read) = &mut point.read {
            read.words = (!states.is_empty()).then_some(words);
        }
        if let Some(write) = &mut point.write {
            point.domain = Domain::Options(names.iter().map(|(name, _)| name.clone()).collect());
            write.encode.words = names;
        }
    }

    /// A composite such as a colour. A template gets its parts as variables; without one they are joined by commas.
    fn object(&self, point: &mut Point, keys: &[&str]) {
        point.domain = Domain::Object(keys.iter().map(|key| (*key).to_owned()).collect());
        let Some(write) = &mut point.write else {
            return;
        };
        let sets = keys.iter().enumerate().map(|(place, key)| {
            format!("{{% set {key} = value.{key} if value is mapping else value[{place}] %}}")
        });
        let joined = || {
            let parts: Vec<String> = keys.iter().map(|key| format!("{{{{ {key} }}}}")).collect();
            parts.join(",")
        };
        let template = match &write.encode.form {
            Form::Template(template) => template.clone(),
            _ => joined(),
        };
        write.encode.form = Form::Template(sets.collect::<String>() + &template);
    }
}

/// Words for on and off that are not the usual ones. Booleans of JSON keep the device's own sense.
fn switch_words(on: &Value, off: &Value, at: &At) -> Option<Words> {
    if on.is_boolean() && off.is_boolean() && !matches!(at, At::Template(_)) {
        return None;
    }
    let spelled = |value: &Value| super::config::text(value).unwrap_or_default();
    let (on, off) = (spelled(on), spelled(off));
    let usual = ["on", "true", "1"].contains(&on.to_ascii_lowercase().as_str())
        && ["off", "false", "0"].contains(&off.to_ascii_lowercase().as_str());
    (!usual).then(|| Words::switch(&on, &off))
}

/// A JSON object with the value under a key, beside what is always said.
pub(super) fn json_form(path: &str, with: &[(&str, &str)]) -> Form {
    let with: Map<String, Value> = with
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    Form::Json {
        path: path.to_owned(),
        with,
    }
}

/// Home Assistant's slug: lower case ASCII letters and digits, anything else is an underscore between them.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    let mut is_gap = false;
    for letter in text.chars().flat_map(char::to_lowercase) {
        let plain: &str = match letter {
            'ä' | 'à' | 'á' | 'â' | 'ã' | 'å' | 'ą' => "a",
            'ö' | 'ò' | 'ó' | 'ô' | 'õ' | 'ø' => "o",
            'ü' | 'ù' | 'ú' | 'û' | 'ů' => "u",
            'é' | 'è' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
            'í' | 'ì' | 'î' | 'ï' => "i",
            'ç' | 'ć' | 'č' => "c",
            'ñ' | 'ń' | 'ň' => "n",
            'ý' => "y",
            'ł' => "l",
            'ř' => "r",
            'ś' | 'š' => "s",
            'ź' | 'ż' | 'ž' => "z",
            'ß' => "ss",
            'µ' | 'μ' => "u",
            _ => "",
        };
        if plain.is_empty() && !letter.is_ascii_alphanumeric() {
            is_gap = true;
            continue;
        }
        if is_gap && !slug.is_empty() {
            slug.push('_');
        }
        is_gap = false;
        match plain {
            "" => slug.push(letter),
            plain => slug.push_str(plain),
        }
    }
    slug
}
