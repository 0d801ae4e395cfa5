use serde_json::{Value, json};

use super::{House, fixture, mute, of};

/// Two lamps, each by its own discovery.
fn announce(house: &House) -> (String, String) {
    for name in ["lamp", "torch"] {
        let config = json!({"name": "Light", "uniq_id": format!("{name}_l"), "stat_t": format!("home/{name}/light"), "cmd_t": format!("home/{name}/set"), "dev": {"ids": [name, format!("{name}_serial")], "name": name}});
        let config = config.to_string();
        let topic = format!("homeassistant/switch/{name}/config");
        house.publish(&[(topic.as_str(), config.as_bytes())]);
    }
    (house.wait_id("ha:lamp"), house.wait_id("ha:torch"))
}

/// The power fails at once after an answer.
fn power_cut(house: &mut House) {
    house.edge.kill_9();
    house.edge.restart();
}

#[test]
fn a_name_and_a_room() {
    let mut house = House::new("named");
    let (lamp, torch) = announce(&house);
    let update = |house: &House, what: Value| {
        let url = house.device_url(&lamp, "");
        house.http.patch(&url, &what).json("rename")
    };
    let answer = update(&house, json!({"name": "Reading lamp"}));
    assert_eq!(answer["name"], "Reading lamp", "{answer}");
    power_cut(&mut house);
    assert_eq!(house.announced(&lamp)["name"], "Reading lamp");
    update(&house, json!({"room": "Library"}));
    power_cut(&mut house);
    let known = house.announced(&lamp);
    assert_eq!(
        (&known["name"], &known["room"]),
        (&json!("Reading lamp"), &json!("Library"))
    );
    assert_eq!(house.announced(&torch)["name"], "torch");
    // Its own words again, also after the power has failed.
    update(&house, json!({"name": "", "room": ""}));
    power_cut(&mut house);
    let known = house.announced(&lamp);
    assert_eq!(
        (&known["name"], &known["room"]),
        (&json!("lamp"), &Value::Null)
    );
    house.edge.assert_quiet(&["journal"]);
}

#[test]
fn a_merge_and_a_split() {
    let mut house = House::new("merged");
    let (lamp, torch) = announce(&house);
    house.publish(&[("home/torch/light", b"ON")]);
    house.wait_count(&torch, "light", 1);
    let url = house.device_url(&lamp, "/merge");
    let _ = house.http.post(&url, &json!({"other": torch}));
    power_cut(&mut house);
    let ids = house.ids();
    assert!(ids.contains(&lamp) && !ids.contains(&torch), "{ids:?}");
    // The id that went still answers, and so do its readings.
    assert_eq!(house.announced(&torch)["device"], lamp.as_str());
    let known = house.announced(&lamp);
    assert_eq!(known["aliases"], json!([torch]), "{known}");
    let url = house.device_url(&lamp, "/readings");
    let readings = house.http.json(&url)["readings"].clone();
    let of_torch = |reading: &&Value| reading["metric"] == "light" && reading["text"] == "ON";
    assert!(
        readings
            .as_array()
            .expect("readings")
            .iter()
            .any(|r| of_torch(&r)),
        "{readings}"
    );

    let url = house.device_url(&lamp, "/split");
    let apart = json!({"identifiers": ["ha:torch", "ha:torch_serial"]});
    let answer = house.http.post(&url, &apart);
    let other = answer["device"].as_str().expect("an id").to_owned();
    power_cut(&mut house);
    let ids = house.ids();
    assert!(ids.contains(&lamp) && ids.contains(&other), "{ids:?}");
    assert_ne!(lamp, other);
    assert_eq!(house.announced(&other)["name"], "torch");
    assert_eq!(
        house.announced(&lamp)["identifiers"],
        json!(["ha:lamp", "ha:lamp_serial"])
    );
    // They stay apart when they announce themselves again.
    announce(&house);
    assert_eq!(house.wait_id("ha:torch"), other);
    house.edge.assert_quiet(&["journal"]);
}

/// A command whose answer was `delivered` is in the lake, whatever happens after the answer.
#[test]
fn a_command_that_was_delivered() {
    let mut house = House::cutting_after("commanded", "1h");
    let (lamp, _) = announce(&house);
    let devices = fixture("zigbee2mqtt/devices.json");
    house.publish(&[("zigbee2mqtt/bridge/devices", devices.as_slice())]);
    let plug = house.wait_id("ieee:00158d00018255df");
    for (id, metric, topic) in [
        (&lamp, "light", "home/lamp/set"),
        (&plug, "state", "zigbee2mqtt/my_plug/set"),
    ] {
        house.wait_settable(id, metric);
        let device = house.device(topic, mute);
        let (status, command) = house.set_command(id, metric, &json!(true), "timeout=60s");
        power_cut(&mut house);
        assert_eq!(status, 202, "{command}");
        assert_eq!(command["status"], "delivered", "{command}");
        drop(device);
    }
    assert_eq!(house.edge.terminate(), 0);
    let rows = house.rows();
    let set = |device: &str| -> Vec<Option<String>> {
        let rows = of(&rows, device, "set").into_iter();
        rows.map(|row| row.text.clone()).collect()
    };
    assert_eq!(
        set(&plug),
        [Some(r#"{"state":"ON"}"#.to_owned())],
        "{rows:#?}"
    );
    // Home Assistant's discovery names the topic of commands, and nothing comes back on it.
    assert_eq!(set("home/lamp"), [Some("ON".to_owned())], "{rows:#?}");
    house.edge.assert_quiet(&["journal"]);
}
