use serde_json::{Value, json};
use tarn_tests::wait;

use super::{House, LIMIT, Row, of};

/// A template that would write ten thousand million letters.
const LOOPS: &str =
    "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";

/// Waits until a device has a fault of a kind, and gives it.
fn wait_fault(house: &House, device: &str, kind: &str) -> Value {
    let what = format!("{device} should have a fault of the kind {kind}");
    let fault = wait::until(LIMIT, what, || {
        let announced = house.announced(device);
        let mut faults = announced["faults"].as_array()?.iter();
        faults.find(|fault| fault["kind"] == kind).cloned()
    });
    let metric = format!("tarn_device_faults_total{{kind=\"{kind}\"}}");
    let counted = house.metric(&metric).unwrap_or_default();
    let count = fault["count"].as_f64().expect("a count");
    assert!(
        count >= 1.0 && counted >= count,
        "{fault}, {counted} in all"
    );
    fault
}

/// The box takes another reading, shows it, and stops in order; gives what the store has then.
fn goes_on(mut house: House) -> Vec<Row> {
    house.publish(&[("home/hall/seen", b"1")]);
    house.wait_count("home/hall", "seen", 1);
    assert_eq!(
        house.http.get(&house.edge.url("/readyz"), "*/*").status,
        200
    );
    assert_eq!(house.edge.terminate(), 0);
    house.edge.assert_quiet(&[]);
    house.rows()
}

fn sensor(more: Value) -> Vec<u8> {
    let mut config = json!({"name": "Heat", "stat_t": "home/stove/state", "uniq_id": "stove_t", "dev": {"ids": ["stove"]}});
    let config_map = config.as_object_mut().expect("an object");
    config_map.extend(more.as_object().expect("an object").clone());
    config.to_string().into_bytes()
}

const TOPIC: &str = "homeassistant/sensor/stove/config";

/// As a device that announces itself and then tells 300.
fn stove(name: &'static str, config: Value, state: &[u8]) -> (House, String) {
    let house = House::new(name);
    let config = sensor(config);
    house.publish(&[(TOPIC, config.as_slice()), ("home/stove/state", state)]);
    let id = house.wait_id("ha:stove");
    (house, id)
}

#[test]
fn a_template_that_never_ends() {
    let (house, id) = stove("loop", json!({"val_tpl": LOOPS}), br#"{"heat": 300}"#);
    let fault = wait_fault(&house, &id, "template");
    assert_eq!(fault["topic"], "home/stove/state", "{fault}");
    // Each reading that it fails on is counted.
    house.publish(&[("home/stove/state", br#"{"heat": 301}"#)]);
    wait::until_true(LIMIT, "the second failure should be counted", || {
        wait_fault(&house, &id, "template")["count"] == 2
    });
    let rows = goes_on(house);
    // The plain name is that of what the template would have made.
    let raw = super::values(&rows, &id, "heat.raw");
    assert_eq!(raw, [300.0, 301.0], "{rows:#?}");
}

#[test]
fn a_configuration_of_one_mebibyte() {
    // Such a message is larger than a packet may usually be.
    let house = House::started("huge", |launch| {
        launch
            .arg("--cut-age", "1s")
            .arg("--mqtt-packet-size", "4MiB")
    });
    let huge = sensor(json!({"name": "x".repeat(1 << 20)}));
    house.publish(&[(TOPIC, huge.as_slice())]);
    let plain = "homeassistant/sensor/stove";
    let fault = wait_fault(&house, plain, "too_large");
    assert_eq!(
        (&fault["topic"], &fault["count"]),
        (&json!(TOPIC), &json!(1))
    );
    let rows = goes_on(house);
    let raw = of(&rows, plain, "config");
    assert_eq!(raw.len(), 1);
    assert_eq!(raw[0].text.as_ref().map(|t| t.as_bytes()), Some(&*huge));
}

#[test]
fn two_devices_claim_one_unique_id() {
    let house = House::new("claims");
    let first = sensor(json!({"val_tpl": "{{ value_json.heat }}"}));
    let second = sensor(
        json!({"val_tpl": "{{ value_json.heat }}", "stat_t": "home/oven/state", "dev": {"ids": ["oven"]}, "unit_of_meas": "°C"}),
    );
    house.publish(&[
        (TOPIC, first.as_slice()),
        ("homeassistant/sensor/oven/config", second.as_slice()),
        ("home/stove/state", br#"{"heat": 300}"#),
        ("home/oven/state", br#"{"heat": 200}"#),
    ]);
    let (stove, oven) = (house.wait_id("ha:stove"), house.wait_id("ha:oven"));
    let fault = wait_fault(&house, &oven, "duplicate_id");
    assert_eq!(fault["count"], 1, "{fault}");
    assert_eq!(house.announced(&stove)["faults"], json!([]));
    let rows = goes_on(house);
    assert_eq!(super::values(&rows, &stove, "heat"), [300.0], "{rows:#?}");
    // What it said is there, under its topic or under the device.
    let kept = rows.iter().find(|row| row.value == Some(200.0));
    let kept = kept.unwrap_or_else(|| panic!("{rows:#?}"));
    assert_eq!(kept.metric, "heat", "{kept:?}");
    assert!(
        [oven.as_str(), "home/oven/state"].contains(&&*kept.device),
        "{kept:?}"
    );
}

#[test]
fn a_device_changes_its_identifiers() {
    let (house, before) = stove("changes", json!({}), b"300");
    let other = sensor(json!({"dev": {"ids": ["cooker"]}}));
    house.wait_count(&before, "heat", 1);
    house.publish(&[(TOPIC, other.as_slice()), ("home/stove/state", b"301")]);
    let after = house.wait_id("ha:cooker");
    assert_ne!(before, after);
    let fault = wait_fault(&house, &after, "identity_changed");
    let detail = fault["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&before), "{fault}");
    assert_eq!(fault["count"], 1, "{fault}");
    let rows = goes_on(house);
    assert_eq!(super::values(&rows, &before, "heat"), [300.0], "{rows:#?}");
    assert_eq!(super::values(&rows, &after, "heat"), [301.0], "{rows:#?}");
}

#[test]
fn a_unit_that_nobody_knows() {
    let (house, id) = stove("unit", json!({"unit_of_meas": "flurbs"}), b"300");
    let fault = wait_fault(&house, &id, "unit");
    assert_eq!(fault["count"], 1, "{fault}");
    let feature = house.announced(&id)["features"][0].clone();
    assert_eq!(feature["raw_unit"], "flurbs", "{feature}");
    let rows = goes_on(house);
    let kept = of(&rows, &id, "heat");
    assert_eq!(kept.len(), 1, "{rows:#?}");
    assert_eq!(
        (kept[0].value, kept[0].unit.as_deref()),
        (Some(300.0), Some("flurbs"))
    );
}

#[test]
fn arrays_within_arrays() {
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    let (house, id) = stove("deep", json!({}), deep.as_bytes());
    let fault = wait_fault(&house, &id, "payload");
    assert_eq!(
        (&fault["topic"], &fault["count"]),
        (&json!("home/stove/state"), &json!(1))
    );
    // On a topic of nobody, it is the fault of who is known by it.
    house.publish(&[("home/shed/state", deep.as_bytes())]);
    let fault = wait_fault(&house, "home/shed", "payload");
    assert_eq!(
        (&fault["topic"], &fault["count"]),
        (&json!("home/shed/state"), &json!(1))
    );
    let rows = goes_on(house);
    for (device, metric) in [(id.as_str(), "heat"), ("home/shed", "state")] {
        let kept = of(&rows, device, metric);
        assert_eq!(kept.len(), 1, "{device} {metric}");
        assert_eq!(kept[0].text.as_deref(), Some(deep.as_str()));
    }
}

/// Discovery that is no discovery at all.
#[test]
fn configurations_that_are_none() {
    let house = House::new("none");
    let bad: [(&str, &[u8]); 4] = [
        ("homeassistant/sensor/a/config", b"{\"name\":"),
        ("homeassistant/sensor/b/config", b"\xff\xfe"),
        ("zigbee2mqtt/bridge/devices", b"{}"),
        ("tasmota/discovery/2462AB49A3BC/config", b"[1]"),
    ];
    house.publish(&bad);
    for (topic, _) in bad {
        let (plain, _) = topic.rsplit_once('/').expect("levels");
        let fault = wait_fault(&house, plain, "announcement");
        assert_eq!(
            (&fault["topic"], &fault["count"]),
            (&json!(topic), &json!(1))
        );
    }
    let rows = goes_on(house);
    for (topic, payload) in bad {
        let (plain, metric) = topic.rsplit_once('/').expect("levels");
        let kept = of(&rows, plain, metric);
        assert_eq!(kept.len(), 1, "{topic}: {rows:#?}");
        let text = std::str::from_utf8(payload).unwrap_or("//4=");
        assert_eq!(kept[0].text.as_deref(), Some(text));
    }
}
