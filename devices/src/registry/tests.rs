use serde_json::json;

use super::*;
use crate::{DeviceId, announcement::Layout, binding::Binding};

const NOW: i64 = 1_800_000_000_000;

/// A registry that has heard these messages.
fn heard(messages: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::new();
    for (topic, payload) in messages {
        hear(&mut registry, topic, payload);
    }
    registry
}

fn hear(registry: &mut Registry, topic: &str, payload: &str) -> Heard {
    let message = Message {
        topic,
        payload: payload.as_bytes(),
    };
    registry.hear(&message, 1, NOW)
}

fn binding(registry: &Registry, topic: &str) -> Binding {
    let schema = registry.schema();
    let binding = schema.binding(topic).expect("a device speaks there");
    (**binding).clone()
}

fn only(registry: &Registry) -> &Device {
    assert_eq!(registry.devices().len(), 1, "{:#?}", registry.devices);
    registry.devices().next().expect("one")
}

fn faults(registry: &Registry, device: &str) -> Vec<(FaultKind, u64)> {
    registry
        .faults(device)
        .map(|record| (record.fault.kind, record.count))
        .collect()
}

const PLUG: &str = r#"[{"ieee_address":"0x00158d0001a2b3c4","type":"Router","supported":true,"friendly_name":"desk/plug",
    "definition":{"model":"TS011F","vendor":"TuYa","description":"Plug","exposes":[
        {"type":"switch","features":[{"type":"binary","name":"state","property":"state","access":7,"value_on":"ON","value_off":"OFF","value_toggle":"TOGGLE"}]},
        {"type":"numeric","name":"power","property":"power","access":1,"unit":"W"},
        {"type":"numeric","name":"energy","property":"energy","access":1,"unit":"kWh"}]}}]"#;

const PLUG_SENSOR: &str = r#"{"name":"Power","unique_id":"0x00158d0001a2b3c4_power_zigbee2mqtt","state_topic":"zigbee2mqtt/desk/plug",
    "value_template":"{{ value_json.power }}","unit_of_measurement":"W","device_class":"power",
    "device":{"identifiers":["zigbee2mqtt_0x00158d0001a2b3c4"],"name":"desk/plug","suggested_area":"Study"}}"#;

fn sensor(unique_id: &str, state_topic: &str, device: &str) -> String {
    json!({
        "name": "Temperature",
        "uniq_id": unique_id,
        "stat_t": state_topic,
        "dev_cla": "temperature",
        "unit_of_meas": "°C",
        "dev": {"ids": [device], "name": device},
    })
    .to_string()
}

#[test]
fn one_device_has_many_voices() {
    let registry = heard(&[
        ("zigbee2mqtt/bridge/devices", PLUG),
        (
            "homeassistant/sensor/0x00158d0001a2b3c4/power/config",
            PLUG_SENSOR,
        ),
    ]);
    let plug = registry
        .devices()
        .find(|d| d.features.contains_key("power"))
        .expect("plug");
    let named: Vec<&str> = plug.identifiers.iter().map(Identifier::as_str).collect();
    assert_eq!(named, ["ieee:00158d0001a2b3c4"]);
    assert_eq!(plug.conventions.len(), 2);
    assert_eq!(plug.about.room.as_deref(), Some("Study"));
    assert_eq!(plug.about.vendor.as_deref(), Some("TuYa"));
    let power = &plug.features["power"];
    assert_eq!(
        (power.unit.as_deref(), power.class.as_deref()),
        (Some("W"), Some("power"))
    );
    assert!(plug.features["state"].write.is_some());
    let binding = binding(&registry, "zigbee2mqtt/desk/plug");
    assert_eq!(binding.device, plug.id);
    assert!(binding.keys["energy"].counter);
}

#[test]
fn the_order_of_voices_does_not_matter_to_the_id() {
    let forth = heard(&[
        ("zigbee2mqtt/bridge/devices", PLUG),
        (
            "homeassistant/sensor/0x00158d0001a2b3c4/power/config",
            PLUG_SENSOR,
        ),
    ]);
    let back = heard(&[
        (
            "homeassistant/sensor/0x00158d0001a2b3c4/power/config",
            PLUG_SENSOR,
        ),
        ("zigbee2mqtt/bridge/devices", PLUG),
    ]);
    let ids = |registry: &Registry| registry.devices().map(|d| d.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&forth), ids(&back));
}

#[test]
fn an_identifier_that_comes_later_joins_two_devices_and_keeps_the_older_id() {
    let discover = r#"{"name":"desk","mac":"aabbccddeeff","friendly_name":"Desk"}"#;
    let mac = r#"{"name":"Signal","uniq_id":"s1","stat_t":"other/signal","dev":{"cns":[["mac","AA:BB:CC:DD:EE:FF"]]}}"#;
    let mut registry = heard(&[("desk/sensor/temperature/state", "21.5")]);
    let old = only(&registry).id.clone();
    hear(&mut registry, "homeassistant/sensor/s1/config", mac);
    assert_eq!(registry.devices().len(), 2);
    let young = registry
        .devices()
        .find(|d| d.id != old)
        .expect("two")
        .id
        .clone();
    hear(&mut registry, "esphome/discover/desk", discover);
    let device = only(&registry);
    assert_eq!(device.id, old);
    assert_eq!(device.aliases, std::slice::from_ref(&young));
    assert_eq!(
        registry.device(&young).map(|d| d.id.clone()),
        Some(old.clone())
    );
    assert_eq!(*binding(&registry, "other/signal").device, *old);
}

#[test]
fn two_devices_that_claim_one_unique_id_are_told_apart() {
    let registry = heard(&[
        (
            "homeassistant/sensor/a/config",
            &sensor("u1", "a/state", "alpha"),
        ),
        (
            "homeassistant/sensor/b/config",
            &sensor("u1", "b/state", "beta"),
        ),
    ]);
    let beta = registry
        .devices()
        .find(|d| d.about.name.as_deref() == Some("beta"))
        .expect("beta");
    assert_eq!(faults(&registry, &beta.id), [(FaultKind::DuplicateId, 1)]);
    assert!(registry.schema().binding("a/state").is_some());
    assert!(
        registry.schema().binding("b/state").is_none(),
        "it stays a plain topic"
    );
}

#[test]
fn a_device_that_changes_its_id_is_a_fault_and_its_new_id_counts() {
    let topic = "homeassistant/sensor/a/config";
    let registry = heard(&[
        (topic, &sensor("u1", "a/state", "alpha")),
        (topic, &sensor("u1", "a/state", "beta")),
    ]);
    let device = only(&registry);
    assert_eq!(device.about.name.as_deref(), Some("beta"));
    assert_eq!(
        faults(&registry, &device.id),
        [(FaultKind::IdentityChanged, 1)]
    );
}

#[test]
fn units_that_nobody_knows_are_kept_and_told() {
    let config = sensor("u1", "a/state", "alpha").replace("°C", "furlong");
    let registry = heard(&[("homeassistant/sensor/a/config", &config)]);
    let device = only(&registry);
    let feature = device.features.values().next().expect("one");
    assert_eq!(feature.unit.as_deref(), Some("furlong"));
    assert_eq!(faults(&registry, &device.id), [(FaultKind::Unit, 1)]);
}

#[test]
fn an_empty_payload_takes_a_device_back() {
    let mut registry = heard(&[(
        "homeassistant/sensor/a/config",
        &sensor("u1", "a/state", "alpha"),
    )]);
    assert_eq!(
        hear(&mut registry, "homeassistant/sensor/a/config", ""),
        Heard::Changed
    );
    assert_eq!(registry.devices().len(), 0);
    assert!(registry.schema().binding("a/state").is_none());
}

#[test]
fn what_cannot_be_understood_changes_nothing() {
    let mut registry = heard(&[(
        "homeassistant/sensor/a/config",
        &sensor("u1", "a/state", "alpha"),
    )]);
    assert_eq!(
        hear(&mut registry, "homeassistant/sensor/a/config", "{nonsense"),
        Heard::Rejected
    );
    let device = only(&registry).id.clone();
    assert_eq!(faults(&registry, &device), [(FaultKind::Announcement, 1)]);
    assert_eq!(
        faults(&registry, "homeassistant/sensor/a"),
        [(FaultKind::Announcement, 1)]
    );
}

#[test]
fn who_is_there_is_known() {
    let mut registry = heard(&[("zigbee2mqtt/bridge/devices", PLUG)]);
    let id = registry
        .devices()
        .find(|d| d.features.contains_key("power"))
        .expect("plug")
        .id
        .clone();
    let online = |registry: &Registry| registry.is_online(registry.device(&id).expect("known"));
    assert_eq!(online(&registry), None);
    let topic = "zigbee2mqtt/desk/plug/availability";
    assert_eq!(
        hear(&mut registry, topic, r#"{"state":"online"}"#),
        Heard::Presence
    );
    assert_eq!(online(&registry), Some(true));
    assert_eq!(hear(&mut registry, topic, "offline"), Heard::Presence);
    assert_eq!(online(&registry), Some(false));
    assert_eq!(hear(&mut registry, topic, "offline"), Heard::Nothing);
}

#[test]
fn merged_by_hand_and_split_again() {
    let mut registry = heard(&[
        (
            "homeassistant/sensor/a/config",
            &sensor("u1", "a/state", "alpha"),
        ),
        (
            "homeassistant/sensor/b/config",
            &sensor("u2", "b/state", "beta"),
        ),
    ]);
    let id = |registry: &Registry, name: &str| {
        let found = registry
            .devices()
            .find(|d| d.about.name.as_deref() == Some(name));
        found.map(|d| d.id.to_string()).expect("named")
    };
    let (alpha, beta) = (id(&registry, "alpha"), id(&registry, "beta"));
    registry.merge(&alpha, &beta).expect("merges");
    assert_eq!(*only(&registry).id, *alpha);
    assert_eq!(*binding(&registry, "b/state").device, *alpha);
    assert_eq!(registry.schema().current(&beta), alpha);
    // It announces itself again and stays merged.
    hear(
        &mut registry,
        "homeassistant/sensor/b/config",
        &sensor("u2", "b/state2", "beta"),
    );
    assert_eq!(*binding(&registry, "b/state2").device, *alpha);
    let apart = registry
        .split(&alpha, std::slice::from_ref(&beta))
        .expect("splits");
    assert_eq!(*apart, *beta);
    assert_eq!(*binding(&registry, "b/state2").device, *beta);
    assert_eq!(registry.schema().current(&beta), beta);
    assert_eq!(
        registry.merge(&alpha, &alpha),
        Err(EditError::Same(alpha.clone()))
    );
    assert!(registry.split(&alpha, &["ha:nothing".into()]).is_err());
    assert!(registry.merge("nobody", &alpha).is_err());
}

#[test]
fn an_identifier_that_is_split_off_takes_its_merged_id_with_it() {
    let mut registry = heard(&[
        (
            "homeassistant/sensor/a/config",
            &sensor("u1", "a/state", "alpha"),
        ),
        (
            "homeassistant/sensor/b/config",
            &sensor("u2", "b/state", "beta"),
        ),
    ]);
    let ids: Vec<String> = registry.devices().map(|d| d.id.to_string()).collect();
    let beta = &*binding(&registry, "b/state").device;
    let alpha = ids.iter().find(|id| **id != *beta).expect("two");
    let beta = beta.to_owned();
    let identifier = registry.device(&beta).expect("known").identifiers[0].to_string();
    registry.merge(alpha, &beta).expect("merges");
    let apart = registry.split(alpha, &[identifier]).expect("splits");
    assert_eq!(*apart, *beta);
    assert_eq!(registry.schema().current(&beta), beta);
    let device = registry.device(&beta).expect("its own again");
    assert_eq!(device.about.name.as_deref(), Some("beta"));
    assert!(registry.device(alpha).expect("known").aliases.is_empty());
}

#[test]
fn a_merged_id_takes_all_that_it_had_when_it_is_split_off() {
    let two = sensor("u2", "b/state", "beta").replace(r#"["beta"]"#, r#"["beta","gamma"]"#);
    let mut registry = heard(&[
        (
            "homeassistant/sensor/a/config",
            &sensor("u1", "a/state", "alpha"),
        ),
        ("homeassistant/sensor/b/config", &two),
    ]);
    let id = |name: &str| {
        DeviceId::of(&Identifier::home_assistant(name))
            .as_str()
            .to_owned()
    };
    let (alpha, beta) = (id("alpha"), id("beta"));
    registry.merge(&alpha, &beta).expect("merges");
    assert_eq!(
        *registry
            .split(&alpha, std::slice::from_ref(&beta))
            .expect("splits"),
        *beta
    );
    // What says only its other identifier is still its.
    hear(
        &mut registry,
        "homeassistant/sensor/c/config",
        &sensor("u3", "c/state", "gamma"),
    );
    assert_eq!(*binding(&registry, "c/state").device, *beta);
}

#[test]
fn a_device_that_is_only_topics_can_be_merged_into_one() {
    let mut registry = heard(&[(
        "homeassistant/sensor/a/config",
        &sensor("u1", "a/state", "alpha"),
    )]);
    let alpha = only(&registry).id.to_string();
    registry.merge(&alpha, "home/kitchen").expect("merges");
    assert_eq!(registry.schema().current("home/kitchen"), alpha);
    let apart = registry
        .split(&alpha, &["home/kitchen".into()])
        .expect("splits");
    assert_eq!(&*apart, "home/kitchen");
    assert_eq!(registry.schema().current("home/kitchen"), "home/kitchen");
}

#[test]
fn names_that_a_user_gave_stay() {
    let config = sensor("u1", "a/state", "alpha");
    let mut registry = heard(&[("homeassistant/sensor/a/config", &config)]);
    let id = only(&registry).id.to_string();
    registry
        .rename(&id, Some("Lamp"), Some("Attic"))
        .expect("renames");
    hear(
        &mut registry,
        "homeassistant/sensor/a/config",
        &config.replace("temperature", "humidity"),
    );
    let about = &only(&registry).about;
    assert_eq!(
        (about.name.as_deref(), about.room.as_deref()),
        (Some("Lamp"), Some("Attic"))
    );
    registry.rename(&id, Some(""), None).expect("renames");
    assert_eq!(only(&registry).about.name.as_deref(), Some("alpha"));
}

#[test]
fn a_restart_keeps_everything() {
    let mut registry = heard(&[
        ("zigbee2mqtt/bridge/devices", PLUG),
        ("zigbee2mqtt/desk/plug/availability", "online"),
        (
            "homeassistant/sensor/a/config",
            &sensor("u1", "a/state", "alpha"),
        ),
        ("desk/sensor/temperature/state", "21.5"),
        (
            "shellyplus1pm-a8032abe54dc/events/rpc",
            r#"{"src":"shellyplus1pm-a8032abe54dc","dst":"x","method":"NotifyStatus","params":{"ts":1.0,"sys":{"uptime":1}}}"#,
        ),
        (
            "shellyplus1pm-a8032abe54dc/events/rpc",
            r#"{"src":"shellyplus1pm-a8032abe54dc","dst":"x","method":"NotifyStatus","params":{"ts":2.0,"switch:0":{"id":0,"output":true}}}"#,
        ),
    ]);
    let alpha = registry
        .devices()
        .find(|d| d.about.name.as_deref() == Some("alpha"))
        .expect("alpha")
        .id
        .to_string();
    registry
        .rename(&alpha, Some("Lamp"), None)
        .expect("renames");
    let again = Registry::restore(registry.save());
    let shown = |registry: &Registry| {
        let show = |d: &Device| {
            (
                d.id.clone(),
                d.identifiers.clone(),
                d.about.clone(),
                d.features.clone(),
                d.topics.clone(),
                registry.is_online(d),
            )
        };
        registry.devices().map(show).collect::<Vec<_>>()
    };
    assert_eq!(shown(&again), shown(&registry));
    let shelly = again
        .devices()
        .find(|d| d.features.contains_key("switch:0.output"))
        .expect("found later");
    assert!(shelly.features["switch:0.output"].write.is_some());
}

#[test]
fn what_an_announcement_describes_counts_on_every_topic() {
    let config = r#"{"dn":"Meter","mac":"AABBCCDDEEFF","t":"meter","ft":"%prefix%/%topic%/","tp":["cmnd","stat","tele"],"onln":"Online","ofln":"Offline","rl":[1,0],"ver":1}"#;
    let sensors = r#"{"sn":{"Time":"2026-11-25T10:00:00","AM2301":{"Temperature":70.1},"TempUnit":"F"},"ver":1}"#;
    let registry = heard(&[
        ("tasmota/discovery/AABBCCDDEEFF/config", config),
        ("tasmota/discovery/AABBCCDDEEFF/sensors", sensors),
    ]);
    let binding = binding(&registry, "tele/meter/SENSOR");
    let meaning = &binding.metrics["AM2301.Temperature"];
    assert_eq!(meaning.unit.as_deref(), Some("°F"));
    assert!(matches!(binding.layout, Layout::Flat { .. }));
}

#[test]
fn what_anybody_may_make_up_is_not_remembered() {
    let long = format!("homeassistant/sensor/{}/config", "x".repeat(60_000));
    let mut registry = heard(&[("homeassistant/sensor/a/config", "{nonsense")]);
    assert_eq!(hear(&mut registry, &long, "{nonsense"), Heard::Rejected);
    assert_eq!(registry.roles.len(), 0);
    assert_eq!(registry.faults(plain_device(&long)).count(), 0);
    assert_eq!(registry.fault_totals()[&FaultKind::Announcement], 2);
}

#[test]
fn plain_topics_are_nobodys() {
    let mut registry = heard(&[
        ("home/kitchen/temperature", "21.5"),
        ("home/kitchen", r#"{"a":1}"#),
    ]);
    assert_eq!(registry.devices().len(), 0);
    assert_eq!(
        hear(&mut registry, "home/kitchen/temperature", "22"),
        Heard::Nothing
    );
}

#[test]
fn a_topic_that_is_announced_after_it_was_plain_is_read_anew() {
    let mut registry = heard(&[("a/state", "21.5")]);
    assert!(registry.schema().binding("a/state").is_none());
    let before = registry.schema().generation;
    hear(
        &mut registry,
        "homeassistant/sensor/a/config",
        &sensor("u1", "a/state", "alpha"),
    );
    assert!(registry.schema().binding("a/state").is_some());
    assert!(registry.schema().generation > before);
}

#[test]
fn keys_without_end_are_not_all_explored() {
    let long = "k".repeat(10_000);
    let payload = format!(r#"{{"{long}":[1,2,3],"output":true}}"#);
    let metrics = explore::metrics(&compile::flat(), payload.as_bytes());
    assert_eq!(metrics, ["output"]);
}

#[test]
fn a_unique_id_goes_to_whoever_claimed_it_next() {
    let (first, second) = (
        "homeassistant/sensor/first/config",
        "homeassistant/sensor/second/config",
    );
    let (a, b) = (sensor("u", "s/a", "a"), sensor("u", "s/b", "b"));
    let is_read = |registry: &Registry, topic: &str| {
        let restored = Registry::restore(registry.save());
        let known = registry.schema().binding(topic).is_some();
        assert_eq!(restored.schema().binding(topic).is_some(), known, "{topic}");
        known
    };
    let mut registry = heard(&[(first, &a), (second, &b)]);
    assert!(is_read(&registry, "s/a") && !is_read(&registry, "s/b"));
    hear(&mut registry, first, &sensor("v", "s/a", "a"));
    assert!(is_read(&registry, "s/a") && is_read(&registry, "s/b"));
    // It was heard first, and has it again.
    hear(&mut registry, first, &a);
    assert!(is_read(&registry, "s/a") && !is_read(&registry, "s/b"));
    hear(&mut registry, first, "");
    assert!(!is_read(&registry, "s/a") && is_read(&registry, "s/b"));
}
