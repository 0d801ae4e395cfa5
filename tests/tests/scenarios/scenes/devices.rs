use serde_json::{Value, json};
use tarn_tests::wait;

use super::{alarm, metric, sensor, thing, wait_alarm};
use crate::devices::{House, LIMIT};

/// A device that goes away, and one whose battery runs down, are found with nothing set up, and no longer told when they are
/// back. The house's clock goes six hundred times as fast.
#[test]
fn devices_that_go_and_batteries_that_run_down_are_told() {
    let house = House::started("scene-devices", |launch| {
        launch
            .arg("--cut-age", "300ms")
            .arg("--clock", "2026-03-02T08:00:00Z*600")
    });
    let mut parts = json!({"b": sensor("battery", "%", "den/climate/battery")});
    parts["b"]["avty_t"] = json!("den/climate/status");
    let climate = thing(&house, "climate", "den", &parts);
    let _battery = metric(&house, &climate, "battery");
    let client = house.publisher();
    let say = |status: &str, battery: &str| {
        client.publish_retained("den/climate/status", status);
        client.publish("den/climate/battery", battery);
        client.wait_acked();
    };
    let low = format!("device/{climate}/battery_low");
    let away = format!("device/{climate}/offline");
    say("online", "80");
    say("online", "12");
    let told = wait::until(LIMIT, "the battery should be told", || {
        // Time goes on by what comes.
        say("online", "12");
        Some(alarm(&house, &low)).filter(|alarm| alarm["state"] == "raised")
    });
    assert_eq!(told["class"], "device", "{told}");
    assert!(
        told["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("climate ")),
        "{told}"
    );
    assert_eq!(alarm(&house, &away), Value::Null);
    say("online", "100");
    wait::until_true(LIMIT, "a new battery should be seen", || {
        say("online", "100");
        alarm(&house, &low)["state"] == "cleared"
    });

    client.publish_retained("den/climate/status", "offline");
    wait::until_true(LIMIT, "that it is away should be told", || {
        client.publish("home/other", r#"{"n": 1}"#);
        client.wait_acked();
        alarm(&house, &away)["state"] == "raised"
    });
    say("online", "99");
    wait_alarm_with(&house, &away, || say("online", "99"));
    house.edge.assert_quiet(&[]);
}

fn wait_alarm_with(house: &House, id: &str, say: impl Fn()) {
    wait::until_true(LIMIT, "that it is back should be told", || {
        say();
        alarm(house, id)["state"] == "cleared"
    });
    wait_alarm(house, id, "cleared");
}
