use serde_json::json;

use super::*;
use crate::{
    announcement::{Layout, Stream, TimeKey},
    point::{At, Component, Domain, Form, Point, StateClass, Words},
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/tasmota/", $name, ".json"))
    };
}

const CONFIG: &str = "tasmota/discovery/2462AB49A3BC/config";
const SENSORS: &str = "tasmota/discovery/2462AB49A3BC/sensors";

fn learn(topic: &str, payload: &str) -> Result<Announcement, Fault> {
    let payload = payload.as_bytes();
    let mut all = Tasmota.learn(&Message { topic, payload })?;
    assert_eq!(all.len(), 1);
    Ok(all.remove(0))
}

fn config(payload: &str) -> Announcement {
    learn(CONFIG, payload).expect("a device")
}

/// The config of the plug with some keys set to something else.
fn changed(changes: Value) -> Result<Announcement, Fault> {
    let mut config: Value = serde_json::from_str(fixture!("plug_config")).expect("JSON");
    for (key, value) in changes.as_object().expect("changes") {
        config[key] = value.clone();
    }
    learn(CONFIG, &config.to_string())
}

fn recognise(topic: &str, payload: &str) -> Option<Announcement> {
    let payload = payload.as_bytes();
    Tasmota.recognise(&Message { topic, payload })
}

fn point<'a>(device: &'a Announcement, metric: &str) -> &'a Point {
    let found = device.points.iter().find(|point| point.metric == metric);
    found.expect(metric)
}

fn metrics(device: &Announcement) -> Vec<&str> {
    device
        .points
        .iter()
        .map(|point| point.metric.as_str())
        .collect()
}

fn stream<'a>(device: &'a Announcement, topic: &str) -> &'a Stream {
    let found = device.streams.iter().find(|stream| stream.topic == topic);
    found.expect(topic)
}

#[track_caller]
fn reads_and_writes(device: &Announcement, metric: &str, read: &str, path: &str, write: &str) {
    let point = point(device, metric);
    let (from, to) = (
        point.read.as_ref().expect("a read"),
        point.write.as_ref().expect("a write"),
    );
    assert_eq!(
        (from.topic.as_str(), &from.at),
        (read, &At::Path(path.to_owned()))
    );
    assert_eq!((to.topic.as_str(), &to.encode.form), (write, &Form::Plain));
}

#[test]
fn only_discovery_teaches() {
    for (topic, wanted) in [
        (CONFIG, true),
        (SENSORS, true),
        ("cottage/discovery/2462ab49a3bc/config", true),
        ("tasmota/discovery/2462AB49A3BC/state", false),
        ("tasmota/discovery/2462AB49A3B/config", false),
        ("tasmota/discovery/bedroom_lamp/config", false),
        ("homeassistant/sensor/2462AB49A3BC/config", false),
        ("a/tasmota/discovery/2462AB49A3BC/config", false),
        ("/discovery/2462AB49A3BC/config", false),
        ("tele/plug/SENSOR", false),
    ] {
        assert_eq!(Tasmota.teaches(topic), wanted, "{topic}");
    }
}

#[test]
fn a_plug_says_who_it_is() {
    let plug = config(fixture!("plug_config"));
    let identifiers: Vec<_> = plug.identifiers.iter().map(Identifier::as_str).collect();
    assert_eq!(identifiers, ["mac:2462ab49a3bc", "tasmota:tasmota_49A3BC"]);
    assert_eq!(plug.about.name.as_deref(), Some("Desk"));
    assert_eq!(plug.about.model.as_deref(), Some("Sonoff POW R2"));
    assert_eq!(plug.about.firmware.as_deref(), Some("13.4.0"));
    let there = &plug.availability.topics[0];
    assert_eq!(there.topic, "tele/tasmota_49A3BC/LWT");
    assert_eq!(
        (there.online.as_str(), there.offline.as_str()),
        ("Online", "Offline")
    );
    assert_eq!(metrics(&plug), ["POWER"]);
    assert_eq!(point(&plug, "POWER").name.as_deref(), Some("Desk lamp"));
    assert_eq!(point(&plug, "POWER").component, Component::Switch);
    let (stat, cmnd) = ("stat/tasmota_49A3BC/RESULT", "cmnd/tasmota_49A3BC/POWER");
    reads_and_writes(&plug, "POWER", stat, "POWER", cmnd);
}

#[test]
fn a_plug_has_its_topics() {
    let plug = config(fixture!("plug_config"));
    for leaf in ["SENSOR", "STATE", "INFO1", "INFO2", "INFO3"] {
        let stream = stream(&plug, &format!("tele/tasmota_49A3BC/{leaf}"));
        let Layout::Flat { time, prefix, .. } = &stream.layout else {
            panic!("{leaf}")
        };
        assert_eq!(
            (time, prefix.as_str()),
            (&TimeKey::Local("Time".to_owned()), "")
        );
    }
    for (leaf, wanted, below) in [
        ("RESULT", "RESULT", ""),
        ("POWER", "POWER", ""),
        ("STATUS", "STATUS", ""),
        ("STATUS5", "STATUS5", ""),
        ("STATUS10", "STATUS10", "StatusSNS"),
        ("STATUS11", "STATUS11", "StatusSTS"),
    ] {
        let stream = stream(&plug, &format!("stat/tasmota_49A3BC/{leaf}"));
        let Layout::Flat { metric, root, .. } = &stream.layout else {
            panic!("{leaf}")
        };
        assert_eq!((metric.as_str(), root.as_str()), (wanted, below));
    }
    let command = &stream(&plug, "cmnd/tasmota_49A3BC/POWER").layout;
    assert_eq!(
        command,
        &Layout::Raw {
            metric: "cmnd/POWER".to_owned()
        }
    );
}

#[test]
fn every_topic_is_there_once() {
    for payload in [
        fixture!("plug_config"),
        fixture!("meter_config"),
        fixture!("light_config"),
        fixture!("shutter_config"),
        fixture!("fan_config"),
    ] {
        let device = config(payload);
        let mut topics: Vec<_> = device.streams.iter().map(|stream| &stream.topic).collect();
        let mut metrics = metrics(&device);
        let (topic_count, metric_count) = (topics.len(), metrics.len());
        topics.sort_unstable();
        topics.dedup();
        metrics.sort_unstable();
        metrics.dedup();
        assert_eq!((topics.len(), metrics.len()), (topic_count, metric_count));
        for point in &device.points {
            let read = point.read.as_ref().map(|read| &read.topic);
            assert!(
                read.is_none_or(|read| topics.contains(&read)),
                "{}",
                point.metric
            );
        }
    }
}

#[test]
fn channels_are_numbered_and_switches_are_inputs() {
    let meter = config(fixture!("meter_config"));
    assert_eq!(metrics(&meter), ["POWER1", "POWER2", "Switch1", "Switch3"]);
    reads_and_writes(
        &meter,
        "POWER2",
        "stat/meter/RESULT",
        "POWER2",
        "cmnd/meter/POWER2",
    );
    let door = point(&meter, "Switch1");
    assert_eq!(door.name.as_deref(), Some("Door"));
    assert_eq!(door.component, Component::BinarySensor);
    assert!(door.write.is_none());
}

#[test]
fn a_light_has_colours_and_a_topic_of_its_own_order() {
    let strip = config(fixture!("light_config"));
    assert_eq!(
        metrics(&strip),
        [
            "POWER", "Dimmer", "CT", "HSBColor", "Color", "White", "Scheme", "Speed", "Fade"
        ]
    );
    assert_eq!(point(&strip, "POWER").component, Component::Light);
    reads_and_writes(
        &strip,
        "Dimmer",
        "home/stat/strip/RESULT",
        "Dimmer",
        "home/cmnd/strip/Dimmer",
    );
    let range = Domain::Number {
        min: Some(153.0),
        max: Some(500.0),
        step: Some(1.0),
    };
    assert_eq!(point(&strip, "CT").domain, range);
    assert_eq!(point(&strip, "Dimmer").unit.as_deref(), Some("%"));
    let split = changed(json!({"rl": [2, 2], "lt_st": 5, "lk": 0})).expect("a light");
    assert_eq!(
        metrics(&split)[..4],
        ["POWER1", "POWER2", "Dimmer1", "Dimmer2"]
    );
    let channels = changed(json!({"rl": [2, 2], "lt_st": 2, "so": {"68": 1}})).expect("a light");
    assert_eq!(
        metrics(&channels),
        ["POWER1", "POWER2", "Channel1", "Channel2"]
    );
    let white = changed(json!({"rl": [2], "lt_st": 2, "so": {"82": 1}})).expect("a light");
    let range = Domain::Number {
        min: Some(200.0),
        max: Some(380.0),
        step: Some(1.0),
    };
    assert_eq!(point(&white, "CT").domain, range);
}

#[test]
fn a_shutter_is_a_pair_of_relays() {
    let blind = config(fixture!("shutter_config"));
    assert_eq!(
        metrics(&blind),
        ["Shutter1", "Shutter1.Position", "Shutter1.Tilt"]
    );
    let (stat, cmnd) = ("blind/stat/RESULT", "blind/cmnd/ShutterPosition1");
    reads_and_writes(&blind, "Shutter1.Position", stat, "Shutter1.Position", cmnd);
    let moves = point(&blind, "Shutter1").write.as_ref().expect("a write");
    assert_eq!(moves.topic, cmnd);
    assert_eq!(moves.encode.words[2], ("stop".to_owned(), json!("STOP")));
    assert_eq!(blind.availability.topics[0].topic, "blind/tele/LWT");
    let half = changed(json!({"rl": [3, 1, 3]})).expect("a device");
    assert_eq!(metrics(&half), ["POWER2"]);
}

#[test]
fn a_fan_has_a_lamp_and_a_speed() {
    let fan = config(fixture!("fan_config"));
    assert_eq!(metrics(&fan), ["POWER1", "FanSpeed"]);
    assert_eq!(point(&fan, "POWER1").component, Component::Light);
    reads_and_writes(
        &fan,
        "FanSpeed",
        "stat/fan/RESULT",
        "FanSpeed",
        "cmnd/fan/FanSpeed",
    );
}

#[test]
fn settings_of_a_device_are_followed() {
    let own_answers = changed(json!({"so": {"4": 1}})).expect("a device");
    let read = point(&own_answers, "POWER").read.as_ref().expect("a read");
    assert_eq!(read.topic, "stat/tasmota_49A3BC/POWER");
    let words = changed(json!({"state": ["aus", "an", "um", "halt"]})).expect("a device");
    let read = point(&words, "POWER").read.as_ref().expect("a read");
    assert_eq!(read.words, Some(Words::switch("an", "aus")));
    let as_light = changed(json!({"so": {"30": 1}})).expect("a device");
    assert_eq!(point(&as_light, "POWER").component, Component::Light);
    for (full, tele) in [
        ("%topic%/%prefix%/", "tasmota_49A3BC/tele/LWT"),
        (
            "home/%hostname%/%prefix%",
            "home/tasmota-49A3BC-0956/tele/LWT",
        ),
        ("x//%prefix%/%id%/#", "x/tele/2462AB49A3BC/LWT"),
        ("only/%topic%", "only/tasmota_49A3BC/LWT"),
    ] {
        let device = changed(json!({"ft": full})).expect(full);
        assert_eq!(device.availability.topics[0].topic, tele, "{full}");
    }
    let bare = changed(json!({"ft": "only/%topic%"})).expect("a device");
    let write = point(&bare, "POWER").write.as_ref().expect("a write");
    assert_eq!(write.topic, "only/tasmota_49A3BC/cmnd/POWER");
}

#[test]
fn sensors_have_units_by_their_address() {
    let sensors = learn(SENSORS, fixture!("plug_sensors")).expect("sensors");
    assert_eq!(sensors.identifiers[0].as_str(), "mac:2462ab49a3bc");
    assert!(
        sensors
            .points
            .iter()
            .all(|point| point.read.is_none() && point.write.is_none())
    );
    let total = point(&sensors, "ENERGY.Total");
    assert_eq!(total.unit.as_deref(), Some("kWh"));
    assert_eq!(total.state_class, Some(StateClass::TotalIncreasing));
    assert_eq!(
        point(&sensors, "ESP32.Temperature").unit.as_deref(),
        Some("C")
    );
    assert!(!metrics(&sensors).contains(&"Time"));
    assert!(!metrics(&sensors).contains(&"TempUnit"));
}

#[test]
fn sensors_say_which_units_they_use() {
    let sensors = learn(SENSORS, fixture!("meter_sensors")).expect("sensors");
    for (metric, unit, class) in [
        ("ENERGY.Total.0", Some("kWh"), Some("energy")),
        ("ENERGY.Total.1", Some("kWh"), Some("energy")),
        ("ENERGY.Voltage", Some("V"), Some("voltage")),
        ("DHT22.Temperature", Some("F"), Some("temperature")),
        ("DHT22.DewPoint", Some("F"), Some("temperature")),
        ("DHT22.Humidity", Some("%"), Some("humidity")),
        (
            "BMP280.Pressure",
            Some("mmHg"),
            Some("atmospheric_pressure"),
        ),
        ("PMS5003.PM2.5", Some("µg/m³"), Some("pm25")),
        ("TX23.Speed.Act", Some("m/s"), Some("speed")),
        ("ENERGY.TotalStartTime", None, None),
        ("Switch1", None, None),
    ] {
        let point = point(&sensors, metric);
        assert_eq!(
            (point.unit.as_deref(), point.class.as_deref()),
            (unit, class),
            "{metric}"
        );
    }
    assert_eq!(
        point(&sensors, "Switch1").component,
        Component::BinarySensor
    );
}

#[test]
fn what_a_device_senses_is_bounded() {
    let mut deep = json!(1);
    for _ in 0..20 {
        deep = json!({"x": deep});
    }
    let message = json!({"sn": {"A": deep, "B": vec![1; 600]}});
    let sensors = learn(SENSORS, &message.to_string()).expect("sensors");
    assert_eq!(sensors.points.len(), 500);
    assert_eq!(sensors.points[0].metric, "B.0");
}

#[test]
fn wrong_lessons_are_faults() {
    let check = |topic: &str, payload: &str, detail: &str| {
        let fault = learn(topic, payload).expect_err(payload);
        assert!(fault.detail.contains(detail), "{fault}");
    };
    check(CONFIG, "{\"dn\":\"Desk\"}", "without the topic");
    check(CONFIG, "{\"t\":7}", "without the topic");
    check(CONFIG, "[]", "without the topic");
    check(CONFIG, "{", "no JSON");
    check(CONFIG, &"[".repeat(1000), "no JSON");
    check(CONFIG, "{\"t\":\"a+b\"}", "cannot be");
    check(
        CONFIG,
        &json!({"t": "x".repeat(300)}).to_string(),
        "cannot be",
    );
    check(
        CONFIG,
        &json!({"t": "x", "ft": "%topic%".repeat(100)}).to_string(),
        "cannot be",
    );
    check(
        CONFIG,
        &" ".repeat(LESSON_BYTES_MAX + 1).replacen(' ', "{", 1),
        "bytes",
    );
    check(SENSORS, "{\"ver\":1}", "without the object");
    check(SENSORS, "{\"sn\":[1]}", "without the object");
    check(
        "tasmota/discovery/000000000000/sensors",
        "{\"sn\":{}}",
        "no address",
    );
    let take_back = Message {
        topic: CONFIG,
        payload: b"",
    };
    assert_eq!(Tasmota.learn(&take_back), Ok(Vec::new()));
}

#[test]
fn odd_configs_are_survived() {
    for changes in [
        json!({"rl": "none", "swc": {}, "swn": 1, "fn": null, "tp": [], "so": [], "state": {}}),
        json!({"rl": [-1, 1.5, null, "1", 99], "lt_st": -1}),
        json!({"rl": vec![1; 10_000], "swc": vec![1; 10_000]}),
        json!({"rl": [3], "sht": [[1]], "if": "1"}),
        json!({"mac": "nonsense", "ft": 7}),
    ] {
        let device = changed(changes.clone()).expect("a device");
        assert!(device.points.len() <= 64, "{changes}");
    }
}

#[test]
fn devices_are_recognised_by_the_usual_topics() {
    let (sensor, state) = (fixture!("plug_SENSOR"), fixture!("plug_STATE"));
    for (topic, payload) in [
        ("tele/plug/SENSOR", sensor),
        ("plug/tele/SENSOR", sensor),
        ("tele/plug/STATE", state),
        ("tele/plug/LWT", "Online"),
        (
            "tele/plug/INFO1",
            "{\"Info1\":{\"Module\":\"Generic\",\"Version\":\"13.4.0\"}}",
        ),
        ("stat/plug/RESULT", "{\"POWER\":\"ON\"}"),
        ("stat/plug/POWER", "ON"),
        ("plug/stat/POWER2", "OFF"),
        (
            "stat/plug/STATUS10",
            "{\"StatusSNS\":{\"Time\":\"2023-05-19T20:52:56\"}}",
        ),
        ("cmnd/plug/POWER", "TOGGLE"),
        ("cmnd/plug/Dimmer", ""),
    ] {
        let device = recognise(topic, payload).expect(topic);
        assert_eq!(device.identifiers, [native("plug")], "{topic}");
        assert_eq!(device.streams[0].topic, topic);
        let usual = topic.starts_with("plug");
        let will = if usual {
            "plug/tele/LWT"
        } else {
            "tele/plug/LWT"
        };
        assert_eq!(device.availability.topics[0].topic, will);
    }
}

#[test]
fn a_recognised_relay_can_be_switched() {
    let state = recognise("tele/plug/STATE", fixture!("plug_STATE")).expect("a device");
    reads_and_writes(
        &state,
        "POWER",
        "tele/plug/STATE",
        "POWER",
        "cmnd/plug/POWER",
    );
    let plain = recognise("plug/stat/POWER1", "ON").expect("a device");
    let power = point(&plain, "POWER1");
    assert_eq!(power.read.as_ref().expect("a read").at, At::Value);
    assert_eq!(
        power.write.as_ref().expect("a write").topic,
        "plug/cmnd/POWER1"
    );
    let fahrenheit =
        "{\"Time\":\"2023-05-19T20:52:56\",\"DHT\":{\"Temperature\":70},\"TempUnit\":\"F\"}";
    let sensor = recognise("tele/hall/SENSOR", fahrenheit).expect("a device");
    assert_eq!(point(&sensor, "DHT.Temperature").unit.as_deref(), Some("F"));
}

#[test]
fn what_is_not_tasmota_is_left_alone() {
    let sensor = fixture!("plug_SENSOR");
    for (topic, payload) in [
        ("home/kitchen/temperature", "21.5"),
        ("home/plug/SENSOR", sensor),
        ("tele/plug/SENSOR", "21.5"),
        ("tele/plug/SENSOR", "{\"temperature\":21}"),
        ("tele/plug/SENSOR", "{\"Time\":\"now\"}"),
        ("tele/plug/LWT", "hello"),
        ("tele/plug/INFO1", "{\"a\":1}"),
        ("tele/plug/INFO", "text"),
        ("tele/a/b/SENSOR", sensor),
        ("tele//SENSOR", sensor),
        ("tele/stat/SENSOR", sensor),
        ("stat/plug/POWER", "maybe"),
        ("stat/plug/POWER123", "ON"),
        ("stat/plug/RESULT", "{}"),
        ("stat/plug/weather", "{\"a\":1}"),
        ("cmnd/tasmotas/POWER", "ON"),
        ("cmnd/plug/", "ON"),
        ("cmnd/plug/not a command", "ON"),
        ("cmnd/plug", "ON"),
    ] {
        assert_eq!(recognise(topic, payload), None, "{topic} {payload}");
    }
    let payload = b"\xff\xfe";
    for topic in ["tele/plug/SENSOR", "tele/plug/LWT", "stat/plug/POWER"] {
        assert_eq!(
            Tasmota.recognise(&Message { topic, payload }),
            None,
            "{topic}"
        );
    }
}

#[test]
fn keys_have_their_usual_meaning() {
    for (key, unit, class) in [
        ("ENERGY.Total", Some("kWh"), Some("energy")),
        ("ENERGY.Total.0", Some("kWh"), Some("energy")),
        ("ENERGY.Yesterday", Some("kWh"), Some("energy")),
        ("ENERGY.ApparentPower", Some("VA"), Some("apparent_power")),
        ("ENERGY.ReactivePower", Some("var"), Some("reactive_power")),
        ("ENERGY.Factor", None, Some("power_factor")),
        ("DS18B20-1.Temperature", Some("°C"), Some("temperature")),
        ("ANALOG.Temperature1", Some("°C"), Some("temperature")),
        (
            "BME280.SeaPressure",
            Some("hPa"),
            Some("atmospheric_pressure"),
        ),
        ("SCD30.CarbonDioxide", Some("ppm"), Some("carbon_dioxide")),
        ("SR04.Distance", Some("cm"), Some("distance")),
        ("Wifi.RSSI", Some("%"), None),
        ("Wifi.Signal", Some("dBm"), Some("signal_strength")),
        ("UptimeSec", Some("s"), Some("duration")),
        ("Heap", Some("kB"), Some("data_size")),
    ] {
        let meaning = Tasmota.meaning(key).expect(key);
        assert_eq!((meaning.unit, meaning.class), (unit, class), "{key}");
    }
    for key in [
        "POWER",
        "Status.Power",
        "Wifi.Channel",
        "RG-15.Total",
        "Uptime",
        "",
        "....",
        "7",
    ] {
        let meaning = Tasmota.meaning(key);
        assert_eq!(meaning, None, "{key}");
    }
}

#[test]
fn units_that_are_said_here_are_known() {
    for payload in [fixture!("plug_sensors"), fixture!("meter_sensors")] {
        for point in learn(SENSORS, payload).expect("sensors").points {
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

#[test]
fn a_config_that_is_broken_anywhere_is_survived() {
    let whole = fixture!("light_config").as_bytes();
    for place in 0..whole.len() {
        for byte in [b'"', b'[', b'9', 0, 0xff] {
            let mut changed = whole.to_vec();
            changed[place] = byte;
            let message = |topic| Message {
                topic,
                payload: &changed,
            };
            // Whether it is still a device does not matter here.
            let _ = Tasmota.learn(&message(CONFIG));
            let _ = Tasmota.learn(&message(SENSORS));
            let _ = Tasmota.recognise(&message("tele/plug/SENSOR"));
        }
    }
}
