use serde_json::{Value, json};

use super::House;

/// One thing that can be set: its metric and value, what comes on which topic, and what the device says then.
type Setting = (
    &'static str,
    Value,
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
);

/// A device of every kind that can be set, as one Home Assistant configuration.
fn configuration() -> Vec<u8> {
    json!({
        "dev": {"ids": ["everything"], "name": "Everything"},
        "o": {"name": "test"},
        "cmps": {
            "switch": {"p": "switch", "name": "Plug", "unique_id": "plug", "stat_t": "c/plug", "cmd_t": "c/plug/set", "pl_on": "1", "pl_off": "0"},
            "light": {"p": "light", "name": "Lamp", "unique_id": "lamp", "stat_t": "c/lamp", "cmd_t": "c/lamp/set",
                "bri_stat_t": "c/lamp/bri", "bri_cmd_t": "c/lamp/bri/set", "bri_scl": 100,
                "clr_temp_stat_t": "c/lamp/ct", "clr_temp_cmd_t": "c/lamp/ct/set",
                "rgb_stat_t": "c/lamp/rgb", "rgb_cmd_t": "c/lamp/rgb/set"},
            "cover": {"p": "cover", "name": "Blind", "unique_id": "blind", "stat_t": "c/blind", "cmd_t": "c/blind/set",
                "pos_t": "c/blind/pos", "set_pos_t": "c/blind/pos/set"},
            "lock": {"p": "lock", "name": "Door", "unique_id": "door", "stat_t": "c/door", "cmd_t": "c/door/set"},
            "climate": {"p": "climate", "name": "Heat", "unique_id": "heat", "mode_stat_t": "c/heat/mode", "mode_cmd_t": "c/heat/mode/set",
                "temp_stat_t": "c/heat/temp", "temp_cmd_t": "c/heat/temp/set", "modes": ["off", "heat"]},
            "fan": {"p": "fan", "name": "Fan", "unique_id": "fan", "stat_t": "c/fan", "cmd_t": "c/fan/set",
                "pct_stat_t": "c/fan/pct", "pct_cmd_t": "c/fan/pct/set"},
            "number": {"p": "number", "name": "Level", "unique_id": "level", "stat_t": "c/level", "cmd_t": "c/level/set", "min": 0, "max": 9},
            "select": {"p": "select", "name": "Mode", "unique_id": "mode", "stat_t": "c/mode", "cmd_t": "c/mode/set", "options": ["eco", "boost"]},
            "button": {"p": "button", "name": "Restart", "unique_id": "restart", "cmd_t": "c/restart/set", "pl_prs": "GO"},
            "siren": {"p": "siren", "name": "Siren", "unique_id": "siren", "stat_t": "c/siren", "cmd_t": "c/siren/set",
                "cmd_tpl": "{{ value }}"},
            "media": {"p": "media_player", "name": "Radio", "unique_id": "radio", "state_state_topic": "c/radio",
                "state_volume_topic": "c/radio/vol", "command_volume_topic": "c/radio/vol/set",
                "command_play_topic": "c/radio/play/set", "command_play_payload": "Play"},
        },
    })
    .to_string()
    .into_bytes()
}

fn settings() -> Vec<Setting> {
    vec![
        (
            "plug",
            json!(true),
            "c/plug/set",
            "1",
            Some(("c/plug", "1")),
        ),
        (
            "lamp",
            json!("on"),
            "c/lamp/set",
            "ON",
            Some(("c/lamp", "ON")),
        ),
        (
            "lamp.brightness",
            json!(40),
            "c/lamp/bri/set",
            "40",
            Some(("c/lamp/bri", "40")),
        ),
        (
            "lamp.color_temp",
            json!(300),
            "c/lamp/ct/set",
            "300",
            Some(("c/lamp/ct", "300")),
        ),
        (
            "lamp.rgb",
            json!([255, 0, 10]),
            "c/lamp/rgb/set",
            "255,0,10",
            Some(("c/lamp/rgb", "255,0,10")),
        ),
        (
            "blind",
            json!("close"),
            "c/blind/set",
            "CLOSE",
            Some(("c/blind", "closed")),
        ),
        (
            "blind.position",
            json!(30),
            "c/blind/pos/set",
            "30",
            Some(("c/blind/pos", "30")),
        ),
        (
            "door",
            json!("lock"),
            "c/door/set",
            "LOCK",
            Some(("c/door", "LOCKED")),
        ),
        (
            "heat.mode",
            json!("heat"),
            "c/heat/mode/set",
            "heat",
            Some(("c/heat/mode", "heat")),
        ),
        (
            "heat.temperature",
            json!(21.5),
            "c/heat/temp/set",
            "21.5",
            Some(("c/heat/temp", "21.5")),
        ),
        ("fan", json!(true), "c/fan/set", "ON", Some(("c/fan", "ON"))),
        (
            "fan.percentage",
            json!(60),
            "c/fan/pct/set",
            "60",
            Some(("c/fan/pct", "60")),
        ),
        (
            "level",
            json!(7),
            "c/level/set",
            "7",
            Some(("c/level", "7")),
        ),
        (
            "mode",
            json!("boost"),
            "c/mode/set",
            "boost",
            Some(("c/mode", "boost")),
        ),
        ("restart", json!("press"), "c/restart/set", "GO", None),
        (
            "siren",
            json!(true),
            "c/siren/set",
            "ON",
            Some(("c/siren", "ON")),
        ),
        (
            "radio.volume",
            json!(0.5),
            "c/radio/vol/set",
            "0.5",
            Some(("c/radio/vol", "0.5")),
        ),
        (
            "radio.play",
            json!("press"),
            "c/radio/play/set",
            "Play",
            None,
        ),
    ]
}

/// Every kind of thing hears its own words on its own topic, and is believed when it says that it has done it.
#[test]
fn every_kind_of_thing_is_set_in_its_own_words() {
    let mut house = House::new("components");
    let configuration = configuration();
    house.publish(&[("homeassistant/device/everything/config", &configuration)]);
    let id = house.wait_id("ha:everything");
    let settings = settings();
    let answers = settings.clone();
    let device = house.device("c/#", move |topic, _| {
        let answer = answers.iter().find(|setting| setting.2 == topic);
        let state = answer.and_then(|setting| setting.4);
        state
            .map(|(topic, payload)| (topic.to_owned(), payload.as_bytes().to_vec()))
            .into_iter()
            .collect()
    });
    for (metric, value, topic, payload, answer) in settings {
        house.wait_settable(&id, metric);
        let (_, command) = house.set_command(&id, metric, &value, "timeout=10s&wait=10s");
        let outcome = if answer.is_some() {
            "confirmed"
        } else {
            "delivered"
        };
        assert_eq!(command["status"], outcome, "{metric}: {command}");
        let what = format!("the command of {metric} should come");
        let heard = device.wait_for(&what, |heard| heard.topic == topic);
        assert_eq!(String::from_utf8_lossy(&heard.payload), payload, "{metric}");
    }
    assert_eq!(house.edge.terminate(), 0);
    house.edge.assert_quiet(&[]);
}
