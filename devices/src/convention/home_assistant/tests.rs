use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    abbreviations::{DEVICE, ENTITY},
    entity::slug,
    *,
};
use crate::{
    announcement::Mode,
    point::{Domain, StateClass, Words},
    template::Template,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/home_assistant/", $name))
    };
}

fn learn(topic: &str, payload: &str) -> Result<Vec<Announcement>, Fault> {
    let payload = payload.as_bytes();
    HomeAssistant.learn(&Message { topic, payload })
}

/// What one message on a topic announces.
fn one(topic: &str, payload: &str) -> Announcement {
    assert!(HomeAssistant.teaches(topic), "{topic}");
    let mut announcements = learn(topic, payload).expect(payload);
    assert_eq!(announcements.len(), 1, "{payload}");
    announcements.remove(0)
}

/// The points that the options of a component make.
fn points_of(component: &str, options: serde_json::Value) -> Vec<Point> {
    one(
        &format!("homeassistant/{component}/thing/config"),
        &options.to_string(),
    )
    .points
}

/// The metrics, where they are read, and the names of the commands.
fn check(component: &str, options: serde_json::Value, wanted: &[(&str, &str, &[&str])]) {
    let points = points_of(component, options);
    let made: Vec<_> = points
        .iter()
        .map(|point| {
            let at = match point.read.as_ref().map(|read| &read.at) {
                None => String::new(),
                Some(At::Value) => "value".to_owned(),
                Some(At::Path(path)) => format!("/{path}"),
                Some(At::Template(template)) => template.clone(),
                Some(At::Always(word)) => format!("always {word}"),
            };
            let words = point.write.iter().flat_map(|write| &write.encode.words);
            let words: Vec<String> = words
                .map(|(name, word)| format!("{name}={}", word.as_str().unwrap_or("?")))
                .collect();
            (point.metric.clone(), at, words)
        })
        .collect();
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(metric, at, words)| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            ((*metric).to_owned(), (*at).to_owned(), words)
        })
        .collect();
    assert_eq!(made, wanted, "{component}");
    for point in &points {
        if let Some(Form::Template(source)) = point.write.as_ref().map(|write| &write.encode.form) {
            Template::compile(source).expect(source);
        }
    }
}

#[test]
fn only_discovery_topics_teach() {
    for topic in [
        "homeassistant/sensor/bedroom_t/config",
        "homeassistant/sensor/0x00158d/temperature/config",
        "homeassistant/device/ea33/config",
        "home/light/a/b/config",
    ] {
        assert!(HomeAssistant.teaches(topic), "{topic}");
    }
    for topic in [
        "tasmota/discovery/AABBCCDDEEFF/config",
        "homeassistant/status",
        "home/hologram/a/config",
        "homeassistant/sensor/config",
        "homeassistant/sensor/a/b/c/config",
        "homeassistant/sensor/a b/config",
        "homeassistant/sensor/bedroom_t/state",
        "home/kitchen/temperature",
        "/sensor/a/config",
        "$SYS/sensor/a/config",
        "config",
        "",
    ] {
        assert!(!HomeAssistant.teaches(topic), "{topic}");
    }
}

#[test]
fn every_abbreviation_is_spelled_out() {
    assert_eq!((ENTITY.len(), DEVICE.len()), (298, 10));
    for table in [&ENTITY[..], &DEVICE[..]] {
        assert!(table.is_sorted_by(|a, b| a.0 < b.0), "searched by halves");
        for (short, full) in table {
            let expanded =
                abbreviations::expand(Map::from_iter([((*short).to_owned(), json!(1))]), table);
            assert_eq!(expanded.get(*full), Some(&json!(1)), "{short}");
        }
    }
}

#[test]
fn the_single_form_tells_device_and_point() {
    let said = one(
        "homeassistant/sensor/bedroom_t/config",
        fixture!("single.json"),
    );
    let ids: Vec<&str> = said.identifiers.iter().map(Identifier::as_str).collect();
    assert_eq!(ids, ["mac:aabbccddee0f", "ha:bedroom"]);
    assert_eq!(said.about.room.as_deref(), Some("Sleeping room"));
    assert_eq!(said.about.serial.as_deref(), Some("42"));
    assert_eq!(said.about.via, Some(Identifier::home_assistant("gateway")));
    let point = &said.points[0];
    assert_eq!(point.metric, "temperature");
    assert_eq!(
        point.read,
        Some(Read::path("home/bedroom/state", "temperature"))
    );
    assert_eq!(
        (point.unit.as_deref(), point.class.as_deref()),
        (Some("°C"), Some("temperature"))
    );
    assert_eq!(point.state_class, Some(StateClass::Measurement));
    assert_eq!(point.qualifier, "bedroom_t");
    let topics = &said.availability.topics;
    assert_eq!(said.availability.mode, Mode::All);
    assert_eq!(
        (topics[0].topic.as_str(), topics[0].online.as_str()),
        ("home/bedroom/lwt", "online")
    );
    assert_eq!(
        (topics[1].topic.as_str(), topics[1].offline.as_str()),
        ("bridge/home/bedroom", "down")
    );
    assert_eq!(topics[1].at, At::Path("state".to_owned()));
}

#[test]
fn the_device_form_tells_all_components() {
    let said = one("homeassistant/device/ea33/config", fixture!("device.json"));
    assert_eq!(said.identifiers, [Identifier::home_assistant("ea33")]);
    let metrics: Vec<&str> = said
        .points
        .iter()
        .map(|point| point.metric.as_str())
        .collect();
    assert_eq!(metrics, ["plug", "temperature"]);
    assert_eq!(
        said.points[1].read,
        Some(Read::path("k/state", "temperature"))
    );
    let write = said.points[0].write.as_ref().expect("a switch");
    assert_eq!((write.topic.as_str(), write.qos), ("k/set", 1));
    assert_eq!(said.availability.topics.len(), 1);
}

#[test]
fn what_firmware_announces_is_understood() {
    let light = one(
        "homeassistant/light/0x00158d0001a2b3c4/light/config",
        fixture!("zigbee2mqtt_light.json"),
    );
    assert_eq!(light.identifiers[0].as_str(), "ieee:00158d0001a2b3c4");
    let metrics: Vec<&str> = light
        .points
        .iter()
        .map(|point| point.metric.as_str())
        .collect();
    assert_eq!(
        metrics,
        ["state", "brightness", "color_temp", "color", "effect"]
    );
    assert_eq!(
        light.points[1].domain,
        Domain::Number {
            min: Some(0.0),
            max: Some(254.0),
            step: None
        }
    );
    let contact = one(
        "homeassistant/binary_sensor/0x1/contact/config",
        fixture!("zigbee2mqtt_contact.json"),
    );
    assert_eq!(contact.points[0].metric, "contact");
    assert_eq!(
        contact.points[0]
            .read
            .as_ref()
            .and_then(|read| read.words.clone()),
        None
    );
    let switch = one(
        "homeassistant/switch/49A3BC_RL_1/config",
        fixture!("tasmota_switch.json"),
    );
    assert_eq!(
        switch.points[0].read,
        Some(Read::path("tele/desk/STATE", "POWER"))
    );
    assert_eq!(
        switch.points[0]
            .write
            .as_ref()
            .map(|write| write.topic.as_str()),
        Some("cmnd/desk/POWER")
    );
    let energy = one(
        "homeassistant/sensor/49A3BC_ENERGY_Total/config",
        fixture!("tasmota_energy.json"),
    );
    assert_eq!(energy.points[0].metric, "ENERGY.Total");
    assert_eq!(energy.points[0].state_class, None);
    assert_eq!(energy.availability.topics[0].online, "Online");
    let node = one(
        "homeassistant/sensor/livingroom/living_temp/config",
        fixture!("esphome_sensor.json"),
    );
    assert_eq!(node.identifiers.len(), 1, "both are the MAC address");
    assert_eq!(node.points[0].metric, "living_temp");
    assert_eq!(
        node.points[0].read,
        Some(Read::value("livingroom/sensor/living_temp/state"))
    );
}

#[test]
fn components_have_their_words() {
    let topics = json!({"state_topic": "s", "command_topic": "c", "name": "My Thing"});
    let with = |more: serde_json::Value| {
        let mut options = topics.as_object().cloned().expect("object");
        options.extend(more.as_object().cloned().expect("object"));
        serde_json::Value::Object(options)
    };
    let both: &[&str] = &["on=ON", "off=OFF"];
    check("sensor", with(json!({})), &[("my_thing", "value", &[])]);
    check(
        "binary_sensor",
        json!({"state_topic": "s", "device_class": "motion"}),
        &[("motion", "value", &[])],
    );
    check("switch", with(json!({})), &[("my_thing", "value", both)]);
    check(
        "cover",
        with(json!({"position_topic": "p"})),
        &[
            (
                "my_thing",
                "value",
                &["open=OPEN", "close=CLOSE", "stop=STOP"],
            ),
            ("my_thing.position", "value", &[]),
        ],
    );
    check(
        "cover",
        with(json!({"payload_stop": null, "pl_open": "UP"})),
        &[("my_thing", "value", &["open=UP", "close=CLOSE"])],
    );
    check(
        "valve",
        with(json!({})),
        &[("my_thing", "value", &["open=OPEN", "close=CLOSE"])],
    );
    check(
        "valve",
        with(json!({"reports_position": true})),
        &[("my_thing", "value", &[])],
    );
    check(
        "lock",
        with(json!({"payload_open": "OPEN"})),
        &[(
            "my_thing",
            "value",
            &["lock=LOCK", "unlock=UNLOCK", "open=OPEN"],
        )],
    );
    check(
        "number",
        with(json!({"value_template": "{{ value | round(1) }}"})),
        &[("my_thing", "{{ value | round(1) }}", &[])],
    );
    check(
        "select",
        with(json!({"options": ["a", "b"]})),
        &[("my_thing", "value", &[])],
    );
    check(
        "button",
        with(json!({})),
        &[("my_thing", "", &["press=PRESS"])],
    );
    check(
        "scene",
        with(json!({"payload_on": "GO"})),
        &[("my_thing", "", &["press=GO"])],
    );
    check("text", with(json!({})), &[("my_thing", "value", &[])]);
    check(
        "siren",
        with(json!({"available_tones": ["a"]})),
        &[
            ("my_thing", "value", both),
            ("my_thing.tone", "", &[]),
            ("my_thing.volume_level", "", &[]),
        ],
    );
    check(
        "update",
        with(json!({})),
        &[
            ("my_thing", "value", &[]),
            ("my_thing.install", "", &["press=install"]),
        ],
    );
    check(
        "event",
        with(json!({})),
        &[("event_type", "/event_type", &[])],
    );
    check(
        "device_tracker",
        with(json!({})),
        &[("my_thing", "value", &[])],
    );
    check("hologram", with(json!({})), &[("my_thing", "value", &[])]);
}

#[test]
fn composite_components_have_their_parts() {
    check(
        "light",
        json!({"state_topic": "s", "command_topic": "c", "brightness_state_topic": "b", "brightness_command_topic": "bc",
        "rgb_command_topic": "r", "effect_command_topic": "e", "hs_state_topic": "h", "white_command_topic": "w"}),
        &[
            ("thing", "value", &["on=ON", "off=OFF"]),
            ("thing.brightness", "value", &[]),
            ("thing.rgb", "", &[]),
            ("thing.hs", "value", &[]),
            ("thing.white", "", &[]),
            ("thing.effect", "", &[]),
        ],
    );
    check(
        "light",
        json!({"schema": "template", "state_topic": "s", "command_topic": "c", "state_template": "{{ value.split(',')[0] }}",
        "brightness_template": "{{ value_json.b }}", "command_on_template": "on,{{ brightness | d }}", "command_off_template": "off"}),
        &[
            ("thing", "{{ value.split(',')[0] }}", &["on=on", "off=off"]),
            ("b", "/b", &[]),
        ],
    );
    check(
        "climate",
        json!({"current_temperature_topic": "s", "current_temperature_template": "{{ value_json.local_temperature }}",
        "temperature_state_topic": "s", "temperature_command_topic": "t", "mode_state_topic": "m", "mode_command_topic": "mc",
        "action_topic": "a", "temperature_unit": "C", "power_command_topic": "p"}),
        &[
            ("local_temperature", "/local_temperature", &[]),
            ("thing.temperature", "value", &[]),
            ("thing.mode", "value", &[]),
            ("thing.power", "", &["on=ON", "off=OFF"]),
            ("thing.action", "value", &[]),
        ],
    );
    check(
        "humidifier",
        json!({"command_topic": "c", "target_humidity_command_topic": "h", "current_humidity_topic": "ch"}),
        &[
            ("thing", "", &["on=ON", "off=OFF"]),
            ("thing.humidity", "", &[]),
            ("thing.current_humidity", "value", &[]),
        ],
    );
    check(
        "fan",
        json!({"command_topic": "c", "percentage_command_topic": "p", "oscillation_command_topic": "o", "direction_command_topic": "d"}),
        &[
            ("thing", "", &["on=ON", "off=OFF"]),
            ("thing.percentage", "", &[]),
            (
                "thing.oscillation",
                "",
                &["on=oscillate_on", "off=oscillate_off"],
            ),
            (
                "thing.direction",
                "",
                &["forward=forward", "reverse=reverse"],
            ),
        ],
    );
    check(
        "vacuum",
        json!({"state_topic": "s", "command_topic": "c"}),
        &[
            (
                "thing.command",
                "",
                &[
                    "start=start",
                    "stop=stop",
                    "pause=pause",
                    "return_to_base=return_to_base",
                    "clean_spot=clean_spot",
                    "locate=locate",
                ],
            ),
            ("state", "/state", &[]),
            ("battery_level", "/battery_level", &[]),
            ("fan_speed", "/fan_speed", &[]),
        ],
    );
    check(
        "media_player",
        json!({"state_state_topic": "s", "state_volume_topic": "v", "command_volume_topic": "vc", "command_play_topic": "p", "command_mute_topic": "m"}),
        &[
            ("thing", "value", &[]),
            ("thing.volume", "value", &[]),
            ("thing.mute", "", &["on=mute", "off=unmute"]),
            ("thing.play", "", &["press=Play"]),
        ],
    );
    let alarm = points_of(
        "alarm_control_panel",
        json!({"state_topic": "s", "command_topic": "c"}),
    );
    let words = &alarm[0].write.as_ref().expect("commands").encode.words;
    assert_eq!((words[0].0.as_str(), words.len()), ("disarm", 7));
}

#[test]
fn states_have_their_words() {
    let words = |component: &str, options: serde_json::Value| {
        let point = points_of(component, options).remove(0);
        point.read.and_then(|read| read.words)
    };
    let lock = words(
        "lock",
        json!({"state_topic": "s", "command_topic": "c", "stat_locked": "zu"}),
    )
    .expect("words");
    assert_eq!(lock.find("zu"), Some((Some(1.0), "locked")));
    assert_eq!(lock.find("UNLOCKED"), Some((Some(0.0), "unlocked")));
    assert_eq!(
        lock.find("unlock"),
        Some((Some(0.0), "unlock")),
        "what a command wants"
    );
    let cover = words("cover", json!({"state_topic": "s"})).expect("words");
    assert_eq!(cover.find("opening"), Some((None, "opening")));
    assert_eq!(
        words(
            "switch",
            json!({"state_topic": "s", "payload_on": "on", "payload_off": "off"})
        ),
        None
    );
    let odd = words(
        "switch",
        json!({"state_topic": "s", "payload_on": "auf", "payload_off": "zu"}),
    );
    assert_eq!(odd, Some(Words::switch("auf", "zu")));
    let state = words(
        "switch",
        json!({"state_topic": "s", "state_on": "2", "state_off": "3"}),
    );
    assert_eq!(state, Some(Words::switch("2", "3")));
}

#[test]
fn colours_are_commands_of_several_numbers() {
    let command = |options: serde_json::Value, value: serde_json::Value| {
        let point = points_of("light", options).pop().expect("a point");
        match point.write.expect("a command").encode.form {
            Form::Template(source) => {
                Template::compile(&source).and_then(|template| template.command(&value))
            }
            form => panic!("{form:?}"),
        }
    };
    let plain = json!({"rgb_command_topic": "r"});
    assert_eq!(
        command(plain.clone(), json!([1, 2, 3])),
        Ok("1,2,3".to_owned())
    );
    assert_eq!(
        command(plain, json!({"red": 1, "green": 2, "blue": 3})),
        Ok("1,2,3".to_owned())
    );
    let hex = json!({"rgb_command_topic": "r", "rgb_command_template": "{{ '#%02x%02x%02x' | format(red, green, blue) }}"});
    assert_eq!(command(hex, json!([255, 0, 16])), Ok("#ff0010".to_owned()));
    let template = json!({"schema": "template", "command_topic": "c", "command_on_template": "on,{{ brightness | d }}", "command_off_template": "off"});
    assert_eq!(command(template.clone(), json!("on")), Ok("on,".to_owned()));
    assert_eq!(command(template, json!("off")), Ok("off".to_owned()));
}

#[test]
fn a_device_without_a_block_is_named_by_its_entity() {
    let named = |topic: &str, payload: &str| one(topic, payload).identifiers[0].as_str().to_owned();
    assert_eq!(
        named(
            "homeassistant/sensor/a/config",
            r#"{"state_topic":"s","uniq_id":"u"}"#
        ),
        "ha:u"
    );
    assert_eq!(
        named("homeassistant/sensor/a/config", r#"{"state_topic":"s"}"#),
        "ha:a"
    );
    assert_eq!(
        named("homeassistant/sensor/n/a/config", r#"{"state_topic":"s"}"#),
        "ha:n/a"
    );
}

#[test]
fn names_are_slugs() {
    for (text, wanted) in [
        ("Living Temp", "living_temp"),
        ("Außen-Temperatur (°C)", "aussen_temperatur_c"),
        ("  ", ""),
        ("Температура", ""),
        ("PM2.5", "pm2_5"),
    ] {
        assert_eq!(slug(text), wanted, "{text}");
    }
}

#[test]
fn what_cannot_be_understood_is_a_fault() {
    let check = |topic: &str, payload: &str, words: &str| {
        let fault = learn(topic, payload).expect_err(payload);
        assert!(fault.detail.contains(words), "{fault}");
    };
    let (single, device) = (
        "homeassistant/sensor/a/config",
        "homeassistant/device/a/config",
    );
    check(single, "{", "no JSON");
    check(single, "[1]", "no JSON object");
    check(single, r#"{"dev":3}"#, "`device`");
    check(single, &"[".repeat(100_000), "no JSON");
    check(
        single,
        &" ".repeat(CONFIG_BYTES_MAX + 1).replacen(' ', "{", 1),
        "bytes",
    );
    check(device, "{}", "`device` is missing");
    check(device, r#"{"dev":{"ids":"a"}}"#, "`components` is missing");
    check(
        device,
        r#"{"dev":{"ids":"a"},"cmps":{"x":{"state_topic":"s"}}}"#,
        "`platform` of component `x`",
    );
    check(
        device,
        r#"{"dev":{"ids":"a"},"cmps":{"x":1}}"#,
        "component `x`",
    );
    let many: Map<String, Value> = (0..=COMPONENTS_MAX)
        .map(|place| (place.to_string(), json!({"p": "sensor"})))
        .collect();
    check(
        device,
        &json!({"dev": {"ids": "a"}, "cmps": many}).to_string(),
        "`components`",
    );
    assert_eq!(learn(single, ""), Ok(Vec::new()));
    assert_eq!(learn("homeassistant/tag/a/config", "x"), Ok(Vec::new()));
    let odd = json!({"state_topic": "a/+/b", "command_topic": 3, "name": {}, "availability": [1, {"t": "#"}], "qos": "x", "dev": {"ids": [[], null], "cns": [["mac"], 1]}});
    let said = one(single, &odd.to_string());
    assert!(said.points.is_empty() && said.availability.topics.is_empty());
    for bytes in [&[0xff, 0xfe][..], b"\0", b"null", b"\"\""] {
        assert!(
            HomeAssistant
                .learn(&Message {
                    topic: single,
                    payload: bytes
                })
                .is_err()
        );
    }
}

#[test]
fn a_large_home_is_learnt_quickly() {
    let started = Instant::now();
    for device in 0..1_104 {
        let topic = format!("homeassistant/light/{device}/light/config");
        assert_eq!(
            one(&topic, fixture!("zigbee2mqtt_light.json")).points.len(),
            5
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn names_and_availability_of_a_device_are_bounded() {
    let ids: Vec<String> = (0..20_000).map(|n| format!("i{n}")).collect();
    let topics: Vec<_> = (0..5_000).map(|n| json!({"t": format!("a/{n}")})).collect();
    let config = json!({"stat_t": "s", "avty": topics, "dev": {"ids": ids}});
    let announcement = one("homeassistant/sensor/thing/config", &config.to_string());
    assert_eq!(announcement.identifiers.len(), 64);
    assert_eq!(announcement.identifiers[0].as_str(), "ha:i0");
    assert_eq!(announcement.availability.topics.len(), 64);
}
