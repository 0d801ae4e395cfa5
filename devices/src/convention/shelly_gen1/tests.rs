use serde_json::{Map, Value, json};

use super::*;
use crate::{
    Identifier,
    announcement::{Layout, TimeKey},
    point::{Component, Domain, Encode, Form, Point, Read, StateClass, Words, Write},
};

const ONE_PM: &str = include_str!("../../../fixtures/shelly_gen1/1pm.txt");
const ROLLER: &str = include_str!("../../../fixtures/shelly_gen1/25_roller.txt");
const EM: &str = include_str!("../../../fixtures/shelly_gen1/em.txt");
const HT: &str = include_str!("../../../fixtures/shelly_gen1/ht.txt");
const RGBW2: &str = include_str!("../../../fixtures/shelly_gen1/rgbw2.txt");
const TRV_INFO: &str = include_str!("../../../fixtures/shelly_gen1/trv_info.json");
const MOTION: &str = include_str!("../../../fixtures/shelly_gen1/motion_status.json");

fn message<'a>(topic: &'a str, payload: &'a str) -> Message<'a> {
    let payload = payload.as_bytes();
    Message { topic, payload }
}

/// What all messages of a device show, one after another.
fn recognised(lines: &str) -> Vec<Announcement> {
    let messages = lines.lines().filter_map(|line| line.split_once(' '));
    messages
        .map(|(topic, payload)| {
            let message = message(topic, payload);
            ShellyGen1.recognise(&message).expect(topic)
        })
        .collect()
}

/// All points that the messages of a device show.
fn points(lines: &str) -> Vec<Point> {
    let announcements = recognised(lines);
    announcements.into_iter().flat_map(|a| a.points).collect()
}

/// The metric and prefix of the stream that a topic is.
fn check_stream(topic: &str, metric: &str, prefix: &str) {
    let found = ShellyGen1.recognise(&message(topic, "1")).expect(topic);
    assert_eq!(found.streams.len(), 1, "{topic}");
    assert_eq!(found.streams[0].topic, topic);
    let flat = Layout::Flat {
        metric: metric.to_owned(),
        prefix: prefix.to_owned(),
        root: String::new(),
        time: TimeKey::Unix("unixtime".to_owned()),
    };
    assert_eq!(found.streams[0].layout, flat, "{topic}");
}

fn check_meaning(key: &str, unit: Option<&str>, class: Option<&str>) -> KeyMeaning {
    let meaning = ShellyGen1.meaning(key).expect(key);
    assert_eq!((meaning.unit, meaning.class), (unit, class), "{key}");
    meaning
}

#[test]
fn a_topic_is_a_metric_with_dots() {
    for (rest, metric, prefix) in [
        ("online", "online", "online."),
        ("relay/0", "relay.0", "relay.0."),
        ("relay/0/power", "relay.0.power", "relay.0.power."),
        ("temperature", "temperature", "temperature."),
        ("input_event/0", "input_event.0", "input_event.0."),
        ("sensor/battery", "sensor.battery", "sensor.battery."),
        ("light/0/status", "light.0.status", "light.0."),
        ("status", "status", ""),
    ] {
        check_stream(&format!("shellies/shelly1-AABB12/{rest}"), metric, prefix);
    }
}

#[test]
fn commands_of_others_are_kept_as_text() {
    for (rest, metric) in [
        ("relay/0/command", "relay.0.command"),
        ("light/0/set", "light.0.set"),
        ("roller/0/command/pos", "roller.0.command.pos"),
        (
            "thermostat/0/command/target_t",
            "thermostat.0.command.target_t",
        ),
        ("command", "command"),
    ] {
        let topic = format!("shellies/shelly1-AABB12/{rest}");
        let found = ShellyGen1.recognise(&message(&topic, "on")).expect(rest);
        let metric = metric.to_owned();
        assert_eq!(found.streams[0].layout, Layout::Raw { metric });
        assert_eq!(found.points, []);
    }
}

#[test]
fn topics_of_others_are_not_taken() {
    for topic in [
        "home/kitchen/temperature",
        "shellies",
        "shellies/announce",
        "shellies/command",
        "shellies//relay/0",
        "shellies/shelly1-AABB12/",
        "shellies/shelly1-AABB12/relay//0",
        "other/shellies/shelly1-AABB12/relay/0",
        "shellies/shellyplus1-a8032abe54dc/status/switch:0",
        "shellies/shellyplus1-a8032abe54dc/events/rpc",
        "shellies/shellyplus1-a8032abe54dc/command/switch:0",
    ] {
        assert_eq!(ShellyGen1.recognise(&message(topic, "1")), None, "{topic}");
        assert_eq!(ShellyGen1.teaches(topic), topic == SHARED, "{topic}");
    }
}

#[test]
fn six_digits_of_an_id_are_no_address() {
    let cut = ShellyGen1.recognise(&message("shellies/shelly1-AABB12/relay/0", "on"));
    let native = Identifier::native("shelly", "shelly1-AABB12");
    assert_eq!(cut.expect("device").identifiers, [native]);

    let dashed = ShellyGen1.recognise(&message("shellies/x-aa:bb:cc:dd:ee:ff/online", "true"));
    assert_eq!(dashed.expect("device").identifiers.len(), 1);

    let whole = ShellyGen1.recognise(&message("shellies/shellytrv-60A423D0E032/status", "{}"));
    let identifiers = whole.expect("device").identifiers;
    assert_eq!(identifiers[0].as_str(), "mac:60a423d0e032");
    assert_eq!(identifiers[1].as_str(), "shelly:shellytrv-60A423D0E032");
}

#[test]
fn an_announcement_says_address_model_and_firmware() {
    let (topic, payload) = ONE_PM
        .lines()
        .find_map(|line| line.split_once("announce ").map(|(_, json)| (SHARED, json)))
        .expect("announcement");
    for topic in [topic, "shellies/shelly1pm-A4CF12/announce"] {
        assert!(ShellyGen1.teaches(topic));
        let learned = ShellyGen1.learn(&message(topic, payload)).expect(topic);
        assert_eq!(learned.len(), 1);
        assert_eq!(learned[0].identifiers[0].as_str(), "mac:98f4aba4cf12");
        assert_eq!(
            learned[0].identifiers[1].as_str(),
            "shelly:shelly1pm-A4CF12"
        );
        let about = &learned[0].about;
        assert_eq!(about.vendor.as_deref(), Some("Shelly"));
        assert_eq!(about.model.as_deref(), Some("SHSW-PM"));
        let firmware = "20230913-112234/v1.14.0-gcb84623";
        assert_eq!(about.firmware.as_deref(), Some(firmware));
        let online = &learned[0].availability.topics[0];
        assert_eq!(online.topic, "shellies/shelly1pm-A4CF12/online");
        assert_eq!(
            (online.online.as_str(), online.offline.as_str()),
            ("true", "false")
        );
    }
}

#[test]
fn devices_that_announce_on_one_topic_are_told_apart() {
    let source = |topic, payload| ShellyGen1.source(&message(topic, payload));
    let shared = source(SHARED, r#"{"id":"shelly1-AABB12"}"#);
    assert_eq!(shared.as_deref(), Some("shellies/announce#shelly1-AABB12"));
    assert_eq!(source(SHARED, "{}"), None);
    assert_eq!(source(SHARED, ""), None);
    assert_eq!(
        source(
            "shellies/shelly1-AABB12/announce",
            r#"{"id":"shelly1-AABB12"}"#
        ),
        None
    );
}

#[test]
fn wrong_announcements_are_faults() {
    for (topic, payload) in [
        (SHARED, "announce"),
        (SHARED, "[]"),
        (SHARED, r#"{"model":"SHSW-1"}"#),
        (SHARED, r#"{"id":"a/b"}"#),
        (SHARED, r#"{"id":17}"#),
        ("shellies/shelly1-AABB12/info", "{\"mac\":"),
    ] {
        let fault = ShellyGen1
            .learn(&message(topic, payload))
            .expect_err(payload);
        assert_eq!(fault.kind, FaultKind::Announcement, "{payload}");
        assert!(fault.detail.starts_with(topic), "{fault}");
    }
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(70_000));
    assert!(ShellyGen1.learn(&message(SHARED, &long)).is_err());
    assert_eq!(ShellyGen1.learn(&message(SHARED, "")), Ok(Vec::new()));
}

#[test]
fn a_relay_is_switched_by_words() {
    let on_off_toggle = Encode {
        words: ["on", "off", "toggle"]
            .map(|word| (word.to_owned(), Value::from(word)))
            .to_vec(),
        ..Encode::new(Form::Plain)
    };
    let relay = Point {
        domain: Domain::Switch,
        read: Some(Read::value("shellies/shelly1pm-A4CF12/relay/0")),
        write: Some(Write::new(
            "shellies/shelly1pm-A4CF12/relay/0/command",
            on_off_toggle,
        )),
        ..Point::new("relay.0", Component::Switch)
    };
    assert_eq!(points(ONE_PM), [relay]);
    assert_eq!(points(EM).len(), 1);
    assert_eq!(points(HT), []);
}

#[test]
fn a_roller_takes_words_and_positions() {
    let points = points(ROLLER);
    let target = |n: usize| points[n].write.as_ref().map(|write| write.topic.as_str());
    assert_eq!(points.len(), 2);
    assert_eq!(points[0].metric, "roller.0");
    let words = ["open", "close", "stop"].map(str::to_owned).to_vec();
    assert_eq!(points[0].domain, Domain::Options(words));
    assert_eq!(
        target(0),
        Some("shellies/shellyswitch25-C45BBE/roller/0/command")
    );
    assert_eq!(points[1].metric, "roller.0.pos");
    assert_eq!(points[1].unit.as_deref(), Some("%"));
    assert_eq!(
        target(1),
        Some("shellies/shellyswitch25-C45BBE/roller/0/command/pos")
    );
}

#[test]
fn a_light_is_set_by_the_keys_that_it_shows() {
    let points = points(RGBW2);
    let metrics: Vec<&str> = points.iter().map(|point| point.metric.as_str()).collect();
    let expected = [
        "color.0",
        "color.0.ison",
        "color.0.gain",
        "color.0.red",
        "color.0.green",
        "color.0.blue",
        "color.0.white",
        "color.0.effect",
        "color.0.set",
    ];
    assert_eq!(metrics, expected);
    let status = "shellies/shellyrgbw2-1F2E3D/color/0/status";
    assert_eq!(points[2].read, Some(Read::path(status, "gain")));
    let write = points[2].write.as_ref().expect("settable");
    assert_eq!(write.topic, "shellies/shellyrgbw2-1F2E3D/color/0/set");
    let (path, with) = ("gain".to_owned(), Map::new());
    assert_eq!(write.encode.form, Form::Json { path, with });
    let turn = &points[1].write.as_ref().expect("settable").encode.words;
    assert_eq!(turn[0], ("on".to_owned(), json!("on")));
}

#[test]
fn a_status_that_is_no_json_sets_nothing() {
    for payload in ["", "on", "[1]", "{\"brightness\":\"much\"}"] {
        let topic = "shellies/shellybulb-AABB12/light/0/status";
        let found = ShellyGen1
            .recognise(&message(topic, payload))
            .expect("stream");
        assert_eq!(found.points, [], "{payload}");
    }
    for topic in [
        "shellies/shelly1-AABB12/relay/x",
        "shellies/shelly1-AABB12/relay/99",
    ] {
        let found = ShellyGen1.recognise(&message(topic, "on")).expect("stream");
        assert_eq!(found.points, [], "{topic}");
    }
}

#[test]
fn a_whole_status_teaches_and_is_read() {
    let topic = "shellies/shellytrv-60A423D0E032/info";
    assert!(ShellyGen1.teaches(topic));
    let learned = ShellyGen1.learn(&message(topic, TRV_INFO)).expect("info");
    let valve = &learned[0];
    assert_eq!(valve.identifiers[0].as_str(), "mac:60a423d0e032");
    assert_eq!(
        valve.about.firmware.as_deref(),
        Some("20230914-112034/v2.2.1@5ea9af7e")
    );
    assert_eq!(valve.streams[0].topic, topic);
    let Layout::Flat { prefix, .. } = &valve.streams[0].layout else {
        panic!("another layout");
    };
    assert_eq!(prefix, "");
    assert_eq!(valve.points[0].metric, "thermostats.0.target_t.value");
    let write = valve.points[0].write.as_ref().expect("settable");
    assert_eq!(
        write.topic,
        "shellies/shellytrv-60A423D0E032/thermostat/0/command/target_t"
    );
    assert_eq!(valve.points[1].metric, "thermostats.0.pos");

    let fahrenheit = r#"{"thermostats":[{"target_t":{"value":70,"units":"F"}}]}"#;
    let learned = ShellyGen1.learn(&message(topic, fahrenheit)).expect("info");
    assert_eq!(learned[0].points, []);
}

#[test]
fn units_follow_from_the_end_of_a_metric() {
    check_meaning("relay.0.power", Some("W"), Some("power"));
    check_meaning("emeter.0.voltage", Some("V"), Some("voltage"));
    check_meaning("emeter.2.current", Some("A"), Some("current"));
    check_meaning("emeter.0.pf", None, Some("power_factor"));
    check_meaning("temperature", Some("°C"), Some("temperature"));
    check_meaning("temperature_f", Some("°F"), Some("temperature"));
    check_meaning("ext_temperature.0", Some("°C"), Some("temperature"));
    check_meaning("ext_temperatures.0.tC", Some("°C"), Some("temperature"));
    check_meaning("sensor.humidity", Some("%"), Some("humidity"));
    check_meaning("sensor.battery", Some("%"), Some("battery"));
    check_meaning("sensor.lux", Some("lx"), Some("illuminance"));
    check_meaning("wifi_sta.rssi", Some("dBm"), Some("signal_strength"));
    let door = check_meaning("sensor.state", None, Some("opening"));
    assert_eq!(door.words, Some(Words::switch("open", "close")));
    assert_eq!(ShellyGen1.meaning("relay.0"), None);
    assert_eq!(ShellyGen1.meaning(""), None);
}

#[test]
fn watt_minutes_become_watt_hours() {
    for (key, scale, raw_unit) in [
        ("relay.0.energy", 1.0 / 60.0, Some("W.min")),
        ("emeter.0.returned_energy", 1.0 / 60.0, Some("W.min")),
        ("meters.0.total", 1.0 / 60.0, Some("W.min")),
        ("emeter.0.total", 1.0, None),
        ("emeter.1.total_returned", 1.0, None),
    ] {
        let meaning = check_meaning(key, Some("Wh"), Some("energy"));
        assert_eq!(meaning.scale, scale, "{key}");
        assert_eq!(meaning.raw_unit, raw_unit, "{key}");
        assert_eq!(meaning.state_class, Some(StateClass::TotalIncreasing));
    }
}

#[test]
fn all_that_real_devices_say_is_theirs() {
    for lines in [ONE_PM, ROLLER, EM, HT, RGBW2] {
        let found = recognised(lines);
        assert!(found.iter().all(|a| a.identifiers == found[0].identifiers));
    }
    let motion = message("shellies/shellymotionsensor-60A423976594/status", MOTION);
    let found = ShellyGen1.recognise(&motion).expect("device");
    assert_eq!(found.identifiers[0].as_str(), "mac:60a423976594");
}
