use serde_json::{Value, json};
use tarn_tests::wait;

use super::{House, LIMIT, fixture, mute, values};

const PLUG: &str = "ieee:00158d00018255df";

/// Zigbee2MQTT's list, with the plug under this name.
fn list(name: &str) -> Vec<u8> {
    let text = String::from_utf8(fixture("zigbee2mqtt/devices.json")).expect("text");
    text.replace("\"my_plug\"", &format!("{name:?}"))
        .into_bytes()
}

/// Whoever renames a device at its bridge goes on with the same device.
#[test]
fn a_new_name_at_the_bridge_is_the_same_device() {
    let mut house = House::new("renamed");
    let topic = "zigbee2mqtt/bridge/devices";
    house.publish(&[
        (topic, &list("my_plug")),
        ("zigbee2mqtt/my_plug", br#"{"power": 12}"#),
    ]);
    let id = house.wait_id(PLUG);
    house.wait_count(&id, "power", 1);
    house.publish(&[
        (topic, &list("study/desk")),
        ("zigbee2mqtt/study/desk", br#"{"power": 13}"#),
    ]);
    wait::until_true(LIMIT, "the new name should be shown", || {
        house.announced(&id)["name"] == "study/desk"
    });
    assert_eq!(house.wait_id(PLUG), id);
    let device = house.device("zigbee2mqtt/study/desk/set", mute);
    let (_, command) = house.set_command(&id, "state", &json!(true), "timeout=60s");
    assert_eq!(command["status"], "delivered", "{command}");
    device.wait_for("the command should come on the new topic", |_| true);
    assert_eq!(house.edge.terminate(), 0);
    let rows = house.rows();
    assert_eq!(values(&rows, &id, "power"), [12.0, 13.0], "{rows:#?}");
    house.edge.assert_quiet(&[]);
}

/// An entity goes with its configuration, the device with its last entity, and readings stay.
#[test]
fn what_is_taken_back_is_gone_and_its_readings_stay() {
    let mut house = House::new("taken-back");
    let configs = [("heat", "°C"), ("weight", "kg")].map(|(name, unit)| {
        let config = json!({"name": name, "uniq_id": name, "stat_t": format!("home/scale/{name}"), "unit_of_meas": unit, "dev": {"ids": ["scale"]}});
        (format!("homeassistant/sensor/{name}/config"), config.to_string())
    });
    let publisher = house.publisher();
    for (topic, config) in &configs {
        publisher.publish_retained(topic, config.as_bytes());
    }
    publisher.publish("home/scale/heat", "20");
    publisher.publish("home/scale/weight", "70");
    publisher.wait_acked();
    let id = house.wait_id("ha:scale");
    house.wait_count(&id, "weight", 1);
    let features = || {
        let known = house.announced(&id);
        let features = known["features"].as_array().cloned().unwrap_or_default();
        features
            .iter()
            .map(|f| f["metric"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(features(), ["heat", "weight"]);
    publisher.publish_retained(&configs[0].0, "");
    wait::until_true(LIMIT, "the entity should be gone", || {
        features() == ["weight"]
    });
    publisher.publish_retained(&configs[1].0, "");
    wait::until_true(LIMIT, "the device should be gone", || {
        house.announced(&id).is_null()
    });
    publisher.publish("home/scale/weight", "71");
    publisher.wait_acked();
    assert_eq!(house.edge.terminate(), 0);
    let rows = house.rows();
    assert_eq!(values(&rows, &id, "heat"), [20.0], "{rows:#?}");
    assert_eq!(values(&rows, &id, "weight"), [70.0], "{rows:#?}");
    assert_eq!(values(&rows, "home/scale", "weight"), [71.0], "{rows:#?}");
    house.edge.assert_quiet(&[]);
}

/// What was announced once, and never retained, is known after a power cut and after a restart, and can be set.
#[test]
fn devices_are_known_from_then_on() {
    let mut house = House::cutting_after("known", "1h");
    house.publish(&[
        ("zigbee2mqtt/bridge/devices", &list("my_plug")),
        ("shellies/shelly1pm-A4CF12/relay/0", b"on"),
        ("living-node/switch/relay/state", b"ON"),
    ]);
    house.edge.kill_9();
    for round in 0..3 {
        house.edge.restart();
        for (identifier, metric, topic, payload) in [
            (
                PLUG,
                "state",
                "zigbee2mqtt/my_plug/set",
                r#"{"state":"OFF"}"#,
            ),
            (
                "shelly:shelly1pm-A4CF12",
                "relay.0",
                "shellies/shelly1pm-A4CF12/relay/0/command",
                "off",
            ),
            (
                "esphome:living-node",
                "relay",
                "living-node/switch/relay/command",
                "OFF",
            ),
        ] {
            let id = house.wait_id(identifier);
            house.wait_settable(&id, metric);
            let device = house.device(topic, mute);
            let (_, command) = house.set_command(&id, metric, &json!(false), "timeout=60s");
            assert_eq!(command["status"], "delivered", "round {round}: {command}");
            let heard = device.wait_for("the command should come", |_| true);
            assert_eq!(String::from_utf8_lossy(&heard.payload), payload);
        }
        if round < 2 {
            // The first of these takes all that was announced out of the journal.
            assert_eq!(house.edge.terminate(), 0);
        }
    }
    house.edge.assert_quiet(&["journal"]);
}

/// Who does not wait asks later; several values of one request are several commands.
#[test]
fn commands_are_followed() {
    let house = House::new("followed");
    house.publish(&[("zigbee2mqtt/bridge/devices", &list("my_plug"))]);
    let id = house.wait_id(PLUG);
    house.wait_settable(&id, "state");
    let device = house.device("zigbee2mqtt/my_plug/set", mute);
    let url = house.device_url(&id, "/desired?timeout=60s");
    let wanted = json!({"state": true, "power_outage_memory": false});
    let answer = house.http.patch(&url, &wanted);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let commands = answer.json(&url)["commands"].clone();
    let said: Vec<(&Value, &Value)> = commands
        .as_array()
        .expect("commands")
        .iter()
        .map(|command| (&command["metric"], &command["status"]))
        .collect();
    let (memory, state) = (json!("power_outage_memory"), json!("state"));
    let delivered = json!("delivered");
    assert_eq!(said, [(&memory, &delivered), (&state, &delivered)]);
    wait::until_true(LIMIT, "both commands should come", || {
        device.heard().len() == 2
    });
    let sent: Vec<Value> = device
        .heard()
        .iter()
        .map(|heard| serde_json::from_slice(&heard.payload).expect("JSON"))
        .collect();
    assert_eq!(
        sent,
        [
            json!({"power_outage_memory": false}),
            json!({"state": "ON"})
        ]
    );

    // What it says of something else, or that it is still off, confirms nothing.
    house.publish(&[(
        "zigbee2mqtt/my_plug",
        br#"{"state": "OFF", "power_outage_memory": false}"#,
    )]);
    let follow = |number: usize, wait: &str| {
        let command = commands[number]["command"].as_str().expect("an id");
        house
            .http
            .json(&house.url(&format!("/commands/{command}?wait={wait}")))
    };
    assert_eq!(follow(0, "20s")["status"], "confirmed");
    assert_eq!(follow(1, "200ms")["status"], "delivered");
    house.publish(&[("zigbee2mqtt/my_plug", br#"{"state": "ON"}"#)]);
    let command = follow(1, "20s");
    assert_eq!(command["status"], "confirmed", "{command}");
    assert!(command["done"].is_string(), "{command}");

    // One that is wrong keeps all of them from being sent.
    let answer = house
        .http
        .patch(&url, &json!({"state": false, "no such thing": 1}));
    assert_eq!(answer.status, 400, "{}", answer.text());
    house.publish(&[("zigbee2mqtt/my_plug/set", b"the end")]);
    device.wait_for("the end", |heard| heard.payload == b"the end");
    assert_eq!(device.heard().len(), 3);
    house.edge.assert_quiet(&[]);
}

/// A device that was merged goes on to send its history under its old name.
#[test]
fn history_that_comes_again_after_a_merge_is_shown_once() {
    let house = House::new("merged-history");
    let config = fixture("home_assistant/single.json");
    let history = br#"[{"ts": 1736603810, "metric": "weight", "value": 81.5}]"#;
    house.publish(&[
        ("homeassistant/sensor/bedroom_t/config", config.as_slice()),
        ("tarn/backlog/diy/bed", history.as_slice()),
    ]);
    let id = house.wait_id("ha:bedroom");
    house.wait_count("diy/bed", "weight", 1);
    let merge = house.device_url(&id, "/merge");
    let _ = house.http.post(&merge, &json!({"other": "diy/bed"}));
    house.publish(&[
        ("tarn/backlog/diy/bed", history.as_slice()),
        ("diy/bed/weight", b"82"),
    ]);
    let rows = house.wait_rows("the later reading should be stored", |rows| {
        rows.iter().any(|row| row.value == Some(82.0))
    });
    let old = rows.iter().filter(|row| row.value == Some(81.5)).count();
    assert_eq!(old, 1, "{rows:#?}");
    assert_eq!(values(&rows, "diy/bed", "weight"), [81.5, 82.0]);
    house.edge.assert_quiet(&[]);
}
