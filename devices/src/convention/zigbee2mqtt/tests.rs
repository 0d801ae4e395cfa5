use serde_json::json;

use super::*;
use crate::{
    FaultKind,
    announcement::{Layout, Stream},
    identifier::Identifier,
    point::{Component, Domain, Form, Point, Read, StateClass, Words},
};

const DEVICES: &[u8] = include_bytes!("../../../fixtures/zigbee2mqtt/devices.json");
const INFO: &[u8] = include_bytes!("../../../fixtures/zigbee2mqtt/info.json");

fn learn(topic: &str, payload: &[u8]) -> Result<Vec<Announcement>, Fault> {
    Zigbee2Mqtt.learn(&Message { topic, payload })
}

fn device(name: &str) -> Announcement {
    let all = learn("zigbee2mqtt/bridge/devices", DEVICES).expect("a list of devices");
    all.into_iter()
        .find(|device| device.about.name.as_deref() == Some(name))
        .expect(name)
}

fn point(device: &str, metric: &str) -> Point {
    let device = self::device(device);
    device
        .points
        .into_iter()
        .find(|point| point.metric == metric)
        .expect(metric)
}

/// What a value becomes on its way to a device, as its point says.
fn word(point: &Point, name: &str) -> Option<serde_json::Value> {
    let words = &point.write.as_ref().expect("a write").encode.words;
    words
        .iter()
        .find(|(word, _)| word == name)
        .map(|(_, sent)| sent.clone())
}

#[track_caller]
fn fails(payload: &[u8], kind: FaultKind, detail: &str) {
    let fault = learn("zigbee2mqtt/bridge/devices", payload).expect_err("a fault");
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.detail.contains(detail), "{fault}");
}

#[track_caller]
fn recognised(topic: &str, payload: &str, wanted: Option<Stream>) {
    let payload = payload.as_bytes();
    let found = Zigbee2Mqtt.recognise(&Message { topic, payload });
    assert_eq!(
        found.map(|found| found.streams),
        wanted.map(|stream| vec![stream]),
        "{topic}"
    );
}

#[test]
fn only_the_bridge_teaches() {
    for (topic, wanted) in [
        ("zigbee2mqtt/bridge/devices", true),
        ("home/upstairs/zigbee/bridge/devices", true),
        ("zigbee2mqtt/bridge/info", true),
        ("/bridge/devices", false),
        ("bridge/devices", false),
        ("zigbee2mqtt/bridge/state", false),
        ("zigbee2mqtt/my_plug", false),
        ("zigbee2mqtt/bridge/devices/x", false),
    ] {
        assert_eq!(Zigbee2Mqtt.teaches(topic), wanted, "{topic}");
    }
}

#[test]
fn all_that_has_a_name_is_announced() {
    let all = learn("zigbee2mqtt/bridge/devices", DEVICES).expect("a list of devices");
    let names: Vec<_> = all
        .iter()
        .filter_map(|device| device.about.name.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            "Zigbee2MQTT bridge",
            "my_plug",
            "living room/bulb",
            "front door",
            "bedroom/blind",
            "bath trv",
            "kitchen/window/contact",
            "hall remote",
            "two gang",
            "air",
            "my_sensor",
        ]
    );
    let coordinator = Identifier::ieee("0x00124b00120144ae").expect("an address");
    assert_eq!(
        all[0].identifiers,
        [bridge::identifier("zigbee2mqtt"), coordinator.clone()]
    );
    assert!(
        all[1..]
            .iter()
            .all(|device| device.about.via.as_ref() == Some(&coordinator))
    );
}

#[test]
fn a_device_says_who_it_is_and_where_it_speaks() {
    let all = learn("home/zb/bridge/devices", DEVICES).expect("a list of devices");
    let plug = &all[1];
    assert_eq!(plug.identifiers[0].as_str(), "ieee:00158d00018255df");
    assert_eq!(plug.about.vendor.as_deref(), Some("Xiaomi"));
    assert_eq!(
        plug.about.model.as_deref(),
        Some("ZNCZ02LM (Mi power plug Zigbee)")
    );
    assert_eq!(plug.about.firmware.as_deref(), Some("1.3.009"));
    assert_eq!(
        plug.availability.topics[0].topic,
        "home/zb/my_plug/availability"
    );
    let topics: Vec<_> = plug
        .streams
        .iter()
        .map(|stream| stream.topic.as_str())
        .collect();
    assert_eq!(
        topics,
        [
            "home/zb/my_plug",
            "home/zb/my_plug/set",
            "home/zb/my_plug/get"
        ]
    );
    assert_eq!(
        plug.streams[1].layout,
        Layout::Raw {
            metric: "set".to_owned()
        }
    );
    let read = Read::path("home/zb/living room/bulb", "brightness");
    assert!(
        all[2]
            .points
            .iter()
            .any(|point| point.read.as_ref() == Some(&read))
    );
}

#[test]
fn a_device_without_definition_has_its_topic_only() {
    let unknown = device("my_sensor");
    assert_eq!(unknown.streams[0].topic, "zigbee2mqtt/my_sensor");
    assert_eq!(unknown.points, []);
    assert_eq!(unknown.about.model.as_deref(), Some("AC-1"));
    assert_eq!(unknown.about.vendor.as_deref(), Some("Acme"));
}

#[test]
fn numbers_have_units_classes_and_ranges() {
    for (device, metric, unit, class, state_class) in [
        (
            "my_plug",
            "power",
            Some("W"),
            Some("power"),
            Some(StateClass::Measurement),
        ),
        (
            "my_plug",
            "energy",
            Some("kWh"),
            Some("energy"),
            Some(StateClass::TotalIncreasing),
        ),
        (
            "my_plug",
            "voltage",
            Some("V"),
            Some("voltage"),
            Some(StateClass::Measurement),
        ),
        (
            "my_plug",
            "linkquality",
            Some("lqi"),
            None,
            Some(StateClass::Measurement),
        ),
        (
            "kitchen/window/contact",
            "voltage",
            Some("mV"),
            Some("voltage"),
            Some(StateClass::Measurement),
        ),
        (
            "kitchen/window/contact",
            "power_outage_count",
            None,
            None,
            None,
        ),
        (
            "two gang",
            "power_left",
            Some("W"),
            Some("power"),
            Some(StateClass::Measurement),
        ),
        (
            "air",
            "voc",
            Some("ppb"),
            Some("volatile_organic_compounds_parts"),
            Some(StateClass::Measurement),
        ),
    ] {
        let point = point(device, metric);
        assert_eq!(point.unit.as_deref(), unit, "{metric}");
        assert_eq!(point.class.as_deref(), class, "{metric}");
        assert_eq!(point.state_class, state_class, "{metric}");
    }
    let setpoint = point("bath trv", "current_heating_setpoint");
    let range = Domain::Number {
        min: Some(5.0),
        max: Some(35.0),
        step: Some(0.5),
    };
    assert_eq!(setpoint.domain, range);
    assert_eq!(setpoint.component, Component::Climate);
}

#[test]
fn what_is_set_and_what_is_read_follows_from_access() {
    for (device, metric, read, write) in [
        ("my_plug", "state", true, true),
        ("my_plug", "power", true, false),
        ("living room/bulb", "effect", false, true),
        ("living room/bulb", "color.x", true, false),
        ("front door", "pin_code", false, true),
        ("front door", "pin_code.user", false, false),
        ("bath trv", "holidays", false, true),
        ("bath trv", "programming_mode.schedule", true, false),
        ("bath trv", "running_state", true, false),
    ] {
        let point = point(device, metric);
        assert_eq!(point.read.is_some(), read, "{metric}");
        assert_eq!(point.write.is_some(), write, "{metric}");
    }
    let write = point("two gang", "state_left").write.expect("a write");
    assert_eq!(write.topic, "zigbee2mqtt/two gang/set");
    let Form::Json { path, with } = write.encode.form else {
        panic!("no JSON")
    };
    assert_eq!((path.as_str(), with.len()), ("state_left", 0));
}

#[test]
fn things_have_their_own_words() {
    for (device, metric, name, sent) in [
        ("my_plug", "state", "on", json!("ON")),
        ("my_plug", "state", "toggle", json!("TOGGLE")),
        ("my_plug", "power_outage_memory", "off", json!(false)),
        ("front door", "state", "lock", json!("LOCK")),
        ("front door", "state", "off", json!("UNLOCK")),
        ("bedroom/blind", "state", "stop", json!("STOP")),
        ("living room/bulb", "color_temp", "warmest", json!(500)),
    ] {
        assert_eq!(
            word(&point(device, metric), name),
            Some(sent),
            "{metric} {name}"
        );
    }
    let blind = point("bedroom/blind", "state");
    let options = ["open", "close", "stop"].map(str::to_owned).to_vec();
    assert_eq!(blind.domain, Domain::Options(options));
    assert_eq!(blind.component, Component::Cover);
    let valve = point("bath trv", "valve_state").read.expect("a read");
    assert_eq!(valve.words, Some(Words::switch("OPEN", "CLOSED")));
    assert_eq!(point("my_plug", "state").read.expect("a read").words, None);
    assert_eq!(point("kitchen/window/contact", "contact").class, None);
    assert_eq!(
        point("air", "occupancy").class.as_deref(),
        Some("occupancy")
    );
}

#[test]
fn a_colour_is_set_as_a_whole_in_either_way() {
    for (metric, keys) in [("color", ["x", "y"]), ("color_hs", ["hue", "saturation"])] {
        let point = point("living room/bulb", metric);
        assert_eq!(
            point.domain,
            Domain::Object(keys.map(str::to_owned).to_vec())
        );
        assert_eq!(point.component, Component::Light);
        let Form::Json { path, .. } = point.write.expect("a write").encode.form else {
            panic!("no JSON")
        };
        assert_eq!(path, "color");
    }
}

#[test]
fn every_metric_of_a_device_is_there_once() {
    for device in learn("zigbee2mqtt/bridge/devices", DEVICES).expect("a list of devices") {
        let mut metrics: Vec<_> = device.points.iter().map(|point| &point.metric).collect();
        let count = metrics.len();
        metrics.sort_unstable();
        metrics.dedup();
        assert_eq!(metrics.len(), count, "{:?}", device.about.name);
    }
}

#[test]
fn info_teaches_the_bridge() {
    let bridge = learn("zigbee2mqtt/bridge/info", INFO)
        .expect("a bridge")
        .remove(0);
    let identifiers: Vec<_> = bridge.identifiers.iter().map(Identifier::as_str).collect();
    assert_eq!(
        identifiers,
        ["zigbee2mqtt:zigbee2mqtt", "ieee:00124b00120144ae"]
    );
    assert_eq!(bridge.about.firmware.as_deref(), Some("2.1.3"));
    assert_eq!(
        bridge.availability.topics[0].topic,
        "zigbee2mqtt/bridge/state"
    );
    let layout = |rest: &str| {
        let topic = format!("zigbee2mqtt/bridge/{rest}");
        let stream = bridge.streams.iter().find(|stream| stream.topic == topic);
        stream.expect(rest).layout.clone()
    };
    assert_eq!(layout("definitions"), Layout::Lesson);
    assert_eq!(
        layout("health"),
        Layout::Raw {
            metric: "health".to_owned()
        }
    );
    assert!(learn("zigbee2mqtt/bridge/info", b"{\"name\":\"hue\"}").is_err());
}

#[test]
fn an_empty_payload_takes_back() {
    assert_eq!(learn("zigbee2mqtt/bridge/devices", b""), Ok(Vec::new()));
    assert_eq!(learn("zigbee2mqtt/bridge/info", b" "), Ok(Vec::new()));
    // An empty list is a bridge without devices.
    assert_eq!(
        learn("zigbee2mqtt/bridge/devices", b"[]").map(|all| all.len()),
        Ok(1)
    );
}

#[test]
fn wrong_lists_are_faults() {
    fails(b"{\"a\":1}", FaultKind::Announcement, "list of devices");
    fails(b"[1,2,3]", FaultKind::Announcement, "no entry");
    fails(b"[{\"ieee_address\":", FaultKind::Announcement, "EOF");
    fails(b"[] []", FaultKind::Announcement, "trailing");
    fails(b"\xff\xfe", FaultKind::Announcement, "");
    let deep = [&b"["[..]; 1000].concat();
    fails(&deep, FaultKind::Announcement, "recursion");
    let deep = format!("[{}1{}]", "{\"exposes\":".repeat(1000), "}".repeat(1000));
    fails(deep.as_bytes(), FaultKind::Announcement, "recursion");
    let mut long = vec![b' '; 9 * 1024 * 1024];
    long[0] = b'[';
    fails(&long, FaultKind::TooLarge, "bytes");
}

#[test]
fn a_large_home_is_read_and_a_huge_one_refused() {
    let plug = &serde_json::from_slice::<serde_json::Value>(DEVICES).expect("JSON")[2];
    let home = |devices: usize, padding: usize| {
        let list = (0..devices).map(|i| {
            let mut device = plug.clone();
            device["ieee_address"] = json!(format!("0x{:016x}", i + 1));
            device["friendly_name"] = json!(format!("room {i}/bulb"));
            device["padding"] = json!("x".repeat(padding));
            device
        });
        serde_json::to_vec(&list.collect::<Vec<_>>()).expect("JSON")
    };
    let large = home(300, 2_000);
    assert!(large.len() > 1024 * 1024, "{}", large.len());
    let all = learn("zigbee2mqtt/bridge/devices", &large).expect("a large home");
    assert_eq!(all.len(), 301);
    fails(
        &home(DEVICES_MAX + 1, 0),
        FaultKind::TooLarge,
        "2001 devices",
    );
}

#[test]
fn exposes_of_any_shape_are_survived() {
    for exposes in [
        json!([null, 1, "x", [], {}, {"type": "light"}, {"type": "light", "features": 7}]),
        json!([{"type": "numeric", "property": "t", "access": "7", "value_min": "x", "unit": 7}]),
        json!([{"type": "enum", "property": "e", "values": [null, {}, 1, true], "access": 3}]),
        json!([{"type": "binary", "property": "b", "access": 7}]),
        json!([{"type": "composite", "property": "c", "features": "none", "access": 2}]),
        json!({"type": "numeric"}),
    ] {
        let list = json!([{"ieee_address": "0x1122334455667788", "friendly_name": "odd",
            "definition": {"exposes": exposes}}]);
        let list = serde_json::to_vec(&list).expect("JSON");
        assert_eq!(
            learn("zigbee2mqtt/bridge/devices", &list).map(|all| all.len()),
            Ok(2)
        );
    }
}

#[test]
fn what_a_device_exposes_is_bounded() {
    let number = |name: &str| json!({"type": "numeric", "name": name, "property": name});
    let mut deep = number("deep");
    for _ in 0..10 {
        deep = json!({"type": "light", "features": [deep]});
    }
    let mut exposes: Vec<_> = (0..600).map(|i| number(&format!("n{i}"))).collect();
    exposes.insert(0, deep);
    let points = exposes::points("zb/odd", &exposes);
    assert_eq!(points.len(), 500);
    assert_eq!(points[0].metric, "n0");
}

#[test]
fn topics_of_a_bridge_are_recognised_by_their_shape() {
    let state = || Some(Stream::new("zb/bridge/state", "state"));
    recognised("zb/bridge/state", "online", state());
    recognised("zb/bridge/state", "{\"state\":\"offline\"}", state());
    recognised("zb/bridge/state", "up", None);
    let definitions = || Some(Stream::lesson("zb/bridge/definitions"));
    recognised(
        "zb/bridge/definitions",
        "{\"clusters\":{},\"custom_clusters\":{}}",
        definitions(),
    );
    recognised(
        "zb/bridge/groups",
        "[{\"id\":1,\"friendly_name\":\"all\",\"members\":[]}]",
        Some(Stream::lesson("zb/bridge/groups")),
    );
    recognised("zb/bridge/groups", "[1]", None);
    let request = "zb/bridge/request/permit_join";
    recognised(
        request,
        "{\"time\":60}",
        Some(Stream::raw(request, "request/permit_join")),
    );
    recognised("zb/bridge/request/coffee", "now", None);
    let response = "zb/bridge/response/permit_join";
    recognised(
        response,
        "{\"data\":{},\"status\":\"ok\"}",
        Some(Stream::raw(response, "response/permit_join")),
    );
    recognised(response, "ok", None);
}

#[test]
fn devices_are_never_guessed() {
    for topic in [
        "zigbee2mqtt/my_plug",
        "home/kitchen/temperature",
        "hue/bridge/lights",
        "/bridge/state",
    ] {
        recognised(topic, "{\"state\":\"ON\",\"temperature\":27.34}", None);
        recognised(topic, "online", None);
    }
}

#[test]
fn keys_have_their_usual_meaning() {
    for (key, unit, class) in [
        ("temperature", Some("°C"), Some("temperature")),
        ("power_l1", Some("W"), Some("power")),
        ("power_factor", None, Some("power_factor")),
        ("energy_left", Some("kWh"), Some("energy")),
        ("linkquality", Some("lqi"), None),
        ("occupancy", None, Some("occupancy")),
    ] {
        let meaning = Zigbee2Mqtt.meaning(key).expect(key);
        assert_eq!((meaning.unit, meaning.class), (unit, class), "{key}");
    }
    for key in ["state", "color.x", "", "_1", "last_seen"] {
        assert_eq!(Zigbee2Mqtt.meaning(key), None, "{key}");
    }
}

#[test]
fn a_list_that_is_broken_anywhere_is_survived() {
    for place in (0..DEVICES.len()).step_by(61) {
        let cut = &DEVICES[..place];
        assert!(place == 0 || learn("zigbee2mqtt/bridge/devices", cut).is_err());
        for byte in [b'"', b'[', b'}', 0, 0xff] {
            let mut changed = DEVICES.to_vec();
            changed[place] = byte;
            // Whether it is still a list does not matter here.
            let _ = learn("zigbee2mqtt/bridge/devices", &changed);
        }
    }
}

#[test]
fn units_that_are_said_here_are_known() {
    for device in learn("zigbee2mqtt/bridge/devices", DEVICES).expect("a list of devices") {
        for point in device.points {
            let unit = point.unit.unwrap_or_default();
            let class = point.class.unwrap_or_default();
            assert!(
                unit.is_empty() || crate::unit::normalise(&unit).is_some(),
                "{unit}"
            );
            assert!(crate::unit::fits(&class, &unit), "{class} in {unit}");
        }
    }
}
