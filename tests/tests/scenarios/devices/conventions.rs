use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{House, fixture, of};

/// A device of a convention: what it says, what that becomes, and how it is set.
pub(super) struct Case {
    pub(super) house: &'static str,
    /// What names the device.
    pub(super) identifier: &'static str,
    /// Topics and payloads, in this order.
    pub(super) says: Vec<(&'static str, Vec<u8>)>,
    /// Metrics with value, text and unit that must be in the lake.
    pub(super) rows: Vec<(
        &'static str,
        Option<f64>,
        Option<&'static str>,
        &'static str,
    )>,
    /// A metric and what it is set to.
    pub(super) set: (&'static str, Value),
    /// Something that this metric does not take.
    pub(super) refuses: Value,
    /// Where the command goes.
    pub(super) command_topic: &'static str,
    pub(super) is_command: fn(&[u8]),
    /// What the device says then.
    pub(super) answer: (&'static str, Vec<u8>),
}

/// A discovered device is read, set, and told apart from one that does not listen or does not answer.
pub(super) fn check(case: Case) {
    let mut house = House::new(case.house);
    let said: Vec<(&str, &[u8])> = case.says.iter().map(|(t, p)| (*t, p.as_slice())).collect();
    house.publish(&said);
    let id = house.wait_id(case.identifier);
    let (metric, value) = &case.set;
    house.wait_settable(&id, metric);

    // Nobody listens.
    let query = "timeout=10s&wait=10s";
    let (status, command) = house.set_command(&id, metric, value, query);
    assert_eq!(status, 200, "{command}");
    assert_eq!(command["status"], "refused", "{command}");
    let reason = format!("nobody listens on {}", case.command_topic);
    assert_eq!(command["reason"], reason, "{command}");

    // The device listens, and does as it is told.
    let obeys = Arc::new(AtomicBool::new(true));
    let answer = {
        let (obeys, (topic, payload)) = (obeys.clone(), case.answer.clone());
        move |_: &str, _: &[u8]| match obeys.load(Ordering::Acquire) {
            true => vec![(topic.to_owned(), payload.clone())],
            false => Vec::new(),
        }
    };
    let device = house.device(case.command_topic, answer);
    let (status, command) = house.set_command(&id, metric, value, query);
    let heard = device.wait_for("the command should come", |_| true);
    assert_eq!(heard.topic, case.command_topic);
    (case.is_command)(&heard.payload);
    assert_eq!(command["status"], "confirmed", "{command}");
    assert_eq!(command["topic"], case.command_topic, "{command}");
    assert_eq!(status, 200, "{command}");

    // What the device cannot take never goes to it.
    let (_, command) = house.set_command(&id, metric, &case.refuses, query);
    assert_eq!(command["status"], "refused", "{command}");
    let reason = command["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with(metric), "{command}");
    assert_eq!(command["topic"], Value::Null, "{command}");
    assert_eq!(house.set(&id, "no such thing", value, query).status, 400);

    // It hears, and does nothing.
    obeys.store(false, Ordering::Release);
    let (status, command) = house.set_command(&id, metric, value, "timeout=1s&wait=20s");
    assert_eq!(command["status"], "timed_out", "{command}");
    assert_eq!(status, 200, "{command}");
    assert_eq!(device.heard().len(), 2);

    // All of it can be looked up.
    let commands = house.http.json(&house.device_url(&id, "/commands"));
    let commands = commands["commands"].as_array().expect("commands").clone();
    let states: Vec<&str> = commands
        .iter()
        .filter_map(|c| c["status"].as_str())
        .collect();
    assert_eq!(states, ["timed_out", "refused", "confirmed", "refused"]);
    let name = commands[2]["command"].as_str().expect("an id");
    let one = house.http.json(&house.url(&format!("/commands/{name}")));
    assert_eq!(one["status"], "confirmed", "{one}");

    assert_eq!(house.edge.terminate(), 0);
    let rows = house.rows();
    for (metric, value, text, unit) in &case.rows {
        let unit = Some(*unit).filter(|unit| !unit.is_empty());
        let found = of(&rows, &id, metric).into_iter().any(|row| {
            let near = match (row.value, *value) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            near && row.text.as_deref() == *text && row.unit.as_deref() == unit
        });
        let own: Vec<_> = rows.iter().filter(|row| row.device == id).collect();
        assert!(found, "{metric} {value:?} {text:?} {unit:?}: {own:#?}");
    }
    house.edge.assert_quiet(&[]);
}

pub(super) fn is(payload: &[u8], wanted: &str) {
    assert_eq!(String::from_utf8_lossy(payload), wanted);
}

#[test]
fn home_assistant_single_form() {
    let lamp = r#"{"name":"Target","uniq_id":"bedroom_n","~":"home/bedroom","cmd_t":"~/target/set","cmd_tpl":"{\"target\": {{ value | round(1) }}}","stat_t":"~/state","val_tpl":"{{ value_json.target }}","min":5,"max":30,"step":0.5,"unit_of_meas":"°C","dev":{"ids":["bedroom"]}}"#;
    check(Case {
        house: "ha-single",
        identifier: "ha:bedroom",
        says: vec![
            (
                "homeassistant/sensor/bedroom_t/config",
                fixture("home_assistant/single.json"),
            ),
            (
                "homeassistant/number/bedroom/target/config",
                lamp.as_bytes().to_vec(),
            ),
            (
                "home/bedroom/state",
                br#"{"temperature": 20.9, "target": 19}"#.to_vec(),
            ),
        ],
        rows: vec![
            ("temperature", Some(20.9), None, "°C"),
            ("target", Some(19.0), None, "°C"),
            ("target", Some(21.5), None, "°C"),
            ("device.name", None, Some("Bedroom"), ""),
        ],
        set: ("target", json!(21.5)),
        refuses: json!(30.5),
        command_topic: "home/bedroom/target/set",
        is_command: |payload| is(payload, r#"{"target": 21.5}"#),
        answer: ("home/bedroom/state", br#"{"target": 21.5}"#.to_vec()),
    });
}

#[test]
fn home_assistant_device_form() {
    check(Case {
        house: "ha-device",
        identifier: "ha:ea33",
        says: vec![
            (
                "homeassistant/device/ea33/config",
                fixture("home_assistant/device.json"),
            ),
            ("k/lwt", b"online".to_vec()),
            (
                "k/state",
                br#"{"temperature": 23.25, "plug": "off"}"#.to_vec(),
            ),
        ],
        rows: vec![
            ("temperature", Some(23.25), None, "°C"),
            // The template makes capitals of it; what came is there, too.
            ("plug", Some(0.0), Some("OFF"), ""),
            ("plug.raw", Some(0.0), Some("off"), ""),
            ("plug", Some(1.0), Some("ON"), ""),
        ],
        set: ("plug", json!(true)),
        refuses: json!("perhaps"),
        command_topic: "k/set",
        is_command: |payload| is(payload, "ON"),
        answer: ("k/state", br#"{"plug": "on"}"#.to_vec()),
    });
}

/// Who announces nothing is known by the topic, and cannot be set.
#[test]
fn plain_topics() {
    let mut house = House::new("plain-topics");
    let says: [(&str, &[u8]); 5] = [
        ("home/kitchen/temperature", b"21.5"),
        ("home/kitchen/humidity", b"47 %"),
        ("home/kitchen/window", b"open"),
        ("home/attic", br#"{"co2": 612, "fan": {"on": true}}"#),
        ("home/hall/bytes", b"\xff\x00"),
    ];
    house.publish(&says);
    house.wait_count("home/attic", "co2", 1);
    let answer = house.set("home/kitchen", "temperature", &json!(20), "");
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(house.announced("home/kitchen"), Value::Null);
    assert_eq!(house.edge.terminate(), 0);
    for engine in tarn_tests::python::ENGINES {
        let rows = super::rows_of(engine, &house.store());
        let check = |device: &str, metric: &str, value: Option<f64>, text, unit| {
            let found = of(&rows, device, metric);
            assert_eq!(found.len(), 1, "{engine}: {device} {metric}: {rows:#?}");
            let row = (
                found[0].value,
                found[0].text.as_deref(),
                found[0].unit.as_deref(),
            );
            assert_eq!(row, (value, text, unit), "{engine}: {device} {metric}");
        };
        check("home/kitchen", "temperature", Some(21.5), None, None);
        check("home/kitchen", "humidity", Some(47.0), None, Some("%"));
        check("home/kitchen", "window", None, Some("open"), None);
        check("home/attic", "co2", Some(612.0), None, None);
        check("home/attic", "fan.on", Some(1.0), Some("true"), None);
        check("home/hall", "bytes", None, Some("/wA="), None);
    }
    house.edge.assert_quiet(&[]);
}
