use serde_json::json;

use super::*;
use crate::{
    announcement::Layout,
    point::{Component, Domain, Form, Point, Words},
};

const DISCOVER: &str = include_str!("../../../fixtures/esphome/discover.json");
const NODE: &str = include_str!("../../../fixtures/esphome/node.txt");

fn learn(payload: &str) -> Result<Vec<Announcement>, Fault> {
    let topic = "esphome/discover/living-node";
    let payload = payload.as_bytes();
    EspHome.learn(&Message { topic, payload })
}

fn recognise(topic: &str, payload: &str) -> Option<Announcement> {
    let payload = payload.as_bytes();
    EspHome.recognise(&Message { topic, payload })
}

/// What the node's topic says, by the fixture.
fn announced(rest: &str) -> Announcement {
    let line = NODE
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{rest} ")));
    recognise(&format!("node/{rest}"), line.expect(rest)).expect(rest)
}

fn point(rest: &str, metric: &str) -> Point {
    let points = announced(rest).points.into_iter();
    points
        .into_iter()
        .find(|point| point.metric == metric)
        .expect(metric)
}

#[track_caller]
fn sends(rest: &str, metric: &str, topic: &str, word: &str, sent: &str) {
    let write = point(rest, metric).write.expect("a write");
    assert_eq!(write.topic, topic);
    assert_eq!(write.encode.form, Form::Plain);
    let found = write.encode.words.iter().find(|(name, _)| name == word);
    assert_eq!(found.expect(word).1, json!(sent));
}

#[test]
fn only_discovery_teaches() {
    for (topic, wanted) in [
        ("esphome/discover/living-node", true),
        ("esphome/discover/", false),
        ("esphome/discover/a/b", false),
        ("esphome/discover/Not A Node", false),
        ("esphome/ping/living-node", false),
        ("living-node/status", false),
    ] {
        assert_eq!(EspHome.teaches(topic), wanted, "{topic}");
    }
}

#[test]
fn a_node_says_who_it_is() {
    let node = learn(DISCOVER).expect("a node").remove(0);
    let identifiers: Vec<_> = node.identifiers.iter().map(Identifier::as_str).collect();
    assert_eq!(identifiers, ["mac:a0b765123456", "esphome:living-node"]);
    assert_eq!(node.about.name.as_deref(), Some("Living Room Node"));
    assert_eq!(node.about.model.as_deref(), Some("esp32dev"));
    assert_eq!(node.about.firmware.as_deref(), Some("2024.6.4"));
    assert_eq!(node.about.hardware.as_deref(), Some("ESP32"));
    assert_eq!(node.availability.topics[0].topic, "living-node/status");
    assert_eq!(node.streams[0], Stream::raw("living-node/debug", "debug"));
    let project = "{\"name\":\"n\",\"project_name\":\"acme.garage door\"}";
    let about = &learn(project).expect("a node")[0].about;
    assert_eq!(about.vendor.as_deref(), Some("acme"));
    assert_eq!(about.model.as_deref(), Some("garage door"));
}

#[test]
fn wrong_lessons_are_faults() {
    for payload in [
        "[]",
        "7",
        "{}",
        "{\"ip\":1}",
        "{",
        "\u{1}",
        &"[".repeat(1000),
    ] {
        assert!(learn(payload).is_err(), "{payload}");
    }
    let large = learn(&format!("{{{}", " ".repeat(LESSON_BYTES_MAX))).expect_err("a fault");
    assert_eq!(large.kind, FaultKind::TooLarge);
    assert_eq!(learn(""), Ok(Vec::new()));
}

#[test]
fn every_topic_of_a_node_is_recognised_as_its_own() {
    for line in NODE.lines() {
        let (rest, payload) = line.split_once(' ').expect(line);
        let topic = format!("node/{rest}");
        let node = recognise(&topic, payload).expect(line);
        assert_eq!(node.identifiers, [Identifier::native("esphome", "node")]);
        assert_eq!(node.availability.topics[0].topic, "node/status");
        let streams = node.streams.iter().map(|stream| &stream.topic);
        let reads = node.points.iter().filter_map(|point| point.read.as_ref());
        let mut topics = streams.chain(reads.map(|read| &read.topic));
        assert!(topics.any(|named| *named == topic), "{line}");
        for point in &node.points {
            assert_eq!((&point.unit, &point.class), (&None, &None), "{line}");
        }
    }
}

#[test]
fn components_are_what_they_are_called() {
    for (rest, metric, component, settable) in [
        (
            "sensor/living_temp/state",
            "living_temp",
            Component::Sensor,
            false,
        ),
        (
            "binary_sensor/door/state",
            "door",
            Component::BinarySensor,
            false,
        ),
        ("switch/relay/state", "relay", Component::Switch, true),
        ("light/ceiling/state", "ceiling", Component::Light, true),
        (
            "light/ceiling/state",
            "ceiling.brightness",
            Component::Light,
            true,
        ),
        (
            "fan/ceiling_fan/speed_level/state",
            "ceiling_fan.speed_level",
            Component::Fan,
            true,
        ),
        (
            "climate/thermostat/mode/state",
            "thermostat.mode",
            Component::Climate,
            true,
        ),
        (
            "climate/thermostat/action/state",
            "thermostat.action",
            Component::Sensor,
            false,
        ),
        ("number/setpoint/state", "setpoint", Component::Number, true),
        ("select/scene/state", "scene", Component::Select, true),
        ("date/start/state", "start", Component::Other, true),
    ] {
        let point = point(rest, metric);
        assert_eq!(point.component, component, "{metric}");
        assert_eq!(point.write.is_some(), settable, "{metric}");
        assert_eq!(Some(point.qualifier.as_str()), rest.split('/').next());
    }
}

#[test]
fn components_are_set_with_their_own_words() {
    sends(
        "switch/relay/state",
        "relay",
        "node/switch/relay/command",
        "toggle",
        "TOGGLE",
    );
    sends(
        "cover/garage/state",
        "garage",
        "node/cover/garage/command",
        "stop",
        "STOP",
    );
    sends(
        "valve/garden/state",
        "garden",
        "node/valve/garden/command",
        "close",
        "CLOSE",
    );
    sends(
        "lock/front/state",
        "front",
        "node/lock/front/command",
        "unlock",
        "UNLOCK",
    );
    let oscillation = "fan/ceiling_fan/oscillation";
    let topic = format!("node/{oscillation}/command");
    sends(
        &format!("{oscillation}/state"),
        "ceiling_fan.oscillation",
        &topic,
        "on",
        "oscillate_on",
    );
    let position = point("cover/blind/position/state", "blind.position");
    assert_eq!(
        position.write.expect("a write").topic,
        "node/cover/blind/position/command"
    );
    let range = Domain::Number {
        min: Some(0.0),
        max: Some(100.0),
        step: None,
    };
    assert_eq!(position.domain, range);
    let lock = point("lock/front/state", "front").read.expect("a read");
    assert_eq!(lock.words, Some(Words::switch("LOCKED", "UNLOCKED")));
}

#[test]
fn a_light_is_json_in_both_directions() {
    let light = announced("light/ceiling/state");
    let metrics: Vec<_> = light
        .points
        .iter()
        .map(|point| point.metric.as_str())
        .collect();
    let wanted = [
        "ceiling",
        "ceiling.brightness",
        "ceiling.color",
        "ceiling.color_temp",
        "ceiling.effect",
    ];
    assert_eq!(metrics[0], wanted[0]);
    assert!(
        wanted.iter().all(|metric| metrics.contains(metric)),
        "{metrics:?}"
    );
    let Layout::Flat { prefix, .. } = &light.streams[0].layout else {
        panic!("not flat")
    };
    assert_eq!(prefix, "ceiling.");
    let form = |metric: &str| {
        let write = point("light/ceiling/state", metric).write.expect("a write");
        let Form::Json { path, with } = write.encode.form else {
            panic!("no JSON")
        };
        (path, Value::from(with))
    };
    assert_eq!(form("ceiling"), ("state".to_owned(), json!({})));
    assert_eq!(
        form("ceiling.brightness"),
        ("brightness".to_owned(), json!({"state": "ON"}))
    );
    let color = point("light/ceiling/state", "ceiling.color");
    assert!(matches!(color.domain, Domain::Object(keys) if keys.len() == 3));
    assert_eq!(color.read, None);
}

#[test]
fn commands_and_logs_are_kept_whole() {
    for (rest, payload, metric) in [
        ("switch/relay/command", "ON", "switch/relay/command"),
        (
            "light/lamp/command",
            "{\"state\":\"ON\"}",
            "light/lamp/command",
        ),
        ("climate/t/mode/command", "heat", "climate/t/mode/command"),
        ("button/restart/command", "PRESS", "button/restart/command"),
        (
            "debug",
            "\u{1b}[0;36m[D][sensor:093]: 'Temp': Sending state 21.4\u{1b}[0m",
            "debug",
        ),
        ("debug", "[I][app:100]: ESPHome version 2024.6.4", "debug"),
    ] {
        let topic = format!("node/{rest}");
        let node = recognise(&topic, payload).expect(rest);
        assert_eq!(node.streams, [Stream::raw(&topic, metric)], "{rest}");
    }
    let button = recognise("node/button/restart/command", "PRESS").expect("a button");
    assert_eq!(button.points[0].domain, Domain::Press);
    assert_eq!(button.points[0].read, None);
}

#[test]
fn what_is_not_esphome_is_left_alone() {
    for (topic, payload) in [
        ("home/kitchen/temperature", "21.5"),
        ("homeassistant/status", "online"),
        ("homeassistant/sensor/bedroom/state", "21.4"),
        ("node/status", "ready"),
        ("node/debug", "hello"),
        ("node/debug", "\u{1b}["),
        ("a/node/sensor/t/state", "21.4"),
        ("node/sensor/t", "21.4"),
        ("node/sensor/t/value", "21.4"),
        ("node/sensor/t/state", "{\"temperature\":21}"),
        ("node/sensor/t/command", "1"),
        ("node/sensor/t/state", ""),
        ("node/binary_sensor/door/state", "open"),
        ("node/switch/relay/state", "1"),
        ("node/switch/relay/position/state", "1"),
        ("node/light/lamp/state", "ON"),
        ("node/light/lamp/state", "[1]"),
        ("node/number/n/state", "many"),
        ("node/cover/c/state", "75"),
        ("node/climate/t/state", "heat"),
        ("node/climate/t/colour/state", "red"),
        ("node/button/b/state", "PRESS"),
        ("node/button/b/command", "hello"),
        ("node/toaster/t/state", "ON"),
        ("node/sensor//state", "1"),
        ("node/sensor/t/state/x/y", "1"),
        ("My Node/status", "online"),
        ("", "online"),
        ("/status", "online"),
    ] {
        assert_eq!(recognise(topic, payload), None, "{topic} {payload}");
    }
    let payload = b"\xff\xfe";
    for topic in ["node/status", "node/debug", "node/sensor/t/state"] {
        assert_eq!(
            EspHome.recognise(&Message { topic, payload }),
            None,
            "{topic}"
        );
    }
}

#[test]
fn nothing_is_guessed_from_a_key() {
    assert_eq!(EspHome.meaning("living_temperature"), None);
}
