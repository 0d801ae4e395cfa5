use serde_json::{Value, json};

use super::{House, fixture, of};

/// Metrics and values of what REST answers of a device's readings.
fn readings(house: &House, id: &str) -> Vec<(String, Value)> {
    let url = house.device_url(id, "/readings?limit=1000");
    let page = house.http.json(&url);
    assert_eq!(page["next_cursor"], Value::Null, "{page}");
    let readings = page["readings"].as_array().expect("readings").iter();
    readings
        .map(|one| {
            let metric = one["metric"].as_str().expect("a metric");
            (metric.to_owned(), one["value"].clone())
        })
        .collect()
}

fn has(readings: &[(String, Value)], metric: &str, value: f64) -> bool {
    readings.contains(&(metric.to_owned(), json!(value)))
}

const DISCOVER: (&str, &[u8]) = (
    "esphome/discover/livingroom",
    br#"{"ip":"192.168.1.61","name":"livingroom","port":6053,"version":"2024.6.1","mac":"aabbccddee0f","platform":"ESP8266","board":"nodemcuv2","network":"wifi"}"#,
);
const STATE: &str = "livingroom/sensor/living_temp/state";

/// ESPHome's own discovery and Home Assistant's, in whichever order they come, speak of one node.
#[test]
fn a_node_that_announces_itself_twice() {
    let config = fixture("home_assistant/esphome_sensor.json");
    let config = (
        "homeassistant/sensor/livingroom/living_temp/config",
        config.as_slice(),
    );
    for (name, said) in [
        ("own-first", [DISCOVER, config]),
        ("own-last", [config, DISCOVER]),
    ] {
        let mut house = House::new(name);
        house.publish(&said);
        house.publish(&[("livingroom/status", b"online"), (STATE, b"21.4")]);
        let id = house.wait_id("mac:aabbccddee0f");
        house.wait_count(&id, "living_temp", 1);
        assert_eq!(house.ids(), [id.as_str()], "{name}");
        let known = house.announced(&id);
        assert_eq!(
            known["conventions"],
            json!(["esphome", "home_assistant"]),
            "{known}"
        );
        assert_eq!(
            (&known["name"], &known["online"]),
            (&json!("livingroom"), &json!(true))
        );
        assert_eq!(known["faults"], json!([]), "{known}");
        assert_eq!(house.edge.terminate(), 0);
        let rows = house.rows();
        let temperature = of(&rows, &id, "living_temp");
        assert_eq!(temperature.len(), 1, "{rows:#?}");
        // The unit is what only Home Assistant was told.
        let said = (temperature[0].value, temperature[0].unit.as_deref());
        assert_eq!(said, (Some(21.4), Some("°C")));
        house.edge.assert_quiet(&[]);
    }
}

/// Zigbee2MQTT's list and its discovery for Home Assistant speak of one plug, and it is set by either's words.
#[test]
fn a_plug_that_zigbee2mqtt_announces_twice() {
    let list = fixture("zigbee2mqtt/devices.json");
    let list = ("zigbee2mqtt/bridge/devices", list.as_slice());
    let config = br#"{"name":null,"device":{"identifiers":["zigbee2mqtt_0x00158d00018255df"],"name":"my_plug","via_device":"zigbee2mqtt_bridge_0x00124b0018ed1111"},"command_topic":"zigbee2mqtt/my_plug/set","payload_off":"OFF","payload_on":"ON","state_topic":"zigbee2mqtt/my_plug","unique_id":"0x00158d00018255df_switch_zigbee2mqtt","value_template":"{{ value_json.state }}"}"#;
    let config = (
        "homeassistant/switch/0x00158d00018255df/switch/config",
        config.as_slice(),
    );
    for (name, said) in [
        ("list-first", [list, config]),
        ("list-last", [config, list]),
    ] {
        let mut house = House::new(name);
        house.publish(&said);
        let id = house.wait_id("ieee:00158d00018255df");
        house.wait_settable(&id, "state");
        let known = house.announced(&id);
        assert_eq!(
            known["conventions"],
            json!(["zigbee2mqtt", "home_assistant"]),
            "{known}"
        );
        let of_plug = |id: &String| {
            let device = house.announced(id);
            let identifiers = device["identifiers"].to_string();
            identifiers.contains("18255df")
        };
        assert_eq!(house.ids().iter().filter(|id| of_plug(id)).count(), 1);
        let settable = known["features"].as_array().expect("features").iter();
        let names: Vec<&Value> = settable
            .filter(|feature| feature["component"] == "switch")
            .map(|feature| &feature["metric"])
            .collect();
        assert_eq!(names, ["power_outage_memory", "state"], "{known}");

        let answer =
            |_: &str, payload: &[u8]| vec![("zigbee2mqtt/my_plug".to_owned(), payload.to_vec())];
        let device = house.device("zigbee2mqtt/my_plug/set", answer);
        let (_, command) = house.set_command(&id, "state", &json!("on"), "wait=10s");
        assert_eq!(command["status"], "confirmed", "{command}");
        let sent = device.heard();
        assert_eq!(
            String::from_utf8_lossy(&sent[0].payload),
            r#"{"state":"ON"}"#
        );
        drop(device);
        assert_eq!(house.edge.terminate(), 0);
        let rows = house.rows();
        assert_eq!(super::values(&rows, &id, "state"), [1.0], "{rows:#?}");
        house.edge.assert_quiet(&[]);
    }
}

/// A node that is known by its topics first, and whose address then ties it to what Home Assistant was told: its
/// readings from before are answered under the id that stays, and under the one that went.
#[test]
fn readings_from_before_devices_became_one() {
    let mut house = House::new("became-one");
    let config = r#"{"name":"Outside","uniq_id":"outside_t","stat_t":"weather/outside","unit_of_meas":"°C","dev":{"ids":["outside"],"cns":[["mac","AA:BB:CC:DD:EE:0F"]]}}"#;
    house.publish(&[
        ("homeassistant/sensor/outside/config", config.as_bytes()),
        ("weather/outside", b"3.5"),
        ("livingroom/status", b"online"),
        (STATE, b"21.4"),
    ]);
    let outside = house.wait_id("mac:aabbccddee0f");
    house.wait_count(&outside, "outside", 1);
    let rows = house.wait_rows("the node's reading should be stored", |rows| {
        rows.iter().any(|row| row.value == Some(21.4))
    });
    let node = rows.iter().find(|row| row.value == Some(21.4));
    let node = node.expect("it was waited for").device.clone();
    assert_ne!(node, outside);
    assert_eq!(house.ids().len(), 2);

    house.publish(&[DISCOVER, (STATE, b"21.6"), ("weather/outside", b"3.6")]);
    tarn_tests::wait::until_true(super::LIMIT, "they should have become one", || {
        house.ids().len() == 1
    });
    let id = house.ids().remove(0);
    house.wait_rows("later readings should be stored", |rows| {
        [21.6, 3.6].iter().all(|wanted| {
            let later = |row: &super::Row| row.value == Some(*wanted) && row.device == id;
            rows.iter().any(later)
        })
    });
    for id in [&id, &node, &outside] {
        let readings = readings(&house, id);
        for (metric, value) in [
            ("outside", 3.5),
            ("outside", 3.6),
            ("living_temp", 21.4),
            ("living_temp", 21.6),
        ] {
            assert!(
                has(&readings, metric, value),
                "{id} {metric} {value}: {readings:?}"
            );
        }
    }
    assert_eq!(house.edge.terminate(), 0);
    house.edge.assert_quiet(&[]);
}

/// What a user merges by hand: a topic of nobody becomes one with a device.
#[test]
fn a_topic_that_a_user_merges() {
    let house = House::new("by-hand");
    let config = fixture("home_assistant/single.json");
    house.publish(&[
        ("homeassistant/sensor/bedroom_t/config", config.as_slice()),
        ("diy/bed/weight", b"81.5"),
    ]);
    let id = house.wait_id("ha:bedroom");
    house.wait_count("diy/bed", "weight", 1);
    let merge = house.device_url(&id, "/merge");
    let _ = house.http.post(&merge, &json!({"other": "diy/bed"}));
    assert!(has(&readings(&house, &id), "weight", 81.5));
    assert!(!house.ids().contains(&"diy/bed".to_owned()));
    house.publish(&[("diy/bed/weight", b"82")]);
    house.wait_rows("the later reading should be stored", |rows| {
        rows.iter().any(|row| row.value == Some(82.0))
    });
    let all = readings(&house, &id);
    assert!(
        has(&all, "weight", 81.5) && has(&all, "weight", 82.0),
        "{all:?}"
    );
    house.edge.assert_quiet(&[]);
}
