use serde_json::{Value, json};

use super::{announce, gadget, history, twin, wait_reported, wait_twin, want};
use crate::devices::House;

fn changes_of(house: &House, id: &str, attribute: &str) -> Vec<Value> {
    let changes = history(house, id).into_iter();
    changes
        .filter(|change| change["attribute"] == attribute)
        .collect()
}

/// What can be set and read back is in the twin; what is measured, and noise, is not.
#[test]
fn states_are_in_the_twin_and_measurements_are_not() {
    let house = House::new("twin-states");
    let id = announce(&house);
    house.publish(&[("g/plug", b"ON"), ("g/dial", b"20"), ("g/door", b"LOCKED")]);
    for (metric, value) in [
        ("plug", json!(true)),
        ("dial", json!(20)),
        ("door", json!("locked")),
    ] {
        wait_reported(&house, &id, metric, &value);
    }
    let before = history(&house, &id).len();
    let client = house.publisher();
    for round in 0..50 {
        client.publish("g/power", format!("{}", 100 + round));
        client.publish("g/heat", format!("{}.5", 15 + round % 7));
        client.publish("g/dial", if round % 2 == 0 { "20.1" } else { "19.9" });
    }
    client.wait_acked();
    // What is published last shows that all before it was looked at.
    house.publish(&[("g/plug", b"OFF")]);
    wait_reported(&house, &id, "plug", &json!(false));
    let twin = twin(&house, &id);
    assert_eq!(
        twin["reported"],
        json!({"plug": false, "dial": 20, "door": "locked"}),
        "{twin:#}"
    );
    let now = history(&house, &id);
    // That it is off, and that it was turned off at the device.
    assert_eq!(
        now.len(),
        before + 2,
        "{:#}",
        json!(now[..now.len() - before])
    );
    house.edge.assert_quiet(&["journal"]);
}

/// Whoever turns the dial at the device wants it so; whoever asks for it by a command is not taken for the device.
#[test]
fn what_is_done_at_the_device_is_wanted_by_it() {
    let house = House::new("twin-dial");
    let id = announce(&house);
    house.publish(&[("g/dial", b"20")]);
    wait_reported(&house, &id, "dial", &json!(20));
    // How it was found nobody wanted.
    assert_eq!(twin(&house, &id)["desired"], json!({}));
    house.publish(&[("g/dial", b"18")]);
    let turned = wait_twin(&house, &id, "18 should be wanted", |twin| {
        twin["desired"]["dial"]["value"] == 18
    });
    let wanted = &turned["desired"]["dial"];
    assert_eq!(
        (&wanted["by"], &wanted["status"]),
        (&json!("device"), &json!("confirmed")),
        "{turned:#}"
    );
    let device = gadget(&house);
    let answer = want(
        &house,
        &id,
        "?wait=10s",
        &[("tarn-author", "ada")],
        &json!({"dial": 22}),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_reported(&house, &id, "dial", &json!(22));
    let wanted = twin(&house, &id)["desired"]["dial"].clone();
    assert_eq!(
        (&wanted["by"], &wanted["value"]),
        (&json!("ada"), &json!(22)),
        "{wanted:#}"
    );
    let by: Vec<Value> = changes_of(&house, &id, "dial")
        .into_iter()
        .filter(|change| change["section"] == "desired")
        .map(|change| change["by"].clone())
        .collect();
    assert_eq!(by, [json!("ada"), json!("device")]);
    drop(device);
    house.edge.assert_quiet(&["journal"]);
}
