use serde_json::Value;

use tarn_tests::device::Device;
use tarn_tests::mosquitto_server::MosquittoServer;
use tarn_tests::{tools, wait};

use super::{House, LIMIT, mute};

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("JSON")
}

/// Home Assistant sees the box as a device with sensors, also after it has started anew, and sees it go.
#[test]
fn the_box_shows_itself_to_home_assistant() {
    let mut house = House::new("shown");
    let is_config =
        |topic: &str| topic.starts_with("homeassistant/device/tarn_") && topic.ends_with("/config");
    let app = house.device("homeassistant/#", mute);
    let config = app.wait_for("the box's configuration", |heard| is_config(&heard.topic));
    assert!(config.retained);
    let shown = json(&config.payload);
    let id = config.topic.split('/').nth(2).expect("an id");
    assert_eq!(shown["dev"]["ids"], serde_json::json!([id]), "{shown}");
    assert_eq!(shown["o"]["name"], "tarn", "{shown}");
    let components = shown["cmps"].as_object().expect("components");
    assert!(components.len() >= 4, "{shown}");
    let state_topic = shown["state_topic"].as_str().expect("a topic").to_owned();
    let edge = id.strip_prefix("tarn_").expect("it was looked for");
    assert_eq!(state_topic, format!("tarn/shown/box/{edge}/state"));
    let availability = shown["availability_topic"]
        .as_str()
        .expect("a topic")
        .to_owned();

    // Each component reads a key that the state has, by Home Assistant's own rules.
    let states = Device::connect(
        house.edge.mqtt_port(),
        "states",
        &[&state_topic, &availability],
        mute,
    );
    let state = states.wait_for("the box's state", |heard| heard.topic == state_topic);
    let state = json(&state.payload);
    for (name, component) in components {
        assert!(
            ["sensor", "binary_sensor"]
                .iter()
                .any(|p| component["p"] == *p),
            "{component}"
        );
        assert!(component["unique_id"].is_string(), "{component}");
        let template = component["value_template"].as_str().expect("a template");
        let key = template
            .strip_prefix("{{ value_json.")
            .and_then(|rest| rest.strip_suffix(" }}"));
        let key = key.unwrap_or_else(|| panic!("{name}: {template}"));
        assert!(state.get(key).is_some(), "{name}: {state}");
    }
    for key in [
        "backlog_entries",
        "backlog_bytes",
        "last_shipped",
        "disk_used",
        "devices",
    ] {
        assert!(components.contains_key(key), "{shown}");
    }
    let online = states.wait_for("whether it is there", |heard| heard.topic == availability);
    assert_eq!(online.payload, b"online");

    // Home Assistant has started: it is told again, and the state follows.
    let before = app.heard().len();
    let states_before = states.heard().len();
    house.publish(&[
        ("home/hall/seen", b"1"),
        ("homeassistant/status", b"online"),
    ]);
    let again = app.wait_for("the configuration once more", |heard| {
        is_config(&heard.topic) && !heard.retained
    });
    assert_eq!(json(&again.payload), shown);
    assert!(app.heard().len() >= before + 2);
    states.wait_for("the state once more", |heard| {
        heard.topic == state_topic && !heard.retained
    });
    assert!(states.heard().len() > states_before);

    // Once something is shipped, the state says when.
    house.wait_count("home/hall", "seen", 1);
    house.publish(&[("homeassistant/status", b"online")]);
    let shipped = states.wait_for("when it shipped last", |heard| {
        heard.topic == state_topic && json(&heard.payload)["last_shipped"].is_string()
    });
    let shipped = json(&shipped.payload);
    assert!(
        shipped["disk_used"]
            .as_f64()
            .is_some_and(|bytes| bytes > 0.0),
        "{shipped}"
    );
    assert!(shipped["devices"].as_u64().is_some(), "{shipped}");

    // It does not take itself for one of its devices.
    assert_eq!(house.ids(), ["home/hall", "homeassistant"]);

    assert_eq!(house.edge.terminate(), 0);
    states.wait_for("the farewell", |heard| {
        heard.topic == availability && heard.payload == b"offline"
    });
    house.edge.assert_quiet(&[]);
}

/// Where Home Assistant is at another broker, the bridge takes it there, the farewell included.
#[test]
fn the_box_shows_itself_over_a_bridge() {
    let folder = tools::folder("shown-elsewhere");
    let server = MosquittoServer::start(folder.path());
    let there = Device::connect(server.port(), "there", &["homeassistant/#", "tarn/#"], mute);
    let mut house = House::started("bridged", |launch| {
        launch
            .arg("--bridge", format!("mqtt://127.0.0.1:{}", server.port()))
            .arg("--bridge-in", "homeassistant/status")
            .arg("--bridge-out", "homeassistant/#")
            .arg("--bridge-out", "tarn/#")
    });
    let configs = |heard: &[tarn_tests::device::Heard]| {
        let is_config = |topic: &str| topic.starts_with("homeassistant/device/tarn_");
        heard.iter().filter(|one| is_config(&one.topic)).count()
    };
    wait::until_true(LIMIT, "the configuration should come over", || {
        configs(&there.heard()) > 0
    });
    let before = configs(&there.heard());
    there.publish("homeassistant/status", "online");
    wait::until_true(LIMIT, "the configuration should come again", || {
        configs(&there.heard()) > before
    });
    assert_eq!(house.edge.terminate(), 0);
    there.wait_for("the farewell", |heard| {
        heard.topic.ends_with("/availability") && heard.payload == b"offline"
    });
}
