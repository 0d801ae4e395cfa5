use serde_json::{Value, json};

use super::conventions::{Case, check, is};
use super::fixture;

#[test]
fn zigbee2mqtt() {
    check(Case {
        house: "zigbee",
        identifier: "ieee:00158d00018255df",
        says: vec![
            (
                "zigbee2mqtt/bridge/state",
                br#"{"state":"online"}"#.to_vec(),
            ),
            (
                "zigbee2mqtt/bridge/devices",
                fixture("zigbee2mqtt/devices.json"),
            ),
            (
                "zigbee2mqtt/my_plug",
                br#"{"state":"ON","power":12.5,"energy":1.25,"voltage":229,"linkquality":120}"#
                    .to_vec(),
            ),
        ],
        rows: vec![
            ("state", Some(1.0), Some("ON"), ""),
            ("power", Some(12.5), None, "W"),
            ("energy", Some(1.25), None, "kWh"),
            ("linkquality", Some(120.0), None, "lqi"),
            ("state", Some(0.0), Some("OFF"), ""),
        ],
        set: ("state", json!(false)),
        refuses: json!(7),
        command_topic: "zigbee2mqtt/my_plug/set",
        is_command: |payload| is(payload, r#"{"state":"OFF"}"#),
        answer: ("zigbee2mqtt/my_plug", br#"{"state":"OFF"}"#.to_vec()),
    });
}

#[test]
fn tasmota() {
    check(Case {
        house: "tasmota",
        identifier: "mac:2462ab49a3bc",
        says: vec![
            (
                "tasmota/discovery/2462AB49A3BC/config",
                fixture("tasmota/plug_config.json"),
            ),
            (
                "tasmota/discovery/2462AB49A3BC/sensors",
                fixture("tasmota/plug_sensors.json"),
            ),
            ("tele/tasmota_49A3BC/LWT", b"Online".to_vec()),
            (
                "tele/tasmota_49A3BC/SENSOR",
                fixture("tasmota/plug_SENSOR.json"),
            ),
            ("stat/tasmota_49A3BC/POWER", b"ON".to_vec()),
        ],
        rows: vec![
            ("ENERGY.Total", Some(514.153), None, "kWh"),
            ("ENERGY.Total.cumulative", Some(514.153), None, "kWh"),
            ("ENERGY.Power", Some(56.0), None, "W"),
            ("ENERGY.Voltage", Some(234.0), None, "V"),
            ("POWER", Some(1.0), Some("ON"), ""),
            ("POWER", Some(0.0), Some("OFF"), ""),
        ],
        set: ("POWER", json!(false)),
        refuses: json!("warm"),
        command_topic: "cmnd/tasmota_49A3BC/POWER",
        is_command: |payload| is(payload, "OFF"),
        answer: ("stat/tasmota_49A3BC/POWER", b"OFF".to_vec()),
    });
}

#[test]
fn shelly_gen1() {
    let recorded = fixture("shelly_gen1/1pm.txt");
    let recorded = String::from_utf8(recorded).expect("text");
    let says = recorded
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(topic, _)| !topic.ends_with("/command"))
        .map(|(topic, payload)| {
            let topic: &'static str = topic.to_owned().leak();
            (topic, payload.as_bytes().to_vec())
        });
    check(Case {
        house: "shelly1",
        identifier: "mac:98f4aba4cf12",
        says: says.collect(),
        rows: vec![
            ("relay.0", Some(1.0), Some("on"), ""),
            ("relay.0.power", Some(41.37), None, "W"),
            // 7 380 watt-minutes.
            ("relay.0.energy", Some(123.0), None, "Wh"),
            ("relay.0.energy.cumulative", Some(123.0), None, "Wh"),
            ("temperature", Some(48.62), None, "°C"),
            ("relay.0", Some(0.0), Some("off"), ""),
        ],
        set: ("relay.0", json!(false)),
        refuses: json!(0.5),
        command_topic: "shellies/shelly1pm-A4CF12/relay/0/command",
        is_command: |payload| is(payload, "off"),
        answer: ("shellies/shelly1pm-A4CF12/relay/0", b"off".to_vec()),
    });
}

#[test]
fn shelly_gen2() {
    let is_call = |payload: &[u8]| {
        let mut call: Value = serde_json::from_slice(payload).expect("JSON");
        assert!(call["id"].take().is_u64(), "{call}");
        let wanted = json!({"id": null, "src": "tarn", "method": "Switch.Set", "params": {"id": 0, "on": false}});
        assert_eq!(call, wanted);
    };
    let answer = br#"{"src":"shellyplus1pm-a8032abe54dc","dst":"shellyplus1pm-a8032abe54dc/events","method":"NotifyStatus","params":{"switch:0":{"id":0,"output":false}}}"#;
    check(Case {
        house: "shelly2",
        identifier: "mac:a8032abe54dc",
        says: vec![
            ("shellyplus1pm-a8032abe54dc/online", b"true".to_vec()),
            (
                "shellyplus1pm-a8032abe54dc/events/rpc",
                fixture("shelly_gen2/plus1pm_full.json"),
            ),
            (
                "shellyplus1pm-a8032abe54dc/events/rpc",
                fixture("shelly_gen2/plus1pm_partial.json"),
            ),
        ],
        rows: vec![
            ("switch:0.output", Some(1.0), Some("true"), ""),
            ("switch:0.apower", Some(47.1), None, "W"),
            ("switch:0.apower", Some(48.4), None, "W"),
            ("switch:0.aenergy.total", Some(5123.125), None, "Wh"),
            (
                "switch:0.aenergy.total.cumulative",
                Some(5123.125),
                None,
                "Wh",
            ),
            ("switch:0.temperature.tC", Some(41.3), None, "°C"),
            ("switch:0.output", Some(0.0), Some("false"), ""),
        ],
        set: ("switch:0.output", json!(false)),
        refuses: json!([1]),
        command_topic: "shellyplus1pm-a8032abe54dc/rpc",
        is_command: is_call,
        answer: ("shellyplus1pm-a8032abe54dc/events/rpc", answer.to_vec()),
    });
}

#[test]
fn esphome() {
    let recorded = String::from_utf8(fixture("esphome/node.txt")).expect("text");
    let mut says = vec![(
        "esphome/discover/living-node",
        fixture("esphome/discover.json"),
    )];
    says.extend(
        recorded
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(topic, payload)| {
                let topic: &'static str = format!("living-node/{topic}").leak();
                (topic, payload.as_bytes().to_vec())
            }),
    );
    check(Case {
        house: "esphome",
        identifier: "mac:a0b765123456",
        says,
        rows: vec![
            ("living_temp", Some(21.4), None, ""),
            ("relay", Some(1.0), Some("ON"), ""),
            ("setpoint", Some(4.5), None, ""),
            ("front", Some(1.0), Some("LOCKED"), ""),
            ("relay", Some(0.0), Some("OFF"), ""),
        ],
        set: ("relay", json!("off")),
        refuses: json!({"state": "off"}),
        command_topic: "living-node/switch/relay/command",
        is_command: |payload| is(payload, "OFF"),
        answer: ("living-node/switch/relay/state", b"OFF".to_vec()),
    });
}
