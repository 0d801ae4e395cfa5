use serde_json::Value;

use super::topics::Topics;
use crate::point::{Component, Domain, Encode, Form, Point, Read, Words, Write};

/// Most relays and switches of one device.
const RELAYS_MAX: usize = 32;

/// What a relay is for, by Tasmota's numbers.
const RELAY: u64 = 1;
const LIGHT: u64 = 2;
const SHUTTER: u64 = 3;

/// Kinds of lights, by Tasmota's numbers; those in between have colours without white, those above all.
const COLD_WARM: u64 = 2;
const RGB: u64 = 3;
const RGBW: u64 = 4;
const RGBCW: u64 = 5;

/// All that can be set on a device, and its switches.
pub(super) fn points(config: &Value, topics: &Topics) -> Vec<Point> {
    let device = Device { config, topics };
    let mut points = device.relays();
    points.extend(device.light());
    points.extend(device.shutters());
    points.extend(device.fan());
    points.extend(device.switches());
    points
}

/// A relay's point: read where the caller says, set with the command of the same name.
pub(super) fn power(key: &str, component: Component, read: Read, topics: &Topics) -> Point {
    let mut encode = Encode::switch(Form::Plain, "ON", "OFF");
    encode.words.push(("toggle".to_owned(), "TOGGLE".into()));
    let mut point = Point::new(key, component);
    point.domain = Domain::Switch;
    point.read = Some(read);
    point.write = Some(Write::new(format!("{}{key}", topics.cmnd), encode));
    point
}

struct Device<'a> {
    config: &'a Value,
    topics: &'a Topics,
}

impl Device<'_> {
    fn relay_kinds(&self) -> Vec<u64> {
        let list = self.config["rl"].as_array().into_iter().flatten();
        let kinds = list.map(|kind| kind.as_u64().unwrap_or(0));
        kinds.take(RELAYS_MAX).collect()
    }

    fn option(&self, number: &str) -> bool {
        self.config["so"][number].as_u64() == Some(1)
    }

    /// Where the answer to a command is read. With option 4 each command answers on a topic of its own.
    fn read(&self, command: &str, path: &str) -> Read {
        let leaf = if self.option("4") {
            command.to_uppercase()
        } else {
            "RESULT".to_owned()
        };
        Read::path(format!("{}{leaf}", self.topics.stat), path)
    }

    /// A point that is set with a command and read under a key of its answer.
    fn point(&self, component: Component, key: &str, command: &str, domain: Domain) -> Point {
        let mut point = Point::new(key, component);
        point.domain = domain;
        point.read = Some(self.read(command, key));
        let topic = format!("{}{command}", self.topics.cmnd);
        point.write = Some(Write::new(topic, Encode::new(Form::Plain)));
        point
    }

    fn percent(&self, component: Component, key: &str, command: &str) -> Point {
        let mut point = self.point(component, key, command, numbers(0.0, 100.0));
        point.unit = Some("%".to_owned());
        point
    }

    fn relays(&self) -> Vec<Point> {
        let kinds = self.relay_kinds();
        let single = kinds.iter().filter(|kind| **kind != 0).count() == 1;
        let is_fan = self.is_fan();
        let mut points = Vec::new();
        for (place, kind) in kinds.into_iter().enumerate() {
            let component = match kind {
                // A fan's first relay is its lamp; the others are its speeds.
                RELAY | LIGHT if is_fan && place > 0 => continue,
                LIGHT => Component::Light,
                RELAY if is_fan || self.option("30") => Component::Light,
                RELAY => Component::Switch,
                _ => continue,
            };
            let key = match place + 1 {
                1 if single => "POWER".to_owned(),
                number => format!("POWER{number}"),
            };
            let mut point = power(&key, component, self.read(&key, &key), self.topics);
            point.name = self.config["fn"][place].as_str().map(str::to_owned);
            self.own_words(&mut point);
            points.push(point);
        }
        points
    }

    /// A device may say other words than `ON` and `OFF`.
    fn own_words(&self, point: &mut Point) {
        let state = &self.config["state"];
        let (Some(off), Some(on)) = (state[0].as_str(), state[1].as_str()) else {
            return;
        };
        let usual = on.eq_ignore_ascii_case("on") && off.eq_ignore_ascii_case("off");
        if let Some(read) = &mut point.read
            && !usual
        {
            read.words = Some(Words::switch(on, off));
        }
    }

    fn light(&self) -> Vec<Point> {
        let kinds = self.relay_kinds();
        let Some(first) = kinds.iter().position(|kind| *kind == LIGHT) else {
            return Vec::new();
        };
        let kind = self.config["lt_st"].as_u64().unwrap_or(0);
        if self.is_fan() || kind == 0 {
            return Vec::new();
        }
        if self.option("68") {
            // Each channel is a lamp of its own.
            return (first..kinds.len())
                .filter(|place| kinds[*place] == LIGHT)
                .map(|place| format!("Channel{}", place + 1))
                .map(|channel| self.percent(Component::Light, &channel, &channel))
                .collect();
        }
        let mut points = self.dimmers(kind);
        let mut add = |key: &str, domain, unit: &str| {
            let mut point = self.point(Component::Light, key, key, domain);
            point.unit = (!unit.is_empty()).then(|| unit.to_owned());
            points.push(point);
        };
        if kind == COLD_WARM || kind >= RGBCW {
            let (low, high) = if self.option("82") {
                (200.0, 380.0)
            } else {
                (153.0, 500.0)
            };
            add("CT", numbers(low, high), "mired");
        }
        if kind >= RGB {
            // Hue, saturation and brightness: `120,100,100` or an array.
            add("HSBColor", Domain::Any, "");
            add("Color", Domain::Text, "");
        }
        if kind >= RGBW {
            add("White", numbers(0.0, 100.0), "%");
        }
        if kind >= RGB {
            add("Scheme", numbers(0.0, 14.0), "");
        }
        add("Speed", numbers(1.0, 40.0), "");
        points.push(self.fade());
        points
    }

    /// A light's brightness; two where colour and white are lamps of their own.
    fn dimmers(&self, kind: u64) -> Vec<Point> {
        let number = |key: &str| self.config[key].as_u64();
        let one = |key: &str, command: &str| self.percent(Component::Light, key, command);
        if number("ty") == Some(1) {
            vec![one("Dimmer", "Dimmer3")]
        } else if number("lk") == Some(0) && kind >= RGBW {
            vec![one("Dimmer1", "Dimmer1"), one("Dimmer2", "Dimmer2")]
        } else {
            vec![one("Dimmer", "Dimmer")]
        }
    }

    fn fade(&self) -> Point {
        let mut fade = self.point(Component::Switch, "Fade", "Fade", Domain::Switch);
        let encode = Encode::switch(Form::Plain, "ON", "OFF");
        fade.write = Some(Write::new(format!("{}Fade", self.topics.cmnd), encode));
        fade
    }

    /// Two relays side by side turn one shutter.
    fn shutters(&self) -> Vec<Point> {
        let kinds = self.relay_kinds();
        let mut points = Vec::new();
        let (mut place, mut number) = (0, 1);
        while place + 1 < kinds.len() {
            if kinds[place] != SHUTTER || kinds[place + 1] != SHUTTER {
                place += 1;
                continue;
            }
            points.extend(self.shutter(number));
            number += 1;
            place += 2;
        }
        points
    }

    fn shutter(&self, number: usize) -> Vec<Point> {
        let key = format!("Shutter{number}");
        let command = format!("ShutterPosition{number}");
        // What moves is told by `Shutter1.Direction`; the command itself is nowhere repeated.
        let mut moves = Point::new(&key, Component::Cover);
        moves.domain = Domain::Options(["open", "close", "stop"].map(str::to_owned).to_vec());
        let words = [("open", "OPEN"), ("close", "CLOSE"), ("stop", "STOP")];
        let encode = Encode {
            words: words
                .map(|(word, sent)| (word.to_owned(), sent.into()))
                .to_vec(),
            ..Encode::new(Form::Plain)
        };
        moves.write = Some(Write::new(format!("{}{command}", self.topics.cmnd), encode));
        let at = |end: &str| Read {
            topic: self.read("SHUTTER", "").topic,
            ..Read::path("", format!("{key}.{end}"))
        };
        let mut position = self.percent(Component::Cover, &format!("{key}.Position"), &command);
        position.read = Some(at("Position"));
        let mut points = vec![moves, position];
        let tilt = &self.config["sht"][number - 1];
        if let (Some(low), Some(high)) = (tilt[0].as_f64(), tilt[1].as_f64())
            && low < high
        {
            let metric = format!("{key}.Tilt");
            let command = format!("ShutterTilt{number}");
            let mut point = self.point(Component::Cover, &metric, &command, numbers(low, high));
            point.read = Some(at("Tilt"));
            points.push(point);
        }
        points
    }

    fn is_fan(&self) -> bool {
        self.config["if"].as_u64() == Some(1)
    }

    fn fan(&self) -> Option<Point> {
        let point = || self.point(Component::Fan, "FanSpeed", "FanSpeed", numbers(0.0, 3.0));
        self.is_fan().then(point)
    }

    /// Switches are read with the sensors; a place without one is -1.
    fn switches(&self) -> Vec<Point> {
        let modes = self.config["swc"].as_array().into_iter().flatten();
        let modes = modes.take(RELAYS_MAX).enumerate();
        modes
            .filter(|(_, mode)| mode.as_i64().is_some_and(|mode| mode >= 0))
            .map(|(place, _)| {
                let key = format!("Switch{}", place + 1);
                let topic = format!("{}SENSOR", self.topics.tele);
                let mut point = Point::new(&key, Component::BinarySensor);
                point.name = self.config["swn"][place].as_str().map(str::to_owned);
                point.read = Some(Read::path(topic, key));
                self.own_words(&mut point);
                point
            })
            .collect()
    }
}

fn numbers(min: f64, max: f64) -> Domain {
    Domain::Number {
        min: Some(min),
        max: Some(max),
        step: Some(1.0),
    }
}
