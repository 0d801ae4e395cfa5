//! Home Assistant, Zigbee2MQTT and ESPHome: what is announced, told and set.

use std::collections::HashSet;

use super::*;

#[test]
fn home_assistant_announces_single_components_in_abbreviations() {
    let (_, all) = house();
    let lock = find(&all, "homeassistant/lock/back-door/lock/config");
    assert!(lock.retain);
    let config = json(lock);
    assert_eq!(config["~"], "things/back-door");
    assert_eq!(config["stat_t"], "~/state");
    assert_eq!(config["cmd_t"], "~/set/state");
    assert_eq!(config["avty_t"], "~/availability");
    assert_eq!(config["uniq_id"], "back-door_lock");
    assert_eq!(config["dev"]["ids"][0], "back-door");
    let battery = json(find(&all, "homeassistant/sensor/back-door/battery/config"));
    assert_eq!(battery["unit_of_meas"], "%");
    assert_eq!(battery["val_tpl"], "{{ value_json.battery }}");
    assert_eq!(text(find(&all, "things/back-door/availability")), "online");
    assert!(json(find(&all, "things/back-door/state"))["state"].is_string());
    let broken = json(find(&all, "homeassistant/sensor/attic/dew_point/config"));
    assert!(
        broken["val_tpl"]
            .as_str()
            .is_some_and(|text| text.contains("no_such_filter"))
    );
}

#[test]
fn home_assistant_announces_whole_devices() {
    let (_, all) = house();
    let config = json(find(&all, "homeassistant/device/ventilation/config"));
    assert_eq!(config["dev"]["ids"], "ventilation");
    assert!(config["o"]["name"].is_string());
    assert_eq!(config["availability"][0]["payload_available"], "connected");
    assert_eq!(
        text(find(&all, "things/ventilation/availability")),
        "connected"
    );
    let components = config["cmps"].as_object().expect("components");
    let platforms: HashSet<&str> = components
        .values()
        .filter_map(|one| one["platform"].as_str())
        .collect();
    for platform in ["number", "select", "button", "sensor"] {
        assert!(platforms.contains(platform), "{platforms:?}");
    }
    let number = &components["target_flow"];
    assert_eq!(
        number["command_topic"],
        "things/ventilation/set/target_flow"
    );
    assert_eq!(number["unique_id"], "ventilation_target_flow");
    assert!(
        !json(find(&all, "homeassistant/device/heat-pump/config"))
            .to_string()
            .contains("\"~")
    );
}

#[test]
fn home_assistant_devices_do_what_they_are_told() {
    let (mut home, _) = house();
    let answer = answers(&mut home, "things/back-door/set/state", b"UNLOCK");
    assert_eq!(json(&answer[0])["state"], "UNLOCK");
    let answer = answers(&mut home, "things/ventilation/set/target_flow", b"220");
    assert_eq!(json(&answer[0])["target_flow"], 220);
    assert!(answers(&mut home, "things/ventilation/set/target_flow", b"9000").is_empty());
    let again = answers(&mut home, "things/ventilation/set/restart", b"PRESS");
    assert_eq!(text(&again[0]), "lost");
    find(&again, "homeassistant/device/ventilation/config");
    let all = answers(&mut home, "homeassistant/status", b"online");
    find(&all, "homeassistant/cover/garage/cover/config");
    find(&all, "homeassistant/device/pond-pump/config");
}

#[test]
fn zigbee2mqtt_lists_its_devices_with_exposes() {
    let (_, all) = house();
    assert_eq!(
        json(find(&all, "zigbee2mqtt/bridge/state"))["state"],
        "online"
    );
    let list = find(&all, "zigbee2mqtt/bridge/devices");
    assert!(list.retain);
    let list = json(list);
    let named = |name: &str| {
        let devices = list.as_array().expect("a list").iter();
        let found = devices.clone().find(|one| one["friendly_name"] == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert!(named("Coordinator")["definition"].is_null());
    let plug = named("kitchen/plug");
    assert!(
        plug["ieee_address"]
            .as_str()
            .is_some_and(|text| text.len() == 18)
    );
    let exposes = plug["definition"]["exposes"].as_array().expect("exposes");
    assert_eq!(exposes[0]["type"], "switch");
    assert_eq!(exposes[0]["features"][0]["access"], 7);
    let energy = exposes.iter().find(|one| one["name"] == "energy");
    assert_eq!(energy.expect("energy")["unit"], "kWh");
    let state = find(&all, "zigbee2mqtt/kitchen/plug");
    assert!(!state.retain && json(state)["power"].is_number());
    let availability = find(&all, "zigbee2mqtt/kitchen/plug/availability");
    assert!(availability.retain);
    assert_eq!(json(availability)["state"], "online");
    // The second client runs an old version, on a base topic of its own.
    let second = messages(&mut home(Profile::House, 1, 1, 0.0), 300, 1_000);
    let availability = find(&second, "zigbee2mqtt-2/kitchen/plug-2/availability");
    assert_eq!(text(availability), "online");
}

#[test]
fn zigbee2mqtt_devices_do_what_they_are_told_and_one_is_deaf() {
    let (mut home, _) = house();
    let answer = answers(
        &mut home,
        "zigbee2mqtt/kitchen/plug/set",
        br#"{"state":"OFF"}"#,
    );
    assert_eq!(json(&answer[0])["state"], "OFF");
    assert_eq!(json(&answer[0])["power"], 0.0);
    let answer = answers(
        &mut home,
        "zigbee2mqtt/kitchen/plug/get",
        br#"{"state":""}"#,
    );
    assert_eq!(json(&answer[0])["state"], "OFF");
    let answer = answers(&mut home, "zigbee2mqtt/kitchen/plug/set/state", b"TOGGLE");
    assert_eq!(json(&answer[0])["state"], "ON");
    let answer = answers(
        &mut home,
        "zigbee2mqtt/bedroom/blind/set",
        br#"{"position":40}"#,
    );
    assert_eq!(json(&answer[0])["position"], 40);
    assert!(answers(&mut home, "zigbee2mqtt/kitchen/plug/set", b"\xFF\x00").is_empty());
    assert!(
        answers(
            &mut home,
            "zigbee2mqtt/hall/old-lamp/set",
            br#"{"state":"ON"}"#
        )
        .is_empty()
    );
}

#[test]
fn esphome_keeps_a_scalar_for_each_entity() {
    let (mut home, all) = house();
    assert_eq!(text(find(&all, "greenhouse/status")), "online");
    let celsius = find(&all, "greenhouse/sensor/bed_temperature/state");
    assert!(celsius.retain && text(celsius).parse::<f64>().is_ok());
    assert_eq!(text(find(&all, "greenhouse/switch/pump_state/state")), "ON");
    assert_eq!(
        json(find(&all, "esphome/discover/greenhouse"))["name"],
        "greenhouse"
    );
    let config = json(find(
        &all,
        "homeassistant/sensor/greenhouse/bed_temperature/config",
    ));
    assert_eq!(config["stat_t"], "greenhouse/sensor/bed_temperature/state");
    assert_eq!(config["avty_t"], "greenhouse/status");
    assert_eq!(config["dev_cla"], "temperature");
    let answer = answers(&mut home, "greenhouse/switch/pump_state/command", b"OFF");
    let told = find(&answer, "greenhouse/switch/pump_state/state");
    assert_eq!(text(told), "OFF");
    let answer = answers(&mut home, "airbox/select/vent_mode/command", b"boost");
    assert_eq!(
        text(find(&answer, "airbox/select/vent_mode/state")),
        "boost"
    );
}

#[test]
fn while_a_zigbee_bridge_is_down_nobody_speaks_for_its_devices() {
    let mut found = false;
    for seed in 1..9 {
        let all = messages(&mut home(Profile::House, seed, 0, 5.0), 20_000, 1_000);
        let mut is_up = false;
        for message in all
            .iter()
            .filter(|one| one.topic.starts_with("zigbee2mqtt/"))
        {
            if &*message.topic == "zigbee2mqtt/bridge/state" {
                is_up = json(message)["state"] == "online";
                found |= !is_up;
            } else {
                assert!(is_up, "seed {seed}: {}", message.topic);
            }
        }
    }
    assert!(found, "no bridge ever went down");
}
