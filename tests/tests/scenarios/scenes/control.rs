use std::fs;

use serde_json::json;
use tarn_tests::{
    device::Device,
    http::Http,
    process::{Launch, Service},
    tools, wait,
};

use super::{obey, put_at, wait_last};
use crate::devices::{LIMIT, client_id, mute};

fn lamp(edge: &Service, name: &str) -> Device {
    let topic = format!("{name}/set");
    let device = Device::connect(edge.mqtt_port(), &client_id(), &[topic.as_str()], obey);
    let config = json!({"name": "Light", "uniq_id": name, "stat_t": name, "cmd_t": topic, "dev": {"ids": [name], "name": name, "sa": "hall"}});
    device.publish_retained(
        &format!("homeassistant/light/{name}/config"),
        config.to_string(),
    );
    device.publish(name, "ON");
    device.wait_acked();
    device
}

/// One word puts the house to rest: from the page at home, from a wall panel by MQTT, and from the cloud; what is begun just before
/// a power cut is done after it, once. With the line cut it works at home all the same, and a box that falls silent while the house is
/// armed is an alarm in the cloud, which the box takes back.
#[test]
fn the_house_is_put_to_rest_by_one_word() {
    let folder = tools::folder("scene-control");
    let folder = folder.path();
    let store = format!("file://{}/store", folder.display());
    fs::create_dir_all(folder.join("store")).expect("make a folder");
    let http = Http::new();
    let cloud = || {
        Launch::cloud(folder)
            .store(&store, &[])
            .arg("--silent-after", "1s")
    };
    let mut sky = cloud().serve();
    let meeting = format!("mqtt://127.0.0.1:{}", sky.mqtt_port());
    let mut home = Launch::edge(folder, "lake")
        .store(&store, &[])
        .arg("--cloud", &meeting)
        .serve();
    let (left, right) = (lamp(&home, "left"), lamp(&home, "right"));
    let url = |side: &Service, path: &str| side.url(&format!("/v1/homes/lake{path}"));
    let scene = json!({
        "name": "Good night",
        "then": [{"group": {"component": "light", "values": {"on": false}}}, {"mode": {"mode": "night"}}],
    });
    wait::until_true(LIMIT, "the lamps should be known", || {
        let answer = http.try_put(&url(&home, "/scenes/rest"), &scene);
        answer.expect("an answer").status == 200
    });
    let mode = |side: &Service, wanted: &str| {
        wait::until_true(LIMIT, format!("the mode should be {wanted}"), || {
            http.json(&url(side, "/mode"))["mode"] == wanted
        });
    };
    let wake = |home: &Service| {
        let set = json!({"component": "light", "room": "hall", "values": {"on": true}});
        let answer = http
            .try_post(&url(home, "/group"), &set)
            .expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
        put_at(&http, home, "lake", "/mode", &json!({"mode": "home"}));
        for (lamp, topic) in [(&left, "left/set"), (&right, "right/set")] {
            wait_last(lamp, topic, "ON");
        }
    };
    let rest = |side: &Service| {
        for (lamp, topic) in [(&left, "left/set"), (&right, "right/set")] {
            wait_last(lamp, topic, "OFF");
        }
        mode(side, "night");
    };
    wake(&home);
    // At home.
    let started = http.try_post(&url(&home, "/scenes/rest/start"), &json!(null));
    assert_eq!(started.expect("an answer").status, 202);
    rest(&home);
    wake(&home);
    // From a panel on the wall.
    let panel = Device::connect(home.mqtt_port(), &client_id(), &["tarn/lake/mode"], mute);
    panel.publish("tarn/lake/scene/rest/start", "ON");
    rest(&home);
    panel.wait_for("the panel should see the mode", |heard| {
        heard.payload == b"night"
    });
    wake(&home);
    // From the cloud.
    wait::until_true(LIMIT, "the cloud should know the scene", || {
        let started = http.try_post(&url(&sky, "/scenes/rest/start"), &json!(null));
        started.expect("an answer").status == 202
    });
    rest(&home);
    mode(&sky, "night");

    // A box that falls silent while the house is armed.
    home.kill_9();
    wait::until_true(LIMIT, "the cloud should warn of the silent box", || {
        let list = http.json(&url(&sky, "/alarms"));
        let alarms = list["alarms"].as_array().expect("a list").clone();
        alarms
            .iter()
            .any(|a| a["state"] == "raised" && a["class"] == "intrusion")
    });
    home.restart();
    wait::until_true(LIMIT, "the box should take it back", || {
        let list = http.json(&url(&sky, "/alarms"));
        let alarms = list["alarms"].as_array().expect("a list").clone();
        alarms.iter().all(|a| a["state"] == "cleared")
    });

    // The line is cut.
    sky.kill_9();
    let (left, right) = (lamp(&home, "left"), lamp(&home, "right"));
    let set = json!({"component": "light", "values": {"on": true}});
    let answer = http.try_post(&url(&home, "/group"), &set);
    assert_eq!(answer.expect("an answer").status, 202);
    wait_last(&left, "left/set", "ON");
    let started = http.try_post(&url(&home, "/scenes/rest/start"), &json!(null));
    assert_eq!(started.expect("an answer").status, 202);
    // What was answered is done, whatever comes.
    home.kill_9();
    home.restart();
    let (left, right) = (
        Device::connect(home.mqtt_port(), &client_id(), &["left/set"], obey),
        (
            right,
            Device::connect(home.mqtt_port(), &client_id(), &["right/set"], obey),
        )
            .1,
    );
    wait::until_true(LIMIT, "the scene should be done", || {
        let fired = http.json(&url(&home, "/firings?rule=scene%2Frest"));
        fired["firings"]
            .as_array()
            .is_some_and(|all| all.len() == 4)
    });
    drop((left, right));
}
