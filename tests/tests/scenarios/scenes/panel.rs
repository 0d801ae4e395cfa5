use serde_json::{Value, json};
use tarn_tests::{device::Device, wait};

use super::{alarm, put, wait_alarm};
use crate::devices::{House, LIMIT, mute};

const HOME: &str = "scene-panel";
const CONFIG: &str = "homeassistant/device/tarn_home_scene-panel/config";

/// What is retained now.
fn components(panel: &Device) -> Value {
    let heard = panel.heard();
    let config = heard.iter().rev().find(|heard| heard.topic == CONFIG);
    let config = config.map(|heard| serde_json::from_slice::<Value>(&heard.payload));
    config.map_or(Value::Null, |config| config.expect("JSON")["cmps"].clone())
}

/// Home Assistant finds the mode, the scenes and the alarms of the house as entities, and uses them by the topics that they name: an
/// alarm that stands is on before it is acknowledged and after, and what is removed is taken back, over a power cut too.
#[test]
fn home_assistant_has_the_mode_the_scenes_and_the_alarms() {
    let mut house = House::started(HOME, |launch| launch.arg("--cut-age", "1s"));
    house.publish(&[("home/cellar", br#"{"leak": 0}"#)]);
    house.wait_measured("leak");
    put(
        &house,
        "/rules/leak",
        &json!({
            "name": "Water", "when": [{"change": {"device": "home/cellar", "metric": "leak"}}],
            "if": "value('home/cellar/leak') > 0.0",
            "then": [{"raise": {"alarm": "leak", "severity": "critical", "class": "water", "message": "Water in the cellar"}}],
        }),
    );
    let rest = json!({"name": "Good night", "then": [{"mode": {"mode": "night"}}]});
    put(&house, "/scenes/rest", &rest);
    let listen = |house: &House| house.device("#", mute);
    let panel = listen(&house);
    wait::until_true(LIMIT, "Home Assistant should be told of all", || {
        let all = components(&panel);
        all["scene_rest"]["name"] == "Good night" && all["alarm_leak"]["p"] == "binary_sensor"
    });
    let all = components(&panel);
    let options = all["mode"]["options"].as_array().expect("options");
    assert!(options.contains(&json!("holiday")), "{options:?}");
    assert_eq!(all["alarm_leak"]["device_class"], "moisture");
    let topic = |component: &str, key: &str| {
        let topic = all[component][key].as_str();
        topic
            .unwrap_or_else(|| panic!("{component} has no {key}"))
            .to_owned()
    };
    let mode = |wanted: &str| {
        let topic = topic("mode", "state_topic");
        panel.wait_for(&format!("the mode should be {wanted}"), |heard| {
            heard.topic == topic && heard.payload == wanted.as_bytes()
        });
    };
    // As Home Assistant publishes what is chosen.
    panel.publish(&topic("mode", "command_topic"), "holiday");
    mode("holiday");
    panel.publish(&topic("scene_rest", "command_topic"), "ON");
    mode("night");

    house.publish(&[("home/cellar", br#"{"leak": 1}"#)]);
    let summary = topic("alarm_leak", "state_topic");
    let wait_state = |panel: &Device, state: &str| {
        wait::until_true(LIMIT, format!("the leak should be shown {state}"), || {
            let heard = panel.heard();
            let last = heard.iter().rev().find(|heard| heard.topic == summary);
            let said = last.map(|heard| serde_json::from_slice::<Value>(&heard.payload));
            said.is_some_and(|said| said.expect("JSON")["states"]["leak"] == state)
        });
    };
    wait_state(&panel, "raised");
    panel.publish(&topic("acknowledge_leak", "command_topic"), "PRESS");
    wait_alarm(&house, "leak", "acknowledged");
    wait_state(&panel, "acknowledged");
    let attributes = topic("alarm_leak", "json_attributes_topic");
    panel.wait_for("the alarm itself should be there", |heard| {
        heard.topic == attributes
            && String::from_utf8_lossy(&heard.payload).contains("Water in the cellar")
    });

    // What is removed is taken back, and does not come again after a power cut.
    let gone = house.http.delete(&house.url("/scenes/rest"));
    assert_eq!(gone.status, 204, "{}", gone.text());
    wait::until_true(LIMIT, "the scene should be taken back", || {
        components(&panel)["scene_rest"] == json!({"p": "scene"})
    });
    drop(panel);
    house.edge.kill_9();
    house.edge.restart();
    let panel = listen(&house);
    wait_state(&panel, "acknowledged");
    wait::until_true(LIMIT, "the alarm should be there again", || {
        components(&panel)["alarm_leak"]["p"] == "binary_sensor"
    });
    assert_eq!(alarm(&house, "leak")["state"], "acknowledged");
    house.edge.assert_quiet(&[]);
}
